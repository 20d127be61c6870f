import type { Random } from './random.js';

/** Units: beats a minute, percent, degrees Celsius, millimetres of mercury. */
export interface WearableValues {
  readonly heartRate: number;
  readonly spo2: number;
  readonly temperature: number;
  readonly bloodPressure: { readonly systolic: number; readonly diastolic: number };
}

/** One wearer: a person's own resting values, the course of a day over them, effort that comes and goes, noise on top. */
export function createWearable(random: Random): (hourOfDay: number) => WearableValues {
  const restingHeartRate = random.normal(62, 6);
  const restingSystolic = random.normal(118, 8);
  const restingDiastolic = random.normal(76, 5);
  const usualSpo2 = random.between(96.5, 98.8);
  const usualTemperature = random.normal(36.6, 0.15);
  let effort = 0;

  return (hour) => {
    const awake = wakefulness(hour);
    // Effort decays towards rest, and now and then somebody climbs the stairs.
    effort = effort * 0.9 + (random.next() < 0.02 * awake ? random.between(0.3, 1) : 0);
    const exertion = Math.min(effort, 1.2);
    return {
      heartRate: round(
        clamp(restingHeartRate + awake * 10 + exertion * 60 + random.normal(0, 1.5), 35, 200),
        0,
      ),
      spo2: round(clamp(usualSpo2 - exertion * 1.2 - (1 - awake) * 0.6 + random.normal(0, 0.3), 85, 100), 1),
      // Lowest in the early morning, highest in the late afternoon.
      temperature: round(
        clamp(usualTemperature + 0.35 * wave(hour, 17) + exertion * 0.3 + random.normal(0, 0.05), 35, 40),
        2,
      ),
      bloodPressure: {
        systolic: round(clamp(restingSystolic + awake * 6 + exertion * 25 + random.normal(0, 3), 80, 220), 0),
        diastolic: round(
          clamp(restingDiastolic + awake * 3 + exertion * 8 + random.normal(0, 2), 45, 130),
          0,
        ),
      },
    };
  };
}

/** 0 asleep, 1 awake, an hour of dawn and of dusk between. */
function wakefulness(hour: number): number {
  return clamp(Math.min(hour - 6, 23 - hour), 0, 1);
}

/** A day's cosine with its top at `top` o'clock. */
function wave(hour: number, top: number): number {
  return Math.cos(((hour - top) / 24) * 2 * Math.PI);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
