/**
 * The server's side of SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677): a client proves that it knows the password
 * without sending it, and the server proves that it knows the verifier. Pure: who the user is and what is kept of the password
 * is looked up by the caller between the steps.
 *
 * Passwords and usernames are printable ASCII, which SASLprep (RFC 4013) leaves as it is. Others are refused, and never
 * compared in a form that the client did not mean. There is no channel binding: `y` and `n` are taken, `p` is not.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

import { z } from 'zod';

const hashes = { 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-512': 'sha512' } as const;
const hashBytes = { sha256: 32, sha512: 64 } as const;

export type ScramMethod = keyof typeof hashes;

export const scramMethods = Object.keys(hashes) as readonly ScramMethod[];

export function isScramMethod(name: string): name is ScramMethod {
  return Object.hasOwn(hashes, name);
}

/**
 * RFC 7677 asks for 4096 at least. Passwords are 256 random bits: no number of iterations makes them harder to guess, and a
 * device computes them at each sign-in.
 */
const iterations = 4_096;
const saltBytes = 16;
/** Every message of a client's; the longest sensible one has a third of it. */
const maxMessageBytes = 1_024;
const nonceBytes = 18;

const base64 = z.base64().max(256);

/** What is kept in the password's place, for one method. Texts are base64. */
const verifierSchema = z.strictObject({
  salt: base64,
  iterations: z.int().min(4_096).max(1_000_000),
  storedKey: base64,
  serverKey: base64,
});

/** Of one credential, by method. */
export const scramVerifiersSchema = z.partialRecord(
  z.enum(['SCRAM-SHA-256', 'SCRAM-SHA-512']),
  verifierSchema,
);

export type ScramVerifier = z.output<typeof verifierSchema>;
export type ScramVerifiers = z.output<typeof scramVerifiersSchema>;

const derive = promisify(pbkdf2);

/** Off the event loop. Rejects a password that is not printable ASCII. */
export async function deriveVerifier(
  method: ScramMethod,
  password: string,
  salt: Buffer,
  rounds: number = iterations,
): Promise<ScramVerifier> {
  if (!/^[\x20-\x7e]+$/.test(password)) {
    throw new RangeError('A password for SCRAM consists of printable ASCII characters.');
  }
  const hash = hashes[method];
  const salted = await derive(password, salt, rounds, hashBytes[hash], hash);
  return {
    salt: salt.toString('base64'),
    iterations: rounds,
    storedKey: digest(hash, hmac(hash, salted, 'Client Key')).toString('base64'),
    serverKey: hmac(hash, salted, 'Server Key').toString('base64'),
  };
}

/** For every method, each with a salt of its own. */
export async function deriveVerifiers(password: string): Promise<ScramVerifiers> {
  const [sha256, sha512] = await Promise.all([
    deriveVerifier('SCRAM-SHA-256', password, randomBytes(saltBytes)),
    deriveVerifier('SCRAM-SHA-512', password, randomBytes(saltBytes)),
  ]);
  return { 'SCRAM-SHA-256': sha256, 'SCRAM-SHA-512': sha512 };
}

/**
 * For a user that is unknown: looks like one that is known, the same at every attempt, and nothing proves to be its password.
 * `key` is the installation's.
 */
export function nobodysVerifier(method: ScramMethod, key: Buffer, username: string): ScramVerifier {
  const hash = hashes[method];
  const of = (what: string): Buffer => hmac(hash, key, `${what}\0${method}\0${username}`);
  return {
    salt: of('scram salt').subarray(0, saltBytes).toString('base64'),
    iterations,
    storedKey: of('scram stored key').toString('base64'),
    serverKey: of('scram server key').toString('base64'),
  };
}

/** Why a message is refused; for the operator and the tenant, never for the client. */
export interface ScramFault {
  readonly fault: string;
}

/** One conversation: `begin`, then `challenge`, then `finish`, once each. */
export class ScramServer {
  /** As the client names it, its escapes undone. */
  readonly username: string;
  readonly #method: ScramMethod;
  readonly #header: string;
  readonly #clientFirst: string;
  readonly #clientNonce: string;
  #challenge: { readonly text: string; readonly nonce: string; readonly verifier: ScramVerifier } | undefined;

  private constructor(method: ScramMethod, first: ClientFirst) {
    this.#method = method;
    this.username = first.username;
    this.#header = first.header;
    this.#clientFirst = first.bare;
    this.#clientNonce = first.nonce;
  }

  /** Reads client-first-message. */
  static begin(method: ScramMethod, message: Buffer | undefined): ScramServer | ScramFault {
    const text = textOf(message);
    const first = text === undefined ? fault('the first message is no SCRAM message') : parseFirst(text);
    return 'fault' in first ? first : new ScramServer(method, first);
  }

  /** server-first-message. The nonce is printable ASCII without commas; the default is random. */
  challenge(verifier: ScramVerifier, nonce: string = randomBytes(nonceBytes).toString('base64')): Buffer {
    const joined = this.#clientNonce + nonce;
    const text = `r=${joined},s=${verifier.salt},i=${verifier.iterations}`;
    this.#challenge = { text, nonce: joined, verifier };
    return Buffer.from(text);
  }

  /** Checks client-final-message. The answer is server-final-message, the server's own proof. */
  finish(message: Buffer | undefined): Buffer | ScramFault {
    const challenge = this.#challenge;
    this.#challenge = undefined;
    if (challenge === undefined) return fault('a last message without a challenge');
    const text = textOf(message);
    const final = text === undefined ? undefined : parseFinal(text);
    if (final === undefined) return fault('the last message is no SCRAM message');
    if (final.binding !== Buffer.from(this.#header).toString('base64')) {
      return fault('another channel binding than at first');
    }
    if (!isSame(Buffer.from(final.nonce), Buffer.from(challenge.nonce)))
      return fault('not the nonce of this exchange');

    const hash = hashes[this.#method];
    const authMessage = `${this.#clientFirst},${challenge.text},${final.withoutProof}`;
    const storedKey = Buffer.from(challenge.verifier.storedKey, 'base64');
    const signature = hmac(hash, storedKey, authMessage);
    if (final.proof.length !== signature.length) return fault('a proof of another length than the hash');
    const clientKey = xor(final.proof, signature);
    if (!isSame(digest(hash, clientKey), storedKey)) return fault('wrong password');
    const serverKey = Buffer.from(challenge.verifier.serverKey, 'base64');
    return Buffer.from(`v=${hmac(hash, serverKey, authMessage).toString('base64')}`);
  }
}

interface ClientFirst {
  /** gs2-header: channel binding and authorization identity. */
  readonly header: string;
  readonly bare: string;
  readonly username: string;
  readonly nonce: string;
}

function parseFirst(text: string): ClientFirst | ScramFault {
  const match = /^([^,]*),([^,]*),(.*)$/s.exec(text);
  const [, binding = '', identity = '', bare = ''] = match ?? [];
  if (binding.startsWith('p=')) return fault('channel binding is not offered');
  if (match === null || (binding !== 'n' && binding !== 'y')) {
    return fault('the first message has no channel binding flag');
  }
  if (identity !== '') return fault('an authorization identity is not offered');
  const [name = '', nonce = ''] = bare.split(',');
  if (name.startsWith('m=')) return fault('a mandatory extension that is not offered');
  if (!name.startsWith('n=') || !/^r=[\x21-\x2b\x2d-\x7e]+$/.test(nonce)) {
    return fault('the first message has no username or nonce');
  }
  const username = unescaped(name.slice(2));
  if (username === undefined) return fault('the username is escaped wrongly');
  return { header: `${binding},,`, bare, username, nonce: nonce.slice(2) };
}

/** saslname: `=2C` is a comma and `=3D` an equals sign; no other stands after `=`. */
function unescaped(name: string): string | undefined {
  if (name === '' || /=(?!2C|3D)/.test(name)) return undefined;
  return name.replaceAll('=2C', ',').replaceAll('=3D', '=');
}

interface ClientFinal {
  readonly binding: string;
  readonly nonce: string;
  readonly withoutProof: string;
  readonly proof: Buffer;
}

function parseFinal(text: string): ClientFinal | undefined {
  const match = /^(c=([^,]*),r=([^,]*)(?:,[A-Za-z]=[^,]+)*),p=([A-Za-z0-9+/]+={0,2})$/.exec(text);
  const [, withoutProof, binding, nonce, proof] = match ?? [];
  if (withoutProof === undefined || binding === undefined || nonce === undefined || proof === undefined) {
    return undefined;
  }
  return { withoutProof, binding, nonce, proof: Buffer.from(proof, 'base64') };
}

function textOf(message: Buffer | undefined): string | undefined {
  if (message === undefined || message.length === 0 || message.length > maxMessageBytes) return undefined;
  const text = message.toString('latin1');
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}

function fault(text: string): ScramFault {
  return { fault: text };
}

function hmac(hash: string, key: Buffer, data: string): Buffer {
  return createHmac(hash, key).update(data).digest();
}

function digest(hash: string, data: Buffer): Buffer {
  return createHash(hash).update(data).digest();
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, i) => byte ^ (b[i] ?? 0)));
}

function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
