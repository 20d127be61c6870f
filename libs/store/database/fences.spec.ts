import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { FenceError, verifyFences } from './fences.js';

const one = '11111111-1111-4111-8111-111111111111';
const other = '22222222-2222-4222-8222-222222222222';

interface Policy {
  readonly table: string;
  readonly name: string;
  readonly role: 'moorage_app' | 'moorage_broker';
}

describe('the fences', () => {
  let database: TestDatabase;
  let superuser: Client;
  let app: Client;
  let broker: Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    [superuser, app, broker] = (await Promise.all(
      [database.superuserUrl, database.appUrl, database.brokerUrl].map(async (connectionString) => {
        const client = new Client({ connectionString });
        await client.connect();
        return client;
      }),
    )) as [Client, Client, Client];
    for (const id of [one, other]) await seed(superuser, id);
  });

  afterAll(async () => {
    await Promise.all([superuser.end(), app.end(), broker.end()]);
    await database.drop();
  });

  /** Breaks something, looks, and puts it back. */
  async function whileBroken(breakIt: string, mend: string, look: () => Promise<void>): Promise<void> {
    await superuser.query(breakIt);
    try {
      await look();
    } finally {
      await superuser.query(mend);
    }
  }

  async function tenantTables(): Promise<string[]> {
    const { rows } = await superuser.query<{ name: string }>(
      `SELECT table_name::text AS name FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name = 'tenant_id' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  }

  /** Rows of another tenant that the api sees while it works for this one. */
  async function crossing(table: string): Promise<number> {
    await app.query('BEGIN');
    try {
      await app.query("SELECT set_config('app.tenant_id', $1, true)", [one]);
      const { rows } = await app.query<{ count: string }>(
        `SELECT count(*) FROM ${table} WHERE tenant_id = $1`,
        [other],
      );
      return Number(rows[0]!.count);
    } finally {
      await app.query('ROLLBACK');
    }
  }

  it('stand after the migrations, for the api and for the broker', async () => {
    await expect(verifyFences(app)).resolves.toBeUndefined();
    await expect(verifyFences(broker)).resolves.toBeUndefined();
  });

  it('let no row of another tenant through, on any table', async () => {
    for (const table of await tenantTables()) expect([table, await crossing(table)]).toEqual([table, 0]);
  });

  it('hide everything from the api where no tenant is set', async () => {
    for (const table of await tenantTables()) {
      const { rows } = await app.query<{ count: string }>(`SELECT count(*) FROM ${table}`);
      expect([table, rows[0]!.count]).toEqual([table, '0']);
    }
  });

  it('are missed on each table where row-level security is off, and rows of others show at once', async () => {
    for (const table of await tenantTables())
      await whileBroken(
        `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY`,
        `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
        async () => {
          await expect(verifyFences(app)).rejects.toThrow(`${table} has no row-level security`);
          await expect(verifyFences(broker)).rejects.toThrow(`${table} has no row-level security`);
          expect([table, await crossing(table)]).toEqual([table, 1]);
        },
      );
  });

  it('are missed on each table where row-level security does not bind the owner', async () => {
    for (const table of await tenantTables())
      await whileBroken(
        `ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY`,
        `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`,
        () => expect(verifyFences(app)).rejects.toThrow(`${table} does not force row-level security`),
      );
  });

  it('are missed when any one policy is dropped', async () => {
    const policies = await readPolicies(superuser);
    expect(policies.length).toBeGreaterThan(50);
    for (const { table, name, role } of policies) {
      await superuser.query('BEGIN');
      const definition = await definitionOf(superuser, table, name);
      await superuser.query('COMMIT');
      await whileBroken(`DROP POLICY ${name} ON ${table}`, definition, () =>
        expect(verifyFences(role === 'moorage_app' ? app : broker)).rejects.toThrow(
          new RegExp(`\\b${table} has 0 policies for `),
        ),
      );
    }
    await expect(verifyFences(app)).resolves.toBeUndefined();
    await expect(verifyFences(broker)).resolves.toBeUndefined();
  });

  it('are missed when a policy is added that lets more through, to the role or to everybody', async () => {
    for (const table of await tenantTables())
      for (const role of ['moorage_app', 'PUBLIC'])
        await whileBroken(
          `CREATE POLICY open ON ${table} TO ${role} USING (true)`,
          `DROP POLICY open ON ${table}`,
          async () => {
            await expect(verifyFences(app)).rejects.toThrow(`${table} has a policy that is not known: open`);
            expect([table, await crossing(table)]).toEqual([table, 1]);
          },
        );
  });

  it('are missed when a policy’s condition is changed', async () => {
    await whileBroken(
      `ALTER POLICY app_tenant ON devices USING (tenant_id IS NOT NULL)`,
      `ALTER POLICY app_tenant ON devices USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)`,
      () => expect(verifyFences(app)).rejects.toThrow('devices has a policy that is not known: app_tenant'),
    );
  });

  it('are missed on a table that somebody adds without them', async () => {
    await whileBroken('CREATE TABLE extra (tenant_id uuid)', 'DROP TABLE extra', () =>
      expect(verifyFences(app)).rejects.toThrow('extra has no row-level security'),
    );
  });

  it('are missed when the broker may do more than it needs', async () => {
    await whileBroken(
      'GRANT SELECT ON api_keys TO moorage_broker',
      'REVOKE SELECT ON api_keys FROM moorage_broker',
      () => expect(verifyFences(broker)).rejects.toThrow('api_keys may be used for SELECT by moorage_broker'),
    );
    await whileBroken(
      'GRANT UPDATE ON policies TO moorage_broker',
      'REVOKE UPDATE ON policies FROM moorage_broker',
      () => expect(verifyFences(broker)).rejects.toThrow('policies may be used for UPDATE by moorage_broker'),
    );
  });

  it('are missed by the owner, by a superuser and by a role that bypasses them or belongs to another', async () => {
    const owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    await expect(verifyFences(owner)).rejects.toThrow('devices is owned by moorage_owner');
    await owner.end();
    await expect(verifyFences(superuser)).rejects.toThrow('the role postgres is a superuser');
    // Roles belong to the whole server, which other tests use now: a role of this test's own, not one of the three.
    const role = `fences_${randomUUID().replaceAll('-', '')}`;
    await whileBroken(
      `CREATE ROLE ${role} BYPASSRLS; GRANT moorage_owner TO ${role}; SET ROLE ${role}`,
      `RESET ROLE; DROP ROLE ${role}`,
      async () => {
        await expect(verifyFences(superuser)).rejects.toThrow(`the role ${role} has BYPASSRLS`);
        await expect(verifyFences(superuser)).rejects.toThrow(
          `the role ${role} is a member of moorage_owner`,
        );
      },
    );
  });

  it('bind the owner too', async () => {
    const owner = new Client({ connectionString: database.ownerUrl });
    await owner.connect();
    const { rows } = await owner.query<{ count: string }>('SELECT count(*) FROM devices');
    await owner.end();
    expect(rows[0]!.count).toBe('0');
  });

  it('name every fault at once, under one code', async () => {
    await whileBroken(
      'ALTER TABLE devices DISABLE ROW LEVEL SECURITY; ALTER TABLE wills DISABLE ROW LEVEL SECURITY',
      'ALTER TABLE devices ENABLE ROW LEVEL SECURITY; ALTER TABLE wills ENABLE ROW LEVEL SECURITY',
      async () => {
        const failure: unknown = await verifyFences(app).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(FenceError);
        expect(failure).toMatchObject({
          code: 'store.fence-down',
          faults: ['devices has no row-level security', 'wills has no row-level security'],
        });
      },
    );
  });
});

/** One row in every table that has a tenant's rows. */
async function seed(db: Client, id: string): Promise<void> {
  await db.query(`
    INSERT INTO tenants (id, slug, name) VALUES ('${id}', 't${id.slice(0, 4)}', 'T');
    INSERT INTO api_keys (tenant_id, name, role, prefix, key_hash) VALUES ('${id}', 'k', 'admin', '${id}', sha256('k'));
    INSERT INTO profiles (tenant_id, id, name) VALUES ('${id}', '${id}', 'p');
    INSERT INTO devices (tenant_id, id, name, profile_id) VALUES ('${id}', '${id}', 'd', '${id}');
    INSERT INTO groups (tenant_id, id, name) VALUES ('${id}', '${id}', 'g');
    INSERT INTO group_members VALUES ('${id}', '${id}', '${id}');
    INSERT INTO credentials (tenant_id, device_id, auth_id, secret_hash) VALUES ('${id}', '${id}', 'a', sha256('s'));
    INSERT INTO trust_anchors (tenant_id, id, name, certificate, subject, fingerprint, spki_hash, key_id, subject_hash, not_before,
      not_after, identity, challenge)
      VALUES ('${id}', '${id}', 'a', '', 's', sha256('f'), sha256('s'), 'k', sha256('n'), now(), now(), '{}', 'c');
    INSERT INTO token_issuers (tenant_id, name, issuer, audiences, algorithms, jwks_uri, identity)
      VALUES ('${id}', 'i', 'i', '{a}', '{ES256}', 'u', '{}');
    INSERT INTO authenticators (tenant_id, url, sealed_secret) VALUES ('${id}', 'u', 's');
    INSERT INTO revoked_certificates VALUES ('${id}', '${id}', '1');
    INSERT INTO crl_sources (tenant_id, anchor_id, url, origin) VALUES ('${id}', '${id}', 'http://crl.example/', 'named');
    INSERT INTO tenant_hosts VALUES ('${id}', 'h${id.slice(0, 4)}.example');
    INSERT INTO issuing_authorities (tenant_id, id, sealed_key) VALUES ('${id}', '${id}', 'k');
    INSERT INTO issued_certificates (tenant_id, authority_id, device_id, credential_id, serial, fingerprint, spki_hash, certificate,
      not_before, not_after, issued_by)
      VALUES ('${id}', '${id}', '${id}', '${id}', '1', sha256('f'), sha256('s'), '', now(), now(), 'me');
    INSERT INTO claim_tokens (tenant_id, id, name, token_hash, profile_id, name_template, name_pattern, max_uses, expires_at)
      VALUES ('${id}', '${id}', 'c', sha256('c'), '${id}', '\${name}', '*', 1, now());
    INSERT INTO provisioning_rules (tenant_id, anchor_id, enabled, profile_id, name_template, name_pattern, max_devices, per_minute)
      VALUES ('${id}', '${id}', false, '${id}', '\${name}', '*', 1, 1);
    INSERT INTO registrations VALUES ('${id}', '${id}', 'n', '${id}');
    INSERT INTO policies (tenant_id, id, name, active_version) VALUES ('${id}', '${id}', 'p', 1);
    INSERT INTO policy_versions (tenant_id, policy_id, number, rules, created_by) VALUES ('${id}', '${id}', 1, '[]', 'me');
    INSERT INTO policy_bindings (tenant_id, policy_id, target_kind, target_id) VALUES ('${id}', '${id}', 'device', '${id}');
    INSERT INTO bans (tenant_id, kind, value, created_by) VALUES ('${id}', 'client-id', 'c', 'me');
    INSERT INTO rule_uses VALUES ('${id}', '${id}', 1, 0, now());
    INSERT INTO questions (tenant_id, id, device_ids) VALUES ('${id}', '${id}', '{${id}}');
    INSERT INTO answers VALUES ('${id}', '${id}', '${id}', '{}');
    INSERT INTO observed_topics VALUES ('${id}', '${id}', 'publish', 't', 'c', 'u', now(), now());
    INSERT INTO changes (tenant_id, kind, subject) VALUES ('${id}', 'tenant', '{}');
    INSERT INTO change_receipts (tenant_id, number, process_id, result) VALUES ('${id}', 1, '${id}', '{}');
    INSERT INTO audit_entries (tenant_id, actor, action, subject_kind, subject_id) VALUES ('${id}', 'a', 'b', 'c', 'd');
    INSERT INTO idempotency_keys (scope, key, tenant_id, request_hash) VALUES ('${id}', 'k', '${id}', sha256('r'));
    INSERT INTO telemetry (tenant_id, device_id, received_at, topic, body, qos) VALUES ('${id}', '${id}', now(), 't', '{}', 1);
    INSERT INTO presence (tenant_id, client_id, device_id, epoch, state, cause, since, process_id)
      VALUES ('${id}', 'c', '${id}', 1, 'online', 'connected', now(), '${id}');
    INSERT INTO device_presence VALUES ('${id}', '${id}', 1);
    INSERT INTO presence_events (tenant_id, client_id, device_id, epoch, state, cause, at)
      VALUES ('${id}', 'c', '${id}', 1, 'online', 'connected', now());
    INSERT INTO denials (tenant_id, key, client_id, username, address, action, reason, first_at, last_at)
      VALUES ('${id}', sha256('d'), 'c', 'u', '::1', 'connect', 'r', now(), now());
    INSERT INTO sessions (tenant_id, client_id, device_id, epoch, principal, expiry_interval_s) VALUES ('${id}', 'c', '${id}', 1, '{}', 60);
    INSERT INTO subscriptions (tenant_id, client_id, filter, options) VALUES ('${id}', 'c', '#', 0);
    INSERT INTO queued_messages (tenant_id, id, topic, payload, publisher, received_at) VALUES ('${id}', 1, 't', '', 'c', now());
    INSERT INTO queue_entries (tenant_id, client_id, sequence, message_id, qos, retain) VALUES ('${id}', 'c', 1, 1, 1, false);
    INSERT INTO inbound_packets VALUES ('${id}', 'c', 1);
    INSERT INTO retained_messages (tenant_id, topic, payload, qos, publisher, received_at) VALUES ('${id}', 't', '', 1, 'c', now());
    INSERT INTO wills (tenant_id, client_id, epoch, principal, topic, payload, qos, retain, delay_s, process_id)
      VALUES ('${id}', 'c', 1, '{}', 't', '', 1, false, 0, '${id}')`);
}

async function readPolicies(db: Client): Promise<Policy[]> {
  const { rows } = await db.query<Policy>(
    `SELECT tablename AS "table", policyname AS name, roles[1] AS role FROM pg_policies ORDER BY 1, 2`,
  );
  return rows;
}

async function definitionOf(db: Client, table: string, name: string): Promise<string> {
  const { rows } = await db.query<{ definition: string }>(
    `SELECT format('CREATE POLICY %I ON %I FOR %s TO %I %s %s', policyname, tablename, cmd, roles[1],
                   'USING (' || qual || ')', 'WITH CHECK (' || with_check || ')') AS definition
       FROM pg_policies WHERE tablename = $1 AND policyname = $2`,
    [table, name],
  );
  return rows[0]!.definition;
}
