import { describe, expect, it } from '@jest/globals';

import { Harness, type TestClient } from './testing/index.js';

const refusal = Object.assign(new Error('this row cannot be stored'), { code: 'vault.refused' });

async function publisher(version: 4 | 5): Promise<{ readonly h: Harness; readonly client: TestClient }> {
  const h = new Harness();
  const client = await h.connect('alice', { version });
  await h.settle();
  return { h, client };
}

describe('a message that the store refuses for what is in it', () => {
  it.each([
    [1, 'puback'],
    [2, 'pubrec'],
  ] as const)('is not acknowledged at QoS %i, and a 5.0 client hears it and goes on', async (qos, answer) => {
    const { h, client } = await publisher(5);
    h.store.failWith(refusal);
    const refused = await client.publish('a', 'bad', { qos, retain: true });
    h.store.failWith(undefined);
    expect([refused?.type, refused?.code]).toEqual([answer, 0x99]);
    expect(client.link.isEnded).toBe(false);
    expect(h.journal.denials).toMatchObject([
      { action: 'publish', topic: 'a', clientId: 'alice', reason: { name: 'payload-format-invalid' } },
    ]);
    expect((await client.publish('a', 'good', { qos, retain: true }))?.code).toBeLessThan(0x80);
    const reader = await h.connect('bob');
    await reader.subscribe('a');
    expect(reader.messages()).toEqual(['a good']);
  });

  it('does not take the place of the next in the receive window', async () => {
    const { h, client } = await publisher(5);
    h.store.failWith(refusal);
    for (let i = 0; i < h.gate.limits.receiveMaximum + 10; i++)
      await client.publish('a', 'bad', { qos: 2, retain: true });
    expect(client.goodbye).toBeUndefined();
  });

  it('is dropped, with a record, where 3.x has no word for it; or ends the connection, as the tenant chose', async () => {
    const { h, client } = await publisher(4);
    h.store.failWith(refusal);
    expect((await client.publish('a', 'bad', { qos: 1, retain: true }))?.type).toBe('puback');
    expect(h.journal.denials).toHaveLength(1);
    h.store.failWith(undefined);
    h.gate.publishDenied = 'close';
    const strict = await h.connect('carol');
    h.store.failWith(refusal);
    expect(await strict.publish('a', 'bad', { qos: 1, retain: true })).toBeUndefined();
    expect(strict.link.isEnded).toBe(true);
    expect(h.journal.denials).toHaveLength(2);
  });

  it('is on record at QoS 0 too', async () => {
    const { h, client } = await publisher(5);
    h.store.failWith(refusal);
    await client.publish('a', 'bad', { retain: true });
    expect(h.journal.denials).toHaveLength(1);
    expect(client.link.isEnded).toBe(false);
  });
});

describe('a session that the store refuses for what is in it', () => {
  it('gets none of the subscriptions that are to be stored, and goes on', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    h.store.failWith(refusal);
    expect((await client.subscribe(['a', 'b']))?.codes).toEqual([0x8f, 0x8f]);
    h.store.failWith(undefined);
    expect(h.journal.denials).toMatchObject([{ action: 'subscribe', topic: 'a' }, { topic: 'b' }]);
    expect((await client.subscribe('c'))?.codes).toEqual([2]);
    expect(h.broker.stats.subscriptions).toBe(1);
  });

  it('does not begin, and its client hears that it will not at another time either', async () => {
    const h = new Harness();
    await h.connect('somebody');
    h.store.failWith(refusal);
    const client = await h.connect5('alice', { expiry: 100 });
    expect(client.connack?.code).toBe(0x85);
  });
});

describe('a message that a store which is away has not taken', () => {
  it('ends the connection unacknowledged: it is to be sent again', async () => {
    const { h, client } = await publisher(5);
    h.store.failWith(new Error('closed'));
    expect(await client.publish('a', 'x', { qos: 1, retain: true })).toBeUndefined();
    expect(client.goodbye).toBe(0x89);
    expect(h.journal.denials).toEqual([]);
  });
});
