/**
 * Starts the api or the broker alone, e.g. in a container: `as-role.js api`. DATABASE_URL names the server and the database;
 * the role of that process and its password, which derives from the installation's key, are filled in here, so that no
 * process holds more rights than its own and nobody has to write database passwords down.
 */
import { loadSecretKey, readSettings } from '#process';
import { roleUrl } from '#store';

const [name] = process.argv.slice(2);
const settings = readSettings();
if (settings.databaseUrl === undefined || (name !== 'api' && name !== 'broker')) {
  console.error('usage: DATABASE_URL=postgresql://host/database as-role.js api|broker');
  process.exit(2);
}
const role = name === 'api' ? 'moorage_app' : 'moorage_broker';
process.env['DATABASE_URL'] = roleUrl(settings.databaseUrl.reveal(), role, await loadSecretKey(settings));
await import(new URL(`../../${name}/src/main.js`, import.meta.url).href);
