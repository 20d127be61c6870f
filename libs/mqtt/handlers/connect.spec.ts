import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from '../limits.js';
import type { ClientId, TenantId } from '../message.js';
import { Reasons } from '../reason.js';
import {
  connectBytes,
  frame,
  Harness,
  property,
  text,
  uint16,
  type ConnectOptions,
} from '../testing/index.js';

const tenantA = 'tenant-a' as TenantId;
const alice = 'alice' as ClientId;

describe('signing in', () => {
  it.each([3, 4, 5])('is accepted in protocol level %i', async (version) => {
    const h = new Harness();
    const client = await h.connect('alice', { version });
    expect(client.connack).toMatchObject({ code: 0, sessionPresent: false });
    expect(await client.ping()).toBe(true);
  });

  it('works byte by byte', async () => {
    const h = new Harness();
    const client = h.open(5);
    for (const byte of connectBytes('alice', { version: 5 })) await client.send(Buffer.from([byte]));
    expect(client.connack?.code).toBe(0);
  });

  it('closes without an answer when the first packet is not CONNECT', async () => {
    const h = new Harness();
    const client = h.open();
    await client.send(frame(0xc0));
    expect(client.link.isEnded).toBe(true);
    expect(client.link.received).toHaveLength(0);
  });

  it('ends a silent link at the deadline', async () => {
    const h = new Harness();
    const client = h.open();
    await h.clock.advance(9_999);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(1);
    expect(client.link.isEnded).toBe(true);
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it('refuses a CONNECT over the limit before sign-in from its header alone', async () => {
    const h = new Harness({ preAuthLimits: { maxConnectBytes: 100, signInDeadlineMs: 1_000 } });
    const client = h.open();
    await client.send(Buffer.from([0x10, 0xff, 0x01]));
    expect(client.link.isEnded).toBe(true);
  });

  it('takes a CONNECT with the longest field there is, and answers it', async () => {
    const h = new Harness();
    const longest = 'x'.repeat(65_535);
    const client = await h.connect5('alice', { will: { topic: 'w', payload: longest } });
    expect(client.connack?.code).toBe(0);
    expect((await h.connect5(longest)).connack?.code).toBe(0x85);
    expect((await h.connect(longest)).connack?.code).toBe(2);
  });

  it('closes a second CONNECT with a protocol error', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.send(connectBytes('alice', { version: 5 }));
    expect(client.goodbye).toBe(Reasons.protocolError.code);
    expect(client.link.isEnded).toBe(true);
  });

  it.each([
    [5, 0x86],
    [4, 4],
    [3, 4],
  ])('tells a bad password in the words of level %i', async (version, code) => {
    const h = new Harness();
    const client = await h.connect('alice', { version, username: 'a@tenant-a', password: 'wrong' });
    expect(client.connack).toMatchObject({ code });
    expect(client.link.isEnded).toBe(true);
    expect(h.journal.denials).toMatchObject([{ action: 'connect', reason: Reasons.badUserNameOrPassword }]);
    expect(h.broker.stats.refused).toBe(1);
  });

  it.each([
    [5, 0x88],
    [4, 3],
  ])('says that the server is unavailable while the store is down, level %i', async (version, code) => {
    const h = new Harness();
    h.store.failWith(new Error('down'));
    const client = await h.connect('alice', { version, clean: false });
    expect(client.connack).toMatchObject({ code });
    h.store.failWith(undefined);
    const again = await h.connect('alice', { version, clean: false });
    expect(again.connack).toMatchObject({ code: 0 });
  });

  it('refuses a durable session whose claim fails, and keeps what was there', async () => {
    const h = new Harness();
    const first = await h.connect('alice', { clean: false });
    await first.subscribe('a');
    await first.cut();
    h.store.failWith(new Error('down'));
    expect((await h.connect('alice', { clean: false })).connack?.code).toBe(3);
    h.store.failWith(undefined);
    const again = await h.connect('alice', { clean: false });
    expect(again.connack).toMatchObject({ code: 0, sessionPresent: true });
    await again.publish('a', 'x');
    expect(again.messages()).toEqual(['a x']);
  });

  it('handles what arrives while the gate is asked after CONNACK, in order', async () => {
    const h = new Harness();
    h.gate.isSlow = true;
    const client = h.open();
    await client.send(connectBytes('alice'), client.subscribeBytes(['a']), client.publishBytes('a', 'early'));
    expect(client.link.isPaused).toBe(true);
    await client.send(frame(0xc0));
    expect(client.packets).toEqual([]);
    h.gate.answer();
    await client.settle();
    expect(client.packets.map(({ type }) => type)).toEqual(['connack', 'suback', 'publish', 'pingresp']);
    expect(client.link.isPaused).toBe(false);
  });

  it('does not stop the link for an answer that is there at once', async () => {
    const h = new Harness();
    const client = h.open(5);
    let pauses = 0;
    client.link.pause = () => void (pauses += 1);
    await client.send(connectBytes('alice', { version: 5 }));
    expect(client.connack?.code).toBe(0);
    expect(pauses).toBe(0);
  });

  it('does not stop the link of whoever is refused at once: it has to see that client go', async () => {
    const h = new Harness();
    h.gate.refusal = Reasons.notAuthorized;
    const client = await h.connect('alice');
    expect(client.connack?.code).toBe(5);
    expect([client.link.isEnded, client.link.isPaused]).toEqual([true, false]);
  });

  it('does not buffer without bound while the gate is asked', async () => {
    const h = new Harness();
    h.gate.isSlow = true;
    const client = h.open();
    await client.send(connectBytes('alice'));
    for (let i = 0; i < 20; i++) client.link.sink?.received(Buffer.alloc(64 * 1024));
    await h.settle();
    expect(client.link.isEnded).toBe(true);
  });

  it('forgets a client that went away while the gate was asked', async () => {
    const h = new Harness();
    h.gate.isSlow = true;
    const client = h.open();
    await client.send(connectBytes('alice', { clean: false, will: { topic: 'w' } }));
    client.link.cut();
    h.gate.answer();
    await h.settle();
    expect(h.broker.stats).toMatchObject({ links: 0, connections: 0, sessions: 0 });
    expect(h.journal.events).toEqual([]);
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it('handles what a client sent while the gate was asked also where it left meanwhile', async () => {
    const h = new Harness();
    const reader = await h.connect('reader');
    await reader.subscribe('#');
    h.gate.isSlow = true;
    const client = h.open(4);
    const hello = connectBytes('alice', { will: { topic: 'w' } });
    await client.send(Buffer.concat([hello, client.publishBytes('a', 'said'), frame(0xe0)]));
    client.link.cut();
    h.gate.answer();
    await reader.settle();
    expect(reader.messages()).toEqual(['a said']);
    expect(h.broker.stats.connections).toBe(1);
  });

  it('gives a client without an identifier one that nobody guesses', async () => {
    const h = new Harness();
    const first = await h.connect5('');
    const second = await h.connect5('');
    const id = String(property(first.connack, 'assignedClientIdentifier'));
    expect(id).toMatch(/^auto-[0-9a-f]{32}$/);
    expect(property(second.connack, 'assignedClientIdentifier')).not.toBe(id);
    expect((await h.connect('', { clean: true })).connack?.code).toBe(0);
    expect((await h.connect('', { clean: false })).connack?.code).toBe(2);
  });

  it('tells the truth about limits, and never Maximum QoS 2', async () => {
    const h = new Harness();
    h.gate.limits = {
      ...defaultLimits,
      receiveMaximum: 7,
      maxPacketBytes: 5_000,
      topicAliasMaximum: 3,
      maxKeepAliveS: 60,
      maxSessionExpiryS: 100,
      maxRetainedMessages: 0,
    };
    const { connack } = await h.connect5('alice', { keepAlive: 600, expiry: 1_000 });
    expect(property(connack, 'receiveMaximum')).toBe(7);
    expect(property(connack, 'maximumPacketSize')).toBe(5_000);
    expect(property(connack, 'topicAliasMaximum')).toBe(3);
    expect(property(connack, 'serverKeepAlive')).toBe(60);
    expect(property(connack, 'sessionExpiryInterval')).toBe(100);
    expect(property(connack, 'retainAvailable')).toBe(0);
    expect(property(connack, 'maximumQos')).toBeUndefined();
  });

  it('gives Response Information to whoever asks for it', async () => {
    const h = new Harness();
    h.gate.responseInformation = 'answers/alice';
    const asking = await h.connect5('alice', { properties: [['requestResponseInformation', 1]] });
    expect(property(asking.connack, 'responseInformation')).toBe('answers/alice');
    expect(property((await h.connect5('bob')).connack, 'responseInformation')).toBeUndefined();
  });

  it('refuses a client identifier over the limit and a connection over the tenant quota', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxClientIdBytes: 5, maxConnections: 1 };
    expect((await h.connect5('too-long')).connack?.code).toBe(0x85);
    expect((await h.connect5('alice')).connack?.code).toBe(0);
    expect((await h.connect5('bob')).connack?.code).toBe(0x97);
    expect((await h.connect5('alice')).connack?.code).toBe(0);
    expect((await h.connect5('bob', { username: 'b@tenant-b' })).connack?.code).toBe(0);
  });

  it('refuses a will that its owner may not publish', async () => {
    const h = new Harness();
    h.gate.allow({ publish: ['mine/#'] });
    expect((await h.connect5('alice', { will: { topic: 'mine/gone' } })).connack?.code).toBe(0);
    expect((await h.connect5('alice', { will: { topic: 'other' } })).connack?.code).toBe(0x87);
    expect((await h.connect5('alice', { will: { topic: '$SYS/x' } })).connack?.code).toBe(0x87);
  });

  it('takes a will with as many User Properties as its owner may send, and CONNECT with its own', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxUserProperties: 200 };
    const pairs = (count: number) =>
      Array.from({ length: count }, () => ['userProperty', ['a', 'b']] as const);
    const connack = async (own: number, ofWill: number) =>
      (
        await h.connect5('alice', {
          properties: pairs(own),
          will: { topic: 'gone', properties: pairs(ofWill) },
        })
      ).connack?.code;
    expect(await connack(1_000, 200)).toBe(0);
    expect(await connack(0, 201)).toBe(0x97);
    expect(await connack(1_001, 0)).toBe(0x97);
  });

  it('refuses a will over the limits that its owner has for what it publishes', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxPacketBytes: 100, maxUserProperties: 2 };
    const pairs = (count: number) =>
      Array.from({ length: count }, () => ['userProperty', ['a', 'b']] as const);
    const connack = async (will: NonNullable<ConnectOptions['will']>) =>
      (await h.connect5('alice', { will })).connack?.code;
    const fits = { topic: 'gone', payload: 'x'.repeat(100 - 11), qos: 1 }; // 2 + 2 + 4 + 2 + 1 before the payload
    expect(await connack(fits)).toBe(0);
    expect(await connack({ ...fits, payload: `${fits.payload}x` })).toBe(0x95);
    expect(await connack({ topic: 'gone', properties: pairs(2) })).toBe(0);
    expect(await connack({ topic: 'gone', properties: pairs(3) })).toBe(0x97);
    const will = { ...fits, payload: `${fits.payload}xx` };
    expect((await h.connect('alice', { will })).connack?.code).toBe(3);
    expect(h.journal.denials.map(({ detail }) => detail)).toEqual([
      'will over the size limit',
      'will: more User Properties than allowed',
      'will over the size limit',
    ]);
  });

  it('ends the connection when its credential ends', async () => {
    const h = new Harness();
    h.gate.expiresAt = h.clock.now() + 60_000;
    const client = await h.connect5('alice');
    await h.clock.advance(59_999);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(1);
    await client.settle();
    expect(client.goodbye).toBe(0x87);
    expect(h.journal.current('tenant-a', 'alice')).toMatchObject({ state: 'offline', cause: 'expired' });
  });
});

describe('a second connection of the same client', () => {
  it('takes over, and the first is told', async () => {
    const h = new Harness();
    const first = await h.connect5('alice');
    const second = await h.connect5('alice');
    await first.settle();
    expect(first.goodbye).toBe(0x8e);
    expect(first.link.isEnded).toBe(true);
    expect(second.connack).toMatchObject({ code: 0, sessionPresent: false });
    expect(h.broker.stats).toMatchObject({ connections: 1, sessions: 1 });
  });

  it('is another client in another tenant', async () => {
    const h = new Harness();
    const ours = await h.connect('alice', { username: 'a@tenant-a', clean: false });
    const theirs = await h.connect('alice', { username: 'a@tenant-b', clean: false });
    expect(ours.link.isEnded).toBe(false);
    expect(theirs.connack).toMatchObject({ code: 0, sessionPresent: false });
    await ours.subscribe('#');
    await theirs.subscribe('#');
    await theirs.publish('a', 'theirs', { qos: 2, retain: true });
    expect(ours.messages()).toEqual([]);
    expect(theirs.messages()).toEqual(['a theirs']);
    expect(await h.broker.disconnect('tenant-b' as TenantId, alice)).toMatchObject({ connectionsClosed: 1 });
    expect(ours.link.isEnded).toBe(false);
  });

  it('of newcomers at once lets each in, in turn, and leaves the last one in', async () => {
    const h = new Harness();
    h.store.hold();
    const one = await h.connect5('alice', { expiry: 60 });
    const two = await h.connect5('alice', { expiry: 60 });
    const three = await h.connect5('alice', { expiry: 60 });
    h.store.commit();
    for (const client of [one, two, three]) await client.settle();
    expect([one, two, three].map(({ connack }) => connack?.code)).toEqual([0, 0, 0]);
    expect([one, two, three].map(({ connack }) => connack?.sessionPresent)).toEqual([false, true, true]);
    expect([one, two, three].map(({ goodbye }) => goodbye)).toEqual([0x8e, 0x8e, undefined]);
    await three.subscribe('a', { qos: 1 });
    await three.publish('a', 'x', { qos: 1 });
    expect(three.messages()).toEqual(['a x']);
    expect(h.broker.stats).toMatchObject({ links: 1, connections: 1, sessions: 1, refused: 0 });
  });

  it('that went while it waited for its turn takes nothing over', async () => {
    const h = new Harness();
    h.store.hold();
    const one = await h.connect5('alice', { expiry: 60 });
    const two = await h.connect5('alice', { expiry: 60 });
    await two.cut();
    h.store.commit();
    await one.settle();
    expect(one.connack?.code).toBe(0);
    expect(one.link.isEnded).toBe(false);
    expect(h.journal.events.map(({ state }) => state)).toEqual(['online']);
  });

  it('writes presence whose epochs grow', async () => {
    const h = new Harness();
    await h.connect('alice', { clean: false });
    await h.connect('alice', { clean: false });
    await h.settle();
    const states = h.journal.events.map(({ state, cause }) => `${state} ${cause}`);
    expect(states).toEqual(['online connected', 'offline taken-over', 'online connected']);
    const [first, gone, second] = h.journal.events.map(({ epoch }) => epoch);
    expect(gone).toBe(first);
    expect(second!).toBeGreaterThan(first!);
    expect(h.journal.current('tenant-a', 'alice')?.state).toBe('online');
  });
});

describe('the end of a connection', () => {
  it('tells what went over it in both directions, and by which credential', async () => {
    const h = new Harness();
    const alice = await h.connect('alice', { clean: false });
    const bob = await h.connect('bob');
    await alice.subscribe('a');
    await bob.publish('a', 'to alice');
    await bob.publish('a', 'and again', { qos: 1 });
    await bob.publish('b', 'to nobody');
    await alice.settle();
    const taken = alice.link.received.length;
    alice.link.cut();
    bob.link.send(Buffer.from([0xe0, 0]));
    await h.settle();
    const ended = (name: string) =>
      h.journal.events.find(({ state, principal }) => state === 'offline' && principal.clientId === name)!
        .detail;
    expect(ended('alice')).toMatchObject({ bytesSent: taken, messagesReceived: 0, messagesSent: 2 });
    expect(ended('bob')).toMatchObject({
      credentialId: expect.any(String),
      bytesReceived: bob.link.sentBytes,
      bytesSent: bob.link.received.length,
      messagesReceived: 3,
      messagesSent: 0,
    });
    const back = await h.connect('alice', { clean: false });
    back.link.cut();
    await h.settle();
    expect(h.journal.events.at(-1)!.detail).toMatchObject({ messagesReceived: 0, bytesSent: 4 }); // its own alone
  });
});

describe('keep-alive', () => {
  it('ends a connection one and a half times after the last packet of the client', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { keepAlive: 10 });
    const other = await h.connect('bob');
    await client.subscribe('a');
    await h.clock.advance(14_000);
    await other.publish('a', 'does not count');
    expect(await client.ping()).toBe(true);
    await h.clock.advance(14_999);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(1);
    await client.settle();
    expect(client.goodbye).toBe(0x8d);
    expect(h.journal.current('tenant-a', 'alice')).toMatchObject({ cause: 'keep-alive' });
  });

  it('does not run out while a packet is on its way, but when nothing more of it comes', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { keepAlive: 10 });
    await client.subscribe('a');
    const bytes = client.publishBytes('a', 'x'.repeat(100));
    for (let at = 0; at < bytes.length; at += 20) {
      await client.send(bytes.subarray(at, at + 20));
      await h.clock.advance(14_000);
    }
    expect(client.messages()).toEqual([`a ${'x'.repeat(100)}`]);
    await client.send(bytes.subarray(0, 20));
    await client.send(Buffer.alloc(0)); // a WebSocket's ping is no part of it
    await h.clock.advance(14_999);
    expect(client.link.isEnded).toBe(false);
    await client.send(Buffer.alloc(0));
    await h.clock.advance(100);
    await client.settle();
    expect(client.goodbye).toBe(0x8d);
  });

  it('counts what has come while the process stood still, though the time was over when it is read', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { keepAlive: 10 });
    // A turn of the loop: what is due, then what has come, then what is to be done soon.
    h.clock.soon = (callback) => {
      Reflect.deleteProperty(h.clock, 'soon');
      client.link.send(frame(0xc0));
      h.clock.soon(callback);
    };
    await h.clock.advance(15_000);
    await client.settle();
    expect(client.take('pingresp')).toHaveLength(1);
    expect(client.goodbye).toBeUndefined();
    await h.clock.advance(15_000);
    await client.settle();
    expect(client.goodbye).toBe(0x8d);
  });

  it('waits anew for whoever is late by a clock that was set forward alone, and once', async () => {
    const h = new Harness();
    const client = await h.connect5('alice', { keepAlive: 10 });
    await h.clock.advance(14_000);
    expect(await client.ping()).toBe(true);
    h.clock.setForward(3_600_000);
    await h.clock.advance(1_000);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(14_999);
    expect(client.link.isEnded).toBe(false);
    await h.clock.advance(1);
    await client.settle();
    expect(client.goodbye).toBe(0x8d);
  });

  it('of 0 is off', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { keepAlive: 0 });
    await h.clock.advance(10 * 24 * 3600 * 1000);
    expect(client.link.isEnded).toBe(false);
  });

  it('sets no timer per packet', async () => {
    const h = new Harness();
    const client = await h.connect('alice', { keepAlive: 10 });
    const before = h.clock.pendingAlarms;
    for (let i = 0; i < 50; i++) await client.ping();
    expect(h.clock.pendingAlarms).toBe(before);
  });
});

describe('disconnecting', () => {
  it('may change the session expiry, but not raise it from 0', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.send(frame(0xe0, Buffer.from([0]), Buffer.from([5, 0x11, 0, 0, 0, 9])));
    expect(client.goodbye).toBe(0x82);
    const durable = await h.connect5('alice', { expiry: 100 });
    await durable.disconnect(0, [['sessionExpiryInterval', 10]]);
    await h.clock.advance(9_999);
    expect(h.broker.stats.sessions).toBe(1);
    await h.clock.advance(1);
    expect(h.broker.stats.sessions).toBe(0);
  });

  it('is answered by closing, and by nothing else', async () => {
    const h = new Harness();
    const client = await h.connect5('alice');
    await client.send(frame(0xe0), frame(0xc0));
    expect(client.take().map(({ type }) => type)).toEqual(['connack']);
    expect(client.link.isEnded).toBe(true);
    expect(h.journal.current('tenant-a', 'alice')).toMatchObject({ state: 'offline', cause: 'clean' });
  });

  it('by an administrator is told to 5.0 clients only', async () => {
    const h = new Harness();
    const five = await h.connect5('alice');
    const four = await h.connect('bob');
    expect(await h.broker.disconnect(tenantA, alice)).toMatchObject({ connectionsClosed: 1 });
    expect(await h.broker.disconnect(tenantA, 'bob' as ClientId)).toMatchObject({ connectionsClosed: 1 });
    expect(await h.broker.disconnect(tenantA, 'nobody' as ClientId)).toMatchObject({ connectionsClosed: 0 });
    await five.settle();
    await four.settle();
    expect(five.goodbye).toBe(0x98);
    expect(four.link.isEnded).toBe(true);
    expect(four.packets.map(({ type }) => type)).toEqual(['connack']);
  });
});

describe('enhanced authentication', () => {
  const auth = (code: number, method: string, data: string) =>
    frame(
      0xf0,
      Buffer.from([code]),
      Buffer.concat([
        Buffer.from([method.length + data.length + 6, 0x15]),
        text(method),
        Buffer.from([0x16]),
        text(data),
      ]),
    );

  function offering(): Harness {
    const h = new Harness();
    h.gate.offer('PLAY', (request) => ({
      next: async (data) => {
        const said = String(data);
        if (said === 'hello') return { kind: 'challenge', data: Buffer.from('who?') };
        if (said !== 'me') {
          return { kind: 'refused', reason: Reasons.notAuthorized, detail: 'no', tenantId: tenantA };
        }
        const grant = h.gate.grantTo('a@tenant-a', (request.clientId || 'alice') as ClientId);
        if (grant.kind !== 'granted') throw new Error('refused');
        return { grant, data: Buffer.from('welcome') };
      },
    }));
    return h;
  }
  const asking = [
    ['authenticationMethod', 'PLAY'],
    ['authenticationData', Buffer.from('hello')],
  ] as const;

  it('is refused for a method that is not offered', async () => {
    const h = offering();
    const client = await h.connect5('alice', { properties: [['authenticationMethod', 'OTHER']] });
    expect(client.connack?.code).toBe(0x8c);
  });

  it('goes on by AUTH until the gate is content', async () => {
    const h = offering();
    const client = await h.connect5('alice', { properties: asking });
    const [challenge] = client.take('auth');
    expect(challenge?.code).toBe(0x18);
    expect(property(challenge, 'authenticationData')).toEqual(Buffer.from('who?'));
    await client.send(auth(0x18, 'PLAY', 'me'));
    expect(client.connack?.code).toBe(0);
    expect(property(client.connack, 'authenticationMethod')).toBe('PLAY');
    expect(property(client.connack, 'authenticationData')).toEqual(Buffer.from('welcome'));
  });

  it('takes nothing but AUTH in between', async () => {
    const h = offering();
    const client = await h.connect5('alice', { properties: asking });
    await client.send(client.publishBytes('a', 'x'));
    expect(client.link.isEnded).toBe(true);
    expect(client.connack?.code).toBe(0x82);
  });

  it('may be called off by DISCONNECT, which nothing answers', async () => {
    const h = offering();
    const client = await h.connect5('alice', { properties: asking });
    const { length } = client.packets;
    await client.send(frame(0xe0));
    expect(client.packets).toHaveLength(length);
    expect(client.link.isEnded).toBe(true);
    expect(h.broker.stats.links).toBe(0);
    expect(h.clock.pendingAlarms).toBe(0);
  });

  it('is refused where the gate is not content', async () => {
    const h = offering();
    const client = await h.connect5('alice', { properties: asking });
    await client.send(auth(0x18, 'PLAY', 'somebody'));
    expect(client.connack?.code).toBe(0x87);
  });

  it('may be repeated while messages flow, under the same method only', async () => {
    const h = offering();
    const client = await h.connect5('alice', { properties: asking });
    await client.send(auth(0x18, 'PLAY', 'me'));
    await client.subscribe('a');
    client.take();
    await client.send(auth(0x19, 'PLAY', 'hello'), client.publishBytes('a', 'meanwhile'));
    expect(
      client.packets
        .slice(-2)
        .map(({ type }) => type)
        .sort(),
    ).toEqual(['auth', 'publish']);
    await client.send(auth(0x18, 'PLAY', 'me'));
    expect(client.take('auth').at(-1)?.code).toBe(0);
    await client.send(auth(0x19, 'OTHER', 'hello'));
    expect(client.goodbye).toBe(0x82);
  });

  it('of a client that signed in without a method is a protocol error', async () => {
    const h = offering();
    const client = await h.connect5('alice');
    await client.send(auth(0x19, 'PLAY', 'hello'));
    expect(client.goodbye).toBe(0x82);
  });
});

describe('a fault', () => {
  it('ends the connection it happened in, and no other', async () => {
    const h = new Harness();
    const neighbour = await h.connect('bob');
    h.gate.admit = () => Promise.reject(new Error('a bug'));
    const client = await h.connect5('alice');
    expect(client.connack?.code).toBe(0x80);
    expect(client.link.isEnded).toBe(true);
    expect(h.faults).toHaveLength(1);
    expect(await neighbour.ping()).toBe(true);
  });

  it('of one client, a malformed packet, is told to it and closes it', async () => {
    const h = new Harness();
    const neighbour = await h.connect('bob');
    const five = await h.connect5('alice');
    const four = await h.connect('carol');
    await five.send(frame(0x40, uint16(0)));
    await four.send(frame(0x62, uint16(0)));
    expect(five.goodbye).toBe(0x82);
    expect(four.link.isEnded).toBe(true);
    expect(await neighbour.ping()).toBe(true);
    expect(h.journal.current('tenant-a', 'alice')).toMatchObject({ cause: 'protocol-error' });
  });
});

describe('stopping', () => {
  it('tells 5.0 clients, holds wills, lets nobody in, and resolves when all is stored', async () => {
    const h = new Harness();
    const five = await h.connect5('alice', { expiry: 100, will: { topic: 'w', payload: 'gone' } });
    const watcher = await h.connect('bob', { clean: false });
    await watcher.subscribe('#');
    const stopped = h.broker.stop();
    await five.settle();
    await stopped;
    expect(five.goodbye).toBe(0x8b);
    expect(watcher.messages()).toEqual([]);
    expect(watcher.link.isEnded).toBe(true);
    expect(h.store.waiting).toBe(0);
    const late = await h.connect5('late');
    expect(late.link.isEnded).toBe(true);
    expect(h.clock.pendingAlarms).toBe(0);
    const state = await h.vault.reopen().open(tenantA);
    expect(state.wills).toMatchObject([{ principal: { clientId: 'alice' } }]);
    // Who does not come back has left it.
    const end = { state: 'offline', cause: 'server-stop', will: { topic: 'w' } };
    expect(h.journal.current('tenant-a', 'alice')).toMatchObject(end);
  });
});
