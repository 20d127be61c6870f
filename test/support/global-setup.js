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
  // A run of the tests decides about a change, so what is drawn by lot is drawn alike each time. Who asks for more (`npm run fuzz`,
  // HISTORIES) searches, and has it drawn anew.
  if (process.env['FUZZ_PACKETS'] === undefined) process.env['FUZZ_SEED'] ??= '20261122';
  if (process.env['HISTORIES'] === undefined) process.env['HISTORIES_SEED'] ??= '20261122';
  process.env['CRASH_SEED'] ??= '20261122';
}
