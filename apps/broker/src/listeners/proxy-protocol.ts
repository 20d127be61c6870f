/**
 * PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): a header before everything else, TLS included, in which a
 * load balancer says whose connection it passes on. Where proxies are named, their connections must begin with one and nobody
 * else may connect: guessing whether there is a header would let clients say themselves who they are.
 */
import { BlockList, isIPv4, isIPv6, type Socket } from 'node:net';

import { plainAddress } from './admission.js';

export interface Source {
  readonly address: string;
  readonly port: number;
}

/** Addresses and ranges (`192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`), valid ones, that proxies connect from. */
export class TrustedProxies {
  readonly #list = new BlockList();

  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const [address = '', prefix] = range.split('/');
      const family = familyOf(address);
      if (prefix === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(prefix), family);
    }
  }

  includes(address: string): boolean {
    return this.#list.check(address, familyOf(address));
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

/** The addresses that proxies gave for connections, found by the ends of the connection: TLS and HTTP wrap its socket. */
export class Sources {
  readonly #given = new Map<string, Source>();

  note(socket: Socket, source: Source): void {
    if (source.address === ownSource(socket).address && source.port === socket.remotePort) return;
    const ends = endsOf(socket);
    this.#given.set(ends, source);
    socket.once('close', () => this.#given.delete(ends));
  }

  of(socket: Socket): Source {
    // Asked by the ends only where there is a proxy at all: two system calls and four strings a connection.
    return (this.#given.size === 0 ? undefined : this.#given.get(endsOf(socket))) ?? ownSource(socket);
  }
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

export function ownSource({ remoteAddress, remotePort }: Socket): Source {
  return { address: plainAddress(remoteAddress ?? ''), port: remotePort ?? 0 };
}

/** A proxy sends it with its first packet; in milliseconds. */
const deadlineMs = 5_000;

/** Reads the header and leaves what follows it in the socket. `failed`: there is no valid one; the socket is destroyed. */
export function readProxyHeader(socket: Socket, found: (source: Source) => void, failed: () => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  const timer = setTimeout(fail, deadlineMs);
  socket.on('readable', read);
  socket.on('end', fail);
  socket.on('error', fail);
  socket.on('close', fail);

  function read(): void {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const result = parseProxyHeader(bytes);
    if (result === 'bad') return fail();
    if (result === 'incomplete') return;
    stop();
    if (bytes.length > result.length) socket.unshift(bytes.subarray(result.length));
    found(result.source ?? ownSource(socket));
  }

  function fail(): void {
    stop();
    socket.on('error', () => undefined);
    socket.destroy();
    failed();
  }

  function stop(): void {
    clearTimeout(timer);
    socket.off('readable', read).off('end', fail).off('error', fail).off('close', fail);
  }
}

export interface ProxyHeader {
  /** In bytes, of the header. */
  readonly length: number;
  /** Undefined: the connection is the proxy's own (a health check), or of a family without addresses. */
  readonly source: Source | undefined;
}

/** What the bytes of a connection begin with. `incomplete` only as long as they may still become a header. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | 'incomplete' | 'bad' {
  if (beginsLike(bytes, signature2)) return bytes.length < 16 ? 'incomplete' : parseVersion2(bytes);
  if (beginsLike(bytes, signature1)) return parseVersion1(bytes);
  return 'bad';
}

const signature1 = Buffer.from('PROXY ');
const signature2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n');

function beginsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.subarray(0, length).equals(signature.subarray(0, length));
}

/** The longest line there is, its end included. */
const maxBytes1 = 107;

function parseVersion1(bytes: Buffer): ProxyHeader | 'incomplete' | 'bad' {
  const end = bytes.subarray(0, maxBytes1).indexOf('\r\n');
  if (end === -1) return bytes.length < maxBytes1 ? 'incomplete' : 'bad';
  const line = bytes.toString('latin1', 0, end);
  const length = end + 2;
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { length, source: undefined };
  const match = /^PROXY TCP([46]) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/.exec(line);
  const [, family, from = '', to = '', fromPort, toPort] = match ?? [];
  const isAddress = family === '4' ? isIPv4 : isIPv6;
  const isInRange = isPort(fromPort) && isPort(toPort);
  if (match === null || !isAddress(from) || !isAddress(to) || !isInRange) return 'bad';
  return { length, source: { address: plainAddress(from), port: Number(fromPort) } };
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && String(Number(text)) === text && Number(text) <= 65_535;
}

/** With additions (TLVs), which are skipped. Proxies send some hundred bytes; a certificate among them fits. */
const maxBytes2 = 4_096;

function parseVersion2(bytes: Buffer): ProxyHeader | 'incomplete' | 'bad' {
  const version = bytes.readUInt8(12) >> 4;
  const command = bytes.readUInt8(12) & 0x0f;
  const family = bytes.readUInt8(13) >> 4;
  const protocol = bytes.readUInt8(13) & 0x0f;
  const length = 16 + bytes.readUInt16BE(14);
  if (version !== 2 || command > 1 || family > 3 || protocol > 2 || length > maxBytes2) return 'bad';
  if (bytes.length < length) return 'incomplete';
  if (command === 0) return { length, source: undefined }; // LOCAL
  if (family === 0 || family === 3 || protocol === 0) return { length, source: undefined }; // UNSPEC, UNIX
  const addressBytes = family === 1 ? 4 : 16;
  if (protocol !== 1 || length < 16 + 2 * addressBytes + 4) return 'bad'; // datagrams cannot be
  const address = textOf(bytes.subarray(16, 16 + addressBytes));
  return {
    length,
    source: { address: plainAddress(address), port: bytes.readUInt16BE(16 + 2 * addressBytes) },
  };
}

function textOf(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(2 * i));
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) return address.subarray(12).join('.');
  // The one form that everybody writes an address in (RFC 5952) is what URL makes of it.
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`).hostname.slice(1, -1);
}
