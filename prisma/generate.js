// Generates the Prisma client into libs/store/generated when the schema is newer than it. Generating needs no schema engine,
// but the CLI asks for one and would download it: any program stands in.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const stamp = 'libs/store/generated/.schema-hash';
const version = JSON.parse(readFileSync('node_modules/prisma/package.json', 'utf8')).version;
const hash = createHash('sha256').update(readFileSync('prisma/schema.prisma')).update(version).digest('hex');

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== hash) {
  execFileSync(process.execPath, ['node_modules/prisma/build/index.js', 'generate'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1',
    },
  });
  writeFileSync(stamp, hash);
}
