import { describe, expect, it } from '@jest/globals';

import type { ClientId, Message, Principal, SessionKey, TenantId, Will } from '#mqtt';

import { bytesOf, type Operation } from './writes.js';

const long = 100_000;
const tenantId = '01900000-0000-7000-8000-000000000001' as TenantId;
const clientId = 'alice' as ClientId;
const principal: Principal = {
  tenantId,
  clientId,
  deviceId: tenantId,
  credentialId: tenantId,
  username: 'alice',
};
const session: SessionKey = { tenantId, clientId, epoch: 1 };
const stored = (): void => undefined;
const message: Message = {
  topic: 'a',
  payload: Buffer.alloc(0),
  qos: 1,
  retain: false,
  properties: undefined,
  publisher: clientId,
  receivedAt: 0,
  expiresAt: undefined,
};
const text = 'x'.repeat(long);

const writesOf = (given: Message): Record<string, Operation> => {
  const will: Will = { ...given, delayS: 0, messageExpiryS: undefined };
  return {
    telemetry: { kind: 'telemetry', reading: { principal, message: given }, asBytes: false, stored },
    append: { kind: 'append', message: given, entries: [], inbound: undefined, stored },
    retain: { kind: 'retain', tenantId, message: given, stored },
    will: { kind: 'will', principal, epoch: 1, will, dueAt: undefined, stored },
    presence: {
      kind: 'presence',
      event: {
        principal,
        epoch: 1,
        state: 'offline',
        cause: 'network',
        at: 0,
        detail: {},
        will,
      },
      stored: undefined,
    },
  };
};

describe('what waits for the store counts for what its sender chose the size of', () => {
  const messages: Record<string, Partial<Message>> = {
    topic: { topic: text },
    payload: { payload: Buffer.alloc(long) },
    'content type': { properties: { contentType: text } },
    'response topic': { properties: { responseTopic: text } },
    'correlation data': { properties: { correlationData: Buffer.alloc(long) } },
    'user properties': { properties: { userProperties: [['a', text]] } },
    'many user properties': { properties: { userProperties: Array.from({ length: 2_000 }, () => ['', '']) } },
  };
  it.each(Object.entries(messages))('%s', (_, change) => {
    for (const [kind, operation] of Object.entries(writesOf({ ...message, ...change })))
      expect([kind, bytesOf(operation) >= long]).toEqual([kind, true]);
  });

  it('filters, and what denials quote', () => {
    const subscription = {
      filter: text,
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionId: undefined,
    } as const;
    const denial = {
      tenantId,
      key: Buffer.alloc(32),
      deviceId: undefined,
      clientId: '',
      username: '',
      remoteAddress: '',
      action: 'publish',
      topic: '',
      reason: '',
      detail: '',
      firstAt: 0,
      lastAt: 0,
      count: 1,
    };
    const operations: Operation[] = [
      { kind: 'subscribe', session, subscriptions: [subscription], stored },
      { kind: 'unsubscribe', session, filters: [text], stored },
      { kind: 'denials', denials: [{ ...denial, topic: text }], stored: undefined },
      { kind: 'denials', denials: [{ ...denial, username: text }], stored: undefined },
    ];
    for (const operation of operations) expect(bytesOf(operation)).toBeGreaterThanOrEqual(long);
  });
});
