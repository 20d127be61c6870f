import { describe, expect, it } from '@jest/globals';

import { makeAuthority } from '../../../../test/support/pki.js';
import { ReadCertificates } from './read-certificates.js';

describe('certificates that were read', () => {
  it('are the same again where they are kept, as many as there is room for', async () => {
    const authority = await makeAuthority('Factory');
    const ders = [
      authority.der,
      ...(await Promise.all(['a', 'b'].map((name) => authority.issue(name)))).map(({ der }) => der),
    ];
    const known = new ReadCertificates(2);
    const first = ders.map((der) => known.read(der)!);
    expect(known.read(ders[0]!)).not.toBe(first[0]);
    for (const certificate of first) known.keep(certificate);
    expect(ders.map((der, i) => known.read(der) === first[i])).toEqual([false, true, true]);
    expect(known.read(ders[0]!)).toMatchObject({ fingerprint: first[0]!.fingerprint });
  });

  it('are none where they cannot be read', () => {
    expect(new ReadCertificates(2).read(Buffer.from('no certificate'))).toBeUndefined();
  });
});
