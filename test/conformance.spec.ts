// Where a black-box suite of the MQTT standards lies beside the checkout, it finds nothing wrong with the real product: every
// version over TCP and WebSocket, then again over TLS.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { isInstalled, tellSkipped } from './support/installed.js';
import { startProduct, type Bootstrap, type Product } from './support/product.js';

const root = join(import.meta.dirname, '..');
const named = process.env['MQTT_CONFORMANCE'];
const suite = resolve(root, named ?? '../shared/conformance/normative5.py');
const isThere = existsSync(suite);
const canRun = isThere && isInstalled('python3');
if (!isThere) tellSkipped(`no conformance suite at ${suite} (MQTT_CONFORMANCE names another place)`);
else if (!canRun) tellSkipped('the conformance suite: python3 is not installed');

it('a suite is looked for where MQTT_CONFORMANCE says, which must not be in vain, or beside the checkout', () => {
  expect(isThere || named === undefined).toBe(true);
});

(canRun ? describe : describe.skip)('the normative suite', () => {
  let dataDir: string;
  let product: Product;
  let bootstrap: Bootstrap;

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'moorage-conformance-'));
    product = startProduct(dataDir);
    bootstrap = await product.ready;
  });

  afterAll(async () => {
    await product.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('finds no failure in 3.1, 3.1.1 and 5.0 over TCP and WebSocket', async () => {
    const { mqtt, ws } = bootstrap;
    const place = ['--host', mqtt.host, '--port', `${mqtt.port}`, '--ws-port', `${ws.port}`];
    expect(await run(place)).toEqual(inOrder);
  }, 300_000);

  // Its WebSocket tests speak no TLS.
  it('finds no failure in 3.1, 3.1.1 and 5.0 over TLS', async () => {
    const { mqtts, ws } = bootstrap;
    const trust = ['--tls', '--cafile', mqtts.ca ?? ''];
    const place = ['--host', mqtts.host, '--port', `${mqtts.port}`, '--ws-port', `${ws.port}`];
    expect(await run([...place, ...trust])).toEqual(inOrder);
  }, 300_000);

  const inOrder = {
    code: 0,
    failures: [],
    versions: ['5.0', '3.1.1', '3.1'],
    end: expect.stringMatching(/^[1-9]\d* passed, 0 failed$/),
  };

  async function run(place: readonly string[]) {
    const { username, password } = bootstrap.open;
    const identity = ['--user', username, '--password', password];
    const child = spawn('python3', [suite, ...place, '--ws-path', '/mqtt', ...identity], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let report = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (report += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return {
      code,
      failures: report.split('\n').filter((line) => /^(FAIL|Traceback|\w*Error)/.test(line)),
      versions: Array.from(report.matchAll(/^\s*([\d.]+): [1-9]\d* PASS/gm), ([, version]) => version),
      end: report.trimEnd().split('\n').at(-1),
    };
  }
});
