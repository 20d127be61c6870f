import { describe, expect, it } from '@jest/globals';

import {
  Extension,
  type CertificateOptions,
  makeAuthority,
  makeSelfSigned,
  type Pair,
  usages,
} from '../../test/support/pki.js';
import {
  anchorHints,
  type CertificateFault,
  clientFault,
  findPath,
  provenUntil,
  readChain,
  type RevocationState,
  standingOf,
} from './certificate.js';
import { identityOf } from './trust-anchor.js';
import { readCertificate } from './x509.js';

function read({ der }: Pair) {
  const facts = readCertificate(der);
  if (facts === undefined) throw new Error('it cannot be read');
  return facts;
}

function judge(leaf: Pair, anchors: readonly Pair[], sent: readonly Pair[] = []) {
  const chain = readChain(
    leaf.der,
    sent.map(({ der }) => der),
  );
  if (chain === undefined) return 'malformed';
  const trusted = anchors.map((anchor, at) => ({ anchorId: `a${at}`, certificate: read(anchor) }));
  const found = findPath(chain, trusted);
  return typeof found === 'string' ? found : found.proof;
}

describe('a path', () => {
  it.each<[CertificateFault, CertificateOptions]>([
    ['weak-key', { keyKind: 'rsa-1024' }],
    ['unsupported-extension', { extensions: [new Extension('1.2.3.4', true, Buffer.from('0500', 'hex'))] }],
  ])('is refused as %s for what the certificate itself is', async (fault, options) => {
    const authority = await makeAuthority();
    expect(judge(await authority.issue('d', options), [authority])).toBe(fault);
  });

  it('is refused where a signature in it is weak, whoever made it', async () => {
    const weak = await makeAuthority('Old', { keyKind: 'rsa-sha1' });
    expect(judge(await weak.issue('d'), [weak])).toBe('weak-signature');
  });

  it('names the anchor by its key among namesakes, and what that has issued, and the shortest validity', async () => {
    const [one, two] = await Promise.all([makeAuthority('Same'), makeAuthority('Same')]);
    const notAfter = new Date('2030-01-01T00:00:00Z');
    const line = await two.issueAuthority('Line', { notAfter });
    const leaf = await line.issue('d', { notAfter: new Date('2031-01-01T00:00:00Z') });
    const anchorEnds = read(two).notAfter;
    expect(judge(leaf, [one, two], [line])).toMatchObject({
      anchorId: 'a1',
      serial: line.serial,
      notAfter: Math.min(notAfter.getTime(), anchorEnds),
    });
    expect(judge(leaf, [one], [line])).toBe('unknown-anchor');
    expect(judge(leaf, [line])).toMatchObject({ serial: leaf.serial }); // an intermediate as anchor
  });

  it('leads to a renewed authority, too: its key has signed', async () => {
    const authority = await makeAuthority('Factory');
    const notAfter = new Date('2040-01-01T00:00:00Z');
    const renewed = await authority.renew('Factory', { notAfter });
    const leaf = await authority.issue('d', { notAfter });
    expect(judge(leaf, [renewed])).toMatchObject({ anchorId: 'a0', notAfter: notAfter.getTime() });
  });

  it('ends: certificates that have signed each other do not keep it busy', async () => {
    const [a, other] = await Promise.all([makeAuthority('A'), makeAuthority('B')]);
    const sent = [a, a, a, a, a];
    expect(judge(await a.issue('d'), [other], sent)).toBe('unknown-anchor');
    expect(judge(await a.issue('d'), [other], [...sent, a])).toBe('malformed');
  });

  it('has no authority in it that may not issue', async () => {
    const authority = await makeAuthority();
    const device = await authority.issue('d-1');
    expect(judge(await device.issue('d-2'), [authority], [device])).toBe('wrong-usage');
  });
});

describe('what is read', () => {
  it('is whole, or nothing', async () => {
    const { der } = await makeSelfSigned('d');
    expect(readCertificate(der)).toBeDefined();
    const appended = Buffer.concat([der, Buffer.alloc(20_000)]);
    for (const bytes of [Buffer.alloc(0), der.subarray(0, -1), appended, Buffer.from('not a certificate')])
      expect(readCertificate(bytes)).toBeUndefined();
  });

  it('is never read with an extension that comes twice', async () => {
    const twice = new Extension('2.5.29.14', false, Buffer.from('040101', 'hex'));
    expect(readCertificate((await makeSelfSigned('d', { extensions: [twice] })).der)).toBeUndefined();
  });

  it('is looked for by the key of the issuer where that is named', async () => {
    const authority = await makeAuthority('CA');
    const leaf = await authority.issue('d');
    const chain = readChain(leaf.der, []);
    const hints = chain && anchorHints(chain);
    expect(hints).toEqual({ keyIds: [read(authority).keyId], spkiHashes: [], subjectHashes: [] });
    const lone = readChain((await makeSelfSigned('d')).der, []);
    expect(lone && anchorHints(lone).subjectHashes).toHaveLength(1);
  });

  it('may serve a client with or without extensions that say so, never against them', async () => {
    const plain = read(await makeAuthority('Any', { isAuthority: false, keyUsage: usages.digitalSignature }));
    expect([plain.isForClients, clientFault(plain)]).toEqual([undefined, undefined]);
    const server = read(await makeSelfSigned('s', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] }));
    expect(clientFault(server)).toBe('wrong-usage');
  });
});

describe('a proof', () => {
  const proof = { fingerprint: 'f', anchorId: 'a', serial: '1', notBefore: 100, notAfter: 200 };
  const list: RevocationState = { isRevoked: false, nextUpdate: 150, whenStale: 'refuse', graceMs: 10 };
  const none = { ...list, nextUpdate: undefined };

  it.each<[CertificateFault | undefined, number, RevocationState | undefined]>([
    [undefined, 100, list],
    ['not-yet-valid', 99, list],
    [undefined, 149, list],
    ['revocation-unknown', 150, list],
    [undefined, 159, { ...list, whenStale: 'grace' }],
    ['revocation-unknown', 160, { ...list, whenStale: 'grace' }],
    [undefined, 199, { ...list, whenStale: 'ignore' }],
    [undefined, 199, none],
    ['expired', 200, none],
    ['revoked', 120, { ...list, isRevoked: true }],
    ['anchor-gone', 120, undefined],
  ])('is %s at %d', (fault, now, anchor) => {
    expect(standingOf(proof, anchor, now)).toBe(fault);
  });

  it('stands until its certificates end or its list is too old, whichever is first', () => {
    expect(provenUntil(proof, list)).toBe(150);
    expect(provenUntil(proof, { ...list, whenStale: 'grace' })).toBe(160);
    expect(provenUntil(proof, none)).toBe(200);
    expect(provenUntil({ ...proof, anchorId: undefined }, undefined)).toBe(200);
  });
});

describe('an identity', () => {
  const names = (cn: string[], uri: string[] = []) => ({ cn, 'san-dns': [], 'san-uri': uri });

  it.each([
    [['pump-1'], '${device}', 'pump-1'],
    [['acme.pump-1.dev'], 'acme.${device}.dev', 'pump-1'],
    [['acme..dev'], 'acme.${device}.dev', undefined],
    [['other.pump-1'], 'acme.${device}', undefined],
    [['a', 'b'], '${device}', undefined],
    [['a', 'a'], '${device}', 'a'],
    [['a/b'], '${device}', undefined],
    [['#'], '${device}', undefined],
    [['a\0b'], '${device}', undefined],
    [[], '${device}', undefined],
  ])('of %j by %s is %s', (cn, pattern, value) => {
    const found = identityOf(names(cn), { source: 'cn', pattern });
    expect(found).toEqual(value === undefined ? undefined : { kind: 'device', value });
  });
});
