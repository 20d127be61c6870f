/** What a draft is tried on: what devices did, hold and were refused, each under the circumstances that are known of it. */
import {
  grantingInPart,
  RuleSet,
  settle,
  transportsOf,
  type Circumstances,
  type CompiledPolicy,
  type PolicyDocument,
} from '#access';
import {
  listDenials,
  observedTopics,
  subscriptionsOfDevices,
  type Device,
  type LiveClient,
  type TenantTx,
} from '#store';
import { attributesOf } from '../devices/device.schema.js';

/** Of the devices of one answer: all that is kept of what they did, and what their sessions hold. */
const mostTopics = 5_000;
const mostSeenOfDevice = 500;
const observedDays = 30;

/** Somebody's right to something, before and after. */
export interface Trial {
  readonly deviceId: string;
  readonly clientId: string;
  readonly action: 'connect' | 'publish' | 'subscribe';
  /** Of a subscription, its filter; of connect, nothing. */
  readonly topic: string;
  readonly source: 'observed' | 'session' | 'denied';
  readonly isLive: boolean;
  readonly arrival: Arrival;
}

/** How, from where and as whom it came, as far as that is known. */
interface Arrival extends Omit<Circumstances, 'now'> {
  readonly username: string | undefined;
  readonly commonName: string | undefined;
}

export type Word = 'allow' | 'narrow' | 'deny';

/** A trial that is decided otherwise after the change. */
export interface ChangedTrial {
  readonly trial: Trial;
  readonly before: Word;
  readonly after: Word;
  readonly reason: string;
}

export interface Trials {
  readonly trials: readonly Trial[];
  readonly isComplete: boolean;
}

/** Each thing once: what a session holds says more than that it was asked for. */
export async function trialsOf(
  tx: TenantTx,
  deviceIds: readonly string[],
  live: readonly LiveClient[],
): Promise<Trials> {
  const since = new Date(Date.now() - observedDays * 86_400_000);
  const mostSeen = deviceIds.length * mostSeenOfDevice;
  const seen = await observedTopics(tx, deviceIds, since, mostSeen + 1);
  const held = await subscriptionsOfDevices(tx, deviceIds, mostTopics);
  const denied = await listDenials(tx, { since, deviceIds, after: undefined, limit: mostTopics });
  const ofSessions: Trial[] = [
    ...live.flatMap(trialsOfClient),
    ...held.map(({ deviceId, clientId, filter, isConnected, principal }) => {
      const { username, transport, address, certificate } = principal;
      const transports = transport && transportsOf(transport, certificate !== undefined);
      const arrival = { username, transports, address, commonName: certificate?.commonName };
      return trial(
        'session',
        { deviceId, clientId, action: 'subscribe', topic: filter },
        isConnected,
        arrival,
      );
    }),
  ];
  const known = new Set(ofSessions.map(keyOf));
  const others = [
    ...seen.map(({ deviceId, clientId, action, topic, username }) =>
      trial('observed', { deviceId, clientId, topic, action: kindOf(action) }, false, {
        ...unknown,
        username,
      }),
    ),
    ...denied.flatMap(({ deviceId, clientId, action, topic, username, address }) => {
      if (deviceId === null || (action !== 'publish' && action !== 'subscribe')) return [];
      return trial('denied', { deviceId, clientId, action, topic }, false, { ...unknown, username, address });
    }),
  ].filter((one) => {
    const key = keyOf(one);
    const isNew = !known.has(key);
    known.add(key);
    return isNew;
  });
  return {
    trials: [...ofSessions, ...others],
    isComplete: seen.length <= mostSeen && held.length < mostTopics && denied.length < mostTopics,
  };
}

const unknown = { transports: undefined, address: undefined, commonName: undefined };

/** That it may be here at all; and what it is subscribed to, where the database does not tell. */
function trialsOfClient(client: LiveClient): Trial[] {
  const { deviceId, clientId, username, transport, address, hasCertificate, commonName } = client;
  const arrival = {
    username,
    transports: transport === null ? undefined : transportsOf(transport, hasCertificate),
    address: address ?? undefined,
    commonName: commonName ?? undefined,
  };
  const filters = client.isDurable ? [] : client.subscriptions.map(({ filter }) => filter);
  return [
    trial('session', { deviceId, clientId, action: 'connect', topic: '' }, true, arrival),
    ...filters.map((topic) =>
      trial('session', { deviceId, clientId, action: 'subscribe', topic }, true, arrival),
    ),
  ];
}

function trial(
  source: Trial['source'],
  what: Pick<Trial, 'deviceId' | 'clientId' | 'action' | 'topic'>,
  isLive: boolean,
  arrival: Arrival,
): Trial {
  return { ...what, source, isLive, arrival };
}

function kindOf(action: string): 'publish' | 'subscribe' {
  return action === 'subscribe' ? 'subscribe' : 'publish';
}

function keyOf({ deviceId, action, topic }: Trial): string {
  return `${deviceId} ${action} ${topic}`;
}

/** The policies of devices as they are and with a draft in place of one of them. Devices of a kind have the same: each list is compiled once. */
export class Comparison {
  readonly #tenantSlug: string;
  readonly #grantsInPart: boolean;
  readonly #draft: PolicyDocument;
  readonly #compiled = new Map<string, RuleSet>();
  readonly #now = Date.now();

  constructor(tenantSlug: string, grantsInPart: boolean, draft: PolicyDocument) {
    this.#tenantSlug = tenantSlug;
    this.#grantsInPart = grantsInPart;
    this.#draft = draft;
  }

  /** Those of one device's trials that are decided otherwise. */
  changedOf(trials: readonly Trial[], device: Device, documents: readonly PolicyDocument[]): ChangedTrial[] {
    const replaced = documents.map((one) => (one.policyId === this.#draft.policyId ? this.#draft : one));
    const known = new Map<string, readonly [before: CompiledPolicy, after: CompiledPolicy]>();
    return trials.flatMap((trial) => {
      const key = JSON.stringify([trial.clientId, trial.arrival]);
      const [before, after] = known.get(key) ?? [
        this.#rightsOf(trial, device, documents),
        this.#rightsOf(trial, device, replaced),
      ];
      known.set(key, [before, after]);
      const will = decide(after, trial);
      const words = wordsFor(decide(before, trial), will);
      return words === undefined ? [] : [{ trial, before: words[0], after: words[1], reason: will.detail }];
    });
  }

  #rightsOf(
    { clientId, arrival }: Trial,
    device: Device,
    documents: readonly PolicyDocument[],
  ): CompiledPolicy {
    // What is not known of it counts against it where a rule asks for it, before and after.
    const circumstances = { ...arrival, now: this.#now };
    const settled = documents.map((document) => settle(document, circumstances).document);
    const rights = this.#rulesOf(settled).for({
      tenant: this.#tenantSlug,
      device: device.name,
      clientId,
      username: arrival.username ?? `${device.name}@${this.#tenantSlug}`,
      commonName: arrival.commonName,
      attributes: attributesOf(device),
    });
    return this.#grantsInPart ? grantingInPart(rights) : rights;
  }

  #rulesOf(settled: readonly PolicyDocument[]): RuleSet {
    const key = settled
      .map(({ policyId, version, idle = [] }) => [policyId, version, ...idle].join(' '))
      .join();
    const rules = this.#compiled.get(key) ?? new RuleSet(settled);
    this.#compiled.set(key, rules);
    return rules;
  }
}

interface Decision {
  readonly allowed: boolean;
  /** With nothing left out: everything that a filter matches arrives. */
  readonly isWhole: boolean;
  readonly ceilings: readonly number[];
  readonly detail: string;
}

function decide(policy: CompiledPolicy, { action, topic }: Trial): Decision {
  if (action === 'connect') return { ...policy.connectRight, isWhole: true, ceilings: [] };
  if (action === 'subscribe') {
    const { allowed, maxQos, detail } = policy.subscribeRight(topic);
    return { allowed, detail, isWhole: allowed && policy.deliversAllOf(topic), ceilings: [maxQos] };
  }
  const { allowed, maxQos, mayRetain, maxPayloadBytes, detail } = policy.publishRight(topic);
  return { allowed, detail, isWhole: true, ceilings: [maxQos, mayRetain ? 1 : 0, maxPayloadBytes] };
}

/** `narrow`: it is allowed, and less of it than on the other side, or than was asked for. */
function wordsFor(was: Decision, will: Decision): readonly [Word, Word] | undefined {
  const [before, after] = [wordOf(was), wordOf(will)];
  if (before !== after) return [before, after];
  if (!was.allowed) return undefined;
  const isLess = will.ceilings.some((ceiling, index) => ceiling < (was.ceilings[index] ?? 0));
  if (isLess) return ['allow', 'narrow'];
  const isMore = will.ceilings.some((ceiling, index) => ceiling > (was.ceilings[index] ?? 0));
  return isMore ? ['narrow', 'allow'] : undefined;
}

function wordOf({ allowed, isWhole }: Decision): Word {
  if (!allowed) return 'deny';
  return isWhole ? 'allow' : 'narrow';
}
