import { parse, CsvError } from 'csv-parse/sync';
import type { NewCredentialInput } from '../credentials/credential.schema.js';
import { Failure, invalidBody, type FieldError } from '../failure.js';
import { fieldErrors, parsing } from '../http/schema.pipe.js';
import { bulkDevice, type BulkDevice } from './device.schema.js';

const maxBulkRows = 10_000;
/** Each takes some 20 ms of a processor where it is a password that somebody has chosen, and a few where it is generated. */
const maxBulkCredentials = 500;

/** One row of an upload: what it says, or what is wrong with it. Rows count from 1. */
export type BulkRow =
  | { readonly row: number; readonly device: BulkDevice }
  | { readonly row: number; readonly name: string | null; readonly errors: readonly FieldError[] };

export function readList(devices: readonly object[]): BulkRow[] {
  requireSize(devices.length);
  return checkAll(devices, (device) => device);
}

export function readNdjson(text: string): BulkRow[] {
  const lines = text.split('\n').map((line) => line.trim());
  const filled = lines.filter((line) => line !== '');
  requireSize(filled.length);
  return checkAll(filled, (line) => {
    try {
      return JSON.parse(line) as unknown;
    } catch {
      return noJson;
    }
  });
}

const noJson = Symbol('no JSON');

/** Members of a row's one credential. Which client identifiers it may use is no text. */
const credentialMembers = [
  'kind',
  'authId',
  'secret',
  'certificate',
  'fingerprint',
  'anchorId',
  'publicKey',
  'issuerId',
  'notBefore',
  'notAfter',
] as const satisfies readonly (keyof NewCredentialInput)[];
const columns = new Set([
  'name',
  'profile',
  'groups',
  'status',
  ...credentialMembers.map((member) => `credential.${member}`),
]);

/**
 * RFC 4180 with a header: name, profile, groups (separated by ;), status, attr.NAME for attributes and credential.MEMBER for a
 * credential. An empty cell is absent.
 */
export function readCsv(text: string): BulkRow[] {
  const [header = [], ...records] = parseCsv(text);
  const errors = header.flatMap((name, index) => headerErrors(name, header.indexOf(name) !== index));
  if (!header.includes('name'))
    errors.push({ pointer: '#/name', code: 'required', message: 'There is no column name.' });
  if (errors.length > 0) throw invalidBody(...errors);
  requireSize(records.length);
  return checkAll(records, (cells) => {
    const cell = (name: string): string | undefined => cells[header.indexOf(name)] || undefined;
    const attributes = header
      .filter((name) => name.startsWith('attr.') && cell(name) !== undefined)
      .map((name) => [name.slice('attr.'.length), cell(name)] as const);
    const groups = cell('groups')
      ?.split(';')
      .map((name) => name.trim());
    const credential = credentialMembers.flatMap((member) => {
      const text = cell(`credential.${member}`);
      return text === undefined ? [] : [[member, text] as const];
    });
    return {
      name: cell('name') ?? '',
      ...(cell('profile') === undefined ? {} : { profile: cell('profile') }),
      ...(groups === undefined ? {} : { groups: groups.filter((name) => name !== '') }),
      ...(cell('status') === undefined ? {} : { status: cell('status') }),
      attributes: Object.fromEntries(attributes),
      ...(credential.length === 0 ? {} : { credentials: [Object.fromEntries(credential)] }),
    };
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

/** No further than there may be credentials. */
function checkAll<T>(given: readonly T[], valueOf: (one: T) => unknown): BulkRow[] {
  let credentials = 0;
  return given.map((one, index) => {
    const checked = check(index + 1, valueOf(one));
    if ('device' in checked) credentials += checked.device.credentials.length;
    if (credentials > maxBulkCredentials)
      throw new Failure('too-large', `An upload has at most ${maxBulkCredentials} credentials.`);
    return checked;
  });
}

function check(row: number, value: unknown): BulkRow {
  if (value === noJson) {
    const error = { in: 'body', pointer: '#', code: 'malformed', message: 'This line is not JSON.' } as const;
    return { row, name: null, errors: [error] };
  }
  const parsed = bulkDevice.safeParse(value, parsing);
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
