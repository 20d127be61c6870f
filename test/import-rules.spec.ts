// The table in docs/architecture.md, "Who may import whom".
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '..');

/** What each part may import of ours; `type` before a name allows its types only. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'apps/api': ['access', 'store', 'process'],
  'apps/broker': ['mqtt', 'access', 'store', 'process'],
  'apps/moorage': ['store', 'process'],
  'apps/simulator': [],
  'libs/access': ['type mqtt'],
  'libs/mqtt': [],
  'libs/process': [],
  'libs/store': ['process', 'type mqtt', 'type access'],
};

/** Packages that belong to some places alone. */
const belongsTo: readonly (readonly [packages: RegExp, places: RegExp])[] = [
  [/^@nestjs\//, /^apps\/(api|broker)\//],
  [/^(pg|pg-copy-streams|@?prisma(\/.*)?)$/, /^libs\/store\//],
  [/^@peculiar\/x509$/, /^(libs\/access\/x509|apps\/moorage\/src\/certificates)\./],
  [/^@peculiar\/asn1-/, /^libs\/access\/ocsp\./],
  [/^jose$/, /^libs\/access\/token\./],
  [/^@node-rs\/argon2$/, /^libs\/access\/chosen-password\./],
  [/^temporal-polyfill$/, /^libs\/access\/time-window\./],
  [/^prom-client$/, /^libs\/process\/metrics\./],
  [/^pino$/, /^libs\/process\/logger\./],
  [/^mqtt-packet$/, /^apps\/simulator\//],
  [
    /^(node:(net|tls|https?)|ws)$/,
    /^(apps\/broker\/src\/listeners\/|apps\/moorage\/src\/ports|apps\/simulator\/|libs\/store\/database\/embedded-|libs\/access\/address\.|libs\/process\/(egress|public-address)\.)/,
  ],
];

interface Import {
  readonly file: string;
  readonly from: string;
  readonly isType: boolean;
}

const statement =
  /^(?:import|export)\s+(type\s)?(?:[\w\s{},*$]+?\s+from\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm;

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(statement)].map(([, type, from, dynamic]) => ({
    file,
    from: from ?? dynamic ?? '',
    isType: type !== undefined,
  }));
}

const files = globSync('{apps,libs}/**/*.ts', { cwd: root }).filter((file) => !file.includes('/generated/'));
const partOf = (path: string) => path.split('/').slice(0, 2).join('/');
const isTest = (file: string) => /\.spec\.ts$|\/testing\//.test(file);
/** Tests may use what test/ keeps for them. */
const isElsewhere = (file: string, target: string) =>
  partOf(target) !== partOf(file) && !(isTest(file) && target.startsWith('test/support/'));
const imports = files.flatMap(importsOf);
const product = imports.filter(({ file }) => !isTest(file));
const shown = (breaches: readonly Import[]) => breaches.map(({ file, from }) => `${file} imports ${from}`);

describe('imports', () => {
  it('are found at all', () => {
    expect(product.length).toBeGreaterThan(100);
  });

  it('go only where the architecture lets them', () => {
    const breaches = product.filter(({ file, from, isType }) => {
      const library = /^#(\w+)/.exec(from)?.[1];
      const allowed = mayImport[partOf(file)] ?? [];
      return (
        library !== undefined &&
        !allowed.includes(library) &&
        !(isType && allowed.includes(`type ${library}`))
      );
    });
    expect(shown(breaches)).toEqual([]);
  });

  it('enter a library by its door, and never an application', () => {
    const breaches = imports.filter(
      ({ file, from }) =>
        (from.startsWith('.') && isElsewhere(file, join(dirname(file), from))) ||
        (from.startsWith('#') && !/^#(mqtt|mqtt\/testing|access|store|process)$/.test(from)),
    );
    expect(shown(breaches)).toEqual([]);
  });

  it("keep the api's part of the store free of the broker's", () => {
    const breaches = product.filter(
      ({ file, from }) =>
        file.startsWith('libs/store/control/') && join(dirname(file), from).startsWith('libs/store/broker/'),
    );
    expect(shown(breaches)).toEqual([]);
  });

  it('go in no circle, but for types', () => {
    const next = new Map<string, string[]>();
    for (const { file, from, isType } of product) {
      if (isType || !from.startsWith('.')) continue;
      const target = join(dirname(file), from).replace(/\.js$/, '.ts');
      next.set(file, [...(next.get(file) ?? []), target]);
    }
    const done = new Set<string>();
    const circleFrom = (file: string, way: readonly string[]): readonly string[] | undefined => {
      if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
      if (done.has(file)) return undefined;
      for (const target of next.get(file) ?? []) {
        const circle = circleFrom(target, [...way, file]);
        if (circle !== undefined) return circle;
      }
      done.add(file);
      return undefined;
    };
    const circles = [...next.keys()]
      .map((file) => circleFrom(file, []))
      .filter((circle) => circle !== undefined);
    expect(circles).toEqual([]);
  });

  it('take a package only where it belongs', () => {
    const breaches = product.filter(({ file, from }) =>
      belongsTo.some(([packages, places]) => packages.test(from) && !places.test(file)),
    );
    expect(shown(breaches)).toEqual([]);
  });
});
