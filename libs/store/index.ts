/** The door of this library: the database, what the api does in it, and what the broker does. */

// The database: the embedded one, its migrations and roles, its back-up.
export { startEmbeddedPostgres, type EmbeddedPostgres } from './database/embedded-postgres.js';
export { EmbeddedPostgresError } from './database/embedded-error.js';
export { takeLock } from './database/embedded-lock.js';
export { migrate, type Migrated } from './database/migrate.js';
export { MigrationError } from './database/migration-error.js';
export { roleUrl, type Role } from './database/roles.js';
export { backUp, restore, verifyBackup, withEmbedded } from './database/backup.js';
export { BackupError, type BackupHeader } from './database/backup-file.js';

// The api: transactions of a tenant or of the platform, and in them a file a resource.
export {
  openControlStore,
  type ControlStore,
  type PlatformTx,
  type TenantTx,
} from './control/control-store.js';
export { isUniqueViolation, StoreError } from './database/errors.js';
export * from './control/tenants.js';
export * from './control/hosts.js';
export * from './control/quotas.js';
export * from './control/api-keys.js';
export * from './control/devices.js';
export * from './control/groups.js';
export * from './control/profiles.js';
export * from './control/credentials.js';
export * from './control/rotation.js';
export * from './control/token-issuers.js';
export * from './control/authenticators.js';
export * from './control/trust-anchors.js';
export * from './control/crl-sources.js';
export * from './control/issuing.js';
export * from './control/provisioning.js';
export * from './control/policies.js';
export * from './control/observed.js';
export * from './control/bans.js';
export * from './control/telemetry.js';
export * from './control/retained.js';
export * from './control/presence.js';
export * from './control/device-presence.js';
export * from './control/past-connections.js';
export * from './control/sessions.js';
export * from './control/denials.js';
export * from './control/audit.js';
export * from './control/audit-trail.js';
export * from './control/changes.js';
export { askBrokers, closeQuestion, countSilent } from './control/questions.js';
export type { LiveAnswer, LiveClient, LiveQuestionRow, LiveSubscription } from './control/questions.js';
export {
  countKept,
  forgetRequest,
  keepAnswer,
  reserveRequest,
  type KeptRequest,
} from './control/kept-requests.js';
export { clearHistory } from './control/device-history.js';
export { keepHouse } from './control/housekeeping.js';

// The broker: what it writes, what it asks at a sign-in, and what it follows.
export { openBrokerStore, type BrokerStore, type BrokerStoreStats } from './broker/broker-store.js';
export { openDirectory, type Directory } from './broker/directory/directory.js';
export type { DirectoryAnchor, DirectoryOcsp, DirectoryRevocation } from './broker/directory/anchors.js';
export type { BanQuery, DirectoryBan, DirectoryListedBan } from './broker/directory/bans.js';
export type { DirectoryDocument } from './broker/directory/documents.js';
export type { DirectoryEntry, DirectoryTenant } from './broker/directory/entries.js';
export type { DirectoryHost } from './broker/directory/tenants.js';
export type { DirectoryAuthenticator, DirectoryTokenIssuer } from './broker/directory/vouchers.js';
export { ChangeFeed, type Change } from './broker/change-feed.js';
export { QuestionDesk, type LiveQuestionOfTenant } from './broker/question-desk.js';
export { optionsByte } from './broker/rows.js';
