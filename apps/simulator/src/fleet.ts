import { createEnergyMeter } from './energy-meter.js';
import type { Endpoint } from './connection.js';
import { Device, type Identity, type Tally } from './device.js';
import type { Options } from './options.js';
import { createRandom, type Random } from './random.js';
import { createWearable } from './wearable.js';

/** Something that goes wrong with one device, at a time since the start. */
type Fault =
  | { readonly kind: 'outage'; readonly atMs: number; readonly forMs: number; readonly device: Device }
  | { readonly kind: 'death'; readonly atMs: number; readonly device: Device };

export interface Fleet {
  readonly devices: readonly Device[];
  readonly tally: Tally;
  /** Resolves when all are online; rejects when they are not in time. */
  connect(): Promise<void>;
  /** Measures, sends and suffers for the whole duration; then brings everybody back and waits until nothing is pending. */
  run(onSecond: (elapsedS: number) => void): Promise<void>;
  disconnect(): void;
}

const tickMs = 20;
// New connections a second: a fleet that comes up, not an attack.
const connectRate = 250;
const connectDeadlineMs = 60_000;
const drainDeadlineMs = 60_000;
// One device in ten loses its network once, one in fifty dies.
const outageShare = 0.1;
const deathShare = 0.02;

export function createFleet(identities: readonly Identity[], endpoint: Endpoint, options: Options): Fleet {
  const random = createRandom(options.seed);
  const tally: Tally = {
    online: 0,
    sent: 0,
    acknowledged: 0,
    resent: 0,
    reconnects: 0,
    refusals: 0,
    lastTrouble: '',
  };
  const startedAt = Date.now();
  const devices = identities.map((identity, index) => {
    const own = createRandom(Math.floor(random.next() * 2 ** 32));
    const measure = index % 2 === 0 ? wearable(own, startedAt, options) : meter(own, startedAt, options);
    return new Device({ identity, endpoint, qos: options.qos, random: own, measure, tally });
  });
  const faults = options.faults ? planFaults(devices, options, random) : [];

  return {
    devices,
    tally,
    async connect() {
      for (const [index, device] of devices.entries()) {
        device.connect();
        if (index % 10 === 9) await pause(10_000 / connectRate);
      }
      await until(() => tally.online === devices.length, connectDeadlineMs);
      if (tally.online < devices.length) {
        throw new Error(`${tally.online} of ${devices.length} devices got in: ${tally.lastTrouble}`);
      }
    },

    async run(onSecond) {
      const periodMs = 1000 / options.rate;
      const dueAt = devices.map(() => random.between(0, periodMs));
      const upcoming = [...faults].sort((a, b) => a.atMs - b.atMs);
      const begun = performance.now();
      let lastSecond = 0;
      for (let elapsed = 0; elapsed < options.durationS * 1000; elapsed = performance.now() - begun) {
        for (const [index, device] of devices.entries()) {
          for (let due = dueAt[index] ?? Infinity; due <= elapsed; due += periodMs) {
            device.measure();
            dueAt[index] = due + periodMs;
          }
        }
        while ((upcoming[0]?.atMs ?? Infinity) <= elapsed) strike(upcoming.shift());
        if (Math.floor(elapsed / 1000) > lastSecond) {
          lastSecond = Math.floor(elapsed / 1000);
          onSecond(lastSecond);
        }
        await pause(tickMs);
      }
      for (const device of devices) device.findNetwork();
      const settled = () =>
        devices.every((device) => device.isDead || (device.isOnline && device.pending === 0));
      await until(settled, drainDeadlineMs);
    },

    disconnect() {
      for (const device of devices) device.disconnect();
    },
  };
}

/** Outages early enough that all can come back; deaths at once, each between two readings so that no reading dies with it. */
function planFaults(devices: readonly Device[], { durationS }: Options, random: Random): readonly Fault[] {
  const faults: Fault[] = [];
  for (const device of devices) {
    const lot = random.next();
    const atMs = random.between(0.1, 0.6) * durationS * 1000;
    if (lot < deathShare) faults.push({ kind: 'death', atMs, device });
    else if (lot < deathShare + outageShare) {
      faults.push({ kind: 'outage', atMs, forMs: random.between(0.05, 0.25) * durationS * 1000, device });
    }
  }
  return faults;
}

function strike(fault: Fault | undefined): void {
  if (fault === undefined) return;
  if (fault.kind === 'death') {
    fault.device.dieWhenSettled();
    return;
  }
  fault.device.loseNetwork();
  setTimeout(() => fault.device.findNetwork(), fault.forMs);
}

function wearable(random: Random, startedAt: number, options: Options): () => object {
  const read = createWearable(random);
  const clock = createClock(random, startedAt, options);
  return () => ({ ts: clock.now(), ...read(clock.hourOfDay()) });
}

function meter(random: Random, startedAt: number, options: Options): () => object {
  const read = createEnergyMeter(random);
  const clock = createClock(random, startedAt, options);
  let last = clock.simulatedMs();
  return () => {
    const now = clock.simulatedMs();
    const elapsedS = (now - last) / 1000;
    last = now;
    return { ts: clock.now(), ...read(clock.hourOfDay(), elapsedS) };
  };
}

/** A device's own clock: most are a second or two off, some by minutes. The course of the day may be sped up. */
function createClock(random: Random, startedAt: number, { speed }: Options) {
  const skewMs = random.next() < 0.05 ? random.normal(0, 180_000) : random.normal(0, 1_500);
  const simulatedMs = (): number => startedAt + (Date.now() - startedAt) * speed;
  return {
    now: () => new Date(Date.now() + skewMs).toISOString(),
    simulatedMs,
    hourOfDay: () => (simulatedMs() / 3_600_000) % 24,
  };
}

async function until(condition: () => boolean, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!condition() && performance.now() < deadline) await pause(50);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
