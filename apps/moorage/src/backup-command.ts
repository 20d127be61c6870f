/** What `npm run backup` and `npm run restore` have in common: one file name, one line of result, one line of error. */
import { resolve } from 'node:path';
import { ConfigError, type Settings } from '#process';
import { BackupError, EmbeddedPostgresError, MigrationError } from '#store';

export async function runCommand(what: string, work: (file: string) => Promise<string>): Promise<void> {
  const [file, ...more] = process.argv.slice(2);
  try {
    if (file === undefined || more.length > 0)
      throw new BackupError('backup.usage', 'name one file: npm run backup -- FILE, npm run restore -- FILE');
    console.log(await work(file));
  } catch (error) {
    process.exitCode = 1;
    const isForPeople =
      error instanceof BackupError ||
      error instanceof ConfigError ||
      error instanceof EmbeddedPostgresError ||
      error instanceof MigrationError;
    console.error(isForPeople ? `Moorage cannot ${what}: ${error.message} [${error.code}]` : error);
  }
}

/** As seen from where the command was given: npm runs it in the project's folder. */
export function fileNamed(name: string): string {
  return resolve(process.env['INIT_CWD'] ?? '.', name);
}

export function mustBeEmbedded({ databaseUrl }: Settings, tool: string): void {
  if (databaseUrl === undefined) return;
  throw new BackupError(
    'backup.external',
    `DATABASE_URL names an external PostgreSQL: back it up and restore it by its own means (${tool}), and keep the secret key with it`,
  );
}
