import { describe, expect, it } from '@jest/globals';

import type { ClientId, Message, Principal, SessionKey, TenantId } from '#mqtt';

import { takeBatch } from './batch.js';
import type { Operation } from './writes.js';

const tenantId = '01900000-0000-7000-8000-000000000001' as TenantId;
const principal: Principal = {
  tenantId,
  deviceId: tenantId,
  credentialId: tenantId,
  username: 'alice',
  clientId: 'alice' as ClientId,
};
const message: Message = {
  topic: 'a',
  payload: Buffer.from('1'),
  qos: 2,
  retain: true,
  properties: undefined,
  publisher: principal.clientId,
  receivedAt: 0,
  expiresAt: undefined,
};
const session = (epoch: number): SessionKey => ({ tenantId, clientId: principal.clientId, epoch });
const stored = (): void => undefined;

const reading: Operation = {
  kind: 'telemetry',
  reading: { principal, message },
  asBytes: false,
  stored,
};
const retained: Operation = { kind: 'retain', tenantId, message, stored };
const append = (epoch = 1): Operation => ({
  kind: 'append',
  message,
  entries: [],
  inbound: { session: session(epoch), packetId: 7 },
  stored,
});
const willGone: Operation = {
  kind: 'will',
  principal,
  epoch: 1,
  will: undefined,
  dueAt: undefined,
  stored: undefined,
};
const settled: Operation = { kind: 'settle', session: session(1), sequences: [1], stored: undefined };

const kindsOf = (queue: readonly Operation[], maxWeight: number): string[] =>
  takeBatch(queue, maxWeight).operations.map(({ kind }) => kind);

describe('a batch', () => {
  it('ends before a message that does not fit with all its writes', () => {
    const queue = [settled, reading, retained, append(), willGone];
    for (const weight of [1, 2, 3, 4]) expect(kindsOf(queue, weight)).toEqual(['settle']);
    expect(kindsOf(queue, 5)).toHaveLength(5);
  });

  it('takes one message whole, however small it is to be', () => {
    const queue = [reading, retained, append(), reading, append()];
    expect(kindsOf(queue, 1)).toEqual(['telemetry', 'retain', 'append']);
  });

  it('ends before a message one of whose writes has to wait, and leaves its sessions alone', () => {
    const bob: Operation = {
      kind: 'append',
      message,
      entries: [],
      inbound: { session: { ...session(9), clientId: 'bob' as ClientId }, packetId: 1 },
      stored,
    };
    const batch = takeBatch([settled, reading, retained, append(2)], Infinity);
    expect(batch.operations.map(({ kind }) => kind)).toEqual(['settle']);
    expect([...takeBatch([bob, bob, settled, reading, bob, reading, append(2)], 4).sessions.keys()]).toEqual([
      `${tenantId}/bob`,
      `${tenantId}/alice`,
    ]);
  });

  it('does not end between a message that moves to another queue and its place in the one it leaves', () => {
    const queue = [append(), settled, append(), settled];
    expect(kindsOf(queue, 3)).toEqual(['append', 'settle']);
  });

  it('ends between messages', () => {
    expect(kindsOf([reading, reading, append(), append(), reading], 3)).toEqual([
      'telemetry',
      'telemetry',
      'append',
    ]);
    expect(kindsOf([reading, reading, reading], 2)).toHaveLength(2);
  });
});
