/** PostgreSQL refuses to run as root. Where Moorage does, the server runs as somebody else. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, chown, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EmbeddedPostgresError } from './embedded-error.js';

/** As whom a program runs. */
export interface ServerUser {
  /** For messages. */
  readonly name: string;
  /** What stands before the program on its command line. It ends by `exec`: the child's number is the program's own. */
  readonly wrapper: readonly string[];
  /** Whom the system sees, where that is not whoever runs this. */
  readonly ids?: { readonly uid: number; readonly gid: number };
}

export const whoeverRunsThis: ServerUser = { name: 'this user', wrapper: [] };

/**
 * Root in a user namespace of its own, where it is called by another number: PostgreSQL does not see that it is root, the kernel does
 * not forget it. So it reaches what is root's, a clone below /root too, and what it makes is root's. Number 1 has a name on every
 * Linux (daemon, bin), which initdb wants. Some containers forbid it.
 */
const rootByAnotherNumber: ServerUser = {
  name: 'root in a user namespace',
  wrapper: ['unshare', '--user', '--map-user=1', '--map-group=1', '--'],
};

const userName = 'postgres';

/**
 * As whom the server of a cluster can run. Where root starts it: as the cluster's owner; where there is no cluster yet, the first who
 * can run the programs and enter the data directory of root in a namespace, the owner of the directory above (as under sudo), and the
 * user postgres, who is made if need be.
 */
export async function serverUser(cluster: string, programs: readonly string[]): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return whoeverRunsThis;
  const dataDir = dirname(cluster);
  const refusals: string[] = [];
  for (const candidate of await candidates(cluster)) {
    const user = await candidate();
    if (user === undefined) continue;
    const refusal = await refusalOf(user, dataDir, programs);
    if (refusal === undefined) return user;
    refusals.push(`${user.name}: ${refusal}`);
  }
  throw new EmbeddedPostgresError(
    'postgres.no-user',
    `PostgreSQL does not run as root, and nobody else can run it here (${refusals.join('; ')}): put Moorage and ${dataDir} where other users may enter, start Moorage as an ordinary user, or give it a DATABASE_URL`,
  );
}

type Candidate = () => Promise<ServerUser | undefined>;

async function candidates(cluster: string): Promise<readonly Candidate[]> {
  const made = await stat(cluster).catch(() => undefined);
  if (made === undefined)
    return [
      async () => rootByAnotherNumber,
      async () => ordinaryUser(await stat(dirname(dirname(cluster)))),
      async () => (await lookUp()) ?? makeUser(),
    ];
  return [async () => ordinaryUser(made) ?? rootByAnotherNumber];
}

function ordinaryUser({ uid, gid }: { readonly uid: number; readonly gid: number }): ServerUser | undefined {
  return uid === 0 ? undefined : { name: `user ${uid}`, wrapper: [], ids: { uid, gid } };
}

/** Why this user cannot serve: what the system said. */
async function refusalOf(
  user: ServerUser,
  dataDir: string,
  programs: readonly string[],
): Promise<string | undefined> {
  if (user.ids !== undefined) await letPass(dataDir);
  // initdb wants a user who has a name.
  const script =
    'id -un >/dev/null && cd "$0" && for program; do "$program" --version >/dev/null || exit; done';
  const { code, output } = await runAs(user, 'sh', ['-c', script, dataDir, ...programs]);
  return code === 0 ? undefined : output.trim();
}

/** Another user must be able to pass through the data directory, though not to list it. */
async function letPass(dataDir: string): Promise<void> {
  const { mode } = await stat(dataDir);
  if ((mode & constants.S_IXOTH) === 0) await chmod(dataDir, (mode & 0o7777) | constants.S_IXOTH);
}

async function makeUser(): Promise<ServerUser | undefined> {
  await runAs(whoeverRunsThis, 'useradd', ['--system', '--user-group', '--no-create-home', userName]);
  // Whatever useradd said: another start may have been quicker.
  return lookUp();
}

async function lookUp(): Promise<ServerUser | undefined> {
  const [uid, gid] = await Promise.all([
    runAs(whoeverRunsThis, 'id', ['-u', userName]),
    runAs(whoeverRunsThis, 'id', ['-g', userName]),
  ]);
  return uid.code === 0 && gid.code === 0
    ? ordinaryUser({ uid: Number(uid.output), gid: Number(gid.output) })
    : undefined;
}

/** What root has made for the server becomes the server's. */
export async function handOver(path: string, { ids }: ServerUser): Promise<void> {
  if (ids !== undefined) await chown(path, ids.uid, ids.gid);
}

/** As child_process.spawn, in a process group of its own. */
export function spawnAs(
  user: ServerUser,
  program: string,
  parameters: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  const [command = program, ...rest] = [...user.wrapper, program, ...parameters];
  return spawn(command, rest, { ...options, ...user.ids, detached: true });
}

/** Runs a short program to its end. A program that is not there, or may not be run, ends with code 127. */
export async function runAs(
  user: ServerUser,
  program: string,
  parameters: readonly string[],
): Promise<{ readonly code: number | null; readonly output: string }> {
  return new Promise((done) => {
    const child = spawnAs(user, program, parameters, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
    });
    let output = '';
    const keep = (chunk: Buffer): void => {
      if (output.length < 100_000) output += chunk.toString();
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.once('error', (error) => done({ code: 127, output: error.message }));
    child.once('close', (code) => done({ code, output }));
  });
}
