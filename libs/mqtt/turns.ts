/**
 * One loop serves everybody: what one client asks for, all the others wait for. So work is counted, in units of about a quarter
 * of a microsecond (laying a small message into one more outbox), and a turn of the loop is shared out:
 *
 * - A connection that has used its share of a turn is not read on (`wait`); nor does a long piece of work go on (`work`). They stand
 *   in line, and after each turn in which whatever came in was read and sent on, those in front go on for one share together. So a
 *   newcomer's packet waits for one share, however many others have however much to do.
 * - What is to be sent goes out at the end of the turn, each outbox in one write. After a fan-out to thousands the writes are
 *   spread over turns too; those of the newest turn come first, for the rest of them wait already.
 *
 * A small share costs throughput: each turn asks the kernel what there is to read, and writes once to every outbox. So the share
 * grows with the outboxes that wait, which cost as much anyway, and while only one connection has anything to say.
 */

/** What is written to at the end of a turn. */
export interface Flushed {
  flush(): void;
}

const smallestShare = 256;
const largestShare = 2048;
/** While nobody but one connection has said anything for so many turns. */
const shareAlone = 1024;
const turnsAlone = 32;
/** A write is a system call, as long as this. */
const unitsOfWrite = 32;
/** Outboxes of the newest turn, and as many of those before it, that are written to in one turn. */
const mostWrites = 32;

/** Of a topic, or filter, that is looked up in a tree for the first time. */
export function unitsOfLookUp(topic: string): number {
  return 8 + topic.length / 6;
}

export class Turns {
  /** Of the turn that is under way. */
  number = 0;
  /** Connections that were read from in this turn; turns in which there was one at most. */
  #voices = 0;
  #turnsAlone = 0;
  readonly #soon: (callback: () => void) => void;
  #isScheduled = false;
  #spent = 0;
  #fresh: Flushed[] = [];
  /** Those that earlier turns left, from `#olderAt` on. */
  #older: Flushed[] = [];
  #olderAt = 0;
  #line: (() => void)[] = [];

  constructor(soon: (callback: () => void) => void) {
    this.#soon = soon;
  }

  /** All that has been spent in this turn: who wants to know what something cost looks before and after. */
  get spent(): number {
    return this.#spent;
  }

  spend(units: number): void {
    this.#spent += units;
  }

  /** A connection says something for the first time in this turn. */
  heard(): void {
    this.#voices += 1;
    if (this.#voices > 1) this.#turnsAlone = 0;
  }

  /** What one connection, or all that stand in line together, may spend in this turn. */
  get share(): number {
    const writes = (this.#fresh.length + this.#older.length - this.#olderAt) * unitsOfWrite;
    const least = this.#turnsAlone < turnsAlone ? smallestShare : shareAlone;
    return Math.min(largestShare, Math.max(least, writes));
  }

  /** It is flushed at the end of this turn, or soon after. */
  add(outbox: Flushed): void {
    this.#fresh.push(outbox);
    this.#schedule();
  }

  /** Goes on when others have had their turn. `goOn` must not throw. */
  wait(goOn: () => void): void {
    this.#line.push(goOn);
    this.#schedule();
  }

  /**
   * A long piece of work, step by step, as much in a turn as the others can bear. `step` does a little, spends what that costs, and
   * returns false when nothing is left. Undefined: it was done at once.
   */
  work(step: () => boolean): Promise<void> | undefined {
    if (this.#goOn(step)) return undefined;
    return new Promise((resolve, reject) => {
      const goOn = (): void => {
        try {
          if (this.#goOn(step)) resolve();
          else this.wait(goOn);
        } catch (error) {
          reject(error as Error);
        }
      };
      this.wait(goOn);
    });
  }

  /** Returns whether the work is done. */
  #goOn(step: () => boolean): boolean {
    const before = this.#spent;
    while (step()) if (this.#spent - before >= this.share) return false;
    return true;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#soon(this.#end);
  }

  /** Everything that came in has been read. */
  readonly #end = (): void => {
    this.#isScheduled = false;
    this.number += 1;
    this.#spent = 0;
    this.#turnsAlone += 1;
    this.#voices = 0;
    this.#flush();
    this.#serve();
    if (this.#line.length > 0 || this.#older.length > 0) this.#schedule();
  };

  #flush(): void {
    const fresh = this.#fresh;
    this.#fresh = [];
    for (let i = 0; i < mostWrites && this.#olderAt < this.#older.length; i++) {
      (this.#older[this.#olderAt++] as Flushed).flush();
    }
    if (this.#olderAt === this.#older.length) {
      this.#older = [];
      this.#olderAt = 0;
    }
    // The last first: what came in is read after those in line have gone on, and so its outboxes come after theirs.
    const left = Math.max(0, fresh.length - mostWrites);
    for (let i = left; i < fresh.length; i++) (fresh[i] as Flushed).flush();
    for (let i = 0; i < left; i++) this.#older.push(fresh[i] as Flushed);
  }

  #serve(): void {
    const line = this.#line;
    this.#line = [];
    let served = 0;
    while (served < line.length && this.#spent < this.share) (line[served++] as () => void)();
    if (served < line.length) this.#line = [...line.slice(served), ...this.#line];
  }
}
