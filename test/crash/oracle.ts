/**
 * What was promised, held against what happened. Every message carries the name of its stream (topic and QoS) and its number
 * in it, counted from 1 without gaps; so all that has to be remembered is numbers.
 */

/** Who gets everything: one durable session, or the members of a shared subscription together. */
export interface Audience {
  readonly name: string;
  /** Granted QoS 2: what was published at QoS 2 comes once. At QoS 1 it comes once or more. */
  readonly isExactlyOnce: boolean;
  /** Of a shared subscription a repeated QoS 1 message may go to another member: only QoS 2 keeps its order there. */
  readonly isShared: boolean;
}

interface Deliveries {
  /** By number: how often. */
  readonly times: number[];
  /** By member: the highest number so far that had not come before. */
  readonly newest: Map<string, number>;
}

export class Stream {
  sent = 0;
  acknowledged = 0;
  readonly isAcknowledged: boolean[] = [];
  readonly deliveries = new Map<Audience, Deliveries>();

  constructor(
    readonly name: string,
    readonly qos: 1 | 2,
  ) {}
}

/** How often a will has to be seen. */
export type Expectation = 'once' | 'never' | 'at most once';

export interface Counts {
  sent: number;
  acknowledged: number;
  delivered: number;
  repeated: number;
  stored: number;
  storedAgain: number;
  retained: number;
  wills: Record<Expectation, number>;
}

export class Oracle {
  readonly streams = new Map<string, Stream>();
  readonly audiences: Audience[] = [];
  readonly violations: string[] = [];
  readonly counts: Counts = {
    sent: 0,
    acknowledged: 0,
    delivered: 0,
    repeated: 0,
    stored: 0,
    storedAgain: 0,
    retained: 0,
    wills: { once: 0, never: 0, 'at most once': 0 },
  };
  readonly #wills = new Map<string, number>();

  violation(what: string): void {
    this.violations.push(what);
  }

  stream(name: string, qos: 1 | 2): Stream {
    let stream = this.streams.get(name);
    if (stream === undefined) this.streams.set(name, (stream = new Stream(name, qos)));
    return stream;
  }

  /** The number of the next message of a stream. */
  send(stream: Stream): number {
    this.counts.sent += 1;
    return ++stream.sent;
  }

  /** PUBACK, or PUBREC: from here on the message is the server's. */
  acknowledge(stream: Stream, number: number): void {
    if (stream.isAcknowledged[number] === true) return;
    stream.isAcknowledged[number] = true;
    stream.acknowledged = Math.max(stream.acknowledged, number);
    this.counts.acknowledged += 1;
  }

  /** A message as its receiver takes it: at QoS 2 after the duplicates are out. */
  deliver(audience: Audience, member: string, name: string, number: number): void {
    const stream = this.streams.get(name);
    if (stream === undefined || number > stream.sent) {
      return this.violation(`${member} got ${name} #${number}, which nobody sent`);
    }
    let deliveries = stream.deliveries.get(audience);
    if (deliveries === undefined) {
      stream.deliveries.set(audience, (deliveries = { times: [], newest: new Map() }));
    }
    const before = deliveries.times[number] ?? 0;
    deliveries.times[number] = before + 1;
    this.counts.delivered += 1;
    if (before > 0) {
      this.counts.repeated += 1;
      if (stream.qos === 2 && audience.isExactlyOnce) {
        this.violation(`${audience.name} got ${name} #${number} again, by ${member}`);
      }
      return;
    }
    const newest = deliveries.newest.get(member) ?? 0;
    deliveries.newest.set(member, Math.max(newest, number));
    if (number < newest && (stream.qos === 2 || !audience.isShared)) {
      this.violation(`${member} got ${name} #${number} after #${newest}`);
    }
  }

  /** Whether everything acknowledged has reached everybody. */
  get isDelivered(): boolean {
    for (const stream of this.streams.values()) {
      for (const audience of this.audiences) if (this.#missing(stream, audience).length > 0) return false;
    }
    return true;
  }

  #missing(stream: Stream, audience: Audience): number[] {
    const times = stream.deliveries.get(audience)?.times;
    const missing: number[] = [];
    for (let number = 1; number <= stream.sent; number++) {
      if (stream.isAcknowledged[number] === true && times?.[number] === undefined) missing.push(number);
    }
    return missing;
  }

  judgeDeliveries(): void {
    for (const stream of this.streams.values()) {
      for (const audience of this.audiences) {
        const missing = this.#missing(stream, audience);
        if (missing.length > 0)
          this.violation(`${audience.name} never got ${stream.name} ${listed(missing)}`);
      }
    }
  }

  /** All rows of the streams of one telemetry topic, in any order. */
  judgeStored(
    streams: readonly Stream[],
    rows: readonly { readonly stream: string; readonly number: number }[],
  ): void {
    const times = new Map(streams.map((stream) => [stream.name, [] as number[]]));
    for (const { stream, number } of rows) {
      const of = times.get(stream);
      const known = this.streams.get(stream);
      if (of === undefined || known === undefined || number > known.sent) {
        this.violation(`stored: ${stream} #${number}, which nobody sent`);
      } else of[number] = (of[number] ?? 0) + 1;
    }
    for (const stream of streams) {
      const of = times.get(stream.name) ?? [];
      const missing: number[] = [];
      const doubled: number[] = [];
      for (let number = 1; number <= stream.sent; number++) {
        const count = of[number] ?? 0;
        if (count === 0 && stream.isAcknowledged[number] === true) missing.push(number);
        if (count > 1 && stream.qos === 2) doubled.push(number);
        this.counts.stored += Math.min(count, 1);
        this.counts.storedAgain += Math.max(count - 1, 0);
      }
      if (missing.length > 0)
        this.violation(`acknowledged and not stored: ${stream.name} ${listed(missing)}`);
      if (doubled.length > 0)
        this.violation(`stored more than once at QoS 2: ${stream.name} ${listed(doubled)}`);
    }
  }

  /** What a new subscriber found, against the last number that was acknowledged before it asked. */
  judgeRetained(stream: Stream, acknowledged: number, found: number | undefined): void {
    this.counts.retained += 1;
    if (acknowledged > (found ?? 0)) {
      this.violation(
        `retained: ${stream.name} #${acknowledged} was acknowledged, found ${found ?? 'nothing'}`,
      );
    }
  }

  willSeen(id: string): void {
    this.#wills.set(id, this.timesSeen(id) + 1);
  }

  timesSeen(will: string): number {
    return this.#wills.get(will) ?? 0;
  }

  judgeWill(id: string, expected: Expectation, why: string): void {
    this.counts.wills[expected] += 1;
    const times = this.timesSeen(id);
    const isRight = expected === 'once' ? times === 1 : expected === 'never' ? times === 0 : times <= 1;
    if (!isRight) this.violation(`will ${id} (${why}) was sent ${times} times, expected ${expected}`);
  }
}

function listed(numbers: readonly number[]): string {
  const shown = numbers.slice(0, 8).map((number) => `#${number}`);
  return numbers.length > 8 ? `${shown.join(' ')} … (${numbers.length})` : shown.join(' ');
}
