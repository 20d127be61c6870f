import { randomBytes } from 'node:crypto';

/** What a claim token says of itself: where to look for what proves it. */
export interface TokenPlace {
  readonly tenantId: string;
  readonly id: string;
}

const mark = 'moc_';
const secretBytes = 32;
const form = /^moc_[\w-]{86}$/;

/** Its tenant, its id, and 256 random bits: whoever is shown it learns of the tenant no more than an id. */
export function makeToken({ tenantId, id }: TokenPlace): string {
  return (
    mark + Buffer.concat([bytesOf(tenantId), bytesOf(id), randomBytes(secretBytes)]).toString('base64url')
  );
}

/** Undefined: it cannot be one. */
export function placeOf(token: string): TokenPlace | undefined {
  if (!form.test(token)) return undefined;
  const bytes = Buffer.from(token.slice(mark.length), 'base64url');
  const tenantId = uuidOf(bytes.subarray(0, 16));
  return tenantId === nobody ? undefined : { tenantId, id: uuidOf(bytes.subarray(16, 32)) };
}

const nobody = '00000000-0000-0000-0000-000000000000';

function bytesOf(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

function uuidOf(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
