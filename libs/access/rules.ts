/**
 * The grammar of policies: what an administrator writes, checked once where it comes in. docs/policies.md tells its meaning.
 *
 * - `publish` and `subscribe` need an allow rule. `retain` is needed besides `publish` for a message to be retained.
 * - `connect` and `receive` narrow what a credential and a subscription give: without a rule they are allowed; where an
 *   allow rule for the action exists, one must match. `connect` looks at no topic.
 * - The highest priority decides; at the same priority a deny wins.
 * - `when` limits a rule: by ceilings on the message, which only an allow has, and by conditions on the connection (transport,
 *   address, time). A rule whose conditions are not met is as if it were not there, but for what an allow of connect or receive
 *   narrows: that stays narrowed.
 */
import { z } from 'zod';

import { connectionConditions } from './conditions.js';
import { filterFault } from './filter.js';
import { variableFault, withoutVariables } from './variables.js';

export const actions = ['connect', 'publish', 'subscribe', 'receive', 'retain'] as const;
export type Action = (typeof actions)[number];

export const ruleLimits = Object.freeze({
  maxRules: 2_000,
  maxTopicsPerRule: 100,
  maxTopics: 10_000,
  maxTopicBytes: 1_024,
  maxTopicLevels: 64,
  maxPriority: 1_000,
  maxErrors: 50,
});

/** Ceilings on what an allow rule gives. Where several allow rules decide together, the lowest ceiling holds. */
const ceilings = {
  maxQos: z.literal([0, 1, 2]).optional(),
  /** False: the messages may not be retained. */
  retain: z.boolean().optional(),
  maxPayloadBytes: z.int().min(0).max(268_435_455).optional(),
};

type CeilingName = keyof typeof ceilings;
const ceilingNames = Object.keys(ceilings) as readonly CeilingName[];

const limits = z.strictObject({ ...ceilings, ...connectionConditions });

const topic = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const fault = topicFault(text);
    if (fault) context.addIssue({ code: 'custom', message: fault.message, params: { code: fault.code } });
  });

/** One rule, as JSON. Its schema also documents the API. */
export const ruleSchema = z
  .strictObject({
    effect: z.enum(['allow', 'deny']),
    actions: z.array(z.enum(actions)).min(1).max(actions.length),
    topics: z.array(topic).max(ruleLimits.maxTopicsPerRule).default([]),
    priority: z.int().min(-ruleLimits.maxPriority).max(ruleLimits.maxPriority).optional(),
    when: limits.optional(),
  })
  .superRefine((rule, context) => {
    const refuse = (path: string, code: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message, params: { code } });
    const onlyConnect = rule.actions.every((action) => action === 'connect');
    if (rule.topics.length === 0 && !onlyConnect) refuse('topics', 'missing-topics', 'A rule needs topics.');
    if (rule.effect === 'allow') {
      for (const ceiling of idleCeilings(rule)) {
        refuse('when', 'idle-ceiling', `None of the rule's actions is limited by ${ceiling}.`);
      }
      return;
    }
    if (ceilingNames.some((name) => rule.when?.[name] !== undefined)) {
      refuse('when', 'ceiling-on-deny', 'Ceilings belong to allow rules; a deny is of whole messages.');
    }
    if (rule.actions.includes('connect') && (!onlyConnect || rule.topics.length > 0)) {
      refuse('actions', 'connect-stands-alone', 'A deny of connect stands alone, without topics.');
    }
  });

export type Rule = z.output<typeof ruleSchema>;

export interface RuleError {
  /** JSON pointer into the list of rules. */
  readonly pointer: string;
  /** Stable. */
  readonly code: string;
  readonly message: string;
}

export type CheckedRules =
  | { readonly ok: true; readonly rules: readonly Rule[] }
  | { readonly ok: false; readonly errors: readonly RuleError[] };

/** Reads the rules of a policy from untrusted input: all errors at once, up to a limit. Never throws. */
export function checkRules(input: unknown): CheckedRules {
  if (!Array.isArray(input)) return refused('', 'invalid-type', 'Rules are a list.');
  if (input.length > ruleLimits.maxRules) {
    return refused('', 'too-many-rules', `A policy has at most ${ruleLimits.maxRules} rules.`);
  }
  const parsed = z.array(ruleSchema).safeParse(input);
  if (!parsed.success) {
    return { ok: false, errors: parsed.error.issues.slice(0, ruleLimits.maxErrors).map(toError) };
  }
  const topics = parsed.data.reduce((sum, rule) => sum + rule.topics.length, 0);
  if (topics > ruleLimits.maxTopics) {
    return refused('', 'too-many-topics', `A policy has at most ${ruleLimits.maxTopics} topics in all.`);
  }
  return { ok: true, rules: parsed.data };
}

/** What is wrong with a topic of a rule (a filter that may hold variables), if anything is. */
export function topicFault(text: string): { readonly code: string; readonly message: string } | undefined {
  // Length first, so that nothing below walks a text without bounds; a UTF-16 unit is at least one byte.
  if (text.length > ruleLimits.maxTopicBytes || Buffer.byteLength(text) > ruleLimits.maxTopicBytes) {
    return { code: 'topic-too-long', message: `A topic has at most ${ruleLimits.maxTopicBytes} bytes.` };
  }
  const variables = variableFault(text);
  if (variables) return { code: variables, message: variableMessages[variables] };
  const plain = withoutVariables(text);
  if (plain.split('/').length > ruleLimits.maxTopicLevels) {
    return { code: 'too-many-levels', message: `A topic has at most ${ruleLimits.maxTopicLevels} levels.` };
  }
  const syntax = filterFault(plain);
  if (syntax) return { code: `topic-${syntax}`, message: filterMessages[syntax] };
  if (plain === '$share' || plain.startsWith('$share/')) {
    return {
      code: 'topic-shared',
      message: 'Write the topics themselves: $share/group/ is left off before rules are asked.',
    };
  }
  return undefined;
}

const variableMessages = {
  'unknown-variable':
    'Variables are ${tenant}, ${device}, ${clientId}, ${username}, ${cert.cn} and ${attr.name}.',
  'malformed-variable': 'A variable is written ${name}.',
} as const;

const filterMessages = {
  empty: 'A topic is not empty.',
  'forbidden-character': 'A topic holds no U+0000 and no lone surrogates.',
  'misplaced-wildcard': 'A wildcard fills a level of its own; # is the last level.',
} as const;

/** Ceilings that limit none of the rule's actions: whoever wrote one believes in a limit that is not there. */
function idleCeilings(rule: {
  readonly actions: readonly Action[];
  readonly when?: { readonly [Name in CeilingName]?: unknown } | undefined;
}): CeilingName[] {
  const publishes = rule.actions.includes('publish');
  const limited: Record<CeilingName, boolean> = {
    maxQos: publishes || rule.actions.includes('subscribe'),
    retain: publishes,
    maxPayloadBytes: publishes,
  };
  return ceilingNames.filter((name) => rule.when?.[name] !== undefined && !limited[name]);
}

function refused(pointer: string, code: string, message: string): CheckedRules {
  return { ok: false, errors: [{ pointer, code, message }] };
}

function toError(issue: z.core.$ZodIssue): RuleError {
  const code =
    issue.code === 'custom' ? String(issue.params?.['code'] ?? 'invalid') : issue.code.replaceAll('_', '-');
  return { pointer: toPointer(issue.path), code, message: issue.message };
}

/** RFC 6901. */
function toPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
