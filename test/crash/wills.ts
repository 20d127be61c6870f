/**
 * Clients that live to die: each connects with a will of a name of its own, and comes to its end in one of the ways there are.
 * How often its will has to be seen is said in run.ts.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Chaos } from './chaos.js';
import { Connection, connectPacket, pause, type Endpoint, type Hello, type Identity } from './clients.js';
import type { Expectation, Oracle } from './oracle.js';
import type { Random } from './random.js';

export const willTopics = 'wills/#';

/** How long the clients of a dead broker may take to come back before their wills are due; a little less, for the clocks. */
const graceMs = 9_000;
const longestDelayS = 4;
/** Left alone for so long, the server has published what is due: a lease, then the grace, then another try, on a slow machine. */
const seenWithinMs = 80_000;
/** What a client says or suffers is stored within this, where nothing happens to the server. */
const settlingMs = 3_000;

interface Trial {
  readonly id: string;
  readonly isDurable: boolean;
  readonly delayS: number;
  readonly isProcess: boolean;
}

interface End {
  readonly trial: Trial;
  readonly how: 'goodbye' | 'killed' | 'server';
  readonly at: number;
}

/** A connection of this process, or of one that can be killed. */
interface Victim {
  readonly closed: Promise<void>;
  isClosed(): boolean;
  goodbye(): Promise<void>;
  kill(): void;
}

export class WillClient {
  #stopping = false;
  #running: Promise<void> | undefined;
  #trials = 0;

  constructor(
    readonly name: string,
    private readonly endpoint: Endpoint,
    private readonly identity: Identity,
    private readonly oracle: Oracle,
    private readonly chaos: Chaos,
    private readonly random: Random,
  ) {}

  start(): void {
    this.#running = this.#live();
  }

  /** Says good-bye, once its present trial is over. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #live(): Promise<void> {
    let before: End | undefined;
    while (!this.#stopping || before !== undefined) {
      const trial = this.#next();
      const victim = await this.#connect(trial);
      const cameAt = Date.now();
      if (before !== undefined) this.#judgeReturn(before, trial, cameAt);
      const end = await this.#die(trial, victim);
      const comesBack = end.how !== 'goodbye' && !this.#stopping && this.random.chance(0.5);
      before = comesBack ? end : undefined;
      if (comesBack) await pause(this.random.between(0, 600));
      else await this.#stayAway(end);
    }
  }

  #next(): Trial {
    const id = `${this.name}-${++this.#trials}`;
    const delayS = this.random.chance(0.5) ? 0 : Math.ceil(this.random.between(1, longestDelayS));
    return { id, isDurable: this.random.chance(0.5), delayS, isProcess: this.random.chance(0.15) };
  }

  async #connect({ id, isDurable, delayS, isProcess }: Trial): Promise<Victim> {
    const will = {
      topic: `wills/${this.name}`,
      payload: id,
      qos: 2 as const, // at QoS 1 the watcher might see it again
      retain: false,
    };
    const hello: Hello = {
      ...this.identity,
      clientId: this.name,
      version: 5,
      isDurable,
      will: delayS === 0 ? will : { ...will, properties: { willDelayInterval: delayS } },
    };
    for (;;) {
      const victim = await (isProcess ? this.#spawn(hello) : this.#open(hello));
      if (victim !== undefined) return victim;
      await pause(this.random.between(50, 300));
    }
  }

  async #open(hello: Hello): Promise<Victim | undefined> {
    try {
      const connection = await Connection.open(this.endpoint, hello);
      if (connection === undefined) return undefined;
      return {
        closed: connection.closed,
        isClosed: () => connection.closedAt !== undefined,
        goodbye: () => connection.goodbye(),
        kill: () => connection.cut(),
      };
    } catch (error) {
      this.oracle.violation(`${this.name}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  async #spawn(hello: Hello): Promise<Victim | undefined> {
    const packet = { ...connectPacket(hello), password: hello.password };
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'victim.js'), JSON.stringify({ ...this.endpoint, packet })],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const said = new Promise<string>((resolve) =>
      child.stdout.once('data', (line: Buffer) => resolve(line.toString())),
    );
    const first = await Promise.race([said, closed]);
    if (first?.startsWith('connected') !== true) {
      child.kill('SIGKILL');
      await closed;
      return undefined;
    }
    return {
      closed,
      isClosed: () => child.exitCode !== null || child.signalCode !== null,
      goodbye: async () => {
        child.kill('SIGKILL');
        await closed;
      },
      kill: () => void child.kill('SIGKILL'),
    };
  }

  async #die(trial: Trial, victim: Victim): Promise<End> {
    // Half of them wait for the broker to die first; it may come sooner to the others too.
    const patienceMs = this.random.chance(0.5)
      ? this.random.between(100, 3_000)
      : this.random.between(5_000, 15_000);
    const deadline = Date.now() + patienceMs;
    while (!victim.isClosed() && !this.#stopping && Date.now() < deadline) await pause(20);
    const at = Date.now();
    if (victim.isClosed()) return { trial, how: 'server', at };
    if (!trial.isProcess && (this.#stopping || this.random.chance(0.3))) {
      await victim.goodbye();
      return { trial, how: 'goodbye', at };
    }
    victim.kill();
    await victim.closed;
    return { trial, how: 'killed', at };
  }

  async #stayAway(end: End): Promise<void> {
    const { trial, how, at } = end;
    if (how === 'goodbye') {
      await pause(this.#stopping ? settlingMs : 200);
      const isSure = !this.chaos.disturbedBetween(at, at + settlingMs);
      return this.#judge(end, isSure ? 'never' : 'at most once', 'said good-bye');
    }
    // A server that dies again and again before the grace is over keeps the will that long.
    while (this.oracle.timesSeen(trial.id) === 0 && !this.chaos.hasBeenCalm(at, seenWithinMs)) {
      await pause(50);
    }
    this.#judge(end, 'once', `${how}, stayed away`);
  }

  #judgeReturn(end: End, next: Trial, cameAt: number): void {
    const { trial, how, at } = end;
    const awayMs = cameAt - at;
    const resumes = trial.isDurable && next.isDurable;
    const was = `${how}, ${resumes ? 'resumed' : 'back'} after ${awayMs} ms`;
    const isSure = !this.chaos.disturbedBetween(at, cameAt);
    // A clean start ends the session that was, and the delay with it.
    if (trial.isDurable && !next.isDurable) {
      const isBroker = how === 'server' && this.chaos.brokerDiedBetween(at - 1_000, at + 1_000);
      return this.#judge(end, isSure || (isBroker && awayMs < graceMs) ? 'once' : 'at most once', was);
    }
    if (how === 'server') {
      const isBroker = this.chaos.brokerDiedBetween(at - 1_000, at + 1_000);
      return this.#judge(end, isBroker && awayMs < graceMs ? 'never' : 'at most once', was);
    }
    const delayMs = trial.isDurable ? trial.delayS * 1000 : 0;
    if (delayMs === 0) this.#judge(end, isSure ? 'once' : 'at most once', was);
    else this.#judge(end, awayMs < delayMs - 500 ? 'never' : 'at most once', was);
  }

  /** At the end of all: a second one may still come. */
  #judge({ trial }: End, expected: Expectation, how: string): void {
    const { id, isDurable, delayS } = trial;
    this.verdicts.push(() =>
      this.oracle.judgeWill(
        id,
        expected,
        `${isDurable ? 'durable' : 'clean'} session, delay ${delayS} s, ${how}`,
      ),
    );
  }

  readonly verdicts: (() => void)[] = [];
}
