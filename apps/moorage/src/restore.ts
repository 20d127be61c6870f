/** `npm run restore -- FILE`: a back-up into an empty data directory. */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { loadSecretKey, readSettings } from '#process';
import { BackupError, restore, startEmbeddedPostgres, verifyBackup, type BackupHeader } from '#store';
import { fileNamed, mustBeEmbedded, runCommand } from './backup-command.js';
import { shellWord } from './shell-word.js';

await runCommand('restore', async (name) => {
  const settings = readSettings();
  const { dataDir } = settings;
  mustBeEmbedded(settings, 'pg_restore');
  const file = fileNamed(name);
  await mustBeEmpty(dataDir);
  const header = await verifyBackup(file);
  // The database moves to its place when it is whole: what a crash leaves is no product, but a directory that is not empty.
  const draft = join(dataDir, 'restoring');
  await mkdir(draft, { recursive: true, mode: 0o700 });
  try {
    await writeFiles(draft, header, settings.secretKey !== undefined);
    const secretKey = await loadSecretKey({ ...settings, dataDir: draft });
    const server = await startEmbeddedPostgres({ dataDir: draft });
    let tables;
    try {
      tables = await restore({ url: server.url, file, header, secretKey });
    } finally {
      await server.stop();
    }
    for (const entry of ['secret.key', 'tls', 'postgres.password', 'postgres'])
      await rename(join(draft, entry), join(dataDir, entry)).catch((error: unknown) => {
        if (Reflect.get(Object(error), 'code') !== 'ENOENT') throw error;
      });
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    return `${dataDir} holds ${rows} rows of ${tables.length} tables, each compared with the back-up of ${header.madeAt}. Start it: MOORAGE_DATA_DIR=${shellWord(dataDir)} npm start`;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
});

async function mustBeEmpty(dataDir: string): Promise<void> {
  const entries = await readdir(dataDir).catch(() => []);
  if (entries.length === 0) return;
  throw new BackupError(
    'backup.not-empty',
    `${dataDir} is not empty (${entries.slice(0, 3).join(', ')} …): set MOORAGE_DATA_DIR to an empty or new directory, or move this one away`,
  );
}

async function writeFiles(directory: string, { files }: BackupHeader, keyIsGiven: boolean): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    if (!/^(secret\.key|tls\/[\w.-]+)$/.test(name) || normalize(name) !== name)
      throw new BackupError('backup.unreadable', `it holds a file that does not belong in it: ${name}`);
    // The operator keeps the key elsewhere.
    if (name === 'secret.key' && keyIsGiven) continue;
    const file = join(directory, name);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, Buffer.from(content, 'base64'), { mode: 0o600, flush: true });
  }
}
