import { describe, expect, it } from '@jest/globals';
import { decode } from './codec.js';
import { Framer } from './framing.js';
import { defaultLimits } from './limits.js';
import type { ProtocolVersion } from './message.js';
import type { ClientPacket, ConnectPacket, PublishPacket } from './packets.js';
import type { Reason } from './reason.js';
import { Reasons } from './reason.js';
import { bytes, packet, type Part, props, str } from './testing/wire.js';
import { ProtocolViolation } from './violation.js';

/** Through the framer, as on a connection; undefined: before CONNECT. */
function read(bytes: Buffer, version: ProtocolVersion | undefined, limits = defaultLimits): ClientPacket {
  const got: ClientPacket[] = [];
  new Framer(1_000_000).push(
    bytes,
    (frame, bodyOffset) => got.push(decode(frame, bodyOffset, version, limits)) > 0,
  );
  expect(got).toHaveLength(1);
  return got[0]!;
}

/** What a PUBLISH says, without the bytes in which it came. */
function readPublish(bytes: Buffer, version: ProtocolVersion): ClientPacket {
  return { ...(read(bytes, version) as PublishPacket), asReceived: undefined };
}

function refusal(bytes: Buffer, version: ProtocolVersion | undefined): ProtocolViolation {
  try {
    read(bytes, version);
  } catch (error) {
    if (error instanceof ProtocolViolation) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

const { malformedPacket, protocolError, topicNameInvalid, topicAliasInvalid } = Reasons;
const user = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0x26]), str(name), str(value)]);
const none = '00'; // no properties
const illFormed = Buffer.from('612fc328', 'hex');

const names = { 3: str('MQIsdp'), 4: str('MQTT'), 5: str('MQTT') };

/** A CONNECT up to its payload: flags in hexadecimal, keep-alive 60, for 5.0 these properties. */
function connect(version: ProtocolVersion, flags: string, properties: Buffer, ...payload: Part[]): Buffer {
  const head = [names[version], Buffer.from([version]), flags, '003c'];
  return packet(0x10, ...head, ...(version === 5 ? [properties] : []), ...payload);
}

const id = str('id');
const noProps = props();

describe('CONNECT', () => {
  const plain: ConnectPacket = {
    type: 'connect',
    protocolVersion: 5,
    cleanStart: true,
    keepAliveS: 60,
    clientId: 'id',
    username: undefined,
    password: undefined,
    will: undefined,
    sessionExpiryIntervalS: 0,
    receiveMaximum: 65_535,
    maximumPacketSize: undefined,
    topicAliasMaximum: 0,
    requestResponseInformation: false,
    requestProblemInformation: true,
    userProperties: [],
    authenticationMethod: undefined,
    authenticationData: undefined,
  };
  const forever = { cleanStart: false, sessionExpiryIntervalS: 0xffff_ffff };

  const cases: [name: string, bytes: Buffer, expected: ConnectPacket][] = [
    ['3.1', connect(3, '02', noProps, id), { ...plain, protocolVersion: 3 }],
    ['3.1.1', connect(4, '02', noProps, id), { ...plain, protocolVersion: 4 }],
    ['5.0', connect(5, '02', noProps, id), plain],
    [
      'a 3.x session that is kept',
      connect(4, '00', noProps, id),
      { ...plain, protocolVersion: 4, ...forever },
    ],
    [
      'an empty identifier with Clean Session',
      connect(4, '02', noProps, str('')),
      { ...plain, protocolVersion: 4, clientId: '' },
    ],
    [
      'an empty identifier without Clean Start in 5.0',
      connect(5, '00', noProps, str('')),
      { ...plain, cleanStart: false, clientId: '' },
    ],
    [
      'an identifier of more than 23 characters in 3.1',
      connect(3, '02', noProps, str('i'.repeat(40))),
      { ...plain, protocolVersion: 3, clientId: 'i'.repeat(40) },
    ],
    [
      'user name and password',
      connect(4, 'c2', noProps, id, str('u'), str('p')),
      { ...plain, protocolVersion: 4, username: 'u', password: Buffer.from('p') },
    ],
    [
      'a user name that is empty, and not absent',
      connect(4, '82', noProps, id, str('')),
      { ...plain, protocolVersion: 4, username: '' },
    ],
    [
      'flags for a user name and password that are missing, in 3.1',
      connect(3, 'c2', noProps, id),
      { ...plain, protocolVersion: 3 },
    ],
    [
      'will QoS and RETAIN without a will, in 3.1',
      connect(3, '3a', noProps, id),
      { ...plain, protocolVersion: 3 },
    ],
    [
      'a password without a user name, in 5.0',
      connect(5, '42', noProps, id, str('p')),
      { ...plain, password: Buffer.from('p') },
    ],
    [
      'a will with an empty payload',
      connect(4, '2e', noProps, id, str('w'), str('')),
      {
        ...plain,
        protocolVersion: 4,
        will: {
          topic: 'w',
          payload: Buffer.alloc(0),
          qos: 1,
          retain: true,
          properties: undefined,
          delayS: 0,
          messageExpiryS: undefined,
        },
      },
    ],
    [
      'a will with every property',
      connect(
        5,
        '16',
        noProps,
        id,
        props(
          '18 00000005',
          '01 01',
          '02 0000000a',
          '03',
          str('ct'),
          '08',
          str('r/t'),
          '09',
          str('cd'),
          user('b', '1'),
          user('a', '2'),
        ),
        str('w'),
        str('gone'),
      ),
      {
        ...plain,
        will: {
          topic: 'w',
          payload: Buffer.from('gone'),
          qos: 2,
          retain: false,
          properties: {
            payloadFormatIndicator: 1,
            contentType: 'ct',
            responseTopic: 'r/t',
            correlationData: Buffer.from('cd'),
            userProperties: [
              ['b', '1'],
              ['a', '2'],
            ],
          },
          delayS: 5,
          messageExpiryS: 10,
        },
      },
    ],
    [
      'every property',
      connect(
        5,
        '02',
        props(
          '11 ffffffff',
          '21 000a',
          '27 00001000',
          '22 0007',
          '19 01',
          '17 00',
          user('n', 'v'),
          '15',
          str('M'),
          '16',
          str('D'),
        ),
        id,
      ),
      {
        ...plain,
        sessionExpiryIntervalS: 0xffff_ffff,
        receiveMaximum: 10,
        maximumPacketSize: 4096,
        topicAliasMaximum: 7,
        requestResponseInformation: true,
        requestProblemInformation: false,
        userProperties: [['n', 'v']],
        authenticationMethod: 'M',
        authenticationData: Buffer.from('D'),
      },
    ],
  ];
  it.each(cases)('is read: %s', (_name, bytes, expected) => {
    expect(read(bytes, undefined)).toEqual(expected);
  });

  const will = (properties: Buffer, topic: string | Buffer = 'w'): Buffer =>
    connect(5, '06', noProps, id, properties, str(topic), str('gone'));
  const bad: [name: string, bytes: Buffer, reason: Reason, version: ProtocolVersion | undefined][] = [
    ['the reserved flag', connect(4, '03', noProps, id), malformedPacket, undefined],
    ['the reserved flag in 5.0', connect(5, '03', noProps, id), malformedPacket, 5],
    ['will QoS without a will', connect(4, '0a', noProps, id), malformedPacket, undefined],
    ['will RETAIN without a will', connect(4, '22', noProps, id), malformedPacket, undefined],
    ['will QoS 3', connect(5, '1e', noProps, id, none, str('w'), str('')), malformedPacket, 5],
    [
      'a password without a user name in 3.1.1',
      connect(4, '42', noProps, id, str('p')),
      malformedPacket,
      undefined,
    ],
    [
      'a password without a user name in 3.1',
      connect(3, '42', noProps, id, str('p')),
      malformedPacket,
      undefined,
    ],
    ['a will that is not there', connect(4, '06', noProps, id), malformedPacket, undefined],
    ['a user name that is not there', connect(4, '82', noProps, id), malformedPacket, undefined],
    ['a password that is not there', connect(4, 'c2', noProps, id, str('u')), malformedPacket, undefined],
    ['a user name without its flag', connect(4, '02', noProps, id, str('u')), malformedPacket, undefined],
    [
      'a password without its flag',
      connect(4, '82', noProps, id, str('u'), str('p')),
      malformedPacket,
      undefined,
    ],
    ['no payload', connect(4, '02', noProps), malformedPacket, undefined],
    ['an identifier cut short', connect(4, '02', noProps, '0005 6964'), malformedPacket, undefined],
    [
      'an identifier in ill-formed UTF-8',
      connect(4, '02', noProps, str(illFormed)),
      malformedPacket,
      undefined,
    ],
    ['a user name with U+0000', connect(5, '82', noProps, id, str('a\0b')), malformedPacket, 5],
    ['an empty identifier in 3.1', connect(3, '02', noProps, str('')), Reasons.clientIdentifierNotValid, 3],
    [
      'an empty identifier for a kept session',
      connect(4, '00', noProps, str('')),
      Reasons.clientIdentifierNotValid,
      4,
    ],
    ['a will topic with a wildcard', will(noProps, 'a/#'), topicNameInvalid, 5],
    ['an empty will topic', will(noProps, ''), topicNameInvalid, 5],
    ['a will topic in ill-formed UTF-8', will(noProps, illFormed), malformedPacket, 5],
    ['a will response topic with a wildcard', will(props('08', str('+'))), protocolError, 5],
    ['Topic Alias in a will', will(props('23 0001')), malformedPacket, 5],
    ['Will Delay Interval twice', will(props('18 00000001', '18 00000001')), protocolError, 5],
    [
      'Will Delay Interval among the properties of CONNECT',
      connect(5, '02', props('18 00000001'), id),
      malformedPacket,
      5,
    ],
    ['a property of CONNECT in the will', will(props('21 0001')), malformedPacket, 5],
    ['Receive Maximum 0', connect(5, '02', props('21 0000'), id), protocolError, 5],
    ['Maximum Packet Size 0', connect(5, '02', props('27 00000000'), id), protocolError, 5],
    ['Request Response Information 2', connect(5, '02', props('19 02'), id), protocolError, 5],
    ['Request Problem Information 2', connect(5, '02', props('17 02'), id), protocolError, 5],
    ['Authentication Data without a method', connect(5, '02', props('16', str('d')), id), protocolError, 5],
    ['a property of CONNACK', connect(5, '02', props('12', str('id')), id), malformedPacket, 5],
    ['a property that does not exist', connect(5, '02', props('7f 00'), id), malformedPacket, 5],
    [
      'a property identifier of five bytes',
      connect(5, '02', props('ff ff ff ff 01'), id),
      malformedPacket,
      5,
    ],
    [
      'a property identifier written longer than it needs',
      connect(5, '02', props('91 00 00000000'), id),
      malformedPacket,
      5,
    ],
    ['properties longer than the packet', packet(0x10, names[5], '05 02 003c', '7f', id), malformedPacket, 5],
    [
      'a property cut by the Property Length',
      packet(0x10, names[5], '05 02 003c', '03 11 0000', id),
      malformedPacket,
      5,
    ],
  ];
  for (const property of ['11 00000000', '21 0001', '27 00000001', '22 0000', '19 00', '17 01']) {
    bad.push([
      `property ${property.slice(0, 2)} twice`,
      connect(5, '02', props(property, property), id),
      protocolError,
      5,
    ]);
  }
  it.each(bad)('is refused with %s', (_name, bytes, reason, version) => {
    expect(refusal(bytes, undefined)).toMatchObject({ reason, version });
  });

  it.each([
    ['MQTT 6', str('MQTT'), '06', 4],
    ['MQTT 0', str('MQTT'), '00', 4],
    ['MQTT 3', str('MQTT'), '03', 4],
    ['MQIsdp 4', str('MQIsdp'), '04', 4],
    ['MQIsdp 5', str('MQIsdp'), '05', 4],
    ['a 3.1.1 bridge of mosquitto', str('MQTT'), '84', 4],
    ['another protocol', str('HTTP'), '04', undefined],
    ['another spelling', str('mqtt'), '04', undefined],
  ])(
    '%s is not a protocol version there is, and the answer is the one 3.1.1 obliges to',
    (_n, name, level, version) => {
      const refused = refusal(packet(0x10, name, level, '02 003c', id), undefined);
      expect(refused).toMatchObject({ reason: Reasons.unsupportedProtocolVersion, version });
    },
  );

  it('is refused with a Remaining Length written longer than it needs, in 5.0 alone', () => {
    const overlong = (bytes: Buffer): Buffer =>
      Buffer.concat([Buffer.from([0x10, bytes[1]! | 0x80, 0]), bytes.subarray(2)]);
    expect(refusal(overlong(connect(5, '02', noProps, id)), undefined).reason).toBe(malformedPacket);
    expect(read(overlong(connect(4, '02', noProps, id)), undefined)).toMatchObject({ clientId: 'id' });
  });

  it('must be the first packet, and comes once', () => {
    expect(refusal(packet(0xc0), undefined).reason).toBe(protocolError);
    expect(refusal(connect(5, '02', noProps, id), 5).reason).toBe(protocolError);
  });

  it('is refused with more User Properties than the limit', () => {
    const many = (count: number): Buffer =>
      connect(5, '02', props(...Array.from({ length: count }, () => user('a', 'b'))), id);
    const limits = { ...defaultLimits, maxUserProperties: 3 };
    expect(read(many(3), undefined, limits)).toMatchObject({ clientId: 'id' });
    expect(() => read(many(4), undefined, limits)).toThrow('more User Properties than allowed');
  });

  it('does not keep the chunk it came in', () => {
    const chunk = Buffer.concat([
      connect(4, 'c6', noProps, id, str('w'), str('gone'), str('u'), str('secret')),
      Buffer.alloc(60_000),
    ]);
    let got: ClientPacket | undefined;
    new Framer(1000).push(chunk, (frame, bodyOffset) => {
      got = decode(frame, bodyOffset, undefined);
      return false;
    });
    const { will, password } = got as ConnectPacket;
    expect(will?.payload.buffer.byteLength).toBe(4);
    expect(password?.buffer.byteLength).toBe(6);
  });
});

const versions = [3, 4, 5] as const;
/** For 5.0 the same packet has properties: none. */
const v5 = (version: ProtocolVersion): string => (version === 5 ? none : '');

describe('PUBLISH', () => {
  const plain = {
    type: 'publish',
    dup: false,
    qos: 0,
    retain: false,
    topic: 'a/b',
    packetId: 0,
    topicAlias: undefined,
    messageExpiryS: undefined,
    properties: undefined,
    payload: Buffer.from('hi'),
  };

  it.each(versions)('is read in version %i, with each flag', (version) => {
    const rest = [v5(version), Buffer.from('hi')];
    expect(readPublish(packet(0x30, str('a/b'), ...rest), version)).toEqual(plain);
    expect(readPublish(packet(0x31, str('a/b'), ...rest), version)).toEqual({ ...plain, retain: true });
    expect(readPublish(packet(0x32, str('a/b'), '0001', ...rest), version)).toEqual({
      ...plain,
      qos: 1,
      packetId: 1,
    });
    expect(readPublish(packet(0x3c, str('a/b'), 'fffe', ...rest), version)).toEqual({
      ...plain,
      dup: true,
      qos: 2,
      packetId: 0xfffe,
    });
    expect(readPublish(packet(0x30, str('/'), v5(version)), version)).toEqual({
      ...plain,
      topic: '/',
      payload: Buffer.alloc(0),
    });
    expect(readPublish(packet(0x30, str('日本/🚲'), ...rest), version)).toEqual({
      ...plain,
      topic: '日本/🚲',
    });
  });

  it.each(versions)('may go on to clients of version %i in the bytes it came in', (version) => {
    const rest = [v5(version), Buffer.from('hi')];
    const atQos0 = packet(0x31, str('a/b'), ...rest);
    const large = packet(0x30, str('a/b'), ...rest, Buffer.alloc(5000));
    const atQos1 = packet(0x32, str('a/b'), '0001', ...rest);
    const whole = { payload: undefined, isLent: true, version };
    expect(read(atQos0, version)).toMatchObject({
      asReceived: { ...whole, bytes: atQos0, packetIdAt: 0, totalBytes: atQos0.length },
    });
    expect(read(large, version)).toMatchObject({
      asReceived: { ...whole, bytes: large, packetIdAt: 0, totalBytes: large.length },
    });
    expect(read(atQos1, version)).toMatchObject({
      asReceived: { ...whole, bytes: atQos1, packetIdAt: 7, totalBytes: atQos1.length },
    });
  });

  it.each([
    ['repeated', packet(0x3a, str('a/b'), '0001'), 4],
    ['with an overlong length', bytes('30 86 00', str('a/b'), '31'), 4],
    ['with properties', packet(0x30, str('a/b'), props('01 00')), 5],
  ] as const)('goes on in other bytes if it came %s', (_, packet, version) => {
    expect(read(packet, version)).toMatchObject({ asReceived: undefined });
  });

  describe('after another', () => {
    const after = (lastTopic: string, topic: Part): PublishPacket => {
      const frame = packet(0x30, topic, str('x'));
      return decode(frame, 2, 4, defaultLimits, lastTopic) as PublishPacket;
    };

    it.each(['a/b', 'a/c', 'a', 'a/b/c', '', 'caf\u00e9', 'Z\u00fcrich/\u6c34'])(
      'to %p has the topic that its own bytes say',
      (lastTopic) => {
        for (const topic of ['a/b', 'a/bc', 'caf\u00e9', 'Z\u00fcrich/\u6c34'])
          expect(after(lastTopic, str(topic)).topic).toBe(topic);
      },
    );

    it("is refused with bytes that are no UTF-8, though they are the last topic's in Latin-1", () => {
      const latin1 = Buffer.from('0004636166e9', 'hex');
      expect(() => after('caf\u00e9', latin1)).toThrow(ProtocolViolation);
      expect(() => after('', str(''))).toThrow(ProtocolViolation);
    });
  });

  it('is read with every property, the User Properties in their order', () => {
    const properties = props(
      '01 00',
      '02 00000000',
      '03',
      str(''),
      '08',
      str('r'),
      '09',
      str(''),
      '23 0009',
      user('b', ''),
      user('a', 'x'),
      user('b', 'y'),
    );
    expect(read(packet(0x30, str(''), properties, Buffer.from('hi')), 5)).toEqual({
      ...plain,
      topic: '',
      topicAlias: 9,
      messageExpiryS: 0,
      properties: {
        payloadFormatIndicator: 0,
        contentType: '',
        responseTopic: 'r',
        correlationData: Buffer.alloc(0),
        userProperties: [
          ['b', ''],
          ['a', 'x'],
          ['b', 'y'],
        ],
      },
    });
  });

  it('has no message properties where none of its properties travel on', () => {
    expect(read(packet(0x30, str('a/b'), props('23 0001'), Buffer.from('hi')), 5)).toEqual({
      ...plain,
      topicAlias: 1,
    });
  });

  const bad: [name: string, bytes: Buffer, reason: Reason][] = [
    ['nothing in it', packet(0x30), malformedPacket],
    ['half a topic length', packet(0x30, '00'), malformedPacket],
    ['a topic cut short', packet(0x30, '0003 6161'), malformedPacket],
    ['no packet identifier', packet(0x32, str('a'), '00'), malformedPacket],
    ['no properties', packet(0x30, str('a')), malformedPacket],
    ['packet identifier 0', packet(0x32, str('a'), '0000 00'), protocolError],
    ['`#` in its topic', packet(0x30, str('a/#'), none), topicNameInvalid],
    ['`+` in its topic', packet(0x30, str('a+b'), none), topicNameInvalid],
    ['neither topic nor alias', packet(0x30, str(''), none), protocolError],
    ['ill-formed UTF-8 in its topic', packet(0x30, str(illFormed), none), malformedPacket],
    ['U+0000 in its topic', packet(0x30, str('a\0'), none), malformedPacket],
    ['a control character in its topic', packet(0x30, str('a\u0085'), none), malformedPacket],
    ['a surrogate in its topic', packet(0x30, str(Buffer.from('eda080', 'hex')), none), malformedPacket],
    ['Topic Alias 0', packet(0x30, str('a'), props('23 0000')), topicAliasInvalid],
    ['a Subscription Identifier', packet(0x30, str('a'), props('0b 01')), protocolError],
    ['Payload Format Indicator 2', packet(0x30, str('a'), props('01 02')), protocolError],
    ['a wildcard in the Response Topic', packet(0x30, str('a'), props('08', str('a/#'))), protocolError],
    ['an empty Response Topic', packet(0x30, str('a'), props('08', str(''))), protocolError],
    ['an ill-formed Response Topic', packet(0x30, str('a'), props('08', str(illFormed))), malformedPacket],
    ['an ill-formed Content Type', packet(0x30, str('a'), props('03', str(illFormed))), malformedPacket],
    [
      'an ill-formed User Property name',
      packet(0x30, str('a'), props('26', str(illFormed), str('v'))),
      malformedPacket,
    ],
    [
      'an ill-formed User Property value',
      packet(0x30, str('a'), props('26', str('n'), str(illFormed))),
      malformedPacket,
    ],
    ['a User Property without a value', packet(0x30, str('a'), props('26', str('n'))), malformedPacket],
    ['a Session Expiry Interval', packet(0x30, str('a'), props('11 00000001')), malformedPacket],
    ['a Reason String', packet(0x30, str('a'), props('1f', str('r'))), malformedPacket],
    ['a property that does not exist', packet(0x30, str('a'), props('04 00')), malformedPacket],
    ['a Property Length beyond the packet', packet(0x30, str('a'), '05 01 01'), malformedPacket],
    [
      'a Property Length that cuts a property',
      packet(0x30, str('a'), '03 02 0000', 'ffffffff'),
      malformedPacket,
    ],
    ['a Property Length of five bytes', packet(0x30, str('a'), 'ff ff ff ff 01'), malformedPacket],
    ['a Property Length written longer than it needs', packet(0x30, str('a'), '80 00'), malformedPacket],
  ];
  for (const property of ['01 00', '02 00000001', '03 0001 61', '08 0001 61', '09 0001 61', '23 0001']) {
    bad.push([
      `property ${property.slice(0, 2)} twice`,
      packet(0x30, str('a'), props(property, property)),
      protocolError,
    ]);
  }
  it.each(bad)('is refused with %s', (_name, bytes, reason) => {
    expect(refusal(bytes, 5).reason).toBe(reason);
  });

  it.each([3, 4] as const)('is refused with an empty topic in version %i', (version) => {
    expect(refusal(packet(0x30, str(''), 'ff'), version).reason).toBe(topicNameInvalid);
  });
});

describe('acknowledgements', () => {
  const types = [
    ['puback', 0x40, 0x10],
    ['pubrec', 0x50, 0x97],
    ['pubrel', 0x62, 0x92],
    ['pubcomp', 0x70, 0x92],
  ] as const;

  it.each(types)('%s is read, with and without what 5.0 adds', (type, first, code) => {
    for (const version of versions) {
      expect(read(packet(first, '0102'), version)).toEqual({ type, packetId: 0x0102, reasonCode: 0 });
      expect(refusal(packet(first, '0000'), version).reason).toBe(protocolError);
      expect(refusal(packet(first, '00'), version).reason).toBe(malformedPacket);
      expect(refusal(packet(first), version).reason).toBe(malformedPacket);
    }
    const explained = props('1f', str('why'), user('a', 'b'), user('a', 'b'));
    const reason = Buffer.from([code]);
    expect(read(packet(first, '0001', reason), 5)).toEqual({ type, packetId: 1, reasonCode: code });
    expect(read(packet(first, '0001', reason, none), 5)).toEqual({ type, packetId: 1, reasonCode: code });
    expect(read(packet(first, '0001', reason, explained), 5)).toEqual({
      type,
      packetId: 1,
      reasonCode: code,
    });
  });

  it.each(types)('%s is refused with anything that does not belong there', (_type, first, code) => {
    const reason = Buffer.from([code]);
    const text = Buffer.concat([Buffer.from([0x1f]), str('why')]);
    for (const version of [3, 4] as const) {
      expect(refusal(packet(first, '0001 00'), version).reason).toBe(malformedPacket);
    }
    expect(refusal(packet(first, '0001 01'), 5).reason).toBe(protocolError);
    expect(refusal(packet(first, '0001 82'), 5).reason).toBe(protocolError);
    expect(refusal(packet(first, '0001', reason, none, '00'), 5).reason).toBe(malformedPacket);
    expect(refusal(packet(first, '0001', reason, props(text, text)), 5).reason).toBe(protocolError);
    expect(refusal(packet(first, '0001', reason, props('03', str('x'))), 5).reason).toBe(malformedPacket);
    expect(refusal(packet(first, '0001', reason, props('1f', str(illFormed))), 5).reason).toBe(
      malformedPacket,
    );
  });

  it('PUBREL may say 0x92, and none of the codes of PUBACK', () => {
    expect(refusal(packet(0x62, '0001 10'), 5).reason).toBe(protocolError);
    expect(refusal(packet(0x40, '0001 92'), 5).reason).toBe(protocolError);
  });

  it('PUBREL has a DUP flag in 3.1 alone', () => {
    expect(read(packet(0x6a, '0001'), 3)).toEqual({ type: 'pubrel', packetId: 1, reasonCode: 0 });
    expect(refusal(packet(0x6a, '0001'), 4).reason).toBe(malformedPacket);
    expect(refusal(packet(0x6a, '0001'), 5).reason).toBe(malformedPacket);
  });
});

describe('SUBSCRIBE', () => {
  const plain = {
    qos: 0,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    subscriptionId: undefined,
  };

  it.each(versions)('is read in version %i, filters as they were sent', (version) => {
    const filters = [str('a/+'), '01', str('a#'), '02', str(''), '00', str('a/+'), '00'];
    expect(read(packet(0x82, '0007', v5(version), ...filters), version)).toEqual({
      type: 'subscribe',
      packetId: 7,
      subscriptions: [
        { ...plain, filter: 'a/+', qos: 1 },
        { ...plain, filter: 'a#', qos: 2 },
        { ...plain, filter: '' },
        { ...plain, filter: 'a/+' },
      ],
    });
  });

  it('is read with all options and an identifier', () => {
    const bytes = packet(
      0x82,
      '0007',
      props(user('a', 'b'), '0b ffffff7f'),
      str('x'),
      '2e',
      str('$share/g/x'),
      '19',
    );
    expect(read(bytes, 5)).toMatchObject({
      subscriptions: [
        {
          filter: 'x',
          qos: 2,
          noLocal: true,
          retainAsPublished: true,
          retainHandling: 2,
          subscriptionId: 268_435_455,
        },
        {
          filter: '$share/g/x',
          qos: 1,
          noLocal: false,
          retainAsPublished: true,
          retainHandling: 1,
          subscriptionId: 268_435_455,
        },
      ],
    });
  });

  const bad: [name: string, bytes: Buffer, reason: Reason][] = [
    ['packet identifier 0', packet(0x82, '0000 00', str('a'), '00'), protocolError],
    ['no filter', packet(0x82, '0001 00'), protocolError],
    ['no properties', packet(0x82, '0001'), malformedPacket],
    ['no options', packet(0x82, '0001 00', str('a')), malformedPacket],
    ['no options on its second filter', packet(0x82, '0001 00', str('a'), '00', str('b')), malformedPacket],
    ['QoS 3', packet(0x82, '0001 00', str('a'), '03'), protocolError],
    ['Retain Handling 3', packet(0x82, '0001 00', str('a'), '30'), protocolError],
    ['the sixth bit of the options', packet(0x82, '0001 00', str('a'), '40'), malformedPacket],
    ['the seventh bit of the options', packet(0x82, '0001 00', str('a'), '80'), malformedPacket],
    ['No Local on a shared subscription', packet(0x82, '0001 00', str('$share/g/a'), '04'), protocolError],
    ['Subscription Identifier 0', packet(0x82, '0001', props('0b 00'), str('a'), '00'), protocolError],
    [
      'two Subscription Identifiers',
      packet(0x82, '0001', props('0b 01', '0b 02'), str('a'), '00'),
      protocolError,
    ],
    [
      'a Subscription Identifier of five bytes',
      packet(0x82, '0001', props('0b ff ff ff ff 01'), str('a'), '00'),
      malformedPacket,
    ],
    ['a Content Type', packet(0x82, '0001', props('03', str('x')), str('a'), '00'), malformedPacket],
    ['an ill-formed filter', packet(0x82, '0001 00', str(illFormed), '00'), malformedPacket],
    ['a DUP flag', packet(0x8a, '0001 00', str('a'), '00'), malformedPacket],
  ];
  it.each(bad)('is refused with %s', (_name, bytes, reason) => {
    expect(refusal(bytes, 5).reason).toBe(reason);
  });

  it.each([3, 4] as const)('is refused with more than a QoS in version %i', (version) => {
    for (const options of ['03', '04', '08', '10', '40', '80']) {
      expect(refusal(packet(0x82, '0001', str('a'), options), version).reason).toBe(malformedPacket);
    }
    expect(refusal(packet(0x82, '0001'), version).reason).toBe(protocolError);
  });

  it('is refused with more filters than the limit', () => {
    const limits = { ...defaultLimits, maxSubscriptionsPerPacket: 2 };
    const many = (count: number): Buffer =>
      packet(
        0x82,
        '0001 00',
        ...Array.from({ length: count }, () => Buffer.concat([str('a'), Buffer.alloc(1)])),
      );
    expect(read(many(2), 5, limits)).toMatchObject({ type: 'subscribe' });
    expect(() => read(many(3), 5, limits)).toThrow('more filters in one packet than allowed');
  });

  it('and UNSUBSCRIBE have a DUP flag in 3.1', () => {
    expect(read(packet(0x8a, '0001', str('a'), '00'), 3)).toMatchObject({ type: 'subscribe' });
    expect(read(packet(0xaa, '0001', str('a')), 3)).toMatchObject({ type: 'unsubscribe' });
    expect(refusal(packet(0xaa, '0001', str('a')), 4).reason).toBe(malformedPacket);
  });
});

describe('UNSUBSCRIBE', () => {
  it.each(versions)('is read in version %i', (version) => {
    expect(read(packet(0xa2, '0007', v5(version), str('a/+'), str('')), version)).toEqual({
      type: 'unsubscribe',
      packetId: 7,
      filters: ['a/+', ''],
    });
    expect(refusal(packet(0xa2, '0001', v5(version)), version).reason).toBe(protocolError);
    expect(refusal(packet(0xa2, '0000', v5(version), str('a')), version).reason).toBe(protocolError);
    expect(refusal(packet(0xa2, '0001', v5(version), '0002 61'), version).reason).toBe(malformedPacket);
    expect(refusal(packet(0xa2, '0001', v5(version), str(illFormed)), version).reason).toBe(malformedPacket);
  });

  it('is refused with a property of SUBSCRIBE', () => {
    expect(refusal(packet(0xa2, '0001', props('0b 01'), str('a')), 5).reason).toBe(malformedPacket);
  });

  it('is refused with more filters than the limit', () => {
    const limits = { ...defaultLimits, maxSubscriptionsPerPacket: 1 };
    expect(() => read(packet(0xa2, '0001', str('a'), str('b')), 4, limits)).toThrow(ProtocolViolation);
  });
});

describe('PINGREQ, DISCONNECT and AUTH', () => {
  it.each(versions)('PINGREQ and DISCONNECT are read in version %i', (version) => {
    expect(read(packet(0xc0), version)).toEqual({ type: 'pingreq' });
    expect(read(packet(0xe0), version)).toEqual({
      type: 'disconnect',
      reasonCode: 0,
      sessionExpiryIntervalS: undefined,
    });
    expect(refusal(packet(0xc0, '00'), version).reason).toBe(malformedPacket);
  });

  it('DISCONNECT of 3.x has no body', () => {
    expect(refusal(packet(0xe0, '00'), 3).reason).toBe(malformedPacket);
    expect(refusal(packet(0xe0, '00'), 4).reason).toBe(malformedPacket);
  });

  it('DISCONNECT of 5.0 is read with a reason and its properties', () => {
    const disconnect = { type: 'disconnect', reasonCode: 4, sessionExpiryIntervalS: undefined };
    expect(read(packet(0xe0, '04'), 5)).toEqual(disconnect);
    expect(read(packet(0xe0, '04 00'), 5)).toEqual(disconnect);
    const properties = props('11 0000000a', '1f', str('why'), user('a', 'b'));
    expect(read(packet(0xe0, '04', properties), 5)).toEqual({ ...disconnect, sessionExpiryIntervalS: 10 });
  });

  it.each([
    ['DISCONNECT with a server’s reason', packet(0xe0, '8b'), protocolError],
    ['DISCONNECT with a reason that does not exist', packet(0xe0, '03'), protocolError],
    ['DISCONNECT with a Server Reference', packet(0xe0, '00', props('1c', str('s'))), protocolError],
    ['DISCONNECT with a Topic Alias', packet(0xe0, '00', props('23 0001')), malformedPacket],
    [
      'DISCONNECT with a property twice',
      packet(0xe0, '00', props('11 00000000', '11 00000000')),
      protocolError,
    ],
    ['DISCONNECT with a Property Length beyond it', packet(0xe0, '00 20'), malformedPacket],
    ['DISCONNECT with bytes after its end', packet(0xe0, '00 00 00'), malformedPacket],
    ['AUTH without a method', packet(0xf0, '18 00'), protocolError],
    ['AUTH with nothing', packet(0xf0), protocolError],
    ['AUTH with success', packet(0xf0, '00', props('15', str('M'))), protocolError],
    ['AUTH with a reason that does not exist', packet(0xf0, '17', props('15', str('M'))), protocolError],
    ['AUTH with two methods', packet(0xf0, '18', props('15', str('M'), '15', str('M'))), protocolError],
    ['AUTH with a Receive Maximum', packet(0xf0, '18', props('15', str('M'), '21 0001')), malformedPacket],
    ['AUTH with bytes after its end', packet(0xf0, '18', props('15', str('M')), '00'), malformedPacket],
    ['PINGREQ with an overlong length', Buffer.from('c08000', 'hex'), malformedPacket],
  ])('%s is refused', (_name, bytes, reason) => {
    expect(refusal(bytes, 5).reason).toBe(reason);
  });

  it('AUTH is read', () => {
    const properties = props('15', str('M'), '16', str('D'), '1f', str('why'), user('a', 'b'));
    expect(read(packet(0xf0, '19', properties), 5)).toEqual({
      type: 'auth',
      reasonCode: 0x19,
      authenticationMethod: 'M',
      authenticationData: Buffer.from('D'),
    });
  });

  it.each([3, 4] as const)('AUTH does not exist in version %i', (version) => {
    expect(refusal(packet(0xf0, '18', props('15', str('M'))), version).reason).toBe(protocolError);
  });
});
