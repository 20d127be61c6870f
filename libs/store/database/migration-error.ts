export type MigrationErrorCode =
  | 'migration.unreachable'
  | 'migration.version'
  | 'migration.standby'
  | 'migration.rights'
  | 'migration.roles-taken' // the roles belong to an installation with another secret key
  | 'migration.locked'
  | 'migration.changed'
  | 'migration.missing'
  | 'migration.newer-database'
  | 'migration.order'
  | 'migration.half-done'
  | 'migration.failed';

/** Why the database is not at this version's shape; the message says how to go on. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';

  constructor(
    readonly code: MigrationErrorCode,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}
