/**
 * Nobody gets across. Every way into the product stands in one of the tables below, and is tried without credentials, from
 * another tenant, with a role that may not, and with one that may. The tables are held to the running product: a REST route or
 * a GraphQL field without a row fails. What clients do by MQTT has a table of its own (`libs/mqtt/isolation.spec.ts`).
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openControlStore, type ControlStore } from '#store';
import {
  queryAsSuperuser,
  startTestApi,
  type ApiClient,
  type Json,
  type TestApi,
  type TestTenant,
} from './support/api.js';
import { makeAuthority, makeRequest } from './support/pki.js';
import { addDenial, addPresence, addReadings, addRetained, addSession } from './support/broker-rows.js';

type Role = 'viewer' | 'operator' | 'admin' | 'platform';

/** The role below, which may not. A viewer may least: nobody is below. */
const below = { viewer: undefined, operator: 'viewer', admin: 'operator', platform: 'admin' } as const;

let api: TestApi;
let acme: TestTenant;
let other: TestTenant;
/** One of everything, in acme. */
let ids: Readonly<
  Record<
    'device' | 'profile' | 'group' | 'credential' | 'anchor' | 'policy' | 'binding' | 'apiKey' | 'operation',
    string
  >
>;

let theirs: typeof ids;
let newRequest: string;

beforeAll(async () => {
  api = await startTestApi();
  acme = await api.createTenant('acme');
  other = await api.createTenant('other');
  const made = await Promise.all([acme, other].map(fill));
  ids = made[0]!;
  theirs = made[1]!;
  newRequest = (await makeRequest('d')).csr;
});
afterAll(() => api.stop());

function clientOf(role: Role): ApiClient {
  return role === 'platform' ? api.platform : acme[role];
}

async function post(path: string, body: unknown): Promise<{ id: string; headers: Headers }> {
  const { status, body: answer, headers, text } = await api.platform.post(path, body);
  if (status !== 201) throw new Error(`${path}: ${text}`);
  return { id: answer.id, headers };
}

const create = {
  device: async (tenant = acme) => (await post(`${tenant.path}/devices`, { name: `d-${randomUUID()}` })).id,
  ban: async (tenant = acme) =>
    (await post(`${tenant.path}/bans`, { kind: 'client-id', value: randomUUID() })).id,
  group: async (tenant = acme) => (await post(`${tenant.path}/groups`, { name: `g-${randomUUID()}` })).id,
  profile: async (tenant = acme) =>
    (await post(`${tenant.path}/profiles`, { name: `p-${randomUUID()}`, telemetry: [] })).id,
  credential: async (device: string, tenant = acme) =>
    (await post(`${tenant.path}/devices/${device}/credentials`, {})).id,
  policy: async (tenant = acme) =>
    (await post(`${tenant.path}/policies`, { name: `p-${randomUUID()}`, rules: [] })).id,
  binding: async (policyId: string, targetId: string, tenant = acme) =>
    post(`${tenant.path}/policy-bindings`, { policyId, targetKind: 'device', targetId }),
  anchor: async (tenant = acme) => (await newAnchor(tenant)).id,
  claimToken: async (tenant = acme) => (await post(`${tenant.path}/claim-tokens`, { name: randomUUID() })).id,
  host: async () => {
    const host = `${randomUUID()}.example`;
    await api.platform.call('PUT', `${acme.path}/host-names/${host}`);
    return host;
  },
  rule: async () => {
    const { id } = await newAnchor();
    await api.platform.call('PUT', `${acme.path}/trust-anchors/${id}/provisioning`, {
      body: newRule,
      headers: anyVersion,
    });
    return id;
  },
  authority: async (tenant = acme) =>
    (await post(`${tenant.path}/issuing-authorities`, { name: randomUUID() })).id,
  certificate: async (device: string) => {
    const { csr } = await makeRequest('d');
    const authorityId = await authorityOfAcme();
    return (await post(`${acme.path}/devices/${device}/certificates`, { csr, authorityId })).id;
  },
  issuer: async (tenant = acme) => (await post(`${tenant.path}/token-issuers`, newIssuer())).id,
  apiKey: async (tenant = acme) => (await post(`${tenant.path}/api-keys`, { name: 'k', role: 'viewer' })).id,
  tenant: async () => {
    const slug = `t-${randomUUID().slice(0, 8)}`;
    await post('/v1/tenants', { slug, name: slug });
    return slug;
  },
};

const newRule = { enabled: true, maxDevices: 1 };

/** One for all: a tenant has room for twenty. */
let issuing: Promise<string> | undefined;
const authorityOfAcme = (): Promise<string> => (issuing ??= create.authority());

function newIssuer(): object {
  return {
    name: randomUUID(),
    issuer: `https://${randomUUID()}.example`,
    audiences: ['acme'],
    jwksUri: 'https://keys.example/',
  };
}

/** Any tenant has one at most: what a row needs is made when it is needed. */
async function haveAuthenticator(): Promise<object> {
  await api.platform.post(`${acme.path}/authenticator`, { url: 'https://auth.example/' });
  return {};
}

async function authenticatorVersion(): Promise<number> {
  await haveAuthenticator();
  return (await api.platform.get(`${acme.path}/authenticator`)).body.version;
}

interface MadeAnchor {
  readonly id: string;
  /** Fit to prove possession with. */
  readonly proof: string;
  readonly crl: string;
}

async function newAnchor(tenant = acme): Promise<MadeAnchor> {
  const authority = await makeAuthority();
  const made = await api.platform.post(`${tenant.path}/trust-anchors`, {
    name: randomUUID(),
    certificate: authority.pem,
  });
  const [proof, crl] = await Promise.all([
    authority.issue(made.body.challenge),
    authority.revoke([authority.serial]),
  ]);
  return { id: made.body.id, proof: proof.pem, crl };
}

/** A row in every table of the tenant's. */
async function fill(tenant: TestTenant): Promise<typeof ids> {
  const device = await create.device(tenant);
  const group = await create.group(tenant);
  await api.platform.call('PUT', `${tenant.path}/groups/${group}/members/${device}`);
  const policy = await create.policy(tenant);
  const { id: binding, headers } = await create.binding(policy, device, tenant);
  const anchor = await newAnchor(tenant);
  await api.platform.call('PUT', `${tenant.path}/trust-anchors/${anchor.id}/crl`, {
    body: { crl: anchor.crl },
  });
  const at = '2026-01-01T00:00:00Z';
  const { database } = api;
  await addReadings(database, tenant.id, device, [{ at }]);
  await addPresence(database, tenant.id, device, { clientId: 'c', state: 'online', cause: 'connected', at });
  await addSession(database, tenant.id, device, { clientId: 'c', queued: ['m'] });
  await addRetained(database, tenant.id, [{ topic: 't' }]);
  await addDenial(database, tenant.id, { clientId: 'c', action: 'publish', at });
  for (const sql of [
    `INSERT INTO change_receipts (tenant_id, number, process_id, result) VALUES ($1, 1, $1, '{}')`,
    `INSERT INTO idempotency_keys (scope, key, tenant_id, request_hash) VALUES ($1::text, 'k', $1::uuid, sha256('r'))`,
    `INSERT INTO bans (tenant_id, kind, value, created_by) VALUES ($1, 'client-id', 'banned', 'me')`,
    `INSERT INTO rule_uses (tenant_id, policy_id, version, rule, last_at) VALUES ($1, $1, 1, 0, now())`,
    `INSERT INTO observed_topics (tenant_id, device_id, action, topic, client_id, username, first_at, last_at)
     VALUES ($1, $1, 'publish', 't', 'c', 'u', now(), now())`,
    `INSERT INTO questions (tenant_id, id, device_ids, asked_at) VALUES ($1, $1, ARRAY[$1::uuid], now() - interval '1 minute')`,
    `INSERT INTO answers (tenant_id, question_id, process_id, result) VALUES ($1, $1, $1, '{}')`,
    `INSERT INTO inbound_packets (tenant_id, client_id, packet_id) VALUES ($1, 'c', 1)`,
    `INSERT INTO wills (tenant_id, client_id, epoch, principal, topic, payload, qos, retain, delay_s, process_id)
     VALUES ($1, 'c', 1, '{}', 't', '', 1, false, 0, $1)`,
    `INSERT INTO tenant_hosts (tenant_id, host) VALUES ($1::uuid, $1::text || '.example')`,
    `INSERT INTO token_issuers (tenant_id, name, issuer, audiences, algorithms, jwks_uri, identity)
     VALUES ($1, 'i', 'i', '{a}', '{ES256}', 'u', '{}')`,
    `INSERT INTO crl_sources (tenant_id, anchor_id, url, origin, due_at)
     SELECT tenant_id, id, 'https://crl.example/', 'named', now() + interval '1 day' FROM trust_anchors WHERE tenant_id = $1`,
    `INSERT INTO authenticators (tenant_id, url, sealed_secret) VALUES ($1, 'https://auth.example/', 's')`,
    `INSERT INTO issuing_authorities (tenant_id, id, sealed_key) SELECT tenant_id, id, 'k' FROM trust_anchors WHERE tenant_id = $1`,
    `INSERT INTO issued_certificates (tenant_id, authority_id, device_id, credential_id, serial, fingerprint, spki_hash, certificate,
       not_before, not_after, issued_by)
     SELECT tenant_id, id, $1, $1, '1', sha256('f'), sha256('s'), '', now(), now(), 'me' FROM issuing_authorities WHERE tenant_id = $1`,
    `INSERT INTO claim_tokens (tenant_id, name, token_hash, profile_id, name_template, name_pattern, max_uses, expires_at)
     SELECT tenant_id, 'c', sha256('c'), id, '', '*', 1, now() FROM profiles WHERE tenant_id = $1`,
    `INSERT INTO provisioning_rules (tenant_id, anchor_id, enabled, profile_id, name_template, name_pattern, max_devices, per_minute)
     SELECT a.tenant_id, a.id, false, p.id, '', '*', 1, 1
       FROM trust_anchors a JOIN profiles p ON p.tenant_id = a.tenant_id WHERE a.tenant_id = $1`,
    `INSERT INTO registrations (tenant_id, anchor_id, name, device_id)
     SELECT tenant_id, anchor_id, 'n', $1 FROM provisioning_rules WHERE tenant_id = $1`,
  ])
    await queryAsSuperuser(database, sql, [tenant.id]);
  return {
    device,
    group,
    anchor: anchor.id,
    policy,
    binding,
    operation: headers.get('operation-location')?.split('/').at(-1) ?? '',
    profile: await create.profile(tenant),
    credential: await create.credential(device, tenant),
    apiKey: await create.apiKey(tenant),
  };
}

// ------------------------------------------------------------------------------------------------------------------ REST

interface Ask {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: unknown;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Route {
  readonly role: Role;
  readonly status: number;
  /** Made anew for the row: what it changes or deletes is nobody else's. */
  readonly ask: () => Ask | Promise<Ask>;
}

const anyVersion = { 'if-match': '*' };
const nothing = (): Ask => ({});
const row = (role: Role, status: number, ask: Route['ask'] = nothing): Route => ({ role, status, ask });

/** The last one asks for a claim token instead of a key: provisioning.spec.ts tries it. */
const openRoutes = ['GET /livez', 'GET /readyz', 'POST /v1/claims'];
const inTenant = '/v1/tenants/{tenant}';
const routes: Readonly<Record<string, Route>> = {
  'GET /v1/tenants': row('platform', 200),
  'POST /v1/tenants': row('platform', 201, () => ({
    body: { slug: `t-${randomUUID().slice(0, 8)}`, name: 'T' },
  })),
  'GET /v1/api-keys': row('platform', 200),
  'POST /v1/api-keys': row('platform', 201, () => ({ body: { name: 'k' } })),
  'GET /v1/api-keys/{apiKey}': row('platform', 200, async () => ({
    params: { apiKey: await platformKey() },
  })),
  'DELETE /v1/api-keys/{apiKey}': row('platform', 204, async () => ({
    params: { apiKey: await platformKey() },
  })),
  'GET /v1/audit': row('platform', 200),
  'GET /v1/bans': row('platform', 200),
  'POST /v1/bans': row('platform', 201, () => ({ body: { kind: 'client-id', value: randomUUID() } })),
  'GET /v1/bans/{ban}': row('platform', 200, async () => ({ params: { ban: await platformBan() } })),
  'DELETE /v1/bans/{ban}': row('platform', 204, async () => ({ params: { ban: await platformBan() } })),
  'GET /v1/operations/{operation}': row('platform', 200, async () => ({
    params: { operation: await platformOperation() },
  })),

  [`GET ${inTenant}`]: row('viewer', 200),
  [`PATCH ${inTenant}`]: row('platform', 200, () => ({ body: { name: 'Acme' }, headers: anyVersion })),
  [`DELETE ${inTenant}`]: row('platform', 204, async () => ({
    params: { tenant: await create.tenant() },
    headers: anyVersion,
  })),

  [`GET ${inTenant}/api-keys`]: row('admin', 200),
  [`POST ${inTenant}/api-keys`]: row('admin', 201, () => ({ body: { name: 'k', role: 'viewer' } })),
  [`GET ${inTenant}/api-keys/{apiKey}`]: row('admin', 200, () => ({ params: { apiKey: ids.apiKey } })),
  [`DELETE ${inTenant}/api-keys/{apiKey}`]: row('admin', 204, async () => ({
    params: { apiKey: await create.apiKey() },
  })),

  [`GET ${inTenant}/profiles`]: row('viewer', 200),
  [`POST ${inTenant}/profiles`]: row('admin', 201, () => ({ body: { name: randomUUID(), telemetry: [] } })),
  [`GET ${inTenant}/profiles/{profile}`]: row('viewer', 200, () => ({ params: { profile: ids.profile } })),
  [`PATCH ${inTenant}/profiles/{profile}`]: row('admin', 200, () => ({
    params: { profile: ids.profile },
    body: { telemetry: [] },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/profiles/{profile}`]: row('admin', 204, async () => ({
    params: { profile: await create.profile() },
    headers: anyVersion,
  })),

  [`GET ${inTenant}/devices`]: row('viewer', 200),
  [`POST ${inTenant}/devices`]: row('operator', 201, () => ({ body: { name: randomUUID() } })),
  [`POST ${inTenant}/devices/bulk`]: row('operator', 200, () => ({
    text: JSON.stringify({ name: randomUUID(), credentials: [{}] }),
    headers: { 'content-type': 'application/x-ndjson' },
  })),
  [`GET ${inTenant}/devices/{device}`]: row('viewer', 200, () => ({ params: { device: ids.device } })),
  [`PATCH ${inTenant}/devices/{device}`]: row('operator', 200, () => ({
    params: { device: ids.device },
    body: { attributes: { site: 'x' } },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/devices/{device}`]: row('operator', 204, async () => ({
    params: { device: await create.device() },
    headers: anyVersion,
  })),

  [`GET ${inTenant}/groups`]: row('viewer', 200),
  [`POST ${inTenant}/groups`]: row('operator', 201, () => ({ body: { name: randomUUID() } })),
  [`GET ${inTenant}/groups/{group}`]: row('viewer', 200, () => ({ params: { group: ids.group } })),
  [`PATCH ${inTenant}/groups/{group}`]: row('operator', 200, () => ({
    params: { group: ids.group },
    body: { name: randomUUID() },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/groups/{group}`]: row('operator', 204, async () => ({
    params: { group: await create.group() },
    headers: anyVersion,
  })),
  [`GET ${inTenant}/groups/{group}/members`]: row('viewer', 200, () => ({ params: { group: ids.group } })),
  [`PUT ${inTenant}/groups/{group}/members/{device}`]: row('operator', 204, async () => ({
    params: { group: ids.group, device: await create.device() },
  })),
  [`DELETE ${inTenant}/groups/{group}/members/{device}`]: row('operator', 204, async () => {
    const device = await create.device();
    await api.platform.call('PUT', `${acme.path}/groups/${ids.group}/members/${device}`);
    return { params: { group: ids.group, device } };
  }),

  [`GET ${inTenant}/devices/{device}/credentials`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`POST ${inTenant}/devices/{device}/credentials`]: row('operator', 201, () => ({
    params: { device: ids.device },
    body: {},
  })),
  [`GET ${inTenant}/devices/{device}/credentials/{credential}`]: row('viewer', 200, () => ({
    params: { device: ids.device, credential: ids.credential },
  })),
  [`PATCH ${inTenant}/devices/{device}/credentials/{credential}`]: row('operator', 200, () => ({
    params: { device: ids.device, credential: ids.credential },
    body: { disabled: true },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/devices/{device}/credentials/{credential}`]: row('operator', 204, async () => ({
    params: { device: ids.device, credential: await create.credential(ids.device) },
    headers: anyVersion,
  })),

  [`POST ${inTenant}/devices/{device}/credentials/{credential}/rotate`]: row('operator', 201, async () => {
    const device = await create.device();
    return {
      params: { device, credential: await create.credential(device) },
      body: {},
      headers: anyVersion,
    };
  }),
  [`GET ${inTenant}/credential-rotation`]: row('viewer', 200),
  [`GET ${inTenant}/credential-rotation/devices`]: row('viewer', 200, () => ({ query: 'state=bare' })),
  [`GET ${inTenant}/token-issuers`]: row('viewer', 200),
  [`POST ${inTenant}/token-issuers`]: row('admin', 201, () => ({ body: newIssuer() })),
  [`GET ${inTenant}/token-issuers/{issuer}`]: row('viewer', 200, async () => ({
    params: { issuer: await create.issuer() },
  })),
  [`PATCH ${inTenant}/token-issuers/{issuer}`]: row('admin', 200, async () => ({
    params: { issuer: await create.issuer() },
    body: { leewayS: 1 },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/token-issuers/{issuer}`]: row('admin', 204, async () => ({
    params: { issuer: await create.issuer() },
    headers: anyVersion,
  })),
  [`GET ${inTenant}/authenticator`]: row('admin', 200, () => haveAuthenticator()),
  [`POST ${inTenant}/authenticator`]: row('admin', 201, async () => {
    await api.platform.delete(`${acme.path}/authenticator`);
    return { body: { url: 'https://auth.example/' } };
  }),
  [`PATCH ${inTenant}/authenticator`]: row('admin', 200, async () => {
    await haveAuthenticator();
    return { body: { timeoutMs: 500 }, headers: anyVersion };
  }),
  [`POST ${inTenant}/authenticator/secret`]: row('admin', 200, async () => {
    await haveAuthenticator();
    return { headers: anyVersion };
  }),
  [`DELETE ${inTenant}/authenticator`]: row('admin', 204, async () => {
    await haveAuthenticator();
    return { headers: anyVersion };
  }),

  [`GET ${inTenant}/trust-anchors`]: row('viewer', 200),
  [`POST ${inTenant}/trust-anchors`]: row('operator', 201, async () => ({
    body: { name: randomUUID(), certificate: (await makeAuthority()).pem },
  })),
  [`GET ${inTenant}/trust-anchors/{anchor}`]: row('viewer', 200, () => ({ params: { anchor: ids.anchor } })),
  [`PATCH ${inTenant}/trust-anchors/{anchor}`]: row('operator', 200, () => ({
    params: { anchor: ids.anchor },
    body: { crlGraceS: 60 },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/trust-anchors/{anchor}`]: row('operator', 204, async () => ({
    params: { anchor: await create.anchor() },
    headers: anyVersion,
  })),
  [`POST ${inTenant}/trust-anchors/{anchor}/proof`]: row('operator', 200, async () => {
    const { id, proof } = await newAnchor();
    return { params: { anchor: id }, body: { certificate: proof } };
  }),
  [`PUT ${inTenant}/trust-anchors/{anchor}/crl`]: row('operator', 200, async () => {
    const { id, crl } = await newAnchor();
    return { params: { anchor: id }, body: { crl } };
  }),

  [`GET ${inTenant}/issuing-authorities`]: row('viewer', 200),
  [`POST ${inTenant}/issuing-authorities`]: row('admin', 201, () => ({ body: { name: randomUUID() } })),
  [`GET ${inTenant}/issuing-authorities/{authority}`]: row('viewer', 200, async () => ({
    params: { authority: await authorityOfAcme() },
  })),
  [`GET ${inTenant}/issuing-authorities/{authority}/crl`]: row('viewer', 200, async () => ({
    params: { authority: await authorityOfAcme() },
  })),
  [`PATCH ${inTenant}/issuing-authorities/{authority}`]: row('admin', 200, async () => ({
    params: { authority: await create.authority() },
    body: { status: 'retired' },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/issuing-authorities/{authority}`]: row('admin', 204, async () => ({
    params: { authority: await create.authority() },
    headers: anyVersion,
  })),
  [`GET ${inTenant}/trust-anchors/{anchor}/provisioning`]: row('viewer', 200, () => ({
    params: { anchor: ids.anchor },
  })),
  [`PUT ${inTenant}/trust-anchors/{anchor}/provisioning`]: row('operator', 200, () => ({
    params: { anchor: ids.anchor },
    body: newRule,
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/trust-anchors/{anchor}/provisioning`]: row('operator', 204, async () => ({
    params: { anchor: await create.rule() },
    headers: anyVersion,
  })),
  [`GET ${inTenant}/claim-tokens`]: row('viewer', 200),
  [`POST ${inTenant}/claim-tokens`]: row('operator', 201, () => ({ body: { name: randomUUID() } })),
  [`GET ${inTenant}/claim-tokens/{claimToken}`]: row('viewer', 200, async () => ({
    params: { claimToken: await create.claimToken() },
  })),
  [`DELETE ${inTenant}/claim-tokens/{claimToken}`]: row('operator', 204, async () => ({
    params: { claimToken: await create.claimToken() },
  })),
  [`GET ${inTenant}/host-names`]: row('viewer', 200),
  [`PUT ${inTenant}/host-names/{host}`]: row('platform', 204, () => ({
    params: { host: `${randomUUID()}.example` },
  })),
  [`DELETE ${inTenant}/host-names/{host}`]: row('platform', 204, async () => ({
    params: { host: await create.host() },
  })),
  [`GET ${inTenant}/devices/{device}/certificates`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`POST ${inTenant}/devices/{device}/certificates`]: row('operator', 201, async () => ({
    params: { device: await create.device() },
    body: { csr: (await makeRequest('d')).csr, authorityId: await authorityOfAcme() },
  })),
  [`GET ${inTenant}/devices/{device}/certificates/{certificate}`]: row('viewer', 200, async () => {
    const device = await create.device();
    return { params: { device, certificate: await create.certificate(device) } };
  }),
  [`POST ${inTenant}/devices/{device}/certificates/{certificate}/revoke`]: row('operator', 200, async () => {
    const device = await create.device();
    return { params: { device, certificate: await create.certificate(device) }, body: {} };
  }),

  [`GET ${inTenant}/policies`]: row('viewer', 200),
  [`POST ${inTenant}/policies`]: row('admin', 201, () => ({ body: { name: randomUUID(), rules: [] } })),
  [`POST ${inTenant}/policies/evaluate`]: row('viewer', 200, () => ({
    body: { deviceId: ids.device, action: 'connect' },
  })),
  [`GET ${inTenant}/policies/{policy}`]: row('viewer', 200, () => ({ params: { policy: ids.policy } })),
  [`PATCH ${inTenant}/policies/{policy}`]: row('admin', 200, () => ({
    params: { policy: ids.policy },
    body: { description: 'x' },
    headers: anyVersion,
  })),
  [`DELETE ${inTenant}/policies/{policy}`]: row('admin', 204, async () => ({
    params: { policy: await create.policy() },
    headers: anyVersion,
  })),
  [`POST ${inTenant}/policies/{policy}/activate`]: row('admin', 200, () => ({
    params: { policy: ids.policy },
    body: { version: 1 },
    headers: anyVersion,
  })),
  [`GET ${inTenant}/policies/{policy}/versions`]: row('viewer', 200, () => ({
    params: { policy: ids.policy },
  })),
  [`POST ${inTenant}/policies/{policy}/versions`]: row('admin', 201, () => ({
    params: { policy: ids.policy },
    body: { rules: [] },
  })),
  [`GET ${inTenant}/policies/{policy}/versions/{number}`]: row('viewer', 200, () => ({
    params: { policy: ids.policy, number: '1' },
  })),
  [`GET ${inTenant}/policies/{policy}/unused-rules`]: row('viewer', 200, () => ({
    params: { policy: ids.policy },
  })),
  [`POST ${inTenant}/policies/{policy}/diff`]: row('viewer', 200, () => ({
    params: { policy: ids.policy },
    body: { rules: [] },
  })),
  [`GET ${inTenant}/devices/{device}/policy-suggestion`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`GET ${inTenant}/profiles/{profile}/policy-suggestion`]: row('viewer', 200, () => ({
    params: { profile: ids.profile },
  })),
  [`GET ${inTenant}/devices/{device}/connections`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`GET ${inTenant}/bans`]: row('viewer', 200),
  [`POST ${inTenant}/bans`]: row('operator', 201, () => ({
    body: { kind: 'client-id', value: randomUUID() },
  })),
  [`GET ${inTenant}/bans/{ban}`]: row('viewer', 200, async () => ({ params: { ban: await create.ban() } })),
  [`DELETE ${inTenant}/bans/{ban}`]: row('operator', 204, async () => ({
    params: { ban: await create.ban() },
  })),
  [`GET ${inTenant}/address-ranges`]: row('viewer', 200),
  [`PUT ${inTenant}/address-ranges`]: row('admin', 200, () => ({
    body: { deny: ['192.0.2.0/24'] },
    headers: anyVersion,
  })),
  [`GET ${inTenant}/policy-bindings`]: row('viewer', 200),
  [`POST ${inTenant}/policy-bindings`]: row('admin', 201, async () => ({
    body: { policyId: await create.policy(), targetKind: 'device', targetId: ids.device },
  })),
  [`GET ${inTenant}/policy-bindings/{binding}`]: row('viewer', 200, () => ({
    params: { binding: ids.binding },
  })),
  [`DELETE ${inTenant}/policy-bindings/{binding}`]: row('admin', 204, async () => ({
    params: { binding: (await create.binding(await create.policy(), ids.device)).id },
  })),

  [`GET ${inTenant}/devices/{device}/telemetry`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`GET ${inTenant}/devices/{device}/telemetry/count`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`GET ${inTenant}/telemetry/count`]: row('viewer', 200, () => ({ query: `device=${ids.device}` })),
  [`GET ${inTenant}/presence`]: row('viewer', 200),
  [`GET ${inTenant}/presence/{clientId}`]: row('viewer', 200, async () => ({
    params: { clientId: await onlineClient() },
  })),
  [`GET ${inTenant}/device-presence`]: row('viewer', 200),
  [`GET ${inTenant}/devices/{device}/presence`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`GET ${inTenant}/devices/{device}/presence-history`]: row('viewer', 200, () => ({
    params: { device: ids.device },
  })),
  [`GET ${inTenant}/retained`]: row('viewer', 200),
  [`GET ${inTenant}/retained/{topic}`]: row('viewer', 200, async () => ({
    params: { topic: await retainedTopic() },
  })),
  [`DELETE ${inTenant}/retained`]: row('operator', 200, async () => ({
    query: `topic=${await retainedTopic()}`,
  })),
  [`DELETE ${inTenant}/retained/{topic}`]: row('operator', 204, async () => ({
    params: { topic: await retainedTopic() },
  })),
  [`GET ${inTenant}/sessions`]: row('viewer', 200),
  [`GET ${inTenant}/sessions/{clientId}`]: row('viewer', 200, async () => ({
    params: { clientId: await onlineClient() },
  })),
  [`DELETE ${inTenant}/sessions/{clientId}`]: row('operator', 202, async () => ({
    params: { clientId: await onlineClient() },
  })),
  [`GET ${inTenant}/denials`]: row('viewer', 200),
  [`GET ${inTenant}/audit`]: row('admin', 200),
  [`GET ${inTenant}/operations/{operation}`]: row('viewer', 200, () => ({
    params: { operation: ids.operation },
  })),
};

async function platformBan(): Promise<string> {
  return (await post('/v1/bans', { kind: 'client-id', value: randomUUID() })).id;
}

async function platformOperation(): Promise<string> {
  const { headers } = await post('/v1/bans', { kind: 'client-id', value: randomUUID() });
  return headers.get('operation-location')?.split('/').at(-1) ?? '';
}

async function platformKey(): Promise<string> {
  return (await post('/v1/api-keys', { name: 'k' })).id;
}

async function onlineClient(): Promise<string> {
  const clientId = `c-${randomUUID()}`;
  const at = '2026-01-01T00:00:00Z';
  await addPresence(api.database, acme.id, ids.device, { clientId, state: 'online', cause: 'connected', at });
  return clientId;
}

async function retainedTopic(): Promise<string> {
  const topic = `c-${randomUUID()}/t`;
  await addRetained(api.database, acme.id, [{ topic }]);
  return topic;
}

async function send(client: ApiClient, route: string, ask: Ask, params: Readonly<Record<string, string>>) {
  const [method = '', template = ''] = route.split(' ');
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
  const { body, text, headers } = ask;
  return client.call(method, ask.query === undefined ? path : `${path}?${ask.query}`, {
    ...(body === undefined ? {} : { body }),
    ...(text === undefined ? {} : { text }),
    ...(headers === undefined ? {} : { headers }),
  });
}

/** In the form of the one given, and nobody's. */
function unknownLike(id: string): string {
  if (/^\d+$/.test(id)) return '999999999';
  return id.startsWith('c-') ? `c-${randomUUID()}` : randomUUID();
}

describe('REST', () => {
  it('has a row here for every route it offers', async () => {
    const { body } = await api.anonymous.get('/openapi.json');
    const offered = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect([...Object.keys(routes), ...openRoutes].toSorted()).toEqual(offered.toSorted());
  });

  for (const [route, { role, status, ask: prepare }] of Object.entries(routes))
    it(`${route} is for its tenant and its roles alone`, async () => {
      const ask = await prepare();
      const params = { tenant: 'acme', ...ask.params };
      const ofTenant = route.includes('{tenant}');

      const anonymous = await send(api.anonymous, route, ask, params);
      expect([anonymous.status, anonymous.body.code]).toEqual([401, 'unauthenticated']);
      const forged = api.anonymous.with(
        `${acme.admin.key?.slice(0, -1)}${acme.admin.key?.endsWith('A') ? 'B' : 'A'}`,
      );
      expect((await send(forged, route, ask, params)).status).toBe(401);

      if (ofTenant) {
        // The key of another tenant sees no tenant here, and sees of an id of ours what it sees of nobody's.
        const outside = await send(other.admin, route, ask, params);
        const nowhere = await send(other.admin, route, ask, { ...params, tenant: 'nobody' });
        expect([outside.status, outside.text]).toEqual([404, nowhere.text]);
      }
      const own = Object.entries(ask.params ?? {}).filter(([name]) => name !== 'tenant' && name !== 'number');
      if (ofTenant && own.length > 0 && role !== 'platform') {
        const unknown = Object.fromEntries(own.map(([name, id]) => [name, unknownLike(id)]));
        const foreign = await send(other.admin, route, ask, { ...params, tenant: 'other' });
        const missing = await send(other.admin, route, ask, { ...params, ...unknown, tenant: 'other' });
        expect([foreign.status, foreign.text]).toEqual([404, missing.text]);
      }

      const lesser = below[role];
      if (lesser !== undefined) {
        const refused = await send(acme[lesser], route, ask, params);
        const hidden = ofTenant && params.tenant !== 'acme';
        expect(refused.status).toBe(hidden ? 404 : 403);
      }

      const right = await send(clientOf(role), route, ask, params);
      expect([route, right.status, right.status < 300 ? '' : right.text]).toEqual([route, status, '']);
    });

  it.each<[string, string, (id: string) => object]>([
    ['profile', 'devices', (profileId) => ({ name: randomUUID(), profileId })],
    ['group', 'devices', (group) => ({ name: randomUUID(), groupIds: [group] })],
    ['profile', 'claim-tokens', (profileId) => ({ name: randomUUID(), profileId })],
    ['anchor', 'devices/{device}/credentials', (anchorId) => ({ kind: 'certificate', anchorId })],
    ['issuer', 'devices/{device}/credentials', (issuerId) => ({ kind: 'token', issuerId })],
    ['authority', 'devices/{device}/certificates', (authorityId) => ({ csr: newRequest, authorityId })],
    [
      'policy',
      'policy-bindings',
      (policyId) => ({ policyId, targetKind: 'device', targetId: theirs.device }),
    ],
    ...(['device', 'group', 'profile'] as const).map(
      (targetKind): [string, string, (id: string) => object] => [
        targetKind,
        'policy-bindings',
        (targetId) => ({ policyId: theirs.policy, targetKind, targetId }),
      ],
    ),
  ])('nothing refers to another tenant’s %s: POST %s', async (kind, path, body) => {
    const made = { issuer: create.issuer, authority: authorityOfAcme };
    const id = kind in made ? await made[kind as keyof typeof made]() : ids[kind as keyof typeof ids];
    const ask = (of: TestTenant, referred: string) =>
      of.admin.post(
        `${of.path}/${path.replace('{device}', of === acme ? ids.device : theirs.device)}`,
        body(referred),
      );
    const refused = await ask(other, id);
    expect([refused.status, refused.text]).toEqual([422, (await ask(other, randomUUID())).text]);
  });

  it('a cursor of another tenant opens no list', async () => {
    const { body } = await api.anonymous.get('/openapi.json');
    let tried = 0;
    for (const [template, { get }] of Object.entries<Json>(body.paths)) {
      if (
        !template.startsWith(`${inTenant}/`) ||
        !get?.parameters?.some(({ name }: Json) => name === 'after')
      )
        continue;
      const query = `limit=1${template.endsWith('rotation/devices') ? '&state=bare' : ''}`;
      const pathOf = (tenant: string, of: typeof ids): string =>
        template.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
          name === 'tenant' ? tenant : (of[name as keyof typeof ids] ?? ''),
        );
      const { next } = (await acme.admin.get(`${pathOf('acme', ids)}?${query}`)).body;
      if (next === null) continue;
      const own = await acme.admin.get(`${pathOf('acme', ids)}?${query}&after=${encodeURIComponent(next)}`);
      const crossed = await other.admin.get(
        `${pathOf('other', theirs)}?${query}&after=${encodeURIComponent(next)}`,
      );
      expect([template, own.status, crossed.status]).toEqual([template, 200, 400]);
      tried += 1;
    }
    expect(tried).toBeGreaterThan(5);
  });

  it('an evaluation knows no credential of another tenant', async () => {
    const device = await create.device(other);
    const ask = (credentialId: string) =>
      other.admin.post(`${other.path}/policies/evaluate`, {
        deviceId: device,
        action: 'connect',
        credentialId,
      });
    const foreign = await ask(ids.credential);
    expect([foreign.status, foreign.text]).toEqual([422, (await ask(randomUUID())).text]);
    expect((await ask(await create.credential(device, other))).status).toBe(200);
  });
});

// --------------------------------------------------------------------------------------------------------------- GraphQL

interface Field {
  readonly role: Role;
  /** Without `tenant`. */
  readonly args: () => string | Promise<string>;
  readonly selection: string;
  /** Of ids that are another tenant's: `invalid` where they stand in an input, undefined where there are none. */
  readonly foreign: 'not-found' | 'invalid' | undefined;
}

const field = (role: Role, selection: string, args: Field['args'] = () => ''): Field => ({
  role,
  args,
  selection,
  foreign: undefined,
});
/** With ids that another tenant must not reach. */
const idField = (
  role: Role,
  selection: string,
  args: Field['args'],
  foreign: Field['foreign'] = 'not-found',
): Field => ({ role, args, selection, foreign });

const page = '{ edges { cursor } }';
const device = () => `device: "${ids.device}"`;

const queries: Readonly<Record<string, Field>> = {
  tenants: field('platform', page),
  tenant: field('viewer', '{ id }'),
  apiKeys: field('admin', page),
  apiKey: idField('admin', '{ prefix }', () => `id: "${ids.apiKey}"`),
  platformApiKeys: field('platform', page),
  platformApiKey: field('platform', '{ prefix }', async () => `id: "${await platformKey()}"`),
  profiles: field('viewer', page),
  profile: idField('viewer', '{ id }', () => `id: "${ids.profile}"`),
  groups: field('viewer', page),
  group: idField('viewer', '{ id }', () => `id: "${ids.group}"`),
  devices: field(
    'viewer',
    '{ edges { node { profile { id } groups { id } credentials { id } presence { device { id } } latestTelemetry { id } } } }',
  ),
  device: idField('viewer', '{ id }', () => `id: "${ids.device}"`),
  credentials: idField('viewer', page, device),
  credential: idField('viewer', '{ id }', () => `${device()}, id: "${ids.credential}"`),
  credentialRotation: field('viewer', '{ moved }'),
  credentialRotationDevices: field('viewer', '{ edges { node { name } } }', () => 'state: "bare"'),
  tokenIssuers: field('viewer', '{ edges { node { issuer } } }'),
  tokenIssuer: idField('viewer', '{ id }', async () => `id: "${await create.issuer()}"`),
  authenticator: field('admin', '{ url }', async () => {
    await haveAuthenticator();
    return '';
  }),
  trustAnchors: field('viewer', '{ edges { node { crl { number } } } }'),
  trustAnchor: idField('viewer', '{ id }', () => `id: "${ids.anchor}"`),
  issuingAuthorities: field('viewer', page),
  issuingAuthority: idField('viewer', '{ id }', async () => `id: "${await authorityOfAcme()}"`),
  issuedRevocationList: idField(
    'viewer',
    '{ number }',
    async () => `authority: "${await authorityOfAcme()}"`,
  ),
  claimTokens: field('viewer', page),
  claimToken: idField('viewer', '{ id }', async () => `id: "${await create.claimToken()}"`),
  provisioningRule: idField('viewer', '{ registered }', () => `anchor: "${ids.anchor}"`),
  hostNames: field('viewer', '{ host }'),
  deviceCertificates: idField('viewer', page, device),
  deviceCertificate: idField('viewer', '{ id }', async () => {
    const own = await create.device();
    return `device: "${own}", id: "${await create.certificate(own)}"`;
  }),
  unusedRules: idField('viewer', '{ version }', () => `policy: "${ids.policy}"`),
  policyDiff: idField('viewer', '{ lost }', () => `policy: "${ids.policy}", rules: []`),
  policySuggestion: idField('viewer', '{ rules }', device),
  profilePolicySuggestion: idField('viewer', '{ rules }', () => `profile: "${ids.profile}"`),
  pastConnections: idField('viewer', page, device),
  bans: field('viewer', page),
  ban: idField('viewer', '{ value }', async () => `id: "${await create.ban()}"`),
  platformAudit: field('platform', page),
  platformBans: field('platform', page),
  platformBan: field('platform', '{ value }', async () => `id: "${await platformBan()}"`),
  platformOperation: field('platform', '{ kind }', async () => `number: "${await platformOperation()}"`),
  addressRanges: field('viewer', '{ deny }'),
  policies: field('viewer', '{ edges { node { rules } } }'),
  policy: idField('viewer', '{ rules }', () => `id: "${ids.policy}"`),
  policyVersions: idField('viewer', page, () => `policy: "${ids.policy}"`),
  policyVersion: idField('viewer', '{ rules }', () => `policy: "${ids.policy}", number: 1`),
  policyBindings: field('viewer', page),
  policyBinding: idField('viewer', '{ policyId }', () => `id: "${ids.binding}"`),
  evaluatePolicy: idField(
    'viewer',
    '{ decision }',
    () => `question: { deviceId: "${ids.device}", action: connect }`,
    'invalid',
  ),
  telemetry: idField('viewer', page, device),
  telemetryCount: idField('viewer', '', device),
  devicePresences: field('viewer', '{ edges { node { state clients { clientId } } } }'),
  devicePresence: idField('viewer', '{ state }', device),
  presence: field('viewer', '{ edges { node { device { id } } } }'),
  clientPresence: idField('viewer', '{ state }', async () => `clientId: "${await onlineClient()}"`),
  presenceHistory: idField('viewer', page, device),
  retainedMessages: field('viewer', page, () => 'payload: true'),
  retainedMessage: idField('viewer', '{ body }', async () => `topic: "${await retainedTopic()}"`),
  sessions: field('viewer', page),
  session: idField('viewer', '{ clientId }', async () => `clientId: "${await onlineClient()}"`),
  denials: field('viewer', page),
  audit: field('admin', page),
  operation: idField('viewer', '{ status }', () => `number: "${ids.operation}"`),
};

const mutations: Readonly<Record<string, Field>> = {
  createTenant: field(
    'platform',
    '{ id }',
    () => `input: { slug: "t-${randomUUID().slice(0, 8)}", name: "T" }`,
  ),
  updateTenant: field('platform', '{ operation }', async () => {
    const { version } = (await api.platform.get(acme.path)).body;
    return `expectedVersion: ${version}, patch: { name: "Acme" }`;
  }),
  // A tenant made for it, by its whole name here: `untenanted` below.
  deleteTenant: field(
    'platform',
    '{ id }',
    async () => `tenant: "${await create.tenant()}", expectedVersion: 1`,
  ),
  createApiKey: field('admin', '{ key }', () => 'input: { name: "k", role: "viewer" }'),
  revokeApiKey: idField('admin', '{ revokedAt }', async () => `id: "${await create.apiKey()}"`),
  createPlatformApiKey: field('platform', '{ key }', () => 'input: { name: "k" }'),
  revokePlatformApiKey: field('platform', '{ revokedAt }', async () => `id: "${await platformKey()}"`),
  rotateCredential: idField('operator', '{ operation }', async () => {
    const own = await create.device();
    const id = await create.credential(own);
    return `device: "${own}", id: "${id}", expectedVersion: 1, input: {}`;
  }),
  createTokenIssuer: field(
    'admin',
    '{ id }',
    () =>
      `input: { name: "${randomUUID()}", issuer: "${randomUUID()}", audiences: ["a"], jwksUri: "https://k.example/" }`,
  ),
  updateTokenIssuer: idField('admin', '{ operation }', async () => {
    return `id: "${await create.issuer()}", expectedVersion: 1, patch: { leewayS: 1 }`;
  }),
  deleteTokenIssuer: idField(
    'admin',
    '{ id }',
    async () => `id: "${await create.issuer()}", expectedVersion: 1`,
  ),
  createAuthenticator: field('admin', '{ secret }', async () => {
    await api.platform.delete(`${acme.path}/authenticator`);
    return 'input: { url: "https://auth.example/" }';
  }),
  updateAuthenticator: field('admin', '{ operation }', async () => {
    return `expectedVersion: ${await authenticatorVersion()}, patch: { timeoutMs: 500 }`;
  }),
  renewAuthenticatorSecret: field('admin', '{ secret }', async () => {
    return `expectedVersion: ${await authenticatorVersion()}`;
  }),
  deleteAuthenticator: field('admin', '{ operation }', async () => {
    return `expectedVersion: ${await authenticatorVersion()}`;
  }),
  createProfile: field('admin', '{ id }', () => `input: { name: "${randomUUID()}" }`),
  updateProfile: idField('admin', '{ operation }', async () => {
    const id = await create.profile();
    return `id: "${id}", expectedVersion: 1, patch: { telemetry: [] }`;
  }),
  deleteProfile: idField(
    'admin',
    '{ id }',
    async () => `id: "${await create.profile()}", expectedVersion: 1`,
  ),
  createGroup: field('operator', '{ id }', () => `input: { name: "${randomUUID()}" }`),
  updateGroup: idField('operator', '{ name }', async () => {
    const id = await create.group();
    return `id: "${id}", expectedVersion: 1, patch: { name: "${randomUUID()}" }`;
  }),
  deleteGroup: idField('operator', '{ id }', async () => `id: "${await create.group()}", expectedVersion: 1`),
  addGroupMember: idField('operator', '{ operation }', async () => {
    return `group: "${ids.group}", device: "${await create.device()}"`;
  }),
  removeGroupMember: idField('operator', '{ operation }', () => `group: "${ids.group}", ${device()}`),
  createDevices: field(
    'operator',
    '{ created rows { credentials { password } } }',
    () => `devices: [{ name: "${randomUUID()}", credentials: [{}] }]`,
  ),
  createDevice: field('operator', '{ id }', () => `input: { name: "${randomUUID()}" }`),
  updateDevice: idField('operator', '{ operation }', async () => {
    const id = await create.device();
    return `id: "${id}", expectedVersion: 1, patch: { status: "disabled" }`;
  }),
  deleteDevice: idField(
    'operator',
    '{ id }',
    async () => `id: "${await create.device()}", expectedVersion: 1`,
  ),
  createCredential: idField('operator', '{ password }', () => `device: "${ids.device}", input: {}`),
  updateCredential: idField('operator', '{ operation }', async () => {
    const id = await create.credential(ids.device);
    return `device: "${ids.device}", id: "${id}", expectedVersion: 1, patch: { disabled: true }`;
  }),
  deleteCredential: idField('operator', '{ id }', async () => {
    const id = await create.credential(ids.device);
    return `device: "${ids.device}", id: "${id}", expectedVersion: 1`;
  }),
  createTrustAnchor: field('operator', '{ id }', async () => {
    const certificate = JSON.stringify((await makeAuthority()).pem);
    return `input: { name: "${randomUUID()}", certificate: ${certificate} }`;
  }),
  proveTrustAnchor: idField('operator', '{ id }', async () => {
    const { id, proof } = await newAnchor();
    return `id: "${id}", certificate: ${JSON.stringify(proof)}`;
  }),
  updateTrustAnchor: idField('operator', '{ operation }', async () => {
    return `id: "${await create.anchor()}", expectedVersion: 1, patch: { crlWhenStale: "grace" }`;
  }),
  revokeCertificates: idField('operator', '{ operation }', async () => {
    const { id, crl } = await newAnchor();
    return `id: "${id}", crl: ${JSON.stringify(crl)}`;
  }),
  deleteTrustAnchor: idField(
    'operator',
    '{ id }',
    async () => `id: "${await create.anchor()}", expectedVersion: 1`,
  ),
  createIssuingAuthority: field('admin', '{ id }', () => `input: { name: "${randomUUID()}" }`),
  updateIssuingAuthority: idField('admin', '{ status }', async () => {
    return `id: "${await create.authority()}", expectedVersion: 1, patch: { status: "retired" }`;
  }),
  deleteIssuingAuthority: idField(
    'admin',
    '{ id }',
    async () => `id: "${await create.authority()}", expectedVersion: 1`,
  ),
  issueDeviceCertificate: idField('operator', '{ chain }', async () => {
    const csr = JSON.stringify((await makeRequest('d')).csr);
    return `device: "${await create.device()}", input: { csr: ${csr}, authorityId: "${await authorityOfAcme()}" }`;
  }),
  revokeDeviceCertificate: idField('operator', '{ operation }', async () => {
    const own = await create.device();
    return `device: "${own}", id: "${await create.certificate(own)}"`;
  }),
  createClaimToken: field('operator', '{ token }', () => `input: { name: "${randomUUID()}" }`),
  deleteClaimToken: idField('operator', '{ id }', async () => `id: "${await create.claimToken()}"`),
  putProvisioningRule: idField(
    'operator',
    '{ registered }',
    async () => `anchor: "${await create.anchor()}", input: { enabled: true, maxDevices: 1 }`,
  ),
  deleteProvisioningRule: idField(
    'operator',
    '{ id }',
    async () => `anchor: "${await create.rule()}", expectedVersion: 1`,
  ),
  addHostName: field('platform', '{ host }', () => `host: "${randomUUID()}.example"`),
  removeHostName: field('platform', '{ host }', async () => `host: "${await create.host()}"`),
  createBan: field('operator', '{ operation }', () => `input: { kind: client_id, value: "${randomUUID()}" }`),
  liftBan: idField('operator', '{ id }', async () => `id: "${await create.ban()}"`),
  createPlatformBan: field(
    'platform',
    '{ operation }',
    () => `input: { kind: client_id, value: "${randomUUID()}" }`,
  ),
  liftPlatformBan: field('platform', '{ id }', async () => `id: "${await platformBan()}"`),
  setAddressRanges: field('admin', '{ operation }', async () => {
    const { version } = (await api.platform.get(acme.path)).body;
    return `expectedVersion: ${version}, ranges: { deny: ["192.0.2.0/24"] }`;
  }),
  createPolicy: field('admin', '{ id }', () => `input: { name: "${randomUUID()}", rules: [] }`),
  updatePolicy: idField('admin', '{ operation }', async () => {
    const id = await create.policy();
    return `id: "${id}", expectedVersion: 1, patch: { description: "x" }`;
  }),
  addPolicyVersion: idField('admin', '{ operation }', () => `policy: "${ids.policy}", rules: []`),
  activatePolicyVersion: idField('admin', '{ operation }', async () => {
    const id = await create.policy();
    return `policy: "${id}", expectedVersion: 1, version: 1`;
  }),
  deletePolicy: idField('admin', '{ id }', async () => `id: "${await create.policy()}", expectedVersion: 1`),
  bindPolicy: idField(
    'admin',
    '{ operation }',
    async () => `policy: "${await create.policy()}", targetKind: device, target: "${ids.device}"`,
    'invalid',
  ),
  unbindPolicy: idField('admin', '{ id }', async () => {
    const { id } = await create.binding(await create.policy(), ids.device);
    return `binding: "${id}"`;
  }),
  clearRetainedMessage: idField('operator', '{ operation }', async () => `topic: "${await retainedTopic()}"`),
  clearRetainedMessages: field('operator', '{ messages }', async () => `topic: "${await retainedTopic()}"`),
  disconnectSession: idField('operator', '{ operation }', async () => `clientId: "${await onlineClient()}"`),
};

/** graphql/subscriptions.spec.ts tries these. */
const subscriptions = ['presence', 'telemetry'];
/** Not of acme: of the platform, or of a tenant they name themselves. */
const untenanted = new Set([
  'tenants',
  'createTenant',
  'deleteTenant',
  'platformAudit',
  'platformBans',
  'platformBan',
  'platformOperation',
  'createPlatformBan',
  'liftPlatformBan',
  'platformApiKeys',
  'platformApiKey',
  'createPlatformApiKey',
  'revokePlatformApiKey',
]);

describe('GraphQL', () => {
  it('has a row here for every field it offers', async () => {
    const names = 'fields { name }';
    const query = `{ __schema { queryType { ${names} } mutationType { ${names} } subscriptionType { ${names} } } }`;
    const { data } = (await api.platform.post('/graphql', { query })).body;
    const offered = (root: { fields: { name: string }[] }) => root.fields.map(({ name }) => name).toSorted();
    expect(Object.keys(queries).toSorted()).toEqual(offered(data.__schema.queryType));
    expect(Object.keys(mutations).toSorted()).toEqual(offered(data.__schema.mutationType));
    expect(subscriptions).toEqual(offered(data.__schema.subscriptionType));
  });

  for (const [operation, table] of [
    ['query', queries],
    ['mutation', mutations],
  ] as const)
    for (const [name, { role, args: prepare, selection, foreign }] of Object.entries(table))
      it(`${operation} ${name} is for its tenant and its roles alone`, async () => {
        const args = await prepare();
        const run = async (client: ApiClient, tenant: string) => {
          const given = [
            ...(untenanted.has(name) ? [] : [`tenant: "${tenant}"`]),
            ...(args === '' ? [] : [args]),
          ];
          const list = given.length === 0 ? '' : `(${given.join(', ')})`;
          return client.post('/graphql', { query: `${operation} { it: ${name}${list} ${selection} }` });
        };
        const codeOf = (answer: Awaited<ReturnType<typeof run>>) => answer.body.errors?.[0]?.extensions.code;

        const anonymous = await run(api.anonymous, 'acme');
        expect([anonymous.status, codeOf(anonymous), anonymous.body.data]).toEqual([
          401,
          'unauthenticated',
          null,
        ]);

        if (!untenanted.has(name)) {
          const outside = await run(other.admin, 'acme');
          const nowhere = await run(other.admin, 'nobody');
          expect([codeOf(outside), outside.text]).toEqual(['not-found', nowhere.text]);
        }
        if (foreign !== undefined) {
          const crossed = await run(other.admin, 'other');
          expect([codeOf(crossed), crossed.body.data]).toEqual([foreign, null]);
        }
        const lesser = below[role];
        if (lesser !== undefined) {
          const hidden = name === 'deleteTenant';
          expect(codeOf(await run(acme[lesser], 'acme'))).toBe(hidden ? 'not-found' : 'forbidden');
        }

        const right = await run(clientOf(role), 'acme');
        expect(right.body.errors).toBeUndefined();
        expect(right.body.data.it).not.toBeNull();
      });
});

// ---------------------------------------------------------------------------------------------------------- the database

describe('the database', () => {
  // The rows above have deleted it.
  beforeAll(async () => {
    await haveAuthenticator();
  });

  let store: ControlStore;
  beforeAll(() => {
    store = openControlStore({ url: api.database.appUrl, poolSize: 2 });
  });
  afterAll(() => store.close());

  interface Policy {
    readonly table: string;
    readonly name: string;
    readonly command: string;
    readonly condition: string;
    readonly check: string | null;
  }

  async function tenantTables(): Promise<string[]> {
    const rows = await queryAsSuperuser(
      api.database,
      `SELECT table_name::text AS name FROM information_schema.columns
       WHERE table_schema = 'public' AND column_name = 'tenant_id' ORDER BY 1`,
    );
    return [...rows.map(({ name }) => name as string), 'tenants'];
  }

  /** What is wrong while the api works for acme: rows of ours that it misses, and rows of others that it sees. */
  async function leaks(tables: readonly string[]): Promise<string[]> {
    const counts = await store.tenant(acme.id, ({ db }) =>
      db.$queryRawUnsafe<{ name: string; own: boolean; others: boolean }[]>(
        tables
          .map((table) => {
            const key = table === 'tenants' ? 'id' : 'tenant_id';
            return `SELECT '${table}' AS name, coalesce(bool_or(${key} = '${acme.id}'), false) AS own,
              coalesce(bool_or(${key} IS DISTINCT FROM '${acme.id}'), false) AS others FROM ${table}`;
          })
          .join(' UNION ALL '),
      ),
    );
    return counts.flatMap(({ name, own, others }) => [
      ...(own ? [] : [`${name} hides its tenant's rows`]),
      ...(others ? [`${name} shows rows of others`] : []),
    ]);
  }

  async function policiesOfTheApi(): Promise<Policy[]> {
    const rows = await queryAsSuperuser(
      api.database,
      `SELECT tablename AS table, policyname AS name, cmd AS command, qual AS condition, with_check AS check
       FROM pg_policies WHERE 'moorage_app' = ANY (roles) ORDER BY 1, 2`,
    );
    return rows as unknown as Policy[];
  }

  it('shows a tenant every row of its own and none of another, whatever the query leaves out', async () => {
    expect(await leaks(await tenantTables())).toEqual([]);
  });

  it('fails this suite when any policy of the api is dropped or opened', async () => {
    const tables = new Set(await tenantTables());
    const policies = (await policiesOfTheApi()).filter(({ table }) => tables.has(table));
    expect(policies.length).toBeGreaterThan(20);
    for (const { table, name, command, condition, check } of policies) {
      // Those for writing `tenants` leak by a write: the next test.
      if (condition === null || !['ALL', 'SELECT'].includes(command)) continue;
      const restore = `CREATE POLICY ${name} ON ${table} FOR ${command} TO moorage_app USING (${condition})
        ${check === null ? '' : `WITH CHECK (${check})`}`;
      await queryAsSuperuser(api.database, `DROP POLICY ${name} ON ${table}`);
      expect(await leaks([table])).toEqual([`${table} hides its tenant's rows`]);
      await queryAsSuperuser(api.database, `${restore}; ALTER POLICY ${name} ON ${table} USING (true)`);
      expect(await leaks([table])).toEqual([`${table} shows rows of others`]);
      await queryAsSuperuser(api.database, `DROP POLICY ${name} ON ${table}`);
      await queryAsSuperuser(api.database, restore);
    }
    expect(await leaks([...tables])).toEqual([]);
  });

  it('lets no tenant write tenants, and notices when the policies that see to it are dropped or opened', async () => {
    const rename = () =>
      store.tenant(acme.id, ({ db }) =>
        db.tenant.updateMany({ where: { id: other.id }, data: { name: 'mine' } }),
      );
    const asPlatform = () =>
      store.platform(({ db }) => db.tenant.updateMany({ where: { id: other.id }, data: { name: 'Other' } }));
    expect([(await rename()).count, (await asPlatform()).count]).toEqual([0, 1]);
    await queryAsSuperuser(api.database, 'ALTER POLICY app_change ON tenants USING (true)');
    await queryAsSuperuser(api.database, 'ALTER POLICY app_read ON tenants USING (true)');
    expect((await rename()).count).toBe(1);
    await queryAsSuperuser(api.database, 'DROP POLICY app_change ON tenants');
    expect((await asPlatform()).count).toBe(0);
  });
});
