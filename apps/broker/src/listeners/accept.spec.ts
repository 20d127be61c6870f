import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

import { describe, expect, it } from '@jest/globals';

import type { Link } from '#mqtt';

import { closed, overSocket, useListeners } from '../../../../test/support/listeners.js';
import { withTimeEnough } from '../../../../test/support/time-enough.js';
import { listenMqtt } from './tcp.js';

const h = useListeners();

describe('a port', () => {
  it('that somebody else listens on is not shared', async () => {
    const { port } = await h.listen('tcp');
    await expect(listenMqtt({ ...h.options(), port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('takes a crowd, each of them once', async () => {
    const { port } = await h.listen('tcp');
    const links = new Set<Link>();
    const all = new Promise<void>((resolve) => {
      h.accepted = ({ link }) => {
        if (links.add(link).size === 100) resolve();
      };
    });
    for (let i = 0; i < 100; i += 1) h.clients.push(overSocket(connect({ port, host: '127.0.0.1' })));
    await all;
    expect(new Set([...links].map(({ remotePort }) => remotePort)).size).toBe(100);
    expect(h.admission.open).toBe(100);
  });
});

describe('a connection that does not become a link', () => {
  const unfinished = [
    ['tls', 'nothing', ''],
    ['tls', 'half a hello', '\x16\x03\x01\x02\x00\x01'],
    ['ws', 'nothing', ''],
    ['ws', 'half a request', 'GET /mqtt HTTP/1.1\r\nHost: x\r\n'],
    ['ws', 'half a body', 'POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1'],
    ['wss', 'nothing', ''],
  ] as const;

  it.each(unfinished)('is cut in time: %s, %s', async (transport, _what, bytes) => {
    const { port } = await h.listen(transport, 50);
    const socket = connect({ port, host: '127.0.0.1' });
    socket.write(bytes, 'latin1');
    await closed(socket);
    expect(h.links).toEqual([]);
  });

  it('is cut in time: wss, half a request', async () => {
    const { port } = await h.listen('wss', 50);
    const socket = connectTls({ port, host: '127.0.0.1', ca: h.certificates.ca, servername: 'localhost' });
    socket.write('GET /mqtt HTTP/1.1\r\nHost: x\r\n');
    await closed(socket);
    expect(h.links).toEqual([]);
  });

  it('is cut when the listener closes', async () => {
    const listener = await h.listen('ws');
    const socket = connect({ port: listener.port, host: '127.0.0.1' });
    const ending = closed(socket);
    socket.write('GET /mqtt HTTP/1.1\r\nHost: x\r\n');
    while (h.admission.open === 0) await new Promise((resolve) => setImmediate(resolve));
    await listener.close();
    await ending;
    expect(h.links).toEqual([]);
  });

  it('leaves a link alone that came in time', async () => {
    await withTimeEnough(200, async (ms) => {
      const listener = await h.listen('ws', ms);
      const { client, recorded } = await h.open('ws', listener);
      const late = connect({ port: listener.port, host: '127.0.0.1' });
      await closed(late); // the deadline of a younger one is over
      client.send(Buffer.from('still here'));
      await recorded.until(() => recorded.length === 10);
      expect(recorded.endings).toEqual([]);
    });
  });
});
