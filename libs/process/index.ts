/** What every process of ours needs to be a good one: settings, a log, metrics, readiness, and a clean stop. */
export { ConfigError, readSettings } from './settings.js';
export type { Settings } from './settings.js';
export { loadSecretKey } from './secret-key.js';
export { createLogger, silentLogger } from './logger.js';
export type { Logger } from './logger.js';
export { createMetrics, Counter, Gauge } from './metrics.js';
export type { Registry } from './metrics.js';
export { createReadiness } from './readiness.js';
export type { Readiness, ReadinessReport } from './readiness.js';
export { createLifecycle } from './lifecycle.js';
export type { Lifecycle } from './lifecycle.js';
export { productVersion } from './version.js';
export { WorkQueue } from './work-queue.js';
export { Egress, EgressError, egressUrlFault } from './egress.js';
export type { EgressOptions } from './egress.js';
export { internalKey, isInternalKey } from './internal-key.js';
