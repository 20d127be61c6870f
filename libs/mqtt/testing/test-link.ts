import type { Link, LinkSink, Transport } from '../ports.js';

/** What clients' bytes are in while the core has them, as over TCP: after that they are others. */
const lent = Buffer.alloc(64 * 1024);

/** The listener's half of a connection, in memory: what the core writes is kept, and a test decides how fast it is taken. */
export class TestLink implements Link {
  readonly transport: Transport = 'tcp';
  readonly remoteAddress = '192.0.2.1';
  readonly remotePort = 40_000;
  readonly serverName = undefined;
  readonly peerCertificate = undefined;
  /** Where the core listens; set once it has accepted the link. */
  sink: LinkSink | undefined;
  /** What the client has got so far. */
  received: Buffer = Buffer.alloc(0);
  writes = 0;
  /** Of the client, as far as the core has read. */
  sentBytes = 0;
  isPaused = false;
  /** The core has ended the link. */
  isEnded = false;
  #isStalled = false;
  #stalled: Buffer[] = [];
  #waiting: Buffer[] = [];

  write(chunks: readonly Buffer[]): boolean {
    this.writes += 1;
    if (this.#isStalled) {
      this.#stalled.push(...chunks);
      return false;
    }
    this.received = Buffer.concat([this.received, ...chunks]);
    return true;
  }

  get bufferedBytes(): number {
    return this.#stalled.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const chunk of waiting) this.send(chunk);
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isEnded = true;
  }

  /** Bytes from the client; they wait while the core has paused the link. */
  send(bytes: Buffer): void {
    if (this.isPaused) this.#waiting.push(bytes);
    else this.#lend(bytes);
  }

  #lend(bytes: Buffer): void {
    const memory = bytes.length > lent.length ? Buffer.alloc(bytes.length) : lent;
    bytes.copy(memory);
    this.sentBytes += bytes.length;
    this.sink?.received(memory.subarray(0, bytes.length));
    memory.fill(0xaa, 0, bytes.length);
  }

  /** The client stops reading. */
  stall(): void {
    this.#isStalled = true;
  }

  /** The client reads all there is, and goes on reading. */
  read(): void {
    this.#isStalled = false;
    this.received = Buffer.concat([this.received, ...this.#stalled]);
    this.#stalled = [];
    this.sink?.drained();
  }

  /** The client sends nothing more, and reads on. */
  finish(): void {
    this.sink?.finished();
  }

  /** The network goes away without a word. */
  cut(): void {
    this.sink?.closed(new Error('cut'));
  }
}
