import { endServer } from './test-servers.js';

export default async function tearDown() {
  const directory = process.env['TEST_POSTGRES_DIR'];
  if (directory !== undefined) await endServer(directory);
}
