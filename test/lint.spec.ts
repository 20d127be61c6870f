// The two mistakes the linter is there for, planted: a promise nobody waits for, and a circle of imports.
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '..');

describe('the linter, as configured', () => {
  let dir: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'moorage-lint-'));
    await copyFile(join(root, '.oxlintrc.json'), join(dir, '.oxlintrc.json'));
    const { compilerOptions } = JSON.parse(await readFile(join(root, 'tsconfig.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    await writeFile(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    await symlink(join(root, 'node_modules'), join(dir, 'node_modules'));
  });

  afterEach(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  async function lint(files: Readonly<Record<string, string>>): Promise<{ code: number; output: string }> {
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    const oxlint = join(root, 'node_modules/.bin/oxlint');
    return new Promise((resolve) => {
      execFile(
        oxlint,
        ['--type-aware', '--deny-warnings', ...Object.keys(files)],
        { cwd: dir },
        (error, stdout, stderr) => {
          resolve({ code: typeof error?.code === 'number' ? error.code : 0, output: stdout + stderr });
        },
      );
    });
  }

  it('lets clean files pass', async () => {
    const { code, output } = await lint({ 'clean.ts': 'export const answer = 42;\n' });
    expect(output).toContain('Found 0 warnings and 0 errors');
    expect(code).toBe(0);
  });

  it('catches a floating promise', async () => {
    const { code, output } = await lint({
      'floating.ts':
        'async function save(): Promise<void> {}\nexport function careless(): void {\n  save();\n}\n',
    });
    expect(output).toContain('no-floating-promises');
    expect(code).not.toBe(0);
  });

  it('catches an import cycle', async () => {
    const { code, output } = await lint({
      'chicken.ts': "import { egg } from './egg.js';\nexport const chicken = (): string => egg();\n",
      'egg.ts': "import { chicken } from './chicken.js';\nexport const egg = (): string => chicken();\n",
    });
    expect(output).toContain('no-cycle');
    expect(code).not.toBe(0);
  });
});
