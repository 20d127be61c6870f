/**
 * One loop serves everybody: what one client asks for, all the others wait for. So work is counted, in units of about a quarter
 * of a microsecond (laying a small message into one more outbox), and a turn of the loop is shared out:
 *
 * - A connection that has used its share of a turn is not read on (`wait`); nor does a long piece of work go on (`work`). They stand
 *   in line, and after each turn in which whatever came in was read and sent on, those in front go on for one share together. So a
 *   newcomer's packet waits for one share, however many others have however much to do.
 * - What is to be sent goes out at the end of the turn, each outbox in one write; those first that whoever is not in line has to do
 *   with. What those in line send is written when they are done, or when enough was spent that the writes count for little beside
 *   it: no later than if their chunks were read to their ends. After a fan-out to thousands the writes are spread over turns.
 * - Where nearly every turn is one chunk, there is nothing to gather: the turn ends with the chunk, and the loop is not asked to call
 *   at its own end, which was a seventh of what a message costs at a steady rate (bench/history.md). One turn in sixteen ends with the
 *   loop's even so, and shows how many chunks come together by now.
 *
 * How large a share is. The shorter a turn, the less it finds to read in each socket and has to write to each, and system calls are
 * most of what is paid: shares of a quarter cost a third of the throughput where many are equally busy. But beside somebody who says
 * little, that is just the wait. So a share is a few times what those use who do not use theirs up: small beside quiet company,
 * large among the busy, and at its largest while only one has anything to say. Acknowledgements are not company: whoever only
 * answers what it is sent waits for nothing.
 */

/** What is written to at the end of a turn. */
export interface Flushed {
  flush(): void;
}

const smallestShare = 256;
const largestShare = 4096;
/** Of what a connection that does not use up its share spends in a turn, on the average. */
const timesCompany = 4;
/** Acknowledgements may have as much in any turn: those of a full window. */
const shareOfAnswers = 1024;
/** For so many turns nobody but one connection has said anything: it is alone. */
const turnsAlone = 1024;
/** What those in line spend before what they send is written: at least, and at most if there are many to write to. */
const leastOfBatch = 4096;
const mostOfBatch = 16_384;
/** Of a share, for each outbox that is written to. */
const unitsOfWrite = 64;
/** Outboxes that are written to in one turn; so many of those that others wait with, or that earlier turns left, are among them. */
const mostWrites = 128;
const leastOlder = 32;
const leastOlderInCompany = 16;
/** Chunks of a turn on the average: where there are fewer, the turn ends with the chunk that is read. */
const mostAlone = 1.5;
const turnsUncounted = 15;

/** Of a topic, or filter, that is looked up in a tree for the first time. */
export function unitsOfLookUp(topic: string): number {
  return 8 + topic.length / 6;
}

export class Turns {
  /** What one connection, or all that stand in line together, may spend in a turn. */
  share = 1024;
  /** Of this turn: connections that did not use up theirs of late, and what they spent on all but acknowledgements. */
  #quiet = 0;
  #quietUnits = 0;
  /** What one of them spends in a turn, on the average of some turns. */
  #company = 256;
  /** Who said something last, and for how many turns it has been nobody else. */
  #speaker: object | undefined = undefined;
  #turnsAlone = 0;
  /** Of the turn that is under way. */
  number = 0;
  readonly #soon: (callback: () => void) => void;
  #isScheduled = false;
  /** It is flushed when the chunk that is being read has been read, if nothing is scheduled by then. */
  #endsWithChunk = false;
  /** Of this turn, acknowledgements apart; and of one on the average, of those that end with the loop's. */
  #chunks = 0;
  #chunksInTurn: number = mostAlone;
  /** So many more may end with a chunk until one is counted. */
  #untilCounted = 0;
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

  /** A chunk is read, or what is held of one. */
  begin(): void {
    this.#freshAt = this.#fresh.length;
  }

  /** A chunk has come. What is added until `endChunk` may well be flushed there. */
  beginChunk(): void {
    this.#endsWithChunk = !this.#isScheduled && this.#chunksInTurn < mostAlone && this.#untilCounted > 0;
  }

  /** All of it is read. `isSpeech`: not only acknowledgements. */
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

  /** It has not used up its share of late, nor with this. */
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

  /** As `add`, and not before what has been promised already and can be had without waiting. */
  addLast(outbox: Flushed): void {
    this.add(outbox);
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
    // The last first: they are of what came in just now.
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
