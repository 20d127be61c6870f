import type { Policy, PublishRight, Qos, SubscribeRight } from '#mqtt';

import { type Coverage, FilterCover } from './coverage.js';
import { overlap, withoutShare } from './filter.js';
import { LevelTree } from './level-tree.js';
import type { Action, Rule } from './rules.js';
import type { TelemetryRule } from './telemetry.js';
import { commonNameVariable, expand, isExpandable, type Variables } from './variables.js';
import {
  allowedWithoutRule,
  describe,
  mergeVerdicts,
  type Origin,
  type Verdict,
  verdictOf,
} from './verdict.js';

/** One version of a policy, as it is bound to a principal. */
export interface PolicyDocument {
  readonly policyId: string;
  readonly name: string;
  readonly version: number;
  readonly rules: readonly Rule[];
  /** Places of rules whose conditions this principal's connection does not meet (conditions.ts). */
  readonly idle?: ReadonlySet<number>;
}

export interface ConnectRight {
  readonly allowed: boolean;
  readonly detail: string;
}

/** The rights of one principal, compiled. Beside the core's questions it answers the gate's: may this device connect at all? */
export interface CompiledPolicy extends Policy {
  readonly connectRight: ConnectRight;
  /** Of a filter that is granted: whether every topic that it matches is delivered. */
  deliversAllOf(filter: string): boolean;
}

/** Compiles documents whose rules passed `checkRules`, for one principal. */
export function compile(
  documents: readonly PolicyDocument[],
  variables: Variables,
  telemetry: readonly TelemetryRule[] = [],
): CompiledPolicy {
  return new RuleSet(documents, telemetry).for(variables);
}

type TopicAction = Exclude<Action, 'connect'>;

/**
 * Documents and telemetry rules, compiled once for all principals that they bind: a tree of levels per action. An uncached
 * look-up costs a walk down the levels of the topic; results are objects that are made once and shared by all topics, and all
 * principals, that have them. Of a principal there is nothing in here: its variables come with each question.
 */
export class RuleSet {
  readonly #trees: Readonly<Record<TopicAction, LevelTree<Verdict>>> = {
    publish: new LevelTree(mergeVerdicts),
    subscribe: new LevelTree(mergeVerdicts),
    receive: new LevelTree(mergeVerdicts),
    retain: new LevelTree(mergeVerdicts),
  };
  readonly #telemetry = new LevelTree<RankedTelemetry>(firstRule);
  readonly #publishRights = new Map<Origin | undefined, PublishRight[]>();
  readonly #refusals = new Map<Origin | undefined, PublishRight>();
  readonly #subscribeCover: FilterCover;
  readonly #receiveCover: FilterCover;
  /** Topics that may be subscribed to, variables in them. */
  readonly #subscribable: string[] = [];
  #lowestSubscribeQos: Qos = 2;
  #connect: Verdict | undefined;
  #connectBase: Verdict | undefined = allowedWithoutRule;
  #receiveBase: Verdict | undefined = allowedWithoutRule;
  readonly #connectRight: ConnectRight;
  /** Some topic speaks of the common name of the client's certificate. */
  readonly #namesCertificates: boolean;
  readonly #documents: readonly PolicyDocument[];
  readonly #readings: readonly TelemetryRule[];

  constructor(documents: readonly PolicyDocument[], telemetry: readonly TelemetryRule[] = []) {
    this.#documents = documents;
    this.#readings = telemetry;
    for (const document of documents) {
      for (const [index, rule] of document.rules.entries()) this.#add(document, index, rule);
    }
    for (const [rank, rule] of telemetry.entries()) this.#telemetry.add(rule.filter, false, { rank, rule });
    this.#subscribeCover = new FilterCover(this.#trees.subscribe, undefined);
    this.#receiveCover = new FilterCover(this.#trees.receive, this.#receiveBase);
    this.#namesCertificates =
      documents.some(namesCertificates) || speaksOfName(telemetry.map(({ filter }) => filter));
    const connect = this.#connect ?? this.#connectBase;
    this.#connectRight = { allowed: connect?.effect === 'allow', detail: describe(connect) };
  }

  /** These rules with another version of one of their policies; themselves where that policy is none of theirs. */
  with(document: PolicyDocument): RuleSet {
    const isOf = ({ policyId }: PolicyDocument): boolean => policyId === document.policyId;
    if (!this.#documents.some(isOf)) return this;
    const documents = this.#documents.map((own) => (isOf(own) ? document : own));
    return new RuleSet(documents, this.#readings);
  }

  /** The rights of one principal. */
  for(variables: Variables): CompiledPolicy {
    return new PrincipalRights(this, variables);
  }

  /** A certificate may carry any name. To let it in with less than was meant for it, in silence, would help nobody. */
  connectRight({ commonName }: Variables): ConnectRight {
    const isUsable = !this.#namesCertificates || commonName === undefined || isExpandable(commonName);
    return isUsable ? this.#connectRight : unusableName;
  }

  publishRight(topic: string, variables: Variables): PublishRight {
    const verdict = this.#trees.publish.match(topic, variables);
    if (verdict?.effect !== 'allow') return this.#sharedRefusal(verdict);
    const mayRetain = verdict.mayRetain && this.#trees.retain.match(topic, variables)?.effect === 'allow';
    return this.#sharedRight(verdict, mayRetain, this.#telemetry.match(topic, variables)?.rule);
  }

  /** The verdict on one topic; undefined where no rule says anything. */
  verdictOn(action: Action, topic: string, variables: Variables): Verdict | undefined {
    if (action === 'connect') return this.#connect ?? this.#connectBase;
    const base = action === 'receive' ? this.#receiveBase : undefined;
    return this.#trees[action].match(topic, variables, base);
  }

  /** Whether every topic of a filter may be subscribed to. */
  coverageOf(filter: string, variables: Variables): Coverage {
    return this.#subscribeCover.of(withoutShare(filter), variables);
  }

  /** Whether every topic of a filter may be received; not where that cannot be proved. */
  receives(filter: string, variables: Variables): boolean {
    return this.#receiveCover.of(withoutShare(filter), variables).covered;
  }

  /** Whether some rule allows to subscribe to topics of this filter, denies left aside; the lowest QoS that such rules give. */
  partOf(filter: string, variables: Variables): Qos | undefined {
    const reached = this.#subscribable.some((topic) => {
      const pattern = expand(topic, variables);
      return pattern !== undefined && overlap(pattern, filter);
    });
    return reached ? this.#lowestSubscribeQos : undefined;
  }

  /** True when whatever may be subscribed to may be received: then nothing is asked per delivery. */
  receivesAll(variables: Variables): boolean {
    if (this.#trees.receive.size === 0) return this.#receiveBase !== undefined;
    if (this.#subscribable.length > maxPatternsForReceivesAll) return false;
    const patterns = this.#subscribable.flatMap((topic) => expand(topic, variables) ?? []);
    return patterns.length > 0 && patterns.every((one) => this.#receiveCover.of(one, variables).covered);
  }

  #add(document: PolicyDocument, index: number, rule: Rule): void {
    // Even where its topics fall away, or its conditions are not met: an allow that cannot apply must not open what it would
    // have narrowed.
    if (rule.effect === 'allow' && rule.actions.includes('connect')) this.#connectBase = undefined;
    if (rule.effect === 'allow' && rule.actions.includes('receive')) this.#receiveBase = undefined;
    if (document.idle?.has(index) === true) return;
    if (rule.actions.includes('connect')) {
      this.#connect = mergeVerdicts(this.#connect, toVerdict(document, index, rule, ''));
    }
    // A deny whose variables have no value widens, an allow falls away: either way nothing is granted by mistake.
    const widens = rule.effect === 'deny';
    for (const topic of rule.topics) {
      const verdict = toVerdict(document, index, rule, topic);
      for (const action of rule.actions) {
        if (action === 'connect') continue;
        this.#trees[action].add(topic, widens, verdict);
        if (action !== 'subscribe' || rule.effect === 'deny') continue;
        this.#subscribable.push(topic);
        if (verdict.maxQos < this.#lowestSubscribeQos) this.#lowestSubscribeQos = verdict.maxQos;
      }
    }
    // Even where its topics fall away: an allow that cannot apply must not open what it would have narrowed.
    if (rule.effect === 'allow' && rule.actions.includes('receive')) this.#receiveBase = undefined;
  }

  #sharedRefusal(verdict: Verdict | undefined): PublishRight {
    let right = this.#refusals.get(verdict?.origin);
    if (right === undefined) this.#refusals.set(verdict?.origin, (right = refusal(verdict)));
    return right;
  }

  /** Rights that are alike are one object: a rule has few, however many topics it decides. */
  #sharedRight(verdict: Verdict, mayRetain: boolean, rule: TelemetryRule | undefined): PublishRight {
    let rights = this.#publishRights.get(verdict.origin);
    if (rights === undefined) this.#publishRights.set(verdict.origin, (rights = []));
    const telemetry = rule !== undefined;
    const timeField = rule?.timeField;
    for (const right of rights) {
      if (
        right.mayRetain === mayRetain &&
        right.telemetry === telemetry &&
        right.timeField === timeField &&
        right.maxQos === verdict.maxQos &&
        right.maxPayloadBytes === verdict.maxPayloadBytes
      ) {
        return right;
      }
    }
    const { maxQos, maxPayloadBytes } = verdict;
    const detail = describe(verdict);
    const right = Object.freeze({
      allowed: true,
      maxQos,
      mayRetain,
      maxPayloadBytes,
      telemetry,
      timeField,
      detail,
      rule: verdict.origin,
    });
    rights.push(right);
    return right;
  }
}

const unusableName: ConnectRight = {
  allowed: false,
  detail: "the certificate's common name cannot stand in a topic",
};

function namesCertificates({ rules, idle }: PolicyDocument): boolean {
  return rules.some(({ topics }, index) => idle?.has(index) !== true && speaksOfName(topics));
}

function speaksOfName(topics: readonly string[]): boolean {
  return topics.some((topic) => topic.includes(`\${${commonNameVariable}}`));
}

/** The rights of the same principal under other rules; the same object under the same ones. Undefined: they were not compiled here. */
export function underOtherRules(
  policy: Policy,
  change: (rules: RuleSet) => RuleSet,
): CompiledPolicy | undefined {
  return policy instanceof PrincipalRights || policy instanceof PartialRights
    ? policy.under(change)
    : undefined;
}

/** A rule set and the variables of one principal: all that an idle connection holds of its policy. */
class PrincipalRights implements CompiledPolicy {
  readonly #rules: RuleSet;
  readonly #variables: Variables;
  #receivesAll: boolean | undefined;

  constructor(rules: RuleSet, variables: Variables) {
    this.#rules = rules;
    this.#variables = variables;
  }

  partOf(filter: string): Qos | undefined {
    return this.#rules.partOf(filter, this.#variables);
  }

  under(change: (rules: RuleSet) => RuleSet): PrincipalRights {
    const rules = change(this.#rules);
    return rules === this.#rules ? this : new PrincipalRights(rules, this.#variables);
  }

  get connectRight(): ConnectRight {
    return this.#rules.connectRight(this.#variables);
  }

  publishRight(topic: string): PublishRight {
    return this.#rules.publishRight(topic, this.#variables);
  }

  subscribeRight(filter: string): SubscribeRight {
    const coverage = this.#rules.coverageOf(filter, this.#variables);
    if (coverage.covered)
      return {
        allowed: true,
        maxQos: coverage.maxQos,
        detail: describe(coverage.verdict),
        rule: coverage.verdict.origin,
      };
    return { allowed: false, maxQos: 0, detail: describeGap(coverage) };
  }

  deliversAllOf(filter: string): boolean {
    return this.#rules.receives(filter, this.#variables);
  }

  mayReceive(topic: string): boolean {
    return this.receivesAll || this.#rules.verdictOn('receive', topic, this.#variables)?.effect === 'allow';
  }

  /** Proven when the first message is delivered, for a sign-in should not pay for it. */
  get receivesAll(): boolean {
    return (this.#receivesAll ??= this.#rules.receivesAll(this.#variables));
  }
}

/**
 * A tenant's choice: a subscription whose filter is covered in part is granted, and each delivery is checked. Not a shared one: its
 * messages would go to a member that may not have them. Nor one of which no rule allows anything.
 */
export function grantingInPart(policy: CompiledPolicy): CompiledPolicy {
  return policy instanceof PrincipalRights ? new PartialRights(policy) : policy;
}

class PartialRights implements CompiledPolicy {
  readonly #policy: PrincipalRights;
  /** What is delivered is not all that was subscribed to. */
  readonly receivesAll = false;

  constructor(policy: PrincipalRights) {
    this.#policy = policy;
  }

  under(change: (rules: RuleSet) => RuleSet): PartialRights {
    const policy = this.#policy.under(change);
    return policy === this.#policy ? this : new PartialRights(policy);
  }

  get connectRight(): ConnectRight {
    return this.#policy.connectRight;
  }

  publishRight(topic: string): PublishRight {
    return this.#policy.publishRight(topic);
  }

  subscribeRight(filter: string): SubscribeRight {
    const right = this.#policy.subscribeRight(filter);
    if (right.allowed || filter.startsWith('$share/')) return right;
    const maxQos = this.#policy.partOf(filter);
    return maxQos === undefined
      ? right
      : { allowed: true, maxQos, detail: `granted in part, for ${right.detail}` };
  }

  deliversAllOf(filter: string): boolean {
    return this.#policy.subscribeRight(filter).allowed && this.#policy.deliversAllOf(filter);
  }

  /** Of a topic: `subscribeRight` of a filter without wildcards is the right to that one topic. */
  mayReceive(topic: string): boolean {
    return this.#policy.mayReceive(topic) && this.#policy.subscribeRight(topic).allowed;
  }
}

/** Over it, deliveries are asked one by one instead of proving that they need not be. */
const maxPatternsForReceivesAll = 100;

function refusal(verdict: Verdict | undefined): PublishRight {
  return Object.freeze({
    allowed: false,
    maxQos: 0,
    mayRetain: false,
    maxPayloadBytes: 0,
    telemetry: false,
    detail: describe(verdict),
  });
}

function toVerdict(document: PolicyDocument, index: number, rule: Rule, pattern: string): Verdict {
  const { policyId, name, version } = document;
  return verdictOf(rule, Object.freeze({ policyId, policyName: name, version, rule: index, pattern }));
}

/** In words: what of the filter is not allowed. */
export function describeGap(gap: Coverage & { covered: false }): string {
  if (gap.witness === undefined) return 'too many overlapping rules to prove that the filter is allowed';
  return `${describe(gap.verdict)}: the filter matches ${gap.witness}`;
}

interface RankedTelemetry {
  readonly rank: number;
  readonly rule: TelemetryRule;
}

/** Where several telemetry rules match, the first of the profile holds. */
function firstRule(a: RankedTelemetry | undefined, b: RankedTelemetry): RankedTelemetry {
  return a !== undefined && a.rank <= b.rank ? a : b;
}
