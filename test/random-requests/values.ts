/** Values for the arguments of a request: mostly what is asked for, at times what somebody careless or hostile sends instead. */
import { Random } from '../crash/random.js';

const strange: readonly unknown[] = [
  null,
  '',
  'a/b',
  '+',
  '#',
  '${device}',
  '${x',
  '\u{1F600}',
  'e\u0301',
  'a\u0000b',
  '\ud83d',
  'x'.repeat(300),
  'x'.repeat(70_000),
  0,
  -1,
  1.5,
  1e308,
  2 ** 31,
  2 ** 53,
  true,
  [],
  {},
  [[]],
  [null],
  { a: null },
  '00000000-0000-0000-0000-000000000000',
  '2026-02-30T00:00:00Z',
  '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999Z',
  '-000001-01-01T00:00:00Z',
  '::1/129',
  '10.0.0.0/8',
  '::ffff:192.0.2.1',
  '__proto__',
  'constructor',
  '%00',
  '%',
  '1'.repeat(400),
  '-9223372036854775809',
  'NaN',
  '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
  'https://127.0.0.1/x',
];
const ordinary = [
  'a',
  'n1',
  'pump',
  '*',
  'a/${device}/#',
  '2026-11-30T00:00:00Z',
  '10.0.0.0/8',
  'https://keys.example/x',
];
const mostIds = 400;

export class Values {
  readonly #random: Random;
  /** Of things that are there, or were; what answers name is added. */
  readonly #ids: string[];

  constructor(seed: number, ids: readonly string[]) {
    this.#random = new Random(seed, 'requests');
    this.#ids = [...ids];
  }

  chance(probability: number): boolean {
    return this.#random.chance(probability);
  }

  pick<T>(choices: readonly T[]): T {
    return this.#random.pick(choices);
  }

  count(most: number): number {
    return Math.floor(this.#random.between(0, most + 1));
  }

  /** At times, or where it is nested deep. */
  isStrange(depth: number): boolean {
    return depth > 6 || this.#random.chance(0.1);
  }

  strange(): unknown {
    return this.#random.pick(strange);
  }

  word(): string {
    return this.#random.chance(0.3) ? `n${this.count(50)}` : this.#random.pick(ordinary);
  }

  id(): string {
    return this.#random.pick(this.#ids);
  }

  /** In a path, where everything is a text. */
  segment(): string {
    const value = this.#random.chance(0.85) ? this.id() : this.strange();
    return encodeURIComponent(
      typeof value === 'string' ? value.slice(0, 1_000).toWellFormed() : typeof value,
    );
  }

  learn(answer: unknown): void {
    if (typeof answer !== 'object' || answer === null) return;
    for (const [name, value] of Object.entries(answer)) {
      if (typeof value === 'string' && /id$/i.test(name)) this.#ids.push(value);
      else this.learn(value);
    }
    if (this.#ids.length > mostIds) this.#ids.splice(0, mostIds / 2);
  }
}
