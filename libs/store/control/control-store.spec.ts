import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { openControlStore, type ControlStore, type TenantTx } from './control-store.js';
import { StoreError } from '../database/errors.js';

describe('the control store', () => {
  let database: TestDatabase;
  let store: ControlStore;
  let one: string;
  let other: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = openControlStore({ url: database.appUrl, poolSize: 3 });
    one = await addTenant(store, 'one');
    other = await addTenant(store, 'other');
    for (const id of [one, other]) await store.tenant(id, (tx) => addDevice(tx, 'meter'));
  });

  afterAll(async () => {
    await store.close();
    await database.drop();
  });

  it('shows a tenant its own rows, whatever the query leaves out', async () => {
    const devices = await store.tenant(one, ({ db }) => db.device.findMany());
    expect(devices.map((device) => device.tenantId)).toEqual([one]);
    expect(await store.tenant(one, ({ db }) => db.tenant.findMany())).toHaveLength(1);
  });

  it('shows no tenant’s rows to the platform until it enters the tenant, and none after it has left', async () => {
    const counts = await store.platform(async (tx) => [
      await tx.db.device.count(),
      await tx.tenant(other, ({ db }) => db.device.count()),
      await tx.db.device.count(),
    ]);
    expect(counts).toEqual([0, 1, 0]);
  });

  it('leaves a tenant behind when the work inside it fails', async () => {
    const count = await store.platform(async (tx) => {
      const failed = tx.tenant(other, () => Promise.reject(new RangeError('mine')));
      await expect(failed).rejects.toBeInstanceOf(RangeError);
      return tx.db.device.count();
    });
    expect(count).toBe(0);
  });

  it('cannot write a row of another tenant, or change or delete one', async () => {
    await expect(
      store.tenant(one, ({ db }) => db.profile.create({ data: { tenantId: other, name: 'x' } })),
    ).rejects.toMatchObject({ code: 'store.refused' });
    await expect(
      store.tenant(one, ({ db }) => db.device.updateMany({ data: { tenantId: other } })),
    ).rejects.toBeInstanceOf(StoreError);
    expect(await store.tenant(one, ({ db }) => db.device.deleteMany({ where: { tenantId: other } }))).toEqual(
      { count: 0 },
    );
  });

  it('lets a tenant neither make nor change nor end tenants', async () => {
    await expect(
      store.tenant(one, ({ db }) => db.tenant.create({ data: { slug: 'x', name: 'X' } })),
    ).rejects.toMatchObject({ code: 'store.refused' });
    expect(await store.tenant(one, ({ db }) => db.tenant.updateMany({ data: { name: 'mine' } }))).toEqual({
      count: 0,
    });
    expect(await store.tenant(one, ({ db }) => db.tenant.deleteMany())).toEqual({ count: 0 });
  });

  it('carries no tenant over on a pooled connection: tenants, the platform and nobody take turns on three connections', async () => {
    const turns = Array.from({ length: 60 }, async (_, turn) => {
      if (turn % 3 === 2) return store.platform(async ({ db }) => (await db.device.count()) === 0);
      const id = turn % 3 === 0 ? one : other;
      return store.tenant(id, async ({ db }) =>
        (await db.device.findMany()).every((device) => device.tenantId === id),
      );
    });
    expect(await Promise.all(turns)).not.toContain(false);
  });

  it('gives connections in turns: a tenant that wants hundreds waits for itself', async () => {
    const flood = Array.from({ length: 200 }, () => store.tenant(one, ({ db }) => db.device.count()));
    let answered = 0;
    for (const each of flood) void each.then(() => (answered += 1));
    await store.tenant(other, ({ db }) => db.device.count());
    expect(answered).toBeLessThan(20);
    await Promise.all(flood);
  });

  it('has a connection left beside all that a tenant may have, however long it has them', async () => {
    const five = openControlStore({ url: database.appUrl, poolSize: 5 });
    let end: () => void = () => undefined;
    const until = new Promise<void>((resolve) => (end = resolve));
    let held = 0;
    const long = Array.from({ length: 8 }, () =>
      five.tenant(one, async ({ db }) => {
        await db.device.count();
        held += 1;
        await until;
      }),
    );
    expect(await five.tenant(other, ({ db }) => db.device.count())).toBe(1);
    expect(held).toBeLessThanOrEqual(4);
    end();
    await Promise.all(long);
    await five.close();
  });

  it('rolls back when the work fails, and gives the work’s own error back', async () => {
    const mine = new RangeError('mine');
    const work = async (tx: TenantTx): Promise<never> => {
      await addDevice(tx, 'gone');
      throw mine;
    };
    await expect(store.tenant(one, work)).rejects.toBe(mine);
    expect(await store.tenant(one, ({ db }) => db.device.count({ where: { name: 'gone' } }))).toBe(0);
  });

  it('does work again that finds gone what it was about to refer to', async () => {
    const { id } = await store.tenant(one, ({ db }) =>
      db.profile.create({ data: { tenantId: one, name: 'about to go' } }),
    );
    const outcome = await store.tenant(one, async ({ db }) => {
      if ((await db.profile.count({ where: { id } })) === 0) return 'there is no such profile';
      await store.tenant(one, (tx) => tx.db.profile.deleteMany({ where: { id } }));
      await db.device.create({ data: { tenantId: one, name: 'too late', profileId: id } });
      return 'made';
    });
    expect(outcome).toBe('there is no such profile');
    expect(await store.tenant(one, ({ db }) => db.device.count({ where: { name: 'too late' } }))).toBe(0);
  });

  it('gives up on work that the database refuses each time', async () => {
    let attempts = 0;
    const failure = await caught(
      store.tenant(one, ({ db }) => {
        attempts += 1;
        return db.device.create({ data: { tenantId: one, name: 'x', profileId: randomUUID() } });
      }),
    );
    expect([failure.code, attempts]).toEqual(['store.reference', 3]);
  });

  it('takes no id that cannot be a tenant’s', async () => {
    for (const id of ['', 'demo', '00000000-0000-0000-0000-000000000000', `${one}'`])
      await expect(store.tenant(id, ({ db }) => db.device.count())).rejects.toBeInstanceOf(TypeError);
  });

  it('names the constraint that a row breaks, and quotes none of its values', async () => {
    const failures = await Promise.all([
      caught(store.tenant(one, (tx) => addDevice(tx, 'meter'))),
      caught(store.tenant(one, (tx) => addDevice(tx, 'a+b'))),
      caught(
        store.tenant(one, ({ db }) =>
          db.device.create({ data: { tenantId: one, name: 'n', profileId: other } }),
        ),
      ),
      caught(
        store.tenant(one, ({ db }) =>
          db.device.update({ where: { tenantId_id: { tenantId: one, id: other } }, data: { name: 'n' } }),
        ),
      ),
    ]);
    expect(failures.map((failure) => [failure.code, failure.constraint])).toEqual([
      ['store.unique', 'profiles_tenant_id_name_key'],
      ['store.check', 'devices_name_form'],
      ['store.reference', 'devices_tenant_id_profile_id_fkey'],
      ['store.not-found', undefined],
    ]);
    expect(failures.map((failure) => failure.message).join()).not.toMatch(/meter|a\+b/);
  });

  it('says unavailable when its connection is killed, and works again at once', async () => {
    const killed = store.tenant(
      one,
      ({ db }) => db.$executeRaw`SELECT pg_terminate_backend(pg_backend_pid())`,
    );
    await expect(killed).rejects.toMatchObject({ code: 'store.unavailable' });
    await expect(store.check()).resolves.toBeUndefined();
  });

  it('says unavailable when there is no server', async () => {
    const nowhere = openControlStore({ url: 'postgresql://moorage_app:x@127.0.0.1:1/none' });
    await expect(nowhere.check()).rejects.toMatchObject({ code: 'store.unavailable' });
    await expect(nowhere.platform(({ db }) => db.tenant.count())).rejects.toMatchObject({
      code: 'store.unavailable',
    });
    await nowhere.close();
  });

  it('ends a tenant with everything that refers to it', async () => {
    const id = await addTenant(store, 'brief');
    await store.tenant(id, (tx) => addDevice(tx, 'meter'));
    await store.platform(({ db }) => db.tenant.delete({ where: { id } }));
    expect(await store.tenant(id, ({ db }) => db.device.count())).toBe(0);
  });
});

async function addTenant(store: ControlStore, slug: string): Promise<string> {
  return store.platform(async ({ db }) => (await db.tenant.create({ data: { slug, name: slug } })).id);
}

async function addDevice(tx: TenantTx, name: string): Promise<void> {
  const { id: profileId } = await tx.db.profile.create({
    data: { tenantId: tx.tenantId, name: name === 'a+b' ? 'fresh' : name },
  });
  await tx.db.device.create({ data: { tenantId: tx.tenantId, name, profileId } });
}

async function caught(work: Promise<unknown>): Promise<StoreError> {
  const failure: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(failure instanceof StoreError)) throw new Error('a StoreError was expected');
  return failure;
}
