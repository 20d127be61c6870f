import { describe, expect, it } from '@jest/globals';
import {
  encodeAcknowledge,
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodePublishHead,
  encodeSuback,
  encodeUnsuback,
  type OutboundPublish,
  pingResponse,
} from './encode.js';
import { Reasons } from './reason.js';
import { bytes, packet, type Part, props, str } from './testing/wire.js';

const user = (name: string, value: string): Buffer => bytes('26', str(name), str(value));

describe('CONNACK', () => {
  const cases: [name: string, got: Buffer, expected: string][] = [
    ['3.1, whose Session Present bit is reserved', encodeConnack(3, Reasons.success, true), '20 02 00 00'],
    ['3.1.1 with a session', encodeConnack(4, Reasons.success, true), '20 02 01 00'],
    ['3.1.1 refused', encodeConnack(4, Reasons.badUserNameOrPassword, true), '20 02 00 04'],
    ['3.1.1, an unknown level', encodeConnack(4, Reasons.unsupportedProtocolVersion, false), '20 02 00 01'],
    [
      '3.1.1, a reason it has no code for',
      encodeConnack(4, Reasons.packetIdentifierInUse, false),
      '20 02 00 03',
    ],
    ['5.0', encodeConnack(5, Reasons.success, false), '20 03 00 00 00'],
    ['5.0 refused, so without a session', encodeConnack(5, Reasons.banned, true), '20 03 00 8a 00'],
  ];
  it.each(cases)('for %s', (_name, got, expected) => {
    expect(got).toEqual(bytes(expected));
  });

  it('has the properties it is given, and no other', () => {
    const given = {
      maximumQos: 1,
      retainAvailable: false,
      assignedClientId: 'x',
      userProperties: [
        ['b', '1'],
        ['a', '2'],
      ],
    } as const;
    expect(encodeConnack(5, Reasons.success, true, given)).toEqual(
      packet(0x20, '01 00', props('24 01', '25 00', '12', str('x'), user('b', '1'), user('a', '2'))),
    );
    expect(encodeConnack(4, Reasons.success, false, given)).toEqual(bytes('20 02 00 00'));
  });
});

describe('acknowledgements', () => {
  it.each([
    ['puback', 0x40],
    ['pubrec', 0x50],
    ['pubrel', 0x62],
    ['pubcomp', 0x70],
  ] as const)('%s is four bytes where there is nothing to tell, or nobody to tell it to', (type, first) => {
    for (const version of [3, 4, 5] as const) {
      expect(encodeAcknowledge(type, version, 0x1234)).toEqual(packet(first, '1234'));
      expect(encodeAcknowledge(type, version, 1, 0, { userProperties: [] })).toEqual(packet(first, '0001'));
    }
    expect(encodeAcknowledge(type, 4, 1, 0x87, { reasonString: 'no' })).toEqual(packet(first, '0001'));
    expect(encodeAcknowledge(type, 5, 1, 0x92)).toEqual(packet(first, '0001 92'));
    expect(encodeAcknowledge(type, 5, 1, 0, { reasonString: 'ok' })).toEqual(
      packet(first, '0001 00', props('1f', str('ok'))),
    );
  });

  it('SUBACK tells 5.0 the reason of each filter, 3.1.1 that it failed, and 3.1 cannot', () => {
    const codes = [0x00, 0x87, 0x02, 0x8f];
    expect(encodeSuback(5, 7, codes)).toEqual(packet(0x90, '0007 00', '00 87 02 8f'));
    expect(encodeSuback(5, 7, [0x87], { reasonString: 'no' })).toEqual(
      packet(0x90, '0007', props('1f', str('no')), '87'),
    );
    expect(encodeSuback(4, 7, codes, { reasonString: 'no' })).toEqual(packet(0x90, '0007', '00 80 02 80'));
    expect(encodeSuback(3, 7, [0, 1, 2])).toEqual(packet(0x90, '0007', '00 01 02'));
    expect(encodeSuback(3, 7, codes)).toBeUndefined();
    const many = Array.from({ length: 300 }, () => 1);
    expect(encodeSuback(4, 7, many)).toEqual(packet(0x90, '0007', Buffer.from(many)));
  });

  it('UNSUBACK has codes in 5.0 alone', () => {
    expect(encodeUnsuback(5, 7, [0, 0x11])).toEqual(packet(0xb0, '0007 00', '00 11'));
    expect(encodeUnsuback(4, 7, [0, 0x11])).toEqual(packet(0xb0, '0007'));
    expect(encodeUnsuback(3, 7, [0, 0x11])).toEqual(packet(0xb0, '0007'));
  });
});

describe('PINGRESP, DISCONNECT and AUTH', () => {
  it('are what the standard says', () => {
    expect(pingResponse).toEqual(bytes('d0 00'));
    expect(encodeDisconnect(0x8e)).toEqual(bytes('e0 01 8e'));
    expect(encodeDisconnect(0x9d, { serverReference: 's', reasonString: 'r' })).toEqual(
      packet(0xe0, '9d', props('1c', str('s'), '1f', str('r'))),
    );
    expect(encodeAuth(0x18, 'M', Buffer.from('d'))).toEqual(
      packet(0xf0, '18', props('15', str('M'), '16', str('d'))),
    );
    expect(encodeAuth(0x00, 'M', undefined)).toEqual(packet(0xf0, '00', props('15', str('M'))));
  });
});

describe('the head of PUBLISH', () => {
  const plain: OutboundPublish = {
    version: 5,
    topic: 'a/b',
    payloadBytes: 2,
    qos: 0,
    retain: false,
    dup: false,
    properties: undefined,
    messageExpiryS: undefined,
    subscriptionIds: [],
    topicAlias: undefined,
  };
  const payload = Buffer.from('hi');
  const whole = (first: number, ...parts: Part[]): Buffer => packet(first, ...parts, payload).subarray(0, -2);

  it('carries its flags', () => {
    expect(encodePublishHead(plain).bytes).toEqual(whole(0x30, str('a/b'), '00'));
    expect(encodePublishHead({ ...plain, version: 4 }).bytes).toEqual(whole(0x30, str('a/b')));
    expect(encodePublishHead({ ...plain, version: 3, retain: true }).bytes).toEqual(whole(0x31, str('a/b')));
    expect(encodePublishHead({ ...plain, qos: 2, dup: true }).bytes).toEqual(
      whole(0x3c, str('a/b'), '0000 00'),
    );
    expect(encodePublishHead({ ...plain, topic: '日本' }).bytes).toEqual(whole(0x30, str('日本'), '00'));
  });

  it('leaves room for the packet identifier of each subscriber', () => {
    const head = encodePublishHead({ ...plain, version: 4, qos: 1 });
    expect(head.bytes).toEqual(whole(0x32, str('a/b'), '0000'));
    const long = encodePublishHead({ ...plain, qos: 1, payloadBytes: 200_000 });
    expect(long.bytes.subarray(long.packetIdAt)).toEqual(bytes('0000 00'));
    expect(encodePublishHead(plain).packetIdAt).toBe(0);
  });

  it('has every property in 5.0, and none before it', () => {
    const full: OutboundPublish = {
      ...plain,
      topic: '',
      topicAlias: 3,
      messageExpiryS: 0,
      subscriptionIds: [9, 300],
      properties: {
        payloadFormatIndicator: 1,
        contentType: 'c',
        responseTopic: 'r',
        correlationData: Buffer.from('d'),
        userProperties: [
          ['b', '1'],
          ['a', ''],
          ['b', '1'],
        ],
      },
    };
    const users = [user('b', '1'), user('a', ''), user('b', '1')];
    const properties = props(
      '23 0003',
      '0b 09',
      '0b ac02',
      '02 00000000',
      '01 01',
      '03',
      str('c'),
      '08',
      str('r'),
      '09',
      str('d'),
      ...users,
    );
    expect(encodePublishHead(full).bytes).toEqual(whole(0x30, str(''), properties));
    expect(encodePublishHead({ ...full, topic: 'a', version: 4 }).bytes).toEqual(whole(0x30, str('a')));
  });

  it('writes properties of more than 127 bytes', () => {
    const contentType = 'c'.repeat(300);
    expect(encodePublishHead({ ...plain, properties: { contentType } }).bytes).toEqual(
      whole(0x30, str('a/b'), props('03', str(contentType))),
    );
  });
});
