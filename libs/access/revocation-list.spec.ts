import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as fc from '../../test/support/properties.js';

import { Extension, makeAuthority, makeSelfSigned, type Pair } from '../../test/support/pki.js';
import { isSignedBy, readRevocationList, type RevocationList } from './revocation-list.js';
import { readCertificate } from './x509.js';

async function read(encoded: Buffer | string): Promise<RevocationList> {
  const list = await readRevocationList(encoded);
  if (typeof list === 'string') throw new Error(list);
  return list;
}

const facts = ({ der }: Pair) => readCertificate(der)!;
const toDer = (pem: string): Buffer => Buffer.from(pem.split('-----')[2]!, 'base64');

describe('a revocation list', () => {
  it.each(['p256', 'rsa', 'ed25519'] as const)('is read and its %s signature checked', async (keyKind) => {
    const authority = await makeAuthority('CA', { keyKind });
    const namesake = await makeAuthority('CA', { keyKind });
    const pem = await authority.revoke(['0a', '00ff'], { number: 300 });
    for (const encoded of [pem, `\n${pem}\n`, toDer(pem), Buffer.from(pem)]) {
      const list = await read(encoded);
      expect(list).toMatchObject({ number: 300n, serials: ['a', 'ff'] });
      expect(list.nextUpdate).toBeGreaterThan(list.thisUpdate);
      expect([isSignedBy(list, facts(authority)), isSignedBy(list, facts(namesake))]).toEqual([true, false]);
    }
  });

  it('is that of the authority whose name it bears, and of no other of the same key', async () => {
    const authority = await makeAuthority('CA');
    const renamed = await authority.renew('Other');
    expect(isSignedBy(await read(await authority.revoke([])), facts(renamed))).toBe(false);
  });

  it('with a weak signature, without a number, for a part of the certificates, or of entries that may be of others, is not taken', async () => {
    const weak = await makeAuthority('CA', { keyKind: 'rsa-sha1' });
    expect(await readRevocationList(await weak.revoke([]))).toBe('weak-signature');
    const authority = await makeAuthority('CA');
    const critical = new Extension('2.5.29.28', true, Buffer.from('3000', 'hex'));
    expect(await readRevocationList(await authority.revoke([], { extensions: [critical] }))).toBe(
      'partial-list',
    );
    const second = new Extension('2.5.29.20', false, Buffer.from('020102', 'hex'));
    expect(await readRevocationList(await authority.revoke([], { extensions: [second] }))).toBe('malformed');
  });

  it('is whole, or nothing', async () => {
    const authority = await makeAuthority('CA');
    const pem = await authority.revoke(['0a', '0b']);
    const der = toDer(pem);
    const { der: certificate, pem: other } = await makeSelfSigned('d');
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(1),
      certificate,
      Buffer.concat([der, Buffer.alloc(1)]),
    ])
      expect(await readRevocationList(bytes)).toBe('malformed');
    for (const text of ['', 'AAAA', other, pem + pem, der.toString('base64')])
      expect(await readRevocationList(text)).toBe('malformed');
    for (let length = 0; length < der.length; length += 1)
      expect(await readRevocationList(der.subarray(0, length))).toBe('malformed');
  });

  it('that was changed in any byte is malformed, refused, or not signed; never an exception', async () => {
    const authority = await makeAuthority('CA');
    const der = toDer(await authority.revoke(['0a', '0b']));
    const known = facts(authority);
    const change = fc.record({ at: fc.nat(der.length - 1), by: fc.integer({ min: 1, max: 255 }) });
    const changes = fc.sample(fc.array(change, { minLength: 1, maxLength: 4 }), 3_000);
    const taken: unknown[] = [];
    for (const together of changes) {
      const bytes = Buffer.from(der);
      for (const { at, by } of together) bytes[at]! ^= by;
      const list = await readRevocationList(bytes);
      if (!bytes.equals(der) && typeof list !== 'string' && isSignedBy(list, known)) taken.push(together);
    }
    expect(taken).toEqual([]);
  });
});

describe('a revocation list that is made to hold others up', () => {
  const der = (tag: number, ...parts: readonly Buffer[]): Buffer => {
    const content = Buffer.concat(parts);
    const length = Buffer.from(
      content.length
        .toString(16)
        .padStart(8, '0')
        .replace(/^(00){0,3}/, ''),
      'hex',
    );
    const isShort = content.length < 128;
    return Buffer.concat([
      Buffer.from([tag]),
      isShort ? length : Buffer.from([0x80 + length.length, ...length]),
      content,
    ]);
  };
  const time = der(0x17, Buffer.from('260101000000Z'));

  function listOf(count: number, at: Buffer): Buffer {
    const algorithm = der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')));
    const entries = Array.from({ length: count }, (_, n) =>
      der(0x30, der(0x02, Buffer.from([1 + (n >> 16), (n >> 8) & 0xff, n & 0xff])), at),
    );
    const number = der(0x30, der(0x06, Buffer.from('551d14', 'hex')), der(0x04, der(0x02, Buffer.from([5]))));
    const head = [der(0x02, Buffer.from([1])), algorithm, der(0x30), time, time];
    const signed = der(0x30, ...head, der(0x30, Buffer.concat(entries)), der(0xa0, der(0x30, number)));
    return der(0x30, signed, algorithm, der(0x03, Buffer.alloc(9)));
  }

  it('by its entries does not: it is read in many turns of the loop', async () => {
    const long = listOf(200_000, time);
    let turns = 0;
    let isRead = false;
    const turn = (): void => {
      turns += 1;
      if (!isRead) setImmediate(turn);
    };
    setImmediate(turn);
    const list = await read(long);
    isRead = true;
    expect(list.serials).toHaveLength(200_000);
    expect(turns).toBeGreaterThan(20);
  });

  it('by entries without a time, of which more fit in, is malformed', async () => {
    expect(await readRevocationList(listOf(2, der(0x17)))).toBe('malformed');
    expect(await readRevocationList(listOf(2, der(0x18, Buffer.from('260101000000Z'))))).toBe('malformed');
    expect((await read(listOf(2, time))).serials).toEqual(['10000', '10001']);
  });
});

describe('a revocation list of openssl', () => {
  let dir: string;
  const run = (command: string) => execFileSync('openssl', command.split(' '), { cwd: dir, stdio: 'pipe' });
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'moorage-crl-'));
    const config = [
      '[ca]\ndefault_ca=c',
      '[c]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\ncrl_extensions=e',
      '[plain]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30',
      '[e]\nauthorityKeyIdentifier=keyid',
    ];
    writeFileSync(join(dir, 'ca.cnf'), `${config.join('\n')}\n`);
    writeFileSync(join(dir, 'index.txt.attr'), 'unique_subject = no\n');
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  function make(serials: readonly string[], more = ''): Buffer {
    const line = (serial: string) =>
      `R\t391231235959Z\t260101000000Z,keyCompromise\t${serial}\tunknown\t/CN=x\n`;
    writeFileSync(join(dir, 'index.txt'), serials.map(line).join(''));
    writeFileSync(join(dir, 'number'), '10\n');
    run(`ca -gencrl -config ca.cnf -cert ca.crt -keyfile ca.key -out list.pem${more}`);
    return readFileSync(join(dir, 'list.pem'));
  }

  it('with RSASSA-PSS and reasons is read', async () => {
    run('req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Big -days 365');
    const pss = ' -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32';
    const list = await read(make(['0ABC', '8000000000000001'], pss));
    expect(list).toMatchObject({ number: 16n, serials: ['abc', '8000000000000001'] });
    const authority = readCertificate(readFileSync(join(dir, 'ca.crt'), 'utf8'))!;
    expect(isSignedBy(list, authority)).toBe(true);
    expect(await readRevocationList(make([], ' -name plain'))).toBe('no-number');
  });

  it('of a hundred thousand entries is read in a moment', async () => {
    run(
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj /CN=Big -days 365',
    );
    const serials = Array.from({ length: 100_000 }, (_, index) =>
      (0x7a00_0000_0000 + index).toString(16).toUpperCase(),
    );
    const pem = make(serials);
    const began = process.cpuUsage();
    const list = await read(pem);
    // A third of a second, of this process's own. What looks at all entries for each of them takes minutes.
    expect(process.cpuUsage(began).user).toBeLessThan(10_000_000);
    expect(list.serials).toHaveLength(100_000);
    expect(list.serials.at(-1)).toBe((0x7a00_0000_0000 + 99_999).toString(16));
    expect(isSignedBy(list, readCertificate(readFileSync(join(dir, 'ca.crt'), 'utf8'))!)).toBe(true);
  });
});
