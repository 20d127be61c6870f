import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import type { Session } from './session.js';
import { SharedGroup } from './shared.js';
import { acknowledgement, connectBytes, Harness, type TestClient } from './testing/index.js';

async function publishMany(publisher: TestClient, count: number, qos: number): Promise<void> {
  for (let i = 0; i < count; i++) await publisher.publish('a', String(i), { qos });
}

/** What the vault says while the database cannot be used. */
function away(): Error {
  return Object.assign(new Error('away'), { code: 'vault.unavailable' });
}

async function counts(...members: TestClient[]): Promise<number[]> {
  for (const member of members) await member.settle();
  return members.map((member) => member.messages().length);
}

describe('a shared subscription of five thousand members', () => {
  let asked = 0;
  const isHere = new Set<number>();

  /** As much of a session as a group looks at. */
  function member(n: number): Session {
    const session = {
      isDurable: true,
      connection: undefined,
      mayReceive: () => true,
      hasQueueRoom: true,
      get isTaking() {
        asked += 1;
        return isHere.has(n);
      },
    };
    return session as unknown as Session;
  }

  it('asks a few of them for each message, however many are away, and finds who comes back', () => {
    const members = Array.from({ length: 5_000 }, (_, n) => member(n));
    const group = new SharedGroup('a');
    for (const session of members)
      group.join({ session, qos: 1, retainAsPublished: false, subscriptionIds: [] });
    isHere.add(17).add(4_000);
    group.choose('a', 1); // it may look at all of them once
    asked = 0;
    const chosen = new Set<Session | undefined>();
    for (let n = 0; n < 1_000; n++) chosen.add(group.choose('a', 1)?.session);
    expect([...chosen].map((session) => members.indexOf(session!)).sort((a, b) => a - b)).toEqual([
      17, 4_000,
    ]);
    expect(asked).toBeLessThan(12_000);
    isHere.clear();
    isHere.add(23);
    group.wake(members[23]!);
    expect(group.choose('a', 1)?.session).toBe(members[23]);
    isHere.clear();
    const queueing = new Set(Array.from({ length: 100 }, () => group.choose('a', 1)?.session));
    expect(queueing.size).toBe(100);
  });
});

describe('a shared subscription', () => {
  it('spreads messages evenly over its members, of every version', async () => {
    const h = new Harness();
    const members = [
      await h.connect('a', { version: 4 }),
      await h.connect('b', { version: 5 }),
      await h.connect('c', { version: 3 }),
    ];
    for (const member of members) await member.subscribe('$share/g/a');
    const outside = await h.connect('d');
    await outside.subscribe('a');
    await publishMany(outside, 30, 1);
    expect(await counts(...members)).toEqual([10, 10, 10]);
    expect(await counts(outside)).toEqual([30]);
  });

  it('is another one for another group, and for another filter', async () => {
    const h = new Harness();
    const one = await h.connect('a');
    const two = await h.connect('b');
    await one.subscribe(['$share/g/a', '$share/h/a', '$share/g/#']);
    await two.subscribe('$share/g/a');
    await publishMany(two, 4, 0);
    expect(await counts(one, two)).toEqual([2 + 4 + 4, 2]);
  });

  it('grants QoS per member', async () => {
    const h = new Harness();
    const one = await h.connect('a');
    const two = await h.connect('b');
    await one.subscribe('$share/g/a', { qos: 0 });
    await two.subscribe('$share/g/a', { qos: 2 });
    await publishMany(await h.connect('p'), 2, 2);
    await one.settle();
    await two.settle();
    expect([one.take('publish')[0]?.qos, two.take('publish')[0]?.qos]).toEqual([0, 2]);
  });

  it('skips a member that is full', async () => {
    const h = new Harness();
    const slow = await h.connect5('slow', { properties: [['receiveMaximum', 2]] });
    slow.acknowledges = false;
    const quick = await h.connect5('quick');
    await slow.subscribe('$share/g/a');
    await quick.subscribe('$share/g/a');
    await publishMany(await h.connect('p'), 20, 1);
    expect(await counts(slow, quick)).toEqual([2, 18]);
  });

  it('skips a member that does not read', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxOutboxBytes: 100 };
    const stalled = await h.connect('stalled');
    const reading = await h.connect('reading');
    await stalled.subscribe('$share/g/a');
    await reading.subscribe('$share/g/a');
    stalled.link.stall();
    await publishMany(await h.connect('p'), 200, 0);
    const [, got] = await counts(stalled, reading);
    expect(got).toBeGreaterThan(150);
    expect(h.broker.stats.droppedSlow).toBe(0);
  });

  it('skips a durable member that is away while another is there, and queues for it when nobody is', async () => {
    const h = new Harness();
    const away = await h.connect('away', { clean: false });
    const here = await h.connect('here');
    await away.subscribe('$share/g/a');
    await here.subscribe('$share/g/a');
    await away.cut();
    const publisher = await h.connect('p');
    await publishMany(publisher, 5, 1);
    expect(await counts(here)).toEqual([5]);
    await here.cut();
    await publishMany(publisher, 3, 1);
    const back = await h.connect('away', { clean: false });
    expect(await counts(back)).toEqual([3]);
  });

  it('gives what a leaving member has not acknowledged at QoS 1 to another', async () => {
    const h = new Harness();
    const leaving = await h.connect('leaving');
    leaving.acknowledges = false;
    await leaving.subscribe('$share/g/a');
    await publishMany(await h.connect('p'), 3, 1);
    const staying = await h.connect('staying');
    await staying.subscribe('$share/g/a');
    await leaving.settle();
    await leaving.send(acknowledgement('puback', leaving.take('publish')[0]!.packetId));
    await leaving.cut();
    await staying.settle();
    expect(staying.messages()).toEqual(['a 1', 'a 2']);
  });

  it('never moves a QoS 2 message that was sent, but one that was not', async () => {
    const h = new Harness();
    const leaving = await h.connect5('leaving', { properties: [['receiveMaximum', 1]] });
    leaving.acknowledges = false;
    await leaving.subscribe('$share/g/a');
    await publishMany(await h.connect('p'), 3, 2);
    const staying = await h.connect('staying');
    await staying.subscribe('$share/g/a');
    await leaving.cut();
    await staying.settle();
    expect(staying.messages()).toEqual(['a 1', 'a 2']);
  });

  it('gives it to another at the QoS of the two of them', async () => {
    const h = new Harness();
    const leaving = await h.connect('leaving');
    leaving.acknowledges = false;
    await leaving.subscribe('$share/g/a', { qos: 1 });
    await publishMany(await h.connect('p'), 1, 2);
    const staying = await h.connect('staying');
    await staying.subscribe('$share/g/a', { qos: 2 });
    await leaving.cut();
    await staying.settle();
    expect(staying.take('publish').map(({ qos }) => qos)).toEqual([2]);
  });

  it('gives nobody what has expired meanwhile', async () => {
    const h = new Harness();
    const leaving = await h.connect('leaving');
    leaving.acknowledges = false;
    await leaving.subscribe('$share/g/a');
    const publisher = await h.connect5('p');
    await publisher.publish('a', 'short', { qos: 1, properties: [['messageExpiryInterval', 1]] });
    await publisher.publish('a', 'long', { qos: 1, properties: [['messageExpiryInterval', 9]] });
    const staying = await h.connect('staying');
    await staying.subscribe('$share/g/a');
    await h.clock.advance(1_000);
    await leaving.cut();
    await staying.settle();
    expect(staying.messages()).toEqual(['a long']);
  });

  it("is nobody else's once the last member has left", async () => {
    const h = new Harness();
    const member = await h.connect('a');
    await member.subscribe('$share/g/a');
    await member.unsubscribe('$share/g/a');
    expect(h.broker.stats.subscriptions).toBe(0);
    const publisher = await h.connect5('p');
    expect((await publisher.publish('a', 'x', { qos: 1 }))?.code).toBe(0x10);
  });

  describe('whose member has a durable session', () => {
    const leave = async (h: Harness, publish: (publisher: TestClient) => Promise<void>): Promise<void> => {
      const member = h.open(5, 'leaving');
      member.acknowledges = false;
      const properties = [
        ['sessionExpiryInterval', 60],
        ['receiveMaximum', 2],
      ] as const;
      await member.send(connectBytes('leaving', { version: 5, clean: false, properties }));
      await member.subscribe(['$share/g/a', 'other']);
      await publish(await h.connect('p'));
      await member.settle();
      await member.cut();
    };

    it('leaves it its messages while it is away, and gives them to the others once its session has ended', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 5, 1));
      const staying = await h.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      await h.clock.advance(59_000);
      expect(staying.messages()).toEqual([]);
      await h.clock.advance(1_000);
      await staying.settle();
      expect(staying.messages()).toEqual(['a 0', 'a 1', 'a 2', 'a 3', 'a 4']);
      expect((await h.vault.open(staying.tenantId)).sessions).toMatchObject([{ clientId: 'staying' }]);
    });

    it('keeps from the others what it was sent at QoS 2, and what was its own', async () => {
      const h = new Harness();
      await leave(h, async (publisher) => {
        await publishMany(publisher, 4, 2);
        await publisher.publish('other', 'own', { qos: 1 });
      });
      const staying = await h.connect('staying');
      await staying.subscribe('$share/g/a');
      await h.clock.advance(60_000);
      await staying.settle();
      expect(staying.messages()).toEqual(['a 2', 'a 3']);
    });

    it('gives each of them on once, also where the process is killed in the middle of it', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const staying = await h.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      const { vault, store } = h;
      const read = vault.read.bind(vault);
      vault.read = async (...page) => {
        await store.flush(); // as PostgreSQL's: a reader sees what was written before it
        return read(...page);
      };
      const { link } = staying;
      const write = link.write.bind(link);
      link.write = (chunks) => {
        store.hold(); // what was handed over is committed, and nothing after it
        return write(chunks);
      };
      await h.clock.advance(60_000);
      await staying.settle();
      expect(staying.messages()).toEqual(['a 0', 'a 1', 'a 2']);
      const next = await h.crash();
      const again = await next.connect('staying', { clean: false });
      await next.clock.advance(60_000);
      await again.settle();
      expect(again.messages()).toEqual(['a 0', 'a 1', 'a 2']);
      expect((await next.vault.open(again.tenantId)).sessions).toMatchObject([{ clientId: 'staying' }]);
    });

    it('gives them on when the store is back, where that was away as its session ended', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const staying = await h.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      const { vault } = h;
      const read = vault.read.bind(vault);
      vault.read = () => Promise.reject(away());
      await h.clock.advance(65_000);
      vault.read = read;
      await h.clock.advance(5_000);
      await staying.settle();
      expect(staying.messages()).toEqual(['a 0', 'a 1', 'a 2']);
      expect((await vault.open(staying.tenantId)).sessions).toMatchObject([{ clientId: 'staying' }]);
    });

    it.each([
      ['says no', 5, 0x88, () => Promise.reject(away())],
      ['says no', 4, 3, () => Promise.reject(away())],
      ['says nothing', 5, 0x88, () => new Promise<never>(() => undefined)],
    ])(
      'has whoever comes by its client identifier told that the server is unavailable, while the store %s, level %i',
      async (_what, version, code, read) => {
        const h = new Harness();
        await leave(h, (publisher) => publishMany(publisher, 3, 1));
        h.vault.read = read;
        await h.clock.advance(60_000);
        const early = h.open(version, 'leaving');
        await early.send(connectBytes('leaving', { version }));
        expect(early.connack).toBeUndefined();
        await h.clock.advance(3_000);
        await early.settle();
        const late = await h.connect('leaving', { version }); // the same has gone on for longer than anybody waits
        expect([early.connack, late.connack]).toMatchObject([{ code }, { code }]);
      },
    );

    it('has it told that the server is unavailable where it begins anew while the store is away, and lets it in afterwards', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const staying = await h.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      const { vault } = h;
      const read = vault.read.bind(vault);
      vault.read = () => Promise.reject(away());
      const refused = await h.connect5('leaving');
      await h.clock.advance(3_000);
      await refused.settle();
      expect(refused.connack).toMatchObject({ code: 0x88 });
      vault.read = read;
      await h.clock.advance(1_000);
      await staying.settle();
      expect(staying.messages()).toEqual(['a 0', 'a 1', 'a 2']);
      expect((await h.connect5('leaving')).connack).toMatchObject({ code: 0, sessionPresent: false });
    });

    it('lets whoever comes by its client identifier in as soon as it is done', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const { vault } = h;
      const read = vault.read.bind(vault);
      vault.read = () => Promise.reject(away());
      await h.clock.advance(60_500);
      const newcomer = h.open(5, 'leaving');
      await newcomer.send(connectBytes('leaving', { version: 5 }));
      vault.read = read;
      await h.clock.advance(1_000);
      await newcomer.settle();
      expect(newcomer.connack).toMatchObject({ code: 0, sessionPresent: false });
    });

    it('goes on from where it was, should the store be away in between: what is settled is no place of the queue any more', async () => {
      const h = new Harness();
      const leaving = h.open(5, 'leaving');
      leaving.acknowledges = false;
      const properties = [['sessionExpiryInterval', 60]] as const;
      await leaving.send(connectBytes('leaving', { version: 5, clean: false, properties }));
      await leaving.subscribe('$share/g/a', { qos: 2 });
      const publisher = await h.connect('p');
      await publishMany(publisher, 1_000, 1);
      await publishMany(publisher, 20, 2);
      const next = await h.crash(); // and a thousand may have been sent
      const staying = await next.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a', { qos: 2 });
      const { vault } = next;
      const read = vault.read.bind(vault);
      let reads = 0;
      vault.read = (...page) => ((reads += 1) === 3 ? Promise.reject(away()) : read(...page));
      await next.clock.advance(70_000);
      await staying.settle();
      expect(reads).toBeGreaterThan(3);
      expect(staying.messages()).toHaveLength(1_020);
    });

    it('is not tried again for what is wrong with it, and nobody waits for that', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const staying = await h.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      h.vault.read = () => Promise.reject(new Error('no such column'));
      await h.clock.advance(65_000);
      expect(h.faults).toMatchObject([{ message: 'no such column' }]);
      expect((await h.vault.open(staying.tenantId)).sessions).toMatchObject([{ clientId: 'staying' }]);
    });

    it('leaves them to the next process where the store is away until this one stops', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const staying = await h.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      await staying.cut();
      h.vault.read = () => Promise.reject(away());
      await h.clock.advance(65_000);
      await Promise.all([h.broker.stop(), h.clock.advance(1_000)]);
      const next = await h.crash();
      await next.clock.advance(1_000);
      const again = await next.connect('staying', { clean: false });
      await again.settle();
      expect(again.messages()).toEqual(['a 0', 'a 1', 'a 2']);
    });

    it('gives them on where its session has ended while no process ran, however long the others take to load', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const busy = await h.connect('busy', { clean: false });
      for (let n = 0; n < 20; n += 1)
        await busy.subscribe(Array.from({ length: 100 }, (_, i) => `busy/${n}/${i}`));
      const staying = await h.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      await staying.cut();
      const { clock } = h;
      clock.forget();
      await clock.advance(60_000);
      const after = clock.after.bind(clock);
      clock.after = (ms, callback) => {
        if (ms === 0) clock.soon(callback); // what is due is called between two turns, also while the tenant is loaded
        return after(ms, callback);
      };
      const next = await h.crash();
      await clock.advance(1_000);
      const again = await next.connect('staying', { clean: false });
      await again.settle();
      expect(again.messages()).toEqual(['a 0', 'a 1', 'a 2']);
    });

    it('gives them on when it begins anew, before it is let in, and after a crash', async () => {
      const h = new Harness();
      await leave(h, (publisher) => publishMany(publisher, 3, 1));
      const next = await h.crash();
      const staying = await next.connect('staying', { clean: false });
      await staying.subscribe('$share/g/a');
      const anew = await next.connect5('leaving');
      await staying.settle();
      expect(anew.connack).toMatchObject({ code: 0, sessionPresent: false });
      expect(staying.messages()).toEqual(['a 0', 'a 1', 'a 2']);
      await anew.subscribe('other');
      expect(anew.messages()).toEqual([]);
    });
  });
});
