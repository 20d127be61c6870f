import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { createTestDatabase, type TestDatabase } from '../../test/support/postgres.js';
import { observedAt, parseJsonBody, readJsonBody } from './json-body.js';

const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

const storable = [
  '{}',
  ' [1, 2.5e3, -0, true, null, "x"] ',
  '"text"',
  '0',
  '{"a":{"a":1},"b":[{"a":":"},{"a":2,"__proto__":3}]}',
  '{"a\\":\\"a":1,"a":2}',
  '{"node12345e999":"e12345 1e999 ' + '9'.repeat(400) + '"}',
  '"\\ud83d\\ude00 \\u00e4 😀"',
  '"\\\\u0000 is six characters"',
  '"\\\\\\\\ud800"',
  '1e308',
  '-1E-0308',
  deep(200),
  JSON.stringify({ text: '['.repeat(500) }),
];

const notStorable = [
  '',
  ' ',
  'plain',
  '{"a":1,}',
  '{"a":01}',
  "{'a':1}",
  '"\\u0000"',
  '"\\\\\\u0000"',
  '{"a":"\\u0000","a":1}',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\ud800\\ud800\\udc00"',
  '"\\ud800x\\udc00"',
  '1e400',
  '-1e-99999',
  '9'.repeat(400),
  deep(201),
  deep(100_000),
  '\ufeff{}',
  'NaN',
  '"tab\there"',
  '{"a":1,"a":2}',
  '{"a":1,"\\u0061":1}',
  '{"list":[{"b":1},{"c":{"a":1,"a":1}}]}',
  '{"__proto__":1,"__proto__":2}',
];

describe('a payload', () => {
  it.each(storable)('is a body: %s', (text) => {
    expect(parseJsonBody(Buffer.from(text))).toEqual({ value: JSON.parse(text) as unknown });
  });

  it('that PostgreSQL refuses, or that is not safe to keep as JSON, is kept as bytes', () => {
    for (const text of notStorable)
      expect([text.slice(0, 40), parseJsonBody(Buffer.from(text))]).toEqual([text.slice(0, 40), undefined]);
  });

  it('that is not UTF-8 is kept as bytes', () => {
    expect(parseJsonBody(Buffer.from([0x22, 0xff, 0x22]))).toBeUndefined();
    expect(parseJsonBody(Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))).toBeUndefined();
  });
});

describe('a body that is read back', () => {
  it.each([
    '{"id":9007199254740993,"list":[-12345678901234567890.125,1]}',
    '0.1234567890123456789',
    '{"text":"1234567890123456789","n":1.5}',
    '1234567890123456789',
  ])('has every digit: %s', (text) => {
    expect(JSON.stringify(readJsonBody(text))).toBe(text);
  });

  it.each([
    ['1000000000000000000000000', 1e24],
    ['0.10000000000000000000', 0.1],
    ['123456789012345', 123_456_789_012_345],
    ['-0.0000000000000000001', -1e-19],
    ['"1234567890123456789"', '1234567890123456789'],
    ['null', null],
  ])('is a plain value where none is lost: %s', (text, value) => {
    expect(readJsonBody(text)).toBe(value);
  });
});

describe('PostgreSQL', () => {
  let database: TestDatabase;
  let client: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    client = new Client({ connectionString: database.superuserUrl });
    await client.connect();
  });

  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  it('agrees about every body', async () => {
    for (const text of [...storable, JSON.stringify({ id: randomUUID(), nested: { a: [{}] } })]) {
      const { rows } = await client.query<{ valid: boolean }>('SELECT pg_input_is_valid($1, $2) AS valid', [
        text,
        'jsonb',
      ]);
      expect([text, rows[0]?.valid]).toEqual([text, true]);
    }
  });
});

describe('the time that a device gives', () => {
  it.each([
    [1_700_000_000, 1_700_000_000_000],
    [1_700_000_000.25, 1_700_000_000_250],
    [1_700_000_000_123, 1_700_000_000_123],
    [1_700_000_000_123_456, 1_700_000_000_123],
    [1_700_000_000_123e6, 1_700_000_000_123],
    [-1, -1_000],
    ['2026-11-22T10:00:00Z', Date.UTC(2026, 10, 22, 10)],
    ['2026-11-22T12:00:00.5+02:00', Date.UTC(2026, 10, 22, 10, 0, 0, 500)],
    ['0001-01-01T00:00:00Z', -62_135_596_800_000],
    ['2028-02-29T23:59:59Z', Date.UTC(2028, 1, 29, 23, 59, 59)],
    ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
  ])('%p is %p', (value, expected) => {
    expect(observedAt({ at: value }, 'at')).toBe(expected);
  });

  it.each([
    [1e300],
    [-1e300],
    [1e21],
    [-9e10],
    [''],
    ['1'],
    ['June 7'],
    ['2026-13-01T00:00:00Z'],
    ['2026-02-29T00:00:00Z'],
    ['2026-04-31T12:00:00+02:00'],
    ['+275760-01-01T00:00:00Z'],
    [null],
    [true],
    [{}],
    [[1]],
  ])('%p is none', (value) => {
    expect(observedAt({ at: value }, 'at')).toBeUndefined();
  });

  it('is the object’s own field, and only an object has one', () => {
    expect(observedAt({}, 'constructor')).toBeUndefined();
    expect(observedAt([5], '0')).toBeUndefined();
    expect(observedAt('text', 'length')).toBeUndefined();
    expect(observedAt(null, 'at')).toBeUndefined();
  });
});
