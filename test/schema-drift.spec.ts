/** schema.prisma and the migrations say the same: what the one would make of a database, the others have made. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from './support/postgres.js';

const root = join(import.meta.dirname, '..');
const schemaFile = join(root, 'prisma', 'schema.prisma');

describe('schema.prisma', () => {
  let database: TestDatabase;
  let directory: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await mkdtemp(join(tmpdir(), 'moorage-schema-'));
  });

  afterAll(async () => {
    await database.drop();
    await rm(directory, { recursive: true });
  });

  async function difference(schema: string): Promise<string> {
    const program = join(root, 'prisma', 'diff.js');
    const { stdout } = await promisify(execFile)(process.execPath, [program, database.superuserUrl, schema], {
      cwd: root,
    });
    return stdout;
  }

  it('is what the migrations make', async () => {
    expect((await difference(schemaFile)).trim()).toBe('-- This is an empty migration.');
  });

  it('would be found to differ by one column', async () => {
    const changed = join(directory, 'schema.prisma');
    const schema = await readFile(schemaFile, 'utf8');
    await writeFile(changed, schema.replace('model Group {', 'model Group {\n  colour String?\n'));
    expect(await difference(changed)).toContain('ALTER TABLE "groups" ADD COLUMN     "colour" TEXT');
  });
});
