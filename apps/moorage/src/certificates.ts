import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { hasCode, StartupError } from './startup-error.js';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 3600 * 1000;
const caDays = 3650;
// What clients accept at most from a public CA; for ours it keeps renewal from being a thing that never happens.
const serverDays = 397;
const renewBeforeDays = 30;

export interface DevelopmentCertificates {
  /** What clients are told to trust. */
  readonly caFile: string;
  readonly made: readonly ('ca' | 'server')[];
}

/**
 * A certificate authority of this installation's own and a server certificate by it, in `<data dir>/tls`; both made where
 * missing, and renewed when they are near their end. For a first start and for development: who has a real certificate sets
 * MOORAGE_TLS_CERT_FILE. `names` are host names and addresses; localhost, 127.0.0.1 and ::1 are always among them.
 */
export async function ensureDevelopmentCertificates(
  dataDir: string,
  names: readonly string[],
): Promise<DevelopmentCertificates> {
  const dir = join(dataDir, 'tls');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const caFile = join(dir, 'ca.crt');
  const made: ('ca' | 'server')[] = [];
  let ca = await readPair(caFile, join(dir, 'ca.key'));
  if (ca === undefined || isNearItsEnd(ca.certificate)) {
    ca = await makeAuthority(dir);
    made.push('ca');
  }
  const wanted = [...new Set(['localhost', '127.0.0.1', '::1', ...names])];
  const server = await readPair(join(dir, 'server.crt'), join(dir, 'server.key'));
  if (
    server === undefined ||
    isNearItsEnd(server.certificate) ||
    !serves(server.certificate, ca.certificate, wanted)
  ) {
    await makeServerCertificate(dir, ca, wanted);
    made.push('server');
  }
  return { caFile, made };
}

/** Refuses an operator's own certificate that the broker could not serve, before anything is started. */
export async function checkGivenCertificate(certFile: string, keyFile: string): Promise<void> {
  let pair: Pair | undefined;
  try {
    pair = await readPair(certFile, keyFile);
  } catch (cause) {
    throw unusable(certFile, keyFile, 'cannot be read as a certificate and its key', { cause });
  }
  if (pair === undefined)
    throw unusable(certFile, keyFile, "are missing, or the key is not the certificate's");
  if (pair.certificate.validToDate.getTime() < Date.now()) {
    throw unusable(certFile, keyFile, `ended on ${pair.certificate.validTo}`);
  }
}

/** The same of the pairs for host names. One that has ended is served: it is one tenant's, and no reason to stand still for the others. */
export async function checkHostCertificates(hostsDir: string): Promise<void> {
  const refuse = (why: string, cause?: unknown): StartupError =>
    new StartupError('tls.unusable', `MOORAGE_TLS_HOSTS_DIR: ${why}`, { cause });
  const files = await readdir(hostsDir).catch((cause: unknown) => {
    throw refuse(`${hostsDir} cannot be read as a directory`, cause);
  });
  for (const certFile of files.filter((file) => file.endsWith('.crt'))) {
    const path = join(hostsDir, certFile);
    const keyPath = path.replace(/crt$/, 'key');
    const pair = await readPair(path, keyPath).catch((cause: unknown) => {
      throw refuse(`${path} and ${keyPath} cannot be read as a certificate and its key`, cause);
    });
    if (pair === undefined) throw refuse(`${keyPath} is missing, or is not the key of ${path}`);
  }
}

function unusable(certFile: string, keyFile: string, why: string, options?: ErrorOptions): StartupError {
  const message = `MOORAGE_TLS_CERT_FILE, MOORAGE_TLS_KEY_FILE: ${certFile} and ${keyFile} ${why}`;
  return new StartupError('tls.unusable', message, options);
}

interface Pair {
  readonly certificate: X509Certificate;
  readonly keyPem: string;
}

async function readPair(certFile: string, keyFile: string): Promise<Pair | undefined> {
  try {
    const [cert, keyPem] = await Promise.all([readFile(certFile), readFile(keyFile, 'utf8')]);
    const certificate = new X509Certificate(cert);
    // A crash between the two files leaves a key that is not the certificate's.
    return certificate.checkPrivateKey(createPrivateKey(keyPem)) ? { certificate, keyPem } : undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function isNearItsEnd(certificate: X509Certificate): boolean {
  return certificate.validToDate.getTime() < Date.now() + renewBeforeDays * dayMs;
}

function serves(server: X509Certificate, ca: X509Certificate, names: readonly string[]): boolean {
  if (!server.checkIssued(ca) || !server.verify(ca.publicKey)) return false;
  return names.every((name) =>
    isAddress(name) ? server.checkIP(name) !== undefined : server.checkHost(name) !== undefined,
  );
}

function isAddress(name: string): boolean {
  return name.includes(':') || /^[\d.]+$/.test(name);
}

async function makeAuthority(dir: string): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Moorage development CA',
    keys,
    signingAlgorithm: algorithm,
    serialNumber: randomSerial(),
    ...validFor(caDays),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const keyPem = await writePair(dir, 'ca', certificate, keys.privateKey);
  return { certificate: new X509Certificate(certificate.toString('pem')), keyPem };
}

async function makeServerCertificate(dir: string, ca: Pair, names: readonly string[]): Promise<void> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const issuer = new x509.X509Certificate(ca.certificate.raw);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    x509.PemConverter.decodeFirst(ca.keyPem),
    algorithm,
    false,
    ['sign'],
  );
  const certificate = await x509.X509CertificateGenerator.create({
    subject: 'CN=localhost',
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    serialNumber: randomSerial(),
    ...validFor(serverDays),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((name) => ({ type: isAddress(name) ? ('ip' as const) : ('dns' as const), value: name })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  await writePair(dir, 'server', certificate, keys.privateKey);
}

function validFor(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  // An hour back: a device whose clock is a little slow should not refuse a fresh installation.
  return { notBefore: new Date(now - 3600 * 1000), notAfter: new Date(now + days * dayMs) };
}

function randomSerial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  // Positive, as RFC 5280, 4.1.2.2 wants it.
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

async function writePair(
  dir: string,
  name: string,
  certificate: x509.X509Certificate,
  privateKey: webcrypto.CryptoKey,
): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  const keyPem = x509.PemConverter.encode(pkcs8, 'PRIVATE KEY');
  await replaceFile(join(dir, `${name}.key`), `${keyPem}\n`, 0o600);
  await replaceFile(join(dir, `${name}.crt`), `${certificate.toString('pem')}\n`, 0o644);
  return keyPem;
}

async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  await writeFile(`${file}.new`, text, { mode, flush: true });
  await rename(`${file}.new`, file);
}
