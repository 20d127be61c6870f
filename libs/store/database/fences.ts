/** The third fence between tenants is the database's own: row-level security. A process that finds it down does not start. */

/** The part of a pg pool or client that is needed here. */
export interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export class FenceError extends Error {
  override readonly name = 'FenceError';
  readonly code = 'store.fence-down';

  constructor(readonly faults: readonly string[]) {
    super(`the database does not keep tenants apart as it must: ${faults.join('; ')}`);
  }
}

interface TableState {
  readonly name: string;
  readonly enabled: boolean;
  readonly forced: boolean;
  readonly owned: boolean;
  readonly privileges: string[];
}

interface PolicyState {
  readonly table: string;
  readonly name: string;
  readonly permissive: boolean;
  readonly command: Command | 'ALL';
  readonly using: string | null;
  readonly check: string | null;
}

type Command = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

// The fences as pg_get_expr prints them. Anything else, however reasonable it looks, has not been thought about here.
const tenantId = "(NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid";
const isPlatform = "(current_setting('app.scope'::text, true) = 'platform'::text)";
const ownRows = `(tenant_id = ${tenantId})`;

/** Where the api's rows are fenced otherwise than by `tenant_id` alone: by table, and by command where they differ. */
const appExceptions: Readonly<Record<string, Partial<Record<Command | 'ALL', string>>>> = {
  tenants: {
    SELECT: `((id = ${tenantId}) OR ${isPlatform})`,
    INSERT: isPlatform,
    UPDATE: isPlatform,
    DELETE: isPlatform,
  },
  api_keys: { ALL: `(${ownRows} OR ${isPlatform})` },
  audit_entries: { ALL: `(${ownRows} OR ${isPlatform})` },
  bans: { ALL: `(${ownRows} OR ${isPlatform})` },
  changes: { ALL: `(${ownRows} OR ${isPlatform})` },
  change_receipts: { ALL: `(${ownRows} OR ${isPlatform})` },
  crl_sources: { ALL: `(${ownRows} OR ${isPlatform})` },
  idempotency_keys: { ALL: `(${ownRows} OR ${isPlatform})` },
  broker_processes: { SELECT: 'true' },
};

/** What the broker may at most do: all tenants are in its hands, so its fence is the table and the verb. */
const brokerVerbs: Readonly<Record<string, string>> = {
  tenants: 'SELECT',
  profiles: 'SELECT',
  devices: 'SELECT',
  groups: 'SELECT',
  group_members: 'SELECT',
  credentials: 'SELECT UPDATE', // of two columns: when and from where it was last used
  trust_anchors: 'SELECT',
  token_issuers: 'SELECT',
  authenticators: 'SELECT',
  revoked_certificates: 'SELECT',
  crl_sources: 'SELECT INSERT', // of what says where: where certificates say their lists are
  tenant_hosts: 'SELECT',
  provisioning_rules: 'SELECT', // of three columns: whether there is one
  policies: 'SELECT',
  policy_versions: 'SELECT',
  policy_bindings: 'SELECT',
  bans: 'SELECT',
  rule_uses: 'SELECT INSERT UPDATE',
  observed_topics: 'SELECT INSERT UPDATE DELETE',
  changes: 'SELECT',
  change_receipts: 'SELECT INSERT',
  questions: 'SELECT',
  answers: 'SELECT INSERT', // what it reads is whose they are
  broker_processes: 'SELECT INSERT UPDATE DELETE',
  telemetry: 'INSERT',
  presence: 'SELECT INSERT UPDATE',
  presence_events: 'INSERT',
  device_presence: 'SELECT INSERT UPDATE',
  denials: 'SELECT INSERT UPDATE DELETE',
  sessions: 'SELECT INSERT UPDATE DELETE',
  subscriptions: 'SELECT INSERT UPDATE DELETE',
  queued_messages: 'SELECT INSERT DELETE',
  queue_entries: 'SELECT INSERT UPDATE DELETE',
  inbound_packets: 'SELECT INSERT DELETE',
  retained_messages: 'SELECT INSERT UPDATE DELETE',
  wills: 'SELECT INSERT UPDATE DELETE',
};

/** Tables without rows of anybody: the migrations' own book. */
const notOurs = new Set(['_prisma_migrations']);

/** Rejects with FenceError, naming every table concerned, unless each fence for the connected role stands exactly as built. */
export async function verifyFences(db: Queryable): Promise<void> {
  const role = await readRole(db);
  const tables = (await readTables(db)).filter((table) => !notOurs.has(table.name));
  const policies = await readPolicies(db);
  const faults = [
    ...roleFaults(role),
    ...tables.flatMap((table) =>
      tableFaults(
        role,
        table,
        policies.filter((policy) => policy.table === table.name),
      ),
    ),
  ];
  if (tables.length === 0) faults.push('there are no tables: the database is not migrated');
  if (faults.length > 0) throw new FenceError(faults);
}

interface Role {
  readonly name: string;
  readonly superuser: boolean;
  readonly bypass: boolean;
  readonly memberships: string[];
}

function roleFaults(role: Role): string[] {
  const faults: string[] = [];
  if (role.superuser) faults.push(`the role ${role.name} is a superuser`);
  if (role.bypass) faults.push(`the role ${role.name} has BYPASSRLS`);
  if (role.name !== 'moorage_app' && role.name !== 'moorage_broker')
    faults.push(`the role is ${role.name}, not moorage_app or moorage_broker`);
  for (const other of role.memberships) faults.push(`the role ${role.name} is a member of ${other}`);
  return faults;
}

function tableFaults(role: Role, table: TableState, policies: readonly PolicyState[]): string[] {
  const faults: string[] = [];
  if (table.owned) faults.push(`${table.name} is owned by ${role.name}`);
  if (!table.enabled) faults.push(`${table.name} has no row-level security`);
  else if (!table.forced) faults.push(`${table.name} does not force row-level security`);
  for (const policy of policies)
    if (policy.permissive && !isExpected(role, policy))
      faults.push(`${table.name} has a policy that is not known: ${policy.name}`);
  for (const privilege of table.privileges) {
    if (role.name === 'moorage_broker' && !mayBroker(table.name, privilege)) {
      faults.push(`${table.name} may be used for ${privilege} by ${role.name}`);
      continue;
    }
    const deciding = policies.filter(
      (policy) => policy.permissive && (policy.command === privilege || policy.command === 'ALL'),
    );
    // Two permissive policies are OR-ed: together they may let through what neither was meant to.
    if (deciding.length !== 1)
      faults.push(`${table.name} has ${deciding.length} policies for ${privilege} by ${role.name}, not one`);
  }
  return faults;
}

function isExpected(role: Role, policy: PolicyState): boolean {
  if (role.name === 'moorage_broker') return policy.using === 'true' || policy.check === 'true';
  const exceptions = appExceptions[policy.table];
  const expected =
    exceptions === undefined ? (policy.command === 'ALL' ? ownRows : undefined) : exceptions[policy.command];
  const actual = policy.command === 'INSERT' ? policy.check : policy.using;
  // Without a WITH CHECK of its own, what may be read is what may be written.
  const sameForWrites = policy.command === 'INSERT' || policy.check === null || policy.check === expected;
  return expected !== undefined && actual === expected && sameForWrites;
}

function mayBroker(table: string, privilege: string): boolean {
  return (brokerVerbs[table] ?? '').split(' ').includes(privilege);
}

async function readRole(db: Queryable): Promise<Role> {
  const { rows } = await db.query(`
    SELECT rolname AS name, rolsuper AS superuser, rolbypassrls AS bypass,
           ARRAY(SELECT other.rolname::text FROM pg_roles other
                  WHERE other.oid <> me.oid AND NOT me.rolsuper AND pg_has_role(me.oid, other.oid, 'MEMBER')
                  ORDER BY 1) AS memberships
      FROM pg_roles me WHERE rolname = current_user`);
  return rows[0] as Role;
}

async function readTables(db: Queryable): Promise<TableState[]> {
  const { rows } = await db.query(`
    SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
           pg_get_userbyid(c.relowner) = current_user AS owned,
           ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
                  WHERE has_table_privilege(c.oid, p)
                     OR (p <> 'DELETE' AND has_any_column_privilege(c.oid, p))) AS privileges
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
     ORDER BY 1`);
  return rows as TableState[];
}

async function readPolicies(db: Queryable): Promise<PolicyState[]> {
  const { rows } = await db.query(`
    SELECT c.relname AS "table", p.polname AS name, p.polpermissive AS permissive,
           CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                         ELSE 'ALL' END AS command,
           pg_get_expr(p.polqual, p.polrelid) AS "using", pg_get_expr(p.polwithcheck, p.polrelid) AS "check"
      FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
     WHERE c.relnamespace = 'public'::regnamespace
       AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE CASE r WHEN 0 THEN true ELSE pg_has_role(r, 'MEMBER') END)`);
  return rows as PolicyState[];
}
