import type { Policy, PublishRight, SubscribeRight } from '#mqtt';

import { type Coverage, FilterCover } from './coverage.js';
import { withoutShare } from './filter.js';
import { LevelTree } from './level-tree.js';
import type { Action, Rule } from './rules.js';
import type { TelemetryRule } from './telemetry.js';
import { expand, expandWidely, type Variables } from './variables.js';
import { allowedWithoutRule, describe, mergeVerdicts, type Origin, type Verdict } from './verdict.js';

/** One version of a policy, as it is bound to a principal. */
export interface PolicyDocument {
  readonly policyId: string;
  readonly name: string;
  readonly version: number;
  readonly rules: readonly Rule[];
}

export interface ConnectRight {
  readonly allowed: boolean;
  readonly detail: string;
}

/** The rights of one principal, compiled. Beside the core's questions it answers the gate's: may this device connect at all? */
export interface CompiledPolicy extends Policy {
  readonly connectRight: ConnectRight;
}

/** Compiles documents whose rules passed `checkRules`, for one principal. */
export function compile(
  documents: readonly PolicyDocument[],
  variables: Variables,
  telemetry: readonly TelemetryRule[] = [],
): CompiledPolicy {
  return new RuleTrees(documents, variables, telemetry);
}

type TopicAction = Exclude<Action, 'connect'>;

/**
 * A tree of levels per action. An uncached look-up costs a walk down the levels of the topic; results are objects that are
 * made once and shared by all topics that have them.
 */
export class RuleTrees implements CompiledPolicy {
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
  #connect: Verdict = allowedWithoutRule;
  #receiveBase: Verdict | undefined = allowedWithoutRule;
  readonly connectRight: ConnectRight;
  readonly receivesAll: boolean;

  constructor(
    documents: readonly PolicyDocument[],
    variables: Variables,
    telemetry: readonly TelemetryRule[],
  ) {
    const subscribable: string[] = [];
    for (const document of documents) {
      for (const [index, rule] of document.rules.entries())
        this.#add(document, index, rule, variables, subscribable);
    }
    for (const [rank, rule] of telemetry.entries()) {
      const pattern = expand(rule.filter, variables);
      if (pattern !== undefined) this.#telemetry.add(pattern, { rank, rule });
    }
    this.#subscribeCover = new FilterCover(this.#trees.subscribe, undefined);
    this.connectRight = { allowed: this.#connect.effect === 'allow', detail: describe(this.#connect) };
    this.receivesAll = this.#receivesAllOf(subscribable);
  }

  publishRight(topic: string): PublishRight {
    const verdict = this.#trees.publish.match(topic);
    if (verdict?.effect !== 'allow') return this.#sharedRefusal(verdict);
    const mayRetain = verdict.mayRetain && this.#trees.retain.match(topic)?.effect === 'allow';
    return this.#sharedRight(verdict, mayRetain, this.#telemetry.match(topic)?.rule);
  }

  subscribeRight(filter: string): SubscribeRight {
    const coverage = this.coverageOf(filter);
    if (coverage.covered)
      return { allowed: true, maxQos: coverage.maxQos, detail: describe(coverage.verdict) };
    return { allowed: false, maxQos: 0, detail: describeGap(coverage) };
  }

  mayReceive(topic: string): boolean {
    return this.receivesAll || this.verdictOn('receive', topic)?.effect === 'allow';
  }

  /** For explanations: the verdict on one topic; undefined where no rule says anything. */
  verdictOn(action: Action, topic: string): Verdict | undefined {
    if (action === 'connect') return this.#connect;
    return this.#trees[action].match(topic, this.#baseOf(action));
  }

  /** For explanations: whether every topic of a filter may be subscribed to. */
  coverageOf(filter: string): Coverage {
    return this.#subscribeCover.of(withoutShare(filter));
  }

  #baseOf(action: TopicAction): Verdict | undefined {
    return action === 'receive' ? this.#receiveBase : undefined;
  }

  #add(
    document: PolicyDocument,
    index: number,
    rule: Rule,
    variables: Variables,
    subscribable: string[],
  ): void {
    if (rule.actions.includes('connect')) {
      this.#connect = mergeVerdicts(this.#connect, toVerdict(document, index, rule, ''));
    }
    for (const topic of rule.topics) {
      // A deny whose variables have no value widens, an allow falls away: either way nothing is granted by mistake.
      const pattern = rule.effect === 'deny' ? expandWidely(topic, variables) : expand(topic, variables);
      if (pattern === undefined) continue;
      const verdict = toVerdict(document, index, rule, pattern);
      for (const action of rule.actions) {
        if (action === 'connect') continue;
        this.#trees[action].add(pattern, verdict);
        if (action === 'subscribe' && rule.effect === 'allow') subscribable.push(pattern);
      }
    }
    // Even where its topics fell away: an allow that cannot apply must not open what it would have narrowed.
    if (rule.effect === 'allow' && rule.actions.includes('receive')) this.#receiveBase = undefined;
  }

  /** True when whatever may be subscribed to may be received: then nothing is asked per delivery. */
  #receivesAllOf(subscribable: readonly string[]): boolean {
    if (this.#trees.receive.size === 0) return this.#receiveBase !== undefined;
    if (subscribable.length > maxPatternsForReceivesAll) return false;
    const cover = new FilterCover(this.#trees.receive, this.#receiveBase);
    return subscribable.every((pattern) => cover.of(pattern).covered);
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
    });
    rights.push(right);
    return right;
  }
}

/** Over it, deliveries are asked one by one instead of proving at compile time that they need not be. */
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
  return Object.freeze({
    effect: rule.effect,
    priority: rule.priority ?? 0,
    maxQos: rule.when?.maxQos ?? 2,
    mayRetain: rule.when?.retain ?? true,
    maxPayloadBytes: rule.when?.maxPayloadBytes ?? Infinity,
    origin: Object.freeze({ policyId, policyName: name, version, rule: index, pattern }),
  });
}

function describeGap(gap: Coverage & { covered: false }): string {
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
