export type EmbeddedPostgresErrorCode =
  | 'postgres.in-use' // somebody else runs this data directory
  | 'postgres.port-in-use'
  | 'postgres.other-version'
  | 'postgres.disk-full'
  | 'postgres.damaged' // a directory that is neither empty nor a cluster, or a cluster without its password
  | 'postgres.directory' // cannot be entered, read or written
  | 'postgres.no-user' // started as root, and there is no other user to run the server as
  | 'postgres.no-binaries'
  | 'postgres.still-ending' // backends of a killed server hold its memory
  | 'postgres.failed';

/** Why the embedded PostgreSQL is not running; the message says what to do. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';

  constructor(
    readonly code: EmbeddedPostgresErrorCode,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
  }
}
