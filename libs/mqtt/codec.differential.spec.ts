/**
 * Our codec beside mqtt-packet, on packets that are valid: what it writes, we read as it does; what we write, it reads as we
 * meant it. Where the two are to differ (what is not valid) codec.spec.ts has the tables.
 */
import { describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';
import mqttPacket, { type IConnectPacket, type Packet } from 'mqtt-packet';
import { decode } from './codec.js';
import {
  encodeAcknowledge,
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodePublishHead,
  encodeSuback,
  encodeUnsuback,
  pingResponse,
} from './encode.js';
import { Framer } from './framing.js';
import type { MessageProperties, ProtocolVersion, UserProperties } from './message.js';
import type { ClientPacket } from './packets.js';
import { Reasons } from './reason.js';
import { captures, generator, mutate } from './testing/captures.js';
import { ProtocolViolation } from './violation.js';

/** Without undefined members, and User Properties by name: mqtt-packet keeps them in an object, and so has lost their order. */
function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return `bytes ${value.toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  // Beside what a packet says, PUBLISH has the bytes in which it came.
  const entries = Object.entries(value).filter(
    ([name, member]) => member !== undefined && name !== 'asReceived',
  );
  return Object.fromEntries(
    entries.map(([name, member]) => [
      name,
      name === 'userProperties' ? byName(member as UserProperties) : plain(member),
    ]),
  );
}

function byName(pairs: UserProperties): UserProperties {
  return pairs.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

interface TheirUserProperties {
  readonly [name: string]: string | readonly string[];
}

function pairs(theirs: TheirUserProperties | undefined): UserProperties | undefined {
  if (theirs === undefined) return undefined;
  return Object.entries(theirs).flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : value).map((one) => [name, one] as const),
  );
}

// ------------------------------------------------------------------------------------------------- theirs in our words

interface TheirMessageProperties {
  readonly payloadFormatIndicator?: boolean;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Buffer;
  readonly userProperties?: TheirUserProperties;
}

function message(theirs: TheirMessageProperties | undefined): Record<string, unknown> | undefined {
  if (theirs === undefined) return undefined;
  const { payloadFormatIndicator, contentType, responseTopic, correlationData, userProperties } = theirs;
  const ours = {
    payloadFormatIndicator: payloadFormatIndicator === undefined ? undefined : Number(payloadFormatIndicator),
    contentType,
    responseTopic,
    correlationData,
    userProperties: pairs(userProperties),
  };
  return Object.values(ours).every((value) => value === undefined) ? undefined : ours;
}

function connect(theirs: IConnectPacket): Record<string, unknown> {
  const version = theirs.protocolVersion ?? 4;
  const p = theirs.properties ?? {};
  const { will } = theirs;
  return {
    type: 'connect',
    protocolVersion: version,
    cleanStart: theirs.clean,
    keepAliveS: theirs.keepalive,
    clientId: theirs.clientId,
    username: theirs.username,
    password: theirs.password,
    will: will && {
      topic: will.topic,
      payload: will.payload,
      qos: will.qos,
      retain: will.retain,
      properties: message(will.properties),
      delayS: will.properties?.willDelayInterval ?? 0,
      messageExpiryS: will.properties?.messageExpiryInterval,
    },
    sessionExpiryIntervalS:
      version === 5 ? (p.sessionExpiryInterval ?? 0) : theirs.clean === true ? 0 : 0xffff_ffff,
    receiveMaximum: p.receiveMaximum ?? 65_535,
    maximumPacketSize: p.maximumPacketSize,
    topicAliasMaximum: p.topicAliasMaximum ?? 0,
    requestResponseInformation: p.requestResponseInformation ?? false,
    requestProblemInformation: p.requestProblemInformation ?? true,
    userProperties: pairs(p.userProperties) ?? [],
    authenticationMethod: p.authenticationMethod,
    authenticationData: p.authenticationData,
  };
}

function inOurWords(theirs: Packet): Record<string, unknown> {
  switch (theirs.cmd) {
    case 'connect':
      return connect(theirs);
    case 'publish':
      return {
        type: 'publish',
        dup: theirs.dup,
        qos: theirs.qos,
        retain: theirs.retain,
        topic: theirs.topic,
        packetId: theirs.messageId ?? 0,
        topicAlias: theirs.properties?.topicAlias,
        messageExpiryS: theirs.properties?.messageExpiryInterval,
        properties: message(theirs.properties),
        payload: theirs.payload,
      };
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return { type: theirs.cmd, packetId: theirs.messageId, reasonCode: theirs.reasonCode ?? 0 };
    case 'subscribe':
      return {
        type: 'subscribe',
        packetId: theirs.messageId,
        subscriptions: theirs.subscriptions.map(({ topic, qos, nl, rap, rh }) => ({
          filter: topic,
          qos,
          noLocal: nl ?? false,
          retainAsPublished: rap ?? false,
          retainHandling: rh ?? 0,
          subscriptionId: theirs.properties?.subscriptionIdentifier,
        })),
      };
    case 'unsubscribe':
      return { type: 'unsubscribe', packetId: theirs.messageId, filters: theirs.unsubscriptions };
    case 'disconnect':
      return {
        type: 'disconnect',
        reasonCode: theirs.reasonCode ?? 0,
        sessionExpiryIntervalS: theirs.properties?.sessionExpiryInterval,
      };
    case 'auth':
      return {
        type: 'auth',
        reasonCode: theirs.reasonCode,
        authenticationMethod: theirs.properties?.authenticationMethod,
        authenticationData: theirs.properties?.authenticationData,
      };
    case 'pingreq':
    case 'pingresp':
    case 'connack':
    case 'suback':
    case 'unsuback':
      return { type: theirs.cmd };
  }
}

function theyRead(bytes: Buffer, version: ProtocolVersion): Packet {
  const packets: Packet[] = [];
  const errors: unknown[] = [];
  const parser = mqttPacket.parser({ protocolVersion: version });
  parser.on('packet', (packet) => packets.push(packet));
  parser.on('error', (error) => errors.push(error));
  parser.parse(bytes);
  expect(errors).toEqual([]);
  expect(packets).toHaveLength(1);
  return packets[0]!;
}

function weRead(chunks: readonly Buffer[], version: ProtocolVersion | undefined): ClientPacket {
  const packets: ClientPacket[] = [];
  const framer = new Framer(1_000_000);
  for (const chunk of chunks) {
    framer.push(chunk, (frame, bodyOffset) => packets.push(decode(frame, bodyOffset, version)) > 0);
  }
  expect(packets).toHaveLength(1);
  return packets[0]!;
}

// ------------------------------------------------------------------------------------------------------------ any packet

const text = fc.string({
  unit: fc.constantFrom('a', 'B', '7', ' ', '/', '~', 'é', '日', '🚲', '\u00a0'),
  maxLength: 12,
});
const name = text.map((any) => `t${any}`);
const data = fc.uint8Array({ maxLength: 20 }).map((any) => Buffer.from(any));
const uint16 = fc.integer({ min: 1, max: 0xffff });
const uint32 = fc.integer({ min: 1, max: 0xffff_ffff });
const qos = fc.constantFrom(0, 1, 2);
// Names and values with something in them: mqtt-packet loses an empty value that is given twice.
const users = fc.dictionary(name, fc.oneof(name, fc.array(name, { minLength: 2, maxLength: 3 })), {
  minKeys: 1,
  maxKeys: 3,
});
const none = { requiredKeys: [] as [] };

const messageProperties = {
  payloadFormatIndicator: fc.boolean(),
  messageExpiryInterval: uint32,
  contentType: text,
  responseTopic: name,
  correlationData: data,
  userProperties: users,
};
const explanation = fc.record({ reasonString: text, userProperties: users }, none);

const credentials = fc.constantFrom('none', 'user', 'both');
const connects = fc
  .record({
    version: fc.constantFrom(3, 4, 5),
    clientId: name,
    clean: fc.boolean(),
    keepalive: fc.nat(0xffff),
    credentials,
    username: text.map((any) => `u${any}`),
    password: data.filter((any) => any.length > 0),
    hasWill: fc.boolean(),
    will: fc.record({ topic: name, payload: data, qos, retain: fc.boolean() }),
    willProperties: fc.record({ ...messageProperties, willDelayInterval: uint32 }, none),
    properties: fc.record(
      {
        sessionExpiryInterval: uint32,
        receiveMaximum: uint16,
        maximumPacketSize: uint32,
        topicAliasMaximum: uint16,
        requestResponseInformation: fc.boolean(),
        requestProblemInformation: fc.boolean(),
        userProperties: users,
        authenticationMethod: text,
      },
      none,
    ),
    authenticationData: fc.option(data, { nil: undefined }),
  })
  .map((any) => {
    const { version, clientId, clean, keepalive } = any;
    const hasData = any.properties.authenticationMethod !== undefined && any.authenticationData !== undefined;
    return {
      cmd: 'connect',
      protocolVersion: version,
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      clientId,
      clean,
      keepalive,
      ...(any.credentials !== 'none' && { username: any.username }),
      ...(any.credentials === 'both' && { password: any.password }),
      ...(any.hasWill && { will: { ...any.will, ...(version === 5 && { properties: any.willProperties }) } }),
      ...(version === 5 && {
        properties: { ...any.properties, ...(hasData && { authenticationData: any.authenticationData }) },
      }),
    } as Packet;
  });

const publishes = fc
  .record({
    qos,
    dup: fc.boolean(),
    retain: fc.boolean(),
    topic: name,
    payload: data,
    messageId: uint16,
    properties: fc.record({ ...messageProperties, topicAlias: uint16 }, none),
  })
  .map((any) => ({ cmd: 'publish', ...any, dup: any.dup && any.qos > 0 }));

const acknowledgements = fc.oneof(
  fc.record({
    cmd: fc.constantFrom('puback', 'pubrec'),
    messageId: uint16,
    reasonCode: fc.constantFrom(0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99),
    properties: explanation,
  }),
  fc.record({
    cmd: fc.constantFrom('pubrel', 'pubcomp'),
    messageId: uint16,
    reasonCode: fc.constantFrom(0, 0x92),
    properties: explanation,
  }),
);

const subscribes = fc.record({
  cmd: fc.constant('subscribe'),
  messageId: uint16,
  subscriptions: fc.array(
    fc.record({ topic: name, qos, nl: fc.boolean(), rap: fc.boolean(), rh: fc.constantFrom(0, 1, 2) }),
    { minLength: 1, maxLength: 4 },
  ),
  properties: fc.record(
    { subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }), userProperties: users },
    none,
  ),
});

const unsubscribes = fc.record({
  cmd: fc.constant('unsubscribe'),
  messageId: uint16,
  unsubscriptions: fc.array(name, { minLength: 1, maxLength: 4 }),
  properties: fc.record({ userProperties: users }, none),
});

const disconnects = fc.record({
  cmd: fc.constant('disconnect'),
  reasonCode: fc.constantFrom(0, 4, 0x80, 0x81, 0x98),
  properties: fc.record({ sessionExpiryInterval: uint32, reasonString: text, userProperties: users }, none),
});

const auths = fc.record({
  cmd: fc.constant('auth'),
  reasonCode: fc.constantFrom(0x18, 0x19),
  properties: fc.record(
    { authenticationMethod: text, authenticationData: data, reasonString: text, userProperties: users },
    { requiredKeys: ['authenticationMethod'] },
  ),
});

const common = fc.oneof(publishes, acknowledgements, subscribes, unsubscribes);
const sent = fc.oneof(
  fc.tuple(fc.constantFrom(3, 4, 5), common),
  fc.tuple(fc.constant(5), fc.oneof(disconnects, auths)),
  fc.tuple(fc.constantFrom(3, 4, 5), fc.constantFrom({ cmd: 'pingreq' }, { cmd: 'disconnect' })),
);

/** Whole, byte by byte, or cut in two. */
const splits = fc.oneof(fc.constant(0), fc.constant(1), fc.integer({ min: 2, max: 200 }));
function split(bytes: Buffer, size: number): Buffer[] {
  if (size === 0) return [bytes];
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  return chunks;
}

/** For 3.x, the packet without what only 5.0 has. */
function forVersion(packet: object, version: ProtocolVersion): Packet {
  if (version === 5) return packet as Packet;
  const { properties: _, reasonCode: __, ...rest } = packet as Record<string, unknown>;
  const { subscriptions } = rest;
  if (!Array.isArray(subscriptions)) return rest as unknown as Packet;
  const bare = subscriptions.map(({ topic, qos }: { topic: string; qos: number }) => ({ topic, qos }));
  return { ...rest, subscriptions: bare } as unknown as Packet;
}

describe('what mqtt-packet writes for a client', () => {
  it('CONNECT is read as mqtt-packet reads it', () => {
    fc.assert(
      fc.property(connects, splits, (packet, size) => {
        const bytes = mqttPacket.generate(packet);
        const ours = weRead(split(bytes, size), undefined);
        expect(plain(ours)).toEqual(plain(inOurWords(theyRead(bytes, 5))));
        expect(plain(ours)).toEqual(plain(inOurWords(packet)));
      }),
      { numRuns: 400 },
    );
  });

  it('every other packet is read as mqtt-packet reads it', () => {
    fc.assert(
      fc.property(sent, splits, ([version, any], size) => {
        const packet = forVersion(any, version);
        const bytes = mqttPacket.generate(packet, { protocolVersion: version });
        const ours = weRead(split(bytes, size), version);
        expect(plain(ours)).toEqual(plain(inOurWords(theyRead(bytes, version))));
      }),
      { numRuns: 1500 },
    );
  });
});

/** MQTT 3.1 allows what mqtt-packet does not know: DUP in PUBREL, a user name or password that is missing, will flags without a will. */
const theirsFor31 =
  /^Cannot parse (username|password)$|^Invalid header flag bits, must be 0x2 for|^Will (QoS|Retain Flag) must be set to zero/;

describe('a mutated capture that is still valid to us', () => {
  it('is valid to mqtt-packet, which reads the same', () => {
    const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
    const count = Number(process.env['FUZZ_PACKETS'] ?? 20_000);
    process.stdout.write(`differential fuzz: FUZZ_SEED=${seed} FUZZ_PACKETS=${count}\n`);
    const random = generator(seed);
    const any = <T>(of: readonly T[]): T => of[random(of.length)]!;
    let read = 0;
    for (let sent = 0; sent < count; sent++) {
      const { version, connect, packets } = any(captures);
      const isConnect = random(5) === 0;
      const bytes = mutate(isConnect ? connect : any(packets), any(any(captures).packets), random);
      const ours = firstWeRead(bytes, isConnect ? undefined : version);
      if (ours === undefined) continue;
      const theirs = firstTheyRead(ours.frame, version);
      if (theirs instanceof Error && version === 3 && theirsFor31.test(theirs.message)) continue;
      if (theirs instanceof Error)
        throw new Error(`${bytes.toString('hex')} in version ${version}`, { cause: theirs });
      expect(plain(ours.packet)).toEqual(plain(inOurWords(theirs)));
      read += 1;
    }
    expect(read).toBeGreaterThan(count / 10);
  }, 600_000);
});

/** The first frame alone: given more, mqtt-packet reads over the end of a packet into the next. */
function firstWeRead(
  bytes: Buffer,
  version: ProtocolVersion | undefined,
): { frame: Buffer; packet: ClientPacket } | undefined {
  let first: { frame: Buffer; packet: ClientPacket } | undefined;
  try {
    new Framer(1_000_000).push(bytes, (frame, bodyOffset) => {
      first = { frame, packet: decode(frame, bodyOffset, version) };
      return false;
    });
  } catch (error) {
    if (!(error instanceof ProtocolViolation)) throw error;
  }
  return first;
}

function firstTheyRead(bytes: Buffer, version: ProtocolVersion): Packet | Error {
  let first: Packet | Error | undefined;
  const parser = mqttPacket.parser({ protocolVersion: version });
  parser.on('packet', (packet) => (first ??= packet));
  parser.on('error', (error: Error) => (first ??= error));
  parser.parse(bytes);
  return first ?? new Error('nothing was read');
}

// ----------------------------------------------------------------------------------------------------- what we write

const userPairs = fc.array(fc.tuple(name, name), { maxLength: 3 });
const ourExplanation = fc.record({ reasonString: text, userProperties: userPairs }, none);
const versions = fc.constantFrom(3, 4, 5) as fc.Arbitrary<ProtocolVersion>;

function ourExplanationOf(
  properties: { reasonString?: string; userProperties?: TheirUserProperties } | undefined,
): unknown {
  return plain({
    reasonString: properties?.reasonString,
    userProperties: pairs(properties?.userProperties) ?? [],
  });
}

function explained(explanation: { reasonString?: string; userProperties?: UserProperties }): unknown {
  return plain({ reasonString: explanation.reasonString, userProperties: explanation.userProperties ?? [] });
}

describe('what we write for a client', () => {
  it('PUBLISH is read by mqtt-packet, and by us, as it was meant', () => {
    const outbound = fc.record({
      version: versions,
      topic: name,
      qos,
      retain: fc.boolean(),
      dup: fc.boolean(),
      properties: fc.option(
        fc.record(
          {
            ...messageProperties,
            payloadFormatIndicator: fc.constantFrom(0 as const, 1 as const),
            userProperties: userPairs,
          },
          none,
        ),
        { nil: undefined },
      ),
      messageExpiryS: fc.option(uint32, { nil: undefined }),
      subscriptionIds: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 }),
      topicAlias: fc.option(uint16, { nil: undefined }),
    });
    fc.assert(
      fc.property(outbound, data, uint16, (any, payload, packetId) => {
        const { messageExpiryInterval: _, ...properties } = any.properties ?? {};
        const dup = any.dup && any.qos > 0;
        const head = encodePublishHead({ ...any, dup, properties, payloadBytes: payload.length });
        if (any.qos > 0) head.bytes.writeUInt16BE(packetId, head.packetIdAt);
        const bytes = Buffer.concat([head.bytes, payload]);
        const theirs = theyRead(bytes, any.version);
        if (theirs.cmd !== 'publish') throw new Error(theirs.cmd);
        const is5 = any.version === 5;
        const kept = properties as MessageProperties;
        const hasUsers = kept.userProperties !== undefined && kept.userProperties.length > 0;
        const { userProperties: __, ...others } = kept;
        const expectedProperties = hasUsers ? kept : Object.keys(others).length > 0 ? others : undefined;
        expect(plain(inOurWords(theirs))).toEqual(
          plain({
            type: 'publish',
            dup,
            qos: any.qos,
            retain: any.retain,
            topic: any.topic,
            packetId: any.qos === 0 ? 0 : packetId,
            topicAlias: is5 ? any.topicAlias : undefined,
            messageExpiryS: is5 ? any.messageExpiryS : undefined,
            properties: is5 ? expectedProperties : undefined,
            payload,
          }),
        );
        const ids = theirs.properties?.subscriptionIdentifier ?? [];
        expect(Array.isArray(ids) ? ids : [ids]).toEqual(is5 ? any.subscriptionIds : []);
        if (is5 && any.subscriptionIds.length > 0) return; // which a client may not send
        const ours = weRead([bytes], any.version);
        expect(plain(ours)).toEqual(plain(inOurWords(theirs)));
        // The order of User Properties, which mqtt-packet cannot tell.
        if (is5 && hasUsers && ours.type === 'publish') {
          expect(ours.properties?.userProperties).toEqual(kept.userProperties);
        }
      }),
      { numRuns: 600 },
    );
  });

  it('acknowledgements are read by mqtt-packet as they were meant', () => {
    fc.assert(
      fc.property(acknowledgements, versions, ourExplanation, (any, version, explanation) => {
        const type = any.cmd as 'puback';
        const bytes = encodeAcknowledge(type, version, any.messageId, any.reasonCode, explanation);
        const theirs = theyRead(bytes, version);
        const reasonCode = version === 5 ? any.reasonCode : 0;
        expect(inOurWords(theirs)).toEqual({ type, packetId: any.messageId, reasonCode });
        expect(weRead([bytes], version)).toEqual({ type, packetId: any.messageId, reasonCode });
        if (theirs.cmd === 'puback' && version === 5) {
          expect(ourExplanationOf(theirs.properties as never)).toEqual(explained(explanation));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('CONNACK is read by mqtt-packet as it was meant', () => {
    const properties = fc.record(
      {
        sessionExpiryIntervalS: uint32,
        receiveMaximum: uint16,
        maximumQos: fc.constantFrom(0 as const, 1 as const),
        retainAvailable: fc.boolean(),
        maximumPacketSize: uint32,
        assignedClientId: text,
        topicAliasMaximum: uint16,
        wildcardSubscriptionAvailable: fc.boolean(),
        subscriptionIdentifiersAvailable: fc.boolean(),
        sharedSubscriptionAvailable: fc.boolean(),
        serverKeepAliveS: uint16,
        responseInformation: text,
        serverReference: text,
        authenticationMethod: text,
        authenticationData: data,
        reasonString: text,
        userProperties: userPairs,
      },
      none,
    );
    fc.assert(
      fc.property(properties, fc.boolean(), (any, sessionPresent) => {
        const theirs = theyRead(encodeConnack(5, Reasons.success, sessionPresent, any), 5);
        if (theirs.cmd !== 'connack') throw new Error(theirs.cmd);
        const p = theirs.properties ?? {};
        expect([theirs.sessionPresent, theirs.reasonCode]).toEqual([sessionPresent, 0]);
        expect(
          plain({
            sessionExpiryIntervalS: p.sessionExpiryInterval,
            receiveMaximum: p.receiveMaximum,
            maximumQos: p.maximumQoS,
            retainAvailable: p.retainAvailable,
            maximumPacketSize: p.maximumPacketSize,
            assignedClientId: p.assignedClientIdentifier,
            topicAliasMaximum: p.topicAliasMaximum,
            wildcardSubscriptionAvailable: p.wildcardSubscriptionAvailable,
            subscriptionIdentifiersAvailable: p.subscriptionIdentifiersAvailable,
            sharedSubscriptionAvailable: p.sharedSubscriptionAvailable,
            serverKeepAliveS: p.serverKeepAlive,
            responseInformation: p.responseInformation,
            serverReference: p.serverReference,
            authenticationMethod: p.authenticationMethod,
            authenticationData: p.authenticationData,
            reasonString: p.reasonString,
            userProperties: pairs(p.userProperties) ?? [],
          }),
        ).toEqual(plain({ ...any, userProperties: any.userProperties ?? [] }));
      }),
      { numRuns: 300 },
    );
  });

  it('SUBACK, UNSUBACK, DISCONNECT, AUTH and PINGRESP are read by mqtt-packet as they were meant', () => {
    const codes = fc.array(fc.constantFrom(0, 1, 2, 0x80, 0x87, 0x8f, 0x97), {
      minLength: 1,
      maxLength: 300,
    });
    fc.assert(
      fc.property(uint16, codes, ourExplanation, data, (packetId, codes, explanation, data) => {
        const suback = theyRead(encodeSuback(5, packetId, codes, explanation)!, 5);
        expect(suback).toMatchObject({ cmd: 'suback', messageId: packetId, granted: codes });
        const suback4 = theyRead(encodeSuback(4, packetId, codes)!, 4);
        expect(suback4).toMatchObject({ granted: codes.map((code) => Math.min(code, 0x80)) });
        const statuses = codes.map((code) => (code > 2 ? 0x87 : code === 1 ? 0x11 : 0));
        const unsuback = theyRead(encodeUnsuback(5, packetId, statuses, explanation), 5);
        expect(unsuback).toMatchObject({ cmd: 'unsuback', messageId: packetId, granted: statuses });
        const disconnect = theyRead(encodeDisconnect(0x9d, { ...explanation, serverReference: 's' }), 5);
        expect(disconnect).toMatchObject({
          cmd: 'disconnect',
          reasonCode: 0x9d,
          properties: { serverReference: 's' },
        });
        const auth = theyRead(encodeAuth(0x18, 'M', data, explanation), 5);
        const properties = { authenticationMethod: 'M', authenticationData: data };
        expect(auth).toMatchObject({ cmd: 'auth', reasonCode: 0x18, properties });
        for (const theirs of [suback, unsuback, disconnect, auth]) {
          const { properties } = theirs as { properties?: never };
          expect(ourExplanationOf(properties)).toEqual(explained(explanation));
        }
      }),
      { numRuns: 200 },
    );
    expect(theyRead(pingResponse, 5)).toMatchObject({ cmd: 'pingresp' });
  });
});
