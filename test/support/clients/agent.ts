/**
 * A tourist whose library runs in a program of ours: requests go in and answers come out, a line of JSON each (mqtt-js-agent.ts,
 * paho-agent.py). Many clients live in one such process, and are killed or frozen together.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import {
  Inbox,
  Refused,
  type Identity,
  type Letter,
  type Listener,
  type Route,
  type Tourist,
} from './tourist.js';

export interface WireLetter {
  readonly topic: string;
  /** base64 */
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
}

export interface WireListening {
  readonly filter: string;
  readonly qos: number;
  readonly keepAliveS: number;
  readonly isPersistent: boolean;
  readonly will: WireLetter | undefined;
}

/** `of` is the number of the request that started the client concerned. */
export type AgentRequest = { readonly n: number; readonly route: Route; readonly identity: Identity } & (
  | { readonly op: 'listen'; readonly listening: WireListening }
  | { readonly op: 'publish'; readonly letter: WireLetter }
  | { readonly op: 'request'; readonly letter: WireLetter; readonly responseTopic: string }
  | { readonly op: 'leave'; readonly of: number }
);

export interface AgentAnswer {
  readonly n: number;
  readonly done?: {
    readonly granted?: number;
    readonly sessionPresent?: boolean;
    readonly code?: number;
    readonly payload?: string;
  };
  /** CONNACK's code. */
  readonly refused?: number;
  readonly error?: string;
  readonly message?: WireLetter;
  readonly ping?: true;
}

type Done = NonNullable<AgentAnswer['done']>;
type Ask = AgentRequest extends infer Request
  ? Request extends unknown
    ? Omit<Request, 'n'>
    : never
  : never;

interface Asked {
  readonly resolve: (done: Done) => void;
  readonly reject: (error: Error) => void;
}

export class AgentTourist implements Tourist {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, Asked>();
  readonly #inboxes = new Map<number, { readonly messages: Inbox<Letter>; readonly pings: Inbox<true> }>();
  #n = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error('an agent answers on its standard output');
    createInterface({ input: child.stdout }).on('line', (line) =>
      this.#hear(JSON.parse(line) as AgentAnswer),
    );
    child.once('close', (code, signal) => {
      for (const { reject } of this.#asked.values()) reject(new Error(`the agent ended: ${code ?? signal}`));
      this.#asked.clear();
    });
  }

  async listen(
    route: Route,
    identity: Identity,
    listening: Parameters<Tourist['listen']>[2],
  ): Promise<Listener> {
    const n = (this.#n += 1);
    const messages = new Inbox<Letter>();
    const pings = new Inbox<true>();
    this.#inboxes.set(n, { messages, pings });
    const will = listening.will === undefined ? undefined : toWire(listening.will);
    const { granted = 0, sessionPresent } = await this.#ask(n, {
      op: 'listen',
      route,
      identity,
      listening: { ...listening, will },
    });
    return {
      granted,
      sessionPresent,
      messages: (count) => messages.take(count),
      pings: async (count) => void (await pings.take(count)),
      leave: async () => void (await this.#ask((this.#n += 1), { op: 'leave', of: n, route, identity })),
    };
  }

  async publish(route: Route, identity: Identity, letter: Letter): Promise<number | undefined> {
    const request = { op: 'publish', route, identity, letter: toWire(letter) } as const;
    return (await this.#ask((this.#n += 1), request)).code;
  }

  async request(route: Route, identity: Identity, letter: Letter, responseTopic: string): Promise<Buffer> {
    const request = { op: 'request', route, identity, letter: toWire(letter), responseTopic } as const;
    return Buffer.from((await this.#ask((this.#n += 1), request)).payload ?? '', 'base64');
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }

  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  #ask(n: number, request: Ask): Promise<Done> {
    return new Promise((resolve, reject) => {
      this.#asked.set(n, { resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify({ n, ...request })}\n`);
    });
  }

  #hear({ n, done, refused, error, message, ping }: AgentAnswer): void {
    if (message !== undefined) return this.#inboxes.get(n)?.messages.put(fromWire(message));
    if (ping !== undefined) return this.#inboxes.get(n)?.pings.put(ping);
    const asked = this.#asked.get(n);
    this.#asked.delete(n);
    if (done !== undefined) asked?.resolve(done);
    else asked?.reject(refused === undefined ? new Error(error) : new Refused(refused));
  }
}

function toWire({ topic, payload, qos, retain }: Letter): WireLetter {
  return { topic, payload: payload.toString('base64'), qos, retain };
}

function fromWire({ topic, payload, qos, retain }: WireLetter): Letter {
  return { topic, payload: Buffer.from(payload, 'base64'), qos: qos as Letter['qos'], retain };
}
