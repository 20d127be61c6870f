/** Which client identifiers a credential may use. */
import { z } from 'zod';

const clientId = z
  .string()
  .min(1)
  .max(256)
  .refine((text) => !text.includes('\0') && text.isWellFormed(), 'No U+0000 and no lone surrogates.');

/** device: the device's name · exact, prefix: the given text · any: whatever the client sends. */
export const clientIdRuleSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('device') }),
  z.strictObject({ kind: z.literal('exact'), value: clientId }),
  z.strictObject({ kind: z.literal('prefix'), value: clientId }),
  z.strictObject({ kind: z.literal('any') }),
]);

export type ClientIdRule = z.output<typeof clientIdRuleSchema>;

/** True when the rule lets a client use this identifier, which is not empty. */
export function mayUseClientId(rule: ClientIdRule, clientId: string, device: string): boolean {
  switch (rule.kind) {
    case 'device':
      return clientId === device;
    case 'exact':
      return clientId === rule.value;
    case 'prefix':
      return clientId.startsWith(rule.value);
    case 'any':
      return true;
  }
}

/** The identifier for a client that left the choice to the server (MQTT 5.0, 3.1.3.1): one its rule allows. */
export function assignClientId(rule: ClientIdRule, device: string, random: string): string {
  switch (rule.kind) {
    case 'device':
      return device;
    case 'exact':
      return rule.value;
    case 'prefix':
      return rule.value + random;
    case 'any':
      return random;
  }
}
