import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createPlainServer } from 'node:net';

import { afterEach, describe, expect, it } from '@jest/globals';

import { Egress, EgressError, type EgressOptions, egressUrlFault } from './egress.js';
import { isPublicAddress } from './public-address.js';

const started: { close(): unknown }[] = [];
afterEach(() => started.splice(0).forEach((one) => one.close()));

async function serve(listener: RequestListener): Promise<number> {
  const server: Server = createServer(listener);
  started.push({ close: () => (server.closeAllConnections(), server.close()) });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

function egress(options: EgressOptions): Egress {
  const made = new Egress(options);
  started.push(made);
  return made;
}

const limits = { tenantId: 'one', timeoutMs: 20_000, maxBytes: 1_000, schemes: 'https-or-http' } as const;

async function faultOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof EgressError) return error.code;
    throw error;
  }
  return 'none';
}

describe('an address', () => {
  it.each([
    '127.0.0.1',
    '0.0.0.0',
    '10.1.2.3',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::1',
    '::',
    '::ffff:8.8.8.8',
    '::ffff:127.0.0.1',
    '64:ff9b::7f00:1',
    'fe80::1',
    'fd00::1',
    'ff02::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '2001:0:1::1',
    'localhost',
    '',
  ])('%s is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each(['8.8.8.8', '172.32.0.1', '2606:4700::1111', '2a00:1450:4001::1'])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
});

describe('a call to an address that a tenant names', () => {
  it('goes to https alone, without credentials, unless the caller says otherwise', () => {
    for (const url of [
      'http://a.example/x',
      'ftp://a.example',
      'https://u:p@a.example',
      'nonsense',
      'https://',
      ' https://a.example',
      'https://a.example/x\n',
      'https://a.exa\tmple',
    ]) {
      expect([url, egressUrlFault(url)]).toEqual([url, expect.any(String)]);
    }
    expect(egressUrlFault('https://a.example:8443/keys?x=1')).toBeUndefined();
    expect(egressUrlFault('http://a.example/list.crl', 'https-or-http')).toBeUndefined();
    expect(egressUrlFault(`https://a.example/${'x'.repeat(3_000)}`)).toBeDefined();
  });

  it.each([
    'http://127.0.0.1',
    'http://0x7f.1',
    'http://2130706433',
    'http://[::1]',
    'http://[::ffff:127.0.0.1]',
  ])('that is %s, however it is written, is refused', async (url) => {
    expect(await faultOf(egress({}).call({ url, ...limits }))).toBe('egress.address');
  });

  it('is refused where one of the addresses of its name is not public', async () => {
    const guarded = egress({ resolve: async () => ['93.184.215.14', '10.0.0.1'] });
    expect(await faultOf(guarded.call({ url: 'http://mixed.example', ...limits }))).toBe('egress.address');
  });

  it('connects to the address that was checked, and asks for the name once', async () => {
    const port = await serve((request, response) => response.end(request.headers.host));
    const asked: string[] = [];
    const resolve = async (name: string) => [asked.push(name) === 1 ? '127.0.0.1' : '127.0.0.2'];
    const guarded = egress({ allowed: ['127.0.0.0/8'], resolve });
    const { status, body } = await guarded.call({ url: `http://keys.example:${port}/`, ...limits });
    expect([status, body.toString(), asked]).toEqual([200, `keys.example:${port}`, ['keys.example']]);
  });

  it('may reach what the operator has allowed, and only that', async () => {
    const port = await serve((_, response) => response.end('ok'));
    const url = `http://127.0.0.1:${port}/`;
    expect((await egress({ allowed: ['127.0.0.1'] }).call({ url, ...limits })).body.toString()).toBe('ok');
    expect(await faultOf(egress({ allowed: ['127.0.0.2'] }).call({ url, ...limits }))).toBe('egress.address');
  });

  it('follows no redirection', async () => {
    const port = await serve((_, response) =>
      response.writeHead(302, { location: 'http://127.0.0.1/' }).end(),
    );
    const guarded = egress({ allowed: ['127.0.0.1'] });
    expect(await faultOf(guarded.call({ url: `http://127.0.0.1:${port}/`, ...limits }))).toBe(
      'egress.redirect',
    );
  });

  it('reads no more than it may, whether the length is told or not', async () => {
    const told = await serve((_, response) => response.end('x'.repeat(2_000)));
    const untold = await serve((_, response) => {
      response.write('x'.repeat(900));
      response.end('x'.repeat(900));
    });
    const guarded = egress({ allowed: ['127.0.0.1'] });
    for (const port of [told, untold]) {
      expect(await faultOf(guarded.call({ url: `http://127.0.0.1:${port}/`, ...limits }))).toBe(
        'egress.too-large',
      );
    }
  });

  it('waits no longer than it may: for the name, for the answer, for the end of the answer', async () => {
    const silent = await serve(() => undefined);
    const slow = await serve((_, response) => response.write('x'));
    const guarded = egress({ allowed: ['127.0.0.1'] });
    const brief = { ...limits, timeoutMs: 100 };
    for (const port of [silent, slow]) {
      expect(await faultOf(guarded.call({ url: `http://127.0.0.1:${port}/`, ...brief }))).toBe(
        'egress.timeout',
      );
    }
    const lost = egress({ resolve: () => new Promise(() => undefined) });
    expect(await faultOf(lost.call({ url: 'http://lost.example', ...brief }))).toBe('egress.timeout');
  });

  it('tells that a name is unknown, and that nobody listens', async () => {
    const unknown = egress({ resolve: () => Promise.reject(new Error('ENOTFOUND')) });
    expect(await faultOf(unknown.call({ url: 'http://none.example', ...limits }))).toBe('egress.unresolved');
    const port = await serve(() => undefined);
    started.splice(0).forEach((one) => one.close());
    const guarded = egress({ allowed: ['127.0.0.1'] });
    expect(await faultOf(guarded.call({ url: `http://127.0.0.1:${port}/`, ...limits }))).toBe(
      'egress.unreachable',
    );
  });

  it('ends, whatever is answered: a switch of protocols, half an answer, none', async () => {
    const guarded = egress({ allowed: ['127.0.0.1'] });
    const answers = [
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}`,
      '',
    ];
    for (const answer of answers) {
      const server = createPlainServer((socket) => {
        socket.on('error', () => undefined).once('data', () => socket.end(answer));
      });
      started.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const call = guarded.call({ url: `http://127.0.0.1:${port}/`, ...limits });
      expect([answer.slice(0, 12), await faultOf(call)]).toEqual([answer.slice(0, 12), 'egress.unreachable']);
    }
  });

  it("is one of so many of its tenant's at a time, and another's goes on to the same host", async () => {
    const port = await serve(({ url }, response) => {
      if (url === '/answers') response.end('ok');
    });
    const guarded = egress({ allowed: ['127.0.0.1'] });
    const call = (path: string, more: object = {}) =>
      guarded.call({ url: `http://127.0.0.1:${port}${path}`, ...limits, ...more });
    const silent = () => faultOf(call('/silent', { timeoutMs: 500 }));
    const flood = Array.from({ length: 70 }, silent);
    expect((await call('/answers', { tenantId: 'another' })).body.toString()).toBe('ok');
    const faults = await Promise.all(flood);
    expect(faults.filter((fault) => fault === 'egress.busy')).toHaveLength(6);
    expect(await silent()).toBe('egress.timeout');
  });
});
