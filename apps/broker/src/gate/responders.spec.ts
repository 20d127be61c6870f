import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { readCertificate } from '#access';
import { type Grant, Reasons, type Refusal } from '#mqtt';
import { Egress, silentLogger } from '#process';
import { type ControlStore, type Directory, openControlStore, openDirectory } from '#store';

import { createResponder, type TestResponder } from '../../../../test/support/ocsp.js';
import { makeAuthority, type Pair, x509Access } from '../../../../test/support/pki.js';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { createTestTenant, type TestDevice, type TestTenant } from '../../../../test/support/tenant.js';
import { StoreGate } from './gate.js';
import { Responders } from './responders.js';

const minuteMs = 60_000;

let database: TestDatabase;
let store: ControlStore;
let directory: Directory;
let egress: Egress;
let gate: StoreGate;
let now: number;
let tenant: TestTenant;
let device: TestDevice;
let authority: Pair;
let responder: TestResponder;
let listening: Awaited<ReturnType<TestResponder['listen']>>;

beforeAll(async () => {
  database = await createTestDatabase();
  store = openControlStore({ url: database.appUrl, poolSize: 3 });
  directory = openDirectory({ url: database.brokerUrl });
  egress = new Egress({ allowed: ['127.0.0.1'] });
  authority = await makeAuthority('Factory');
  responder = await createResponder(authority);
  await responder.knows({});
  listening = await responder.listen(10);
});
afterAll(async () => {
  await listening.stop();
  await responder.remove();
  egress.close();
  await directory.close();
  await store.close();
  await database.drop();
});
beforeEach(async () => {
  now = Date.now();
  gate = newGate(egress);
  tenant = await createTestTenant(store, database.secretKey);
  device = await tenant.addDevice('meter-1');
  await store.tenant(tenant.id, ({ db }) =>
    db.credential.create({
      data: { tenantId: tenant.id, deviceId: device.id, kind: 'certificate', authId: 'cert-meter-1' },
    }),
  );
});

function newGate(by: Egress): StoreGate {
  const { secretKey } = database;
  return new StoreGate({ directory, secretKey, now: () => now, log: silentLogger(), egress: by });
}

function signIn({ der }: Pair, by = gate): Promise<Grant | Refusal> {
  return by.admit({
    protocolVersion: 5,
    clientId: 'meter-1',
    username: `cert-meter-1@${tenant.slug}`,
    password: undefined,
    transport: 'tls',
    remoteAddress: '192.0.2.1',
    serverName: undefined,
    peerCertificate: { leaf: der, intermediates: [] },
  });
}

async function granted(shown: Pair, by = gate): Promise<Grant> {
  const result = await signIn(shown, by);
  if (result.kind === 'refused') throw new Error(result.detail);
  return result;
}

const revoked = { kind: 'refused', reason: Reasons.notAuthorized, detail: 'certificate: revoked' };
const unknown = (why: string) => ({
  kind: 'refused',
  reason: Reasons.notAuthorized,
  detail: `certificate: revocation-unknown: ${why}`,
});

describe('a responder', () => {
  it('lets in whom it calls good, and is asked again when that is over: then what was revoked meanwhile is out', async () => {
    await tenant.addAnchor(authority.der, { ocsp: 'hard', ocspUrl: listening.url });
    const shown = await authority.issue('meter-1');
    await responder.knows({ good: [shown.serial] });
    const grant = await granted(shown);
    expect(Math.abs((grant.reviewAt ?? 0) - now - 10 * minuteMs)).toBeLessThan(minuteMs);
    await responder.knows({ revoked: [shown.serial] });
    expect(await gate.review(grant.principal)).toMatchObject({ kind: 'granted', reviewAt: grant.reviewAt });
    now = grant.reviewAt ?? 0;
    // openssl answers with the time of day: a gate whose clock is ahead finds that too old, and takes it back.
    expect(await gate.review(grant.principal)).toMatchObject({
      kind: 'refused',
      reason: Reasons.notAuthorized,
    });
    now = Date.now();
    expect(await newGate(egress).review(grant.principal)).toMatchObject(revoked);
    expect(await signIn(shown, newGate(egress))).toMatchObject(revoked);
  });

  it('is found where the certificate says, unless the anchor has an address of its own', async () => {
    await tenant.addAnchor(authority.der, { ocsp: 'hard', ocspUrl: null });
    const shown = await authority.issue('meter-1', { extensions: [x509Access(listening.url)] });
    await responder.knows({ good: [shown.serial] });
    expect((await granted(shown)).reviewAt).toBeDefined();
    const silent = await authority.issue('meter-1');
    expect(await signIn(silent)).toMatchObject(unknown('the certificate names no responder'));
  });

  it('is believed that it does not know a certificate, also where its silence would let in', async () => {
    await tenant.addAnchor(authority.der, { ocsp: 'soft', ocspUrl: listening.url });
    await responder.knows({});
    const why = 'the responder does not know the certificate';
    expect(await signIn(await authority.issue('meter-1'))).toMatchObject(unknown(why));
  });

  it.each(['soft', 'hard'] as const)(
    'that cannot be asked lets in by choice of the tenant: %s',
    async (mode) => {
      await tenant.addAnchor(authority.der, { ocsp: mode, ocspUrl: 'http://127.0.0.1:9/' });
      const result = await signIn(await authority.issue('meter-1'));
      if (mode === 'hard') expect(result).toMatchObject(unknown('127.0.0.1:9 cannot be reached'));
      else expect(result).toMatchObject({ kind: 'granted', reviewAt: now + 5 * minuteMs });
    },
  );

  it('in the operator’s own network is out of reach of a tenant', async () => {
    await tenant.addAnchor(authority.der, { ocsp: 'hard', ocspUrl: listening.url });
    const guarded = new Egress();
    const result = await signIn(await authority.issue('meter-1'), newGate(guarded));
    expect(result).toMatchObject(unknown('127.0.0.1 leads to an address that may not be called'));
    guarded.close();
  });

  it('is asked once for all who want to know the same, and by nobody where the tenant has not said so', async () => {
    let calls = 0;
    const counting = new Egress({ allowed: ['127.0.0.1'] });
    const call = counting.call.bind(counting);
    counting.call = (what) => {
      calls += 1;
      return call(what);
    };
    await tenant.addAnchor(authority.der, { ocsp: 'hard', ocspUrl: listening.url });
    const shown = await authority.issue('meter-1');
    await responder.knows({ good: [shown.serial] });
    const by = newGate(counting);
    await Promise.all(Array.from({ length: 20 }, () => granted(shown, by)));
    await granted(shown, by);
    expect(calls).toBe(1);
    await store.tenant(tenant.id, ({ db }) => db.trustAnchor.updateMany({ data: { ocsp: 'off' } }));
    await granted(await authority.issue('meter-1'), by);
    expect(calls).toBe(1);
    counting.close();
  });

  it('of one tenant that is slow keeps its own waiting: every other free place is another’s', async () => {
    const asked: { readonly url: string; readonly refuse: (why: Error) => void }[] = [];
    const slow = new Egress();
    slow.call = ({ url }) => new Promise((_, refuse) => void asked.push({ url, refuse }));
    const responders = new Responders(slow, () => now);
    const certificate = readCertificate(authority.der)!;
    const ask = (tenantId: string, serial: string) =>
      responders.standingOf(
        { fingerprint: '', anchorId: tenantId, serial, notBefore: now, notAfter: now },
        { tenantId, authority: certificate, mode: 'soft', url: `http://${tenantId}.example/` },
      );
    const floods = Array.from({ length: 200 }, (_, n) => ask('a', n.toString(16)));
    const others = ask('b', '1');
    await Promise.resolve();
    const placesTaken = asked.length;
    for (const { refuse } of asked.slice(0, 2)) refuse(new Error('no answer'));
    await Promise.all(floods.slice(0, 2));
    expect(asked.slice(placesTaken).map(({ url }) => url)).toEqual([
      'http://a.example/',
      'http://b.example/',
    ]);
    asked.at(-1)!.refuse(new Error('no answer'));
    expect(await others).toMatchObject({ fault: undefined });
    slow.close();
  });
});
