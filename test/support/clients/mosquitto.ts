/** mosquitto_pub, mosquitto_sub and mosquitto_rr: a process for each thing that is done. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import {
  Inbox,
  Refused,
  type Identity,
  type Letter,
  type Listener,
  type Listening,
  type Route,
  type Tourist,
} from './tourist.js';

const versionNames = { 3: 'mqttv31', 4: 'mqttv311', 5: 'mqttv5' } as const;

/** Marks a message among the lines that -d prints. */
const mark = 'message:';
const format = `${mark}%t\t%q\t%r\t%x`;

export class MosquittoTourist implements Tourist {
  readonly #children = new Set<ChildProcess>();

  async listen(route: Route, identity: Identity, listening: Listening): Promise<Listener> {
    const { filter, qos, keepAliveS, isPersistent, will } = listening;
    const session = route.version === 5 ? ['-c', '-x', '3600'] : ['-c'];
    const child = this.#start('mosquitto_sub', route, identity, [
      ['-d', '-t', filter, '-q', `${qos}`, '-k', `${keepAliveS}`, '-F', format],
      isPersistent ? session : [],
      will === undefined ? [] : ['--will-topic', will.topic, '--will-payload', will.payload.toString()],
      will === undefined ? [] : ['--will-qos', `${will.qos}`],
      will?.retain === true ? ['--will-retain'] : [],
    ]);
    const messages = new Inbox<Letter>();
    const pings = new Inbox<true>();
    const granted = new Promise<number>((resolve, reject) => {
      lines(child.stdout, (line) => {
        if (line.startsWith(mark)) messages.put(readLetter(line.slice(mark.length)));
        else if (line.endsWith('received PINGRESP')) pings.put(true);
        else if (line.startsWith('Subscribed')) resolve(Number(/: (\d+)$/.exec(line)?.[1]));
      });
      child.once('close', (code) => reject(new Refused(code ?? 0)));
    });
    return {
      granted: await granted,
      sessionPresent: undefined,
      messages: (count) => messages.take(count),
      pings: async (count) => void (await pings.take(count)),
      leave: () => end(child, 'SIGTERM'),
    };
  }

  async publish(route: Route, identity: Identity, letter: Letter): Promise<number | undefined> {
    const { topic, payload, qos, retain } = letter;
    const child = this.#start('mosquitto_pub', route, identity, [
      ['-d', '-t', topic, '-q', `${qos}`, payload.length === 0 ? '-n' : '-s'],
      retain ? ['-r'] : [],
    ]);
    let acknowledged: number | undefined;
    lines(child.stdout, (line) => {
      const code = /received PUB(?:ACK|COMP) \(Mid: \d+, RC:(\d+)\)$/.exec(line)?.[1];
      if (code !== undefined) acknowledged = Number(code);
    });
    child.stdin?.end(payload);
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Refused(code ?? 0);
    return acknowledged;
  }

  async request(route: Route, identity: Identity, letter: Letter, responseTopic: string): Promise<Buffer> {
    const { topic, payload, qos } = letter;
    const child = this.#start('mosquitto_rr', route, identity, [
      ['-t', topic, '-e', responseTopic, '-q', `${qos}`, '-F', format, '-m', payload.toString()],
    ]);
    const answers = new Inbox<Letter>();
    lines(child.stdout, (line) => answers.put(readLetter(line.slice(mark.length))));
    const [answer] = await answers.take(1);
    await ended(child);
    return answer?.payload ?? Buffer.alloc(0);
  }

  async kill(): Promise<void> {
    await Promise.all(Array.from(this.#children, (child) => end(child, 'SIGKILL')));
  }

  freeze(): void {
    for (const child of this.#children) child.kill('SIGSTOP');
  }

  #start(
    program: string,
    route: Route,
    identity: Identity,
    options: readonly (readonly string[])[],
  ): ChildProcess {
    const { transport, version, port, caFile } = route;
    const { clientId, username, password } = identity;
    // What -d says would wait in a buffer until a message is printed.
    const child = spawn(
      'stdbuf',
      [
        ['-oL', program, '-h', '127.0.0.1', '-p', `${port}`, '-V', versionNames[version]],
        ['-i', clientId, '-u', username, '-P', password],
        transport === 'mqtts' ? ['--cafile', caFile] : [],
        ...options,
      ].flat(),
      { stdio: ['pipe', 'pipe', 'ignore'] },
    );
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }
}

function lines(stream: ChildProcess['stdout'], hear: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on('line', hear);
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  await ended(child);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
}

function readLetter(text: string): Letter {
  const [topic = '', qos, retain, payload = ''] = text.split('\t');
  return {
    topic,
    payload: Buffer.from(payload, 'hex'),
    qos: Number(qos) as Letter['qos'],
    retain: retain === '1',
  };
}
