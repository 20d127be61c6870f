import { describe, expect, it } from '@jest/globals';

import { checkRules } from './rules.js';
import { suggestRules, type Deed } from './suggest.js';

const by = (device: string, action: Deed['action'], topic: string): Deed => ({
  device,
  clientId: `${device}-a`,
  action,
  topic,
});

describe('a suggested policy', () => {
  it("has each device's own names as variables, and each topic once", () => {
    const rules = suggestRules([
      by('pump-1', 'publish', 'devices/pump-1/telemetry'),
      by('pump-2', 'publish', 'devices/pump-2/telemetry'),
      by('pump-1', 'publish', 'log/x-pump-1'),
      by('pump-2', 'subscribe', '$share/g/cmd/pump-2/#'),
    ]);
    expect(rules).toEqual([
      { effect: 'allow', actions: ['publish'], topics: ['devices/${device}/telemetry', 'log/x-${device}'] },
      { effect: 'allow', actions: ['subscribe'], topics: ['cmd/${device}/#'] },
    ]);
    expect(checkRules(rules).ok).toBe(true);
  });

  it('widens a level where many topics differ in it alone, and not the first', () => {
    const rooms = Array.from({ length: 6 }, (_, room) => by('d-1', 'publish', `house/room-${room}/light`));
    const houses = Array.from({ length: 6 }, (_, house) => by('d-1', 'publish', `house-${house}/door`));
    expect(suggestRules([...rooms, ...houses])[0]?.topics).toEqual([
      ...houses.map(({ topic }) => topic),
      'house/+/light',
    ]);
  });

  it('is none where nothing was done', () => {
    expect(suggestRules([])).toEqual([]);
  });
});
