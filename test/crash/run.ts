/**
 * Acknowledged means stored, also when everything dies. The real product runs from a copy of what is built; clients work on it
 * over sockets while its processes are killed with SIGKILL and PostgreSQL is made to stand still, at moments that a seed decides
 * (what was under way at that moment is not in the seed's power). Then everybody comes back, and the oracle judges.
 *
 * - Telemetry. Every reading acknowledged at QoS 1 or 2 is a row, counted through the API by the numbers in the payloads; of
 *   one sent at QoS 2 there is exactly one row. No row is of a message that nobody sent.
 * - Delivery. Every message acknowledged at QoS 1 or 2 reaches every durable subscriber, whether it was online, away, or dead
 *   together with the server; of a shared subscription, one of its members. At QoS 2 exactly once. The first deliveries of
 *   what one publisher sent to one topic at one QoS are in the order of sending.
 * - Retained. Whoever subscribes finds for each topic the last message acknowledged before, or a newer one.
 * - Sessions. Session Present is true for each session that a CONNACK was seen for; nobody subscribes a second time.
 * - Presence. When all is quiet, the API says of every client what is true, within the lease time; so does `$tenant/presence/+` of
 *   every device.
 * - Time. While PostgreSQL stands still nothing is acknowledged; the broker's memory stays under a bound all the time.
 * - Wills. What "exactly once" means, for a connection whose CONNACK was seen, is decided by how it ended:
 *     - The client says DISCONNECT: never.
 *     - The client is killed and stays away: once. It comes back within the will's delay and resumes its session: never. It comes
 *       back later, or there was no delay, or the session has ended, by itself or by a clean start: once.
 *     - The broker is killed. No one can tell a client that died with it from one that only lost it: so its end counts as the
 *       connection's, and there are ten seconds, or the will's delay where that is longer, to come back. In time: never,
 *       unless by a clean start, which ends a durable session. Not at all: once.
 *     - Nobody can know: at most once. So it is where DISCONNECT (which is never acknowledged) was sent, or a client was killed
 *       and came back, while the server was dying or not whole again; or where the client came back just as its time ran out.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bootstrap, Product } from '../support/product.js';
import { acknowledgeBeforeCommit, Chaos, installCopy, startInstalled, type Target } from './chaos.js';
import {
  audienceMember,
  Connection,
  pause,
  Publisher,
  Subscriber,
  type Endpoint,
  type Identity,
} from './clients.js';
import { Oracle, type Counts, type Stream } from './oracle.js';
import { Random } from './random.js';
import { WillClient, willTopics } from './wills.js';

export interface Plan {
  readonly seed: number;
  readonly kills: number;
  readonly freezeMs: number;
  /** Between one thing that is done to the server and the next, at most. */
  readonly calmMs: number;
  readonly publishers: number;
  /** Messages a second of each. */
  readonly rate: number;
  readonly willClients: number;
  /** How long all that is acknowledged may take to arrive, once everybody is back. */
  readonly settleMs: number;
  readonly isSabotaged?: boolean;
  readonly say: (line: string) => void;
}

export interface Report {
  readonly violations: readonly string[];
  readonly counts: Counts;
  readonly kills: Record<Target, number>;
  readonly freezes: number;
  readonly resumptions: number;
  readonly brokerMiB: number;
  readonly presenceMs: number;
  readonly seconds: number;
}

/** Of any broker process, at any time: what it starts with, 32 MiB of writes that wait, and Node's own slack. */
const brokerBoundMiB = 400;
const window = 20;
const targets: readonly Target[] = ['broker', 'postgres', 'api'];
/** The lease, 15 s, and what a slow machine takes to see it. */
const presenceWithinMs = 40_000;

export async function crashTest(plan: Plan): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), 'moorage-crash-'));
  let product: Product | undefined;
  try {
    await installCopy(join(directory, 'installation'));
    if (plan.isSabotaged === true) await acknowledgeBeforeCommit(join(directory, 'installation'));
    const started = await startInstalled(join(directory, 'installation'), join(directory, 'data'));
    [product] = started;
    return await new Run(plan, ...started).run();
  } catch (error) {
    if (product !== undefined) plan.say(product.output().slice(-4_000));
    throw error;
  } finally {
    await product?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

class Run {
  readonly #oracle = new Oracle();
  readonly #random: Random;
  readonly #chaos: Chaos;
  readonly #endpoint: Endpoint;
  readonly #publishers: { readonly deviceId: string; readonly client: Publisher }[] = [];
  readonly #subscribers: Subscriber[] = [];
  readonly #restless: Subscriber[] = [];
  readonly #wills: WillClient[] = [];
  /** Away while PostgreSQL stands still: what is sent meanwhile it gets from the store, or never. */
  #absentee: Subscriber | undefined;
  #flooder: Identity | undefined;
  #presenceWatcher: Identity | undefined;
  #isOver = false;

  constructor(
    private readonly plan: Plan,
    product: Product,
    private readonly bootstrap: Bootstrap,
    opsPort: number,
  ) {
    this.#random = new Random(plan.seed, 'chaos');
    this.#chaos = new Chaos(product, bootstrap, opsPort);
    this.#endpoint = bootstrap.mqtt;
  }

  async run(): Promise<Report> {
    const startedAt = Date.now();
    try {
      await this.#enter();
      return await this.#live(startedAt);
    } finally {
      await this.#leave();
    }
  }

  async #live(startedAt: number): Promise<Report> {
    const restless = this.#restless.map((client) => this.#comeAndGo(client));
    const looking = this.#lookAtRetained();
    await this.#disturb();
    this.#isOver = true;
    await Promise.all([...restless, looking]);
    const presenceMs = await this.#settle();
    await this.#judge();
    return {
      violations: this.#oracle.violations,
      counts: this.#oracle.counts,
      kills: this.#chaos.kills,
      freezes: this.#chaos.disturbances.filter(({ isKill }) => !isKill).length,
      resumptions: [...this.#subscribers, ...this.#publishers.map(({ client }) => client)].reduce(
        (sum, { resumptions }) => sum + resumptions,
        0,
      ),
      brokerMiB: Math.round(this.#chaos.brokerMiB),
      presenceMs,
      seconds: Math.round((Date.now() - startedAt) / 1000),
    };
  }

  // --------------------------------------------------------------------------------------------------------- everybody

  async #enter(): Promise<void> {
    this.#audience('online', 'devices/#', 2, [5]);
    this.#audience('away', 'devices/#', 2, [4], true);
    this.#absentee = this.#audience('at-qos-1', 'devices/#', 1, [5]);
    this.#audience('crew', '$share/crew/devices/#', 2, [5, 5], true);
    const { open } = this.bootstrap;
    const watcher = { ...open, clientId: 'will-watcher', version: 5 as const, isDurable: true };
    const watching = new Random(this.plan.seed, 'will-watcher');
    this.#subscribers.push(
      new Subscriber(this.#endpoint, watcher, this.#oracle, watching, willTopics, 2, (id) =>
        this.#oracle.willSeen(id),
      ),
    );
    for (const subscriber of this.#subscribers) subscriber.start();
    await Promise.all(this.#subscribers.map(({ subscribed }) => subscribed));

    for (let i = 1; i <= this.plan.publishers; i++) {
      const clientId = `publisher-${i}`;
      const { deviceId, identity } = await this.#provision(clientId);
      const hello = {
        ...identity,
        clientId,
        version: i % 2 === 0 ? (4 as const) : (5 as const),
        isDurable: true,
      };
      const random = new Random(this.plan.seed, clientId);
      const client = new Publisher(this.#endpoint, hello, this.#oracle, random, { window });
      this.#publishers.push({ deviceId, client });
      client.start();
      client.publish(this.plan.rate);
    }
    this.#flooder = (await this.#provision('flooder')).identity;
    this.#presenceWatcher = await this.#mayWatchPresence();
    for (let i = 1; i <= this.plan.willClients; i++) {
      const name = `mortal-${i}`;
      const random = new Random(this.plan.seed, name);
      const client = new WillClient(name, this.#endpoint, open, this.#oracle, this.#chaos, random);
      this.#wills.push(client);
      client.start();
    }
  }

  /** One session, or several that share a subscription; of `isRestless` ones the last comes and goes. Returns the last. */
  #audience(
    name: string,
    filter: string,
    qos: 1 | 2,
    versions: readonly (4 | 5)[],
    isRestless = false,
  ): Subscriber | undefined {
    const audience = { name, isExactlyOnce: qos === 2, isShared: versions.length > 1 };
    this.#oracle.audiences.push(audience);
    versions.forEach((version, i) => {
      const clientId = `subscriber-${name}-${i + 1}`;
      const hello = { ...this.bootstrap.open, clientId, version, isDurable: true };
      const random = new Random(this.plan.seed, clientId);
      const subscription = { filter, qos, audience };
      const client = audienceMember(this.#endpoint, hello, this.#oracle, random, subscription);
      this.#subscribers.push(client);
      if (isRestless && i === versions.length - 1) this.#restless.push(client);
    });
    return this.#subscribers.at(-1);
  }

  async #provision(name: string): Promise<{ readonly deviceId: string; readonly identity: Identity }> {
    const device = (await this.#ask('POST', '/devices', { name })) as { id: string };
    const identity = (await this.#ask('POST', `/devices/${device.id}/credentials`, {})) as Identity;
    return { deviceId: device.id, identity };
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const { api, adminKey, tenant } = this.bootstrap;
    const response = await fetch(`${api}/v1/tenants/${tenant}${path}`, {
      method,
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.status === 429) {
      await pause(Number(response.headers.get('retry-after') ?? '1') * 1000);
      return this.#ask(method, path, body);
    }
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  async #mayWatchPresence(): Promise<Identity> {
    const { deviceId, identity } = await this.#provision('presence-watcher');
    const rules = [{ effect: 'allow', actions: ['subscribe'], topics: ['$tenant/presence/+'] }];
    const policy = (await this.#ask('POST', '/policies', { name: 'presence-watching', rules })) as {
      id: string;
    };
    const binding = { policyId: policy.id, targetKind: 'device', targetId: deviceId };
    await this.#ask('POST', '/policy-bindings', binding);
    return identity;
  }

  async #comeAndGo(client: Subscriber): Promise<void> {
    const { random } = client;
    while (!this.#isOver) {
      await pause(random.between(200, 2_000));
      await client.leave(random.chance(0.5));
      await pause(random.between(200, 2_000));
      client.start();
    }
  }

  async #leave(): Promise<void> {
    this.#isOver = true;
    this.#chaos.end();
    for (const { client } of this.#publishers) client.stopPublishing();
    const clients = [...this.#subscribers, ...this.#publishers.map(({ client }) => client)];
    await Promise.all(clients.map((client) => client.leave(false)));
  }

  // ------------------------------------------------------------------------------------------------------------- chaos

  /** Each of them is killed, however few kills there are; after that whichever comes up. */
  async #disturb(): Promise<void> {
    const { kills, freezeMs, calmMs, say } = this.plan;
    const freezeAt = Math.floor(kills / 2);
    await pause(this.#random.between(0, calmMs));
    for (let killed = 0; killed < kills;) {
      // Now and then nobody waits for the server to be whole again.
      if (this.#random.chance(0.8)) await this.#chaos.serving();
      await this.#underLoad();
      await pause(this.#random.between(0, calmMs));
      if (killed === freezeAt && this.#chaos.disturbances.every(({ isKill }) => isKill)) {
        await this.#chaos.whole();
        await this.#freeze(freezeMs);
        say(`PostgreSQL stood still for ${freezeMs / 1000} s, and the broker was killed meanwhile`);
        killed += 1;
        continue;
      }
      const unhurt = targets.filter((name) => this.#chaos.kills[name] === 0);
      const target = this.#random.pick(unhurt.length > 0 ? unhurt : targets);
      if (!(await this.#chaos.kill(target))) continue;
      killed += 1;
      const { sent, acknowledged, delivered } = this.#oracle.counts;
      const { violations } = this.#oracle;
      say(
        `kill ${killed} of ${kills}: ${target}; sent ${sent}, acknowledged ${acknowledged}, delivered ${delivered}, ` +
          `violations ${violations.length}${violations.length > 0 ? ` (${violations.at(-1)})` : ''}`,
      );
    }
    await this.#chaos.whole();
    await this.#underLoad();
  }

  /** Somebody has been acknowledged again; not for ever, for it may be what is broken. */
  async #underLoad(): Promise<void> {
    const { acknowledged } = this.#oracle.counts;
    const deadline = Date.now() + 10_000;
    while (this.#oracle.counts.acknowledged < acknowledged + 20 && Date.now() < deadline) await pause(20);
  }

  /** Acknowledgements end, memory stays bounded although somebody floods the broker, and its death changes nothing. */
  async #freeze(ms: number): Promise<void> {
    await this.#absentee?.leave(true);
    const flood = await this.#flood();
    const thaw = await this.#chaos.freeze();
    await pause(50); // a signal is on its way too
    const before = new Map([...this.#oracle.streams.values()].map((stream) => [stream, stream.sent]));
    await pause(ms);
    // What was sent before may have been committed; what was sent since cannot be.
    const sentAndAcknowledged = (): number =>
      [...before].reduce((sum, [stream, sent]) => sum + Math.max(0, stream.acknowledged - sent), 0);
    // A broker that does it all the same is given the time that it takes on a slow machine.
    const deadline = Date.now() + (this.plan.isSabotaged === true ? 60_000 : 0);
    while (sentAndAcknowledged() === 0 && Date.now() < deadline) await pause(50);
    const meanwhile = sentAndAcknowledged();
    if (meanwhile > 0) this.#oracle.violation(`${meanwhile} acknowledged while PostgreSQL stood still`);
    await this.#chaos.kill('broker');
    thaw();
    this.#absentee?.start();
    flood?.cut();
  }

  async #flood(): Promise<Connection | undefined> {
    if (this.#flooder === undefined) return undefined;
    const clientId = 'flooder';
    const hello = { ...this.#flooder, clientId, version: 5 as const, isDurable: false };
    const connection = await Connection.open(this.#endpoint, hello);
    if (connection === undefined) return undefined;
    // That somebody is here is stored soon after CONNACK; where the broker is killed before, nobody has ever been here.
    while (connection.closedAt === undefined && (await this.#presenceStates()).get(clientId) !== 'online')
      await pause(20);
    const payload = `flood ${'x'.repeat(1_000)}`;
    const topic = `devices/${clientId}/telemetry`;
    const go = (): void => {
      for (let i = 0; i < 100 && !connection.socket.writableNeedDrain; i++) {
        connection.send({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });
      }
      if (connection.socket.writableNeedDrain) connection.socket.once('drain', go);
      else setImmediate(go);
    };
    go();
    return connection;
  }

  // ---------------------------------------------------------------------------------------------------------- retained

  async #lookAtRetained(): Promise<void> {
    const random = new Random(this.plan.seed, 'newcomer');
    while (!this.#isOver) {
      await pause(random.between(500, 3_000));
      await this.#judgeRetained();
    }
  }

  /** False: the server died while it was asked. */
  async #judgeRetained(): Promise<boolean> {
    const hello = { ...this.bootstrap.open, clientId: 'newcomer', version: 5 as const, isDurable: false };
    const connection = await Connection.open(this.#endpoint, hello);
    if (connection === undefined) return false;
    const expected = new Map<Stream, number>();
    for (const { client } of this.#publishers) {
      for (const { stream } of client.retained) {
        if (stream.acknowledged > 0) expected.set(stream, stream.acknowledged);
      }
    }
    const found = new Map<string, number>();
    connection.listen((packet) => {
      if (packet.cmd !== 'publish' || !packet.retain) return;
      const { s, n } = JSON.parse(packet.payload.toString()) as { s: string; n: number };
      found.set(s, n);
    });
    connection.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: 'devices/+/state/+', qos: 0 }],
    });
    const deadline = Date.now() + 30_000;
    while (connection.closedAt === undefined && Date.now() < deadline) {
      if ([...expected.keys()].every(({ name }) => found.has(name))) break;
      await pause(20);
    }
    if (connection.closedAt !== undefined) return false;
    connection.cut();
    for (const [stream, number] of expected)
      this.#oracle.judgeRetained(stream, number, found.get(stream.name));
    return true;
  }

  // ------------------------------------------------------------------------------------------------------------ the end

  /** Everybody comes back, what is under way arrives. Returns how long presence took to be right. */
  async #settle(): Promise<number> {
    for (const { client } of this.#publishers) client.stopPublishing();
    for (const subscriber of this.#subscribers) subscriber.start();
    const deadline = Date.now() + this.plan.settleMs;
    const isDone = (): boolean =>
      this.#publishers.every(({ client }) => client.unacknowledged === 0) && this.#oracle.isDelivered;
    while (!isDone() && Date.now() < deadline) await pause(100);
    if (!isDone()) this.#oracle.violation('not everything was acknowledged and delivered in time');
    const presenceMs = await this.#presence();
    await this.#presenceOverMqtt();
    await Promise.all(this.#wills.map((client) => client.stop()));
    if (this.#wills.length > 0) await pause(1_000); // for one too many
    return presenceMs;
  }

  async #presence(): Promise<number> {
    const startedAt = Date.now();
    const names = [...this.#subscribers, ...this.#publishers.map(({ client }) => client)].map(
      ({ name }) => name,
    );
    for (;;) {
      const states = await this.#presenceStates();
      const wrong = names.filter((name) => states.get(name) !== 'online');
      for (const name of ['flooder', 'newcomer']) if (states.get(name) === 'online') wrong.push(name);
      if (wrong.length === 0) return Date.now() - startedAt;
      if (Date.now() - startedAt > presenceWithinMs) {
        this.#oracle.violation(`presence is wrong of ${wrong.join(', ')}`);
        return Date.now() - startedAt;
      }
      await pause(200);
    }
  }

  async #presenceStates(): Promise<ReadonlyMap<string, string>> {
    const states = new Map<string, string>();
    let after = '';
    do {
      const page = (await this.#ask('GET', `/presence?limit=200${after}`)) as {
        items: { clientId: string; state: string }[];
        next: string | null;
      };
      for (const { clientId, state } of page.items) states.set(clientId, state);
      after = page.next === null ? '' : `&after=${encodeURIComponent(page.next)}`;
    } while (after !== '');
    return states;
  }

  async #presenceOverMqtt(): Promise<void> {
    if (this.#presenceWatcher === undefined) return;
    const clientId = 'presence-watcher';
    const hello = { ...this.#presenceWatcher, clientId, version: 5 as const, isDurable: false };
    const connection = await Connection.open(this.#endpoint, hello);
    const states = new Map<string, string>();
    connection?.listen((packet) => {
      if (packet.cmd !== 'publish') return;
      const { device, state } = JSON.parse(packet.payload.toString()) as { device: string; state: string };
      states.set(device, state);
    });
    connection?.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: '$tenant/presence/+', qos: 0 }],
    });
    const expected = new Map(this.#publishers.map(({ client }) => [client.name, 'online']));
    expected.set('flooder', 'offline');
    const wrong = (): string[] =>
      [...expected].filter(([name, state]) => states.get(name) !== state).map(([name]) => name);
    const deadline = Date.now() + 40_000;
    while (wrong().length > 0 && Date.now() < deadline) await pause(50);
    if (wrong().length > 0) this.#oracle.violation(`$tenant/presence is wrong of ${wrong().join(', ')}`);
    connection?.cut();
  }

  async #judge(): Promise<void> {
    this.#oracle.judgeDeliveries();
    for (const { deviceId, client } of this.#publishers) {
      this.#oracle.judgeStored(client.telemetry, await this.#storedOf(deviceId));
    }
    if (!(await this.#judgeRetained())) this.#oracle.violation('the server left in the end');
    for (const { verdicts } of this.#wills) for (const verdict of verdicts) verdict();
    const { brokerMiB } = this.#chaos;
    if (brokerMiB > brokerBoundMiB) this.#oracle.violation(`the broker took ${Math.round(brokerMiB)} MiB`);
  }

  async #storedOf(deviceId: string): Promise<{ readonly stream: string; readonly number: number }[]> {
    const rows: { stream: string; number: number }[] = [];
    let after = '';
    do {
      const page = (await this.#ask(
        'GET',
        `/devices/${deviceId}/telemetry?limit=200&order=oldest${after}`,
      )) as {
        items: { body: { s: string; n: number } }[];
        next: string | null;
      };
      for (const { body } of page.items) rows.push({ stream: body.s, number: body.n });
      after = page.next === null ? '' : `&after=${encodeURIComponent(page.next)}`;
    } while (after !== '');
    return rows;
  }
}

export function describeReport({ counts, kills, ...report }: Report): string {
  const all = kills.broker + kills.api + kills.postgres;
  return [
    `${all} kills (broker ${kills.broker}, api ${kills.api}, postgres ${kills.postgres}) and ${report.freezes} stand-still in ${report.seconds} s`,
    `sent ${counts.sent}, acknowledged ${counts.acknowledged}; delivered ${counts.delivered}, of these again at QoS 1 ${counts.repeated}`,
    `telemetry: stored ${counts.stored}, again at QoS 1 ${counts.storedAgain}; retained messages looked at: ${counts.retained}`,
    `wills: once ${counts.wills.once}, never ${counts.wills.never}, at most once ${counts.wills['at most once']}; sessions resumed: ${report.resumptions}`,
    `presence right after ${report.presenceMs} ms; largest broker ${report.brokerMiB} MiB (bound ${brokerBoundMiB})`,
    `violations: ${report.violations.length}`,
    ...report.violations.slice(0, 40).map((violation) => `  ${violation}`),
  ].join('\n');
}
