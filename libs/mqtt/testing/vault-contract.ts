import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { Message, Subscription, Will } from '../message.js';
import type {
  ClaimedSession,
  ClientId,
  Principal,
  QueueEntry,
  SessionKey,
  Stored,
  TenantId,
  Vault,
} from '../ports.js';

/** What a Vault's test brings: two tenants that exist, somebody in each, and a way to die. */
export interface VaultFixture {
  readonly vault: Vault;
  readonly tenants: readonly [TenantId, TenantId];
  /** A device that exists in that tenant, signed in under this client identifier. */
  principal(tenantId: TenantId, clientId: string): Principal;
  /** The vault of the process that follows after this one was killed; the old one is not used again. */
  reopen(): Promise<Vault>;
  close(): Promise<void>;
}

const never = 0xffff_ffff;

/** Every Vault keeps these promises. Run it inside a spec file: `vaultContract('PostgreSQL', make)`. */
export function vaultContract(name: string, make: () => Promise<VaultFixture>): void {
  describe(`the vault on ${name}`, () => {
    let fixture: VaultFixture;
    let vault: Vault;
    let tenantId: TenantId;
    let other: TenantId;
    let alice: Principal;
    let bob: Principal;

    beforeEach(async () => {
      fixture = await make();
      vault = fixture.vault;
      [tenantId, other] = fixture.tenants;
      alice = fixture.principal(tenantId, 'alice');
      bob = fixture.principal(tenantId, 'bob');
    });

    afterEach(() => fixture.close());

    const stateOf = async (clientId: ClientId) =>
      (await vault.open(tenantId)).sessions.find((session) => session.clientId === clientId);

    describe('claiming a session', () => {
      it('creates it the first time and resumes it the second', async () => {
        const first = await vault.claim(alice, 100, 60, false);
        expect(first).toMatchObject({ resumed: false, epoch: 100, expiryIntervalS: 60 });
        expect(first).toMatchObject({ connected: true, subscriptions: [], queuedMessages: 0 });
        expect(first.principal).toEqual(alice);
        const second = await vault.claim(alice, 200, never, false);
        expect(second).toMatchObject({ resumed: true, epoch: 200, expiryIntervalS: never });
      });

      it('raises an epoch that is not higher than the stored one', async () => {
        await vault.claim(alice, 500, 60, false);
        expect((await vault.claim(alice, 400, 60, false)).epoch).toBe(501);
        expect((await vault.claim(alice, 501, 60, true)).epoch).toBe(502);
        expect((await vault.open(alice.tenantId)).lastEpoch).toBe(502);
      });

      it('with a clean start finds nothing of what was there', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        await done((stored) => vault.subscribe(key, [subscription('a/+')], stored));
        await done((stored) =>
          vault.append(message('a/b'), [entry(key, 1)], { session: key, packetId: 7 }, stored),
        );
        const clean = await vault.claim(alice, 200, 60, true);
        expect(clean).toMatchObject({ resumed: false, subscriptions: [], inboundPacketIds: [] });
        expect(clean).toMatchObject({ queuedMessages: 0, queuedBytes: 0 });
        expect(await vault.read(keyOf(clean), 1, 100, 1e6)).toEqual([]);
      });

      it('takes its place behind the writes made before it', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        const appended = done((stored) => vault.append(message('a'), [entry(key, 1)], undefined, stored));
        const claimed = await vault.claim(alice, 200, 60, false);
        await appended;
        expect(claimed).toMatchObject({ queuedMessages: 1, nextSequence: 2 });
      });

      it('refuses every write of an older epoch', async () => {
        const old = keyOf(await vault.claim(alice, 100, 60, false));
        const now = keyOf(await vault.claim(alice, 200, 60, false));
        await done((stored) => vault.subscribe(now, [subscription('kept')], stored));
        const stale = [
          (stored: Stored) => vault.subscribe(old, [subscription('late')], stored),
          (stored: Stored) => vault.unsubscribe(old, ['kept'], stored),
          (stored: Stored) => vault.append(message('a'), [entry(old, 1)], undefined, stored),
          (stored: Stored) => vault.remove(old, stored),
        ];
        for (const write of stale) await expect(done(write)).rejects.toBeInstanceOf(Error);
        vault.release(old, 0, 1, 9);
        await vault.flush();
        const session = await stateOf(alice.clientId);
        expect(session).toMatchObject({ connected: true, queuedMessages: 0, epoch: 200, sentTo: undefined });
        expect(session?.subscriptions.map(({ filter }) => filter)).toEqual(['kept']);
      });

      it('accepts a write of a newer epoch than the stored one', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        const newer = { ...key, epoch: 150 };
        await done((stored) => vault.subscribe(newer, [subscription('a')], stored));
        expect((await stateOf(alice.clientId))?.subscriptions).toHaveLength(1);
      });
    });

    describe('a session', () => {
      it('is found as it was released, by the next process too', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        vault.release(key, 30, 1_800_000_000_000, 7);
        await vault.flush();
        vault = await fixture.reopen();
        expect(await stateOf(alice.clientId)).toMatchObject({
          connected: false,
          expiryIntervalS: 30,
          expiresAt: 1_800_000_000_000,
          epoch: 100,
          principal: alice,
          sentTo: 7,
        });
        expect(await vault.tenantsWithWork()).toContain(tenantId);
      });

      it('is reported as connected when its process died', async () => {
        await vault.claim(alice, 100, 60, false);
        vault = await fixture.reopen();
        expect(await stateOf(alice.clientId)).toMatchObject({ connected: true });
        expect(await vault.tenantsWithWork()).toContain(tenantId);
      });

      it('tells whoever claims it what had been sent when it was released', async () => {
        const first = await vault.claim(alice, 100, 60, false);
        expect(first.sentTo).toBeUndefined();
        vault.release(keyOf(first), 60, undefined, 7);
        const second = await vault.claim(alice, 200, 60, false);
        expect(second.sentTo).toBe(7);
        vault.release(keyOf(second), 60, undefined, 9);
        await vault.flush();
        vault = await fixture.reopen();
        expect((await vault.claim(alice, 300, 60, false)).sentTo).toBe(9);
      });

      it('does not say what was sent where nobody released it: its process died, or it was taken', async () => {
        vault.release(keyOf(await vault.claim(alice, 100, 60, false)), 60, undefined, 7);
        await vault.claim(alice, 200, 60, false);
        expect((await vault.claim(alice, 300, 60, false)).sentTo).toBeUndefined();
        vault.release(keyOf(await vault.claim(bob, 100, 60, false)), 60, undefined, 7);
        await vault.claim(bob, 200, 60, false);
        vault = await fixture.reopen();
        expect(await stateOf(bob.clientId)).toMatchObject({ connected: true });
        expect((await vault.claim(bob, 300, 60, false)).sentTo).toBeUndefined();
      });

      it('that never expires and is away is no work', async () => {
        vault.release(keyOf(await vault.claim(alice, 100, never, false)), never, undefined, 1);
        await vault.flush();
        expect(await vault.tenantsWithWork()).not.toContain(tenantId);
        expect(await stateOf(alice.clientId)).toMatchObject({ expiresAt: undefined });
      });

      it('is gone with all it had once removed', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        await done((stored) => vault.subscribe(key, [subscription('a')], stored));
        await done((stored) =>
          vault.append(message('a'), [entry(key, 1)], { session: key, packetId: 3 }, stored),
        );
        await done((stored) => vault.remove(key, stored));
        expect(await stateOf(alice.clientId)).toBeUndefined();
        await done((stored) => vault.remove(key, stored));
        expect(await vault.claim(alice, 200, 60, false)).toMatchObject({
          resumed: false,
          subscriptions: [],
          queuedMessages: 0,
          inboundPacketIds: [],
        });
      });

      it('keeps its subscriptions with their options, the last one given for a filter', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        const full: Subscription = {
          filter: '$share/g/ä/+/#',
          qos: 2,
          noLocal: true,
          retainAsPublished: true,
          retainHandling: 2,
          subscriptionId: 268_435_455,
        };
        await done((stored) => vault.subscribe(key, [subscription('a'), full], stored));
        await done((stored) =>
          vault.subscribe(key, [{ ...subscription('a'), qos: 0, retainHandling: 1 }], stored),
        );
        const kept = (await stateOf(alice.clientId))?.subscriptions ?? [];
        expect(kept).toHaveLength(2);
        expect(kept).toContainEqual(full);
        expect(kept).toContainEqual({ ...subscription('a'), qos: 0, retainHandling: 1 });
        await done((stored) => vault.unsubscribe(key, ['a', 'never-there'], stored));
        expect((await stateOf(alice.clientId))?.subscriptions).toEqual([full]);
      });
    });

    describe('the queue', () => {
      it('gives back what was appended, in order of sequence, with everything the message had', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        const rich: Message = {
          topic: 'devices/ü/telemetry',
          payload: Buffer.from([0, 1, 2, 255]),
          qos: 2,
          retain: true,
          properties: {
            payloadFormatIndicator: 1,
            contentType: 'application/json',
            responseTopic: 'answers',
            correlationData: Buffer.from([9, 0, 9]),
            userProperties: [
              ['b', '1'],
              ['a', '2'],
              ['b', '1'],
            ],
          },
          publisher: 'bob' as ClientId,
          receivedAt: 1_800_000_000_123,
          expiresAt: 1_800_000_060_123,
        };
        const plain = { ...message('a'), payload: Buffer.alloc(0) };
        await done((stored) =>
          vault.append(
            rich,
            [{ ...entry(key, 5), qos: 2, retain: true, subscriptionIds: [3, 1] }],
            undefined,
            stored,
          ),
        );
        await done((stored) => vault.append(plain, [entry(key, 6)], undefined, stored));
        expect(await vault.read(key, 1, 100, 1e6)).toEqual([
          {
            sequence: 5,
            qos: 2,
            retain: true,
            subscriptionIds: [3, 1],
            released: false,
            message: rich,
          },
          {
            sequence: 6,
            qos: 1,
            retain: false,
            subscriptionIds: [],
            released: false,
            message: plain,
          },
        ]);
        expect(await stateOf(alice.clientId)).toMatchObject({
          nextSequence: 7,
          queuedMessages: 2,
          queuedBytes: 4,
        });
      });

      it('holds one message for many sessions', async () => {
        const a = keyOf(await vault.claim(alice, 100, 60, false));
        const b = keyOf(await vault.claim(bob, 100, 60, false));
        await done((stored) =>
          vault.append(message('x', 'shared'), [entry(a, 1), entry(b, 4)], undefined, stored),
        );
        vault.settle(a, [1]);
        await vault.flush();
        expect(await vault.read(a, 1, 10, 1e6)).toEqual([]);
        const [left] = await vault.read(b, 1, 10, 1e6);
        expect(left?.message.payload.toString()).toBe('shared');
      });

      it('is read in pages, at least one message whatever its size', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        for (let sequence = 1; sequence <= 10; sequence++)
          vault.append(message('a', 'x'.repeat(100)), [entry(key, sequence)], undefined, () => undefined);
        await vault.flush();
        const sequences = async (from: number, messages: number, bytes: number) =>
          (await vault.read(key, from, messages, bytes)).map(({ sequence }) => sequence);
        expect(await sequences(1, 3, 1e6)).toEqual([1, 2, 3]);
        expect(await sequences(4, 100, 250)).toEqual([4, 5]);
        expect(await sequences(6, 100, 1)).toEqual([6]);
        expect(await sequences(9, 100, 1e6)).toEqual([9, 10]);
        expect(await sequences(11, 100, 1e6)).toEqual([]);
      });

      it('never hands out a sequence twice, also when all is settled', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        await done((stored) => vault.append(message('a'), [entry(key, 41)], undefined, stored));
        vault.settle(key, [41, 42]);
        await vault.flush();
        vault = await fixture.reopen();
        expect(await stateOf(alice.clientId)).toMatchObject({
          nextSequence: 42,
          queuedMessages: 0,
          queuedBytes: 0,
        });
      });

      it('remembers for which messages PUBREC was received', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        await done((stored) => vault.append(message('a'), [{ ...entry(key, 1), qos: 2 }], undefined, stored));
        await done((stored) => vault.markReceived(key, 1, stored));
        vault = await fixture.reopen();
        expect(await vault.read(key, 1, 10, 1e6)).toMatchObject([{ sequence: 1, released: true }]);
      });

      it('keeps inbound packet identifiers in the commit of their message until they are released', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        await done((stored) => vault.append(message('a'), [], { session: key, packetId: 65_535 }, stored));
        await done((stored) =>
          vault.append(message('a'), [entry(key, 1)], { session: key, packetId: 1 }, stored),
        );
        const { inboundPacketIds } = await vault.claim(alice, 200, 60, false);
        expect([...inboundPacketIds].sort((x, y) => x - y)).toEqual([1, 65_535]);
        const now = { ...key, epoch: 200 };
        await done((stored) => vault.forgetInbound({ session: now, packetId: 1 }, stored));
        expect((await stateOf(alice.clientId))?.inboundPacketIds).toEqual([65_535]);
      });

      it('skips the entry of a session that has ended', async () => {
        const a = keyOf(await vault.claim(alice, 100, 60, false));
        const b = keyOf(await vault.claim(bob, 100, 60, false));
        vault.remove(a);
        await done((stored) => vault.append(message('x'), [entry(a, 1), entry(b, 1)], undefined, stored));
        expect(await vault.read(b, 1, 10, 1e6)).toHaveLength(1);
      });
    });

    describe('writes', () => {
      it('are reported in the order in which they were made, each once', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        const order: number[] = [];
        for (let i = 0; i < 50; i++) {
          if (i % 5 === 0)
            vault.subscribe(key, [subscription(`s/${i}`)], (error) => order.push(error ? -1 : i));
          else if (i % 5 === 1)
            vault.retain(tenantId, message(`r/${i}`), (error) => order.push(error ? -1 : i));
          else
            vault.append(message('a'), [entry(key, i + 1)], undefined, (error) => order.push(error ? -1 : i));
        }
        await vault.flush();
        expect(order).toEqual(Array.from({ length: 50 }, (_, i) => i));
      });

      it('are still reported when one between them is refused', async () => {
        const old = keyOf(await vault.claim(alice, 100, 60, false));
        const key = keyOf(await vault.claim(alice, 200, 60, false));
        const outcomes: string[] = [];
        const note = (text: string) => (error?: Error) => outcomes.push(error ? `${text} refused` : text);
        vault.append(message('a'), [entry(key, 1)], undefined, note('first'));
        vault.append(message('a'), [entry(old, 2)], undefined, note('stale'));
        vault.append(message('a'), [entry(key, 3)], undefined, note('last'));
        await vault.flush();
        expect(outcomes).toEqual(['first', 'stale refused', 'last']);
      });

      it('call back only when the next process would find them', async () => {
        const key = keyOf(await vault.claim(alice, 100, 60, false));
        await done((stored) => vault.append(message('a'), [entry(key, 1)], undefined, stored));
        vault = await fixture.reopen();
        expect(await vault.read(key, 1, 10, 1e6)).toHaveLength(1);
      });

      it('leave room for more when nothing waits', async () => {
        expect(vault.isFull).toBe(false);
        await new Promise<void>((resolve) => vault.whenReady(resolve));
      });
    });

    describe('retained messages', () => {
      it('replace one another by topic and go with an empty payload', async () => {
        await done((stored) => vault.retain(tenantId, message('r/1', 'old'), stored));
        await done((stored) => vault.retain(tenantId, message('r/1', 'new'), stored));
        await done((stored) => vault.retain(tenantId, message('r/2', 'gone'), stored));
        await done((stored) => vault.retain(tenantId, message('r/2', ''), stored));
        vault = await fixture.reopen();
        const { retained } = await vault.open(tenantId);
        expect(retained.map(({ topic, payload }) => [topic, payload.toString()])).toEqual([['r/1', 'new']]);
      });

      it('are kept as they were published', async () => {
        const kept: Message = {
          ...message('r', 'x'),
          qos: 2,
          retain: true,
          properties: { contentType: 'text/plain', userProperties: [['k', 'v']] },
          expiresAt: 1_900_000_000_000,
        };
        await done((stored) => vault.retain(tenantId, kept, stored));
        expect((await vault.open(tenantId)).retained).toEqual([kept]);
      });
    });

    describe('wills', () => {
      it('of a living connection are not handed out', async () => {
        await done((stored) => vault.keepWill(alice, 100, will('w'), undefined, stored));
        expect((await vault.open(tenantId)).wills).toEqual([]);
      });

      it('of a process that died are, also of clients without a durable session', async () => {
        await done((stored) => vault.keepWill(alice, 100, will('w'), undefined, stored));
        vault = await fixture.reopen();
        expect(await vault.tenantsWithWork()).toContain(tenantId);
        expect((await vault.open(tenantId)).wills).toEqual([
          { principal: alice, epoch: 100, will: will('w'), dueAt: undefined },
        ]);
      });

      it('that wait for their delay are, with the time they are due', async () => {
        await done((stored) => vault.keepWill(alice, 100, will('w'), 1_800_000_000_000, stored));
        expect((await vault.open(tenantId)).wills).toMatchObject([{ dueAt: 1_800_000_000_000 }]);
        expect(await vault.tenantsWithWork()).toContain(tenantId);
      });

      it('are replaced by a newer one, discarded, and safe from an older epoch', async () => {
        await done((stored) => vault.keepWill(alice, 100, will('old'), undefined, stored));
        await done((stored) => vault.keepWill(alice, 200, will('new'), 1, stored));
        vault.keepWill(alice, 100, undefined, undefined);
        await vault.flush();
        expect((await vault.open(tenantId)).wills).toMatchObject([{ epoch: 200, will: { topic: 'new' } }]);
        await done((stored) => vault.keepWill(alice, 200, undefined, undefined, stored));
        expect((await vault.open(tenantId)).wills).toEqual([]);
      });
    });

    describe('tenants', () => {
      it('do not see each other, with the same client identifier and topic in both', async () => {
        const stranger = fixture.principal(other, 'alice');
        const ours = keyOf(await vault.claim(alice, 100, 60, false));
        const theirs = keyOf(await vault.claim(stranger, 900, 60, false));
        expect(theirs.epoch).toBe(900);
        await done((stored) => vault.subscribe(ours, [subscription('ours')], stored));
        await done((stored) => vault.append(message('t', 'ours'), [entry(ours, 1)], undefined, stored));
        await done((stored) => vault.retain(tenantId, message('t', 'ours'), stored));
        await done((stored) => vault.keepWill(alice, 100, will('ours'), 1, stored));
        const state = await vault.open(other);
        expect(state.sessions).toMatchObject([{ clientId: 'alice', subscriptions: [] }]);
        expect(state.retained).toEqual([]);
        expect(state.wills).toEqual([]);
        expect(await vault.read(theirs, 1, 10, 1e6)).toEqual([]);
        await done((stored) => vault.remove(theirs, stored));
        expect(await stateOf(alice.clientId)).toMatchObject({ queuedMessages: 1 });
      });
    });
  });
}

function done(write: (stored: Stored) => void): Promise<void> {
  return new Promise((resolve, reject) => write((error) => (error ? reject(error) : resolve())));
}

function keyOf(session: ClaimedSession): SessionKey {
  return {
    tenantId: session.principal.tenantId,
    clientId: session.clientId,
    epoch: session.epoch,
  };
}

function entry(session: SessionKey, sequence: number): QueueEntry {
  return { session, sequence, qos: 1, retain: false, subscriptionIds: [] };
}

function message(topic: string, payload = 'payload'): Message {
  return {
    topic,
    payload: Buffer.from(payload),
    qos: 1,
    retain: false,
    properties: undefined,
    publisher: 'publisher' as ClientId,
    receivedAt: 1_790_000_000_000,
    expiresAt: undefined,
  };
}

function subscription(filter: string): Subscription {
  return {
    filter,
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    subscriptionId: undefined,
  };
}

function will(topic: string): Will {
  return {
    topic,
    payload: Buffer.from('gone'),
    qos: 2,
    retain: true,
    properties: { contentType: 'text/plain' },
    delayS: 5,
    messageExpiryS: 60,
  };
}
