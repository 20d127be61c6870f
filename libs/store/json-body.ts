/**
 * Which payloads become jsonb. PostgreSQL must never meet one that it refuses, for it would refuse the whole batch, so this
 * is stricter than its own parser, and by RFC 7493 (I-JSON) where they differ: what is not safe JSON is kept as bytes.
 */
import { isUtf8 } from 'node:buffer';

// PostgreSQL's parser recurses; its stack ends after some thousands. Nothing that people send comes near this.
const maxDepth = 200;
// Above them, 1e100000 in eight bytes would come out as a hundred thousand digits. A double ends there too.
const maxExponent = 308;
const maxDigits = /\d{310}/;
const riskyNumber = /[eE][+-]?\d{3}|\d{300}/;
const riskyEscape = /\\u(?:0000|d[89a-f])/i;

/** The parsed value in `value`; undefined: not JSON that jsonb can hold. */
export function parseJsonBody(payload: Buffer): { readonly value: unknown } | undefined {
  if (payload.length === 0 || !isUtf8(payload)) return undefined;
  const text = payload.toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (riskyEscape.test(text) && !hasSafeEscapes(text)) return undefined;
  if (riskyNumber.test(text) && !hasSafeNumbers(text)) return undefined;
  if (payload.length <= maxDepth && !hasSeveralMembers(text)) return { value };
  const { depth, members } = structureOf(text);
  if (depth > maxDepth) return undefined;
  // Of an object that has a name twice, jsonb keeps the last value alone, and the device has been told that all of it is stored. So
  // what is written is counted against what is left of it when it is parsed.
  if (members > 1 && members !== membersOf(value)) return undefined;
  return { value };
}

/** In Node since version 21, not yet in the types of ES2024. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
};

/**
 * A body as it comes back, for whoever writes JSON with it: a number that would lose digits as a double, an identifier of 64 bits
 * for one, stays as it is written.
 */
export function readJsonBody(text: string): unknown {
  if (!longNumber.test(text)) return JSON.parse(text) as unknown;
  return json.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && digitsOf(source) !== digitsOf(String(value))
      ? json.rawJSON(source)
      : value,
  );
}

// A double has every number of fifteen digits.
const longNumber = /[\d.]{16}/;

function digitsOf(number: string): string {
  return number
    .replace(/e.*$/i, '')
    .replaceAll(/[-.]/g, '')
    .replaceAll(/^0+|0+$/g, '');
}

/** jsonb holds neither U+0000 nor half a surrogate pair. */
function hasSafeEscapes(text: string): boolean {
  let pendingHigh = -1;
  for (const match of text.matchAll(/\\(?:u([0-9a-fA-F]{4})|.)/g)) {
    const code = match[1] === undefined ? -1 : Number.parseInt(match[1], 16);
    const isLow = code >= 0xdc00 && code <= 0xdfff;
    if (code === 0 || isLow !== (pendingHigh === match.index)) return false;
    pendingHigh = code >= 0xd800 && code <= 0xdbff ? match.index + match[0].length : -1;
    // Whatever follows a high half must be its low half, at once.
    if (pendingHigh !== -1 && !/^\\u[dD][c-fC-F]/.test(text.slice(pendingHigh, pendingHigh + 4)))
      return false;
  }
  return true;
}

function hasSafeNumbers(text: string): boolean {
  const outsideStrings = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
  if (maxDigits.test(outsideStrings)) return false;
  for (const [, exponent] of outsideStrings.matchAll(/[eE]([+-]?\d+)/g))
    if (Math.abs(Number(exponent)) > maxExponent) return false;
  return true;
}

function hasSeveralMembers(text: string): boolean {
  return text.indexOf(':') !== text.lastIndexOf(':');
}

/** How deep arrays and objects lie in one another, and how many members the objects have as they are written: a colon is one. */
function structureOf(text: string): { readonly depth: number; readonly members: number } {
  let depth = 0;
  let open = 0;
  let members = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) inString = !inString;
    else if (inString) {
      if (code === 0x5c) i += 1;
    } else if (code === 0x3a) members += 1;
    else if (code === 0x5b || code === 0x7b) depth = Math.max(depth, ++open);
    else if (code === 0x5d || code === 0x7d) open -= 1;
  }
  return { depth, members };
}

function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const held: unknown[] = Object.values(value);
  let members = Array.isArray(value) ? 0 : held.length;
  for (const one of held) members += membersOf(one);
  return members;
}

const firstYear = Date.parse('0001-01-01T00:00:00Z');
const lastYear = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * The device's own time from that field of a JSON object: an ISO 8601 text, or a number of seconds, milliseconds,
 * microseconds or nanoseconds since 1970, told apart by size. What is no time in our calendar's years is undefined.
 */
export function observedAt(body: unknown, timeField: string): number | undefined {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  if (!Object.hasOwn(body, timeField)) return undefined;
  const value: unknown = Reflect.get(body, timeField);
  const ms =
    typeof value === 'number' ? fromNumber(value) : typeof value === 'string' ? fromText(value) : NaN;
  return ms >= firstYear && ms <= lastYear ? Math.round(ms) : undefined;
}

function fromNumber(value: number): number {
  const size = Math.abs(value);
  if (size < 1e11) return value * 1e3;
  if (size < 1e14) return value;
  if (size < 1e17) return value / 1e3;
  return value / 1e6;
}

// Only ISO 8601 as RFC 3339 narrows it: Date.parse would take '1' and 'June 7' too, each in the machine's own zone.
const isoTime = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d)$/;

function fromText(value: string): number {
  return isoTime.test(value) && isDate(value.slice(0, 10)) ? Date.parse(value) : NaN;
}

/** Date.parse takes 30 February for 2 March. */
function isDate(day: string): boolean {
  const at = Date.parse(day);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(day);
}
