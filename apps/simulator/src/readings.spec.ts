import { describe, expect, it } from '@jest/globals';
import { createEnergyMeter } from './energy-meter.js';
import { createRandom } from './random.js';
import { createWearable } from './wearable.js';

const hours = Array.from({ length: 24 * 60 }, (_, minute) => minute / 60);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const night = (hour: number) => hour < 5;
const noon = (hour: number) => hour > 11 && hour < 15;

describe('a wearable', () => {
  it('says the same for the same seed, and something else for another', () => {
    const day = (seed: number) => hours.map(createWearable(createRandom(seed)));
    expect(day(7)).toEqual(day(7));
    expect(day(7)).not.toEqual(day(8));
  });

  it('stays within what a living person shows', () => {
    const wrong = (seed: number) =>
      hours
        .map(createWearable(createRandom(seed)))
        .filter(
          ({ heartRate, spo2, temperature, bloodPressure: { systolic, diastolic } }) =>
            heartRate < 35 || heartRate > 200 || spo2 > 100 || temperature < 35 || systolic <= diastolic,
        );
    expect(Array.from({ length: 50 }, (_, seed) => wrong(seed)).flat()).toEqual([]);
  });

  it('beats slower at night than by day', () => {
    const wearable = createWearable(createRandom(3));
    const day = hours.map((hour) => ({ hour, ...wearable(hour) }));
    const rate = (when: (hour: number) => boolean) =>
      mean(day.filter(({ hour }) => when(hour)).map(({ heartRate }) => heartRate));
    expect(rate(night)).toBeLessThan(rate(noon));
  });
});

describe('an energy meter', () => {
  it('has registers that never fall, and one that grows by the power taken', () => {
    const meter = createEnergyMeter(createRandom(11));
    let before = meter(0, 0);
    for (const hour of hours) {
      const now = meter(hour, 60);
      expect([now.energy >= before.energy, now.energyFedIn >= before.energyFedIn]).toEqual([true, true]);
      expect(now.energy - before.energy).toBeCloseTo((now.activePower * 60) / 3_600_000, 3);
      before = now;
    }
  });

  it('feeds in at noon where there are panels, and nowhere at night', () => {
    const fleet = Array.from({ length: 40 }, (_, seed) => createEnergyMeter(createRandom(seed)));
    const fedIn = (hour: number) => fleet.map((meter) => meter(hour, 60).feedIn);
    expect(Math.max(...fedIn(1))).toBe(0);
    expect(fedIn(13).filter((watts) => watts > 0).length).toBeGreaterThan(5);
  });

  it('never takes and gives at the same time', () => {
    const meter = createEnergyMeter(createRandom(5));
    for (const hour of hours) {
      const { activePower, feedIn } = meter(hour, 60);
      expect(Math.min(activePower, feedIn)).toBe(0);
    }
  });
});
