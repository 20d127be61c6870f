/** Stands between a broker and its PostgreSQL: it can be slow, and it can lead to another server from one moment to the next. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

interface Waiting {
  readonly to: Socket;
  readonly chunk: Buffer;
  readonly at: number;
}

export class PostgresProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #delayMs = 0;

  private constructor(private target: number) {
    this.#server = createServer((client) => this.#join(client));
  }

  static async start(target: number): Promise<PostgresProxy> {
    const proxy = new PostgresProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The same place, by way of this proxy. */
  through(url: string): string {
    const changed = new URL(url);
    changed.port = String(this.port);
    return changed.href;
  }

  /** Everything takes so much longer in each direction; what waits goes on when that ends. */
  set delayMs(ms: number) {
    this.#delayMs = ms;
    if (ms === 0) this.#pass(Infinity);
  }

  /** Connections are cut; new ones lead there. */
  leadTo(target: number): void {
    this.target = target;
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket): void {
    const server = connect(this.target, '127.0.0.1');
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (chunk) => this.#take({ to, chunk, at: Date.now() + this.#delayMs }));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }

  #take(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#pass(Date.now());
  }

  #pass(until: number): void {
    clearTimeout(this.#timer);
    let next = this.#waiting[0];
    for (; next !== undefined && next.at <= until; next = this.#waiting[0]) {
      if (!next.to.destroyed) next.to.write(next.chunk);
      this.#waiting.shift();
    }
    if (next === undefined) return;
    this.#timer = setTimeout(() => this.#pass(Date.now()), Math.max(0, next.at - Date.now()));
  }
}
