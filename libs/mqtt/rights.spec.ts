import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import type { ClientId, TenantId } from './message.js';
import { Reasons } from './reason.js';
import { connectBytes, Harness, policyOf, property, type TestClient } from './testing/index.js';

const tenantId = 'tenant-a' as TenantId;
const everybody = (): boolean => true;

describe('a change of rights', () => {
  it('ends subscriptions on live connections, durably, and lowers QoS', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { expiry: 100 });
    await client.subscribe(['a', 'b', '$share/g/c']);
    h.gate.allow({ subscribe: ['b'], maxQos: 1 }, 'alice');
    const receipt = await h.broker.reauthorize(tenantId, everybody);
    expect(receipt).toEqual({
      sessionsTouched: 1,
      subscriptionsRemoved: 2,
      connectionsClosed: 0,
      willsSuppressed: 0,
      willsSent: 0,
      retainedCleared: 0,
    });
    for (const topic of ['a', 'b', 'c']) await client.publish(topic, 'x', { qos: 2 });
    expect(client.take('publish')).toMatchObject([{ topic: 'b', qos: 1 }]);
    const next = await h.crash();
    expect((await next.vault.open(tenantId)).sessions[0]?.subscriptions).toMatchObject([
      { filter: 'b', qos: 1 },
    ]);
  });

  it('leaves a denial on record for each subscription it ended, of clients that are away too', async () => {
    const h = new Harness();
    const here = await h.connect5('alice');
    await here.subscribe(['a', 'b', '$share/g/c']);
    const away = await h.connect5('bob', { expiry: 100 });
    await away.subscribe('a');
    await away.cut();
    h.gate.allow({ subscribe: ['b'] });
    await h.broker.reauthorize(tenantId, everybody);
    const common = { action: 'subscribe', reason: Reasons.notAuthorized };
    const detail = expect.stringMatching(/^a change of rights ended the subscription: ./);
    expect(h.journal.denials).toMatchObject([
      { ...common, clientId: 'alice', topic: 'a', remoteAddress: here.link.remoteAddress, detail },
      { ...common, clientId: 'alice', topic: '$share/g/c', detail },
      { ...common, clientId: 'bob', topic: 'a', remoteAddress: '', detail },
    ]);
    await h.broker.reauthorize(tenantId, everybody);
    expect(h.journal.denials).toHaveLength(3);
  });

  it('concerns whom it concerns, in its tenant', async () => {
    const h = new Harness();
    const alice = await h.connect5('alice');
    const bob = await h.connect5('bob');
    const stranger = await h.connect5('alice', { username: 'x@tenant-b' });
    for (const client of [alice, bob, stranger]) await client.subscribe('a');
    h.gate.allow({ subscribe: [] });
    const receipt = await h.broker.reauthorize(tenantId, ({ clientId }) => clientId === 'alice');
    expect(receipt).toMatchObject({ sessionsTouched: 1, subscriptionsRemoved: 1 });
    expect(h.broker.stats.subscriptions).toBe(2);
    expect(await h.broker.reauthorize('nobody' as TenantId, everybody)).toMatchObject({ sessionsTouched: 0 });
  });

  it.each([
    ['not-authorized', Reasons.notAuthorized],
    ['administrative-action', Reasons.administrativeAction],
  ])('that refuses somebody closes with %s, and the will does not fire', async (_name, reason) => {
    const h = new Harness();
    const watcher = await h.connect5('watcher');
    await watcher.subscribe('#');
    const client = await h.connect5('alice', { will: { topic: 'w', payload: 'gone' } });
    h.gate.refusal = reason;
    const receipt = await h.broker.reauthorize(tenantId, ({ clientId }) => clientId === 'alice');
    await client.settle();
    expect(receipt).toMatchObject({ connectionsClosed: 1, willsSuppressed: 1 });
    expect(client.goodbye).toBe(reason.code);
    h.gate.refusal = undefined;
    await watcher.settle();
    expect(watcher.messages()).toEqual([]);
    expect(h.journal.current(tenantId, 'alice')).toMatchObject({ state: 'offline', cause: 'kicked' });
  });

  it('suppresses wills whose right is gone, of live connections and of those that wait for their delay', async () => {
    const h = new Harness();
    const will = { topic: 'w', properties: [['willDelayInterval', 50]] as const };
    await (await h.connect5('away', { expiry: 100, will })).cut();
    await h.connect5('here', { will });
    h.gate.allow({ publish: ['other'] });
    expect(await h.broker.reauthorize(tenantId, everybody)).toMatchObject({ willsSuppressed: 2 });
    await h.settle();
    expect((await h.vault.reopen().open(tenantId)).wills).toEqual([]);
  });

  it('reaches sessions that are away', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { clean: false });
    await client.subscribe('a', { qos: 1 });
    await client.cut();
    h.gate.allow({ subscribe: [] }, 'alice');
    expect(await h.broker.reauthorize(tenantId, everybody)).toMatchObject({ subscriptionsRemoved: 1 });
    await (await h.connect('bob')).publish('a', 'x', { qos: 1 });
    expect((await h.vault.open(tenantId)).sessions).toMatchObject([{ queuedMessages: 0 }]);
  });

  it('that cannot be asked for changes nothing', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('a');
    h.gate.refusal = Reasons.serverUnavailable;
    expect(await h.broker.reauthorize(tenantId, everybody)).toMatchObject({ connectionsClosed: 0 });
    await client.publish('a', 'x');
    expect(client.messages()).toEqual(['a x']);
  });

  it('close behind another one wins, whichever answer comes first', async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const h = new Harness();
      const client = await h.connect5('alice');
      const answers: (() => void)[] = [];
      const review = h.gate.review.bind(h.gate);
      h.gate.review = async (principal) => {
        const answer = await review(principal);
        return new Promise((resolve) => answers.push(() => resolve(answer)));
      };
      h.gate.allow({ publish: ['old'] });
      const first = h.broker.reauthorize(tenantId, everybody);
      await h.settle();
      h.gate.allow({ publish: ['new'] });
      const second = h.broker.reauthorize(tenantId, everybody);
      await h.settle();
      for (const at of order) answers[at]!();
      await Promise.all([first, second]);
      expect((await client.publish('old', 'x', { qos: 1 }))?.code).toBe(0x87);
      expect((await client.publish('new', 'x', { qos: 1 }))?.code).toBe(0x10);
    }
  });

  it('is true of who was judged before it, and let in after it, from the first packet on', async () => {
    for (const expiry of [undefined, 100]) {
      const h = new Harness();
      const watcher = await h.connect5('watcher');
      await watcher.subscribe('#');
      const before = h.gate.grantTo('device', 'late' as ClientId);
      h.gate.isSlow = true;
      const admit = h.gate.admit.bind(h.gate);
      h.gate.admit = async (request) => (await admit(request)) && before;
      const late = h.open(5);
      const list = expiry === undefined ? [] : ([['sessionExpiryInterval', expiry]] as const);
      const publish = late.publishBytes('secret', 'x', { qos: 1, id: 1 });
      await late.send(Buffer.concat([connectBytes('late', { version: 5, properties: list }), publish]));
      h.gate.allow({ publish: [] }, 'late');
      await h.broker.reauthorize(tenantId, everybody);
      h.gate.answer();
      await late.settle();
      await watcher.settle();
      expect(late.connack?.code).toBe(0);
      expect(late.packets.find(({ type }) => type === 'puback')?.code).toBe(0x87);
      expect(watcher.messages()).toEqual([]);
    }
  });

  it('keeps out who was judged before it, with its will, and sends it nothing of what waits', async () => {
    const h = new Harness();
    const publisher = await h.connect5('publisher');
    await publisher.subscribe('will');
    const first = await h.connect5('late', { expiry: 100 });
    await first.subscribe('a');
    await first.cut();
    await publisher.publish('a', 'waits', { qos: 1 });
    h.store.hold();
    const late = await h.connect5('late', { expiry: 100, will: { topic: 'will' } });
    h.gate.refusal = Reasons.notAuthorized;
    const done = h.broker.reauthorize(tenantId, ({ clientId }) => clientId === 'late');
    h.store.commit();
    await done;
    await late.settle();
    expect(late.connack?.code).toBe(0x87);
    expect(late.messages()).toEqual([]);
    h.gate.refusal = undefined;
    await publisher.settle();
    expect(publisher.messages()).toEqual([]);
    const again = await h.connect5('late', { expiry: 100 });
    expect(again.messages()).toEqual(['a waits']);
  });

  it('of another tenant asks nobody again', async () => {
    const h = new Harness();
    await h.connect5('first');
    h.gate.isSlow = true;
    const late = await h.connect5('late');
    await h.broker.reauthorize('tenant-b' as TenantId, everybody);
    h.gate.review = () => Promise.reject(new Error('not asked'));
    h.gate.answer();
    await late.settle();
    expect(late.connack?.code).toBe(0);
  });

  it('gives a session that somebody else comes for meanwhile nothing of what it had before', async () => {
    const h = new Harness();
    h.gate.allow({ publish: [] });
    const before = await h.connect5('shared', { expiry: 100, username: 'before@tenant-a' });
    await before.cut();
    h.store.hold();
    const after = await h.connect5('shared', { expiry: 100, username: 'after@tenant-a' });
    const review = h.gate.review.bind(h.gate);
    let answer = (): void => undefined;
    h.gate.review = async (principal) => {
      if (principal.username === 'after@tenant-a') return review(principal);
      await new Promise<void>((resolve) => (answer = resolve));
      const granted = await review(principal);
      return granted.kind === 'granted' ? { ...granted, policy: policyOf({}) } : granted;
    };
    const done = h.broker.reauthorize(tenantId, everybody); // asks about who had it before
    h.store.commit();
    await after.settle();
    expect(after.connack?.code).toBe(0);
    answer();
    await done;
    expect(await after.publish('a', '', { qos: 1 })).toMatchObject({ code: 0x87 });
  });

  it('does not show out who came for the session of somebody that has no right to it any more', async () => {
    const h = new Harness();
    const before = await h.connect5('shared', { expiry: 100, username: 'before@tenant-a' });
    await before.cut();
    h.store.hold();
    const after = await h.connect5('shared', { expiry: 100, username: 'after@tenant-a' });
    const review = h.gate.review.bind(h.gate);
    let answer = (): void => undefined;
    h.gate.review = async (principal) => {
      if (principal.username === 'after@tenant-a') return review(principal);
      await new Promise<void>((resolve) => (answer = resolve));
      return { kind: 'refused', reason: Reasons.notAuthorized, detail: 'revoked', tenantId };
    };
    const done = h.broker.reauthorize(tenantId, everybody);
    h.store.commit();
    await after.settle();
    answer();
    await done;
    await after.settle();
    expect(after.link.isEnded).toBe(false);
    expect(await after.ping()).toBe(true);
  });

  it('by the time of day is there soon after a clock that is set forward has passed it', async () => {
    const h = new Harness();
    h.gate.expiresAt = h.clock.now() + 3_600_000;
    const ends = await h.connect5('ends');
    h.gate.expiresAt = undefined;
    h.gate.reviewAt = h.clock.now() + 3_600_000;
    const narrowed = await h.connect5('narrowed');
    h.gate.reviewAt = undefined;
    h.gate.allow({ publish: [] });
    h.clock.setForward(8 * 3_600_000);
    await h.clock.advance(60_000);
    await ends.settle();
    expect(ends.goodbye).toBe(0x87);
    expect(await narrowed.publish('a', '', { qos: 1 })).toMatchObject({ code: 0x87 });
  });

  it('brings new limits', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    h.gate.limits = { ...defaultLimits, maxSubscriptionsPerSession: 1 };
    await h.broker.reauthorize(tenantId, everybody);
    expect((await client.subscribe(['a', 'b']))?.codes).toEqual([2, 0x97]);
  });

  it('leaves a client what its CONNACK has told it, and tells the next one what is new', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    client.acknowledges = false;
    h.gate.limits = {
      ...defaultLimits,
      receiveMaximum: 1,
      topicAliasMaximum: 0,
      maxPacketBytes: 100,
      maxRetainedMessages: 0,
    };
    await h.broker.reauthorize(tenantId, everybody);
    for (const id of [1, 2])
      expect(await client.publish('a', 'x', { qos: 2, id })).toMatchObject({ code: 0x10 });
    expect(await client.publish('a', 'x'.repeat(200), { qos: 1, id: 3 })).toMatchObject({ code: 0x10 });
    await client.publish('a', 'x', { properties: [['topicAlias', 1]] });
    expect(await client.publish('a', 'x', { qos: 1, id: 4, retain: true })).toMatchObject({ code: 0x97 });
    expect(client.goodbye).toBeUndefined();
    const { connack } = await h.connect5('bob');
    expect(property(connack, 'receiveMaximum')).toBe(1);
    expect(property(connack, 'maximumPacketSize')).toBe(100);
    expect(property(connack, 'topicAliasMaximum')).toBeUndefined();
    expect(property(connack, 'retainAvailable')).toBe(0);
  });
});

describe('the right to receive', () => {
  it('narrows a subscription, message by message, retained ones too', async () => {
    const h = new Harness();
    h.gate.allow({ receive: ['open/#'] }, 'alice');
    const publisher = await h.connect('bob');
    await publisher.publish('secret/r', 'x', { retain: true });
    await publisher.publish('open/r', 'x', { retain: true });
    const client = await h.connect('alice');
    await client.subscribe('#');
    for (const topic of ['secret/a', 'open/a']) await publisher.publish(topic, 'x', { qos: 1 });
    await client.settle();
    expect(client.messages()).toEqual(['open/r x', 'open/a x']);
  });
});

describe('tenants', () => {
  it("are out of each other's reach, with the same identifiers, topics, groups, wills and retained messages", async () => {
    const h = new Harness();
    const ours = await h.connect5('alice', { username: 'x@tenant-a', will: { topic: 'w', payload: 'ours' } });
    const theirs = await h.connect5('alice', { username: 'x@tenant-b', expiry: 100 });
    await theirs.subscribe(['#', '$share/g/#', '$other/#']);
    await ours.publish('r', 'ours', { qos: 2, retain: true });
    await ours.cut();
    await theirs.subscribe('r');
    await theirs.settle();
    expect(theirs.messages()).toEqual([]);
    expect(h.broker.statsOf('tenant-b' as TenantId)).toMatchObject({ messagesReceived: 0, messagesSent: 0 });
    const back = await h.connect5('alice', { username: 'x@tenant-a', clean: false });
    expect(back.connack?.sessionPresent).toBe(false);
  });
});

describe('a device that is gone', () => {
  it('leaves nothing: its connection is closed, its session ends, its wills are not published', async () => {
    const h = new Harness();
    const watcher = await h.connect5('watcher');
    await watcher.subscribe('#');
    const will = { topic: 'w', properties: [['willDelayInterval', 50]] as const };
    const away = await h.connect5('away', { expiry: 100, will });
    await away.subscribe('$share/g/a', { qos: 1 });
    await away.cut();
    const here = await h.connect5('here', { expiry: 100, will: { topic: 'w' } });
    const gone = { sessionsTouched: 1, willsSuppressed: 1, willsSent: 0 };
    expect(await h.broker.expel(tenantId, 'device-away')).toMatchObject({ ...gone, connectionsClosed: 0 });
    expect(await h.broker.expel(tenantId, 'device-here')).toMatchObject({ ...gone, connectionsClosed: 1 });
    await here.settle();
    expect(here.goodbye).toBe(0x87);
    await h.clock.advance(60_000);
    expect(watcher.messages()).toEqual([]);
    expect(h.broker.stats).toMatchObject({ sessions: 1, connections: 1 });
    expect((await h.vault.reopen().open(tenantId)).sessions).toEqual([]);
  });

  it('leaves nothing of a client that was signing in just then', async () => {
    const h = new Harness();
    h.gate.isSlow = true;
    const late = h.open(5);
    await late.send(connectBytes('late', { version: 5, properties: [['sessionExpiryInterval', 100]] }));
    await h.broker.expel(tenantId, 'device-late');
    h.gate.review = async () => {
      return { kind: 'refused', reason: Reasons.notAuthorized, detail: 'the credential is gone', tenantId };
    };
    h.gate.answer();
    await late.settle();
    expect(late.connack?.code).toBe(0x87);
    expect(h.broker.stats).toMatchObject({ sessions: 0, connections: 0 });
    expect((await h.vault.reopen().open(tenantId)).sessions).toEqual([]);
  });
});

describe('wills of those that are shown out', () => {
  it.each([
    ['sent', {}, { willsSent: 1, willsSuppressed: 0 }],
    ['suppressed', { publish: ['other'] }, { willsSent: 0, willsSuppressed: 1 }],
  ] as const)('are counted as %s', async (_name, rules, counted) => {
    const h = new Harness();
    await h.connect5('alice', { will: { topic: 'w' } });
    h.gate.allow(rules, 'alice');
    const done = h.broker.disconnect(tenantId, 'alice' as ClientId);
    await h.settle();
    expect(await done).toMatchObject({ sessionsTouched: 1, connectionsClosed: 1, ...counted });
  });
});

/** A client that acknowledges nothing, and is sent one message at a time: the next ones wait for it. */
async function takingOne(h: Harness, clientId: string, expiryS: number): Promise<TestClient> {
  const client = await h.connect5(clientId, {
    properties: [
      ['receiveMaximum', 1],
      ['sessionExpiryInterval', expiryS],
    ],
  });
  client.acknowledges = false;
  return client;
}

describe('what waits for a client', () => {
  const changes = {
    'is swapped': (h: Harness) => h.broker.renewPolicies(tenantId, () => policyOf({ subscribe: ['kept'] })),
    'is asked for': (h: Harness) => {
      h.gate.allow({ subscribe: ['kept'] });
      return h.broker.reauthorize(tenantId, everybody);
    },
  } as const;
  it.each([
    ['is swapped', 0],
    ['is asked for', 0],
    ['is swapped', 1_000],
    ['is asked for', 1_000],
  ] as const)('is held against its rights when the policy %s, session expiry %i s', async (how, expiry) => {
    const h = new Harness();
    const client = await takingOne(h, 'alice', expiry);
    await client.subscribe(['gone', 'kept']);
    const publisher = await h.connect5('bob');
    for (const n of [1, 2, 3]) {
      await publisher.publish('gone', `${n}`, { qos: 1 });
      await publisher.publish('kept', `${n}`, { qos: 1 });
    }
    await client.settle();
    expect(client.messages()).toEqual(['gone 1']);
    const done = changes[how](h);
    await h.settle();
    expect(await done).toMatchObject({ subscriptionsRemoved: 1 });
    await client.catchUp();
    await publisher.publish('kept', '4', { qos: 1 });
    await client.settle();
    expect(client.messages()).toEqual(['kept 1', 'kept 2', 'kept 3', 'kept 4']);
    expect(h.broker.stats.droppedDenied).toBe(2);
  });
});

describe('what waits of a shared subscription whose right is gone', () => {
  it.each([
    ['that is there', 0],
    ['that is there', 1_000],
    ['that comes back', 1_000],
    ['that does not come back', 1_000],
  ] as const)('for a member %s (session expiry %i s) goes to another', async (which, expiry) => {
    const h = new Harness();
    const loser = await takingOne(h, 'loser', expiry);
    await loser.subscribe('$share/g/job');
    const publisher = await h.connect5('publisher');
    for (const n of [1, 2, 3]) await publisher.publish('job', `${n}`, { qos: 1 });
    await loser.settle();
    expect(loser.messages()).toEqual(['job 1']);
    const other = await h.connect5('other');
    await other.subscribe('$share/g/job');
    if (which !== 'that is there') await loser.cut();
    h.gate.allow({ subscribe: [] }, 'loser');
    await h.broker.reauthorize(tenantId, everybody);
    if (which === 'that is there') await loser.catchUp();
    else if (which === 'that comes back') {
      const back = await h.connect5('loser', { clean: false, expiry });
      expect(back.messages()).toEqual([]);
    } else await h.clock.advance(1_000_000);
    await other.settle();
    const left = which === 'that is there' ? ['job 2', 'job 3'] : ['job 1', 'job 2', 'job 3'];
    expect(other.messages()).toEqual(left);
    expect(h.broker.stats.droppedDenied).toBe(0);
    expect(loser.messages()).toEqual([]);
  });
});

describe('a message that is being stored', () => {
  it('does not reach whose right to it goes meanwhile', async () => {
    const h = new Harness();
    const publisher = await h.connect5('bob', { expiry: 100 });
    const clients = [await h.connect5('alice'), await h.connect5('carol')];
    for (const client of clients) await client.subscribe(['gone', 'kept']);
    h.store.hold();
    for (const topic of ['gone', 'kept']) await publisher.publish(topic, 'x', { qos: 2 });
    h.gate.allow({ subscribe: ['kept'] }, 'alice');
    await h.broker.reauthorize(tenantId, everybody);
    h.store.commit();
    for (const client of clients) await client.settle();
    expect(clients.map((client) => client.messages())).toEqual([['kept x'], ['gone x', 'kept x']]);
    expect(h.broker.stats.droppedDenied).toBe(1);
  });
});

describe('a policy that is renewed', () => {
  it('is swapped under those who have it, and the gate is asked only where that is not enough', async () => {
    const h = new Harness();
    h.gate.allow({ subscribe: ['a'] });
    h.gate.allow({ subscribe: ['a', 'swapped'] }, 'alice');
    h.gate.allow({ subscribe: ['a', 'asked'] }, 'carol');
    const [alice, bob, carol] = await Promise.all(['alice', 'bob', 'carol'].map((name) => h.connect5(name)));
    for (const client of [alice, bob, carol]) await client?.subscribe('a');
    h.gate.allow({ subscribe: [] });
    h.gate.allow({ subscribe: [] }, 'carol');
    const receipt = await h.broker.renewPolicies(tenantId, (policy) => {
      if (policy.subscribeRight('swapped').allowed) return policyOf({ subscribe: [] });
      return policy.subscribeRight('asked').allowed ? undefined : policy;
    });
    expect(receipt).toMatchObject({ sessionsTouched: 2, subscriptionsRemoved: 2, connectionsClosed: 0 });
    await bob?.publish('a', 'x');
    expect([alice, bob, carol].map((client) => client?.messages())).toEqual([[], ['a x'], []]);
  });

  it('is gone for all of thousands within a few turns, long before the last subscription is looked at', async () => {
    const h = new Harness();
    const publisher = await h.connect5('publisher');
    await publisher.publish('up', 'x', { qos: 1 });
    const crowd = await Promise.all(Array.from({ length: 3_000 }, (_, n) => h.connect5(`c${n}`)));
    for (const client of crowd) client.link.send(client.subscribeBytes([`crowd/${client.clientId}`]));
    await h.settle();
    const done = h.broker.renewPolicies(tenantId, () =>
      policyOf({ publish: ['crowd/#'], subscribe: ['other'] }),
    );
    for (let turn = 0; turn < 3; turn++) await h.clock.turn();
    const left = h.broker.stats.subscriptions;
    const some = crowd.filter((_, n) => n % 150 === 149);
    await publisher.send(...some.map(({ clientId }) => publisher.publishBytes(`crowd/${clientId}`, 'x')));
    for (const client of some) await client.settle();
    expect(left).toBeGreaterThan(2_000);
    expect(some.flatMap((client) => client.messages())).toEqual([]);
    expect(await done).toMatchObject({ sessionsTouched: 3_001, subscriptionsRemoved: 3_000 });
    expect((await publisher.publish('up', 'x', { qos: 1 }))?.code).toBe(0x87);
  });

  it('takes rights that were remembered, the will that has lost its own, and leaves when the connection ends', async () => {
    const h = new Harness();
    h.gate.expiresAt = h.clock.now() + 60_000;
    const client = await h.connect5('alice', { will: { topic: 'w' } });
    expect((await client.publish('a', 'x', { qos: 1 }))?.code).toBeLessThan(0x80);
    const receipt = await h.broker.renewPolicies(tenantId, () => policyOf({ publish: ['b'] }));
    expect(receipt).toMatchObject({ sessionsTouched: 1, willsSuppressed: 1 });
    expect((await client.publish('a', 'x', { qos: 1 }))?.code).toBe(0x87);
    expect((await client.publish('b', 'x', { qos: 1 }))?.code).toBeLessThan(0x80);
    await h.clock.advance(60_000);
    expect(client.link.isEnded).toBe(true);
  });

  it('shows out whom it lets in no more, and leaves nothing of the will', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { will: { topic: 'w' } });
    const receipt = await h.broker.renewPolicies(tenantId, () => {
      return { kind: 'refused', reason: Reasons.notAuthorized, detail: 'denied', tenantId };
    });
    await client.settle();
    expect(receipt).toMatchObject({ sessionsTouched: 1, connectionsClosed: 1, willsSuppressed: 1 });
    expect(client.goodbye).toBe(0x87);
  });

  it('shows out nobody who has come for a session since', async () => {
    const h = new Harness();
    const crowd = await Promise.all(Array.from({ length: 1_000 }, (_, n) => h.connect5(`c${n}`)));
    const mine = await h.connect5('mine', { expiry: 100, username: 'before@tenant-a' });
    await mine.cut();
    const reason = Reasons.notAuthorized;
    const done = h.broker.renewPolicies(tenantId, () => ({ kind: 'refused', reason, detail: '', tenantId }));
    const after = h.open(5, 'mine');
    after.link.send(connectBytes('mine', { version: 5, clean: false, username: 'after@tenant-a' }));
    await h.clock.turn();
    await after.settle();
    await done;
    await after.settle();
    expect(crowd.every(({ link }) => link.isEnded)).toBe(true);
    expect([after.connack?.code, after.link.isEnded]).toEqual([0, false]);
  });

  it('is asked about in pieces where thousands are concerned, and goes from each of them', async () => {
    const h = new Harness();
    const crowd = await Promise.all(Array.from({ length: 1_200 }, (_, n) => h.connect5(`c${n}`)));
    for (const client of crowd) client.link.send(client.subscribeBytes(['a']));
    await h.settle();
    let asked = 0;
    const ask = h.gate.review.bind(h.gate);
    h.gate.review = (principal) => {
      asked += 1;
      return ask(principal);
    };
    h.gate.allow({ subscribe: [] });
    const done = h.broker.reauthorize(tenantId, everybody);
    const pieces = [asked];
    for (let turn = 0; turn < 4; turn++) {
      await h.clock.turn();
      pieces.push(asked);
    }
    expect(pieces).toEqual([500, 1_000, 1_200, 1_200, 1_200]);
    expect(await done).toMatchObject({ sessionsTouched: 1_200, subscriptionsRemoved: 1_200 });
    expect(crowd.every(({ link }) => !link.isEnded)).toBe(true);
  });

  it('is taken from the gate where a review is under way, whose answer is of before', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.subscribe('a');
    const answers: (() => void)[] = [];
    const { gate } = h;
    const ask = gate.review.bind(gate);
    gate.review = async (principal) => {
      const answer = await ask(principal);
      await new Promise<void>((resolve) => answers.push(resolve));
      return answer;
    };
    const first = h.broker.reauthorize(tenantId, everybody);
    await h.settle();
    gate.allow({ subscribe: [] });
    const second = h.broker.renewPolicies(tenantId, (policy) => policy);
    await h.settle();
    for (const answer of answers) answer();
    expect([(await first).subscriptionsRemoved, (await second).subscriptionsRemoved]).toEqual([0, 1]);
  });
});
