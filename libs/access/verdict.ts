import type { Qos } from '#mqtt';

import type { Rule } from './rules.js';

/** Where a verdict comes from: one rule of one version of one policy. */
export interface Origin {
  readonly policyId: string;
  readonly policyName: string;
  readonly version: number;
  /** Place in the policy's list of rules, from 0. */
  readonly rule: number;
  /** The rule's topic as it was written, variables in it; empty for connect. */
  readonly pattern: string;
}

/** What one rule says about the topics of one pattern, or what several say together. */
export interface Verdict {
  readonly effect: 'allow' | 'deny';
  readonly priority: number;
  readonly maxQos: Qos;
  readonly mayRetain: boolean;
  readonly maxPayloadBytes: number;
  /** The rule that decided; undefined for what holds without a rule. */
  readonly origin: Origin | undefined;
}

/** What a rule says, wherever it matches. */
export function verdictOf({ effect, priority, when }: Rule, origin: Origin | undefined): Verdict {
  return Object.freeze({
    effect,
    priority: priority ?? 0,
    maxQos: when?.maxQos ?? 2,
    mayRetain: when?.retain ?? true,
    maxPayloadBytes: when?.maxPayloadBytes ?? Infinity,
    origin,
  });
}

/** Whether they say the same, whichever rule says it. */
export function isSameVerdict(a: Verdict, b: Verdict): boolean {
  return (
    a.effect === b.effect &&
    a.priority === b.priority &&
    a.maxQos === b.maxQos &&
    a.mayRetain === b.mayRetain &&
    a.maxPayloadBytes === b.maxPayloadBytes
  );
}

/** Allowed while no rule says otherwise: what `connect` and `receive` start from. */
export const allowedWithoutRule: Verdict = Object.freeze({
  effect: 'allow',
  priority: -Infinity,
  maxQos: 2,
  mayRetain: true,
  maxPayloadBytes: Infinity,
  origin: undefined,
});

/**
 * Two verdicts on the same topic: the higher priority decides, at the same priority a deny wins, and allows together have
 * the lowest of their ceilings. Associative and commutative in all but the origin, so verdicts can be merged in any order.
 */
export function mergeVerdicts(a: Verdict | undefined, b: Verdict): Verdict {
  if (a === undefined || b.priority > a.priority) return b;
  if (a.priority > b.priority || a.effect === 'deny') return a;
  if (b.effect === 'deny') return b;
  if (isAtMost(a, b)) return a;
  if (isAtMost(b, a)) return b;
  return {
    ...a,
    maxQos: a.maxQos < b.maxQos ? a.maxQos : b.maxQos,
    mayRetain: a.mayRetain && b.mayRetain,
    maxPayloadBytes: Math.min(a.maxPayloadBytes, b.maxPayloadBytes),
  };
}

function isAtMost(a: Verdict, b: Verdict): boolean {
  return a.maxQos <= b.maxQos && a.maxPayloadBytes <= b.maxPayloadBytes && (b.mayRetain || !a.mayRetain);
}

/** The verdict in words, for denial records and explanations. */
export function describe(verdict: Verdict | undefined): string {
  if (verdict === undefined) return 'no rule allows it';
  if (verdict.origin === undefined) return 'allowed without a rule';
  const { policyName, version, rule } = verdict.origin;
  const verb = verdict.effect === 'allow' ? 'allowed' : 'denied';
  return `${verb} by rule ${rule} of policy ${policyName}, version ${version}`;
}
