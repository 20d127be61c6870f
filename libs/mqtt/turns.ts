/**
 * One loop serves everybody: while it works for one client, all others wait. So work is counted, in units of about a quarter of a
 * microsecond (what it costs to lay a small message into one more outbox), and a turn of the loop is shared out:
 *
 * - A connection that has used up its share of a turn is not read any further (`wait`), and a long piece of work stops (`work`). Both
 *   stand in line. In each turn all else that came in is read and sent on first; then those at the front of the line go on, for one
 *   share, all of them together. So a newcomer's packet waits for one share at most, however much others have to do.
 * - What is to be sent is written at the end of the turn, each outbox in one write; first the outboxes of messages from connections that
 *   are not in line. For those in line the writes wait until they are done, or have done so much that the writes cost little beside
 *   it. After a fan-out to thousands the writes are spread over turns.
 * - Where nearly every turn reads one chunk only, there is nothing to gather: the turn ends with the chunk, and the loop is not asked to
 *   call at its own end, which was a seventh of what a message costs at a steady rate (bench/history.md). Every sixteenth turn waits for
 *   the loop's end all the same, to see whether chunks come together by now.
 *
 * How large is a share? In a short turn there is little to read from each socket and to write to each, and system calls are most of the
 * cost: shares of a quarter of the size cost a third of the throughput where many are equally busy. But others wait for as long as a
 * share is. So it is a few times what those spend in a turn who do not use theirs up: small beside quiet connections, large among busy
 * ones, largest where only one says anything. Acknowledgements do not count for this: a client that only acknowledges waits for nobody.
 */

/** What is written to at the end of a turn. */
export interface Flushed {
  flush(): void;
}

const smallestShare = 256;
const largestShare = 4096;
/** A share is so many times what a connection that does not use up its share spends in a turn, on the average. */
const timesCompany = 4;
/** The least share of acknowledgements in any turn: those of a full window fit into it. */
const shareOfAnswers = 1024;
/** A connection is alone when nobody else has said anything for so many turns. */
const turnsAlone = 1024;
/** How much those in line spend before what they send is written: the least; and the most, where there are many outboxes. */
const leastOfBatch = 4096;
const mostOfBatch = 16_384;
/** Those in line spend so many units for each outbox before it is written to, within these two bounds. */
const unitsOfWrite = 64;
/** How many outboxes are written to in one turn; and how many of them, at least, are of earlier turns or of those in line. */
const mostWrites = 128;
const leastOlder = 32;
const leastOlderInCompany = 16;
/** Where a turn has fewer chunks than this on the average, it ends with the chunk that is read. */
const mostAlone = 1.5;
/** After so many such turns one ends with the loop's, and its chunks are counted. */
const turnsUncounted = 15;

/** What it costs to look up a topic or filter in a tree for the first time. */
export function unitsOfLookUp(topic: string): number {
  return 8 + topic.length / 6;
}

export class Turns {
  /** What one connection, or all that stand in line together, may spend in a turn. */
  share = 1024;
  /** In this turn: how many quiet connections (that have not used up a share of late) said something, and what they spent on it. */
  #quiet = 0;
  #quietUnits = 0;
  /** What a quiet connection spends in a turn, on the average of some turns. */
  #company = 256;
  /** Who said something last, and for how many turns it has been nobody else. */
  #speaker: object | undefined = undefined;
  #turnsAlone = 0;
  /** The number of the turn that is under way. */
  number = 0;
  readonly #soon: (callback: () => void) => void;
  #isScheduled = false;
  /** The turn ends when the chunk that is being read has been read, unless something is scheduled by then. */
  #endsWithChunk = false;
  /** Chunks of this turn that are more than acknowledgements; and of a turn that ends with the loop's, on the average. */
  #chunks = 0;
  #chunksInTurn: number = mostAlone;
  /** How many more turns may end with a chunk until one ends with the loop's. */
  #untilCounted = 0;
  #spent = 0;
  #isServing = false;
  /** Outboxes that were written into in this turn. */
  #fresh: Flushed[] = [];
  /** From here on they are those of the chunk that is being read. */
  #freshAt = 0;
  /** Outboxes that earlier turns left, from `#olderAt` on. */
  #older: Flushed[] = [];
  #olderAt = 0;
  #line: (() => void)[] = [];
  /** Outboxes that those in line wrote into, and what they have spent since these were last written to. */
  #batch: Flushed[] = [];
  #batchSpent = 0;

  constructor(soon: (callback: () => void) => void) {
    this.#soon = soon;
  }

  /** All that has been spent in this turn. The difference before and after a piece of work is what it cost. */
  get spent(): number {
    return this.#spent;
  }

  spend(units: number): void {
    this.#spent += units;
  }

  /** Before a chunk is read, or the rest of one that was held. */
  begin(): void {
    this.#freshAt = this.#fresh.length;
  }

  /** Before a chunk that has just come. What is added from here on may be flushed by `endChunk` already. */
  beginChunk(): void {
    this.#endsWithChunk = !this.#isScheduled && this.#chunksInTurn < mostAlone && this.#untilCounted > 0;
  }

  /** After the whole chunk. `isSpeech`: it had more than acknowledgements. */
  endChunk(isSpeech: boolean): void {
    if (isSpeech) this.#chunks += 1;
    if (!this.#endsWithChunk) return;
    this.#endsWithChunk = false;
    if (this.#isScheduled || this.#fresh.length === 0) return;
    this.#untilCounted -= 1;
    this.#end();
  }

  /** A connection says something that is not an acknowledgement for the first time in this turn. */
  heard(speaker: object, isQuiet: boolean): void {
    if (speaker !== this.#speaker) {
      this.#speaker = speaker;
      this.#turnsAlone = 0;
    }
    if (isQuiet) this.#quiet += 1;
  }

  /** What a quiet connection has spent on something that is not an acknowledgement. */
  spentQuietly(units: number): void {
    this.#quietUnits += units;
  }

  /** What a connection may spend in this turn until it waits: on acknowledgements, or on anything else. */
  shareFor(isAnswer: boolean): number {
    return isAnswer && this.share < shareOfAnswers ? shareOfAnswers : this.share;
  }

  /** It is flushed at the end of this turn, or soon after. */
  add(outbox: Flushed): void {
    if (this.#isServing) this.#batch.push(outbox);
    else this.#fresh.push(outbox);
    if (!this.#endsWithChunk) this.#schedule();
  }

  /** As `add`, but at the loop's end: what is about to happen without waiting comes first. */
  addLast(outbox: Flushed): void {
    this.add(outbox);
    this.#schedule();
  }

  /** As `wait`, for the connection that is being read: what it has just sent to others waits with it. */
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
    this.#soon(this.#endOfLoop);
  }

  /** Everything that came in has been read. */
  readonly #endOfLoop = (): void => {
    this.#isScheduled = false;
    this.#untilCounted = turnsUncounted;
    if (this.#chunks > 0) this.#chunksInTurn += (this.#chunks - this.#chunksInTurn) / 8;
    this.#end();
  };

  #end(): void {
    this.number += 1;
    this.#chunks = 0;
    this.#spent = 0;
    this.share = this.#nextShare();
    this.#flush();
    this.#serve();
    if (this.#line.length + this.#batch.length + this.#older.length > 0) this.#schedule();
  }

  #nextShare(): number {
    if (this.#quiet > 0) this.#company += (this.#quietUnits / this.#quiet - this.#company) / 8;
    this.#quiet = 0;
    this.#quietUnits = 0;
    this.#turnsAlone += 1;
    if (this.#isAlone) return largestShare;
    return Math.min(largestShare, Math.max(smallestShare, this.#company * timesCompany));
  }

  get #isAlone(): boolean {
    return this.#turnsAlone > turnsAlone;
  }

  #flush(): void {
    const fresh = this.#fresh;
    this.#fresh = [];
    this.#freshAt = 0;
    // The last ones now, for they are of what came in just now; the others are left for later turns.
    const left = Math.max(0, fresh.length - mostWrites);
    for (let i = left; i < fresh.length; i++) (fresh[i] as Flushed).flush();
    for (let i = 0; i < left; i++) this.#older.push(fresh[i] as Flushed);
    if (this.#isBatchDone()) {
      for (const outbox of this.#batch) this.#older.push(outbox);
      this.#batch = [];
      this.#batchSpent = 0;
    }
    const isShort = this.share === smallestShare;
    const most = isShort ? leastOlderInCompany : Math.max(leastOlder, mostWrites - fresh.length);
    for (let i = 0; i < most && this.#olderAt < this.#older.length; i++) {
      (this.#older[this.#olderAt++] as Flushed).flush();
    }
    if (this.#olderAt === this.#older.length) {
      this.#older = [];
      this.#olderAt = 0;
    }
  }

  #isBatchDone(): boolean {
    if (this.#line.length === 0) return true;
    const enough = Math.max(leastOfBatch, this.#batch.length * unitsOfWrite);
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
