/** A certificate by which the credential `open`'s device may come under any client identifier, from an authority of the demo tenant's. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Product } from './product.js';

/** Files, PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
  /** Of the authority. */
  readonly ca: string;
}

export async function issueClientCertificate({
  call,
  bootstrap,
  dataDir,
  openDeviceId,
}: Pick<Product, 'call' | 'bootstrap' | 'dataDir' | 'openDeviceId'>): Promise<ClientCertificate> {
  const file = (name: string): string => join(dataDir, `bench-${name}.pem`);
  const files = { cert: file('client'), key: file('key'), ca: file('ca') };
  const tenant = `/v1/tenants/${bootstrap.tenant}`;
  const authority = (await call('POST', `${tenant}/issuing-authorities`, { name: 'bench' })) as {
    certificate: string;
  };
  const csr = execFileSync(
    'openssl',
    [
      ...'req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bench -keyout'.split(' '),
      files.key,
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const issued = (await call('POST', `${tenant}/devices/${openDeviceId}/certificates`, {
    csr,
    clientIdRule: { kind: 'any' },
  })) as { certificate: string };
  writeFileSync(files.cert, issued.certificate);
  writeFileSync(files.ca, authority.certificate);
  return files;
}
