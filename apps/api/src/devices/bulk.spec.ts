import { describe, expect, it } from '@jest/globals';

import { readCsv, readNdjson } from './bulk.js';

const mebi = 2 ** 20;

describe('an upload as large as it may be', () => {
  it('of empty lines has no row by them, and of more lines than rows is read no further', () => {
    const empty = '\n'.repeat(16 * mebi);
    expect(() => readNdjson(empty)).toThrow('breaks a rule');
    expect(readNdjson(`{}${empty}{}`)).toHaveLength(2);
    expect(() => readNdjson('0\n'.repeat(8 * mebi))).toThrow('at most 10000 rows');
  });

  it('may have thousands of columns', () => {
    const names = Array.from({ length: 7_000 }, (_, n) => `attr.${(n + 1_000).toString(36)}`);
    const row = (n: number) => `d${n}${','.repeat(7_000)}x`;
    const text = [`name,${names.join(',')}`, ...Array.from({ length: 50 }, (_, n) => row(n))].join('\n');
    const rows = readCsv(text);
    expect(rows).toHaveLength(50);
    expect(rows[49]).toMatchObject({
      device: { name: 'd49', attributes: { [names[6_999]!.slice(5)]: 'x' } },
    });
  });

  it('of faults alone is told some of them, and a row as long as an upload none but that', () => {
    const members = Array.from({ length: 1_400_000 }, (_, n) => `"${n.toString(36)}":0`);
    const one = `{"name":"b","attributes":{${members.join(',')}}}`;
    const text = `{"name":"a"}\n${one}\n{"name":"c"}`;
    expect(readNdjson(text)).toMatchObject([
      { row: 1, device: { name: 'a' } },
      { row: 2, name: null, errors: [{ pointer: '#', code: 'too-big' }] },
      { row: 3, device: { name: 'c' } },
    ]);
    const row = `{"attributes":{${members.slice(0, 140).join(',')}}}\n`;
    expect(() => readNdjson(row.repeat(9_000))).toThrow('more than 50000 faults');
  });

  it('has lines that end with CR LF, spaces around them, and none at the end', () => {
    const rows = readNdjson('\r\n  {"name":"a"} \r\n\t\n{"name":"b"}');
    expect(rows).toMatchObject([
      { row: 1, device: { name: 'a' } },
      { row: 2, device: { name: 'b' } },
    ]);
  });
});
