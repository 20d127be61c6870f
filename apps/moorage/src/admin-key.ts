import { createApiKey, makeApiKey, openControlStore } from '#store';
import { restClient, RestError } from './rest.js';

/**
 * A working administrator's key of the platform: the one this installation knows already, or a new one. It is the only thing
 * that is written past the api, because nobody can ask the api for the first key.
 */
export async function ensureAdminKey(
  appUrl: string,
  secretKey: Buffer,
  api: string,
  known: string | undefined,
): Promise<string> {
  if (known !== undefined && (await works(api, known))) return known;
  const made = makeApiKey(secretKey);
  const store = openControlStore({ url: appUrl, poolSize: 1 });
  try {
    await store.platform((tx) =>
      createApiKey(tx, { name: 'first administrator', role: 'admin', expiresAt: null, made }),
    );
  } finally {
    await store.close();
  }
  return made.key;
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
