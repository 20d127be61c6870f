// The README's tour, walked through real clients against the real product; then what may happen to it.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { isInstalled, tellSkipped } from './support/installed.js';
import {
  eventually,
  freePorts,
  isAlive,
  startProduct,
  type Bootstrap,
  type Product,
} from './support/product.js';

interface Row {
  readonly [name: string]: unknown;
}
interface List {
  readonly items: readonly Row[];
}

const root = join(import.meta.dirname, '..');
const mqttCommand = join(root, 'node_modules/mqtt/build/bin/mqtt.js');
const hasMosquitto = isInstalled('mosquitto_pub');
if (!hasMosquitto) tellSkipped("the tour with mosquitto's clients: not installed");
const itWithMosquitto = hasMosquitto ? it : it.skip;

describe('the product', () => {
  let dataDir: string;
  let product: Product;
  let bootstrap: Bootstrap;
  let deviceId: string;
  let username: string;
  let password: string;
  const topic = 'devices/pump-7/telemetry';

  async function call(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(bootstrap.api + path, {
      method,
      headers: { authorization: `Bearer ${bootstrap.adminKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
  const create = async (path: string, body: unknown) => {
    const response = await call('POST', path, body);
    expect(response.status).toBe(201);
    return (await response.json()) as Row;
  };
  const list = async (path: string) => ((await (await call('GET', path)).json()) as List).items;
  const telemetry = () => list(`/v1/tenants/acme/devices/${deviceId}/telemetry?limit=200`);
  const stored = async (marker: string) =>
    eventually(telemetry, (rows) => rows.some(({ body }) => (body as Row)['via'] === marker));
  const presence = async () =>
    (await list('/v1/tenants/acme/presence')).find(({ clientId }) => clientId === 'pump-7');

  function connect(options: Partial<IClientOptions> = {}): Promise<MqttClient> {
    const { host, port } = bootstrap.mqtt;
    const identity = { clientId: 'pump-7', username, password };
    return connectAsync({ host, port, protocolVersion: 5, reconnectPeriod: 0, ...identity, ...options });
  }

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'moorage-e2e-'));
    product = startProduct(dataDir);
    bootstrap = await product.ready;
  });

  afterAll(async () => {
    await product.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('leaves bootstrap.json for its owner alone, and tells how long it took and what it needs', () => {
    expect(statSync(join(dataDir, 'bootstrap.json')).mode & 0o777).toBe(0o600);
    expect(Object.keys(bootstrap)).toEqual(
      expect.arrayContaining([
        'api',
        'adminKey',
        'tenant',
        'tenantId',
        'mqtt',
        'mqtts',
        'ws',
        'wss',
        'devices',
        'open',
      ]),
    );
    expect(product.output()).toMatch(/first accepted CONNECT: [\d.]+ s/);
    expect(product.output()).toMatch(/Memory in use by all \d+ processes, PostgreSQL's included/);
    expect(product.output()).not.toContain(bootstrap.adminKey);
    expect(product.output()).not.toContain(bootstrap.open.password);
  });

  it('says how to try it: this installation, wherever its data directory is', async () => {
    expect(product.output()).toContain(`${bootstrap.api}/docs`);
    expect((await fetch(`${bootstrap.api}/docs`)).status).toBe(200);
    const command = /npm run simulate -- --bootstrap (\S+) /.exec(product.output());
    expect(resolve(command?.[1] ?? '')).toBe(join(dataDir, 'bootstrap.json'));
  });

  it('lets the demo credential "open" use any client identifier, and hear of its whole tenant', async () => {
    const client = await connect({ clientId: 'whoever-i-am', ...bootstrap.open });
    const heard = new Set<string>();
    client.on('message', (from: string) => heard.add(from));
    const granted = await client.subscribeAsync(['#', '$SYS/#', '$tenant/#'], { qos: 1 });
    expect(granted.map(({ qos }) => qos)).toEqual([1, 1, 1]);
    await eventually(
      async () => [...heard],
      (topics) => topics.includes('$tenant/presence/wearable-1'),
    );
    await client.endAsync();
  });

  it('makes a tenant, a device and a credential by REST', async () => {
    await create('/v1/tenants', { slug: 'acme', name: 'Acme Clinics' });
    deviceId = String((await create('/v1/tenants/acme/devices', { name: 'pump-7' }))['id']);
    const credential = await create(`/v1/tenants/acme/devices/${deviceId}/credentials`, {});
    username = String(credential['username']);
    password = String(credential['password']);
    expect(username).toMatch(/@acme$/);
  });

  it('makes the same by GraphQL', async () => {
    const ask = async (query: string) => {
      const response = await call('POST', '/graphql', { query });
      const { data, errors } = (await response.json()) as { data: Record<string, Row>; errors?: unknown };
      expect(errors).toBeUndefined();
      return data;
    };
    await ask('mutation { createTenant(input: { slug: "globex", name: "Globex Energy" }) { id } }');
    const { createDevice } = await ask(
      'mutation { createDevice(tenant: "globex", input: { name: "meter-1" }) { id } }',
    );
    const { createCredential } = await ask(
      `mutation { createCredential(tenant: "globex", device: "${String(createDevice?.['id'])}", input: {}) { credential { username } password } }`,
    );
    const theirs = (createCredential?.['credential'] as Row | undefined)?.['username'];
    const client = await connect({
      clientId: 'meter-1',
      username: String(theirs),
      password: String(createCredential?.['password']),
    });
    await client.endAsync();
    expect(theirs).toMatch(/@globex$/);
  });

  it.each(['mqtt', 'mqtts', 'ws', 'wss'] as const)(
    'stores what MQTT.js publishes over %s',
    async (protocol) => {
      const { host, port, ca } = bootstrap[protocol];
      const client = await connect({
        protocol,
        host,
        port,
        path: '/mqtt',
        ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
      });
      await client.publishAsync(topic, JSON.stringify({ via: protocol }), { qos: 1 });
      // Acknowledged means stored: no waiting here.
      expect((await telemetry()).map(({ body }) => (body as Row)['via'])).toContain(protocol);
      await client.endAsync();
    },
  );

  it.each([3, 4] as const)('speaks MQTT of protocol level %s', async (protocolVersion) => {
    const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT';
    const client = await connect({ protocolVersion, protocolId });
    await client.publishAsync(topic, JSON.stringify({ via: `level ${protocolVersion}` }), { qos: 2 });
    await client.endAsync();
    expect(await stored(`level ${protocolVersion}`)).toBeDefined();
  });

  it("takes what MQTT.js's command line publishes", async () => {
    const { host, port } = bootstrap.mqtt;
    const parameters = [
      'pub',
      '-h',
      host,
      '-p',
      `${port}`,
      '-i',
      'pump-7',
      '-u',
      username,
      `--password=${password}`,
    ];
    const child = execFile(process.execPath, [
      mqttCommand,
      ...parameters,
      '-q',
      '1',
      '-t',
      topic,
      '-m',
      '{"via":"cli"}',
    ]);
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(await stored('cli')).toBeDefined();
  });

  itWithMosquitto('takes what mosquitto_pub publishes over TCP and TLS', async () => {
    for (const via of ['mqtt', 'mqtts'] as const) {
      const { port, ca } = bootstrap[via];
      const tls = ca === undefined ? [] : ['--cafile', ca];
      const identity = ['-i', 'pump-7', '-u', username, '-P', password];
      const message = ['-q', '1', '-t', topic, '-m', JSON.stringify({ via: `mosquitto ${via}` })];
      const child = execFile('mosquitto_pub', [
        '-h',
        'localhost',
        '-p',
        `${port}`,
        ...tls,
        ...identity,
        ...message,
      ]);
      expect(await once(child, 'close')).toEqual([0, null]);
      expect(await stored(`mosquitto ${via}`)).toBeDefined();
    }
  });

  it('shows a device online, and after kill -9 offline with its will', async () => {
    const { host, port } = bootstrap.mqtt;
    const identity = ['-i', 'pump-7', '-u', username, `--password=${password}`];
    const will = ['--will-topic', 'devices/pump-7/status', '--will-message', 'lost', '--will-qos', '1'];
    const before = (await presence())?.['epoch'];
    const child = spawn(process.execPath, [
      mqttCommand,
      'sub',
      '-h',
      host,
      '-p',
      `${port}`,
      ...identity,
      ...will,
      '-t',
      'devices/pump-7/commands',
    ]);
    await eventually(presence, (row) => row?.['state'] === 'online' && row['epoch'] !== before);
    child.kill('SIGKILL');
    const row = await eventually(presence, (now) => now?.['state'] === 'offline');
    expect(row).toMatchObject({ cause: 'network', will: Buffer.from('lost').toString('base64') });
  });

  it('refuses a publish outside the policy with 0x87, and tells afterwards why', async () => {
    const client = await connect();
    await expect(client.publishAsync('devices/pump-8/telemetry', '{}', { qos: 1 })).rejects.toMatchObject({
      code: 0x87,
    });
    await client.endAsync();
    const denials = await eventually(
      () => list('/v1/tenants/acme/denials?action=publish'),
      (rows) => rows.length > 0,
    );
    expect(denials[0]).toMatchObject({
      clientId: 'pump-7',
      topic: 'devices/pump-8/telemetry',
      reason: 'not-authorized',
    });
  });

  it('ends a subscription of a connected client when the policy is tightened', async () => {
    const client = await connect();
    const received: string[] = [];
    client.on('message', (_topic, payload) => void received.push(payload.toString()));
    await client.subscribeAsync('devices/pump-7/#', { qos: 1 });
    await client.publishAsync('devices/pump-7/before', 'before', { qos: 1 });
    const policy = (await list('/v1/tenants/acme/policies')).find(({ name }) => name === 'own-topics');
    const rules = [{ effect: 'allow', actions: ['publish'], topics: ['devices/${device}/#'] }];
    const changed = await call('POST', `/v1/tenants/acme/policies/${String(policy?.['id'])}/versions`, {
      activate: true,
      rules,
    });
    const operation = changed.headers.get('operation-location') ?? '';
    const receipt = await eventually(
      async () => (await (await call('GET', operation)).json()) as Row,
      ({ status }) => status === 'applied',
    );
    expect(receipt).toMatchObject({ subscriptionsRemoved: 1, connectionsClosed: 0 });
    await client.publishAsync('devices/pump-7/after', 'after', { qos: 1 });
    await expect(client.subscribeAsync('devices/pump-7/#', { qos: 1 })).rejects.toThrow('Not authorized');
    await client.endAsync();
    expect(received).toEqual(['before']);
  });

  const simulate = (...options: string[]): Promise<{ code: unknown; said: string }> =>
    new Promise((resolve) => {
      const main = join(root, 'dist/apps/simulator/src/main.js');
      const installation = ['--bootstrap', join(dataDir, 'bootstrap.json')];
      execFile(process.execPath, [main, ...installation, ...options], (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, said: stdout + stderr }),
      );
    });

  it('has a simulator that claims of QoS 0 only what it can know', async () => {
    const { code, said } = await simulate('--qos', '0', '--devices', '2', '--duration', '1', '--no-faults');
    expect([code, said]).toEqual([0, expect.stringContaining('Presence is right.')]);
    expect(said).not.toContain('Acknowledged = stored');
  });

  it('has a simulator that says in a line that its key or its tenant is wrong, or nobody is there', async () => {
    const wrongKey = await simulate('--key', 'moo_none');
    expect([wrongKey.code, wrongKey.said]).toEqual([2, expect.stringContaining('401')]);
    const wrongTenant = await simulate('--tenant', 'nobody');
    expect([wrongTenant.code, wrongTenant.said]).toEqual([2, expect.stringContaining('404')]);
    const elsewhere = join(dataDir, 'elsewhere.json');
    writeFileSync(elsewhere, JSON.stringify({ ...bootstrap, api: 'http://127.0.0.1:1' }));
    const nobody = await simulate('--bootstrap', elsewhere);
    expect([nobody.code, nobody.said]).toEqual([2, expect.stringContaining('is Moorage running?')]);
    expect(wrongKey.said + wrongTenant.said + nobody.said).not.toMatch(/^ +at /m);
  });

  it('refuses a second start on its data directory, and names the process that has it', async () => {
    const second = startProduct(dataDir);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(`process ${product.pid}`);
  });

  it('refuses to start with a setting nobody knows, and names it', async () => {
    const wrong = startProduct(join(dataDir, 'other'), { MOORAGE_HTTP_PROT: '3000' });
    expect(await wrong.ended).toBe(1);
    expect(wrong.output()).toContain('MOORAGE_HTTP_PROT');
  });

  it('names setting and port when a port is in use', async () => {
    const { port } = bootstrap.mqtt;
    const second = startProduct(join(dataDir, 'other'), { MOORAGE_MQTT_PORT: `${port}` });
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(`MOORAGE_MQTT_PORT: port ${port} on 127.0.0.1 is in use`);
  });

  it.each(['broker', 'api', 'postgres'] as const)(
    'brings %s back after kill -9, with all that was stored',
    async (name) => {
      const before = (await telemetry()).length;
      const killed = product.childPid(name);
      process.kill(killed, 'SIGKILL');
      await eventually(
        async () => product.childPid(name),
        (pid) => pid !== killed,
      );
      const client = await eventually(
        () => connect().catch(() => undefined),
        (connected) => connected !== undefined,
      );
      await client?.publishAsync(topic, JSON.stringify({ via: `after ${name}` }), { qos: 1 });
      await client?.endAsync();
      const rows = await eventually(
        () => telemetry().catch(() => []),
        (now) => now.length > before,
      );
      expect(rows).toHaveLength(before + 1);
    },
  );

  it('stops cleanly and leaves no process; started again, everything is as it was', async () => {
    const pids = [
      product.pid,
      ...(['api', 'broker', 'postgres'] as const).map((name) => product.childPid(name)),
    ];
    expect(pids.every(isAlive)).toBe(true);
    const before = (await telemetry()).length;
    expect(await product.stop()).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);

    product = startProduct(dataDir);
    const again = await product.ready;
    expect([again.adminKey, again.devices, again.open]).toEqual([
      bootstrap.adminKey,
      bootstrap.devices,
      bootstrap.open,
    ]);
    bootstrap = again;
    expect(await telemetry()).toHaveLength(before);
    const client = await connect();
    await client.endAsync();
  });

  it('stops when the npm that has started it is told to', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'moorage-npm-'));
    const { scripts, ...rest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    // Nothing is built: other tests read what is.
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({ ...rest, scripts: { ...scripts, build: 'true' } }),
    );
    for (const name of ['node_modules', 'dist']) symlinkSync(join(root, name), join(folder, name));
    // A group of its own: what is left of it after a failure is told to stop, too.
    const npm = spawn('npm', ['start'], {
      cwd: folder,
      detached: true,
      env: { PATH: process.env['PATH'], HOME: folder, ...freePorts },
    });
    let output = '';
    npm.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    try {
      await eventually(
        async () => output,
        (text) => text.includes('Moorage is running.'),
      );
      const pids = Array.from(output.matchAll(/ pid=(\d+)/g), ([, pid]) => Number(pid));
      npm.kill('SIGTERM');
      await once(npm, 'exit');
      expect(pids).toHaveLength(3);
      expect(pids.filter(isAlive)).toEqual([]);
    } finally {
      try {
        process.kill(-(npm.pid ?? 0), 'SIGINT');
      } catch {
        // None of them is left.
      }
      await rm(folder, { recursive: true, force: true });
    }
  });
});
