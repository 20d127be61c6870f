/** MQTT by hand, independent of the codec under test: what a client sends, and what it reads. */
import { PropertyId } from '../properties.js';
import { packet as frame, str as text, vbi as variable } from './wire.js';

export { frame, text };

export type PropertyValue = number | string | Buffer | readonly [string, string];
/** Pairs of a property's name and value; a name may come more than once. */
export type Properties = readonly (readonly [keyof typeof PropertyId, PropertyValue])[];

const kinds: Readonly<
  Record<string, 'byte' | 'uint16' | 'uint32' | 'variable' | 'string' | 'binary' | 'pair'>
> = {
  payloadFormatIndicator: 'byte',
  messageExpiryInterval: 'uint32',
  contentType: 'string',
  responseTopic: 'string',
  correlationData: 'binary',
  subscriptionIdentifier: 'variable',
  sessionExpiryInterval: 'uint32',
  assignedClientIdentifier: 'string',
  serverKeepAlive: 'uint16',
  authenticationMethod: 'string',
  authenticationData: 'binary',
  requestProblemInformation: 'byte',
  willDelayInterval: 'uint32',
  requestResponseInformation: 'byte',
  responseInformation: 'string',
  serverReference: 'string',
  reasonString: 'string',
  receiveMaximum: 'uint16',
  topicAliasMaximum: 'uint16',
  topicAlias: 'uint16',
  maximumQos: 'byte',
  retainAvailable: 'byte',
  userProperty: 'pair',
  maximumPacketSize: 'uint32',
  wildcardSubscriptionAvailable: 'byte',
  subscriptionIdentifierAvailable: 'byte',
  sharedSubscriptionAvailable: 'byte',
};
const names = new Map(
  Object.entries(PropertyId).map(([name, id]) => [id as number, name as keyof typeof PropertyId]),
);

export function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function properties(list: Properties): Buffer {
  const parts = list.map(([name, value]) =>
    Buffer.concat([variable(PropertyId[name]), propertyValue(name, value)]),
  );
  const bytes = Buffer.concat(parts);
  return Buffer.concat([variable(bytes.length), bytes]);
}

function propertyValue(name: string, value: PropertyValue): Buffer {
  switch (kinds[name]) {
    case 'byte':
      return Buffer.from([value as number]);
    case 'uint16':
      return uint16(value as number);
    case 'uint32':
      return uint32(value as number);
    case 'variable':
      return variable(value as number);
    case 'pair': {
      const [key, content] = value as readonly [string, string];
      return Buffer.concat([text(key), text(content)]);
    }
    case 'string':
    case 'binary':
    case undefined:
    default:
      return text(value as string | Buffer);
  }
}

export interface ServerPacket {
  readonly type:
    | 'connack'
    | 'publish'
    | 'puback'
    | 'pubrec'
    | 'pubrel'
    | 'pubcomp'
    | 'suback'
    | 'unsuback'
    | 'pingresp'
    | 'disconnect'
    | 'auth';
  readonly flags: number;
  readonly dup: boolean;
  readonly qos: number;
  readonly retain: boolean;
  readonly topic: string;
  readonly payload: string;
  readonly packetId: number;
  /** Return Code, Reason Code, or the first of them. */
  readonly code: number;
  readonly codes: readonly number[];
  readonly sessionPresent: boolean;
  readonly properties: Properties;
  readonly bytes: Buffer;
}

const types = [
  '',
  '',
  'connack',
  'publish',
  'puback',
  'pubrec',
  'pubrel',
  'pubcomp',
  '',
  'suback',
  '',
  'unsuback',
  '',
  'pingresp',
  'disconnect',
  'auth',
];

/** The whole packets at the beginning of the bytes, and how many bytes they took. */
export function readPackets(
  bytes: Buffer,
  version: number,
): { readonly packets: ServerPacket[]; readonly taken: number } {
  const packets: ServerPacket[] = [];
  let at = 0;
  for (;;) {
    let length = 0;
    let shift = 0;
    let body = at + 1;
    for (; body < bytes.length; body++) {
      const byte = bytes[body]!;
      length += (byte & 0x7f) << shift;
      shift += 7;
      if (byte < 0x80) break;
    }
    if (body >= bytes.length || body + 1 + length > bytes.length) return { packets, taken: at };
    const end = body + 1 + length;
    packets.push(readPacket(bytes.subarray(at, end), body + 1 - at, version));
    at = end;
  }
}

function readPacket(bytes: Buffer, start: number, version: number): ServerPacket {
  const first = bytes[0]!;
  const type = types[first >> 4] as ServerPacket['type'];
  const flags = first & 0x0f;
  const qos = type === 'publish' ? (flags >> 1) & 3 : 0;
  let at = start;
  const takeUint16 = (): number => (bytes[at++]! << 8) | bytes[at++]!;
  const takeText = (): Buffer => {
    const length = takeUint16();
    return bytes.subarray(at, (at += length));
  };
  let packetId = 0;
  let topic = '';
  let codes: number[] = [];
  let sessionPresent = false;
  let found: Properties = [];
  const takeProperties = (): void => {
    if (version !== 5 || at >= bytes.length) return;
    [found, at] = readProperties(bytes, at);
  };
  if (type === 'connack') {
    sessionPresent = bytes[at++] === 1;
    codes = [bytes[at++]!];
    takeProperties();
  } else if (type === 'publish') {
    topic = takeText().toString();
    if (qos > 0) packetId = takeUint16();
    takeProperties();
  } else if (type === 'suback' || type === 'unsuback') {
    packetId = takeUint16();
    takeProperties();
    codes = [...bytes.subarray(at)];
  } else if (type === 'disconnect' || type === 'auth') {
    codes = [at < bytes.length ? bytes[at++]! : 0];
    takeProperties();
  } else if (type !== 'pingresp') {
    packetId = takeUint16();
    codes = [at < bytes.length ? bytes[at++]! : 0];
    takeProperties();
  }
  return {
    type,
    flags,
    dup: (flags & 8) !== 0 && type === 'publish',
    qos,
    retain: (flags & 1) !== 0 && type === 'publish',
    topic,
    payload: type === 'publish' ? bytes.subarray(at).toString() : '',
    packetId,
    code: codes[0] ?? 0,
    codes,
    sessionPresent,
    properties: found,
    bytes,
  };
}

function readProperties(bytes: Buffer, start: number): [Properties, number] {
  let at = start;
  const takeVariable = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const takeText = (): Buffer => {
    const length = bytes.readUInt16BE(at);
    at += 2 + length;
    return bytes.subarray(at - length, at);
  };
  const length = takeVariable();
  const end = at + length;
  const found: (readonly [keyof typeof PropertyId, PropertyValue])[] = [];
  while (at < end) {
    const name = names.get(takeVariable());
    if (name === undefined) throw new Error('an unknown property from the server');
    switch (kinds[name]) {
      case 'byte':
        found.push([name, bytes[at++]!]);
        break;
      case 'uint16':
        found.push([name, bytes.readUInt16BE(at)]);
        at += 2;
        break;
      case 'uint32':
        found.push([name, bytes.readUInt32BE(at)]);
        at += 4;
        break;
      case 'variable':
        found.push([name, takeVariable()]);
        break;
      case 'binary':
        found.push([name, Buffer.from(takeText())]);
        break;
      case 'pair':
        found.push([name, [takeText().toString(), takeText().toString()]]);
        break;
      case 'string':
      case undefined:
        found.push([name, takeText().toString()]);
    }
  }
  return [found, end];
}
