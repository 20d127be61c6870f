// Before all tests: a directory for the PostgreSQL that the first test to need one starts (postgres.ts), and an end to those of
// earlier runs that were killed. Starting the server here would make the tests of pure parts wait for it.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endAbandonedServers } from './test-servers.js';

export default async function setUp() {
  await endAbandonedServers();
  // Not MOORAGE_…: processes under test inherit it, and refuse settings they do not know.
  process.env['TEST_POSTGRES_DIR'] = mkdtempSync(join(tmpdir(), `moorage-test-${process.pid}-`));
}
