import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createResponder, type TestResponder } from '../../test/support/ocsp.js';
import { makeAuthority, type Pair } from '../../test/support/pki.js';
import { ocspQuestion, readOcspAnswer } from './ocsp.js';
import { type Certificate, readCertificate } from './x509.js';

const dayMs = 24 * 3600 * 1000;
const ocspSigning = '1.3.6.1.5.5.7.3.9';
const serials = ['7f01', '80ff', 'a'];
const responders: TestResponder[] = [];
let pair: Pair;
let authority: Certificate;

beforeAll(async () => {
  pair = await makeAuthority('Factory');
  authority = read(pair);
});
afterAll(async () => {
  await Promise.all(responders.map((one) => one.remove()));
});

function read({ der }: Pair): Certificate {
  const certificate = readCertificate(der);
  if (certificate === undefined) throw new Error('the test made a bad certificate');
  return certificate;
}

async function responder(of: Pair = pair, signer: Pair = of): Promise<TestResponder> {
  const made = await createResponder(of, signer);
  responders.push(made);
  await made.knows({ good: serials.slice(0, 2), revoked: serials.slice(2) });
  return made;
}

const asks = (serial = '7f01') => ocspQuestion({ authority, serial });
const judge = (answer: Buffer, serial = '7f01', now = Date.now()) =>
  readOcspAnswer(answer, { authority, serial }, now);

describe('an answer of a responder', () => {
  it.each([
    ['7f01', 'good'],
    ['80ff', 'good'],
    ['a', 'revoked'],
    ['beef', 'unknown'],
  ])('on %s is read: %s, until its next update', async (serial, status) => {
    const answer = judge(await (await responder()).answer(asks(serial), 60), serial);
    expect(answer).toEqual({ status, until: expect.any(Number) });
    const { until } = answer as { until: number };
    expect(Math.abs(until - Date.now() - 3_600_000)).toBeLessThan(60_000);
  });

  it('counts for minutes where it does not say how long, and not before or after its time', async () => {
    const from = await responder();
    const brief = await from.answer(asks());
    expect(judge(brief)).toMatchObject({ status: 'good' });
    expect(judge(brief, '7f01', Date.now() + 6 * 60_000)).toBe('not-current');
    const long = await from.answer(asks(), 60);
    expect(judge(long, '7f01', Date.now() + 61 * 60_000)).toBe('not-current');
    expect(judge(long, '7f01', Date.now() - 10 * 60_000)).toBe('not-current');
  });

  it('counts from whom the authority has made a responder', async () => {
    const signer = await pair.issue('responder', { extendedKeyUsage: [ocspSigning] });
    expect(judge(await (await responder(pair, signer)).answer(asks(), 60))).toMatchObject({ status: 'good' });
  });

  it('counts from nobody else: a device, a responder that is over or of another authority, a namesake', async () => {
    const namesake = await makeAuthority('Factory');
    const line = await pair.issueAuthority('Line');
    const notAfter = new Date(Date.now() - 1_000);
    const notBefore = new Date(Date.now() - dayMs);
    const extendedKeyUsage = [ocspSigning];
    for (const signer of [
      await pair.issue('device'),
      await pair.issue('past', { extendedKeyUsage, notBefore, notAfter }),
      await namesake.issue('other', { extendedKeyUsage }),
      await line.issue('below', { extendedKeyUsage }),
      namesake,
    ]) {
      const answer = await (await responder(pair, signer)).answer(asks(), 60);
      expect(judge(answer)).toBe('not-signed-by-authority');
    }
  });

  it('counts for the certificate that was asked about alone, and by the authority alone that issued it', async () => {
    const answer = await (await responder()).answer(asks('80ff'), 60);
    expect(judge(answer, '7f01')).toBe('not-for-this-certificate');
    const other = await makeAuthority('Other');
    const foreign = await (
      await responder(other)
    ).answer(ocspQuestion({ authority: read(other), serial: '7f01' }), 60);
    expect(judge(foreign)).toBe('not-signed-by-authority');
  });

  it('is none where it is cut short, changed, too long or something else', async () => {
    const answer = await (await responder()).answer(asks(), 60);
    const whole = judge(answer);
    for (let at = 0; at < answer.length; at += 7) {
      expect([at, typeof judge(answer.subarray(0, at))]).toEqual([at, 'string']);
      const changed = Buffer.from(answer);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      const judged = judge(changed);
      // What is outside of the signature (the authority's certificate, sent along) decides nothing.
      if (typeof judged !== 'string') expect([at, judged]).toEqual([at, whole]);
    }
    expect(judge(Buffer.alloc(17_000))).toBe('malformed');
    expect(judge(Buffer.from('30030a0103', 'hex'))).toBe('malformed'); // tryLater
    expect(judge(Buffer.from('<html>'))).toBe('malformed');
  });
});
