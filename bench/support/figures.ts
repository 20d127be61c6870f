export function at(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.floor((sorted.length - 1) * share)] ?? NaN;
}

export function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

export function median(numbers: readonly number[]): number {
  return at(
    [...numbers].sort((a, b) => a - b),
    0.5,
  );
}

/** Samples that came in groups: of one phase or round each, which have more in common than samples of different ones. */
export class Grouped {
  readonly #values: Float64Array;
  /** Whose group each of the sorted values is. */
  readonly #groups: Uint32Array;

  constructor(groups: readonly (readonly number[])[]) {
    const all = groups.flatMap((values, group) => values.map((value) => ({ value, group })));
    all.sort((a, b) => a.value - b.value);
    this.#values = Float64Array.from(all, ({ value }) => value);
    this.#groups = Uint32Array.from(all, ({ group }) => group);
  }

  /** With each group so many times. */
  at(share: number, times: ArrayLike<number>): number {
    const groups = this.#groups;
    let total = 0;
    for (const group of groups) total += times[group] ?? 0;
    let above = total * (1 - share);
    let i = groups.length - 1;
    for (; i > 0 && above > 0; i--) above -= times[groups[i] ?? 0] ?? 0;
    return this.#values[i] ?? NaN;
  }
}

/** `ratio` of groups drawn again and again, each as often as chance has it: where it lies with 95 % confidence. */
export function bootstrapRange(
  groups: number,
  ratio: (times: Uint32Array) => number,
): [from: number, to: number] {
  const draws = 500;
  const ratios = Array.from({ length: draws }, () => {
    const times = new Uint32Array(groups);
    for (let i = 0; i < groups; i++) {
      const group = Math.floor(Math.random() * groups);
      times[group] = (times[group] ?? 0) + 1;
    }
    return ratio(times);
  }).sort((a, b) => a - b);
  return [at(ratios, 0.025), at(ratios, 0.975)];
}

export function show(number: number): string {
  return Math.round(number).toLocaleString('en');
}
