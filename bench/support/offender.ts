/**
 * One of a tenant's worst clients, in a process of its own so that what it costs to play it is nobody else's: `offender.js NAME PORT
 * USERNAME PASSWORD`. It offers its load whatever the broker takes of it, says `ready` once it does, and stops with its input.
 */
import { type Connection, type Door, openAll, publishPacket, signIn, subscribePacket } from './wire.js';

const [name = '', port = '', username, password] = process.argv.slice(2);
const door: Door = { port: Number(port), username, password };

const payload = Buffer.alloc(1024, 0x78);
/** What may wait in this process for the broker to read it: more offered is not more load. */
const mostWaitingBytes = 256 * 1024;
const tickMs = 5;

/** Publishes so many messages a second, as far as the broker takes them; QoS 0. They are made beforehand. */
function flood(connection: Connection, perSecond: number, topics: readonly string[]): void {
  const packets = topics.map((topic) => publishPacket(4, 0, 0, topic, payload));
  const startedAt = performance.now();
  let offered = 0;
  let next = 0;
  setInterval(() => {
    const due = ((performance.now() - startedAt) / 1000) * perSecond;
    for (; offered < due; offered++) {
      if (connection.waitingBytes < mostWaitingBytes)
        connection.put(packets[next++ % packets.length] as Buffer);
    }
    connection.flush();
  }, tickMs);
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

process.stdin.on('end', () => process.exit()).resume();
await offenders[name]?.();
console.log('ready');
