import { collectDefaultMetrics, Registry } from 'prom-client';

export { Counter, Gauge } from 'prom-client';
export type { Registry } from 'prom-client';

/**
 * Of Node's own, those for which all that the process has open is listed, one by one: with 15 000 connections a reading stopped the event
 * loop for 50 ms. How many there are, the broker's own metrics say.
 */
const listings = [
  'process_open_fds',
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
  'nodejs_active_resources',
  'nodejs_active_resources_total',
];

/**
 * The metrics of this process, with Node's own (CPU, memory, event-loop lag). Make counters with
 * `new Counter({ name: 'moorage_…', help, registers: [registry] })`; expose them by `registry.metrics()`.
 */
export function createMetrics(app: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ app });
  collectDefaultMetrics({ register: registry });
  for (const name of listings) registry.removeSingleMetric(name);
  return registry;
}
