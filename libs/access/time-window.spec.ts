import { describe, expect, it } from '@jest/globals';

import { type TimeWindow, windowAt } from './time-window.js';

const at = (text: string) => Date.parse(text);
const state = (window: TimeWindow, now: string) => {
  const { isOpen, until } = windowAt(window, at(now));
  return [isOpen, new Date(until).toISOString()];
};

describe('a time window', () => {
  const office: TimeWindow = { days: ['mon', 'fri'], from: '08:00', to: '18:00', zone: 'UTC' };

  it.each([
    ['2026-11-23T07:59:59.999Z', false, '2026-11-23T08:00:00.000Z'], // a Monday
    ['2026-11-23T08:00:00Z', true, '2026-11-23T18:00:00.000Z'],
    ['2026-11-23T18:00:00Z', false, '2026-11-27T08:00:00.000Z'],
    ['2026-11-27T20:00:00Z', false, '2026-11-30T08:00:00.000Z'],
  ])('at %s is open: %s, until %s', (now, isOpen, until) =>
    expect(state(office, now)).toEqual([isOpen, until]),
  );

  it('that passes midnight belongs to the day on which it begins', () => {
    const night: TimeWindow = { days: ['fri'], from: '22:00', to: '06:00', zone: 'UTC' };
    expect(state(night, '2026-11-27T23:00:00Z')).toEqual([true, '2026-11-28T06:00:00.000Z']);
    expect(state(night, '2026-11-28T05:59:00Z')).toEqual([true, '2026-11-28T06:00:00.000Z']);
    expect(state(night, '2026-11-27T05:00:00Z')).toEqual([false, '2026-11-27T22:00:00.000Z']);
    expect(state(night, '2026-11-28T06:00:00Z')).toEqual([false, '2026-12-04T22:00:00.000Z']);
  });

  it('that ends at 24:00 ends with the day', () => {
    const day: TimeWindow = { from: '00:00', to: '24:00', zone: 'Asia/Kolkata' };
    expect(state(day, '2026-11-27T18:29:00Z')).toEqual([true, '2026-11-27T18:30:00.000Z']);
  });

  it('follows the clocks of its place through the year', () => {
    const morning: TimeWindow = { from: '08:00', to: '09:00', zone: 'Europe/Berlin' };
    expect(state(morning, '2026-03-28T07:30:00Z')).toEqual([true, '2026-03-28T08:00:00.000Z']); // CET
    expect(state(morning, '2026-03-28T08:00:00Z')).toEqual([false, '2026-03-29T06:00:00.000Z']); // CEST from then on
    // 02:30 is left out that night: the window begins when the clocks are put forward.
    const gap: TimeWindow = { from: '02:30', to: '04:00', zone: 'Europe/Berlin' };
    expect(state(gap, '2026-03-29T01:40:00Z')).toEqual([true, '2026-03-29T02:00:00.000Z']);
  });

  it('never stands still: what it says holds until a later moment', () => {
    const windows: TimeWindow[] = [
      office,
      { from: '02:30', to: '02:45', zone: 'Europe/Berlin' },
      { from: '22:00', to: '21:00', zone: 'America/New_York' },
    ];
    for (const window of windows) {
      let now = at('2026-03-20T00:00:00Z');
      for (let step = 0; step < 60; step += 1) {
        const { until } = windowAt(window, now);
        expect(until).toBeGreaterThan(now);
        now = until;
      }
    }
  });
});
