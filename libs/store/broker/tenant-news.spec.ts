import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Pool } from 'pg';

import type { NewsItem, TenantId } from '#mqtt';

import { addPresence } from '../../../test/support/broker-rows.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createTestTenant, type TestTenant } from '../../../test/support/tenant.js';
import { openControlStore, type ControlStore } from '../control/control-store.js';
import { denialChannel, presenceChannel } from './news-channels.js';
import { PostgresNews } from './tenant-news.js';

describe('a tenant’s news', () => {
  let database: TestDatabase;
  let store: ControlStore;
  let superuser: Client;
  let tenant: TestTenant;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = openControlStore({ url: database.appUrl, poolSize: 2 });
    superuser = new Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    tenant = await createTestTenant(store, database.secretKey);
  });

  afterAll(async () => {
    await Promise.all([store.close(), superuser.end()]);
    await database.drop();
  });

  it('end with what is true last, also where it changes while it is being read, or a reading fails', async () => {
    const device = await tenant.addDevice('pump');
    const tenantId = tenant.id as TenantId;
    const pool = new SlowPool({ connectionString: database.brokerUrl, max: 1 });
    const news = new PostgresNews({ url: database.brokerUrl, pool, onTrouble: () => undefined });
    const told: Record<string, unknown>[] = [];
    news.follow(tenantId, ({ payload }: NewsItem) => void told.push(JSON.parse(payload.toString()) as never));
    await news.standing(tenantId, '$tenant/presence/+', undefined);

    const lastly = async (isIt: (item: Record<string, unknown>) => boolean): Promise<unknown> => {
      for (let last = told.at(-1); last === undefined || !isIt(last); last = told.at(-1))
        await new Promise((resolve) => setTimeout(resolve, 10));
      return told.at(-1);
    };
    const change = async (state: 'online' | 'offline'): Promise<void> => {
      await addPresence(database, tenant.id, device.id, {
        clientId: 'pump',
        state,
        cause: 'x',
        at: '2026-01-01T00:00:00Z',
      });
      await superuser.query('SELECT pg_notify($1, $2)', [presenceChannel, `${tenant.id} ${device.id}`]);
    };
    const whileReading = async (work: () => Promise<unknown>): Promise<void> => {
      await pool.isReading;
      await work();
      await announced();
      pool.goOn();
    };
    pool.hold();
    await change('online');
    await whileReading(() => change('offline'));
    expect(await lastly((item) => item['state'] === 'offline')).toMatchObject({ device: 'pump' });

    pool.hold(new Error('the answer was lost'));
    await change('online');
    await whileReading(() => Promise.resolve());
    expect(await lastly((item) => item['state'] === 'online')).toMatchObject({ device: 'pump' });

    const { rows } = await superuser.query(
      `INSERT INTO denials (tenant_id, key, client_id, username, address, action, reason, first_at, last_at)
       VALUES ($1, sha256('x'), 'pump', '', '', 'publish', 'x', now(), now()) RETURNING id`,
      [tenant.id],
    );
    const deny = async (count: number): Promise<void> => {
      await superuser.query('UPDATE denials SET count = $2 WHERE tenant_id = $1', [tenant.id, count]);
      await superuser.query('SELECT pg_notify($1, $2)', [denialChannel, `${tenant.id} ${rows[0].id}`]);
    };
    pool.hold();
    await deny(2);
    await whileReading(() => deny(3));
    expect(await lastly((item) => item['count'] === 3)).toMatchObject({ clientId: 'pump' });

    await news.close();
    await pool.end();
  });

  /** What was announced until now has been heard by everybody who listens, as far as anybody can know. */
  async function announced(): Promise<void> {
    const listener = new Client({ connectionString: database.brokerUrl });
    await listener.connect();
    const heard = new Promise((resolve) => listener.once('notification', resolve));
    await listener.query('LISTEN probe');
    await superuser.query('NOTIFY probe');
    await heard;
    await listener.end();
  }
});

/** PostgreSQL has answered, and the answer is a long time on its way. */
class SlowPool extends Pool {
  isReading: Promise<void> = Promise.resolve();
  goOn: () => void = () => undefined;
  #next: (() => Promise<void>) | undefined;

  hold(thenFail?: Error): void {
    const reading = Promise.withResolvers<void>();
    const going = Promise.withResolvers<void>();
    this.isReading = reading.promise;
    this.goOn = going.resolve;
    this.#next = async () => {
      reading.resolve();
      await going.promise;
      if (thenFail !== undefined) throw thenFail;
    };
  }

  override query = (async (...values: Parameters<Pool['query']>): Promise<unknown> => {
    const next = this.#next;
    this.#next = undefined;
    const answer = await Promise.resolve<unknown>(super.query(...values));
    await next?.();
    return answer;
  }) as Pool['query'];
}
