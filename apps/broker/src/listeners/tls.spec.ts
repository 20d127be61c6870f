import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import { describe, expect, it } from '@jest/globals';

import type { Link } from '#mqtt';

import {
  megabyte,
  overSocket,
  type Recorded,
  upgrade,
  useListeners,
} from '../../../../test/support/listeners.js';
import { tlsBindingFor } from './tls-binding.js';
import { listenMqtts } from './tls.js';

const h = useListeners();

describe('a TLS listener', () => {
  it('takes a client certificate without asking whose it is, for the gate to judge', async () => {
    const listener = await h.listen('tls');
    const recorded = h.arrival();
    const { ca, cert, key } = h.certificates;
    h.clients.push(overSocket(connectTls({ port: listener.port, host: '127.0.0.1', ca, cert, key })));
    const der = (await recorded).link.peerCertificate?.leaf;
    expect(der?.toString('base64')).toBe(
      h.certificates.cert.toString().split('-----')[2]?.replaceAll('\n', ''),
    );
  });

  it('goes by the handles that are known here, and by none for a certificate that cannot be read', () => {
    expect(tlsBindingFor(h.certificates.cert)).toBeDefined();
    expect(tlsBindingFor('no certificate')).toBeUndefined();
  });

  it('ends a connection on which something else than its TLS comes after the handshake', async () => {
    const listener = await h.listen('tls');
    const recorded = h.arrival();
    const raw = connect({ port: listener.port, host: '127.0.0.1' });
    const client = connectTls({ socket: raw, ca: h.certificates.ca, servername: 'localhost' });
    await once(client, 'secureConnect');
    client.on('error', () => undefined); // it is told why
    const server = await recorded;
    raw.write(Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32)])); // a record by another key
    await server.until(() => server.endings.length === 1);
    expect(server.endings[0]).toMatchObject({ code: 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC' });
  });

  it.each([
    ['what is no TLS', (socket: Socket) => socket.write('GET / HTTP/1.1\r\n\r\n')],
    ['one that goes', (socket: Socket) => socket.destroy()],
    ['one that says nothing', () => undefined],
  ])('tells once of a handshake that came to nothing: %s', async (_, begin) => {
    const told: string[][] = [];
    const listener = await listenMqtts({
      ...h.options(100),
      identity: h.certificates,
      refused: (...refusal) => told.push(refusal),
    });
    h.listeners.push(listener);
    const socket = connect({ port: listener.port, host: '127.0.0.1' });
    h.clients.push(overSocket(socket));
    await once(socket, 'connect');
    begin(socket);
    while (h.admission.open === 0) await new Promise(setImmediate);
    while (h.admission.open > 0) await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(told).toEqual([['handshake', '127.0.0.1']]);
  });

  it.each(['tls', 'wss'] as const)(
    '(%s) refuses TLS below 1.2 and what is no TLS, and forgets them',
    async (transport) => {
      const listener = await h.listen(transport);
      const { ca } = h.certificates;
      const old = connectTls({
        port: listener.port,
        host: '127.0.0.1',
        ca,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
      });
      await once(old, 'error');
      const plain = overSocket(connect({ port: listener.port, host: '127.0.0.1' }));
      plain.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
      await plain.ended;
      while (h.admission.open > 0) await new Promise(setImmediate);
      expect(h.links).toHaveLength(0);
    },
  );
});

describe.each(['tls', 'wss'] as const)('a listener of TLS 1.2 (%s)', (transport) => {
  it.each([
    ['ECDHE-ECDSA-AES256-GCM-SHA384', 'welcome'],
    ['ECDHE-ECDSA-AES128-SHA', 'refusal'],
    ['ECDHE-ECDSA-AES128-SHA256', 'refusal'],
  ])('meets a client of %s with %s', async (ciphers, outcome) => {
    const { port } = await h.listen(transport);
    const { ca } = h.certificates;
    const socket = connectTls({ port, host: '127.0.0.1', ca, maxVersion: 'TLSv1.2', ciphers });
    const met = once(socket, 'secureConnect').then(
      () => 'welcome',
      () => 'refusal',
    );
    expect(await met).toBe(outcome);
    socket.destroy();
  });
});

describe.each(['tls', 'tls-socket'] as const)('TLS 1.2 over %s', (transport) => {
  async function older(): Promise<{ socket: TLSSocket; recorded: Recorded }> {
    const { port } = await h.listen(transport);
    const accepting = h.arrival();
    const socket = h.dial(transport, { port, maxVersion: 'TLSv1.2' }).stream as TLSSocket;
    h.clients.push(overSocket(socket));
    const recorded = await accepting;
    expect(recorded.link.tlsVersion).toBe('TLSv1.2');
    recorded.link.write([Buffer.from('x')]);
    await once(socket, 'data'); // its first handshake is behind it
    return { socket, recorded };
  }

  function anew(socket: TLSSocket): Promise<void> {
    return new Promise((resolve, reject) => {
      socket.once('close', () => reject(new Error('cut')));
      socket.renegotiate({}, (error) => (error ? reject(error) : resolve()));
    });
  }

  it('lets a client do its handshake anew, and goes on with the link that there is', async () => {
    const { socket, recorded } = await older();
    await anew(socket);
    socket.write('still here');
    await recorded.until(() => recorded.length === 10);
    expect(h.links).toHaveLength(1);
  });

  it('cuts off a client that does its handshake anew again and again', async () => {
    const { socket, recorded } = await older();
    for (let n = 1; n <= 3; n++) await anew(socket);
    expect(recorded.endings).toEqual([]);
    await anew(socket).catch(() => undefined); // whichever it hears of first
    await recorded.until(() => recorded.endings.length > 0);
    expect(recorded.endings[0]).toMatchObject({ code: 'ERR_TLS_SESSION_ATTACK' });
  });
});

describe.each(['tls', 'tls-socket', 'wss'] as const)(
  'a client over %s that has taken its leave',
  (transport) => {
    const readers = [
      ['somebody reads', () => undefined],
      ['nobody reads', (link: Link) => link.pause()],
    ] as const;

    it.each(readers)('has nothing kept of what it sends behind that, where %s', async (_who, before) => {
      const { port } = await h.listen(transport);
      const accepting = h.arrival();
      const raw = connect({ port, host: '127.0.0.1' });
      raw.on('error', () => undefined);
      // The words of leave go out; the end of sending, which would follow them, does not.
      const below = new Duplex({
        read: () => undefined,
        write: (bytes: Buffer, _encoding, done) => void raw.write(bytes, () => done()),
        final: (done) => done(),
      });
      raw.on('data', (bytes) => below.push(bytes));
      const client = connectTls({ socket: below, ca: h.certificates.ca, servername: 'localhost' });
      client.on('error', () => undefined);
      if (transport === 'wss') client.write(upgrade);
      const { link } = await accepting;
      raw.pause();
      link.write([Buffer.alloc(16 * megabyte.length)]); // it waits for somebody to read that
      before(link);
      client.end(Buffer.from([0x82, 0x81, 0, 0, 0, 0, 0])); // of WebSocket a message
      await once(below, 'finish');
      for (let sent = 0; sent < 64; sent += 1) raw.write(megabyte);
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(raw.destroyed).toBe(false);
      expect(raw.writableLength).toBeGreaterThan(32 * megabyte.length); // more than that the kernels do not hold
      raw.destroy();
    });
  },
);
