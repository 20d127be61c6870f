/** PostgreSQL refuses to run as root. Where Moorage does, the server runs as another user. */
import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { EmbeddedPostgresError } from './embedded-error.js';

export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

const userName = 'postgres';

/** Undefined: the server runs as whoever runs this. As root: the cluster's owner, else the user postgres, who is made if need be. */
export async function serverUser(cluster: string): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(cluster).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const existing = await lookUp();
  if (existing !== undefined) return existing;
  await runAs(undefined, 'useradd', ['--system', '--user-group', '--no-create-home', userName]);
  // Whatever useradd said: another start may have been quicker.
  const made = await lookUp();
  if (made !== undefined) return made;
  throw new EmbeddedPostgresError(
    'postgres.no-user',
    `PostgreSQL does not run as root, and there is no user ${userName} and no way to make one: start Moorage as an ordinary user, or give it a DATABASE_URL`,
  );
}

async function lookUp(): Promise<ServerUser | undefined> {
  const [uid, gid] = await Promise.all([
    runAs(undefined, 'id', ['-u', userName]),
    runAs(undefined, 'id', ['-g', userName]),
  ]);
  return uid.code === 0 && gid.code === 0 ? { uid: Number(uid.output), gid: Number(gid.output) } : undefined;
}

/** Runs a short program to its end. A program that is not there, or may not be run, ends with code 127. */
export async function runAs(
  user: ServerUser | undefined,
  program: string,
  parameters: readonly string[],
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((done) => {
    const child = spawn(program, parameters, {
      ...user,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
    });
    let output = '';
    const keep = (chunk: Buffer): void => {
      if (output.length < 100_000) output += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (error) => done({ code: 127, output: error.message }));
    child.once('close', (code) => done({ code, output }));
  });
}
