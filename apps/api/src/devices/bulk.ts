import { parse, CsvError } from 'csv-parse/sync';
import { Failure, invalidBody, type FieldError } from '../failure.js';
import { fieldErrors } from '../http/schema.pipe.js';
import { bulkDevice, type BulkDevice } from './device.schema.js';

const maxBulkRows = 10_000;

/** One row of an upload: what it says, or what is wrong with it. Rows count from 1. */
export type BulkRow =
  | { readonly row: number; readonly device: BulkDevice }
  | { readonly row: number; readonly name: string | null; readonly errors: readonly FieldError[] };

export function readList(devices: readonly object[]): BulkRow[] {
  requireSize(devices.length);
  return devices.map((device, index) => check(index + 1, device));
}

export function readNdjson(text: string): BulkRow[] {
  const lines = text.split('\n').map((line) => line.trim());
  const filled = lines.filter((line) => line !== '');
  requireSize(filled.length);
  return filled.map((line, index) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      const error = {
        in: 'body',
        pointer: '#',
        code: 'malformed',
        message: 'This line is not JSON.',
      } as const;
      return { row: index + 1, name: null, errors: [error] };
    }
    return check(index + 1, value);
  });
}

const columns = new Set(['name', 'profile', 'groups', 'status']);

/** RFC 4180 with a header: name, profile, groups (separated by ;), status, and attr.NAME for attributes. An empty cell is absent. */
export function readCsv(text: string): BulkRow[] {
  const [header = [], ...records] = parseCsv(text);
  const errors = header.flatMap((name, index) => headerErrors(name, header.indexOf(name) !== index));
  if (!header.includes('name'))
    errors.push({ pointer: '#/name', code: 'required', message: 'There is no column name.' });
  if (errors.length > 0) throw invalidBody(...errors);
  requireSize(records.length);
  return records.map((cells, index) => {
    const cell = (name: string): string | undefined => cells[header.indexOf(name)] || undefined;
    const attributes = header
      .filter((name) => name.startsWith('attr.') && cell(name) !== undefined)
      .map((name) => [name.slice('attr.'.length), cell(name)] as const);
    const groups = cell('groups')
      ?.split(';')
      .map((name) => name.trim());
    return check(index + 1, {
      name: cell('name') ?? '',
      ...(cell('profile') === undefined ? {} : { profile: cell('profile') }),
      ...(groups === undefined ? {} : { groups: groups.filter((name) => name !== '') }),
      ...(cell('status') === undefined ? {} : { status: cell('status') }),
      attributes: Object.fromEntries(attributes),
    });
  });
}

function parseCsv(text: string): string[][] {
  try {
    return parse(text, {
      bom: true,
      skip_empty_lines: true,
      to: maxBulkRows + 2,
      max_record_size: 64 * 1024,
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line: unknown = error['lines'];
    const message = `The file is not CSV from line ${typeof line === 'number' ? line : '?'} on (${error.code}).`;
    throw invalidBody({ pointer: '#', code: 'malformed', message });
  }
}

function headerErrors(name: string, isRepeated: boolean): Omit<FieldError, 'in'>[] {
  const pointer = `#/${encodeURIComponent(name)}`;
  if (isRepeated) return [{ pointer, code: 'duplicate', message: 'This column stands there twice.' }];
  if (columns.has(name) || name.startsWith('attr.')) return [];
  return [{ pointer, code: 'unknown', message: 'There is no such column.' }];
}

function check(row: number, value: unknown): BulkRow {
  const parsed = bulkDevice.safeParse(value);
  if (parsed.success) return { row, device: parsed.data };
  return { row, name: nameOf(value), errors: fieldErrors(parsed.error, 'body') };
}

function nameOf(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || !('name' in value)) return null;
  return typeof value.name === 'string' ? value.name.slice(0, 200) : null;
}

function requireSize(rows: number): void {
  if (rows > maxBulkRows) throw new Failure('too-large', `An upload has at most ${maxBulkRows} rows.`);
  if (rows === 0) throw invalidBody({ pointer: '#', code: 'empty', message: 'There is no row.' });
}
