import { constants, X509Certificate } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';

import type { Logger } from '#process';

/** The server's certificate chain and private key, PEM. */
export interface ServerIdentity {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Of a host name that has a certificate of its own. */
  contextFor?(serverName: string): SecureContext | undefined;
  /** Whether any host name has one now: `onRenewed` tells when that changes too. */
  readonly hasHosts?: boolean;
  /** Calls back whenever `cert` and `key` have become others. */
  onRenewed?(renewed: () => void): void;
}

export interface IdentityFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Pairs of `name.crt` and `name.key`, each for the host names that stand in the certificate. Undefined: none. */
  readonly hostsDir?: string | undefined;
}

/** Forward secrecy and authenticated encryption alone, in TLS 1.2 too (RFC 9325, 4.2). */
const ciphers = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** What every context of ours is made with: a host of its own is no way round it. */
export const contextOptions = {
  minVersion: 'TLSv1.2',
  ciphers,
  honorCipherOrder: true,
  // No session is resumed, in TLS 1.2 or 1.3. A resumed one carries the client's certificate as it was, without the chain that came
  // with it: a device behind an intermediate authority would be let in the first time and refused the second.
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;

/** A rename is seen within half a minute; SIGHUP asks at once. Notices of the file system get lost on network and bind mounts. */
const lookEveryMs = 30_000;

interface Loaded {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly byHost: ReadonlyMap<string, SecureContext>;
  /** Of all files, as they were: when one differs they are read again. */
  readonly stamp: string;
}

/**
 * The server's certificates: one for everybody, and those of host names that have their own. New files take the place of old
 * ones while connections go on; a pair that cannot be served is refused, and what was there stays.
 */
export class ServerIdentities implements ServerIdentity {
  readonly #files: IdentityFiles;
  readonly #log: Logger;
  readonly #renewed: (() => void)[] = [];
  #loaded: Loaded;
  /** What was refused last: it is not read again until it changes. */
  #refused: string | undefined;
  #looking: NodeJS.Timeout | undefined;

  private constructor(files: IdentityFiles, log: Logger, loaded: Loaded) {
    this.#files = files;
    this.#log = log;
    this.#loaded = loaded;
  }

  /** Rejects where there is nothing to serve with. */
  static async open(files: IdentityFiles, log: Logger): Promise<ServerIdentities> {
    const identities = new ServerIdentities(files, log, await load(files));
    identities.#look();
    return identities;
  }

  get cert(): Buffer {
    return this.#loaded.cert;
  }

  get key(): Buffer {
    return this.#loaded.key;
  }

  get hasHosts(): boolean {
    return this.#loaded.byHost.size > 0;
  }

  contextFor(serverName: string): SecureContext | undefined {
    const host = serverName.toLowerCase();
    const { byHost } = this.#loaded;
    // One label for the star (RFC 6125, 6.4.3).
    return byHost.get(host) ?? byHost.get(`*${host.slice(host.indexOf('.'))}`);
  }

  onRenewed(renewed: () => void): void {
    this.#renewed.push(renewed);
  }

  /** Whether or not anything has changed. False: the files cannot be served, and what was there stays. */
  async reload(): Promise<boolean> {
    try {
      const loaded = await load(this.#files);
      refuseEnded(loaded.cert);
      this.#loaded = loaded;
      this.#refused = undefined;
      for (const renewed of this.#renewed) renewed();
      this.#log.info('tls.certificates-renewed', { hosts: loaded.byHost.size });
      return true;
    } catch (err) {
      this.#refused = await stampOf(this.#files).catch(() => undefined);
      this.#log.error('tls.certificates-refused', { err });
      return false;
    }
  }

  close(): void {
    clearTimeout(this.#looking);
  }

  #look(): void {
    this.#looking = setTimeout(() => void this.#reloadIfChanged(), lookEveryMs).unref();
  }

  async #reloadIfChanged(): Promise<void> {
    // A file that is not there for a moment is one that is being replaced.
    const stamp = await stampOf(this.#files).catch(() => undefined);
    if (stamp !== undefined && stamp !== this.#loaded.stamp && stamp !== this.#refused) await this.reload();
    this.#look();
  }
}

async function load(files: IdentityFiles): Promise<Loaded> {
  // Before the files: what is written while they are read is found to have changed.
  const stamp = await stampOf(files);
  const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)]);
  createSecureContext({ ...contextOptions, cert, key }); // throws where they are no pair
  const byHost = new Map<string, SecureContext>();
  for (const name of await hostPairs(files)) {
    const { context, hosts } = await hostIdentity(name);
    for (const host of hosts) byHost.set(host, context);
  }
  return { cert, key, byHost, stamp };
}

async function hostIdentity(name: string): Promise<{ context: SecureContext; hosts: string[] }> {
  try {
    const [cert, key] = await Promise.all([readFile(`${name}.crt`), readFile(`${name}.key`)]);
    const context = createSecureContext({ ...contextOptions, cert, key });
    return { context, hosts: hostsOf(new X509Certificate(cert)) };
  } catch (cause) {
    throw new Error(`${name}.crt and ${name}.key are no certificate and its key`, { cause });
  }
}

/** Their paths, without the endings. */
async function hostPairs({ hostsDir }: IdentityFiles): Promise<string[]> {
  if (hostsDir === undefined) return [];
  const names = await readdir(hostsDir);
  return names
    .filter((name) => name.endsWith('.crt'))
    .toSorted()
    .map((name) => join(hostsDir, name.slice(0, -'.crt'.length)));
}

function hostsOf({ subjectAltName = '' }: X509Certificate): string[] {
  return subjectAltName
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice('DNS:'.length).toLowerCase());
}

function refuseEnded(cert: Buffer): void {
  const { validTo, validToDate } = new X509Certificate(cert);
  if (validToDate.getTime() <= Date.now()) throw new Error(`the new certificate ended on ${validTo}`);
}

async function stampOf(files: IdentityFiles): Promise<string> {
  const pairs = (await hostPairs(files)).flatMap((name) => [`${name}.crt`, `${name}.key`]);
  const stamps = [files.certFile, files.keyFile, ...pairs].map(async (file) => {
    const { mtimeMs, size, ino } = await stat(file);
    return `${file} ${mtimeMs} ${size} ${ino}`;
  });
  return (await Promise.all(stamps)).join('\n');
}
