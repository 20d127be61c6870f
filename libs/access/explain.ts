import type { Qos } from '#mqtt';

import { type PolicyDocument, RuleTrees } from './policy.js';
import type { Action } from './rules.js';
import type { Variables } from './variables.js';
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
  /** Of a refused filter: a topic it matches and that is not allowed. */
  readonly witness: string | undefined;
}

/** Decides as the broker does, and says why. Pure: drafts can be asked as well as versions in force. */
export function explain(
  documents: readonly PolicyDocument[],
  variables: Variables,
  question: Question,
): Explanation {
  const policy = new RuleTrees(documents, variables, []);
  switch (question.action) {
    case 'connect':
      return fromVerdict('connect', policy.verdictOn('connect', ''));
    case 'receive':
      return fromVerdict('receive', policy.verdictOn('receive', question.topic));
    case 'subscribe':
      return explainSubscribe(policy, question.filter);
    case 'retain':
      return explainPublish(policy, { action: 'publish', topic: question.topic, retain: true });
    case 'publish':
      return explainPublish(policy, question);
  }
}

function explainSubscribe(policy: RuleTrees, filter: string): Explanation {
  const coverage = policy.coverageOf(filter);
  const { detail } = policy.subscribeRight(filter);
  return {
    decision: coverage.covered ? 'allow' : 'deny',
    action: 'subscribe',
    reason: detail,
    origin: coverage.verdict?.origin,
    // A higher requested QoS is granted at this one, never refused (MQTT 5.0, 3.9.3).
    maxQos: coverage.covered ? coverage.maxQos : undefined,
    witness: coverage.covered ? undefined : coverage.witness,
  };
}

function explainPublish(policy: RuleTrees, question: Question & { action: 'publish' }): Explanation {
  const verdict = policy.verdictOn('publish', question.topic);
  const published = fromVerdict('publish', verdict);
  if (verdict?.effect !== 'allow') return published;
  const over = ceilingExceeded(verdict, question);
  if (over !== undefined)
    return { ...published, decision: 'deny', reason: `${over} set for this topic; ${describe(verdict)}` };
  if (question.retain !== true) return published;
  const retained = fromVerdict('retain', policy.verdictOn('retain', question.topic));
  return { ...retained, maxQos: retained.decision === 'allow' ? published.maxQos : undefined };
}

function ceilingExceeded(verdict: Verdict, question: Question & { action: 'publish' }): string | undefined {
  if ((question.qos ?? 0) > verdict.maxQos) return `over the maximum QoS of ${verdict.maxQos}`;
  if (question.retain === true && !verdict.mayRetain) return 'against the ban on retained messages';
  if ((question.payloadBytes ?? 0) > verdict.maxPayloadBytes) {
    return `over the maximum payload of ${verdict.maxPayloadBytes} bytes`;
  }
  return undefined;
}

function fromVerdict(action: Action, verdict: Verdict | undefined): Explanation {
  const decision = verdict?.effect ?? 'deny';
  return {
    decision,
    action,
    reason: describe(verdict),
    origin: verdict?.origin,
    maxQos: decision === 'allow' ? verdict?.maxQos : undefined,
    witness: undefined,
  };
}
