import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import type { TenantId } from './message.js';
import { Harness, property } from './testing/index.js';

const tenantId = 'tenant-a' as TenantId;
const will = { topic: 'will', payload: 'gone', properties: [['willDelayInterval', 1_000]] } as const;

const open = (h: Harness) => [...h.broker.tenants];

describe('a space that nobody uses', () => {
  it('leaves memory after a while, and is as it was when somebody comes again', async () => {
    const h = new Harness({ idleSpaceMs: 60_000 });
    const client = await h.connect5('alice', { expiry: 100_000 });
    await client.subscribe('a');
    const publisher = await h.connect5('p');
    await publisher.publish('r', 'kept', { retain: true });
    await client.cut();
    await publisher.publish('a', 'queued', { qos: 1 });
    const { messagesReceived } = h.broker.stats;
    await publisher.cut();
    await h.clock.advance(59_999);
    expect(open(h)).toEqual([tenantId]);
    await h.clock.advance(1);
    expect(open(h)).toEqual([]);
    expect(h.broker.stats).toMatchObject({ sessions: 0, retained: 0, messagesReceived });
    const back = await h.connect5('alice', { expiry: 100_000 });
    expect(back.connack?.sessionPresent).toBe(true);
    expect(back.messages()).toEqual(['a queued']);
    await back.subscribe('r');
    expect(back.messages()).toEqual(['r kept']);
    expect(h.broker.statsOf(tenantId)?.messagesReceived).toBe(messagesReceived);
  });

  it('stays while there is somebody, while somebody arrives, and while a will waits', async () => {
    const h = new Harness({ idleSpaceMs: 60_000 });
    const client = await h.connect5('alice', { expiry: 2_000, will });
    await h.clock.advance(600_000);
    expect(open(h)).toEqual([tenantId]);
    await client.cut();
    await h.clock.advance(600_000);
    expect(open(h)).toEqual([tenantId]);
    await h.clock.advance(460_000);
    expect(h.broker.stats.willsPublished).toBe(1);
    expect(open(h)).toEqual([]);
    h.store.hold();
    const late = await h.connect5('bob', { expiry: 10 });
    await h.clock.advance(600_000);
    h.store.commit();
    await late.settle();
    expect(open(h)).toEqual([tenantId]);
  });

  it('is opened for its sessions to expire', async () => {
    const h = new Harness({ idleSpaceMs: 60_000 });
    await (await h.connect5('alice', { expiry: 1_000 })).cut();
    await (await h.connect5('bob', { expiry: 5_000 })).cut();
    await h.clock.advance(999_000);
    expect(open(h)).toEqual([]);
    h.store.failWith(new Error('down'));
    await h.clock.advance(10_000);
    expect(open(h)).toEqual([]);
    h.store.failWith(undefined);
    await h.clock.advance(10_000);
    expect((await h.vault.open(tenantId)).sessions.map(({ clientId }) => clientId)).toEqual(['bob']);
    await h.clock.advance(60_000);
    expect(open(h)).toEqual([]);
    await h.broker.stop();
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it('does not go from under a client that signs in at that moment', async () => {
    const h = new Harness({ idleSpaceMs: 60_000 });
    await (await h.connect5('alice', { expiry: 1_000 })).cut();
    await h.clock.advance(59_000);
    h.gate.isSlow = true;
    const coming = h.connect5('alice', { expiry: 1_000 });
    await h.clock.advance(1_000);
    h.gate.answer();
    const client = await coming;
    await client.settle();
    expect(client.connack).toMatchObject({ code: 0, sessionPresent: true });
    expect(await h.broker.disconnect(tenantId, 'alice' as never)).toMatchObject({ connectionsClosed: 1 });
  });
});

describe('a message that a full queue drops', () => {
  it('leaves a record for the tenant, and many in a short time one for all of them', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxQueuedMessages: 2 };
    const client = await h.connect5('alice', { expiry: 100 });
    await client.subscribe('a');
    await client.cut();
    const publisher = await h.connect('p');
    for (let i = 0; i < 6; i++) await publisher.publish('a', String(i), { qos: 1 });
    expect(h.broker.stats.droppedQueueFull).toBe(4);
    const record = { action: 'receive', clientId: 'alice', reason: { name: 'quota-exceeded' }, topic: '' };
    expect(h.journal.denials).toMatchObject([{ ...record, count: 1 }]);
    await h.clock.advance(1_000);
    expect(h.journal.denials).toMatchObject([record, { ...record, count: 3 }]);
    await publisher.publish('a', 'later', { qos: 1 });
    expect(h.journal.denials).toHaveLength(3);
  });
});

describe('a server that stops and knows another', () => {
  it('sends its 5.0 clients there', async () => {
    const h = new Harness({ serverReference: 'other.example:8883' });
    const client = await h.connect5('alice');
    const stopped = h.broker.stop();
    await client.settle();
    await stopped;
    const goodbye = client.packets.find(({ type }) => type === 'disconnect');
    expect(goodbye?.code).toBe(0x9c);
    expect(property(goodbye, 'serverReference')).toBe('other.example:8883');
  });
});
