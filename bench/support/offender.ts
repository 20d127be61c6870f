/**
 * One of a tenant's worst clients, in a process of its own so that what it costs to play it is nobody else's: `offender.js NAME PORT
 * USERNAME PASSWORD LIMIT`. It signs in, says `ready`, offers its load from a line `on` to a line `off`, and stops with its input.
 *
 * `LIMIT`: messages a second that the broker takes of one connection (0: no limit). It is offered a little more than that all the time, and
 * no more: what lay in the kernel's buffers would go on after `off`. What the limit gave while it was off is spent first, on the smallest
 * messages to nobody, so that it is over its limit at once.
 */
import { type Connection, type Door, openAll, publishPacket, signIn, subscribePacket } from './wire.js';

const [name = '', port = '', username, password, given = ''] = process.argv.slice(2);
const door: Door = { port: Number(port), username, password };

const payload = Buffer.alloc(1024, 0x78);
/** What may wait in this process for the broker to read it: more offered is not more load. */
const mostWaitingBytes = 256 * 1024;
const tickMs = 5;
/** Offered before the limit lets it in, so that something always waits. */
const aheadMs = 25;
const smallest = publishPacket(4, 0, 0, 'bench/nobody', Buffer.alloc(0));

const limit = Number(given);
let turnOn: () => void = () => undefined;
let turnOff: () => void = () => undefined;

/** Publishes so many messages a second, as far as the broker takes them; QoS 0. They are made beforehand. */
function flood(connection: Connection, perSecond: number, topics: readonly string[]): void {
  const packets = topics.map((topic) => publishPacket(4, 0, 0, topic, payload));
  const rate = limit > 0 ? Math.min(perSecond, limit) : perSecond;
  let startedAt = 0;
  let offered = 0;
  let next = 0;
  let timer: NodeJS.Timeout | undefined;
  const offer = (): void => {
    const due = ((performance.now() - startedAt + aheadMs) / 1000) * rate;
    for (; offered < due; offered++) {
      if (connection.waitingBytes < mostWaitingBytes)
        connection.put(packets[next++ % packets.length] as Buffer);
    }
    connection.flush();
  };
  let savedSince = performance.now();
  turnOn = () => {
    startedAt = performance.now();
    offered = 0;
    if (limit > 0) {
      const saved = Math.min(1, (startedAt - savedSince) / 1000) * limit;
      for (let n = 0; n < saved; n++) connection.put(smallest);
    }
    offer();
    timer = setInterval(offer, tickMs);
  };
  turnOff = () => {
    clearInterval(timer);
    savedSince = performance.now() + aheadMs;
  };
}

function topics(count: number, topicOf: (n: number) => string): string[] {
  return Array.from({ length: count }, (_, n) => topicOf(n));
}

const offenders: Readonly<Record<string, () => Promise<void>>> = {
  stalls: async () => {
    const reader = await signIn(door, { clientId: 'stuck', filters: ['bench/stuck/#'], qos: 1 });
    reader.socket.pause();
    flood(await signIn(door, { clientId: 'feeder' }), 8_000, ['bench/stuck/x']);
  },

  floods: async () => {
    flood(await signIn(door, { clientId: 'flood' }), 40_000, ['bench/nobody']);
  },

  'thousand-levels': async () => {
    const deep = `bench/${'a/'.repeat(998)}`;
    await signIn(door, { clientId: 'deep', filters: [`bench/${'+/'.repeat(500)}#`] });
    flood(
      await signIn(door, { clientId: 'digger' }),
      2_000,
      topics(10_000, (n) => deep + n),
    );
  },

  'ten-thousand-subscriptions': async () => {
    const greedy = await signIn(door, { clientId: 'greedy' });
    for (let i = 0; i < 10_000; i += 100) {
      const filters = topics(100, (k) => `bench/many/${i + k}/${k % 2 === 0 ? '+' : '#'}`);
      greedy.put(subscribePacket(4, 0, filters));
    }
    greedy.flush();
    flood(
      await signIn(door, { clientId: 'feeder' }),
      4_000,
      topics(10_000, (n) => `bench/many/${n}/x`),
    );
  },

  'overlapping-wildcards': async () => {
    await openAll(10, 10, (i) => {
      const filters = topics(10, (k) => `bench/over/${'+/'.repeat((k + i) % 6)}#`);
      return signIn(door, { clientId: `over-${i}`, filters: [...new Set(filters)], qos: 1 });
    });
    flood(
      await signIn(door, { clientId: 'feeder' }),
      4_000,
      topics(1_000, (n) => `bench/over/a/b/c/d/e/f/${n}`),
    );
  },
};

await offenders[name]?.();
process.stdin.on('data', (line) => (line.toString().trim() === 'on' ? turnOn() : turnOff()));
process.stdin.on('end', () => process.exit());
console.log('ready');
