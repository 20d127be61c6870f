/** The three roles: the owner migrates, the api and the broker work. None is a superuser, none bypasses row-level security. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { escapeIdentifier, escapeLiteral, type Client } from 'pg';
import { MigrationError } from './migration-error.js';
import { codeOf } from './error-code.js';

export type Role = 'moorage_owner' | 'moorage_app' | 'moorage_broker';

const roles: readonly Role[] = ['moorage_owner', 'moorage_app', 'moorage_broker'];

/** The URL with another role's name and password in it. */
export function roleUrl(url: string, role: Role, secretKey: Buffer): string {
  const changed = new URL(url);
  changed.username = role;
  changed.password = passwordOf(role, secretKey);
  return changed.href;
}

function passwordOf(role: Role, secretKey: Buffer): string {
  return derive(secretKey, `password of ${role}`).toString('base64url');
}

function derive(secretKey: Buffer, purpose: string): Buffer {
  return createHmac('sha256', secretKey).update(`moorage database: ${purpose}`).digest();
}

/**
 * Makes the roles where they are missing and lets the connected user act as their owner. Roles belong to the whole server, so their
 * comment says whose they are: another installation's are refused, before its processes are locked out by new passwords.
 */
export async function ensureRoles(client: Client, secretKey: Buffer): Promise<void> {
  const mark = `Moorage, by key ${derive(secretKey, 'mark').toString('hex').slice(0, 16)}`;
  try {
    for (const role of roles) await ensureRole(client, role, mark, secretKey);
    await letOwnerMigrate(client);
  } catch (error) {
    if (codeOf(error) !== '42501') throw error;
    throw new MigrationError(
      'migration.rights',
      'the user of DATABASE_URL must be a superuser, or own the database and have CREATEROLE; or make the roles moorage_owner, moorage_app and moorage_broker beforehand as a superuser by starting Moorage with such a user once',
      error,
    );
  }
}

async function ensureRole(client: Client, role: Role, mark: string, secretKey: Buffer): Promise<void> {
  // Databases of one server may be migrated at the same time, each under its own lock: who comes second looks again.
  for (let attempt = 1; ; attempt++) {
    const existing = await readRole(client, role);
    if (existing?.mark === mark) return;
    if (existing?.mark?.startsWith('Moorage, by key') === true)
      throw new MigrationError(
        'migration.roles-taken',
        `the role ${role} on this server belongs to an installation with another secret key: use that installation's MOORAGE_SECRET_KEY (or secret.key), or another server`,
      );
    const verb = existing === undefined ? 'CREATE' : 'ALTER';
    try {
      await client.query(`
        BEGIN;
        ${verb} ROLE ${escapeIdentifier(role)} LOGIN PASSWORD ${escapeLiteral(scramVerifier(role, secretKey))};
        COMMENT ON ROLE ${escapeIdentifier(role)} IS ${escapeLiteral(mark)};
        COMMIT`);
      return;
    } catch (error) {
      await client.query('ROLLBACK');
      // Made, or changed, by somebody else in this moment.
      const raced = ['42710', '23505', 'XX000', '40001'].includes(codeOf(error) ?? '');
      if (!raced || attempt >= 5) throw error;
    }
  }
}

async function readRole(client: Client, role: Role): Promise<{ readonly mark: string | null } | undefined> {
  const { rows } = await client.query<{ mark: string | null }>(
    `SELECT shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname = $1`,
    [role],
  );
  return rows[0];
}

async function letOwnerMigrate(client: Client): Promise<void> {
  const { rows } = await client.query<{ member: boolean; creates: boolean }>(
    `SELECT pg_has_role(current_user, 'moorage_owner', 'SET') AS member,
            has_schema_privilege('moorage_owner', 'public', 'CREATE') AS creates`,
  );
  if (rows[0]?.member !== true)
    await client.query('GRANT moorage_owner TO CURRENT_USER WITH SET TRUE, INHERIT TRUE');
  // WITH GRANT OPTION: the migrations let the other two in.
  if (rows[0]?.creates !== true)
    await client.query('GRANT CREATE, USAGE ON SCHEMA public TO moorage_owner WITH GRANT OPTION');
  // A grant that was not in one's power is a warning only.
  const after = await client.query<{ creates: boolean }>(
    `SELECT has_schema_privilege('moorage_owner', 'public', 'CREATE') AS creates`,
  );
  if (after.rows[0]?.creates !== true)
    throw new MigrationError(
      'migration.rights',
      'moorage_owner may not create tables in the schema public: the user of DATABASE_URL must own the database',
    );
}

/** What PostgreSQL itself would store (RFC 5802, RFC 7677): so the password is in no statement, and in no log of statements. */
function scramVerifier(role: Role, secretKey: Buffer): string {
  const iterations = 4096;
  const salt = derive(secretKey, `salt of ${role}`).subarray(0, 16);
  const salted = pbkdf2Sync(passwordOf(role, secretKey), salt, iterations, 32, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}
