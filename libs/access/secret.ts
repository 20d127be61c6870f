/**
 * Generated secrets: long and random, so a fast keyed hash is enough. Whoever reads the table without the key can neither
 * use nor guess them, and a reconnect storm costs microseconds a device.
 */
import { createHmac, createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';

const minKeyBytes = 32;

/** 256 random bits (less a hair) as 43 characters that need no quoting anywhere. */
export function generateSecret(): string {
  for (;;) {
    const secret = randomBytes(32).toString('base64url');
    // Pasted after `--password`, one that begins with a dash would be taken for the next option.
    if (!secret.startsWith('-')) return secret;
  }
}

/** The installation's key, prepared once: given as bytes it would be prepared for each hash anew, four times the hash's cost. */
export function prepareSecretKey(key: Buffer): KeyObject {
  if (key.length < minKeyBytes)
    throw new Error(`The key for secrets must have at least ${minKeyBytes} bytes.`);
  return createSecretKey(key);
}

/** HMAC-SHA-256 under the installation's key. */
export function hashSecret(key: Buffer | KeyObject, secret: string | Buffer): Buffer {
  const prepared = Buffer.isBuffer(key) ? prepareSecretKey(key) : key;
  return createHmac('sha256', prepared).update(secret).digest();
}

/** Constant in time; false for a hash of another length. */
export function verifySecret(key: Buffer | KeyObject, secret: string | Buffer, hash: Uint8Array): boolean {
  const expected = hashSecret(key, secret);
  return hash.byteLength === expected.byteLength && timingSafeEqual(expected, hash);
}
