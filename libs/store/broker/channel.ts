/**
 * A channel of PostgreSQL and the connection that LISTENs to it. A notification says only that there is something to look at; what,
 * is in a table, so that one that is missed, while the connection is lost or between two looks, makes nothing be missed.
 */
import { Client } from 'pg';

import { inUtc } from '../database/connection.js';
import { toStoreError } from '../database/errors.js';

export interface ChannelOptions {
  readonly url: string;
  /** What `application_name` says. */
  readonly name: string;
  readonly channel: string;
  /** Looks at what is there. One call at a time. True: there may be more, look again at once. */
  readonly look: (client: Client) => Promise<boolean>;
  /** The connection is lost, or `look` rejected; it goes on by itself. */
  readonly onError: (error: unknown) => void;
  /** Milliseconds after which to look where no notification came. Default: never. */
  readonly pollMs?: number;
}

const shortestPauseMs = 50;
const longestPauseMs = 2_000;

export class Channel {
  readonly #options: ChannelOptions;
  #client: Client | undefined;
  #isStopped = false;
  #hasNews = false;
  #wake: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Connects before there is anything to follow. Rejects where the database cannot be reached, or where `first` does. */
  async open(first: (client: Client) => Promise<void>): Promise<void> {
    try {
      await first(await this.#connect());
    } catch (error) {
      await this.#disconnect();
      throw toStoreError(error);
    }
  }

  /** Looks, and again whenever there are news, until it is stopped. Nobody waits for it: it connects, now and again, by itself. */
  follow(): void {
    this.#running = this.#follow();
  }

  /** `last`: what is still to be done with the connection, if it is there. */
  async stop(last?: (client: Client) => Promise<void>): Promise<void> {
    this.#isStopped = true;
    this.tell();
    await this.#running;
    if (last !== undefined && this.#client !== undefined)
      await last(this.#client).catch((error: unknown) => this.#options.onError(toStoreError(error)));
    await this.#disconnect();
  }

  /** There is something to look at. */
  tell(): void {
    this.#hasNews = true;
    this.#wake?.();
  }

  async #follow(): Promise<void> {
    let pauseMs = shortestPauseMs;
    while (!this.#isStopped) {
      try {
        const client = this.#client ?? (await this.#connect());
        this.#hasNews = false;
        const isMore = await this.#options.look(client);
        pauseMs = shortestPauseMs;
        if (!isMore) await this.#news(this.#options.pollMs);
      } catch (error) {
        this.#options.onError(toStoreError(error));
        await this.#disconnect();
        this.#hasNews = false;
        await this.#news(pauseMs);
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
  }

  async #connect(): Promise<Client> {
    const { url, name, channel } = this.#options;
    const client = new Client({
      connectionString: inUtc(url),
      application_name: name,
      connectionTimeoutMillis: 5_000,
      query_timeout: 30_000,
      keepAlive: true,
    });
    const lost = (): void => {
      if (this.#client !== client) return; // it was never there, or is given up already: whoever cannot connect pauses
      this.#client = undefined;
      this.tell();
    };
    client.on('error', lost); // its queries' rejections say what happened
    client.on('end', lost);
    client.on('notification', () => this.tell());
    await client.connect();
    this.#client = client;
    // Before the first look at the table: what commits after that look wakes us.
    await client.query(`LISTEN ${channel}`);
    return client;
  }

  async #disconnect(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined); // it is given up, whatever its end is like
  }

  /** Resolves at once for news that came while nobody waited; without a time, only for news. */
  async #news(ms?: number): Promise<void> {
    if (this.#isStopped || this.#hasNews) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }
}
