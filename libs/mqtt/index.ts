export { createBroker, type Broker, type BrokerOptions, type Use } from './broker.js';
export * from './limits.js';
export type { LiveQuestion, LiveSession, LiveSessions } from './live.js';
export * from './message.js';
export * from './ports.js';
export { Reasons, type Reason } from './reason.js';
export type { Renewal } from './review.js';
export type { BrokerStats, SpaceStats } from './stats.js';
