/** The door of this library. */
export * from './api-keys.js';
export * from './control-store.js';
export * from './denials.js';
export * from './embedded-error.js';
export type { EmbeddedPostgres, EmbeddedPostgresOptions } from './embedded-postgres.js';
export { startEmbeddedPostgres } from './embedded-postgres.js';
export * from './errors.js';
export * from './fences.js';
export * from './kept-requests.js';
export * from './migrate.js';
export * from './migration-error.js';
export * from './policies.js';
export * from './presence.js';
export * from './sessions.js';
export * from './telemetry.js';
export * from './tenants.js';
