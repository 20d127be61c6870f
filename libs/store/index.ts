/** The door of this library. */
export * from './api-keys.js';
export * from './audit-trail.js';
export * from './audit.js';
export * from './backup.js';
export * from './bans.js';
export { BackupError } from './backup-file.js';
export type { BackupErrorCode, BackupHeader, TableSum } from './backup-file.js';
export { openBrokerStore } from './broker-store.js';
export type { BrokerStore, BrokerStoreOptions, BrokerStoreStats } from './broker-store.js';
export { VaultError } from './broker-errors.js';
export type { VaultErrorCode } from './broker-errors.js';
export * from './change-feed.js';
export * from './changes.js';
export * from './control-store.js';
export * from './authenticators.js';
export * from './credentials.js';
export * from './denials.js';
export { clearHistory } from './device-history.js';
export * from './device-presence.js';
export * from './devices.js';
export * from './embedded-error.js';
export { takeLock } from './embedded-lock.js';
export { startEmbeddedPostgres } from './embedded-postgres.js';
export type { EmbeddedPostgres, EmbeddedPostgresOptions } from './embedded-postgres.js';
export * from './errors.js';
export * from './fences.js';
export * from './groups.js';
export * from './rotation.js';
export * from './hosts.js';
export { keepHouse } from './housekeeping.js';
export * from './issuing.js';
export * from './kept-requests.js';
export * from './migrate.js';
export * from './migration-error.js';
export type { Observation } from './observations.js';
export * from './observed.js';
export * from './past-connections.js';
export * from './policies.js';
export * from './presence.js';
export * from './profiles.js';
export * from './provisioning.js';
export { roleUrl } from './roles.js';
export type { Role } from './roles.js';
export * from './sessions.js';
export * from './telemetry.js';
export * from './tenants.js';
export * from './token-issuers.js';
export * from './trust-anchors.js';
export * from './questions.js';
export * from './question-desk.js';
export { optionsByte } from './rows.js';
export * from './quotas.js';
export * from './crl-sources.js';
export { openDirectory } from './directory/directory.js';
export type { Directory, DirectoryOptions } from './directory/directory.js';
export type {
  AnchorQuery,
  DirectoryAnchor,
  DirectoryOcsp,
  DirectoryRevocation,
} from './directory/anchors.js';
export type { BanQuery, DirectoryBan, DirectoryListedBan } from './directory/bans.js';
export type { DirectoryDocument, PolicyVersionKey } from './directory/documents.js';
export type {
  CertificateQuery,
  DirectoryCredential,
  DirectoryDevice,
  DirectoryEntry,
  DirectoryTenant,
} from './directory/entries.js';
export type { DirectoryHost } from './directory/tenants.js';
export type { DirectoryAuthenticator, DirectoryTokenIssuer } from './directory/vouchers.js';
