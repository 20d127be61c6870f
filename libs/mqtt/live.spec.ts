import { describe, expect, it } from '@jest/globals';

import type { TenantId } from './message.js';
import { Harness } from './testing/index.js';

const tenantId = 'tenant-a' as TenantId;
const all = { concerns: () => true, mostSessions: 100, mostSubscriptions: 100, mostLetters: 1_000 };

describe('live sessions', () => {
  it('are those that are connected, with what they are subscribed to', async () => {
    const h = new Harness();
    const clean = await h.connect5('clean');
    await clean.subscribe(['a', 'b/#']);
    const durable = await h.connect5('durable', { expiry: 60 });
    await durable.subscribe(['c']);
    const away = await h.connect5('away', { expiry: 60 });
    await away.subscribe(['d']);
    away.link.cut();
    await h.clock.settle();
    const { sessions, isComplete } = await h.broker.liveSessions(tenantId, all);
    expect(isComplete).toBe(true);
    expect(
      sessions.map(({ principal, isDurable, subscriptions }) => [
        principal.clientId,
        isDurable,
        subscriptions.map(({ filter }) => filter),
      ]),
    ).toEqual([
      ['clean', false, ['a', 'b/#']],
      ['durable', true, ['c']],
    ]);
    const one = await h.broker.liveSessions(tenantId, {
      ...all,
      concerns: (who) => who.clientId === 'clean',
    });
    expect(one.sessions.length).toBe(1);
    expect(await h.broker.liveSessions('tenant-b' as TenantId, all)).toEqual({
      sessions: [],
      isComplete: true,
    });
  });

  it('are no more, and have no more subscriptions, than were asked for', async () => {
    const h = new Harness();
    for (const name of ['x', 'y']) await (await h.connect5(name)).subscribe(['a/long/filter', 'b']);
    const counted = async (bounds: object) => {
      const { sessions, isComplete } = await h.broker.liveSessions(tenantId, { ...all, ...bounds });
      return [sessions.length, sessions.flatMap(({ subscriptions }) => subscriptions).length, isComplete];
    };
    expect(await counted({})).toEqual([2, 4, true]);
    expect(await counted({ mostSessions: 1 })).toEqual([1, 2, false]);
    expect(await counted({ mostSubscriptions: 3 })).toEqual([2, 3, false]);
    expect(await counted({ mostLetters: 14 })).toEqual([2, 2, false]);
    expect(await counted({ mostSubscriptions: 4, mostSessions: 2 })).toEqual([2, 4, true]);
  });
});
