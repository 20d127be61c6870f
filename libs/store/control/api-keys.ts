/** API keys: how one is made and checked, and its row. A key is `moo_`, a part that may be shown, `_`, 256 random bits. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { PlatformTx, TenantTx } from './control-store.js';
import type { ApiKey } from '../generated/client.js';

export type { ApiKey };

export interface NewApiKey {
  /** Shown to its holder once and stored nowhere. */
  readonly key: string;
  readonly prefix: string;
  readonly keyHash: Buffer<ArrayBuffer>;
}

/** `moo_1f3a5c7e9b0d`: what logs, audit rows and lists call a key by. */
const form = /^(moo_[0-9a-f]{12})_[\w-]{43}$/;

export function makeApiKey(secretKey: Buffer): NewApiKey {
  const prefix = `moo_${randomBytes(6).toString('hex')}`;
  const key = `${prefix}_${randomBytes(32).toString('base64url')}`;
  return { key, prefix, keyHash: hashApiKey(secretKey, key) };
}

/** Undefined for a text that is no key of ours. */
export function apiKeyPrefix(key: string): string | undefined {
  return form.exec(key)?.[1];
}

/** Constant in time, also where there is no such key (`hash` undefined). */
export function verifyApiKey(secretKey: Buffer, key: string, hash: Uint8Array | undefined): boolean {
  const expected = hashApiKey(secretKey, key);
  const given =
    hash !== undefined && hash.byteLength === expected.byteLength ? hash : Buffer.alloc(expected.byteLength);
  return timingSafeEqual(expected, given) && hash !== undefined;
}

function hashApiKey(secretKey: Buffer, key: string): Buffer<ArrayBuffer> {
  return Buffer.from(createHmac('sha256', secretKey).update(key).digest());
}

export interface ApiKeyRow {
  readonly name: string;
  readonly role: string;
  readonly expiresAt: Date | null;
  readonly made: NewApiKey;
}

export function createApiKey(tx: PlatformTx | TenantTx, row: ApiKeyRow): Promise<ApiKey> {
  const { name, role, expiresAt, made } = row;
  return tx.db.apiKey.create({
    data: { tenantId: ownerOf(tx), name, role, expiresAt, prefix: made.prefix, keyHash: made.keyHash },
  });
}

/** For sign-in: whoever the key belongs to. */
export function findApiKey(tx: PlatformTx, prefix: string): Promise<ApiKey | null> {
  return tx.db.apiKey.findUnique({ where: { prefix } });
}

export async function noteApiKeyUse(tx: PlatformTx, id: string): Promise<void> {
  await tx.db.apiKey.updateMany({ where: { id }, data: { lastUsedAt: new Date() } });
}

/** Of the tenant, or in a transaction of the platform the platform's own; oldest first. */
export function listApiKeys(
  tx: PlatformTx | TenantTx,
  page: { readonly afterId: string | undefined; readonly limit: number },
): Promise<ApiKey[]> {
  return tx.db.apiKey.findMany({
    where: { tenantId: ownerOf(tx), ...(page.afterId === undefined ? {} : { id: { gt: page.afterId } }) },
    orderBy: { id: 'asc' },
    take: page.limit,
  });
}

export function getApiKey(tx: PlatformTx | TenantTx, id: string): Promise<ApiKey | null> {
  return tx.db.apiKey.findFirst({ where: { id, tenantId: ownerOf(tx) } });
}

/** Once; a second time changes nothing. */
export async function revokeApiKey(tx: PlatformTx | TenantTx, id: string): Promise<void> {
  await tx.db.apiKey.updateMany({
    where: { id, tenantId: ownerOf(tx), revokedAt: null },
    data: { revokedAt: new Date() },
  });
}

/**
 * How many keys of the platform are not revoked, and how many of them still work. Whoever asks next waits until this transaction ends:
 * of two that revoke the last two keys, one leaves its own.
 */
export async function countPlatformKeys(tx: PlatformTx): Promise<{ held: number; working: number }> {
  await tx.db.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended('keys of the platform', 0))`;
  const held = { tenantId: null, revokedAt: null };
  const works = { OR: [{ expiresAt: null }, { expiresAt: { gt: new Date() } }] };
  return {
    held: await tx.db.apiKey.count({ where: held }),
    working: await tx.db.apiKey.count({ where: { ...held, ...works } }),
  };
}

function ownerOf(tx: PlatformTx | TenantTx): string | null {
  return tx.scope === 'tenant' ? tx.tenantId : null;
}
