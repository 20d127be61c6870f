import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { WebSocket } from 'ws';

import type { Link } from '#mqtt';

import { makeTestCertificates, type TestCertificates } from '../../../../test/support/certificates.js';
import { TokenBuckets } from '../token-buckets.js';
import type { Listener, ListenOptions } from './accept.js';
import { Admission } from './admission.js';
import { parseProxyHeader, TrustedProxies } from './proxy-protocol.js';
import { listenMqtt } from './tcp.js';
import { listenMqtts } from './tls.js';
import { listenSecureWebSocket, listenWebSocket } from './websocket.js';

const v1 = (line: string): Buffer => Buffer.from(`PROXY ${line}\r\n`, 'latin1');

function v2(versionAndCommand: number, familyAndProtocol: number, body: Buffer): Buffer {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\0\0\0\0', 'latin1');
  head[12] = versionAndCommand;
  head[13] = familyAndProtocol;
  head.writeUInt16BE(body.length, 14);
  return Buffer.concat([head, body]);
}

const tcp4 = Buffer.from([203, 0, 113, 9, 127, 0, 0, 1, 0xd4, 0x31, 0x07, 0x5b]);
const ip6 = Buffer.from('20010db8000000000000000000000009', 'hex');
const tcp6 = Buffer.concat([ip6, ip6, Buffer.from([0xd4, 0x31, 0x07, 0x5b])]);
const mapped = Buffer.from('00000000000000000000ffffcb007109', 'hex');
const mapped6 = Buffer.concat([mapped, mapped, Buffer.from([0xd4, 0x31, 0x07, 0x5b])]);

const client4 = { address: '203.0.113.9', port: 54_321 };
const client6 = { address: '2001:db8::9', port: 54_321 };

const valid: [string, Buffer, { address: string; port: number } | undefined][] = [
  ['v1 TCP4', v1('TCP4 203.0.113.9 127.0.0.1 54321 1883'), client4],
  ['v1 TCP6', v1('TCP6 2001:db8::9 ::1 54321 1883'), client6],
  ['v1 TCP6 of an IPv4 client', v1('TCP6 ::ffff:203.0.113.9 ::1 54321 1883'), client4],
  ['v1 UNKNOWN', v1('UNKNOWN'), undefined],
  ['v1 UNKNOWN with a rest', v1('UNKNOWN ffff::1 ffff::2 1 2'), undefined],
  ['v2 TCP4', v2(0x21, 0x11, tcp4), client4],
  ['v2 TCP4 with additions', v2(0x21, 0x11, Buffer.concat([tcp4, Buffer.from([4, 0, 1, 0])])), client4],
  ['v2 TCP6', v2(0x21, 0x21, tcp6), client6],
  ['v2 TCP6 of an IPv4 client', v2(0x21, 0x21, mapped6), client4],
  ['v2 LOCAL', v2(0x20, 0x00, Buffer.alloc(0)), undefined],
  ['v2 LOCAL with addresses', v2(0x20, 0x11, tcp4), undefined],
  ['v2 UNSPEC', v2(0x21, 0x00, Buffer.alloc(0)), undefined],
  ['v2 UNIX', v2(0x21, 0x31, Buffer.alloc(216)), undefined],
];

const bad: [string, Buffer][] = [
  ['no header', Buffer.from([0x10, 0x0c, 0, 4])],
  ['v1 in lower case', Buffer.from('proxy TCP4 203.0.113.9 127.0.0.1 1 2\r\n')],
  ['v1 with a bad address', v1('TCP4 203.0.113.999 127.0.0.1 54321 1883')],
  ['v1 with an address of the other family', v1('TCP4 ::1 127.0.0.1 54321 1883')],
  ['v1 with a bad port', v1('TCP4 203.0.113.9 127.0.0.1 65536 1883')],
  ['v1 with a padded port', v1('TCP4 203.0.113.9 127.0.0.1 01 1883')],
  ['v1 with a field too many', v1('TCP4 203.0.113.9 127.0.0.1 1 2 3')],
  ['v1 with two spaces', v1('TCP4  203.0.113.9 127.0.0.1 1 2')],
  ['v1 of an unknown family', v1('TCP5 203.0.113.9 127.0.0.1 1 2')],
  ['v1 that does not end', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(107)}`)],
  ['v2 of another version', v2(0x31, 0x11, tcp4)],
  ['v2 with an unknown command', v2(0x22, 0x11, tcp4)],
  ['v2 of an unknown family', v2(0x21, 0x41, tcp4)],
  ['v2 of a datagram', v2(0x21, 0x12, tcp4)],
  ['v2 too short for its addresses', v2(0x21, 0x21, tcp4)],
  ['v2 over the limit', v2(0x21, 0x11, Buffer.alloc(4_096))],
];

describe('the header of a proxy', () => {
  it.each(valid)('%s is read, with what follows it left alone', (_, bytes, source) => {
    const after = Buffer.concat([bytes, Buffer.from([0x10, 0x0c])]);
    expect(parseProxyHeader(after)).toEqual({ length: bytes.length, source });
  });

  it.each(valid)('%s is waited for, however it is cut', (_, bytes) => {
    for (let length = 0; length < bytes.length; length++) {
      expect(parseProxyHeader(bytes.subarray(0, length))).toBe('incomplete');
    }
  });

  it.each(bad)('%s is refused', (_, bytes) => {
    expect(parseProxyHeader(bytes)).toBe('bad');
  });

  it('of version 2 is refused for its length before the rest is waited for', () => {
    expect(parseProxyHeader(v2(0x21, 0x11, Buffer.alloc(65_535)).subarray(0, 16))).toBe('bad');
  });
});

describe('trusted proxies', () => {
  it('are those in the list', () => {
    const proxies = new TrustedProxies(['192.0.2.7', '10.0.0.0/8', '2001:db8::/32']);
    const all = ['192.0.2.7', '192.0.2.8', '10.9.9.9', '11.0.0.1', '2001:db8::1', '2001:db9::1', '::1'];
    expect(all.filter((address) => proxies.includes(address))).toEqual([
      '192.0.2.7',
      '10.9.9.9',
      '2001:db8::1',
    ]);
  });
});

// ---------------------------------------------------------------------------------------------------- on the listeners

const transports = ['tcp', 'tls', 'ws', 'wss'] as const;
type Transport = (typeof transports)[number];

let certificates: TestCertificates;
let admission: Admission;
let opened: (link: Link) => void;
let refusals: [string, string][];
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  certificates = await makeTestCertificates();
});
afterAll(() => certificates.remove());
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function listen(transport: Transport, from = ['127.0.0.1'], now?: TokenBuckets): Promise<Listener> {
  refusals = [];
  admission = new Admission(1_000, now);
  const { cert, key } = certificates;
  const options: ListenOptions = {
    host: '127.0.0.1',
    port: 0,
    admission,
    proxies: new TrustedProxies(from),
    accept: (link) => {
      opened(link);
      closing.push(() => link.destroy());
      return {
        received: (chunk) => link.write([chunk]),
        drained: () => undefined,
        finished: () => link.end(),
        closed: () => undefined,
      };
    },
    refused: (why, address) => refusals.push([why, address]),
  };
  const listener = await {
    tcp: () => listenMqtt(options),
    tls: () => listenMqtts({ ...options, identity: { cert, key } }),
    ws: () => listenWebSocket(options),
    wss: () => listenSecureWebSocket({ ...options, identity: { cert, key } }),
  }[transport]();
  closing.push(() => listener.close());
  return listener;
}

function plain({ port }: Listener): Socket {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  closing.push(() => socket.destroy());
  return socket;
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** A client of the transport behind a proxy: what it sends first comes right after the header. */
async function echoed(
  transport: Transport,
  listener: Listener,
  header: Buffer,
): Promise<{ link: Link; answer: string }> {
  const link = new Promise<Link>((resolve) => (opened = resolve));
  const socket = plain(listener);
  const { ca } = certificates;
  const secure = transport === 'tls' || transport === 'wss';
  const through = (): Socket => (secure ? connectTls({ socket, ca, servername: 'localhost' }) : socket);
  const answer = new Promise<string>((resolve) => {
    if (transport === 'tcp') {
      socket.write(Buffer.concat([header, Buffer.from('hello')])); // one segment
      socket.once('data', (data: Buffer) => resolve(data.toString()));
      return;
    }
    socket.write(header);
    if (transport === 'tls') {
      const client = through();
      client.write('hello');
      client.once('data', (data: Buffer) => resolve(data.toString()));
      return;
    }
    const webSocket = new WebSocket(`ws://localhost:${listener.port}/mqtt`, 'mqtt', {
      createConnection: () => through(),
    });
    webSocket.on('error', () => undefined);
    webSocket.on('open', () => webSocket.send(Buffer.from('hello')));
    webSocket.once('message', (data: Buffer) => resolve(data.toString()));
  });
  return { link: await link, answer: await answer };
}

describe.each(transports)('a listener for %s behind proxies', (transport) => {
  it.each([
    ['version 1', v1('TCP4 203.0.113.9 127.0.0.1 54321 1883')],
    ['version 2', v2(0x21, 0x11, tcp4)],
  ])('knows the client from a header of %s', async (_, header) => {
    const { link, answer } = await echoed(transport, await listen(transport), header);
    expect(answer).toBe('hello');
    expect([link.remoteAddress, link.remotePort, link.transport]).toEqual(['203.0.113.9', 54_321, transport]);
  });

  it('knows a health check for the proxy itself', async () => {
    const { link } = await echoed(transport, await listen(transport), v2(0x20, 0, Buffer.alloc(0)));
    expect(link.remoteAddress).toBe('127.0.0.1');
    expect(link.remotePort).toBeGreaterThan(0);
  });

  it('closes on what is no header, and opens no link', async () => {
    opened = () => {
      throw new Error('a link was opened');
    };
    const socket = plain(await listen(transport));
    socket.write(Buffer.from([0x10, 0x0c, 0, 4]));
    await closed(socket);
    expect(refusals).toEqual([['proxy-header', '127.0.0.1']]);
    expect(admission.open).toBe(0);
  });

  it('resets who is not a proxy, header or not', async () => {
    opened = () => {
      throw new Error('a link was opened');
    };
    const socket = plain(await listen(transport, ['192.0.2.0/24']));
    socket.write(v1('TCP4 203.0.113.9 127.0.0.1 54321 1883'));
    await closed(socket);
    expect(refusals).toEqual([['not-a-proxy', '127.0.0.1']]);
  });
});

describe('behind proxies', () => {
  it('a header may come in pieces', async () => {
    const link = new Promise<Link>((resolve) => (opened = resolve));
    const socket = plain(await listen('tcp'));
    for (const byte of v2(0x21, 0x21, tcp6)) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await link).remoteAddress).toBe('2001:db8::9');
  });

  it('a connection that ends within the header is given up', async () => {
    const socket = plain(await listen('tcp'));
    socket.end('PROXY TCP4 ');
    await closed(socket);
    expect(refusals).toEqual([['proxy-header', '127.0.0.1']]);
    expect(admission.open).toBe(0);
  });

  it('the rate of new connections is counted by the address of the client', async () => {
    const listener = await listen('tcp', ['127.0.0.1'], new TokenBuckets(() => 0));
    opened = () => undefined;
    for (let i = 0; i < 1_000; i++) admission.isInRate('203.0.113.9');
    const socket = plain(listener);
    socket.write(v1('TCP4 203.0.113.9 127.0.0.1 54321 1883'));
    await closed(socket);
    expect(refusals).toEqual([['rate', '203.0.113.9']]);
    const { link } = await echoed('tcp', listener, v1('TCP4 203.0.113.10 127.0.0.1 54321 1883'));
    expect(link.remoteAddress).toBe('203.0.113.10');
  });
});
