import { describe, expect, it } from '@jest/globals';

import { Harness } from './testing/index.js';

const tenSeconds = 10_000;

describe('$SYS', () => {
  it('tells a new subscription the values of now, as retained messages', async () => {
    const h = new Harness({ version: 'Moorage 1.2.3' });
    const client = await h.connect('c');
    await client.publish('a', 'x', { retain: true });
    await client.subscribe('$SYS/#');
    const packets = client.take('publish');
    expect(packets.every(({ retain, qos }) => retain && qos === 0)).toBe(true);
    expect(Object.fromEntries(packets.map(({ topic, payload }) => [topic, payload]))).toMatchObject({
      '$SYS/broker/version': 'Moorage 1.2.3',
      '$SYS/tenant/clients/connected': '1',
      '$SYS/tenant/sessions/count': '1',
      '$SYS/tenant/subscriptions/count': '1',
      '$SYS/tenant/retained/count': '1',
      '$SYS/tenant/messages/received': '1',
      '$SYS/tenant/messages/dropped': '0',
    });
  });

  it('publishes what has changed while somebody is subscribed, and runs no timer otherwise', async () => {
    const h = new Harness();
    const client = await h.connect('c');
    expect(h.clock.pendingAlarms).toBe(0);
    await client.subscribe('$SYS/tenant/clients/connected');
    expect(client.messages()).toEqual(['$SYS/tenant/clients/connected 1']);
    const other = await h.connect('other');
    await h.clock.advance(tenSeconds);
    await client.settle();
    const [packet, ...more] = client.take('publish');
    expect([packet?.payload, packet?.retain, more.length]).toEqual(['2', false, 0]);
    await h.clock.advance(3 * tenSeconds);
    await client.settle();
    expect(client.messages()).toEqual([]);
    await other.disconnect();
    await h.clock.advance(tenSeconds);
    await client.settle();
    expect(client.messages()).toEqual(['$SYS/tenant/clients/connected 1']);
    await client.unsubscribe('$SYS/tenant/clients/connected');
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it('stops when its last subscriber leaves, and when the broker does', async () => {
    const h = new Harness();
    const client = await h.connect('c');
    await client.subscribe(['$SYS/#', '$share/g/$SYS/tenant/#']);
    await client.cut();
    expect(h.clock.pendingAlarms).toBe(1); // the space's, which nobody uses
    await (await h.connect('c')).subscribe('$SYS/#');
    const stopped = h.broker.stop();
    await h.settle();
    await stopped;
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it("speaks of the subscriber's tenant alone", async () => {
    const h = new Harness();
    const here = await h.connect('c', { username: 'c@tenant-a' });
    for (let i = 0; i < 3; i++) await h.connect(`c${i}`, { username: 'c@tenant-b' });
    await here.subscribe('$SYS/tenant/clients/connected');
    expect(here.messages()).toEqual(['$SYS/tenant/clients/connected 1']);
    const there = await h.connect('d', { username: 'c@tenant-b' });
    await there.subscribe('$SYS/tenant/clients/connected');
    expect(there.messages()).toEqual(['$SYS/tenant/clients/connected 4']);
  });

  it('needs the right to subscribe, and the right to receive', async () => {
    const h = new Harness();
    h.gate.allow({ subscribe: ['a/#'] }, 'denied');
    h.gate.allow({ receive: ['$SYS/broker/#'] }, 'narrowed');
    const denied = await h.connect5('denied');
    expect((await denied.subscribe('$SYS/#'))?.code).toBe(0x87);
    const narrowed = await h.connect5('narrowed');
    await narrowed.subscribe('$SYS/#');
    expect(narrowed.messages().map((message) => message.split(' ')[0])).toEqual(['$SYS/broker/version']);
  });

  it('is not matched by a wildcard in the first level', async () => {
    const h = new Harness();
    const client = await h.connect('c');
    await client.subscribe(['#', '+/tenant/#']);
    await h.clock.advance(tenSeconds);
    await client.settle();
    expect(client.messages()).toEqual([]);
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it('takes nothing from clients', async () => {
    const h = new Harness();
    const client = await h.connect5('c');
    await client.subscribe('$SYS/#');
    client.take();
    expect((await client.publish('$SYS/broker/version', 'mine', { qos: 1, retain: true }))?.code).toBe(0x87);
    expect(client.messages()).toEqual([]);
  });

  it('is not queued for a client that is away', async () => {
    const h = new Harness();
    const client = await h.connect('c', { clean: false });
    await client.subscribe('$SYS/#', { qos: 2 });
    await client.cut();
    await h.clock.advance(5 * tenSeconds);
    const back = await h.connect('c', { clean: false });
    expect(back.messages()).toEqual([]);
  });
});
