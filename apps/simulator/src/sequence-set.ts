/** Numbers from 1 on that mostly come in order: everything up to a mark, and the few that ran ahead of it. */
export class SequenceSet {
  #through = 0;
  readonly #ahead = new Set<number>();

  /** False where it was in already. */
  add(sequence: number): boolean {
    if (this.has(sequence)) return false;
    this.#ahead.add(sequence);
    while (this.#ahead.delete(this.#through + 1)) this.#through += 1;
    return true;
  }

  has(sequence: number): boolean {
    return sequence <= this.#through || this.#ahead.has(sequence);
  }

  get size(): number {
    return this.#through + this.#ahead.size;
  }

  /** How many of these the other one lacks. */
  lackingIn(other: SequenceSet): number {
    let lacking = 0;
    for (let sequence = 1; sequence <= this.#through; sequence += 1) if (!other.has(sequence)) lacking += 1;
    for (const sequence of this.#ahead) if (!other.has(sequence)) lacking += 1;
    return lacking;
  }
}
