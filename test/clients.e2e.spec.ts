// The clients that people have, as they come: MQTT.js, mosquitto's command line and Paho for Python walk one tour through the real
// broker, in every version and over every transport that each of them has. Who is not installed is named in a line, and skipped.
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Rule } from '#access';

import {
  createInstallation,
  type ClientTransport,
  type TestBroker,
  type TestInstallation,
} from './support/broker.js';
import { forkProgram } from './support/child.js';
import { AgentTourist } from './support/clients/agent.js';
import { MosquittoTourist } from './support/clients/mosquitto.js';
import {
  Inbox,
  Refused,
  type Identity,
  type Letter,
  type Listening,
  type Route,
  type Tourist,
  type Version,
} from './support/clients/tourist.js';
import { isInstalled, tellSkipped } from './support/installed.js';
import { eventually } from './support/product.js';
import { createTestTenant, type TestDevice, type TestTenant } from './support/tenant.js';

interface Kind {
  readonly name: string;
  readonly versions: readonly Version[];
  readonly transports: readonly ClientTransport[];
  /** Whether it tells the reason code that a 5.0 publish is refused with. */
  readonly tellsReasons: boolean;
  arrive(): Tourist;
}

const python = '/usr/bin/python3';
const pahoAgent = join(import.meta.dirname, 'support/clients/paho-agent.py');

const kinds: readonly Kind[] = [
  {
    name: 'MQTT.js',
    versions: [3, 4, 5],
    transports: ['mqtt', 'mqtts', 'ws', 'wss'],
    tellsReasons: true,
    arrive: () =>
      new AgentTourist(
        forkProgram('clients/mqtt-js-agent.ts', [], { stdio: ['pipe', 'pipe', 'inherit', 'ipc'] }),
      ),
  },
  {
    name: 'mosquitto',
    versions: isInstalled('mosquitto_rr') ? [3, 4, 5] : [],
    transports: ['mqtt', 'mqtts'],
    tellsReasons: true,
    arrive: () => new MosquittoTourist(),
  },
  {
    name: 'Paho for Python',
    versions: pahoVersions(),
    transports: ['mqtt', 'mqtts', 'ws'],
    tellsReasons: false,
    arrive: () => new AgentTourist(spawn(python, [pahoAgent], { stdio: ['pipe', 'pipe', 'inherit'] })),
  },
];

function pahoVersions(): Version[] {
  try {
    const text = execFileSync(python, [pahoAgent, '--versions'], { stdio: ['ignore', 'pipe', 'ignore'] });
    return JSON.parse(text.toString()) as Version[];
  } catch {
    return [];
  }
}

const routes = kinds.flatMap((kind) =>
  kind.versions.flatMap((version) => kind.transports.map((transport) => ({ kind, version, transport }))),
);
for (const { name, versions } of kinds)
  if (versions.length === 0) tellSkipped(`the tour of ${name}: it is not installed`);

let installation: TestInstallation;
let broker: TestBroker;
let tenant: TestTenant;
let watchers = 0;

beforeAll(async () => {
  installation = await createInstallation();
  broker = await installation.startBroker();
  tenant = await createTestTenant(installation.store, installation.database.secretKey);
  await tenant.addPolicy('own', [allowing('devices/${device}/#')], {
    targetKind: 'tenant',
    targetId: tenant.id,
  });
});

afterAll(async () => {
  await broker.stop();
  await installation.remove();
});

describe.each(routes)(
  '$kind.name, protocol level $version, over $transport:',
  ({ kind, version, transport }) => {
    const name = nameOf(kind, version, transport);
    const home = `devices/${name}`;
    const at = (clientId: string): Identity => ({ ...signIn, clientId: `${name}-${clientId}` });
    let tourist: Tourist;
    let route: Route;
    let device: TestDevice;
    let signIn: Omit<Identity, 'clientId'>;

    beforeAll(async () => {
      device = await tenant.addDevice(name, { clientIdRule: { kind: 'prefix', value: name } });
      signIn = { username: device.username, password: device.password };
      route = routeOf(version, transport);
      tourist = kind.arrive();
    });

    afterAll(() => tourist.kill());

    it('signs in, subscribes, and gets what it publishes at every QoS', async () => {
      const listener = await tourist.listen(route, at('in'), listeningTo(`${home}/#`));
      expect(listener.granted).toBe(2);
      const letters = ([0, 1, 2] as const).map((qos) => letter(`${home}/x`, `at ${qos}`, { qos }));
      for (const each of letters)
        expect((await tourist.publish(route, at('out'), each)) ?? 0).toBeLessThan(0x80);
      expect(await listener.messages(3)).toEqual(letters);
      await listener.leave();
    });

    it('writes topics and payloads in any script', async () => {
      const sent = letter(`${home}/größe/温度/🌡`, 'fünf Grad, 五度, 🥶');
      const listener = await tourist.listen(route, at('in'), listeningTo(`${home}/größe/+/🌡`));
      await tourist.publish(route, at('out'), sent);
      expect(await listener.messages(1)).toEqual([sent]);
      await listener.leave();
    });

    it('brings a megabyte through unchanged', async () => {
      const payload = randomBytes(1_000_000);
      const listener = await tourist.listen(route, at('in'), listeningTo(`${home}/large`));
      await tourist.publish(route, at('out'), { ...letter(`${home}/large`, ''), payload });
      const [arrived] = await listener.messages(1);
      expect(digest(arrived?.payload)).toBe(digest(payload));
      await listener.leave();
    });

    it('finds a retained message, and none any more when it is cleared', async () => {
      const topic = `${home}/state`;
      const retained = letter(topic, 'on', { retain: true });
      const before = letter(topic, 'and now');
      await tourist.publish(route, at('out'), retained);
      const first = await tourist.listen(route, at('in'), listeningTo(topic));
      expect(await first.messages(1)).toEqual([retained]);
      await first.leave();
      await tourist.publish(route, at('out'), letter(topic, '', { retain: true }));
      const second = await tourist.listen(route, at('in'), listeningTo(topic));
      await tourist.publish(route, at('out'), before);
      expect(await second.messages(1)).toEqual([before]);
      await second.leave();
    });

    it('leaves its will when it is killed', async () => {
      const will = letter(`${home}/gone`, 'farewell');
      const witness = await tourist.listen(route, at('in'), listeningTo(`${home}/gone`));
      const victim = kind.arrive();
      await victim.listen(route, at('victim'), { ...listeningTo(`${home}/other`), will });
      await victim.kill();
      expect(await witness.messages(1)).toEqual([will]);
      await witness.leave();
    });

    it('finds in its session what came while it was away, in order', async () => {
      const persistent = { ...listeningTo(`${home}/queued`), isPersistent: true };
      const first = await tourist.listen(route, at('durable'), persistent);
      await first.leave();
      const letters = ['1', '2', '3'].map((text) => letter(`${home}/queued`, text));
      for (const each of letters) await tourist.publish(route, at('out'), each);
      const second = await tourist.listen(route, at('durable'), persistent);
      expect(await second.messages(3)).toEqual(letters);
      // 3.1 has no such flag.
      if (version > 3 && first.sessionPresent !== undefined)
        expect([first.sessionPresent, second.sessionPresent]).toEqual([false, true]);
      await second.leave();
    });

    it("hears a wrong password's code", async () => {
      const wrong = { ...at('out'), password: 'wrong' };
      const refused = new Refused(version === 5 ? 0x86 : 4);
      await expect(tourist.listen(route, wrong, listeningTo(`${home}/x`))).rejects.toEqual(refused);
    });

    it('publishes nothing where it has no right to, and the refusal is on record', async () => {
      const elsewhere = `devices/elsewhere/${name}`;
      const witness = await watch(elsewhere);
      const code = await tourist.publish(route, at('out'), letter(elsewhere, 'x'));
      if (version === 5 && kind.tellsReasons) expect(code).toBe(0x87);
      await witness.publish(elsewhere, 'end');
      expect(await witness.inbox.take(1)).toEqual(['end']);
      await witness.leave();
      const denials = await eventually(
        () =>
          installation.store.tenant(tenant.id, ({ db }) =>
            db.denial.findMany({ where: { deviceId: device.id, action: 'publish' } }),
          ),
        (rows) => rows.length > 0,
      );
      expect(denials).toMatchObject([
        { topic: elsewhere, reason: 'not-authorized', clientId: `${name}-out` },
      ]);
    });

    if (version === 5) {
      it('asks, and the answer finds it by response topic and correlation data', async () => {
        const server = await broker.connect(device, { clientId: `${name}-server` });
        server.on('message', (_topic, payload, { properties }) => {
          const { responseTopic = '', correlationData } = properties ?? {};
          const answer = {
            qos: 1,
            properties: correlationData === undefined ? {} : { correlationData },
          } as const;
          server.publish(responseTopic, `${payload.toString()}!`, answer);
        });
        await server.subscribeAsync(`${home}/question`, { qos: 1 });
        const answer = await tourist.request(
          route,
          at('out'),
          letter(`${home}/question`, 'ready?'),
          `${home}/answer`,
        );
        expect(answer.toString()).toBe('ready?!');
        await server.endAsync();
      });
    }
  },
);

describe('keep alive', () => {
  // The shortest that mosquitto's clients take. All wait at once.
  const keepAliveS = 5;

  it('keeps who is idle and answers, and finds out who is not there any more', async () => {
    const witness = await watch('devices/+/frozen');
    const present = kinds.filter(({ versions }) => versions.length > 0);
    const tourists = new Map(present.map((kind) => [kind, { idle: kind.arrive(), frozen: kind.arrive() }]));
    const waiting = await Promise.all(
      routes.map(async ({ kind, version, transport }) => {
        const { idle, frozen } = tourists.get(kind)!;
        const route = routeOf(version, transport);
        const name = `idle-${nameOf(kind, version, transport)}`;
        const { username, password } = await tenant.addDevice(name, {
          clientIdRule: { kind: 'prefix', value: name },
        });
        const at = (place: string): Identity => ({ clientId: `${name}-${place}`, username, password });
        const listening = { ...listeningTo(`devices/${name}/x`), keepAliveS };
        const will = letter(`devices/${name}/frozen`, name);
        const kept = await idle.listen(route, at('kept'), listening);
        await frozen.listen(route, at('frozen'), { ...listening, will });
        return { name, kept, send: (sent: Letter) => idle.publish(route, at('out'), sent) };
      }),
    );
    for (const { frozen } of tourists.values()) frozen.freeze();
    const names = waiting.map(({ name }) => name).sort();
    expect((await witness.inbox.take(names.length)).sort()).toEqual(names);
    await Promise.all(
      waiting.map(async ({ name, kept, send }) => {
        await kept.pings(2);
        const sent = letter(`devices/${name}/x`, 'still there?');
        await send(sent);
        expect(await kept.messages(1)).toEqual([sent]);
      }),
    );
    const ends = await installation.store.tenant(tenant.id, ({ db }) =>
      db.presence.findMany({ where: { clientId: { endsWith: '-frozen' } } }),
    );
    expect(ends.map(({ cause }) => cause)).toEqual(names.map(() => 'keep-alive'));
    await Promise.all(
      Array.from(tourists.values(), ({ idle, frozen }) => [idle.kill(), frozen.kill()]).flat(),
    );
    await witness.leave();
  });
});

// ---------------------------------------------------------------------------------------------------------------------------

function allowing(topic: string): Rule {
  return { effect: 'allow', actions: ['publish', 'subscribe', 'retain'], topics: [topic] };
}

function nameOf(kind: Kind, version: Version, transport: ClientTransport): string {
  return `${kind.name.toLowerCase().replace(/\W+/g, '-')}-${version}-${transport}`;
}

function routeOf(version: Version, transport: ClientTransport): Route {
  return { version, transport, port: broker.ports[transport], caFile: installation.certificates.caFile };
}

function letter(
  topic: string,
  text: string,
  options: { qos?: Letter['qos']; retain?: boolean } = {},
): Letter {
  const { qos = 1, retain = false } = options;
  return { topic, payload: Buffer.from(text), qos, retain };
}

function listeningTo(filter: string): Listening {
  return { filter, qos: 2, keepAliveS: 60, isPersistent: false, will: undefined };
}

function digest(bytes: Buffer | undefined): string {
  return createHash('sha256')
    .update(bytes ?? '')
    .digest('hex');
}

/** Somebody with every right, who sees what comes. */
async function watch(filter: string) {
  watchers += 1;
  const watcher = await tenant.addDevice(`watcher-${watchers}`);
  await tenant.addPolicy(`all-${watchers}`, [allowing('#')], { targetKind: 'device', targetId: watcher.id });
  const client = await broker.connect(watcher);
  const inbox = new Inbox<string>();
  client.on('message', (_topic, payload) => inbox.put(payload.toString()));
  await client.subscribeAsync(filter, { qos: 1 });
  return {
    inbox,
    publish: (topic: string, text: string) => client.publishAsync(topic, text, { qos: 1 }),
    leave: () => client.endAsync(),
  };
}
