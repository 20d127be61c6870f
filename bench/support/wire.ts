/** As much of MQTT as a benchmark's clients need: packets out, packets in, nothing checked. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const largestBuffer = 64 * 1024;

function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  let left = length;
  do {
    bytes.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>>= 7;
  } while (left > 0);
  return bytes;
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

export function packet(header: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([header, ...lengthBytes(body.length)]), body]);
}

/** Where a broker is, and how to come in. */
export interface Door {
  readonly host?: string | undefined;
  readonly port: number;
  readonly version?: number | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Over TLS, when this is given. */
  readonly ca?: Buffer | undefined;
  readonly servername?: string | undefined;
  /** Keep Alive of CONNECT; 0 unless it is given. */
  readonly keepAliveS?: number | undefined;
}

/** 3.1.1's Clean Session 0 keeps the session; a 5.0 client would have to say for how long, and here never does. */
export function connectPacket(door: Door, clientId: string, keepsSession = false): Buffer {
  const { username, password, version = 4, keepAliveS = 0 } = door;
  const flags =
    (keepsSession ? 0 : 0x02) | (username === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40);
  const login = [username, password].filter((value) => value !== undefined).map(text);
  const fixed = Buffer.from([version, flags, keepAliveS >> 8, keepAliveS & 0xff]);
  return packet(0x10, text('MQTT'), fixed, noProperties(version), text(clientId), ...login);
}

export function subscribePacket(version: number, qos: number, filters: readonly string[]): Buffer {
  const parts = filters.flatMap((filter) => [text(filter), Buffer.from([qos])]);
  return packet(0x82, Buffer.from([0, 1]), noProperties(version), ...parts);
}

export function publishPacket(
  version: number,
  qos: number,
  packetId: number,
  topic: string,
  payload: Buffer,
): Buffer {
  const id = Buffer.from(qos > 0 ? [packetId >> 8, packetId & 0xff] : []);
  return packet(0x30 | (qos << 1), text(topic), id, noProperties(version), payload);
}

export function noProperties(version: number): Buffer {
  return Buffer.from(version === 5 ? [0] : []);
}

type OnPacket = (header: number, bytes: Buffer, start: number, end: number) => void;

/** Packets come out at `onPacket`, go in by `put` and leave together at the end of the turn. */
export class Connection {
  readonly socket: Socket;
  #rest: Buffer | undefined;
  #out = Buffer.allocUnsafe(1024);
  #outAt = 0;
  onPacket: OnPacket = () => undefined;
  onTurn: () => void = () => undefined;

  constructor(door: Door, onReady: (self: Connection) => void, onClosed: () => void) {
    const { host = '127.0.0.1', port, ca, servername = 'localhost' } = door;
    this.socket = ca === undefined ? connectTcp(port, host) : connectTls({ host, port, ca, servername });
    this.socket.setNoDelay(true);
    this.socket.once(ca === undefined ? 'connect' : 'secureConnect', () => onReady(this));
    this.socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.socket.on('error', (error) => console.error(String(error)));
    this.socket.on('close', onClosed);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    while (start < bytes.length) {
      let bodyAt = start + 1;
      let length = 0;
      let shift = 0;
      let byte = 0x80;
      while (bodyAt < bytes.length && byte >= 0x80) {
        byte = bytes[bodyAt++] ?? 0;
        length |= (byte & 0x7f) << shift;
        shift += 7;
      }
      if (byte >= 0x80 || bodyAt + length > bytes.length) break;
      this.onPacket(bytes[start] ?? 0, bytes, bodyAt, bodyAt + length);
      start = bodyAt + length;
    }
    this.#rest = start < bytes.length ? bytes.subarray(start) : undefined;
    this.onTurn();
    this.flush();
  }

  get waitingBytes(): number {
    return this.#outAt + this.socket.writableLength;
  }

  /** Where `length` bytes may be written. */
  room(length: number): { readonly out: Buffer; readonly at: number } {
    if (this.#outAt + length > this.#out.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#out.length * 2, this.#outAt + length));
      this.#out.copy(grown, 0, 0, this.#outAt);
      this.#out = grown;
    }
    const at = this.#outAt;
    this.#outAt += length;
    return { out: this.#out, at };
  }

  put(bytes: Buffer): void {
    const { out, at } = this.room(bytes.length);
    bytes.copy(out, at);
  }

  acknowledge(header: number, bytes: Buffer, idAt: number): void {
    const { out, at } = this.room(4);
    out[at] = header;
    out[at + 1] = 2;
    out[at + 2] = bytes[idAt] ?? 0;
    out[at + 3] = bytes[idAt + 1] ?? 0;
  }

  flush(): void {
    if (this.#outAt === 0) return;
    const bytes = this.#out.subarray(0, this.#outAt);
    this.#out = Buffer.allocUnsafe(Math.min(this.#out.length, largestBuffer));
    this.#outAt = 0;
    this.socket.write(bytes);
  }

  send(bytes: Buffer): void {
    this.put(bytes);
    this.flush();
  }

  end(): void {
    this.socket.destroy();
  }
}

export interface SigningIn {
  readonly clientId: string;
  readonly filters?: readonly string[];
  readonly qos?: number;
  readonly keepsSession?: boolean;
  /** Before the next packet is looked at, which may be in the same chunk. */
  readonly onReady?: (connection: Connection) => void;
  /** Also when it is refused. */
  readonly onClosed?: () => void;
}

/** A connection that is signed in, and subscribed where there are filters. */
export function signIn(door: Door, who: SigningIn): Promise<Connection> {
  const { clientId, filters = [], qos = 0, keepsSession = false } = who;
  return new Promise((resolve, reject) => {
    const connection = new Connection(
      door,
      (self) => self.send(connectPacket(door, clientId, keepsSession)),
      () => {
        who.onClosed?.();
        reject(new Error('the broker closed the connection'));
      },
    );
    connection.onPacket = (header, bytes, start, end) => {
      if (header === 0x20 && bytes[start + 1] !== 0) reject(new Error(`CONNACK ${bytes[start + 1] ?? ''}`));
      else if (header === 0x90 && (bytes[end - 1] ?? 0) > 2) reject(new Error('SUBACK with a failure'));
      else if (header === 0x20 && filters.length > 0)
        connection.put(subscribePacket(door.version ?? 4, qos, filters));
      else {
        who.onReady?.(connection);
        resolve(connection);
      }
    };
  });
}

/** Opens `count` of something, so many at a time. */
export async function openAll<T>(
  count: number,
  concurrency: number,
  open: (index: number) => Promise<T>,
): Promise<T[]> {
  const opened: T[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) opened[index] = await open(index);
  };
  await Promise.all(Array.from({ length: Math.min(count, concurrency) }, lane));
  return opened;
}
