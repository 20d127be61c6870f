import { isDeepStrictEqual } from 'node:util';
import { Inject, Injectable } from '@nestjs/common';
import { checkRules, ruleDifference, suggestRules, type Deed, type PolicyDocument, type Rule } from '#access';
import {
  attributesOfDevices,
  devicesOfPolicy,
  countDevicesOfPolicy,
  deedsOfProfile,
  findDevice,
  findPolicy,
  findPolicyVersion,
  findProfile,
  findTenant,
  listPolicyVersions,
  observedTopics,
  rulesInForce,
  usesOfPolicy,
  type ControlStore,
  type DeedOfDevice,
  type TenantTx,
} from '#store';
import type { z } from 'zod';
import { attributesOf } from '../devices/device.schema.js';
import { invalidBody, notFound } from '../failure.js';
import { Cursors } from '../http/paging.js';
import { LiveClientService } from '../live-clients.js';
import type { TenantScope } from '../scope.js';
import { grantsInPart } from '../tenants/tenant.schema.js';
import { STORE } from '../injection-tokens.js';
import { Comparison, trialsOf, type ChangedTrial, type Trial } from './trials.js';
import type { DiffInput, diffView, suggestionView, unusedRulesView } from './policy-insight.schema.js';

/** Bounds of one answer of a dry run; the rest of the devices is in the next answer. */
const mostDevices = 200;
const mostTopics = 5_000;
const mostChanges = 500;
const versionsLookedAt = 20;
/** Of a profile: what two hundred devices do that use all that is kept of each, and many more that do what devices do. */
const mostDeeds = 100_000;

type Diff = z.input<typeof diffView>;
type Change = Diff['changes'][number];

/** What policies did and would do, as far as the broker has observed it. */
@Injectable()
export class PolicyInsightService {
  constructor(
    @Inject(STORE) private readonly store: ControlStore,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(LiveClientService) private readonly live: LiveClientService,
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
      const who = { device: device.name, tenant: scope.tenantSlug, attributes: attributesOf(device) };
      const deeds = seen.map((deed) => deedOf(deed, who));
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
        const ids = [...new Set(page.map(({ deviceId }) => deviceId))];
        const attributes = await attributesOfDevices(tx, ids);
        for (const deed of page) {
          const { deviceId, device } = deed;
          devices.add(deviceId);
          const own = attributesOf({ attributes: attributes.get(deviceId) ?? {} });
          deeds.push(deedOf(deed, { device, tenant: scope.tenantSlug, attributes: own }));
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
  async diff(scope: TenantScope, policyId: string, input: DiffInput): Promise<Diff> {
    const page = await this.store.tenant(scope.tenantId, (tx) => this.#devicesFor(tx, policyId, input));
    // Between two transactions: whoever is asked sees the question once it is committed.
    const live = await this.live.of(scope, { deviceIds: page.ids });
    return this.store.tenant(scope.tenantId, async (tx) => {
      const policy = found(await findPolicy(tx, policyId));
      const active = found(await findPolicyVersion(tx, policyId, policy.activeVersion));
      const rules = checked(await rulesOf(tx, policyId, input));
      const draft = { policyId, name: policy.name, version: input.version ?? 0, rules };
      const { trials, isComplete } = await trialsOf(tx, page.ids, live.clients);
      const changes = await changesBy(tx, scope, draft, trials);
      const isLess = ({ before, after }: Change): boolean => weights[after] < weights[before];
      const lost = changes.filter(isLess).length;
      return {
        against: policy.activeVersion,
        rules: differenceOf(checked(active.rules), rules),
        devices: page.ids.length,
        devicesLeft: page.devicesLeft,
        next: page.next,
        isComplete: isComplete && live.isComplete && page.next === null && changes.length <= mostChanges,
        isLiveComplete: live.isComplete,
        changesLeft: Math.max(0, changes.length - mostChanges),
        lost,
        gained: changes.length - lost,
        changes: changes.slice(0, mostChanges),
      };
    });
  }

  /** Refuses a draft that cannot be tried before anybody is asked. */
  async #devicesFor(
    tx: TenantTx,
    policyId: string,
    input: DiffInput,
  ): Promise<{ readonly ids: string[]; readonly devicesLeft: number; readonly next: string | null }> {
    found(await findPolicy(tx, policyId));
    checked(await rulesOf(tx, policyId, input));
    const page = await this.cursors.read(
      `diff ${tx.tenantId} ${policyId}`,
      { limit: mostDevices, after: input.after },
      ([afterId], limit) => devicesOfPolicy(tx, policyId, afterId, limit),
      ({ id }) => [id],
    );
    const ids = page.items.map(({ id }) => id);
    const lastId = page.hasMore ? ids.at(-1) : undefined;
    if (lastId === undefined) return { ids, devicesLeft: 0, next: null };
    const devicesLeft = await countDevicesOfPolicy(tx, policyId, lastId);
    return { ids, devicesLeft, next: page.cursors.at(-1) ?? null };
  }
}

const weights = { deny: 0, narrow: 1, allow: 2 } as const;

/** By what they cover: a rule that is only written otherwise is kept. */
function differenceOf(before: readonly Rule[], after: readonly Rule[]): Diff['rules'] {
  const { added, removed } = ruleDifference(before, after);
  return { added: [...added], removed: [...removed], kept: after.length - added.length };
}

async function changesBy(
  tx: TenantTx,
  scope: TenantScope,
  draft: PolicyDocument,
  trials: readonly Trial[],
): Promise<Change[]> {
  const tenant = found(await findTenant(tx, tx.tenantId));
  const comparison = new Comparison(scope.tenantSlug, grantsInPart(tenant), draft);
  const documents = new Map<string, PolicyDocument>();
  const changes: Change[] = [];
  for (const [deviceId, own] of Map.groupBy(trials, (trial) => trial.deviceId)) {
    const device = await findDevice(tx, deviceId);
    if (device === null) continue;
    // Devices of a kind have the same policies: each is read once.
    const stored = (await rulesInForce(tx, deviceId)).map(({ id: policyId, name, version, rules }) => {
      const known = documents.get(policyId) ?? { policyId, name, version, rules: checked(rules) };
      documents.set(policyId, known);
      return known;
    });
    const changed = comparison.changedOf(own, device, stored);
    changes.push(...changed.map((one) => presentChange(one, device.name)));
  }
  return changes;
}

function presentChange({ trial, before, after, reason }: ChangedTrial, device: string): Change {
  const { deviceId, clientId, action, topic, source, isLive } = trial;
  return { deviceId, device, clientId, action, topic, source, isLive, before, after, reason };
}

function deedOf(
  { action, topic, clientId, username }: Pick<DeedOfDevice, 'action' | 'topic' | 'clientId' | 'username'>,
  who: Pick<Deed, 'device' | 'tenant' | 'attributes'>,
): Deed {
  return { ...who, action: action === 'subscribe' ? 'subscribe' : 'publish', topic, clientId, username };
}

const observable: ReadonlySet<string> = new Set(['publish', 'subscribe']);

/** Of the draft, or of the version that is named. */
async function rulesOf(tx: TenantTx, policyId: string, { rules, version = 0 }: DiffInput): Promise<unknown> {
  return rules ?? rulesOfVersion(tx, policyId, version);
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
