import { randomUUID, X509Certificate } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { makeRequest } from '../../test/support/pki.js';
import { commonNameOf } from './certificate.js';
import { issueCertificate, makeAuthority, readRequest } from './issuing.js';
import { readCertificate } from './x509.js';

/** Each means something else where names are written as RFC 4514 does. */
const names = [
  '#',
  '#0c0170',
  'a"pump-1"b',
  '"pump-1"',
  'pump\\-1',
  'a\\0ab',
  'pump-1,O=Acme',
  'a+CN=pump-1',
  ' a ',
  'Pümpe 1',
];

describe('a common name is what the device or the authority is called', () => {
  it.each(names)('%s', async (name) => {
    const now = Date.now();
    const authority = await makeAuthority(name, 10, now);
    expect(new X509Certificate(authority.certificate).toLegacyObject().subject).toEqual({ CN: name });
    const request = await readRequest((await makeRequest('x')).csr);
    if (typeof request === 'string') throw new Error(request);
    const wanted = { publicKey: request.publicKey, deviceName: name, deviceId: randomUUID(), now, days: 1 };
    const issued = new X509Certificate(await issueCertificate(authority, wanted));
    expect(issued.toLegacyObject().subject).toEqual({ CN: name });
    expect(issued.checkIssued(new X509Certificate(authority.certificate))).toBe(true);
    const read = readCertificate(issued.raw);
    expect(read === undefined ? undefined : commonNameOf(read)).toBe(name);
  });
});
