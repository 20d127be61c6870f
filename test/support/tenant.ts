/** A tenant with a device that may sign in, written the way the api writes: rows and the numbered change in one transaction. */
import { randomBytes } from 'node:crypto';

import { deriveVerifiers, generateSecret, hashSecret, readCertificate, type Rule } from '#access';
import {
  createTrustAnchor,
  recordChange,
  type ChangeKind,
  type ChangeSubject,
  type ControlStore,
  type TenantTx,
} from '#store';

export interface TestTenant {
  readonly id: string;
  readonly slug: string;
  readonly profileId: string;
  /** Changes rows and records the change; its number. */
  change(kind: ChangeKind, subject: ChangeSubject, work: (tx: TenantTx) => Promise<unknown>): Promise<bigint>;
  /** What only the platform may do to a tenant. */
  set(data: { status?: string; limits?: object; settings?: object }): Promise<bigint>;
  addDevice(name: string, options?: DeviceOptions): Promise<TestDevice>;
  addPolicy(name: string, rules: readonly Rule[], target: Target): Promise<TestPolicy>;
  /** A trust anchor whose possession is proven; its id. */
  addAnchor(certificate: Buffer, options?: AnchorOptions): Promise<string>;
}

export interface AnchorOptions {
  readonly identity?: { source: string; pattern: string };
  readonly ocsp?: 'off' | 'soft' | 'hard';
  readonly ocspUrl?: string | null;
}

export interface DeviceOptions {
  readonly clientIdRule?: { kind: string; value?: string };
  readonly attributes?: Record<string, string>;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

export interface TestDevice {
  readonly id: string;
  readonly name: string;
  readonly credentialId: string;
  readonly username: string;
  readonly password: string;
}

export interface Target {
  readonly targetKind: 'tenant' | 'group' | 'profile' | 'device';
  readonly targetId: string;
}

export interface TestPolicy {
  readonly id: string;
  /** Adds a version and makes it the active one. */
  setRules(rules: readonly Rule[]): Promise<bigint>;
}

export async function createTestTenant(
  store: ControlStore,
  secretKey: Buffer,
  slug = `t${randomBytes(6).toString('hex')}`,
): Promise<TestTenant> {
  const { id } = await store.platform(({ db }) => db.tenant.create({ data: { slug, name: slug } }));
  const profile = await store.tenant(id, ({ db }) =>
    db.profile.create({
      data: {
        tenantId: id,
        name: 'default',
        telemetry: [{ filter: 'devices/${device}/telemetry', timeField: 'ts' }],
      },
    }),
  );

  const change: TestTenant['change'] = (kind, subject, work) =>
    store.tenant(id, async (tx) => {
      await work(tx);
      return recordChange(tx, { kind, subject });
    });

  return {
    id,
    slug,
    profileId: profile.id,
    change,

    set: (data) =>
      store.platform((platform) =>
        platform.tenant(id, async (tx) => {
          await tx.db.tenant.update({ where: { id }, data });
          return recordChange(tx, { kind: 'tenant', subject: { tenantId: id } });
        }),
      ),

    async addDevice(name, options = {}) {
      const {
        clientIdRule = { kind: 'device' },
        attributes = {},
        notBefore = null,
        notAfter = null,
      } = options;
      const password = generateSecret();
      const scram = await deriveVerifiers(password);
      return store.tenant(id, async ({ db }) => {
        const device = await db.device.create({
          data: { tenantId: id, name, profileId: profile.id, attributes },
        });
        const credential = await db.credential.create({
          data: {
            tenantId: id,
            deviceId: device.id,
            authId: name,
            secretHash: Uint8Array.from(hashSecret(secretKey, password)),
            scram,
            clientIdRule,
            notBefore,
            notAfter,
          },
        });
        const username = `${name}@${slug}`;
        return { id: device.id, name, credentialId: credential.id, username, password };
      });
    },

    async addPolicy(name, rules, target) {
      const policyId = await store.tenant(id, async (tx) => {
        const policy = await tx.db.policy.create({ data: { tenantId: id, name, activeVersion: 1 } });
        await addVersion(tx, policy.id, 1, rules);
        await tx.db.policyBinding.create({ data: { tenantId: id, policyId: policy.id, ...target } });
        return policy.id;
      });
      let version = 1;
      return {
        id: policyId,
        setRules: (changed) =>
          change('policy', { policyId }, async (tx) => {
            version += 1;
            await addVersion(tx, policyId, version, changed);
            await tx.db.policy.update({
              where: { tenantId_id: { tenantId: id, id: policyId } },
              data: { activeVersion: version },
            });
          }),
      };
    },

    addAnchor: (certificate, options) => store.tenant(id, (tx) => addAnchor(tx, certificate, options)),
  };
}

async function addAnchor(
  tx: TenantTx,
  der: Buffer,
  { identity = { source: 'cn', pattern: '${device}' }, ...ocsp }: AnchorOptions = {},
): Promise<string> {
  const facts = readCertificate(der);
  if (facts === undefined) throw new Error('the test made a bad authority');
  const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
  const { id } = await createTrustAnchor(tx, {
    name: facts.fingerprint,
    certificate: Uint8Array.from(der),
    subject: facts.subject,
    fingerprint: bytes(facts.fingerprint),
    spkiHash: bytes(facts.spkiHash),
    keyId: bytes(facts.keyId),
    subjectHash: bytes(facts.subjectHash),
    notBefore: new Date(facts.notBefore),
    notAfter: new Date(facts.notAfter),
    identity,
    challenge: 'c',
    crlWhenStale: 'refuse',
    crlGraceS: 0,
    ...ocsp,
  });
  await tx.db.trustAnchor.updateMany({ where: { id }, data: { provenAt: new Date() } });
  return id;
}

async function addVersion(
  tx: TenantTx,
  policyId: string,
  number: number,
  rules: readonly Rule[],
): Promise<void> {
  const { tenantId } = tx;
  const data = {
    tenantId,
    policyId,
    number,
    rules: JSON.parse(JSON.stringify(rules)) as object[],
    createdBy: 'test',
  };
  await tx.db.policyVersion.create({ data });
}
