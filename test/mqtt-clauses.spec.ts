/**
 * docs/mqtt.md names every normative statement of MQTT 5.0 and 3.1.1, where it is met, and the test that shows it. This holds
 * the page to the standard and to the tree.
 */
import { existsSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '..');

/** Section, first and last number: Appendix B of MQTT 5.0. */
const of5: readonly [string, number, number][] = [
  ['1.5.4', 1, 3],
  ['1.5.5', 1, 1],
  ['1.5.7', 1, 1],
  ['2.1.3', 1, 1],
  ['2.2.1', 2, 6],
  ['2.2.2', 1, 1],
  ['3.1.0', 1, 2],
  ['3.1.2', 1, 30],
  ['3.1.3', 1, 12],
  ['3.1.4', 1, 6],
  ['3.2.0', 1, 2],
  ['3.2.2', 1, 22],
  ['3.3.1', 1, 13],
  ['3.3.2', 1, 20],
  ['3.3.4', 1, 10],
  ['3.4.2', 1, 3],
  ['3.5.2', 1, 3],
  ['3.6.1', 1, 1],
  ['3.6.2', 1, 3],
  ['3.7.2', 1, 3],
  ['3.8.1', 1, 1],
  ['3.8.3', 1, 5],
  ['3.8.4', 1, 8],
  ['3.9.2', 1, 2],
  ['3.9.3', 1, 2],
  ['3.10.1', 1, 1],
  ['3.10.3', 1, 2],
  ['3.10.4', 1, 6],
  ['3.11.2', 1, 2],
  ['3.11.3', 1, 2],
  ['3.12.4', 1, 1],
  ['3.14.0', 1, 1],
  ['3.14.1', 1, 1],
  ['3.14.2', 1, 4],
  ['3.14.4', 1, 3],
  ['3.15.1', 1, 1],
  ['3.15.2', 1, 3],
  ['4.1.0', 1, 2],
  ['4.2', 1, 1],
  ['4.3.1', 1, 1],
  ['4.3.2', 1, 5],
  ['4.3.3', 1, 13],
  ['4.4.0', 1, 2],
  ['4.5.0', 1, 2],
  ['4.6.0', 1, 6],
  ['4.7.0', 1, 1],
  ['4.7.1', 1, 2],
  ['4.7.2', 1, 1],
  ['4.7.3', 1, 4],
  ['4.8.2', 1, 6],
  ['4.9.0', 1, 3],
  ['4.12.0', 1, 7],
  ['4.12.1', 1, 2],
  ['4.13.1', 1, 1],
  ['4.13.2', 1, 1],
  ['6.0.0', 1, 4],
];
/** And of MQTT 3.1.1. */
const of3: readonly [string, number, number][] = [
  ['1.5.3', 1, 3],
  ['2.2.2', 1, 2],
  ['2.3.1', 1, 7],
  ['3.1.0', 1, 2],
  ['3.1.2', 1, 24],
  ['3.1.3', 1, 11],
  ['3.1.4', 1, 5],
  ['3.2.0', 1, 1],
  ['3.2.2', 1, 6],
  ['3.3.1', 1, 12],
  ['3.3.2', 1, 3],
  ['3.3.4', 1, 1],
  ['3.3.5', 1, 2],
  ['3.6.1', 1, 1],
  ['3.8.1', 1, 1],
  ['3.8.3', 1, 4],
  ['3.8.4', 1, 6],
  ['3.9.3', 1, 2],
  ['3.10.1', 1, 1],
  ['3.10.3', 1, 2],
  ['3.10.4', 1, 6],
  ['3.12.4', 1, 1],
  ['3.14.1', 1, 1],
  ['3.14.4', 1, 3],
  ['4.1.0', 1, 2],
  ['4.3.1', 1, 1],
  ['4.3.2', 1, 2],
  ['4.3.3', 1, 2],
  ['4.4.0', 1, 1],
  ['4.5.0', 1, 2],
  ['4.6.0', 1, 6],
  ['4.7.1', 1, 3],
  ['4.7.2', 1, 1],
  ['4.7.3', 1, 4],
  ['4.8.0', 1, 2],
  ['6.0.0', 1, 4],
  ['7.0.0', 1, 2],
  ['7.1.1', 1, 1],
  ['7.1.2', 1, 1],
];

const numbersOf = (sections: readonly [string, number, number][]): string[] =>
  sections.flatMap(([section, first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => `${section}-${first + i}`),
  );

interface Row {
  readonly in5: readonly string[];
  readonly in3: readonly string[];
  readonly where: string;
  readonly shownBy: string;
}

const isNumbers = /^(?:–|\d[\d.]*-\d)/;

/** Cells of the tables whose rows begin with numbers of statements. */
function rowsOf(page: string): Row[] {
  const rows: Row[] = [];
  for (const line of page.split('\n')) {
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    const [, in5 = '', in3 = '', , where = '', shownBy = ''] = cells;
    if (cells.length !== 7 || !isNumbers.test(in5) || !isNumbers.test(in3)) continue;
    rows.push({ in5: numbersIn(in5), in3: numbersIn(in3), where, shownBy });
  }
  return rows;
}

function numbersIn(cell: string): string[] {
  return cell === '–' ? [] : cell.split(',').map((number) => number.trim());
}

/** Of the tables of statements, and of the one about 3.1. */
function testsIn(page: string): { file: string; title: string }[] {
  return [...page.matchAll(/`([\w./-]+\.spec\.ts)`: (.+?)(?=<br>| \|$)/gm)].map(
    ([, file = '', title = '']) => ({
      file,
      title,
    }),
  );
}

function pathOf(file: string): string {
  return join(root, /^(?:apps|libs|test)\//.test(file) ? file : `libs/mqtt/${file}`);
}

/** The title as it is written, or a case of `it.each`: both the template and the case stand in the file. */
function hasTest(text: string, title: string): boolean {
  if (stands(text, title)) return true;
  for (const [, template = ''] of text.matchAll(/['"]([^'"\n]*%s[^'"\n]*)['"],/g)) {
    const [before = '', after = ''] = template.split('%s');
    const isCase = title.startsWith(before) && title.endsWith(after);
    if (isCase && stands(text, title.slice(before.length, title.length - after.length))) return true;
  }
  return false;
}

function stands(text: string, title: string): boolean {
  return [`'${title}'`, `"${title}"`, `\`${title}\``].some((written) => text.includes(written));
}

describe('docs/mqtt.md', () => {
  let page: string;
  let rows: Row[];

  beforeAll(() => {
    page = readFileSync(join(root, 'docs/mqtt.md'), 'utf8');
    rows = rowsOf(page);
  });

  it.each([
    ['5.0', of5, (row: Row) => row.in5],
    ['3.1.1', of3, (row: Row) => row.in3],
  ] as const)('has every statement of %s once, and no other', (_, sections, numbers) => {
    expect(rows.flatMap(numbers).sort()).toEqual(numbersOf(sections).sort());
  });

  it('says of every statement where it is met and which test shows it, or why there is neither', () => {
    const unproven = rows.filter(({ where, shownBy }) => {
      if (where === 'client') return shownBy !== '';
      return where.includes('`')
        ? testsIn(`| ${shownBy} |`).length === 0
        : shownBy !== 'none needed' || where === '';
    });
    expect(unproven).toEqual([]);
  });

  it('names files that there are', () => {
    const named = rows.flatMap(({ where }) =>
      [...where.matchAll(/`([^`]+\.ts)`/g)].map(([, file = '']) => file),
    );
    expect(named.length).toBeGreaterThan(100);
    expect([...new Set(named)].filter((file) => !existsSync(pathOf(file)))).toEqual([]);
  });

  it('names tests that there are', () => {
    const tests = testsIn(page);
    expect(tests.length).toBeGreaterThan(200);
    const missing = tests.filter(({ file, title }) => {
      const path = pathOf(file);
      return !existsSync(path) || !hasTest(readFileSync(path, 'utf8'), title);
    });
    expect(missing).toEqual([]);
  });
});

describe('the code', () => {
  it('cites no statement that there is not', async () => {
    const known = new Set([...numbersOf(of5), ...numbersOf(of3)]);
    const unknown: string[] = [];
    for (const folder of ['libs', 'apps']) {
      for (const file of await readdir(join(root, folder), { recursive: true })) {
        if (!file.endsWith('.ts') || file.includes('generated')) continue;
        const text = readFileSync(join(root, folder, file), 'utf8');
        for (const [, number = ''] of text.matchAll(/MQTT-(\d+\.\d+(?:\.\d+)?-\d+)/g)) {
          if (!known.has(number)) unknown.push(`${folder}/${file}: ${number}`);
        }
      }
    }
    expect(unknown).toEqual([]);
  });
});
