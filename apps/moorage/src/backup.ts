/** `npm run backup -- FILE`: the whole installation in one file, beside a running product or without one. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadSecretKey, readSettings, type Settings } from '#process';
import { backUp, withEmbedded } from '#store';
import { fileNamed, mustBeEmbedded, runCommand } from './backup-command.js';

await runCommand('back up', async (name) => {
  const settings = readSettings();
  mustBeEmbedded(settings, 'pg_dump');
  const file = fileNamed(name);
  const { tables, kept } = await withEmbedded(settings.dataDir, async (url) => {
    const files = await filesOf(settings);
    const secretKey = await loadSecretKey(settings);
    return { tables: await backUp({ url, file, secretKey, files }), kept: Object.keys(files) };
  });
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  const further = kept.length === 0 ? '' : `, ${kept.join(', ')}`;
  return `${file} holds ${rows} rows of ${tables.length} tables${further}. Whoever has it has the secrets in it: keep it safe.`;
});

/** What the rows are worth nothing without. A key that the operator keeps elsewhere stays there. */
async function filesOf({ dataDir, secretKey }: Settings): Promise<Record<string, Buffer>> {
  const tls = await readdir(join(dataDir, 'tls')).catch(() => []);
  const names = tls.filter((name) => /\.(crt|key)$/.test(name)).map((name) => `tls/${name}`);
  if (secretKey === undefined) names.unshift('secret.key');
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(dataDir, name))] as const)),
  );
}
