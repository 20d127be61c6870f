import { describe, expect, it } from '@jest/globals';

import { Contests } from './contests.js';
import { defaultLimits } from './limits.js';
import type { ClientId } from './message.js';
import { Harness } from './testing/index.js';

const heldOff = 0x9f;

async function fight(h: Harness, rounds: number): Promise<(number | undefined)[]> {
  const codes: (number | undefined)[] = [];
  for (let round = 0; round < rounds; round += 1) codes.push((await h.connect5('twin')).connack?.code);
  return codes;
}

describe('a client identifier that is fought over', () => {
  it('stays with whoever holds it once it has changed hands too often, and the newcomer is held off', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxTakeovers: 3 };
    expect(await fight(h, 6)).toEqual([0, 0, 0, 0, heldOff, heldOff]);
    expect(h.broker.stats).toMatchObject({ connections: 1, heldOff: 2 });
    expect(h.journal.denials.at(-1)).toMatchObject({
      clientId: 'twin',
      action: 'connect',
      reason: { name: 'connection-rate-exceeded' },
      detail: 'the client identifier is fought over: it was taken 3 times within a minute',
    });
  });

  it('tells a 3.1.1 client that the server is not there for it now', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxTakeovers: 1 };
    const connect = () => h.connect('twin', { version: 4 });
    await connect();
    await connect();
    expect((await connect()).connack?.code).toBe(3);
  });

  it('can be taken again after a while', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxTakeovers: 1 };
    expect(await fight(h, 3)).toEqual([0, 0, heldOff]);
    await h.clock.advance(30_000);
    expect(await fight(h, 2)).toEqual([0, heldOff]);
  });

  it('does not hold off who comes when nobody is there any more, nor those of other identifiers', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxTakeovers: 1 };
    await h.connect5('twin');
    const holder = await h.connect5('twin');
    expect(await fight(h, 1)).toEqual([heldOff]);
    expect((await h.connect5('other')).connack?.code).toBe(0);
    await holder.cut();
    expect(await fight(h, 1)).toEqual([0]);
  });

  it('is no matter where the tenant sets no limit', async () => {
    const h = new Harness();
    h.gate.limits = { ...defaultLimits, maxTakeovers: 0 };
    expect(new Set(await fight(h, 30))).toEqual(new Set([0]));
  });
});

describe('contests', () => {
  it('forget what was a minute ago', () => {
    const contests = new Contests();
    const id = 'a' as ClientId;
    expect([0, 1, 2].map((now) => contests.take(id, 2, now))).toEqual([true, true, false]);
    const slow = new Contests();
    expect([0, 30_000, 60_000, 90_000].map((now) => slow.take(id, 2, now))).toEqual([true, true, true, true]);
  });

  it('are remembered in bounded number', () => {
    const contests = new Contests();
    for (let i = 0; i < 10_500; i += 1) contests.take(`c${i}` as ClientId, 5, i);
    expect(contests.size).toBe(10_000);
  });
});
