/** The door of this library: the database, what the api does in it, and what the broker does. */

// The database: the embedded one, its migrations and roles, its back-up.
export { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.js';
export { EmbeddedPostgresError } from './embedded-error.js';
export { takeLock } from './embedded-lock.js';
export { migrate, type Migrated } from './migrate.js';
export { MigrationError } from './migration-error.js';
export { roleUrl, type Role } from './roles.js';
export { backUp, restore, verifyBackup, withEmbedded } from './backup.js';
export { BackupError, type BackupHeader } from './backup-file.js';

// The api: transactions of a tenant or of the platform, and in them a file a resource.
export { openControlStore, type ControlStore, type PlatformTx, type TenantTx } from './control-store.js';
export { isStoreUnavailable, isUniqueViolation, StoreError } from './errors.js';
export * from './tenants.js';
export * from './hosts.js';
export * from './quotas.js';
export * from './api-keys.js';
export * from './devices.js';
export * from './groups.js';
export * from './profiles.js';
export * from './credentials.js';
export * from './rotation.js';
export * from './token-issuers.js';
export * from './authenticators.js';
export * from './trust-anchors.js';
export * from './crl-sources.js';
export * from './issuing.js';
export * from './provisioning.js';
export * from './policies.js';
export * from './observed.js';
export * from './bans.js';
export * from './telemetry.js';
export * from './presence.js';
export * from './device-presence.js';
export * from './past-connections.js';
export * from './sessions.js';
export * from './denials.js';
export * from './audit.js';
export * from './audit-trail.js';
export * from './changes.js';
export { askBrokers, closeQuestion, countSilent } from './questions.js';
export type { LiveAnswer, LiveClient, LiveQuestionRow, LiveSubscription } from './questions.js';
export { forgetRequest, keepAnswer, reserveRequest, type KeptRequest } from './kept-requests.js';
export { clearHistory } from './device-history.js';
export { keepHouse } from './housekeeping.js';
export { optionsByte } from './rows.js';

// The broker: what it writes, what it asks at a sign-in, and what it follows.
export { openBrokerStore, type BrokerStore } from './broker-store.js';
export { openDirectory, type Directory } from './directory/directory.js';
export type { DirectoryAnchor, DirectoryOcsp, DirectoryRevocation } from './directory/anchors.js';
export type { BanQuery, DirectoryBan, DirectoryListedBan } from './directory/bans.js';
export type { DirectoryDocument } from './directory/documents.js';
export type { DirectoryEntry, DirectoryTenant } from './directory/entries.js';
export type { DirectoryHost } from './directory/tenants.js';
export type { DirectoryAuthenticator, DirectoryTokenIssuer } from './directory/vouchers.js';
export { ChangeFeed, type Change } from './change-feed.js';
export { QuestionDesk, type LiveQuestionOfTenant } from './question-desk.js';
