import type { Clock, Timer } from '../ports.js';

interface Alarm {
  at: number;
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/** Time that moves only when told to. `settle` runs everything that is ready without any of it moving. */
export class FakeClock implements Clock {
  setForwardMs = 0;
  #now: number;
  #order = 0;
  #alarms: Alarm[] = [];
  #soon: (() => void)[] = [];

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): Timer {
    const alarm: Alarm = { at: this.#now + ms, order: this.#order++, callback, cancelled: false };
    this.#alarms.push(alarm);
    return {
      cancel: () => {
        alarm.cancelled = true;
      },
    };
  }

  soon(callback: () => void): void {
    this.#soon.push(callback);
  }

  /** It is later, and no time has passed: alarms wait for as long as before. */
  setForward(ms: number): void {
    this.#now += ms;
    this.setForwardMs += ms;
    for (const alarm of this.#alarms) alarm.at += ms;
  }

  /** Alarms that still wait: none may be left behind by a connection that ended. */
  get pendingAlarms(): number {
    return this.#alarms.filter((alarm) => !alarm.cancelled).length;
  }

  /** What a process that is killed leaves undone. */
  forget(): void {
    this.#alarms = [];
    this.#soon = [];
  }

  /** Lets promises and turns of the loop run until nothing new comes of them. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 2; quiet++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#soon.length > 0) quiet = -1;
      const ready = this.#soon;
      this.#soon = [];
      for (const callback of ready) callback();
    }
  }

  /** One turn of the loop, and the promises that settle in it. */
  async turn(): Promise<void> {
    const ready = this.#soon;
    this.#soon = [];
    for (const callback of ready) callback();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves time forward, alarm by alarm, and lets what each sets off settle. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await this.settle();
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      this.#now = Math.max(this.#now, next.at);
      next.cancelled = true;
      next.callback();
      await this.settle();
    }
    this.#now = until;
  }

  #next(until: number): Alarm | undefined {
    this.#alarms = this.#alarms.filter((alarm) => !alarm.cancelled);
    let next: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.at > until) continue;
      if (next === undefined || alarm.at < next.at || (alarm.at === next.at && alarm.order < next.order))
        next = alarm;
    }
    return next;
  }
}
