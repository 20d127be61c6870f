import { z } from 'zod';
import {
  actions,
  isMqttText,
  isSubscription,
  isTopic,
  normalizeAddress,
  ruleLimits,
  ruleSchema,
  type Explanation,
} from '#access';
import type { Policy, PolicyBinding, PolicyVersion } from '#store';
import { displayName, instant, presentStamps, stamps } from '../fields.js';
import { pageQuery } from '../http/paging.js';

const name = displayName;
const description = z.string().max(2_000);
const rules = z.array(ruleSchema).max(ruleLimits.maxRules);
const exampleRules = [
  { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['devices/${device}/#'] },
];
const targetKind = z.enum(['tenant', 'group', 'profile', 'device']);

export const newPolicy = z
  .strictObject({ name, description: description.default(''), rules })
  .meta({ id: 'NewPolicy', example: { name: 'own topics', rules: exampleRules } });
export type NewPolicyInput = z.output<typeof newPolicy>;

export const policyPatch = z
  .strictObject({ name: name.optional(), description: description.optional() })
  .meta({ id: 'PolicyPatch' });
export type PolicyPatchInput = z.output<typeof policyPatch>;

export const newPolicyVersion = z
  .strictObject({
    rules,
    activate: z.boolean().default(false).describe('Puts the new rules in force at once'),
  })
  .meta({ id: 'NewPolicyVersion', example: { rules: exampleRules, activate: true } });
export type NewPolicyVersionInput = z.output<typeof newPolicyVersion>;

/** PostgreSQL's integer: a larger one is no version of anything. */
export const versionNumber = z.int().min(1).max(2_147_483_647);

export const activation = z
  .strictObject({ version: versionNumber.describe('Any version there is: an older one rolls back') })
  .meta({ id: 'PolicyActivation' });

export const policyQuery = z.strictObject(pageQuery);
export const policyDeletion = z.strictObject({
  unbind: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true')
    .describe('Also ends its bindings; without it a bound policy is not deleted'),
});

export const newBinding = z
  .strictObject({
    policyId: z.uuid(),
    targetKind,
    targetId: z.uuid().describe("The tenant's own id where the target is the tenant"),
  })
  .meta({ id: 'NewPolicyBinding' });
export type NewBindingInput = z.output<typeof newBinding>;

export const bindingQuery = z.strictObject({
  ...pageQuery,
  policy: z.uuid().optional(),
  targetKind: targetKind.optional(),
  target: z.uuid().optional(),
});

const qos = z.literal([0, 1, 2]);
const noFilter =
  'In a topic filter + and # fill a level of their own, # the last one; a shared one is $share/group/filter.';

export const evaluation = z
  .strictObject({
    deviceId: z.uuid(),
    action: z.enum(actions),
    topic: z
      .string()
      .min(1)
      .max(ruleLimits.maxTopicBytes)
      .optional()
      .describe('The topic, or for subscribe the filter; connect needs none'),
    clientId: z.string().min(1).max(1_024).optional().describe("Default: the device's name"),
    credentialId: z
      .uuid()
      .optional()
      .describe('That it signs in with: its validity and its client-id rule count for connect'),
    username: z
      .string()
      .min(1)
      .max(1_024)
      .optional()
      .describe("Default: the credential's, or else the device's name, at the tenant"),
    commonName: z.string().max(1_024).optional().describe('Of the certificate that it shows; default: none'),
    qos: qos.optional(),
    retain: z.boolean().optional(),
    payloadBytes: z.int().min(0).optional(),
    transport: z
      .enum(['tcp', 'tls', 'mtls', 'ws', 'wss', 'mwss'])
      .optional()
      .describe(
        "How it connects; mtls and mwss: with a client's certificate. Rules that ask for more than is said do not allow",
      ),
    address: z
      .string()
      .max(64)
      .refine((text) => normalizeAddress(text) !== undefined, 'An IPv4 or IPv6 address.')
      .optional()
      .describe('From where'),
    at: instant.optional().describe('When; default: now'),
  })
  .superRefine((input, context) => {
    const { action, topic } = input;
    if (action === 'connect') return;
    const [message, code] =
      topic === undefined
        ? ['Needed for this action', 'required']
        : action === 'subscribe'
          ? [isSubscription(topic) ? undefined : noFilter, 'topic-filter']
          : [
              isMqttText(topic) && isTopic(topic)
                ? undefined
                : 'A topic: no + and no #, no control characters or non-characters.',
              'topic',
            ];
    if (message !== undefined)
      context.addIssue({ code: 'custom', path: ['topic'], message, params: { code } });
  })
  .meta({ id: 'PolicyEvaluationRequest' });
export type EvaluationInput = z.output<typeof evaluation>;

// ------------------------------------------------------------------------------------------------------------ answers

export const policyView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    description: z.string(),
    activeVersion: z.int().describe('The version whose rules are in force'),
    ...stamps,
  })
  .meta({ id: 'Policy' });

export const policyVersionView = z
  .object({
    policyId: z.uuid(),
    number: z.int(),
    rules: z.array(ruleSchema),
    createdBy: z.string().describe('Shown part of the API key'),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'PolicyVersion' });

export const bindingView = z
  .object({
    id: z.uuid(),
    policyId: z.uuid(),
    targetKind,
    targetId: z.uuid(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'PolicyBinding' });

export const evaluationView = z
  .object({
    decision: z.enum(['allow', 'deny']),
    action: z.enum(actions),
    reason: z.string(),
    rule: z
      .object({
        policyId: z.uuid(),
        policyName: z.string(),
        version: z.int(),
        index: z.int().describe('Place in the list of rules, from 0'),
        pattern: z.string().describe("The rule's topic, variables expanded"),
      })
      .nullable()
      .describe('The rule that decided; null where none did'),
    maxQos: qos.nullable().describe('The highest QoS that is granted'),
    witness: z
      .string()
      .nullable()
      .describe(
        'Of a filter that is refused, or granted in part: a topic it matches and that is not allowed',
      ),
    unmet: z
      .array(
        z.object({
          policyId: z.uuid(),
          policyName: z.string(),
          version: z.int(),
          index: z.int(),
          effect: z.enum(['allow', 'deny']),
          conditions: z.array(z.enum(['transports', 'addresses', 'time'])),
        }),
      )
      .describe('Rules that speak of this and do not hold here and now, by their conditions'),
  })
  .meta({ id: 'PolicyEvaluation' });

export function presentPolicy(row: Policy): z.input<typeof policyView> {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    activeVersion: row.activeVersion,
    ...presentStamps(row),
  };
}

export function presentPolicyVersion(row: PolicyVersion): z.input<typeof policyVersionView> {
  return {
    policyId: row.policyId,
    number: row.number,
    rules: storedRules.parse(row.rules),
    createdBy: row.createdBy,
    createdAt: row.createdAt.toISOString(),
  };
}

/** What was stored had been checked: this only gives it its type back. */
const storedRules = z.array(z.custom<z.input<typeof ruleSchema>>());

export function presentBinding(row: PolicyBinding): z.input<typeof bindingView> {
  return {
    id: row.id,
    policyId: row.policyId,
    targetKind: targetKind.parse(row.targetKind),
    targetId: row.targetId,
    createdAt: row.createdAt.toISOString(),
  };
}

export function presentExplanation(explanation: Explanation): z.input<typeof evaluationView> {
  const { origin } = explanation;
  const unmet = explanation.unmet.map(({ rule: index, conditions, ...rest }) => ({
    ...rest,
    index,
    conditions: [...conditions],
  }));
  return {
    unmet,
    decision: explanation.decision,
    action: explanation.action,
    reason: explanation.reason,
    rule:
      origin === undefined
        ? null
        : {
            policyId: origin.policyId,
            policyName: origin.policyName,
            version: origin.version,
            index: origin.rule,
            pattern: origin.pattern,
          },
    maxQos: explanation.maxQos ?? null,
    witness: explanation.witness ?? null,
  };
}
