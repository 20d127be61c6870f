import type { Qos } from '#mqtt';

import { type Circumstances, settle, unmetBy } from './conditions.js';
import { describeGap, type PolicyDocument, RuleSet } from './policy.js';
import type { Action } from './rules.js';
import { expand, expandWidely, type Variables } from './variables.js';
import { describe, type Origin, type Verdict } from './verdict.js';

/** What is asked. `subscribe` takes a filter, the other actions a topic; `connect` neither. */
export type Question =
  | { readonly action: 'connect' }
  | { readonly action: 'subscribe'; readonly filter: string; readonly qos?: Qos }
  | { readonly action: 'receive' | 'retain'; readonly topic: string }
  | {
      readonly action: 'publish';
      readonly topic: string;
      readonly qos?: Qos;
      readonly retain?: boolean;
      readonly payloadBytes?: number;
    };

export interface Explanation {
  readonly decision: 'allow' | 'deny';
  readonly action: Action;
  /** In words. */
  readonly reason: string;
  /** The rule that decided, with its policy and version; undefined where no rule did. */
  readonly origin: Origin | undefined;
  /** The highest QoS that is granted. */
  readonly maxQos: Qos | undefined;
  /** Of a filter that is refused, or granted in part: a topic it matches and that is not allowed. */
  readonly witness: string | undefined;
  /** Rules that speak of this, and do not hold under these circumstances. */
  readonly unmet: readonly UnmetRule[];
}

export interface UnmetRule {
  readonly policyId: string;
  readonly policyName: string;
  readonly version: number;
  /** Place in the policy's list of rules, from 0. */
  readonly rule: number;
  readonly effect: 'allow' | 'deny';
  /** Which of its conditions are not met, or not known to be. */
  readonly conditions: readonly ('transports' | 'addresses' | 'time')[];
}

/** Decides as the broker does, and says why. `grantsInPart`: the tenant's choice. Pure: drafts can be asked as well as versions in force. */
export function explain(
  documents: readonly PolicyDocument[],
  variables: Variables,
  question: Question,
  circumstances: Circumstances,
  grantsInPart = false,
): Explanation {
  const settled = documents.map((document) => settle(document, circumstances).document);
  const explained = new Explainer(settled, variables, grantsInPart).on(question);
  return {
    ...explained,
    unmet: settled.flatMap((document) => unmetIn(document, variables, question, circumstances)),
  };
}

/** Each idle rule is tried by itself: would it have had a say? */
function unmetIn(
  document: PolicyDocument,
  variables: Variables,
  question: Question,
  circumstances: Circumstances,
): UnmetRule[] {
  const { policyId, name: policyName, version } = document;
  return Array.from(document.idle ?? []).flatMap((index) => {
    const rule = document.rules[index];
    if (rule?.when === undefined || !rule.actions.includes(question.action)) return [];
    // As an allow: a deny alone decides nothing that was not denied without it.
    const alone = { ...document, rules: [{ ...rule, effect: 'allow' as const }], idle: new Set<number>() };
    if (new Explainer([alone], variables).on(question).origin === undefined) return [];
    const conditions = unmetBy(rule.when, circumstances);
    return [{ policyId, policyName, version, rule: index, effect: rule.effect, conditions }];
  });
}

type Decision = Omit<Explanation, 'unmet'>;

class Explainer {
  readonly #rules: RuleSet;
  readonly #variables: Variables;

  /** The tenant's choice for filters that are covered in part: see `grantingInPart`. */
  readonly #grantsInPart: boolean;

  constructor(documents: readonly PolicyDocument[], variables: Variables, grantsInPart = false) {
    this.#rules = new RuleSet(documents);
    this.#variables = variables;
    this.#grantsInPart = grantsInPart;
  }

  on(question: Question): Decision {
    switch (question.action) {
      case 'connect':
        return this.#connect();
      case 'receive':
        return this.#verdict('receive', question.topic).explanation;
      case 'subscribe':
        return this.#subscribe(question.filter);
      case 'retain':
        return this.#publish({ action: 'publish', topic: question.topic, retain: true });
      case 'publish':
        return this.#publish(question);
    }
  }

  #connect(): Decision {
    const { explanation } = this.#verdict('connect', '');
    const { allowed, detail } = this.#rules.connectRight(this.#variables);
    if (allowed || explanation.decision === 'deny') return explanation;
    return { ...explanation, decision: 'deny', reason: detail, origin: undefined, maxQos: undefined };
  }

  #subscribe(filter: string): Decision {
    const coverage = this.#rules.coverageOf(filter, this.#variables);
    const inPart = coverage.covered ? undefined : this.#partOf(filter);
    if (!coverage.covered && inPart !== undefined)
      return {
        decision: 'allow',
        action: 'subscribe',
        reason: `granted in part, for ${describeGap(coverage)}`,
        origin: this.#originOf(coverage.verdict),
        maxQos: inPart,
        witness: coverage.witness,
      };
    return {
      decision: coverage.covered ? 'allow' : 'deny',
      action: 'subscribe',
      reason: coverage.covered ? describe(coverage.verdict) : describeGap(coverage),
      origin: this.#originOf(coverage.verdict),
      // A higher requested QoS is granted at this one, never refused (MQTT 5.0, 3.9.3).
      maxQos: coverage.covered ? coverage.maxQos : undefined,
      witness: coverage.covered ? undefined : coverage.witness,
    };
  }

  #partOf(filter: string): Qos | undefined {
    const isShared = filter.startsWith('$share/');
    return this.#grantsInPart && !isShared ? this.#rules.partOf(filter, this.#variables) : undefined;
  }

  #publish(question: Question & { action: 'publish' }): Decision {
    // Whatever the rules say: MQTT 5.0, 4.7.2.
    if (question.topic.startsWith('$')) return serversTopic;
    const { verdict, explanation: published } = this.#verdict('publish', question.topic);
    if (verdict?.effect !== 'allow') return published;
    const over = ceilingExceeded(verdict, question);
    if (over !== undefined)
      return { ...published, decision: 'deny', reason: `${over} set for this topic; ${describe(verdict)}` };
    if (question.retain !== true) return published;
    const { explanation: retained } = this.#verdict('retain', question.topic);
    return { ...retained, maxQos: retained.decision === 'allow' ? published.maxQos : undefined };
  }

  #verdict(action: Action, topic: string): { verdict: Verdict | undefined; explanation: Decision } {
    const verdict = this.#rules.verdictOn(action, topic, this.#variables);
    const decision = verdict?.effect ?? 'deny';
    const explanation = {
      decision,
      action,
      reason: describe(verdict),
      origin: this.#originOf(verdict),
      maxQos: decision === 'allow' ? verdict?.maxQos : undefined,
      witness: undefined,
    };
    return { verdict, explanation };
  }

  /** The pattern as it was held against the topic: with the principal's values in place. */
  #originOf(verdict: Verdict | undefined): Origin | undefined {
    if (verdict?.origin === undefined) return undefined;
    const { pattern } = verdict.origin;
    const expanded = expand(pattern, this.#variables) ?? expandWidely(pattern, this.#variables);
    return { ...verdict.origin, pattern: expanded };
  }
}

const serversTopic: Decision = {
  decision: 'deny',
  action: 'publish',
  reason: "topics that begin with $ are the server's",
  origin: undefined,
  maxQos: undefined,
  witness: undefined,
};

function ceilingExceeded(verdict: Verdict, question: Question & { action: 'publish' }): string | undefined {
  if ((question.qos ?? 0) > verdict.maxQos) return `over the maximum QoS of ${verdict.maxQos}`;
  if (question.retain === true && !verdict.mayRetain) return 'against the ban on retained messages';
  if ((question.payloadBytes ?? 0) > verdict.maxPayloadBytes) {
    return `over the maximum payload of ${verdict.maxPayloadBytes} bytes`;
  }
  return undefined;
}
