import { parse, CsvError } from 'csv-parse/sync';
import type { NewCredentialInput } from '../credentials/credential.schema.js';
import { Failure, invalidBody, type FieldError } from '../failure.js';
import { fieldErrors, parsing } from '../http/schema.pipe.js';
import { bulkDevice, type BulkDevice } from './device.schema.js';

export const maxBulkRows = 10_000;
/** Each takes some 20 ms of a processor where it is a password that somebody has chosen, and a few where it is generated. */
export const maxBulkCredentials = 500;
/** As much as a request for one device may have. What a row says is looked at as a whole, and while it is nobody else is answered. */
const maxRowLength = 256 * 1024;
/** Each takes some 10 us to find and 100 bytes to tell. */
const maxBulkFaults = 50_000;

/** One row of an upload: what it says, or what is wrong with it. Rows count from 1. */
export type BulkRow =
  | { readonly row: number; readonly device: BulkDevice }
  | { readonly row: number; readonly name: string | null; readonly errors: readonly FieldError[] };

export function readList(devices: readonly object[]): BulkRow[] {
  requireSize(devices.length);
  return checkAll(devices, (device) => device);
}

export function readNdjson(text: string): BulkRow[] {
  const lines: string[] = [];
  // One line at a time, from what is no space on: an upload may have millions, empty ones too.
  for (const [line] of text.matchAll(/\S[^\n]*/g)) if (lines.push(line.trimEnd()) > maxBulkRows) break;
  requireSize(lines.length);
  return checkAll(lines, (line) => {
    if (line.length > maxRowLength) return tooLong;
    try {
      return JSON.parse(line) as unknown;
    } catch {
      return noJson;
    }
  });
}

const noJson = Symbol('no JSON');
const tooLong = Symbol('too long');

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
  // Looked up once, and not in each row: a header may have thousands of columns.
  const places = new Map<string, number>();
  const errors: Omit<FieldError, 'in'>[] = [];
  for (const [index, name] of header.entries()) {
    errors.push(...headerErrors(name, places.has(name)));
    places.set(name, index);
  }
  if (!places.has('name'))
    errors.push({ pointer: '#/name', code: 'required', message: 'There is no column name.' });
  if (errors.length > 0) throw invalidBody(...errors);
  requireSize(records.length);
  const attributePlaces = [...places].filter(([name]) => name.startsWith('attr.'));
  return checkAll(records, (cells) => {
    const cell = (name: string): string | undefined => cells[places.get(name) ?? -1] || undefined;
    const attributes = attributePlaces.flatMap(([name, place]) => {
      const text = cells[place];
      return text ? [[name.slice('attr.'.length), text] as const] : [];
    });
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

/** No further than there may be credentials, and faults. */
function checkAll<T>(given: readonly T[], valueOf: (one: T) => unknown): BulkRow[] {
  let credentials = 0;
  let faults = 0;
  return given.map((one, index) => {
    const checked = check(index + 1, valueOf(one));
    if ('device' in checked) credentials += checked.device.credentials.length;
    else faults += checked.errors.length;
    if (credentials > maxBulkCredentials)
      throw new Failure('too-large', `An upload has at most ${maxBulkCredentials} credentials.`);
    if (faults > maxBulkFaults)
      throw new Failure(
        'too-large',
        `There are more than ${maxBulkFaults} faults in the first ${index + 1} rows.`,
      );
    return checked;
  });
}

function check(row: number, value: unknown): BulkRow {
  if (value === noJson) {
    const error = { in: 'body', pointer: '#', code: 'malformed', message: 'This line is not JSON.' } as const;
    return { row, name: null, errors: [error] };
  }
  if (value === tooLong) {
    const message = `A line has at most ${maxRowLength} characters.`;
    return { row, name: null, errors: [{ in: 'body', pointer: '#', code: 'too-big', message }] };
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
