import { describe, expect, it } from '@jest/globals';

import { assignClientId, clientIdRuleSchema, mayUseClientId } from './client-id.js';

describe('a client-id rule', () => {
  it.each([
    [{ kind: 'device' as const }, 'pump-1', true],
    [{ kind: 'device' as const }, 'pump-2', false],
    [{ kind: 'exact' as const, value: 'a' }, 'a', true],
    [{ kind: 'exact' as const, value: 'a' }, 'ab', false],
    [{ kind: 'prefix' as const, value: 'a-' }, 'a-1', true],
    [{ kind: 'prefix' as const, value: 'a-' }, 'b-1', false],
    [{ kind: 'any' as const }, 'whatever', true],
  ])('%j lets %s through: %s', (rule, clientId, allowed) => {
    expect(mayUseClientId(rule, clientId, 'pump-1')).toBe(allowed);
    expect(mayUseClientId(rule, assignClientId(rule, 'pump-1', 'random'), 'pump-1')).toBe(true);
  });

  it('is refused where its value could not be a client identifier', () => {
    expect(clientIdRuleSchema.safeParse({ kind: 'exact', value: '' }).success).toBe(false);
    expect(clientIdRuleSchema.safeParse({ kind: 'prefix', value: 'a\0' }).success).toBe(false);
    expect(clientIdRuleSchema.safeParse({ kind: 'device', value: 'a' }).success).toBe(false);
  });
});
