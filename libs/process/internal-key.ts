import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * What our own processes show each other: made of the installation's key, so that both have it, and nobody who sees it learns
 * anything of that key.
 */
export function internalKey(secretKey: Buffer): string {
  return createHmac('sha256', secretKey).update('moorage: between processes').digest('base64url');
}

export function isInternalKey(secretKey: Buffer, shown: string | undefined): boolean {
  const expected = Buffer.from(internalKey(secretKey));
  const given = Buffer.from(shown ?? '');
  return given.length === expected.length && timingSafeEqual(given, expected);
}
