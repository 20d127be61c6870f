/** A gate over a real directory, and a broker that asks it, over TCP, with everything else in memory. */
import { type Broker, createBroker, type Gate } from '#mqtt';
import { MemoryJournal, MemoryStore, MemoryVault } from '#mqtt/testing';
import type { Directory } from '#store';

import { systemClock } from '../../apps/broker/src/clock.js';
import { Admission } from '../../apps/broker/src/listeners/admission.js';
import { listenMqtt } from '../../apps/broker/src/listeners/tcp.js';

export interface GatedBroker {
  readonly broker: Broker;
  readonly url: string;
  stop(): Promise<void>;
}

export async function startGatedBroker(gate: Gate): Promise<GatedBroker> {
  const memory = new MemoryStore();
  const broker = createBroker({
    gate,
    vault: new MemoryVault(memory),
    journal: new MemoryJournal(memory),
    clock: systemClock,
  });
  const accept = (link: Parameters<Broker['accept']>[0]) => broker.accept(link);
  const listener = await listenMqtt({ host: '127.0.0.1', port: 0, admission: new Admission(100), accept });
  return {
    broker,
    url: `mqtt://127.0.0.1:${listener.port}`,
    async stop() {
      await listener.close();
      await broker.stop();
    },
  };
}

/** A question to a directory: which, with what, and how to have it answered. */
export interface Asked {
  readonly name: string | symbol;
  readonly args: readonly unknown[];
  readonly answer: () => unknown;
}

/** The directory, each of whose questions `between` sees first and answers. */
export function overheard(directory: Directory, between: (asked: Asked) => unknown): Directory {
  return new Proxy(directory, {
    get(of, name) {
      const method: unknown = Reflect.get(of, name);
      if (typeof method !== 'function') return method;
      return (...args: readonly unknown[]) =>
        between({ name, args, answer: () => Reflect.apply(method, of, args) as unknown });
    },
  });
}
