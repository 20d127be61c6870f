// Prints the SQL that takes a database to schema.prisma: what a new migration begins with. The database must have all migrations
// applied, so that the difference is the schema's alone.
//
//   node prisma/diff.js DATABASE_URL [schema file]
//
// This is what `prisma migrate diff` does, by the same engine; only that the CLI wants to download a native one first.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils';
import * as engine from '@prisma/schema-engine-wasm/schema_engine_bg';
import { Pool } from 'pg';

const [url, schemaFile = 'prisma/schema.prisma'] = process.argv.slice(2);
if (url === undefined) {
  process.stderr.write('usage: node prisma/diff.js DATABASE_URL [schema file]\n');
  process.exit(2);
}

const charType = 18;
const textType = 25;
const charColumns = new WeakMap();

/**
 * PostgreSQL's catalog is full of its one-byte type "char", which Prisma's adapter refuses. It gets a text instead, and the engine,
 * which expects a character, is told so afterwards.
 */
class CatalogPool extends Pool {
  async query(...query) {
    const result = await super.query(...query);
    const columns = result.fields.flatMap((field, index) => (field.dataTypeID === charType ? [index] : []));
    for (const index of columns) result.fields[index].dataTypeID = textType;
    charColumns.set(result.rows, columns);
    return result;
  }
}

class CatalogAdapter extends PrismaPg {
  async connect() {
    const adapter = await super.connect();
    const queryRaw = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (query) => {
      const result = await queryRaw(query);
      for (const index of charColumns.get(result.rows) ?? []) result.columnTypes[index] = ColumnTypeEnum.Character;
      return result;
    };
    return adapter;
  }
}

startEngine();
const schema = readFileSync(schemaFile, 'utf8');
const files = [{ path: schemaFile, content: schema }];
const differ = await engine.SchemaEngine.new(
  { datamodels: [[schemaFile, schema]] },
  () => undefined,
  bindMigrationAwareSqlAdapterFactory(new CatalogAdapter(new CatalogPool({ connectionString: url }))),
);
const { stdout } = await differ.diff({
  from: { tag: 'schemaDatasource', files, configDir: dirname(schemaFile) },
  to: { tag: 'schemaDatamodel', files },
  script: true,
  exitCode: null,
  // The book of the migrations is no part of the schema.
  filters: { externalTables: ['public._prisma_migrations'], externalEnums: [] },
});
process.stdout.write(stdout ?? '', () => process.exit(0)); // the engine keeps its connection

/** As the package's own entry does, which imports a .wasm file. */
function startEngine() {
  const file = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg');
  const wasm = new WebAssembly.Module(readFileSync(file.replace(/\.js$/, '.wasm')));
  const { exports } = new WebAssembly.Instance(wasm, { './schema_engine_bg.js': engine });
  engine.__wbg_set_wasm(exports);
  exports.__wbindgen_start();
}
