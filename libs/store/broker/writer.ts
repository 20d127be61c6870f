/**
 * The one writer of a broker process: group commit. Whatever is submitted while a batch is being committed is the next batch,
 * so that a lone message waits for one commit, and under load batches grow by themselves. Operations are written and
 * reported in the order in which they were submitted, each exactly once.
 *
 * A commit whose answer is lost. Each batch raises a number in the process's own row, first thing in its transaction, and only
 * from the number before; so the row is locked until the transaction ends, and the same batch cannot be written a second time.
 * After a lost connection the writer reads its row FOR UPDATE, which waits for a transaction that is still under way: the
 * number then says whether the batch is committed. A process whose row is gone has lost its lease and writes nothing more.
 */
import { Client } from 'pg';

import type { ClaimedSession } from '#mqtt';

import type { Batch, Effects } from './batch.js';
import { belongTogether, keyOf, takeBatch } from './batch.js';
import { closed, leaseLost, unavailable, VaultError } from './vault-error.js';
import type { Claim, Operation } from './writes.js';
import { bytesOf } from './writes.js';
import { steadyPlans } from './statements/places.js';
import { readClaims, readLastBatch, writeBatch, WrongTurn } from './transaction.js';

export interface WriterOptions {
  readonly url: string;
  readonly processId: string;
  /** Of the process's row: the number of the last batch committed, and the high part of its message ids. */
  readonly lastBatch: number;
  readonly processNumber: number;
  /** Over either, `isFull`. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Without an answer for so long, a connection is given up. */
  readonly stallMs: number;
  readonly onLeaseLost: () => void;
  /** A failure that is being retried, or a row that was refused: for the log. */
  readonly onTrouble: (error: Error) => void;
}

export interface WriterStats {
  /** Operations that were submitted and are not reported yet, and their bytes. */
  readonly waiting: number;
  readonly waitingBytes: number;
  /** Transactions that were committed; and operations that were answered, committed or refused. */
  readonly batches: number;
  readonly operations: number;
  /** Transactions that failed and were begun again. */
  readonly retries: number;
  /** Operations that PostgreSQL refused for good. */
  readonly refused: number;
  /** Of the last transaction that was committed. */
  readonly commitMs: number;
}

// Rows a batch may have. Its columns are built in one go on the event loop, at 2–3 µs a row: larger ones would be felt in
// everyone's latency, and a thousand rows a commit are within a few per cent of five thousand.
const maxBatchWeight = 2_000;
// A transaction costs several times what a client's coming or going costs in it. So one with nothing else in it begins no sooner after
// the last one than this.
const betweenPresenceMs = 100;
const firstRetryMs = 50;
const longestRetryMs = 2_000;

interface Attempt {
  readonly batch: Batch;
  readonly number: number;
  /** Known once the commit has been asked for. */
  effects: Effects | undefined;
}

export class Writer {
  readonly #options: WriterOptions;
  readonly #firstMessageId: bigint;
  #nextMessage = 0n;
  #batch: number;
  #client: Client | undefined;
  #queue: Operation[] = [];
  #running = false;
  #endGathering: (() => void) | undefined;
  /** When the last transaction began. */
  #wroteAt = -Infinity;
  #waiting = 0;
  #waitingBytes = 0;
  #whenReady: (() => void)[] = [];
  /** Why nothing can be written at the moment; undefined again as soon as something has been. */
  #down: Error | undefined;
  /** Why nothing will ever be written again. */
  #ended: VaultError | undefined;
  #endPause: () => void = () => undefined;
  /** Claims that were told that the store is down while their batch was in doubt. */
  readonly #toldClaims = new WeakSet<Claim>();
  #batches = 0;
  #operations = 0;
  #retries = 0;
  #refused = 0;
  #commitMs = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#batch = options.lastBatch;
    // 2^40 messages for each of 2^23 processes: neither is reached.
    this.#firstMessageId = BigInt(options.processNumber) << 40n;
  }

  submit(operation: Operation): void {
    if (operation.kind === 'claim' && this.#down !== undefined) {
      const error = unavailable(this.#down);
      setImmediate(() => operation.stored(error));
      return;
    }
    this.#queue.push(operation);
    this.#waiting += 1;
    this.#waitingBytes += bytesOf(operation);
    if (operation.kind !== 'presence' || this.#queue.length >= maxBatchWeight) this.#endGathering?.();
    if (this.#running) return;
    this.#running = true;
    // What else this turn of the loop brings comes along.
    setImmediate(() => void this.#writeAll());
  }

  get isFull(): boolean {
    return this.#waiting >= this.#options.maxWaiting || this.#waitingBytes >= this.#options.maxWaitingBytes;
  }

  /** Called once, when half of what may wait is free; soon, where the writer is not full. */
  whenReady(callback: () => void): void {
    if (this.isFull) this.#whenReady.push(callback);
    else setImmediate(callback);
  }

  /** Resolves when everything submitted so far is committed or has failed. */
  flush(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.submit({ kind: 'barrier', stored: () => resolve() }));
  }

  /** Undefined: the last attempt to write went well. */
  get down(): Error | undefined {
    return this.#ended ?? this.#down;
  }

  get stats(): WriterStats {
    return {
      waiting: this.#waiting,
      waitingBytes: this.#waitingBytes,
      batches: this.#batches,
      operations: this.#operations,
      retries: this.#retries,
      refused: this.#refused,
      commitMs: this.#commitMs,
    };
  }

  /** What is not committed by now fails. */
  async close(): Promise<void> {
    this.end(closed());
    this.#dropClient();
    await this.flush();
  }

  /** Nothing will be written any more; what waits is told why, in order. */
  end(why: VaultError): void {
    this.#ended ??= why;
    this.#endPause();
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.#gatherPresence();
      this.#wroteAt = performance.now();
      const { operations } = takeBatch(this.#queue, maxBatchWeight);
      this.#queue = this.#queue.slice(operations.length);
      await this.#write(operations);
      this.#tellReady();
    }
    this.#running = false;
  }

  /**
   * Where clients came and went, and nothing else is to be written, for more of that to come along. Anything else is written at once, and
   * so is the first of them after a while: where there is no crowd, presence is not late.
   */
  async #gatherPresence(): Promise<void> {
    if (this.#ended !== undefined || this.#queue.length >= maxBatchWeight) return;
    if (this.#queue.some(({ kind }) => kind !== 'presence')) return;
    const restMs = this.#wroteAt + betweenPresenceMs - performance.now();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, restMs));
      this.#endGathering = () => {
        clearTimeout(timer);
        setImmediate(resolve); // what else this turn of the loop brings comes along
      };
    });
    this.#endGathering = undefined;
  }

  /** Returns when every one of the operations has been reported. */
  async #write(operations: readonly Operation[]): Promise<void> {
    if (operations.every(({ kind }) => kind === 'barrier')) return this.#tellAll(operations, undefined);
    let left = operations;
    for (let retryMs = firstRetryMs; left.length > 0; retryMs = Math.min(retryMs * 2, longestRetryMs)) {
      if (this.#ended !== undefined) return this.#tellAll(left, this.#ended);
      const attempt: Attempt = {
        batch: takeBatch(left, Infinity),
        number: this.#batch + 1,
        effects: undefined,
      };
      const error = await this.#try(attempt);
      if (error === undefined) return this.#report(attempt);
      if (isOfTheRows(error)) return this.#isolate(left, error);
      this.#goDown(error);
      left = this.#withoutClaims(left);
      await this.#pause(retryMs);
    }
  }

  /** Undefined: the batch is committed. An error: it is not, and never will be. */
  async #try(attempt: Attempt): Promise<Error | undefined> {
    const started = performance.now();
    try {
      await this.#use((client) =>
        writeBatch(client, attempt.batch, {
          processId: this.#options.processId,
          number: attempt.number,
          nextMessageId: () => this.#firstMessageId | this.#nextMessage++,
          committing: (effects) => {
            attempt.effects = effects;
          },
        }),
      );
    } catch (error) {
      const cause = toError(error);
      this.#options.onTrouble(cause);
      const isInDoubt = attempt.effects !== undefined || cause instanceof WrongTurn;
      if (!isInDoubt || !(await this.#isCommitted(attempt, cause))) return cause;
    }
    this.#down = undefined;
    this.#batch = attempt.number;
    this.#batches += 1;
    this.#commitMs = performance.now() - started;
    return undefined;
  }

  /** Asks the process's own row until it answers. */
  async #isCommitted(attempt: Attempt, cause: Error): Promise<boolean> {
    for (let retryMs = firstRetryMs; ; retryMs = Math.min(retryMs * 2, longestRetryMs)) {
      if (this.#ended !== undefined) return false;
      try {
        const last = await this.#use((client) => readLastBatch(client, this.#options.processId));
        if (last === attempt.number && attempt.effects !== undefined) return true;
        if (last === attempt.number - 1) return false;
        // The row is gone, or somebody else writes under this process's name.
        this.end(leaseLost());
        this.#options.onLeaseLost();
        return false;
      } catch (error) {
        this.#options.onTrouble(toError(error));
        this.#goDown(cause);
        // Their sessions' epochs may now be higher than anybody was told, which hurts nobody: the next claim raises them again.
        this.#withoutClaims(attempt.batch.operations);
        await this.#pause(retryMs);
      }
    }
  }

  /** Something in the batch is what PostgreSQL refuses: it is halved until that stands alone. */
  async #isolate(operations: readonly Operation[], cause: Error): Promise<void> {
    const [culprit] = operations;
    if (operations.length > 1 || culprit === undefined) {
      const middle = middleOf(operations);
      await this.#write(operations.slice(0, middle));
      return this.#write(operations.slice(middle));
    }
    // Whatever keeps it from being JSON: it can be kept as bytes.
    if (culprit.kind === 'telemetry' && !culprit.asBytes) return this.#write([{ ...culprit, asBytes: true }]);
    this.#refused += 1;
    this.#tellAll(operations, new VaultError('vault.refused', 'PostgreSQL refuses this row', cause));
  }

  async #report({ batch, effects }: Attempt): Promise<void> {
    const claims = await this.#readClaims(batch);
    batch.operations.forEach((operation, i) => {
      if (operation.kind !== 'claim') return this.#tell(operation, effects?.errors[i]);
      const session = claims.get(keyOf(operation.principal.tenantId, operation.principal.clientId));
      if (session === undefined) return this.#tell(operation, unavailable(this.#down));
      if (this.#settle(operation)) operation.claimed(session);
    });
  }

  async #readClaims(batch: Batch): Promise<ReadonlyMap<string, ClaimedSession>> {
    if (!batch.operations.some(({ kind }) => kind === 'claim')) return new Map();
    try {
      return await this.#use((client) => readClaims(client, batch));
    } catch (error) {
      this.#options.onTrouble(toError(error));
      return new Map();
    }
  }

  #tellAll(operations: readonly Operation[], error: Error | undefined): void {
    for (const operation of operations) this.#tell(operation, error);
  }

  #tell(operation: Operation, error: Error | undefined): void {
    if (this.#settle(operation)) operation.stored?.(error);
  }

  /** False: it has been told already. */
  #settle(operation: Operation): boolean {
    if (operation.kind === 'claim') {
      if (this.#toldClaims.has(operation)) return false;
      this.#toldClaims.add(operation);
    }
    this.#waiting -= 1;
    this.#waitingBytes -= bytesOf(operation);
    this.#operations += 1;
    return true;
  }

  /** Somebody waits at the door for a claim: where the store is down that is said at once, not when it is back. */
  #goDown(cause: Error): void {
    this.#retries += 1;
    this.#down = cause;
    this.#queue = this.#withoutClaims(this.#queue);
  }

  #withoutClaims(operations: readonly Operation[]): Operation[] {
    return operations.filter((operation) => {
      if (operation.kind !== 'claim') return true;
      this.#tell(operation, unavailable(this.#down));
      return false;
    });
  }

  #tellReady(): void {
    const { maxWaiting, maxWaitingBytes } = this.#options;
    if (this.#waiting > maxWaiting / 2 || this.#waitingBytes > maxWaitingBytes / 2) return;
    const callbacks = this.#whenReady;
    this.#whenReady = [];
    for (const callback of callbacks) callback();
  }

  /** A little less than asked for, so that processes do not come back all at once; cut short by the end. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms * (0.5 + Math.random() / 2));
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** After any failure the connection is given up with whatever transaction is open on it. */
  async #use<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const { stallMs } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    try {
      const client = await this.#connect();
      timer = setTimeout(() => client.connection.stream.destroy(), stallMs);
      return await work(client);
    } catch (error) {
      this.#dropClient();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #connect(): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    const client = new Client({
      connectionString: this.#options.url,
      application_name: 'moorage-broker-writer',
      pipeline: true,
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      // Where this end was lost without a word, its locks must not last.
      idle_in_transaction_session_timeout: 10_000,
    });
    this.#client = client;
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined;
    });
    await client.connect();
    await client.query(steadyPlans);
    // An acknowledgement means stored, whatever the server's default is.
    await client.query(
      `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
    );
    return client;
  }

  #dropClient(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.connection.stream.destroy();
  }
}

/** Not between the writes of one message, unless there is nothing else. */
function middleOf(operations: readonly Operation[]): number {
  const half = operations.length >> 1;
  for (let at = half; at > 0; at--) {
    const operation = operations[at];
    if (operation !== undefined && !belongTogether(operations[at - 1], operation)) return at;
  }
  return half;
}

/** Data exception, integrity violation, program limit: it will be refused every time, and only what is in it is to blame. */
function isOfTheRows(error: Error): boolean {
  const code: unknown = Reflect.get(error, 'code');
  const isRefusal = typeof code === 'string' && /^(22|23|54)/.test(code) && 'severity' in error;
  return isRefusal || error instanceof TypeError || error instanceof RangeError;
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
