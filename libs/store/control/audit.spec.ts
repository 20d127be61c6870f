import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { recordAudit } from './audit.js';
import { openControlStore, type ControlStore } from './control-store.js';

const note = { actor: 'mk_1', action: 'device.create', subjectKind: 'device', subjectId: 'd1' };

describe('the audit', () => {
  let database: TestDatabase;
  let store: ControlStore;
  let tenantId: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    store = openControlStore({ url: database.appUrl });
    tenantId = await store.platform(
      async ({ db }) => (await db.tenant.create({ data: { slug: 'demo', name: 'Demo' } })).id,
    );
  });

  afterAll(async () => {
    await store.close();
    await database.drop();
  });

  it('shows a tenant its own entries, and the platform all of them', async () => {
    await store.tenant(tenantId, (tx) => recordAudit(tx, { ...note, detail: { name: 'meter' } }));
    await store.platform((tx) => recordAudit(tx, { ...note, action: 'tenant.create' }));
    const own = await store.tenant(tenantId, ({ db }) => db.auditEntry.findMany());
    expect(own).toMatchObject([{ ...note, tenantId, detail: { name: 'meter' } }]);
    const all = await store.platform(({ db }) => db.auditEntry.findMany({ orderBy: { id: 'asc' } }));
    expect(all.map(({ action }) => action)).toEqual(['device.create', 'tenant.create']);
  });

  it('keeps an entry only where the deed was done', async () => {
    const undone = store.tenant(tenantId, async (tx) => {
      await recordAudit(tx, { ...note, action: 'device.delete' });
      throw new RangeError('undone');
    });
    await expect(undone).rejects.toBeInstanceOf(RangeError);
    expect(
      await store.platform(({ db }) => db.auditEntry.count({ where: { action: 'device.delete' } })),
    ).toBe(0);
  });

  it('lets nobody change or remove an entry', async () => {
    await expect(
      store.platform(({ db }) => db.auditEntry.updateMany({ data: { actor: 'x' } })),
    ).rejects.toMatchObject({
      code: 'store.refused',
    });
    await expect(store.platform(({ db }) => db.auditEntry.deleteMany())).rejects.toMatchObject({
      code: 'store.refused',
    });
  });
});
