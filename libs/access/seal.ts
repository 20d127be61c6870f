/** Secrets that must be read again: kept under the installation's key, each fit for one purpose and one place only. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const nonceBytes = 12;
const tagBytes = 16;

export interface SealPlace {
  /** What the key is derived for: nothing that is sealed for one purpose opens for another. */
  readonly purpose: string;
  /** Where it stands, e.g. tenant and row: moved to another place it does not open. */
  readonly place: readonly string[];
}

/** AES-256-GCM; 28 bytes longer than what is sealed. */
export function seal(secretKey: Buffer, { purpose, place }: SealPlace, secret: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', keyFor(secretKey, purpose), nonce).setAAD(contextOf(place));
  return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

/** Throws where it was sealed under another key, for another purpose or place, or has been changed. */
export function unseal(secretKey: Buffer, { purpose, place }: SealPlace, sealed: Uint8Array): Buffer {
  const bytes = Buffer.from(sealed);
  if (bytes.length < nonceBytes + tagBytes) throw new Error('what is sealed is too short');
  const decipher = createDecipheriv(
    'aes-256-gcm',
    keyFor(secretKey, purpose),
    bytes.subarray(0, nonceBytes),
    {
      authTagLength: tagBytes,
    },
  )
    .setAAD(contextOf(place))
    .setAuthTag(bytes.subarray(-tagBytes));
  return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
}

function keyFor(secretKey: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secretKey, '', `moorage seal: ${purpose}`, 32));
}

/** Unambiguous, whatever the parts hold. */
function contextOf(place: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(place));
}
