export function at(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.floor((sorted.length - 1) * share)] ?? NaN;
}

export function median(numbers: readonly number[]): number {
  return at(
    [...numbers].sort((a, b) => a - b),
    0.5,
  );
}

/** Where the median of what these are samples of lies with 95 % confidence: between two of them, however they are distributed. Of fewer than six: the extremes. */
export function medianRange(numbers: readonly number[]): [from: number, to: number] {
  const sorted = [...numbers].sort((a, b) => a - b);
  const outside = Math.max(0, Math.floor((sorted.length - 1.96 * Math.sqrt(sorted.length)) / 2));
  return [sorted[outside] ?? NaN, sorted[sorted.length - 1 - outside] ?? NaN];
}

export function show(number: number): string {
  return Math.round(number).toLocaleString('en');
}
