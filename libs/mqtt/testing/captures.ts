/** What real clients send, and what becomes of it in hostile hands: the food of the fuzz tests. */
import type { ProtocolVersion } from '../message.js';
import { bytes, packet, props, str } from './wire.js';

/** Mulberry32: small, and the same on every machine. */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) % below;
  };
}

const user = bytes('26', str('name'), str('value'));
const will = ['0000', str('home/hall/lamp'), str('gone')];
const willOf5 = [props('18 0000000a', '03', str('text/plain'), user), str('home/hall/lamp'), str('gone')];

/** What clients of the three versions send, the rarer properties included. */
export const captures: { version: ProtocolVersion; connect: Buffer; packets: Buffer[] }[] = [
  ...([3, 4] as const).map((version) => ({
    version,
    connect: packet(
      0x10,
      str(version === 3 ? 'MQIsdp' : 'MQTT'),
      Buffer.from([version]),
      'ce 003c',
      str('meter-17'),
      ...will.slice(1),
      str('meter-17@demo'),
      str('secret'),
    ),
    packets: [
      packet(0x30, str('devices/meter-17/telemetry'), str('{"activePowerW":412.5}')),
      packet(0x3b, str('devices/meter-17/état'), '0010', str('x')),
      packet(0x34, str('a/b'), '0011', Buffer.alloc(200, 0x20)),
      packet(0x40, '0001'),
      packet(0x50, '0002'),
      packet(0x62, '0011'),
      packet(0x70, '0002'),
      packet(0x82, '0003', str('devices/+/cmd'), '01', str('$share/g/#'), '02'),
      packet(0xa2, '0004', str('devices/+/cmd'), str('#')),
      packet(0xc0),
      packet(0xe0),
    ],
  })),
  {
    version: 5,
    connect: packet(
      0x10,
      str('MQTT'),
      '05 ee 003c',
      props(
        '11 00000e10',
        '21 0014',
        '27 00010000',
        '22 000a',
        '19 01',
        '17 01',
        user,
        '15',
        str('SCRAM'),
        '16',
        str('n,,'),
      ),
      str('meter-17'),
      ...willOf5,
      str('meter-17@demo'),
      str('secret'),
    ),
    packets: [
      packet(0x30, str('devices/meter-17/telemetry'), '00', str('{"activePowerW":412.5}')),
      packet(
        0x32,
        str('devices/meter-17/telemetry'),
        '0001',
        props(
          '01 01',
          '02 0000003c',
          '03',
          str('application/json'),
          '08',
          str('re/ply'),
          '09',
          str('id'),
          '23 0001',
          user,
          user,
        ),
        str('{}'),
      ),
      packet(0x34, str(''), '0002', props('23 0001'), str('x')),
      packet(0x31, str('日本/🚲'), '00'),
      packet(0x40, '0001'),
      packet(0x40, '0001 10', props('1f', str('why'), user)),
      packet(0x50, '0002 97'),
      packet(0x62, '0002 92 00'),
      packet(0x70, '0002'),
      packet(0x82, '0003', props('0b ff7f', user), str('devices/+/cmd'), '2d', str('$share/g/#'), '02'),
      packet(0xa2, '0004', props(user), str('devices/+/cmd')),
      packet(0xc0),
      packet(0xe0, '04', props('11 00000000', '1f', str('bye'))),
      packet(0xf0, '18', props('15', str('SCRAM'), '16', str('c=biws'))),
    ],
  },
];

/** Bytes with a meaning of their own somewhere in a packet: lengths, flags, identifiers of properties, UTF-8 leads. */
const interesting = [
  0, 1, 2, 3, 4, 0x0b, 0x10, 0x20, 0x23, 0x26, 0x30, 0x38, 0x62, 0x7f, 0x80, 0x82, 0xc0, 0xed, 0xf0, 0xff,
];

/** The bytes with one to three changes that a broken or a hostile client might make. */
export function mutate(original: Buffer, other: Buffer, random: (below: number) => number): Buffer {
  let mutated = Buffer.from(original);
  for (let times = 1 + random(3); times > 0; times--) {
    const at = random(mutated.length + 1);
    switch (random(7)) {
      case 0: // flip a bit
        if (at < mutated.length) mutated[at]! ^= 1 << random(8);
        break;
      case 1:
        if (at < mutated.length) mutated[at] = interesting[random(interesting.length)]!;
        break;
      case 2: // insert
        mutated = Buffer.concat([mutated.subarray(0, at), Buffer.from([random(256)]), mutated.subarray(at)]);
        break;
      case 3: // cut out
        mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + 1 + random(4))]);
        break;
      case 4: // cut off
        mutated = mutated.subarray(0, at);
        break;
      case 5: // the beginning of one with the end of another
        mutated = Buffer.concat([mutated.subarray(0, at), other.subarray(random(other.length + 1))]);
        break;
      default: // repeat a piece
        mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(Math.max(0, at - random(12)))]);
    }
  }
  return random(4) === 0 ? mutated : withTrueLength(mutated);
}

/** Most mutations would end at the Remaining Length; mended, they reach what is behind it. */
function withTrueLength(mutated: Buffer): Buffer {
  let bodyAt = 1;
  while (bodyAt < 5 && (mutated[bodyAt] ?? 0) >= 0x80) bodyAt += 1;
  return mutated.length <= bodyAt ? mutated : packet(mutated[0]!, mutated.subarray(bodyAt + 1));
}
