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
 * What that costs is mostly system calls: the shorter a turn, the less it finds to read in each socket, and has to write to each. So
 * the share grows with the connections that are read from or written to, which make the turn that much longer anyway, and is at
 * its largest while only one has anything to say. And what those in line send is written when they are done, or when enough was
 * spent that the writes count for little beside it: no later than if their chunks were read to their ends.
 */

/** What is written to at the end of a turn. */
export interface Flushed {
  flush(): void;
}

const smallestShare = 1024;
const largestShare = 4096;
/** Of a share, for each connection that is read from or written to: a system call or two, and what belongs to them. */
const unitsOfCall = 64;
/** While nobody but one connection has said anything for so many turns. */
const turnsAlone = 32;
/** What those in line spend before what they send is written: at least, and at most if there are many to write to. */
const leastOfBatch = 4096;
const mostOfBatch = 16_384;
/** Outboxes that are written to in one turn; so many of those that earlier turns left are among them, or beside them. */
const mostWrites = 128;
const leastOlder = 32;

/** Of a topic, or filter, that is looked up in a tree for the first time. */
export function unitsOfLookUp(topic: string): number {
  return 8 + topic.length / 6;
}

export class Turns {
  /** What one connection, or all that stand in line together, may spend in a turn. */
  share = smallestShare;
  /** Connections that said something in this turn; turns in which there was one at most. */
  #voices = 0;
  #turnsAlone = 0;
  /** Of the turn that is under way. */
  number = 0;
  readonly #soon: (callback: () => void) => void;
  #isScheduled = false;
  #spent = 0;
  #isServing = false;
  #fresh: Flushed[] = [];
  /** Where those begin in `#fresh` that the chunk which is being read has to do with. */
  #freshAt = 0;
  /** Those that earlier turns left, from `#olderAt` on. */
  #older: Flushed[] = [];
  #olderAt = 0;
  #line: (() => void)[] = [];
  /** Those that whoever stands in line has to do with, and what was spent on them. */
  #batch: Flushed[] = [];
  #batchSpent = 0;

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

  /** A chunk is read. */
  begin(): void {
    this.#freshAt = this.#fresh.length;
  }

  /** A connection says something for the first time in this turn. */
  heard(): void {
    this.#voices += 1;
  }

  /** It is flushed at the end of this turn, or soon after. */
  add(outbox: Flushed): void {
    if (this.#isServing) this.#batch.push(outbox);
    else this.#fresh.push(outbox);
    this.#schedule();
  }

  /** Whoever is being read goes on when others have had their turn. `goOn` must not throw. */
  waitToRead(goOn: () => void): void {
    while (this.#fresh.length > this.#freshAt) this.#batch.push(this.#fresh.pop() as Flushed);
    this.wait(goOn);
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
          reject(error);
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
    this.share = this.#nextShare();
    this.#voices = 0;
    this.#flush();
    this.#serve();
    if (this.#line.length + this.#batch.length + this.#older.length > 0) this.#schedule();
  };

  #nextShare(): number {
    this.#turnsAlone = this.#voices > 1 ? 0 : this.#turnsAlone + 1;
    if (this.#turnsAlone >= turnsAlone) return largestShare;
    const calls = Math.max(this.#voices, this.#batch.length);
    return Math.min(largestShare, Math.max(smallestShare, calls * unitsOfCall));
  }

  #flush(): void {
    let fresh = this.#fresh;
    this.#fresh = [];
    this.#freshAt = 0;
    if (this.#isBatchDone()) {
      if (this.#batch.length > 0) fresh = [...this.#batch, ...fresh];
      this.#batch = [];
      this.#batchSpent = 0;
    }
    const older = Math.max(leastOlder, mostWrites - fresh.length);
    for (let i = 0; i < older && this.#olderAt < this.#older.length; i++) {
      (this.#older[this.#olderAt++] as Flushed).flush();
    }
    if (this.#olderAt === this.#older.length) {
      this.#older = [];
      this.#olderAt = 0;
    }
    // The last first: they are of what came in just now.
    const left = Math.max(0, fresh.length - mostWrites);
    for (let i = left; i < fresh.length; i++) (fresh[i] as Flushed).flush();
    for (let i = 0; i < left; i++) this.#older.push(fresh[i] as Flushed);
  }

  #isBatchDone(): boolean {
    if (this.#line.length === 0) return true;
    const enough = Math.max(leastOfBatch, this.#batch.length * unitsOfCall);
    return this.#batchSpent >= Math.min(mostOfBatch, enough);
  }

  #serve(): void {
    const line = this.#line;
    if (line.length === 0) return;
    this.#line = [];
    this.#isServing = true;
    const before = this.#spent;
    let served = 0;
    while (served < line.length && this.#spent - before < this.share) (line[served++] as () => void)();
    this.#isServing = false;
    this.#batchSpent += this.#spent - before;
    if (served < line.length) this.#line = [...line.slice(served), ...this.#line];
  }
}
