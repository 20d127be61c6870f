/** Twenty rules of the kind that tenants write: variables, denies, priorities, ceilings. Bound to the demo credential `open`. */

interface Rule {
  readonly effect: 'allow' | 'deny';
  readonly actions: readonly string[];
  readonly topics: readonly string[];
  readonly priority?: number;
  readonly when?: Readonly<Record<string, number | boolean>>;
}

export const twentyRules: readonly Rule[] = [
  { effect: 'allow', actions: ['publish', 'subscribe', 'retain'], topics: ['bench/#'] },
  { effect: 'allow', actions: ['publish'], topics: ['devices/${device}/telemetry/#'] },
  { effect: 'allow', actions: ['publish', 'retain'], topics: ['devices/${device}/state'] },
  { effect: 'allow', actions: ['subscribe'], topics: ['devices/${device}/cmd/#'] },
  { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['clients/${clientId}/#'] },
  { effect: 'allow', actions: ['publish'], topics: ['users/${username}/out/+'], when: { maxQos: 1 } },
  { effect: 'allow', actions: ['subscribe'], topics: ['users/${username}/in/+'] },
  { effect: 'allow', actions: ['publish'], topics: ['sites/${attr.site}/alarms/${device}'] },
  { effect: 'allow', actions: ['subscribe'], topics: ['sites/${attr.site}/broadcast'] },
  {
    effect: 'allow',
    actions: ['publish'],
    topics: ['tenants/${tenant}/inbox'],
    when: { maxPayloadBytes: 4096 },
  },
  { effect: 'allow', actions: ['subscribe'], topics: ['tenants/${tenant}/news/#'] },
  { effect: 'allow', actions: ['publish'], topics: ['firmware/+/${device}/progress'] },
  { effect: 'allow', actions: ['subscribe'], topics: ['firmware/+/${device}/image'] },
  { effect: 'allow', actions: ['publish'], topics: ['logs/${device}/+/+'], when: { retain: false } },
  { effect: 'allow', actions: ['publish', 'subscribe'], topics: ['rooms/+/members/${clientId}'] },
  { effect: 'deny', actions: ['publish'], topics: ['bench/forbidden/#'] },
  { effect: 'deny', actions: ['publish', 'retain'], topics: ['devices/+/cmd/#'] },
  { effect: 'deny', actions: ['publish'], topics: ['tenants/${tenant}/news/#'], priority: 10 },
  { effect: 'allow', actions: ['publish'], topics: ['tenants/${tenant}/news/drafts'], priority: 20 },
  { effect: 'deny', actions: ['receive'], topics: ['clients/+/private/#'] },
];
