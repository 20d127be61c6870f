/** What a credential is proven by: read from what is asked for, and made into what is stored. */
import {
  chosenPasswordLimits,
  clientFault,
  deriveVerifiers,
  generateSecret,
  hashPassword,
  hashSecret,
  passwordFault,
  readCertificate,
  readPublicKey,
  type Certificate,
  type PasswordFault,
} from '#access';
import { WorkQueue } from '#process';
import type { NewSecret } from '#store';
import { Failure, invalidBody } from '../failure.js';
import { isInOrder, isPast, orderFault, type NewCredentialInput } from './credential.schema.js';

/** What is stored, and what of it is shown once. */
export interface Material {
  readonly secret: NewSecret;
  readonly password: string | undefined;
}

export type MaterialInput = Pick<
  NewCredentialInput,
  'kind' | 'secret' | 'certificate' | 'fingerprint' | 'anchorId' | 'publicKey' | 'issuerId'
> & { readonly notBefore?: Date | null };

/** Each takes one of four threads, on which names are looked up and files read too, or two. Tenants take turns. */
const hashing = new WorkQueue(2, 200);

/** A secret takes some 20 ms and 19 MiB: it is hashed when everything else has been looked at. */
export type MakeMaterial = (secretKey: Buffer, tenantId: string) => Promise<Material>;

export interface MaterialReading {
  readonly make: MakeMaterial;
  /** Of a certificate that is pinned, in hexadecimal. */
  readonly fingerprint: string | undefined;
}

/** Throws what is wrong with it. `names`: what a guesser knows of its owner. */
export function readMaterial(input: MaterialInput, names: readonly string[]): MaterialReading {
  if (input.kind !== 'certificate') return { make: makeOf(input.kind, input, names), fingerprint: undefined };
  const secret = certificateOf(input);
  return { make: storedAs(secret), fingerprint: secret.fingerprint?.toString('hex') };
}

function makeOf(
  kind: Exclude<MaterialInput['kind'], 'certificate'>,
  { secret: chosen, publicKey, issuerId }: MaterialInput,
  names: readonly string[],
): MakeMaterial {
  if (kind === 'external') return storedAs({ kind });
  if (kind === 'token')
    return storedAs(
      publicKey === undefined
        ? { kind, issuerId: issuerId ?? null }
        : { kind, publicKey: publicKeyOf(publicKey) },
    );
  if (chosen === undefined) return generatePassword;
  const code = passwordFault(chosen, names);
  if (code !== undefined) throw invalidBody({ pointer: '#/secret', code, message: passwordFaults[code] });
  return async (secretKey, tenantId) => {
    const passwordHash = await hashed(tenantId, () => hashPassword(secretKey, chosen));
    return { secret: { kind, passwordHash }, password: undefined };
  };
}

function storedAs(secret: NewSecret): MakeMaterial {
  return () => Promise.resolve({ secret, password: undefined });
}

async function generatePassword(secretKey: Buffer, tenantId: string): Promise<Material> {
  const password = generateSecret();
  const secretHash = Buffer.from(hashSecret(secretKey, password));
  const scram = await hashed(tenantId, () => deriveVerifiers(password));
  return { secret: { kind: 'password', secretHash, scram }, password };
}

async function hashed<Hash>(tenantId: string, hash: () => Promise<Hash>): Promise<Hash> {
  const done = await hashing.run(hash, tenantId);
  if (done === undefined)
    throw new Failure('unavailable', 'Too many secrets are waiting to be hashed: try again.');
  return done;
}

const passwordFaults: Readonly<Record<PasswordFault, string>> = {
  'too-short': `At least ${chosenPasswordLimits.minLength} characters.`,
  'too-long': `At most ${chosenPasswordLimits.maxLength} characters.`,
  'forbidden-character': 'No control characters.',
  trivial: 'It is among the first that anybody would try.',
};

function publicKeyOf(input: NonNullable<MaterialInput['publicKey']>): Record<string, string> {
  const key = readPublicKey(input);
  if (typeof key !== 'string') return { ...key } as Record<string, string>;
  const message = 'A public key: PEM or JWK; P-256, P-384, P-521, Ed25519, or RSA of 2048 to 8192 bits.';
  throw invalidBody({ pointer: '#/publicKey', code: key, message });
}

/** What is pinned, or which authorities a name is believed from. */
function certificateOf(input: MaterialInput): Extract<NewSecret, { kind: 'certificate' }> {
  const { certificate: encoded, fingerprint, anchorId, notBefore } = input;
  if (encoded === undefined) {
    const pinned = fingerprint === undefined ? null : Buffer.from(fingerprint, 'hex');
    return { kind: 'certificate', fingerprint: pinned, anchorId: anchorId ?? null };
  }
  const certificate = readCertificate(encoded);
  const code = certificate === undefined ? 'malformed' : clientFault(certificate);
  if (certificate === undefined || code !== undefined) {
    const message = 'Not one certificate in PEM that a TLS client may use here.';
    throw invalidBody({ pointer: '#/certificate', code: code ?? 'malformed', message });
  }
  requireSomeTimeOf(certificate, notBefore);
  return { kind: 'certificate', fingerprint: Buffer.from(certificate.fingerprint, 'hex'), anchorId: null };
}

/** The dates of a certificate hold besides those of its credential. */
function requireSomeTimeOf(certificate: Certificate, notBefore: Date | null = null): void {
  const end = new Date(certificate.notAfter);
  const until = `The certificate is valid until ${end.toISOString()}`;
  if (isPast(end))
    throw invalidBody({
      pointer: '#/certificate',
      code: 'expired',
      message: `${until}: nobody could use it.`,
    });
  if (!isInOrder({ notBefore, notAfter: end }))
    throw invalidBody({ ...orderFault, pointer: '#/notBefore', message: `${until} only.` });
}
