import { isDeepStrictEqual } from 'node:util';
import { Inject, Injectable } from '@nestjs/common';
import {
  checkRules,
  RuleSet,
  settle,
  suggestRules,
  type CompiledPolicy,
  type Deed,
  type PolicyDocument,
  type Rule,
} from '#access';
import {
  devicesOfPolicy,
  countDevicesOfPolicy,
  deedsOfProfile,
  findDevice,
  findPolicy,
  findPolicyVersion,
  findProfile,
  listDenials,
  listPolicyVersions,
  observedTopics,
  rulesInForce,
  subscriptionsOfDevices,
  usesOfPolicy,
  type ControlStore,
  type DeedOfDevice,
  type Device,
  type TenantTx,
} from '#store';
import type { z } from 'zod';
import { attributesOf } from '../devices/device.schema.js';
import { invalidBody, notFound } from '../failure.js';
import { Cursors } from '../http/paging.js';
import type { TenantScope } from '../scope.js';
import { STORE } from '../tokens.js';
import type { DiffInput, diffView, suggestionView, unusedRulesView } from './policy-insight.schema.js';

/** Bounds of one answer of a dry run; all that is kept of what so many devices did, and the rest of the devices in the next answer. */
const mostDevices = 200;
const mostSeen = mostDevices * 500;
const mostTopics = 5_000;
const mostChanges = 500;
const versionsLookedAt = 20;
/** Of a profile: what two hundred devices do that use all that is kept of each, and many more that do what devices do. */
const mostDeeds = 100_000;

type Diff = z.input<typeof diffView>;
type Change = Diff['changes'][number];
type Trial = Omit<Change, 'before' | 'after' | 'reason' | 'device'>;

/** What policies did and would do, as far as the broker has observed it. */
@Injectable()
export class PolicyInsightService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  /** Rules in force that allowed nothing for so long. A deny is never unused: that nothing met it is what it is for. */
  unusedRules(scope: TenantScope, policyId: string, days: number): Promise<z.input<typeof unusedRulesView>> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const policy = found(await findPolicy(tx, policyId));
      const since = daysAgo(days);
      const versions = await listPolicyVersions(tx, policyId, {
        beforeNumber: undefined,
        limit: versionsLookedAt,
      });
      const active = found(await findPolicyVersion(tx, policyId, policy.activeVersion));
      const uses = await usesOfPolicy(tx, policyId);
      const rulesOf = new Map([...versions, active].map(({ number, rules }) => [number, checked(rules)]));
      const unused = checked(active.rules).flatMap((rule, index) => {
        if (rule.effect === 'deny' || !rule.actions.some((action) => observable.has(action))) return [];
        // The same rule under another version is the same grant.
        const same = uses.filter((use) => isDeepStrictEqual(rulesOf.get(use.version)?.[use.rule], rule));
        const last = same.reduce((latest, { lastAt }) => Math.max(latest, lastAt.getTime()), 0);
        if (last >= since.getTime()) return [];
        return [{ index, rule, lastUsedAt: last === 0 ? null : new Date(last).toISOString() }];
      });
      return { version: active.number, since: since.toISOString(), rules: unused };
    });
  }

  /** The least that would have allowed what the device did. */
  suggest(scope: TenantScope, deviceId: string, days: number): Promise<z.input<typeof suggestionView>> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const device = found(await findDevice(tx, deviceId));
      const since = daysAgo(days);
      const seen = await observedTopics(tx, [deviceId], since, mostTopics);
      const deeds = seen.map((deed) => deedOf({ ...deed, device: device.name }));
      return {
        since: since.toISOString(),
        topics: seen.length,
        devices: 1,
        isComplete: seen.length < mostTopics,
        rules: suggestRules(deeds),
      };
    });
  }

  /** The least for a whole profile: what any of its devices did, each under its own names. */
  suggestForProfile(
    scope: TenantScope,
    profileId: string,
    days: number,
  ): Promise<z.input<typeof suggestionView>> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      found(await findProfile(tx, profileId));
      const since = daysAgo(days);
      const deeds: Deed[] = [];
      const devices = new Set<string>();
      let last: DeedOfDevice | undefined;
      let isComplete = false;
      while (!isComplete && deeds.length < mostDeeds) {
        const page = await deedsOfProfile(tx, profileId, since, last, mostTopics);
        for (const deed of page) {
          devices.add(deed.deviceId);
          deeds.push(deedOf(deed));
        }
        last = page.at(-1);
        isComplete = page.length < mostTopics;
      }
      return {
        since: since.toISOString(),
        topics: deeds.length,
        devices: devices.size,
        isComplete,
        rules: suggestRules(deeds),
      };
    });
  }

  /** A dry run of an activation: what would be decided otherwise, of what devices did, hold and were refused. */
  diff(scope: TenantScope, policyId: string, input: DiffInput): Promise<Diff> {
    return this.store.tenant(scope.tenantId, async (tx) => {
      const policy = found(await findPolicy(tx, policyId));
      const rules =
        input.rules === undefined ? await rulesOfVersion(tx, policyId, input.version ?? 0) : input.rules;
      const draft = { policyId, name: policy.name, version: input.version ?? 0, rules: checked(rules) };
      const page = await this.cursors.read(
        `diff ${scope.tenantId} ${policyId}`,
        { limit: mostDevices, after: input.after },
        ([afterId], limit) => devicesOfPolicy(tx, policyId, afterId, limit),
        ({ id }) => [id],
      );
      const tried = page.items.map(({ id }) => id);
      const lastId = page.hasMore ? tried.at(-1) : undefined;
      const active = found(await findPolicyVersion(tx, policyId, policy.activeVersion));
      const { trials, isComplete } = await trialsOf(tx, tried);
      const changes: Change[] = [];
      const compiled = new Map<string, readonly [RuleSet, RuleSet]>();
      for (const id of tried) {
        const own = trials.filter(({ deviceId }) => deviceId === id);
        const device = own.length === 0 ? null : await findDevice(tx, id);
        if (device !== null) changes.push(...(await tryOn(tx, scope, device, draft, own, compiled)));
      }
      const lost = changes.filter(({ after }) => after === 'deny').length;
      return {
        against: policy.activeVersion,
        rules: differenceOf(checked(active.rules), draft.rules),
        devices: tried.length,
        devicesLeft: lastId === undefined ? 0 : await countDevicesOfPolicy(tx, policyId, lastId),
        next: lastId === undefined ? null : (page.cursors.at(-1) ?? null),
        isComplete: isComplete && !page.hasMore && changes.length <= mostChanges,
        changesLeft: Math.max(0, changes.length - mostChanges),
        lost,
        gained: changes.length - lost,
        changes: changes.slice(0, mostChanges),
      };
    });
  }
}

/** Rules are compared as they are written; each stands for one of the same in the other list. */
function differenceOf(before: readonly Rule[], after: readonly Rule[]): Diff['rules'] {
  const removed = [...before];
  const added = after.filter((rule) => {
    const at = removed.findIndex((other) => isDeepStrictEqual(other, rule));
    if (at !== -1) removed.splice(at, 1);
    return at === -1;
  });
  return { added, removed, kept: after.length - added.length };
}

function deedOf({
  action,
  topic,
  clientId,
  device,
}: Pick<DeedOfDevice, 'action' | 'topic' | 'clientId' | 'device'>): Deed {
  return { action: action === 'subscribe' ? 'subscribe' : 'publish', topic, clientId, device };
}

const observable: ReadonlySet<string> = new Set(['publish', 'subscribe']);

async function trialsOf(
  tx: TenantTx,
  deviceIds: readonly string[],
): Promise<{ readonly trials: Trial[]; readonly isComplete: boolean }> {
  const since = daysAgo(30);
  const seen = await observedTopics(tx, deviceIds, since, mostSeen + 1);
  const held = await subscriptionsOfDevices(tx, deviceIds, mostTopics);
  const denied = await listDenials(tx, { since, deviceIds, after: undefined, limit: mostTopics });
  const trials: Trial[] = [
    ...held.map(({ isConnected, filter: topic, ...who }) => ({
      ...who,
      topic,
      action: 'subscribe' as const,
      source: 'session' as const,
      isLive: isConnected,
    })),
    ...seen.map(({ deviceId, clientId, action, topic }) => ({
      deviceId,
      clientId,
      topic,
      action: action === 'subscribe' ? ('subscribe' as const) : ('publish' as const),
      source: 'observed' as const,
      isLive: false,
    })),
    ...denied.flatMap(({ deviceId, clientId, action, topic }): Trial[] => {
      if (deviceId === null) return [];
      if (action !== 'publish' && action !== 'subscribe') return [];
      return [{ deviceId, clientId, action, topic, source: 'denied', isLive: false }];
    }),
  ];
  // Each once: what a session holds says more than that it was asked for.
  const known = new Set<string>();
  const once = trials.filter(({ deviceId, action, topic }) => {
    const key = `${deviceId} ${action} ${topic}`;
    const isNew = !known.has(key);
    known.add(key);
    return isNew;
  });
  return {
    trials: once,
    isComplete: seen.length <= mostSeen && held.length < mostTopics && denied.length < mostTopics,
  };
}

async function tryOn(
  tx: TenantTx,
  scope: TenantScope,
  device: Device,
  draft: PolicyDocument,
  trials: readonly Trial[],
  compiled: Map<string, readonly [before: RuleSet, after: RuleSet]>,
): Promise<Change[]> {
  const stored = await rulesInForce(tx, device.id);
  // Devices of a kind have the same policies: they are compiled once.
  const key = stored.map(({ id, version }) => `${id} ${version}`).join();
  const known = compiled.get(key) ?? compileBoth(stored, draft);
  compiled.set(key, known);
  const [before, after] = known;
  return trials.flatMap((trial) => {
    const variables = {
      tenant: scope.tenantSlug,
      device: device.name,
      clientId: trial.clientId,
      username: `${device.name}@${scope.tenantSlug}`,
      attributes: attributesOf(device),
    };
    const was = decide(before.for(variables), trial);
    const will = decide(after.for(variables), trial);
    if (was.allowed === will.allowed) return [];
    const word = (allowed: boolean): 'allow' | 'deny' => (allowed ? 'allow' : 'deny');
    return [
      {
        ...trial,
        device: device.name,
        before: word(was.allowed),
        after: word(will.allowed),
        reason: will.detail,
      },
    ];
  });
}

function compileBoth(
  stored: Awaited<ReturnType<typeof rulesInForce>>,
  draft: PolicyDocument,
): readonly [RuleSet, RuleSet] {
  const documents = stored.map(({ id: policyId, name, version, rules }) => ({
    policyId,
    name,
    version,
    rules: checked(rules),
  }));
  const replaced = documents.map((document) => (document.policyId === draft.policyId ? draft : document));
  // How and from where they will come is not known: what asks for it counts against them, before and after.
  const now = { transports: undefined, address: undefined, now: Date.now() };
  const compile = (list: readonly PolicyDocument[]): RuleSet =>
    new RuleSet(list.map((document) => settle(document, now).document));
  return [compile(documents), compile(replaced)];
}

function decide(policy: CompiledPolicy, { action, topic }: Trial): { allowed: boolean; detail: string } {
  return action === 'publish' ? policy.publishRight(topic) : policy.subscribeRight(topic);
}

async function rulesOfVersion(tx: TenantTx, policyId: string, number: number): Promise<unknown> {
  const version = await findPolicyVersion(tx, policyId, number);
  if (version !== null) return version.rules;
  throw invalidBody({ pointer: '#/version', code: 'unknown', message: 'The policy has no such version.' });
}

/** All that is wrong with a draft at once; what is stored had been checked. */
function checked(rules: unknown): Rule[] {
  const result = checkRules(rules);
  if (result.ok) return [...result.rules];
  throw invalidBody(...result.errors.map((error) => ({ ...error, pointer: `#/rules${error.pointer}` })));
}

function daysAgo(days: number): Date {
  return new Date(Date.now() - days * 86_400_000);
}

function found<T>(row: T | null): T {
  if (row === null) throw notFound();
  return row;
}
