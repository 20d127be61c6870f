// What the documents point at is there. Their tables are held to the code where it is tested: settings, limits, metrics, clauses, rights.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '..');
const pages = globSync('{*.md,docs/**/*.md,bench/*.md}', { cwd: root });
const files = globSync('{apps,libs,test,bench,prisma,docker}/**/*.*', { cwd: root });
const textOf = (page: string) => readFileSync(join(root, page), 'utf8');

/** As they are made of headings: small letters, no marks, hyphens for spaces. */
function anchorsOf(page: string): string[] {
  return Array.from(textOf(page).matchAll(/^#+ (.*)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

function isThere(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? page : normalize(join(dirname(page), path));
  if (!existsSync(join(root, target))) return false;
  return anchor === undefined || anchorsOf(target).includes(anchor);
}

describe('the documents', () => {
  it('link to what is there', () => {
    const dead = pages.flatMap((page) =>
      Array.from(textOf(page).matchAll(/\]\((?!https?:)([^)]+)\)/g), ([, link = '']) => link)
        .filter((link) => !isThere(page, link))
        .map((link) => `${page}: ${link}`),
    );
    expect(pages.length).toBeGreaterThan(10);
    expect(dead).toEqual([]);
  });

  it('name files that are there', () => {
    const named = /`((?:[\w.-]+\/)*[\w-]+(?:\.[\w-]+)*\.(?:ts|sql))`/g;
    const isFile = (name: string) => files.some((file) => file === name || file.endsWith(`/${name}`));
    const missing = pages.flatMap((page) =>
      Array.from(textOf(page).matchAll(named), ([, name = '']) => name)
        .filter((name) => !name.startsWith('thing.') && !isFile(name)) // one for each resource of the api
        .map((name) => `${page}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('list every decision, in order', () => {
    const decisions = pages.filter((page) => /^docs\/decisions\/\d/.test(page)).map((page) => basename(page));
    const listed = Array.from(
      textOf('docs/decisions/README.md').matchAll(/\]\((\d[^)]+)\)/g),
      ([, file]) => file,
    );
    expect(listed).toEqual(decisions.toSorted());
  });
});
