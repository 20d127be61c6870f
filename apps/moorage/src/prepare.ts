/**
 * What has to be there before api and broker start by themselves: the roles and tables, a first administrator's key and, where
 * no certificate is given, one of a development CA. Runs with the rights of DATABASE_URL, to its end, and again at each
 * upgrade. The key goes to `<data dir>/admin.key`, mode 0600, once.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLogger, loadSecretKey, readSettings } from '#process';
import { countPlatformKeys, createApiKey, makeApiKey, migrate, openControlStore } from '#store';
import { ensureDevelopmentCertificates } from './certificates.js';
import { certificateNames } from './endpoints.js';

const settings = readSettings();
const log = createLogger('prepare', settings.logLevel);
try {
  if (settings.databaseUrl === undefined) throw new Error('DATABASE_URL is needed here');
  const secretKey = await loadSecretKey(settings);
  if (!settings.tlsIsGiven)
    await ensureDevelopmentCertificates(settings.dataDir, certificateNames(settings.bind));
  const { appUrl } = await migrate({
    url: settings.databaseUrl.reveal(),
    secretKey,
    onApplied: (migration) => log.info('database.migrated', { migration }),
  });
  const isNew = await ensureSomeAdministrator(appUrl, secretKey, join(settings.dataDir, 'admin.key'));
  log.info('prepared', { administrator: isNew ? 'made, see admin.key in the data directory' : 'there' });
} catch (err) {
  log.error('prepare.failed', { err });
  process.exitCode = 1;
}

async function ensureSomeAdministrator(appUrl: string, secretKey: Buffer, file: string): Promise<boolean> {
  const store = openControlStore({ url: appUrl, poolSize: 1 });
  try {
    return await store.platform(async (tx) => {
      if ((await countPlatformKeys(tx)).working > 0) return false;
      const made = makeApiKey(secretKey);
      await createApiKey(tx, { name: 'first administrator', role: 'admin', expiresAt: null, made });
      // Within the transaction: a key that nobody could read is not made.
      await writeFile(file, `${made.key}\n`, { mode: 0o600, flush: true });
      return true;
    });
  } finally {
    await store.close();
  }
}
