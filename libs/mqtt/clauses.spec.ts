/**
 * Statements of the standard that need no story of their own: docs/mqtt.md names each of these tests beside its clauses. The
 * others are told where they belong, in the specs of sessions, wills, subscriptions and the codec.
 */
import { describe, expect, it } from '@jest/globals';

import { defaultLimits } from './limits.js';
import { inConnack, inDisconnect, Reasons } from './reason.js';
import {
  acknowledgement,
  connectBytes,
  frame,
  Harness,
  property,
  text,
  uint16,
  type TestClient,
} from './testing/index.js';

const versions = [3, 4, 5] as const;

function kinds(client: TestClient): string[] {
  return client.take().map(({ type }) => type);
}

describe('CONNECT', () => {
  it('Clean Start ends what there was, and Session Present says so', async () => {
    const h = new Harness();
    const present = async (clean: boolean): Promise<boolean | undefined> => {
      const client = await h.connect5('c', { clean, expiry: 100 });
      await client.subscribe('a');
      await client.cut();
      return client.connack?.sessionPresent;
    };
    expect(await present(false)).toBe(false);
    expect(await present(false)).toBe(true);
    expect(await present(true)).toBe(false);
    const last = await h.connect5('c', { clean: true, expiry: 100 });
    await last.publish('a', 'x');
    expect(last.messages()).toEqual([]); // the subscription went with its session
  });

  it('takes every client identifier that a server must take', async () => {
    const h = new Harness();
    const characters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
    for (let at = 0; at < characters.length; at += 20) {
      for (const clientId of [characters.slice(at, at + 23), characters.charAt(at)]) {
        for (const version of versions) {
          expect((await h.connect(clientId, { version })).connack?.code).toBe(0);
        }
      }
    }
  });

  it('a CONNECT that does not conform opens nothing', async () => {
    const h = new Harness();
    for (const version of versions) {
      const client = h.open(version);
      const bytes = connectBytes('c', { version });
      bytes[version === 3 ? 11 : 9]! |= 1; // the reserved flag
      await client.send(bytes);
      expect(client.link.isEnded).toBe(true);
      expect(client.packets.map(({ type, code }) => ({ type, code }))).toEqual(
        version === 5 ? [{ type: 'connack', code: 0x81 }] : [], // 3.1.1 forbids the CONNACK that 5.0 allows
      );
    }
    expect(h.gate.asked).toBe(0);
    expect(h.broker.stats.connections).toBe(0);
  });

  it('nothing that follows a refused CONNECT is processed', async () => {
    const h = new Harness();
    const witness = await h.connect('witness');
    await witness.subscribe('#');
    witness.take();
    for (const version of versions) {
      const client = h.open(version);
      const refused = connectBytes('c', { version, username: 'u@tenant-a', password: 'wrong' });
      await client.send(refused, client.publishBytes('a', 'x'));
      expect(kinds(client)).toEqual(['connack']);
      expect(client.link.isEnded).toBe(true);
    }
    await witness.settle();
    expect(witness.messages()).toEqual([]);
  });

  it('a tenant without retained messages says so, and refuses them', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxRetainedMessages: 0 };
    const client = await h.connect5('c');
    expect(property(client.connack, 'retainAvailable')).toBe(0);
    await client.publish('a', 'x', { retain: true });
    expect(client.goodbye).toBe(0x9a);
    const will = { topic: 'w', retain: true };
    expect((await h.connect5('d', { will })).connack?.code).toBe(0x9a);
  });
});

describe('CONNACK', () => {
  it('CONNACK is the first that a resumed session gets, and comes once', async () => {
    const h = new Harness();
    for (const version of [4, 5] as const) {
      const options = { version, clean: false, ...(version === 5 ? { expiry: 100 } : {}) };
      const connect = () => (version === 5 ? h.connect5('c', options) : h.connect('c', options));
      const first = await connect();
      await first.subscribe('a', { qos: 1 });
      await first.cut();
      const sender = await h.connect('sender');
      await sender.publish('a', 'kept', { qos: 1 });
      expect(kinds(await connect())).toEqual(['connack', 'publish']);
    }
  });

  it('CONNACK and DISCONNECT use codes of their own tables', () => {
    const connack = [
      0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
      0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
    ];
    const disconnect = [
      0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96,
      0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
    ];
    const ends = Object.values(Reasons).filter(({ code }) => code >= 0x80);
    expect(ends.map((reason) => inConnack(reason).code).filter((code) => !connack.includes(code))).toEqual(
      [],
    );
    expect(
      ends.map((reason) => inDisconnect(reason).code).filter((code) => !disconnect.includes(code)),
    ).toEqual([]);
  });
});

describe('acknowledgements', () => {
  it('acknowledgements carry the identifier of what they acknowledge', async () => {
    const h = new Harness();
    for (const version of versions) {
      const client = await h.connect('c', { version });
      client.take();
      client.acknowledges = false;
      const none = version === 5 ? [Buffer.alloc(1)] : [];
      await client.send(
        frame(0x82, uint16(0x0102), ...none, text('a'), Buffer.from([0])),
        frame(0xa2, uint16(0x0203), ...none, text('unknown')),
        client.publishBytes('b', '', { qos: 1, id: 0xffff }),
        client.publishBytes('b', '', { qos: 2, id: 0x0305 }),
        acknowledgement('pubrel', 0x0305),
      );
      expect(client.take().map(({ type, packetId }) => [type, packetId])).toEqual([
        ['suback', 0x0102],
        ['unsuback', 0x0203],
        ['puback', 0xffff],
        ['pubrec', 0x0305],
        ['pubcomp', 0x0305],
      ]);
    }
  });

  it('after PUBACK or PUBCOMP an identifier is free for a new message', async () => {
    const h = new Harness();
    const witness = await h.connect('witness');
    await witness.subscribe('#', { qos: 2 });
    witness.take();
    const client = await h.connect('c');
    for (const qos of [1, 2]) {
      await client.publish('a', `first ${qos}`, { qos, id: 7 });
      await client.publish('a', `second ${qos}`, { qos, id: 7, dup: true });
    }
    await witness.settle();
    expect(witness.messages()).toEqual(['a first 1', 'a second 1', 'a first 2', 'a second 2']);
  });

  it('after a PUBREC that refuses, an identifier is free for a new message', async () => {
    const h = new Harness();
    const witness = await h.connect('witness');
    await witness.subscribe('#', { qos: 2 });
    witness.take();
    h.gate.allow({ publish: ['allowed'] }, 'c');
    const client = await h.connect5('c');
    expect((await client.publish('denied', '', { qos: 2, id: 7 }))?.code).toBe(0x87);
    expect((await client.publish('allowed', 'new', { qos: 2, id: 7 }))?.code).toBe(0);
    await witness.settle();
    expect(witness.messages()).toEqual(['allowed new']);
  });

  it('the sequence of QoS 2 goes on for a message that has expired', async () => {
    const h = new Harness();
    const client = await h.connect5('c', { expiry: 100 });
    client.acknowledges = false;
    await client.publish('a', '', { qos: 2, id: 7, properties: [['messageExpiryInterval', 1]] });
    await h.clock.advance(5_000);
    client.take();
    await client.send(
      client.publishBytes('a', '', { qos: 2, id: 7, dup: true }),
      acknowledgement('pubrel', 7),
    );
    expect(client.take().map(({ type, code }) => [type, code])).toEqual([
      ['pubrec', expect.any(Number)],
      ['pubcomp', 0],
    ]);
  });

  it('PUBACK and PUBREC use codes of their own table', async () => {
    const h = new Harness();
    h.gate.allow({ publish: ['allowed'] });
    const client = await h.connect5('c');
    for (const [topic, code] of [
      ['allowed', 0x10], // nobody subscribes
      ['denied', 0x87],
      ['$SYS/x', 0x87],
      ['x'.repeat(2_000), 0x90],
    ] as const) {
      for (const qos of [1, 2]) expect((await client.publish(topic, '', { qos }))?.code).toBe(code);
    }
  });

  it('PUBREL and PUBCOMP use codes of their own table', async () => {
    const h = new Harness();
    const client = await h.connect5('c');
    client.acknowledges = false;
    client.take();
    await client.send(acknowledgement('pubrel', 7), acknowledgement('pubrec', 8));
    expect(client.take().map(({ type, code }) => [type, code])).toEqual([
      ['pubcomp', 0x92],
      ['pubrel', 0x92],
    ]);
  });

  it('PINGREQ is answered', async () => {
    const h = new Harness();
    for (const version of versions) expect(await (await h.connect('c', { version })).ping()).toBe(true);
  });
});

describe('messages', () => {
  it('retained messages outlive the session of their publisher', async () => {
    const h = new Harness();
    const publisher = await h.connect('publisher');
    await publisher.publish('a', 'kept', { retain: true });
    await publisher.disconnect();
    const client = await h.connect('c');
    await client.subscribe('a');
    expect(client.messages()).toEqual(['a kept']);
  });

  it('a will is retained where it says so, and only there', async () => {
    const h = new Harness();
    for (const retain of [true, false]) {
      const client = await h.connect('dying', { will: { topic: `w/${retain}`, payload: 'x', retain } });
      await client.cut();
    }
    const later = await h.connect('later');
    await later.subscribe('w/#');
    expect(later.messages()).toEqual(['w/true x']);
  });

  it('DUP at QoS 0 is malformed', async () => {
    const h = new Harness();
    for (const version of versions) {
      const client = await h.connect('c', { version });
      await client.publish('a', '', { dup: true });
      expect(client.link.isEnded).toBe(true);
      if (version === 5) expect(client.goodbye).toBe(0x81);
    }
  });

  it('every alias up to the maximum is taken', async () => {
    const h = new Harness();
    const client = await h.connect5('c');
    await client.subscribe('#');
    client.take();
    const most = property(client.connack, 'topicAliasMaximum') as number;
    for (let alias = 1; alias <= most; alias++) {
      await client.publish(`t/${alias}`, '', { properties: [['topicAlias', alias]] });
    }
    for (let alias = most; alias >= 1; alias--) {
      await client.publish('', 'again', { properties: [['topicAlias', alias]] });
    }
    const messages = client.messages();
    expect(messages.slice(most)).toEqual(Array.from({ length: most }, (_, i) => `t/${most - i} again`));
  });

  it('delivery is at the lower of the published and the granted QoS', async () => {
    const h = new Harness();
    const sender = await h.connect('sender');
    for (const granted of [0, 1, 2]) {
      const client = await h.connect(`c${granted}`);
      await client.subscribe('a', { qos: granted });
      client.take();
      for (const qos of [0, 1, 2]) await sender.publish('a', '', { qos });
      await client.settle();
      expect(client.take('publish').map(({ qos }) => qos)).toEqual(
        [0, 1, 2].map((qos) => Math.min(qos, granted)),
      );
    }
  });

  it('topics that look alike are different topics', async () => {
    const h = new Harness();
    const client = await h.connect('c');
    const topics = ['a', 'A', '/a', 'a/', 'a//b', 'a/b', '\u00e5', 'a\u030a', ' a', '\ufeffa'];
    for (const topic of topics) {
      await client.subscribe(topic);
      await client.publish(topic, 'x');
      expect(client.messages()).toEqual([`${topic} x`]);
      await client.unsubscribe(topic);
      client.take();
    }
  });

  it('a message that a member of a shared subscription refuses goes to nobody else', async () => {
    const h = new Harness();
    const members = [await h.connect5('one'), await h.connect5('two')];
    for (const member of members) {
      await member.subscribe('$share/g/a', { qos: 1 });
      member.take();
      member.acknowledges = false;
    }
    const sender = await h.connect('sender');
    await sender.publish('a', 'x', { qos: 1 });
    const got = await Promise.all(
      members.map(async (member) => {
        await member.settle();
        return member.take('publish');
      }),
    );
    const chosen = got.findIndex((packets) => packets.length === 1);
    await members[chosen]!.send(acknowledgement('puback', got[chosen]![0]!.packetId, 0x80));
    await members[chosen]!.cut();
    await members[1 - chosen]!.settle();
    expect(members[1 - chosen]!.messages()).toEqual([]);
  });

  it('a full receive window delays nothing but messages', async () => {
    const h = new Harness();
    const client = await h.connect5('c', { properties: [['receiveMaximum', 1]] });
    await client.subscribe('a', { qos: 1 });
    client.take();
    client.acknowledges = false;
    const sender = await h.connect('sender');
    for (let i = 0; i < 3; i++) await sender.publish('a', String(i), { qos: 1 });
    await sender.publish('a', 'at QoS 0', { qos: 0 });
    await client.settle();
    expect(await client.ping()).toBe(true);
    await client.publish('b', '', { qos: 1 });
    await client.subscribe('c');
    expect(kinds(client)).toEqual(['publish', 'publish', 'pingresp', 'puback', 'suback']);
  });

  it('UNSUBSCRIBE leaves alone what is under way', async () => {
    const h = new Harness();
    const client = await h.connect('c', { clean: false });
    await client.subscribe('a', { qos: 2 });
    client.acknowledges = false;
    const sender = await h.connect('sender');
    await sender.publish('a', 'x', { qos: 2 });
    await client.settle();
    const [message] = client.take('publish');
    await client.unsubscribe('a');
    client.take();
    await client.send(acknowledgement('pubrec', message!.packetId));
    await client.send(acknowledgement('pubcomp', message!.packetId));
    expect(kinds(client)).toEqual(['pubrel']);
    await sender.publish('a', 'no more', { qos: 2 });
    await client.settle();
    expect(client.messages()).toEqual([]);
  });
});

describe('sizes and explanations', () => {
  it('nothing is sent that is larger than the client takes', async () => {
    const h = new Harness();
    h.gate.allow({ publish: ['a'] });
    const client = await h.connect5('c', { properties: [['maximumPacketSize', 30]] });
    expect(client.connack?.code).toBe(0);
    // The reason is left out where it would not fit.
    const denied = await client.publish('not-allowed', '', { qos: 1 });
    expect([denied?.code, property(denied, 'reasonString')]).toEqual([0x87, undefined]);
    await client.subscribe(Array.from({ length: 40 }, (_, i) => `f/${i}`));
    expect(client.goodbye).toBe(0x95);
    expect(client.packets.filter(({ bytes }) => bytes.length > 30)).toEqual([]);
    // CONNACK itself: what it has to say does not fit into ten bytes. That it does not fits into five.
    for (const [maximum, codes] of [
      [10, [0x95]],
      [5, [0x95]],
      [4, []],
    ] as const) {
      const tiny = await h.connect5('d', { properties: [['maximumPacketSize', maximum]] });
      expect(tiny.packets.map(({ code }) => code)).toEqual(codes);
      expect(tiny.link.isEnded).toBe(true);
    }
    expect(h.broker.stats.connections).toBe(0);
  });

  it('a good-bye that is larger than the client takes says its code alone, or nothing', async () => {
    const h = new Harness({ serverReference: 'a.very.long.name.of.another.server.example:8883' });
    const client = await h.connect5('c', { properties: [['maximumPacketSize', 30]] });
    h.gate.refusal = Reasons.badUserNameOrPassword;
    const codes: number[][] = [];
    for (const maximum of [5, 4]) {
      const refused = await h.connect5('d', { properties: [['maximumPacketSize', maximum]] });
      codes.push(refused.packets.map(({ code }) => code));
    }
    expect(codes).toEqual([[0x86], []]);
    await Promise.all([h.broker.stop(), client.settle()]);
    expect(client.goodbye).toBe(0x9c);
    expect(client.packets.filter(({ bytes }) => bytes.length > 30)).toEqual([]);
  });

  it('explains nothing to a client that asked for no problem information', async () => {
    const h = new Harness();
    h.gate.allow({ publish: [] });
    const reasons: unknown[] = [];
    for (const wants of [1, 0]) {
      const client = await h.connect5('c', { properties: [['requestProblemInformation', wants]] });
      const denied = await client.publish('a', '', { qos: 1 });
      reasons.push(property(denied, 'reasonString'));
    }
    expect(reasons).toEqual([expect.any(String), undefined]);
  });
});

describe('the end of a connection', () => {
  it("nothing follows the server's DISCONNECT", async () => {
    const h = new Harness();
    const client = await h.connect5('c');
    await client.subscribe('a');
    client.take();
    await client.send(client.publishBytes('a', '', { properties: [['topicAlias', 0]] }), frame(0xc0));
    const sender = await h.connect('sender');
    await sender.publish('a', 'x');
    await client.settle();
    expect(kinds(client)).toEqual(['disconnect']);
    expect(client.link.isEnded).toBe(true);
  });

  it('a protocol violation closes the connection, in every version', async () => {
    const h = new Harness();
    const neighbour = await h.connect('neighbour');
    for (const version of versions) {
      for (const bytes of [
        frame(0x20, Buffer.from([0, 0])), // CONNACK from a client
        frame(0x00), // a type that is not
        frame(0x36, text('a'), uint16(1)), // both QoS bits
        frame(0x40, uint16(0)), // packet identifier 0
        frame(0xc0, Buffer.alloc(1)), // bytes after the end
        Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), // a Remaining Length of five bytes
      ]) {
        const client = await h.connect('c', { version });
        await client.send(bytes);
        expect(client.link.isEnded).toBe(true);
        expect(client.goodbye).toEqual(version === 5 ? expect.any(Number) : undefined);
      }
    }
    expect(await neighbour.ping()).toBe(true);
  });
});

describe('less common ways', () => {
  it('a credential that has ended, and a will that could never be published, are refused at once', async () => {
    const h = new Harness();
    const will = { topic: 'w/'.repeat(40) };
    expect((await h.connect5('c', { will })).connack?.code).toBe(0x90);
    h.gate.expiresAt = h.clock.now();
    expect((await h.connect5('c')).connack?.code).toBe(0x87);
  });

  it('a shared subscription made again takes the new QoS, and its member is still one', async () => {
    const h = new Harness();
    const client = await h.connect('c');
    await client.subscribe('$share/g/a', { qos: 0 });
    await client.subscribe('$share/g/a', { qos: 1 });
    client.take();
    const sender = await h.connect('sender');
    await sender.publish('a', 'x', { qos: 2 });
    await client.settle();
    expect(client.take('publish').map(({ qos }) => qos)).toEqual([1]);
    expect([...h.broker.tenants]).toEqual(['tenant-a']);
  });

  it('what the store refuses is not acknowledged: the client is told to come again', async () => {
    const h = new Harness();
    for (const send of [
      (client: TestClient) => client.unsubscribe('a'),
      (client: TestClient) => client.send(acknowledgement('pubrel', 7)),
    ]) {
      const client = await h.connect5('c', { expiry: 100 });
      await client.subscribe('a');
      client.acknowledges = false;
      await client.publish('b', '', { qos: 2, id: 7 });
      client.take();
      h.store.failWith(new Error('down'));
      await send(client);
      expect(client.take().map(({ type, code }) => [type, code])).toEqual([['disconnect', 0x89]]);
      h.store.failWith(undefined);
    }
  });
});
