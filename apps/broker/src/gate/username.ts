const slugForm = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const maxAuthIdLength = 200;

/** Whom a client claims to be. Without a slug, something else that it shows names the tenant. */
export interface Name {
  readonly authId: string;
  readonly slug: string | undefined;
}

/** `authId@tenant-slug`, or `authId` alone. Undefined: it names nobody. */
export function readUsername(username: string | undefined): Name | undefined {
  const whole = parseUsername(username);
  if (whole !== undefined) return whole;
  const isBare =
    username !== undefined &&
    username !== '' &&
    username.length <= maxAuthIdLength &&
    !username.includes('@');
  return isBare ? { authId: username, slug: undefined } : undefined;
}

/** `authId@tenant-slug`. Undefined: it names nobody. */
export function parseUsername(username: string | undefined): { authId: string; slug: string } | undefined {
  const at = username?.lastIndexOf('@') ?? -1;
  if (username === undefined || at < 1 || at > maxAuthIdLength) return undefined;
  const slug = username.slice(at + 1);
  return slugForm.test(slug) ? { authId: username.slice(0, at), slug } : undefined;
}
