/**
 * `npm run bench storm [-- --conns 10000 --chosen 500 --concurrency 256]`: a fleet reconnects, each device by a credential of its
 * own: with a generated password, and a part of it with chosen ones, which the broker has verified before, as after an outage of
 * the network. Wanted: the 99th percentile of the broker's event-loop delay under 50 ms.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { Client } from 'pg';

import { generateSecret, hashPassword, hashSecret } from '#access';

import { show } from './support/figures.js';
import { load, machine } from './support/machine.js';
import { startProduct, type Product } from './support/product.js';
import { type Connection, type Door, openAll, signIn } from './support/wire.js';

const { values } = parseArgs({
  options: {
    conns: { type: 'string', default: '10000' },
    chosen: { type: 'string', default: '500' },
    concurrency: { type: 'string', default: '256' },
    dir: { type: 'string', default: '.' },
  },
});

interface Account {
  readonly name: string;
  readonly password: string;
}

/** Prometheus' client measures it from one reading to the next. */
const delay = 'nodejs_eventloop_lag_p99_seconds{app="broker"}';
const chosenPassword = 'Ein Pferd frisst keinen Gurkensalat';

console.log(`${machine()}; load average ${load()}`);
const count = Number(values.conns);
const chosen = Number(values.chosen);
const product = await startProduct(values.dir, { maxConnections: 2 * count });
try {
  const accounts = await enrol(product);
  await storm('first, all with generated passwords', accounts.slice(chosen));
  await storm(`first, ${chosen} with chosen passwords`, accounts.slice(0, chosen));
  await storm(`all ${count} again, ${chosen} of them with chosen passwords`, accounts);
} finally {
  await product.stop();
}

/** Rows as the api writes them: asking it for each would be most of the time this takes. */
async function enrol({ superuserUrl, dataDir, bootstrap }: Product): Promise<readonly Account[]> {
  const key = Buffer.from((await readFile(join(dataDir, 'secret.key'), 'utf8')).trim(), 'base64url');
  const hashed = await hashPassword(key, chosenPassword);
  const accounts = Array.from({ length: count }, (_, i) => ({
    name: `storm-${i}`,
    password: i < chosen ? chosenPassword : generateSecret(),
  }));
  const client = new Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    await client.query(
      `WITH made AS (
         INSERT INTO devices (tenant_id, name, profile_id)
         SELECT t.id, asked.name, (SELECT id FROM profiles p WHERE p.tenant_id = t.id ORDER BY id LIMIT 1)
           FROM tenants t, unnest($2::text[]) AS asked (name) WHERE t.slug = $1
         RETURNING tenant_id, id, name)
       INSERT INTO credentials (tenant_id, device_id, auth_id, secret_hash, password_hash)
       SELECT made.tenant_id, made.id, made.name, asked.secret_hash, asked.password_hash
         FROM made JOIN unnest($2::text[], $3::bytea[], $4::text[]) AS asked (name, secret_hash, password_hash)
           ON asked.name = made.name`,
      [
        bootstrap.tenant,
        accounts.map(({ name }) => name),
        accounts.map(({ password }, i) => (i < chosen ? null : hashSecret(key, password))),
        accounts.map((_, i) => (i < chosen ? hashed : null)),
      ],
    );
    await client.query('ANALYZE devices, credentials');
  } finally {
    await client.end();
  }
  return accounts;
}

async function storm(what: string, accounts: readonly Account[]): Promise<void> {
  await product.metric(delay);
  const from = performance.now();
  const times: number[] = [];
  let refused = 0;
  const open = async (index: number): Promise<Connection | undefined> => {
    const { name, password } = accounts[index] ?? { name: '', password: '' };
    const door: Door = {
      port: product.bootstrap.mqtt.port,
      username: `${name}@${product.bootstrap.tenant}`,
      password,
    };
    // As a device does that is told "busy": again.
    for (;;) {
      const asked = performance.now();
      try {
        const connection = await signIn(door, { clientId: name });
        times.push(performance.now() - asked);
        return connection;
      } catch {
        refused += 1;
      }
    }
  };
  const connections = await openAll(accounts.length, Number(values.concurrency), open);
  const seconds = (performance.now() - from) / 1_000;
  const p99 = 1_000 * (await product.metric(delay));
  times.sort((a, b) => a - b);
  const slow = times[Math.floor(times.length * 0.99)] ?? NaN;
  console.log(
    `${what}: ${show(accounts.length / seconds)} sign-ins/s, p99 ${show(slow)} ms, ${refused} refused and tried again; event-loop delay p99 ${p99.toFixed(1)} ms${p99 < 50 ? '' : ': MORE THAN WANTED'}`,
  );
  for (const connection of connections) connection?.end();
}
