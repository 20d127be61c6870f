/**
 * `npm run bench revocation [-- --sessions 10000 --revocations 200 --policies 40]`: how long a right that is taken away lives on. So many
 * idle subscribers are connected, QoS 0 over TCP; then, one at a time, the tenant's policy is changed, credentials are revoked, and at
 * last the tenant is suspended. Two times of each change, both from the API's answer, 0 where it was before: to the last that any client
 * concerned saw of the right (a message that still came, the end of its socket), which is what the limit is for; and to the receipt,
 * which is written when every session has been looked through. The first change of a row is its warm-up; p99 is of all the others, and of
 * fewer than a hundred it is the slowest. What the clients saw is counted and held against the receipt: it exits with 1 where they
 * disagree, and where a p99 is over the limit.
 */
import { parseArgs } from 'node:util';

import { at, show } from './support/figures.js';
import { load, machine } from './support/machine.js';
import { twentyRules } from './support/policy.js';
import { quiet, waitedSeconds } from './support/processes.js';
import { startProduct, type Product } from './support/product.js';
import {
  type Connection,
  type Door,
  openAll,
  publishPacket,
  signIn,
  subscribePacket,
} from './support/wire.js';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '10000' },
    revocations: { type: 'string', default: '200' },
    policies: { type: 'string', default: '40' },
    'limit-ms': { type: 'string', default: '250' },
    dir: { type: 'string', default: '.' },
  },
});
const sessions = Number(values.sessions);
const revocations = Math.min(Number(values.revocations), sessions);
const limitMs = Number(values['limit-ms']);

/** Sessions of one device of the crowd: it is the sessions that are looked at one by one. */
const sessionsOfDevice = 100;
const probesInBurst = 20;
const probeEveryMs = 10;
const settleMs = 5_000;
/** The broker writes what it has observed so much later. */
const observedWithinMs = 5_500;
const noPayload = Buffer.alloc(8, 0x78);

const base = twentyRules.filter(({ effect }) => effect === 'allow');
const wide = [...base, { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['crowd/#'] }];
const narrow = [...base, { effect: 'allow', actions: ['publish'], topics: ['crowd/#'] }];

interface Operation {
  readonly status: string;
  readonly sessionsTouched: number;
  readonly subscriptionsRemoved: number;
  readonly connectionsClosed: number;
  readonly receipts: readonly { readonly appliedAt: string }[];
}

interface Made {
  readonly id: string;
}

interface Credential extends Made {
  readonly username: string;
  readonly password: string;
}

/** One of the crowd. */
class Listener {
  readonly number: number;
  connection: Connection | undefined;
  /** When the last message came. */
  heardAt = 0;
  closedAt: number | undefined;
  granted = 0;

  constructor(number: number) {
    this.number = number;
  }

  get topic(): string {
    return `crowd/${this.number}`;
  }

  async open(door: Door): Promise<this> {
    const clientId = `crowd-${this.number}`;
    const onClosed = (): void => {
      this.closedAt = now();
    };
    this.connection = await signIn(door, { clientId, filters: [this.topic], onClosed });
    this.connection.onPacket = (header, bytes, _start, end) => {
      if (header >> 4 === 3) this.heardAt = now();
      else if (header === 0x90 && (bytes[end - 1] ?? 0x80) < 0x80) this.granted += 1;
    };
    return this;
  }

  subscribe(): void {
    this.connection?.send(subscribePacket(4, 0, [this.topic]));
  }
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

let isFaulty = false;

function hold(what: string, seen: number, said: number): void {
  if (seen === said) return;
  isFaulty = true;
  console.error(`DISAGREEMENT: ${what}: clients saw ${show(seen)}, the receipt says ${show(said)}`);
}

console.log(`${machine()}; load average ${load()}`);
const started = await startProduct(values.dir);
try {
  await measure(started);
} finally {
  await started.stop();
}
if (isFaulty) process.exitCode = 1;

async function measure(product: Product): Promise<void> {
  const { bootstrap } = product;
  const tenant = `/v1/tenants/${bootstrap.tenant}`;
  const post = (path: string, body: unknown): Promise<unknown> => product.call('POST', tenant + path, body);
  const { port } = bootstrap.mqtt;
  const policy = (await post('/policies', { name: 'crowd', rules: wide })) as Made;
  const { id: tenantId } = (await product.call('GET', tenant)) as Made;
  await post('/policy-bindings', { policyId: policy.id, targetKind: 'tenant', targetId: tenantId });

  const addDevice = async (name: string): Promise<{ path: string; credential: Credential }> => {
    const device = (await post('/devices', { name })) as Made;
    const path = `/devices/${device.id}/credentials`;
    const credential = (await post(path, { clientIdRule: { kind: 'any' } })) as Credential;
    return { path: `${tenant}${path}/${credential.id}`, credential };
  };
  const crowded = Math.ceil((sessions - revocations) / sessionsOfDevice);
  const revocable = await openAll(revocations, 8, (i) => addDevice(`revocable-${i}`));
  const crowd = await openAll(crowded, 8, (i) => addDevice(`crowd-${i}`));
  const deviceOf = (i: number) => revocable[i] ?? crowd[Math.floor((i - revocations) / sessionsOfDevice)];
  const listeners = await openAll(sessions, 64, (i) => {
    const { username, password } = deviceOf(i)?.credential ?? {};
    return new Listener(i).open({ port, username, password });
  });
  const prober = await signIn({ port, ...bootstrap.open }, { clientId: 'prober', filters: ['bench/marker'] });
  console.log(`${show(sessions)} sessions of ${show(revocations + crowded)} devices`);
  // What ten thousand sign-ins leave to be written (comings, what was subscribed to) is not what is measured.
  await new Promise((resolve) => setTimeout(resolve, observedWithinMs));
  await quiet([product.brokerPid, ...product.postgresPids()], 20_000);

  const waited = waitedSeconds([product.brokerPid]);
  await changePolicies(bootstrap, `${tenant}/policies/${policy.id}`, listeners, prober);
  await revoke(bootstrap, revocable, listeners);
  await suspend(bootstrap, tenant, listeners);
  prober.end();
  const withoutCore = waitedSeconds([product.brokerPid]) - waited;
  console.log(`the broker had to wait ${withoutCore.toFixed(1)} s for a core; load average ${load()}`);
}

// --------------------------------------------------------------------------------------------------------- one credential

async function revoke(
  bootstrap: Product['bootstrap'],
  revocable: readonly { readonly path: string }[],
  listeners: readonly Listener[],
): Promise<void> {
  const times: Times[] = [];
  for (const [i, { path }] of revocable.entries()) {
    const change = await request(bootstrap, 'PATCH', path, { disabled: true });
    const operation = await applied(bootstrap, change.operation);
    const listener = listeners[i];
    await until(() => listener?.closedAt !== undefined);
    const closed = listeners.filter(({ closedAt }) => closedAt !== undefined).length;
    hold('connections closed', closed - i, operation.connectionsClosed);
    hold('sessions touched', 1, operation.sessionsTouched);
    times.push(timesOf(change, operation, listener?.closedAt ?? NaN));
  }
  report('a credential revoked, one connection closed', times);
}

// --------------------------------------------------------------------------------------------------------- a policy of all

async function changePolicies(
  bootstrap: Product['bootstrap'],
  policy: string,
  listeners: readonly Listener[],
  prober: Connection,
): Promise<void> {
  const narrowed: Times[] = [];
  const widened: Times[] = [];
  for (let round = 0; round < Number(values.policies); round++) {
    const probing = probe(prober, listeners);
    const change = await request(bootstrap, 'POST', `${policy}/versions`, { rules: narrow, activate: true });
    const operation = await applied(bootstrap, change.operation);
    await probing.stop();
    const lastHeard = Math.max(...listeners.map(({ heardAt }) => heardAt));
    narrowed.push(timesOf(change, operation, lastHeard));
    hold('sessions touched', listeners.length + 1, operation.sessionsTouched);
    hold('subscriptions removed', await deafOf(listeners, prober), operation.subscriptionsRemoved);

    const back = await request(bootstrap, 'POST', `${policy}/versions`, { rules: wide, activate: true });
    const widening = await applied(bootstrap, back.operation);
    widened.push(timesOf(back, widening));
    hold('sessions touched', listeners.length + 1, widening.sessionsTouched);
    const before = granted(listeners);
    for (const listener of listeners) listener.subscribe();
    await until(() => granted(listeners) - before === listeners.length);
    hold('subscriptions that are granted again', granted(listeners) - before, listeners.length);
  }
  report('a policy of all narrowed, a subscription of each gone', narrowed);
  report('a policy of all widened', widened);
}

function granted(listeners: readonly Listener[]): number {
  return listeners.reduce((sum, listener) => sum + listener.granted, 0);
}

/** Messages to one of the crowd after the other, while something changes. */
function probe(prober: Connection, listeners: readonly Listener[]): { stop(): Promise<void> } {
  let next = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < probesInBurst; i++) {
      const { topic } = listeners[(next += 7_919) % listeners.length] ?? {};
      if (topic !== undefined) prober.put(publishPacket(4, 0, 0, topic, noPayload));
    }
    prober.flush();
  }, probeEveryMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await echo(prober);
    },
  };
}

/** How many of them a message does not reach any more. */
async function deafOf(listeners: readonly Listener[], prober: Connection): Promise<number> {
  const since = now();
  for (const { topic } of listeners) prober.put(publishPacket(4, 0, 0, topic, noPayload));
  prober.flush();
  await echo(prober);
  return listeners.filter(({ heardAt }) => heardAt < since).length;
}

/** Resolves when all that the prober has sent has been handed on, and read here. */
async function echo(prober: Connection): Promise<void> {
  const back = new Promise<void>((resolve) => {
    prober.onPacket = (header) => {
      if (header >> 4 === 3) resolve();
    };
  });
  prober.send(publishPacket(4, 0, 0, 'bench/marker', noPayload));
  await back;
  await new Promise((resolve) => setTimeout(resolve, 50));
}

// ------------------------------------------------------------------------------------------------------------- everybody

async function suspend(
  bootstrap: Product['bootstrap'],
  tenant: string,
  listeners: readonly Listener[],
): Promise<void> {
  const live = listeners.filter(({ closedAt }) => closedAt === undefined);
  const change = await request(bootstrap, 'PATCH', tenant, { status: 'suspended' });
  const operation = await applied(bootstrap, change.operation);
  await until(() => live.every(({ closedAt }) => closedAt !== undefined));
  hold('connections closed', live.length + 1, operation.connectionsClosed);
  const last = Math.max(...live.map(({ closedAt = NaN }) => closedAt));
  console.log(
    `the tenant suspended once, ${show(live.length)} connections closed: the last ${timesOf(change, operation, last).seenMs.toFixed(0)} ms`,
  );
}

// ---------------------------------------------------------------------------------------------------------------- the API

interface Answered {
  readonly answeredAt: number;
  readonly operation: string;
}

async function request(
  { api, adminKey }: Product['bootstrap'],
  method: string,
  path: string,
  body: unknown,
): Promise<Answered> {
  const response = await fetch(api + path, {
    method,
    headers: {
      authorization: `Bearer ${adminKey}`,
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      'if-match': '*',
    },
    body: JSON.stringify(body),
  });
  const answeredAt = now();
  const text = await response.text();
  const operation = response.headers.get('operation-location');
  if (!response.ok || operation === null) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return { answeredAt, operation };
}

async function applied({ api, adminKey }: Product['bootstrap'], path: string): Promise<Operation> {
  const deadline = now() + settleMs;
  for (;;) {
    const response = await fetch(api + path, { headers: { authorization: `Bearer ${adminKey}` } });
    const operation = (await response.json()) as Operation;
    if (operation.status === 'applied') return operation;
    if (now() > deadline) throw new Error(`${path} is still ${operation.status}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

interface Times {
  /** To what the clients concerned saw last of the right that they had. */
  readonly seenMs: number;
  readonly receiptMs: number;
}

/** Where nothing is taken away there is nothing to be seen but the receipt. */
function timesOf({ answeredAt }: Answered, { receipts }: Operation, lastSeen?: number): Times {
  const appliedAt = Math.max(...receipts.map((receipt) => Date.parse(receipt.appliedAt)));
  const since = (time: number): number => Math.max(0, time - answeredAt);
  return { seenMs: since(lastSeen ?? appliedAt), receiptMs: since(appliedAt) };
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = now() + settleMs;
  while (!isSo() && now() < deadline) await new Promise((resolve) => setTimeout(resolve, 2));
}

function report(what: string, [first, ...times]: readonly Times[]): void {
  const figuresOf = (time: 'seenMs' | 'receiptMs'): { readonly p99: number; readonly text: string } => {
    const sorted = times.map((one) => one[time]).toSorted((a, b) => a - b);
    const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? NaN;
    const [p50, ...others] = [at(sorted, 0.5), p99, sorted.at(-1), first?.[time]].map((ms = NaN) =>
      ms.toFixed(1),
    );
    return { p99, text: `p50 ${p50} ms, p99 ${others[0]}, max ${others[1]}, the warm-up ${others[2]}` };
  };
  const seen = figuresOf('seenMs');
  const isLate = !(seen.p99 <= limitMs);
  if (isLate) isFaulty = true;
  console.log(`${what}, ${times.length} times: ${seen.text}${isLate ? `, over ${limitMs} ms` : ''}`);
  console.log(`  its receipt: ${figuresOf('receiptMs').text}`);
}
