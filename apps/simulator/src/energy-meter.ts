import type { Random } from './random.js';

/** Units: watts, kilowatt-hours, volts, amperes. */
export interface MeterValues {
  /** Taken from the grid; 0 while more is fed in than used. */
  readonly activePower: number;
  /** The meter's register of what was taken: it never falls. */
  readonly energy: number;
  readonly voltage: number;
  readonly current: number;
  /** Given to the grid by the solar panels. */
  readonly feedIn: number;
  /** The register of what was given: it never falls either. */
  readonly energyFedIn: number;
}

/** One household: base load, mornings and evenings, appliances that switch, and on some roofs panels under passing clouds. */
export function createEnergyMeter(random: Random): (hourOfDay: number, elapsedS: number) => MeterValues {
  const baseLoad = random.between(80, 350);
  const appetite = random.between(0.6, 1.6);
  const solarPeak = random.next() < 0.4 ? random.between(2_000, 9_000) : 0;
  let energy = random.between(500, 60_000);
  let energyFedIn = solarPeak > 0 ? random.between(100, 30_000) : 0;
  let appliance = 0;
  let clouds = random.next();

  return (hour, elapsedS) => {
    if (random.next() < 0.03) appliance = random.next() < 0.5 ? 0 : random.between(200, 2_500);
    clouds = clamp(clouds + random.normal(0, 0.03), 0, 1);
    const used = baseLoad + appetite * 700 * dailyDemand(hour) + appliance + Math.abs(random.normal(0, 15));
    const produced = solarPeak * sunshine(hour) * (1 - 0.75 * clouds);
    const net = used - produced;
    const activePower = Math.max(net, 0);
    const feedIn = Math.max(-net, 0);
    energy += (activePower * elapsedS) / 3_600_000;
    energyFedIn += (feedIn * elapsedS) / 3_600_000;
    // Feeding in lifts the voltage at the house, load pulls it down.
    const voltage = 230 - net / 1_500 + random.normal(0, 0.6);
    return {
      activePower: round(activePower, 1),
      energy: round(energy, 4),
      voltage: round(voltage, 1),
      current: round(Math.abs(net) / voltage, 3),
      feedIn: round(feedIn, 1),
      energyFedIn: round(energyFedIn, 4),
    };
  };
}

/** Peaks at half past seven and half past nineteen. */
function dailyDemand(hour: number): number {
  return 0.2 + bell(hour, 7.5, 1.5) * 0.7 + bell(hour, 19.5, 2.5);
}

/** From six to twenty, highest at one o'clock. */
function sunshine(hour: number): number {
  return Math.max(Math.sin(((hour - 6) / 14) * Math.PI), 0);
}

function bell(hour: number, top: number, width: number): number {
  const apart = Math.abs(hour - top);
  const distance = Math.min(apart, 24 - apart);
  return Math.exp(-(distance ** 2) / (2 * width ** 2));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
