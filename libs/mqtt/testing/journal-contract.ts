import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { Message } from '../message.js';
import type { DenialNote, Journal, PresenceEvent, Principal, Reading, TenantId } from '../ports.js';
import { Reasons } from '../reason.js';

/** What a Journal's test brings: two tenants that exist, somebody in each, and eyes of its own on what is kept. */
export interface JournalFixture {
  readonly journal: Journal;
  readonly tenants: readonly [TenantId, TenantId];
  principal(tenantId: TenantId, clientId: string): Principal;
  /** Resolves when everything written so far is kept. */
  flush(): Promise<void>;
  readings(tenantId: TenantId): Promise<readonly KeptReading[]>;
  /** The current state. */
  presence(tenantId: TenantId, clientId: string): Promise<KeptPresence | undefined>;
  /** All events of the client, in the order they were written. */
  history(tenantId: TenantId, clientId: string): Promise<readonly KeptPresence[]>;
  denials(tenantId: TenantId): Promise<readonly KeptDenial[]>;
  close(): Promise<void>;
}

export interface KeptReading {
  readonly deviceId: string;
  readonly topic: string;
  /** The payload as it can be had back: byte for byte, or the same JSON value. */
  readonly payload: Buffer;
  readonly receivedAt: number;
}

export type KeptPresence = Pick<PresenceEvent, 'epoch' | 'state' | 'cause' | 'at'>;

export interface KeptDenial {
  readonly clientId: string;
  readonly action: DenialNote['action'];
  readonly topic: string;
  /** The name of the Reason. */
  readonly reason: string;
  readonly count: number;
}

/** Every Journal keeps these promises. Run it inside a spec file: `journalContract('PostgreSQL', make)`. */
export function journalContract(name: string, make: () => Promise<JournalFixture>): void {
  describe(`the journal on ${name}`, () => {
    let fixture: JournalFixture;
    let journal: Journal;
    let tenantId: TenantId;
    let other: TenantId;
    let alice: Principal;

    beforeEach(async () => {
      fixture = await make();
      journal = fixture.journal;
      [tenantId, other] = fixture.tenants;
      alice = fixture.principal(tenantId, 'alice');
    });

    afterEach(() => fixture.close());

    const record = (principal: Principal, payload: Buffer) =>
      new Promise<void>((resolve, reject) =>
        journal.telemetry(reading(principal, payload), (error) => (error ? reject(error) : resolve())),
      );

    it('has kept a reading when it says so', async () => {
      await record(alice, Buffer.from('{"t":21.5}'));
      const [kept] = await fixture.readings(tenantId);
      expect(kept).toMatchObject({ deviceId: alice.deviceId, topic: 'readings/t' });
      expect(kept?.receivedAt).toBe(1_790_000_000_000);
      expect(JSON.parse(String(kept?.payload))).toEqual({ t: 21.5 });
    });

    it('keeps bytes that are not JSON, or that a database cannot hold as JSON, as they are', async () => {
      const payloads = ['', 'not json', '{"nul":"\\u0000"}', '"\\ud800"', '1e999999'].map((text) =>
        Buffer.from(text),
      );
      payloads.push(Buffer.from([0xff, 0xfe, 0x00]));
      for (const payload of payloads) await record(alice, payload);
      const kept = await fixture.readings(tenantId);
      for (const payload of payloads) expect(kept.some((row) => row.payload.equals(payload))).toBe(true);
    });

    it('reports readings in the order they came, each once', async () => {
      const order: number[] = [];
      for (let i = 0; i < 100; i++)
        journal.telemetry(reading(alice, Buffer.from(String(i))), (error) => order.push(error ? -1 : i));
      await fixture.flush();
      expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
      expect(await fixture.readings(tenantId)).toHaveLength(100);
    });

    it('follows a client on and off', async () => {
      journal.presence(event(alice, 10, 'online', 'connected', 1_000));
      await fixture.flush();
      expect(await fixture.presence(tenantId, 'alice')).toMatchObject({
        state: 'online',
        cause: 'connected',
        epoch: 10,
        at: 1_000,
      });
      journal.presence({
        ...event(alice, 10, 'offline', 'network', 2_000),
        will: { topic: 'gone', payload: Buffer.from('bye') },
      });
      await fixture.flush();
      expect(await fixture.presence(tenantId, 'alice')).toMatchObject({
        state: 'offline',
        cause: 'network',
        epoch: 10,
        at: 2_000,
      });
    });

    it('records a late offline and does not believe it', async () => {
      journal.presence(event(alice, 10, 'online', 'connected', 1_000));
      journal.presence(event(alice, 20, 'online', 'connected', 2_000));
      journal.presence(event(alice, 10, 'offline', 'taken-over', 3_000));
      await fixture.flush();
      expect(await fixture.presence(tenantId, 'alice')).toMatchObject({
        state: 'online',
        epoch: 20,
      });
      expect((await fixture.history(tenantId, 'alice')).map(({ epoch, state }) => [epoch, state])).toEqual([
        [10, 'online'],
        [20, 'online'],
        [10, 'offline'],
      ]);
    });

    it('believes the first word about the end of a connection, and no second one', async () => {
      journal.presence(event(alice, 10, 'online', 'connected', 1_000));
      journal.presence(event(alice, 10, 'offline', 'keep-alive', 2_000));
      await fixture.flush();
      journal.presence(event(alice, 10, 'offline', 'network', 3_000));
      journal.presence(event(alice, 10, 'online', 'connected', 4_000));
      await fixture.flush();
      expect(await fixture.presence(tenantId, 'alice')).toMatchObject({ cause: 'keep-alive', at: 2_000 });
      expect(await fixture.history(tenantId, 'alice')).toHaveLength(4);
    });

    it('keeps denials, the same one once with its count', async () => {
      for (let i = 0; i < 3; i++) journal.denied(denial(tenantId, alice, 'secret'));
      journal.denied({ ...denial(tenantId, alice, 'secret'), count: 4 });
      journal.denied({ ...denial(tenantId, alice, 'other'), count: 2 });
      await fixture.flush();
      const kept = await fixture.denials(tenantId);
      const count = (topic: string) =>
        kept.filter((row) => row.topic === topic).reduce((sum, row) => sum + row.count, 0);
      expect([count('secret'), count('other')]).toEqual([7, 2]);
      expect(kept[0]).toMatchObject({ action: 'publish', reason: Reasons.notAuthorized.name });
    });

    it('keeps a denial of somebody whose device is not known', async () => {
      journal.denied({ ...denial(tenantId, alice, ''), deviceId: undefined, action: 'connect' });
      await fixture.flush();
      expect(await fixture.denials(tenantId)).toMatchObject([{ action: 'connect', count: 1 }]);
    });

    it('keeps tenants apart, with the same client identifier in both', async () => {
      const stranger = fixture.principal(other, 'alice');
      await record(alice, Buffer.from('1'));
      journal.presence(event(alice, 10, 'online', 'connected', 1_000));
      journal.presence(event(stranger, 5, 'offline', 'clean', 900));
      journal.denied(denial(tenantId, alice, 'secret'));
      await fixture.flush();
      expect(await fixture.readings(other)).toEqual([]);
      expect(await fixture.denials(other)).toEqual([]);
      expect(await fixture.presence(other, 'alice')).toMatchObject({ state: 'offline', epoch: 5 });
      expect(await fixture.presence(tenantId, 'alice')).toMatchObject({ state: 'online' });
    });
  });
}

function reading(principal: Principal, payload: Buffer): Reading {
  const message: Message = {
    topic: 'readings/t',
    payload,
    qos: 1,
    retain: false,
    properties: undefined,
    publisher: principal.clientId,
    receivedAt: 1_790_000_000_000,
    expiresAt: undefined,
  };
  return { principal, message };
}

function event(
  principal: Principal,
  epoch: number,
  state: PresenceEvent['state'],
  cause: PresenceEvent['cause'],
  at: number,
): PresenceEvent {
  return { principal, epoch, state, cause, at, detail: { transport: 'tcp' }, will: undefined };
}

function denial(tenantId: TenantId, principal: Principal, topic: string): DenialNote {
  return {
    tenantId,
    deviceId: principal.deviceId,
    clientId: 'alice',
    username: principal.username,
    remoteAddress: '127.0.0.1',
    action: 'publish',
    topic,
    reason: Reasons.notAuthorized,
    detail: 'no rule allows it',
    at: 1_790_000_000_000,
  };
}
