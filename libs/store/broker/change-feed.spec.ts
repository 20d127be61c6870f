import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { ChangeFeed, type Change, type ChangeFeedOptions } from './change-feed.js';
import { readReceipts, recordChange } from '../control/changes.js';
import { openControlStore, type ControlStore } from '../control/control-store.js';

const nothing = {
  sessionsTouched: 0,
  subscriptionsRemoved: 0,
  connectionsClosed: 0,
  willsSuppressed: 0,
  willsSent: 0,
  retainedCleared: 0,
};

describe('the change feed', () => {
  let database: TestDatabase;
  let store: ControlStore;
  let superuser: Client;
  let tenantId: string;
  const feeds: ChangeFeed[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    store = openControlStore({ url: database.appUrl, poolSize: 8 });
    superuser = new Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    tenantId = await store.platform(
      async ({ db }) => (await db.tenant.create({ data: { slug: 'demo', name: 'Demo' } })).id,
    );
  });

  afterEach(async () => {
    await Promise.all(feeds.splice(0).map((feed) => feed.stop()));
  });

  afterAll(async () => {
    await superuser.end();
    await store.close();
    await database.drop();
  });

  function record(subject: Record<string, string> = {}): Promise<bigint> {
    return store.tenant(tenantId, (tx) => recordChange(tx, { kind: 'device', subject }));
  }

  function follow(options: Partial<ChangeFeedOptions> = {}): {
    feed: ChangeFeed;
    seen: Change[];
    until: (number: bigint) => Promise<void>;
  } {
    const seen: Change[] = [];
    let check = (): void => undefined;
    const feed = new ChangeFeed({
      url: database.brokerUrl,
      processId: randomUUID(),
      apply: (change) => {
        seen.push(change);
        check();
        return { ...nothing, sessionsTouched: 1 };
      },
      onError: () => undefined,
      ...options,
    });
    feeds.push(feed);
    const until = (number: bigint): Promise<void> =>
      new Promise((resolve) => {
        check = () => {
          if ((seen.at(-1)?.number ?? -1n) >= number) resolve();
        };
        check();
      });
    return { feed, seen, until };
  }

  it('begins after the newest change, and is woken by the next one', async () => {
    await record();
    const { feed, seen, until } = follow({ pollMs: 60_000 });
    await feed.start();
    const number = await record({ deviceId: 'd1' });
    await until(number);
    expect(seen).toMatchObject([{ number, tenantId, kind: 'device', subject: { deviceId: 'd1' } }]);
  });

  it('finds a change whose notification was lost', async () => {
    const { feed, seen, until } = follow({ pollMs: 20 });
    await feed.start();
    await superuser.query(`ALTER TABLE changes DISABLE TRIGGER number_change`);
    const { rows } = await superuser.query<{ number: string }>(
      `INSERT INTO changes (number, tenant_id, kind, subject)
       VALUES (nextval('changes_number_seq'), $1, 'tenant', '{}') RETURNING number::text`,
      [tenantId],
    );
    await superuser.query(`ALTER TABLE changes ENABLE TRIGGER number_change`);
    await until(BigInt(rows[0]!.number));
    expect(seen).toHaveLength(1);
  });

  it('sees every change in order while many write at once, slow ones and ones that roll back among them', async () => {
    const { feed, seen, until } = follow();
    await feed.start();
    const before = feed.applied;
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      const numbers: bigint[] = [];
      for (let turn = 0; turn < 25; turn += 1) {
        const work = store.tenant(tenantId, async (tx) => {
          const number = await recordChange(tx, { kind: 'policy', subject: {} });
          // The number is taken; the commit is still to come, and must not be overtaken.
          if ((writer + turn) % 5 === 0) await tx.db.$executeRaw`SELECT pg_sleep(0.01)`;
          if ((writer + turn) % 7 === 0) throw new RangeError('rolled back');
          return number;
        });
        const number = await work.catch(() => undefined);
        if (number !== undefined) numbers.push(number);
      }
      return numbers;
    });
    const committed = (await Promise.all(writers)).flat().sort((a, b) => Number(a - b));
    await until(committed.at(-1)!);
    expect(committed.length).toBeGreaterThan(150);
    expect(seen.map(({ number }) => number)).toEqual(committed);
    expect(committed[0]!).toBeGreaterThan(before);
  });

  it('skips and repeats nothing when its connection is killed again and again', async () => {
    const errors: unknown[] = [];
    const { feed, seen, until } = follow({ onError: (error) => errors.push(error) });
    await feed.start();
    const numbers: bigint[] = [];
    for (let round = 0; round < 5; round += 1) {
      for (let turn = 0; turn < 10; turn += 1) numbers.push(await record());
      await superuser.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'moorage-broker changes' AND datname = current_database()`,
      );
      for (let turn = 0; turn < 10; turn += 1) numbers.push(await record());
    }
    await until(numbers.at(-1)!);
    expect(seen.map(({ number }) => number)).toEqual(numbers);
  });

  it('tries a change again that could not be applied, before any later one', async () => {
    const order: bigint[] = [];
    let failures = 2;
    let done = (): void => undefined;
    const applied = new Promise<void>((resolve) => (done = resolve));
    const { feed } = follow({
      apply: ({ number }) => {
        order.push(number);
        if (failures > 0) {
          failures -= 1;
          throw new Error('not now');
        }
        if (order.length === 4) done();
        return nothing;
      },
    });
    await feed.start();
    const [first, second] = [await record(), await record()];
    await applied;
    expect(order).toEqual([first, first, first, second]);
  });

  describe('applies what is in a lane beside what is not', () => {
    const processId = randomUUID();
    beforeEach(() =>
      superuser.query(
        `INSERT INTO broker_processes (id, lease_until, applied) VALUES ($1, now() + interval '1 minute', 0)`,
        [processId],
      ),
    );
    afterEach(() => superuser.query('DELETE FROM broker_processes WHERE id = $1', [processId]));

    it('in its order there, and confirms each when it is done: no operation is told applied before', async () => {
      const order: bigint[] = [];
      const running = new Map<bigint, () => void>();
      let failures = 1;
      const { feed } = follow({
        processId,
        laneOf: ({ subject }) => subject['lane'] as string | undefined,
        apply: async ({ number, subject }) => {
          order.push(number);
          if (subject['lane'] === 'b' && failures > 0) {
            failures -= 1;
            throw new Error('not now');
          }
          if (subject['lane'] === 'a') await new Promise<void>((resolve) => running.set(number, resolve));
          return nothing;
        },
      });
      await feed.start();
      const waitingFor = async (number: bigint) =>
        (await store.tenant(tenantId, (tx) => readReceipts(tx, number)))?.waitingFor.includes(processId);
      const applied = async (number: bigint): Promise<void> => {
        while ((await waitingFor(number)) !== false);
      };
      const appliedInTable = async (): Promise<bigint> => {
        const { rows } = await superuser.query('SELECT applied::text FROM broker_processes WHERE id = $1', [
          processId,
        ]);
        return BigInt(rows[0].applied);
      };
      const [a1, a2, plain, b, last] = [
        await record({ lane: 'a' }),
        await record({ lane: 'a' }),
        await record(),
        await record({ lane: 'b' }),
        await record(),
      ];
      await Promise.all([applied(plain), applied(last)]);
      await applied(b); // tried again, while the others went on
      expect(order.toSorted((x, y) => Number(x - y))).toEqual([a1, plain, b, b, last]);
      expect([await waitingFor(a1), await waitingFor(a2)]).toEqual([true, true]);
      expect([feed.applied, (await appliedInTable()) < a1]).toEqual([a1 - 1n, true]);
      running.get(a1)?.();
      await applied(a1);
      expect(await waitingFor(a2)).toBe(true);
      while (!running.has(a2)) await new Promise(setImmediate);
      running.get(a2)?.();
      await applied(a2);
      expect([feed.applied, await appliedInTable()]).toEqual([last, last]);
    });

    it('and finishes and confirms what it is about when it is stopped', async () => {
      const running: (() => void)[] = [];
      const { feed } = follow({
        processId,
        laneOf: () => 'a',
        apply: async () => {
          await new Promise<void>((resolve) => running.push(resolve));
          return nothing;
        },
      });
      await feed.start();
      const [first, second] = [await record(), await record()];
      while (running.length === 0) await new Promise(setImmediate);
      const stopped = feed.stop();
      running[0]?.();
      await stopped;
      const receipts = (number: bigint) => store.tenant(tenantId, (tx) => readReceipts(tx, number));
      expect((await receipts(first))?.receipts).toMatchObject([{ processId }]);
      expect(await receipts(second)).toMatchObject({
        receipts: [],
        waitingFor: expect.arrayContaining([processId]),
      });
      expect(running).toHaveLength(1);
    });
  });

  it('goes on from a given number', async () => {
    const numbers = [await record(), await record(), await record()];
    const { feed, seen, until } = follow();
    await feed.start(numbers[0]);
    await until(numbers[2]!);
    expect(seen.map(({ number }) => number)).toEqual(numbers.slice(1));
  });

  it('confirms to the api which process did what, and the api knows who is still missing', async () => {
    const [here, elsewhere, dead] = [randomUUID(), randomUUID(), randomUUID()];
    await superuser.query(
      `INSERT INTO broker_processes (id, lease_until, applied)
       VALUES ($1, now() + interval '1 minute', 0), ($2, now() + interval '1 minute', 0), ($3, now() - interval '1 minute', 0)`,
      [here, elsewhere, dead],
    );
    const { feed } = follow({ processId: here });
    await feed.start();
    const number = await record();
    const confirmed = async (): Promise<boolean> => {
      const progress = await store.tenant(tenantId, (tx) => readReceipts(tx, number));
      return (progress?.receipts.length ?? 0) > 0;
    };
    while (!(await confirmed()));
    const progress = await store.tenant(tenantId, (tx) => readReceipts(tx, number));
    expect(progress).toMatchObject({ number, kind: 'device', waitingFor: [elsewhere] });
    expect(progress?.receipts).toMatchObject([{ processId: here, result: { sessionsTouched: 1 } }]);
    const { rows } = await superuser.query('SELECT applied::text FROM broker_processes WHERE id = $1', [
      here,
    ]);
    expect(rows).toEqual([{ applied: String(number) }]);
  });

  it('shows a change to its own tenant only', async () => {
    const number = await record();
    const stranger = await store.platform(
      async ({ db }) => (await db.tenant.create({ data: { slug: 'stranger', name: 'Stranger' } })).id,
    );
    expect(await store.tenant(stranger, (tx) => readReceipts(tx, number))).toBeUndefined();
  });

  it('says that the database is unavailable where it is, at the start', async () => {
    const { feed } = follow({ url: 'postgresql://moorage_broker:x@127.0.0.1:1/none' });
    await expect(feed.start()).rejects.toMatchObject({ code: 'store.unavailable' });
  });
});
