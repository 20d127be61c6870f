import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import type {
  ClaimedSession,
  ClientId,
  Message,
  Principal,
  QueueEntry,
  SessionKey,
  Stored,
  TenantId,
} from '#mqtt';

import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { eventually } from '../../../test/support/product.js';
import { type BrokerStore, type BrokerStoreOptions, openBrokerStore } from './broker-store.js';
import { startEmbeddedPostgres } from '../database/embedded-postgres.js';
import { migrate } from '../database/migrate.js';

let database: TestDatabase;
let superuser: Client;
const stores: BrokerStore[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  superuser = new Client({ connectionString: database.superuserUrl });
  await superuser.connect();
});

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

afterAll(async () => {
  await superuser.end();
  await database.drop();
});

async function open(options: Partial<BrokerStoreOptions> = {}): Promise<BrokerStore> {
  const store = await openBrokerStore({
    url: database.brokerUrl,
    processId: randomUUID(),
    onLeaseLost: () => undefined,
    ...options,
  });
  stores.push(store);
  return store;
}

function newPrincipal(clientId = 'alice'): Principal {
  return {
    tenantId: randomUUID() as TenantId,
    deviceId: randomUUID(),
    credentialId: randomUUID(),
    username: clientId,
    clientId: clientId as ClientId,
  };
}

function message(topic: string, payload: string | Buffer = '{"t":1}'): Message {
  return {
    topic,
    payload: Buffer.from(payload),
    qos: 1,
    retain: false,
    properties: undefined,
    publisher: 'p' as ClientId,
    receivedAt: 1_790_000_000_000,
    expiresAt: undefined,
  };
}

function keyOf({ principal, epoch, clientId }: ClaimedSession): SessionKey {
  return { tenantId: principal.tenantId, clientId, epoch };
}

function entry(session: SessionKey, sequence: number): QueueEntry {
  return { session, sequence, qos: 1, retain: false, subscriptionIds: [] };
}

function done(write: (stored: Stored) => void): Promise<void> {
  return new Promise((resolve, reject) => write((error) => (error ? reject(error) : resolve())));
}

function record(store: BrokerStore, principal: Principal, topic: string, payload?: string): Promise<void> {
  return done((stored) => store.journal.telemetry({ principal, message: message(topic, payload) }, stored));
}

async function count(table: string, tenantId: TenantId, where = 'true', client = superuser): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${table} WHERE tenant_id = $1 AND ${where}`,
    [tenantId],
  );
  return rows[0]!.count;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** The server processes that serve writers. */
async function writersOf(url: string): Promise<number[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE application_name = 'moorage-broker-writer'`,
  );
  await client.end();
  return rows.map(({ pid }) => pid);
}

/** Stands between the writer and PostgreSQL, and loses the connection at the worst moment. */
class CuttingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What becomes of the next COMMIT: it arrives and its answer does not, or it does not arrive. */
  next: 'lose the answer' | 'lose the commit' | undefined;
  cuts = 0;

  constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1');
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      let silent = false;
      client.on('data', (chunk) => {
        if (this.next === undefined || !/commit\0/.test(chunk.toString('latin1')))
          return upstream.write(chunk);
        this.cuts += 1;
        silent = this.next === 'lose the answer';
        this.next = undefined;
        if (silent) return upstream.write(chunk);
        return client.destroy();
      });
      upstream.on('data', (chunk) => {
        if (!silent) return client.write(chunk);
        // PostgreSQL says that it is done: then nobody hears it.
        if (chunk.includes('COMMIT\0')) client.destroy();
        return false;
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function throughPort(url: string, port: number): string {
  const changed = new URL(url);
  changed.port = String(port);
  return changed.href;
}

describe('a commit whose answer is lost', () => {
  it.each(['lose the answer', 'lose the commit'] as const)('is written once: %s', async (fault) => {
    const proxy = new CuttingProxy(Number(new URL(database.brokerUrl).port));
    const store = await open({ url: throughPort(database.brokerUrl, await proxy.listen()) });
    const principal = newPrincipal();
    const session = keyOf(await store.vault.claim(principal, 100, 60, false));
    await record(store, principal, 'before');
    for (let i = 1; i <= 3; i++) {
      proxy.next = fault;
      const writes = [
        record(store, principal, `reading/${i}`),
        done((stored) => store.vault.append(message('queued'), [entry(session, i)], undefined, stored)),
        record(store, principal, `reading/${i}/b`),
      ];
      await Promise.all(writes);
    }
    expect(proxy.cuts).toBe(3);
    expect(await count('telemetry', principal.tenantId)).toBe(7);
    expect(await count('queued_messages', principal.tenantId)).toBe(3);
    await store.close();
    await proxy.close();
  });

  it('lets nobody wait for a claim, and the next claim succeeds', async () => {
    const proxy = new CuttingProxy(Number(new URL(database.brokerUrl).port));
    const store = await open({ url: throughPort(database.brokerUrl, await proxy.listen()) });
    const principal = newPrincipal();
    await store.vault.claim(principal, 100, 60, false);
    proxy.next = 'lose the answer';
    await store.vault.claim(principal, 200, 60, false).catch((error: unknown) => error);
    await store.drain();
    expect((await store.vault.claim(principal, 300, 60, false)).epoch).toBe(300);
    await store.close();
    await proxy.close();
  });
});

describe('a row that PostgreSQL refuses', () => {
  it('fails alone, and everything around it is stored in order', async () => {
    await superuser.query(
      `ALTER TABLE telemetry ADD CONSTRAINT test_poison CHECK (topic <> 'poison' AND (topic <> 'json' OR body IS NULL))`,
    );
    const store = await open();
    const principal = newPrincipal();
    const session = keyOf(await store.vault.claim(principal, 100, 60, false));
    const outcomes: string[] = [];
    const note = (name: string) => (error?: Error) =>
      outcomes.push(error ? `${name}: ${String(Reflect.get(error, 'code'))}` : name);
    const reading = (topic: string) =>
      store.journal.telemetry({ principal, message: message(topic) }, note(topic));
    for (let i = 0; i < 20; i++) reading(`a${i}`);
    reading('poison');
    store.vault.append(message('q'), [entry(session, 1)], undefined, note('append'));
    reading('json');
    store.journal.telemetry(
      { principal: { ...principal, deviceId: 'no uuid' }, message: message('x') },
      note('no uuid'),
    );
    store.vault.settle(session, [1]);
    reading('last');
    await store.drain();
    await superuser.query('ALTER TABLE telemetry DROP CONSTRAINT test_poison');
    expect(outcomes).toEqual([
      ...Array.from({ length: 20 }, (_, i) => `a${i}`),
      'poison: vault.refused',
      'append',
      'json',
      'no uuid: vault.refused',
      'last',
    ]);
    expect(await count('telemetry', principal.tenantId)).toBe(22);
    expect(await count('telemetry', principal.tenantId, `topic = 'json' AND raw IS NOT NULL`)).toBe(1);
    expect(await count('queued_messages', principal.tenantId)).toBe(0);
    expect(store.stats.refused).toBe(2);
  });
});

describe('what is written and undone', () => {
  it('in one batch never reaches the tables, but its sequences are used up', async () => {
    const store = await open();
    const principal = newPrincipal();
    const session = keyOf(await store.vault.claim(principal, 100, 60, false));
    const before = store.stats.batches;
    for (let i = 1; i <= 100; i++)
      store.vault.append(message('q'), [entry(session, i)], undefined, () => undefined);
    store.vault.settle(
      session,
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
    store.vault.retain(principal.tenantId, message('r'), () => undefined);
    store.vault.retain(principal.tenantId, message('r', ''), () => undefined);
    await store.drain();
    expect(store.stats.batches).toBe(before + 1);
    expect(await count('queue_entries', principal.tenantId)).toBe(0);
    expect(await count('queued_messages', principal.tenantId)).toBe(0);
    expect(await count('retained_messages', principal.tenantId)).toBe(0);
    expect((await store.vault.claim(principal, 200, 60, false)).nextSequence).toBe(101);
  });

  it('leaves no message behind once its last entry is settled, removed or started afresh', async () => {
    const store = await open();
    const { tenantId } = newPrincipal();
    const principals = ['a', 'b', 'c'].map((clientId) => ({ ...newPrincipal(clientId), tenantId }));
    const sessions = await Promise.all(
      principals.map(async (principal) => keyOf(await store.vault.claim(principal, 100, 60, false))),
    );
    const [a, b, c] = sessions as [SessionKey, SessionKey, SessionKey];
    for (let i = 1; i <= 50; i++)
      store.vault.append(
        message('q'),
        sessions.map((session) => entry(session, i)),
        undefined,
        () => undefined,
      );
    await store.drain();
    expect(await count('queued_messages', tenantId)).toBe(50);
    store.vault.settle(
      a,
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
    await store.drain();
    expect(await count('queued_messages', tenantId)).toBe(50);
    store.vault.settle(
      b,
      Array.from({ length: 25 }, (_, i) => i + 1),
    );
    store.vault.remove(c);
    await store.drain();
    expect(await count('queued_messages', tenantId)).toBe(25);
    await store.vault.claim(principals[1]!, 200, 60, true);
    expect(await count('queued_messages', tenantId)).toBe(0);
    expect(await count('queue_entries', tenantId)).toBe(0);
  });
});

describe('clients that come and go', () => {
  const presence = (store: BrokerStore, principal: Principal, epoch: number): void =>
    store.journal.presence({
      principal,
      epoch,
      state: 'online',
      cause: 'connected',
      at: 1_790_000_000_000 + epoch,
      detail: {},
      will: undefined,
    });

  // They are gathered for 100 ms. A machine that does something else for so long makes two batches of them: then it is tried again.
  it('within a few milliseconds are written together', async () => {
    const store = await open();
    const batchesOfTwo = async (): Promise<number> => {
      const { batches } = store.stats;
      const principal = newPrincipal();
      presence(store, principal, 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      presence(store, principal, 2);
      await until(() => store.stats.waiting === 0);
      expect(await count('presence_events', principal.tenantId)).toBe(2);
      return store.stats.batches - batches;
    };
    expect(await eventually(batchesOfTwo, (batches) => batches === 1)).toBe(1);
  });

  it('hold up nothing else that is to be written, and go with it', async () => {
    const store = await open();
    await record(store, newPrincipal(), 'warm/up');
    const batchesWithReading = async (): Promise<number> => {
      const { batches } = store.stats;
      const principal = newPrincipal();
      presence(store, principal, 1);
      await new Promise((resolve) => setImmediate(resolve));
      await record(store, principal, 'a/reading');
      expect(await count('presence_events', principal.tenantId)).toBe(1);
      return store.stats.batches - batches;
    };
    expect(await eventually(batchesWithReading, (batches) => batches === 1)).toBe(1);
  });

  it('are written before the store closes', async () => {
    const store = await open();
    const principal = newPrincipal();
    presence(store, principal, 1);
    await store.drain();
    expect(await count('presence', principal.tenantId)).toBe(1);
  });
});

describe('reading', () => {
  it('sees what was written before it, and is not held up by what is written meanwhile', async () => {
    const store = await open();
    const principal = newPrincipal();
    const session = keyOf(await store.vault.claim(principal, 100, 60, false));
    let going = true;
    const publish = (): void => {
      if (going) store.journal.telemetry({ principal, message: message('t') }, publish);
    };
    for (let i = 0; i < 10; i++) publish();
    for (let i = 1; i <= 5; i++) {
      store.vault.append(message('q'), [entry(session, i)], undefined, () => undefined);
      expect(await store.vault.read(session, 1, 100, 1e6)).toHaveLength(i);
    }
    going = false;
    await store.drain();
  });
});

describe('a process that was given up', () => {
  it('found dead by one that runs is made known to it', async () => {
    // Long enough for this machine to stand still in; a third of it is the time between two looks.
    const survivor = await open({ leaseMs: 3_000 });
    const lost = new Promise<void>((resolve) => survivor.onProcessLost(resolve));
    const processId = randomUUID();
    await open({ processId });
    await superuser.query(`UPDATE broker_processes SET lease_until = now() - interval '1 s' WHERE id = $1`, [
      processId,
    ]);
    await lost;
    const { rowCount } = await superuser.query('SELECT FROM broker_processes WHERE id = $1', [processId]);
    expect(rowCount).toBe(0);
  });

  it('is told, writes nothing more, and its clients count as gone', async () => {
    let told = 0;
    const processId = randomUUID();
    const store = await open({ processId, onLeaseLost: () => (told += 1) });
    const principal = newPrincipal();
    await store.vault.claim(principal, 100, 60, false);
    store.journal.presence({
      principal,
      epoch: 100,
      state: 'online',
      cause: 'connected',
      at: Date.now(),
      detail: { transport: 'tcp' },
      will: undefined,
    });
    const will = { topic: 'gone', payload: Buffer.from('farewell'), qos: 1, retain: false } as const;
    store.vault.keepWill(
      principal,
      100,
      { ...will, properties: undefined, delayS: 0, messageExpiryS: undefined },
      undefined,
    );
    await store.drain();
    await superuser.query(`UPDATE broker_processes SET lease_until = now() - interval '1 s' WHERE id = $1`, [
      processId,
    ]);
    const successor = await open();
    await expect(record(store, principal, 'late')).rejects.toMatchObject({ code: 'vault.lease-lost' });
    await expect(record(store, principal, 'later')).rejects.toMatchObject({ code: 'vault.lease-lost' });
    await expect(store.check()).rejects.toMatchObject({ code: 'vault.lease-lost' });
    expect(told).toBe(1);
    expect(await count('telemetry', principal.tenantId)).toBe(0);
    for (const table of ['presence', 'presence_events']) {
      const { rows } = await superuser.query(
        `SELECT state, detail, will FROM ${table} WHERE tenant_id = $1 AND cause = 'presumed'`,
        [principal.tenantId],
      );
      const detail = { transport: 'tcp', willTopic: 'gone' };
      expect(rows).toEqual([{ state: 'offline', detail, will: will.payload }]);
    }
    expect(await successor.vault.tenantsWithWork()).toContain(principal.tenantId);
  });

  it('leaves each will to one of those that survive it', async () => {
    const processId = randomUUID();
    const [lost, one, another] = [await open({ processId }), await open(), await open()];
    const tenantId = randomUUID() as TenantId;
    const will = { topic: 'gone', payload: Buffer.from('x'), qos: 1, retain: false } as const;
    const kept = { ...will, properties: undefined, delayS: 0, messageExpiryS: undefined };
    for (let i = 0; i < 50; i++)
      lost.vault.keepWill({ ...newPrincipal(`client ${i}`), tenantId }, 100, kept, undefined);
    await lost.drain();
    await superuser.query('DELETE FROM broker_processes WHERE id = $1', [processId]);
    const states = await Promise.all([one, another].map(({ vault }) => vault.open(tenantId)));
    const clients = states.flatMap(({ wills }) => wills.map(({ principal }) => principal.clientId));
    expect(clients).toHaveLength(50);
    expect(new Set(clients).size).toBe(50);
    // The last of them waits for its delay: that is its process's alone.
    const [waiting] = states.flatMap(({ wills }, i) => wills.map((stored) => ({ i, stored })));
    const [owner, other] = waiting!.i === 0 ? [one, another] : [another, one];
    await done((stored) =>
      owner.vault.keepWill(waiting!.stored.principal, 100, kept, Date.now() + 60_000, stored),
    );
    expect((await other.vault.open(tenantId)).wills).toEqual([]);
    expect((await owner.vault.open(tenantId)).wills).toHaveLength(1);
  });

  it('is not one that lives, however many start beside it', async () => {
    const store = await open();
    const principal = newPrincipal();
    await store.vault.claim(principal, 100, 60, false);
    const other = await open();
    expect(await other.vault.tenantsWithWork()).not.toContain(principal.tenantId);
    await record(store, principal, 'still here');
    expect(store.lease.isLost).toBe(false);
  });
});

describe('PostgreSQL', () => {
  it('stopped, frozen and started again: nothing is acknowledged that is not stored, nothing grows, all resumes', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'moorage-writer-'));
    let postgres = await startEmbeddedPostgres({ dataDir, settings: { shared_buffers: '32MB' } });
    const { port } = postgres;
    const { brokerUrl } = await migrate({ url: postgres.url, secretKey: Buffer.alloc(32, 'k') });
    let lost = 0;
    const store = await open({ url: brokerUrl, maxWaiting: 200, onLeaseLost: () => (lost += 1) });
    const principal = newPrincipal();

    // One who publishes as fast as he may, and pauses when he is asked to.
    const acknowledged = new Set<string>();
    let sent = 0;
    let mostWaiting = 0;
    let going = true;
    const publish = (): void => {
      if (!going) return;
      while (!store.vault.isFull) {
        const topic = `t/${sent++}`;
        store.journal.telemetry({ principal, message: message(topic) }, (error) => {
          if (!error) acknowledged.add(topic);
        });
        mostWaiting = Math.max(mostWaiting, store.stats.waiting);
      }
      store.vault.whenReady(publish);
    };
    publish();
    const progress = async () => {
      const before = acknowledged.size;
      await until(() => acknowledged.size > before + 500);
    };
    await progress();

    const backends = await writersOf(postgres.url);
    for (const pid of backends) process.kill(pid, 'SIGSTOP');
    await until(() => store.vault.isFull);
    const whileFrozen = acknowledged.size;
    for (const pid of backends) process.kill(pid, 'SIGCONT');
    await progress();
    expect(acknowledged.size).toBeGreaterThan(whileFrozen);

    await postgres.stop();
    await until(() => store.vault.isFull && store.isDown);
    await expect(store.vault.claim(principal, 1, 60, false)).rejects.toMatchObject({
      code: 'vault.unavailable',
    });
    await expect(store.check()).rejects.toBeInstanceOf(Error);
    const whileDown = acknowledged.size;
    postgres = await startEmbeddedPostgres({ dataDir, port });
    await progress();
    expect(acknowledged.size).toBeGreaterThan(whileDown);

    going = false;
    await store.drain();
    expect((await store.vault.claim(principal, 1, 60, false)).epoch).toBe(1);
    const client = new Client({ connectionString: postgres.url });
    await client.connect();
    expect(await count('telemetry', principal.tenantId, 'true', client)).toBe(sent);
    await client.end();
    expect(acknowledged.size).toBe(sent);
    expect(mostWaiting).toBeLessThanOrEqual(200);
    expect(lost).toBe(0);
    await store.close();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  });
});
