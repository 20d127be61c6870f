import { fork } from 'node:child_process';
import { join } from 'node:path';
import { z } from 'zod';
import { restClient, RestError } from './rest.js';

/**
 * A working administrator's key of the platform: the one this installation knows already, or a new one. It is the only thing
 * that is written past the api, because nobody can ask the api for the first key.
 */
export async function ensureAdminKey(
  environment: NodeJS.ProcessEnv,
  api: string,
  known: string | undefined,
): Promise<string> {
  return known !== undefined && (await works(api, known)) ? known : makeKey(environment);
}

/** In a process of its own: the database client it takes would stay with the supervisor as 60 MB for ever. */
function makeKey(environment: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, 'make-admin-key.js'), { env: environment });
    child.once('message', (key) => resolve(z.string().parse(key)));
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new Error(`no administrator's key could be made (exit code ${code})`)),
    );
  });
}

/** False for a key that was revoked, or that belongs to another database. */
async function works(api: string, key: string): Promise<boolean> {
  try {
    await restClient(api, key).find('/v1/tenants?limit=1');
    return true;
  } catch (error) {
    if (error instanceof RestError && error.status === 401) return false;
    throw error;
  }
}
