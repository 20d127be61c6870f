/**
 * Passwords that people choose. They can be guessed, so each guess is made dear: argon2id with what OWASP asks for at least
 * (19 MiB, two passes, one lane: some 20 ms), and under a key that is not in the table. There is no SCRAM for them: its
 * verifiers are PBKDF2, and whoever had the table would guess from those instead.
 */
import { hkdfSync } from 'node:crypto';

import { hash, verify } from '@node-rs/argon2';

const memoryKiB = 19_456;
const passes = 2;

export const chosenPasswordLimits = { minLength: 12, maxLength: 128 } as const;

/** A PHC string. Off the event loop. */
export function hashPassword(secretKey: Buffer, password: string | Buffer): Promise<string> {
  return hash(password, {
    memoryCost: memoryKiB,
    timeCost: passes,
    parallelism: 1,
    secret: pepperOf(secretKey),
  });
}

/** Off the event loop. False for what is no hash, too. */
export async function verifyPassword(
  secretKey: Buffer,
  password: string | Buffer,
  hashed: string,
): Promise<boolean> {
  try {
    return await verify(hashed, password, { secret: pepperOf(secretKey) });
  } catch {
    return false; // not a PHC string of argon2: nothing proves to be its password
  }
}

function pepperOf(secretKey: Buffer): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secretKey, '', 'moorage chosen passwords', 32));
}

/** Why a password is not taken. Stable. */
export type PasswordFault = 'too-short' | 'too-long' | 'forbidden-character' | 'trivial';

/** What everybody tries first; compared without digits and punctuation around it. */
const worn = new Set(
  'password passwort secret changeme letmein welcome administrator admin default moorage mosquitto qwertyuiop qwerty asdfghjkl iloveyou monkey dragon device sensor gateway test testing guest public private mqtt broker'.split(
    ' ',
  ),
);

/** `names`: what a guesser knows of its owner, such as the authId and the name of the device. */
export function passwordFault(password: string, names: readonly string[]): PasswordFault | undefined {
  const { minLength, maxLength } = chosenPasswordLimits;
  const characters = Array.from(password);
  if (characters.length < minLength) return 'too-short';
  if (characters.length > maxLength) return 'too-long';
  if (/\p{Cc}/u.test(password) || !password.isWellFormed()) return 'forbidden-character';
  return isTrivial(characters, password.toLowerCase(), names) ? 'trivial' : undefined;
}

function isTrivial(characters: readonly string[], lower: string, names: readonly string[]): boolean {
  if (new Set(characters).size < 6) return true;
  if (/^\d+$/.test(lower) && characters.length < 20) return true;
  if (runs(lower) >= characters.length - 3) return true;
  const [, letters = ''] = /^[^\p{L}]*(.*?)[^\p{L}]*$/su.exec(lower) ?? [];
  if (worn.has(letters)) return true;
  // A name, or a name that a little is put to, is no secret.
  return names.some((name) => {
    const known = name.toLowerCase();
    return known.length >= 3 && lower.includes(known) && characters.length - Array.from(known).length < 8;
  });
}

/** How many characters only go on from the one before: 'abcd', '4321', 'aaaa'. */
function runs(text: string): number {
  let count = 0;
  for (let i = 1; i < text.length; i++) {
    if (Math.abs(text.charCodeAt(i) - text.charCodeAt(i - 1)) <= 1) count += 1;
  }
  return count;
}
