import { X509Certificate } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  checkGivenCertificate,
  checkHostCertificates,
  ensureDevelopmentCertificates,
} from './certificates.js';

describe('development certificates', () => {
  let dataDir: string;
  const file = (name: string) => join(dataDir, 'tls', name);
  const certificate = async (name: string) => new X509Certificate(await readFile(file(name)));

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'moorage-tls-'));
  });

  afterEach(async () => {
    await rm(dataDir, { recursive: true, force: true });
  });

  it('name localhost and both loopback addresses, and are signed by the CA', async () => {
    const { caFile, made } = await ensureDevelopmentCertificates(dataDir, []);
    expect(made).toEqual(['ca', 'server']);
    const [ca, server] = [new X509Certificate(await readFile(caFile)), await certificate('server.crt')];
    expect(server.verify(ca.publicKey)).toBe(true);
    expect(server.checkHost('localhost')).toBe('localhost');
    expect(server.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(server.checkIP('::1')).toBeDefined();
    expect([ca.ca, server.ca]).toEqual([true, false]);
  });

  it('keep their keys to their owner', async () => {
    await ensureDevelopmentCertificates(dataDir, []);
    for (const key of ['ca.key', 'server.key']) expect((await stat(file(key))).mode & 0o777).toBe(0o600);
  });

  it('stay the same at the second start', async () => {
    await ensureDevelopmentCertificates(dataDir, []);
    const before = (await certificate('server.crt')).fingerprint256;
    expect((await ensureDevelopmentCertificates(dataDir, [])).made).toEqual([]);
    expect((await certificate('server.crt')).fingerprint256).toBe(before);
  });

  it('are made again for a name they lack, by the same CA', async () => {
    await ensureDevelopmentCertificates(dataDir, []);
    expect((await ensureDevelopmentCertificates(dataDir, ['broker.test', '10.0.0.9'])).made).toEqual([
      'server',
    ]);
    expect((await certificate('server.crt')).checkHost('broker.test')).toBe('broker.test');
    expect((await certificate('server.crt')).checkIP('10.0.0.9')).toBe('10.0.0.9');
  });

  it('are made again when a crash has left a key that does not fit', async () => {
    await ensureDevelopmentCertificates(dataDir, []);
    await writeFile(file('server.key'), await readFile(file('ca.key')));
    expect((await ensureDevelopmentCertificates(dataDir, [])).made).toEqual(['server']);
  });

  it("an operator's own pair is refused at once where it is missing or does not fit", async () => {
    await ensureDevelopmentCertificates(dataDir, []);
    await expect(checkGivenCertificate(file('server.crt'), file('server.key'))).resolves.toBeUndefined();
    for (const [cert, key] of [
      ['none.crt', 'none.key'],
      ['server.crt', 'ca.key'],
      ['server.key', 'server.key'],
    ] as const) {
      await expect(checkGivenCertificate(file(cert), file(key))).rejects.toMatchObject({
        code: 'tls.unusable',
        message: expect.stringContaining('MOORAGE_TLS_CERT_FILE'),
      });
    }
  });

  it('of host names are refused at once where the directory or a pair is none', async () => {
    await ensureDevelopmentCertificates(dataDir, []);
    const hostsDir = join(dataDir, 'tls');
    await expect(checkHostCertificates(hostsDir)).resolves.toBeUndefined();
    await expect(checkHostCertificates(join(dataDir, 'none'))).rejects.toMatchObject({
      code: 'tls.unusable',
      message: `MOORAGE_TLS_HOSTS_DIR: ${join(dataDir, 'none')} cannot be read as a directory`,
    });
    await copyFile(file('ca.key'), file('server.key'));
    await expect(checkHostCertificates(hostsDir)).rejects.toMatchObject({
      message: `MOORAGE_TLS_HOSTS_DIR: ${file('server.key')} is missing, or is not the key of ${file('server.crt')}`,
    });
    await copyFile(file('ca.key'), file('server.crt'));
    await expect(checkHostCertificates(hostsDir)).rejects.toMatchObject({
      message: expect.stringContaining(`${file('server.crt')} and ${file('server.key')} cannot be read`),
    });
  });
});
