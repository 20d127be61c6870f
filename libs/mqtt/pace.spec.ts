import { beforeEach, describe, expect, it } from '@jest/globals';

import { Harness, type TestClient } from './testing/index.js';

describe('publishers that never pause', () => {
  let harness: Harness;

  beforeEach(() => {
    harness = new Harness();
  });

  /** The PUBLISH packets of a client that sends them all at once. */
  function flood(client: TestClient, topic: string, count: number): string[] {
    const payloads = Array.from({ length: count }, (_, n) => String(n));
    client.link.send(
      Buffer.concat(payloads.map((payload) => client.publishBytes(topic, payload, { qos: 1 }))),
    );
    return payloads.map((payload) => `${topic} ${payload}`);
  }

  /** Turns go by in which nobody answers. */
  async function turns(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await harness.clock.turn();
  }

  it('wait for a client that takes what it is sent, and nothing is dropped', async () => {
    harness.gate.limits = { ...harness.gate.limits, maxQueuedMessages: 2_500 };
    const [reading, ...flooding] = await Promise.all(
      ['reading', 'a', 'b', 'c'].map((name) => harness.connect(name)),
    );
    await reading?.subscribe('flood/#');
    const sent = flooding.map((client) => flood(client, `flood/${client.clientId}`, 5_000));
    await reading?.settle();
    for (const client of flooding) await client.settle();
    expect(harness.broker.stats.droppedQueueFull).toBe(0);
    const got = reading?.messages() ?? [];
    for (const messages of sent) {
      const topic = messages[0]?.split(' ')[0];
      expect(got.filter((message) => message.startsWith(`${topic} `))).toEqual(messages);
    }
    expect(harness.clock.pendingAlarms).toBe(0);
  });

  it('do not wait for a client that takes nothing', async () => {
    const [stuck, flooding] = await Promise.all([harness.connect('stuck'), harness.connect('flooding')]);
    await stuck.subscribe('flood/#');
    stuck.acknowledges = false;
    flood(flooding, 'flood/x', 10_000);
    await turns(200);
    expect(flooding.link.received.length).toBeLessThan(40_000);
    await harness.clock.advance(50);
    await flooding.settle();
    expect(flooding.take('puback')).toHaveLength(10_000);
  });

  it('go on when the client they wait for has gone', async () => {
    const [stuck, flooding] = await Promise.all([harness.connect('stuck'), harness.connect('flooding')]);
    await stuck.subscribe('flood/#');
    stuck.acknowledges = false;
    flood(flooding, 'flood/x', 10_000);
    await turns(200);
    expect(flooding.link.received.length).toBeLessThan(40_000);
    await stuck.cut();
    await flooding.settle();
    expect(flooding.take('puback')).toHaveLength(10_000);
  });

  it('do not wait for each other', async () => {
    const [one, other] = await Promise.all([harness.connect('one'), harness.connect('other')]);
    await one.subscribe('#');
    await other.subscribe('#');
    flood(one, 'one', 5_000);
    flood(other, 'other', 5_000);
    for (let round = 0; round < 100; round++) {
      await one.settle();
      await other.settle();
    }
    expect(one.messages()).toHaveLength(10_000);
    expect(other.messages()).toHaveLength(10_000);
  });

  it('are held up no longer by many clients that take nothing than by one', async () => {
    const names = Array.from({ length: 40 }, (_, n) => `stuck-${n}`);
    const [flooding, ...stuck] = await Promise.all(
      ['flooding', ...names].map((name) => harness.connect(name)),
    );
    if (flooding === undefined) throw new Error('nobody floods');
    for (const [n, client] of stuck.entries()) {
      await client.subscribe(`flood/${n}`);
      client.acknowledges = false;
    }
    const packets = stuck.flatMap((_, n) =>
      Array.from({ length: 1_500 }, () => flooding.publishBytes(`flood/${n}`, 'x', { qos: 1 })),
    );
    flooding.link.send(Buffer.concat(packets));
    await turns(2_000);
    await harness.clock.advance(50);
    await turns(4_000);
    await flooding.settle();
    expect(flooding.take('puback')).toHaveLength(packets.length);
  });

  it('do not wait again and again for a client that takes one message each time they do', async () => {
    const [stuck, flooding] = await Promise.all([harness.connect('stuck'), harness.connect('flooding')]);
    await stuck.subscribe('rare');
    stuck.acknowledges = false;
    const window = harness.gate.limits.maxInFlight;
    flood(flooding, 'rare', window + 127);
    await flooding.settle();
    const others = Array.from({ length: 4_000 }, () => flooding.publishBytes('other', 'x', { qos: 1 }));
    let wasHeldUp = 0;
    for (let round = 0; round < 10; round++) {
      const before = flooding.link.received.length;
      flooding.link.send(Buffer.concat([flooding.publishBytes('rare', 'x', { qos: 1 }), ...others]));
      await turns(2_000);
      if (flooding.link.received.length - before < 4 * (others.length + 1)) wasHeldUp += 1;
      await harness.clock.advance(40);
      await stuck.send(Buffer.from([0x40, 2, 0, round + 1]));
      await flooding.settle();
    }
    expect(wasHeldUp).toBe(1);
  });
});
