/** Makes an administrator's key of the platform, says it to the process that started this one, and ends. */
import { loadSecretKey, readSettings } from '#process';
import { createApiKey, makeApiKey, openControlStore } from '#store';

const settings = readSettings();
if (settings.databaseUrl === undefined) throw new Error('DATABASE_URL is needed here');
const made = makeApiKey(await loadSecretKey(settings));
const store = openControlStore({ url: settings.databaseUrl.reveal(), poolSize: 1 });
try {
  await store.platform((tx) =>
    createApiKey(tx, { name: 'first administrator', role: 'admin', expiresAt: null, made }),
  );
} finally {
  await store.close();
}
process.send?.(made.key);
