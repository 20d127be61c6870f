import { collectDefaultMetrics, Registry } from 'prom-client';

export { Counter, Gauge } from 'prom-client';
export type { Registry } from 'prom-client';

/**
 * The metrics of this process, with Node's own (CPU, memory, event-loop lag). Make counters with
 * `new Counter({ name: 'moorage_…', help, registers: [registry] })`; expose them by `registry.metrics()`.
 */
export function createMetrics(app: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ app });
  collectDefaultMetrics({ register: registry });
  return registry;
}
