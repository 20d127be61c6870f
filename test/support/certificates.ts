/** A development CA and a server certificate for localhost, as the product makes them, in a directory of the test's own. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ensureDevelopmentCertificates } from '../../apps/moorage/src/certificates.js';

export interface TestCertificates {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  remove(): Promise<void>;
}

export async function makeTestCertificates(): Promise<TestCertificates> {
  const dir = await mkdtemp(join(tmpdir(), 'moorage-tls-'));
  const { caFile } = await ensureDevelopmentCertificates(dir, []);
  const certFile = join(dir, 'tls', 'server.crt');
  const keyFile = join(dir, 'tls', 'server.key');
  const [ca, cert, key] = await Promise.all([readFile(caFile), readFile(certFile), readFile(keyFile)]);
  return {
    ca,
    cert,
    key,
    caFile,
    certFile,
    keyFile,
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
