/** Which messages of a device are readings: the telemetry rules of its profile. */
import { z } from 'zod';

import { topicFault } from './rules.js';
import { withoutVariables } from './variables.js';

const telemetryRuleSchema = z.strictObject({
  /** A topic filter that may hold variables, like a rule's. */
  filter: z
    .string()
    .min(1)
    .superRefine((text, context) => {
      const fault = topicFault(text);
      if (fault) context.addIssue({ code: 'custom', message: fault.message, params: { code: fault.code } });
    }),
  /** The field of a JSON object that holds the device's own time. */
  timeField: z.string().min(1).max(64).optional(),
});

export const telemetryRulesSchema = z.array(telemetryRuleSchema).max(50);

export type TelemetryRule = z.output<typeof telemetryRuleSchema>;

/** Whether the filter is of topics that begin with `$`, where no client publishes. A variable at the beginning never stands for one. */
export function isOfServer(filter: string): boolean {
  return withoutVariables(filter).startsWith('$');
}
