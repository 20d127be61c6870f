/** What a tenant may make a trust anchor of, and how the certificates under it name devices. */
import { z } from 'zod';

import { type Certificate, type NameSource, nameSources } from './x509.js';
import { isExpandable } from './variables.js';

export type AnchorFault =
  | 'not-an-authority'
  | 'wrong-usage'
  | 'weak-key'
  | 'weak-signature'
  | 'unsupported-extension'
  | 'expired';

/** What is wrong with a certificate as an authority to be trusted. One that is not valid yet may be brought early. */
export function anchorFault(authority: Certificate, now: number): AnchorFault | undefined {
  if (!authority.isAuthority) return 'not-an-authority';
  if (authority.mayIssue === false || authority.isForClients === false) return 'wrong-usage';
  if (authority.weakKey) return 'weak-key';
  if (authority.weakSignature) return 'weak-signature';
  if (authority.hasForeignExtension) return 'unsupported-extension';
  return now >= authority.notAfter ? 'expired' : undefined;
}

export type PossessionFault = 'not-signed-by-anchor' | 'wrong-common-name' | 'weak-signature' | 'expired';

/** Whoever can have the anchor's key sign a code that was made for the occasion has the key. */
export function possessionFault(
  answer: Certificate,
  authority: Certificate,
  challenge: string,
  now: number,
): PossessionFault | undefined {
  if (answer.weakSignature) return 'weak-signature';
  if (!answer.certificate.verify(authority.certificate.publicKey)) return 'not-signed-by-anchor';
  const { cn } = answer.names;
  if (cn.length !== 1 || cn[0] !== challenge) return 'wrong-common-name';
  return now >= answer.notAfter ? 'expired' : undefined;
}

const template = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^${}]*\$\{(device|authId)\}[^${}]*$/, 'One of ${device} and ${authId}, once.');

/** Where certificates carry a name, and what stands around it: `urn:acme:${device}`. */
export const identityTemplateSchema = z.strictObject({
  source: z.enum(nameSources),
  pattern: template,
});
export type IdentityTemplate = z.output<typeof identityTemplateSchema>;

export interface Identity {
  /** The name of a device, or the authId of a credential. */
  readonly kind: 'device' | 'authId';
  readonly value: string;
}

/** Who a certificate says it is. Undefined: nobody, or several: a certificate that may be read in two ways is not read. */
export function identityOf(
  names: Readonly<Record<NameSource, readonly string[]>>,
  { source, pattern }: IdentityTemplate,
): Identity | undefined {
  const kind = pattern.includes('${device}') ? 'device' : 'authId';
  const [before = '', after = ''] = pattern.split(`\${${kind}}`);
  const values = names[source]
    .filter((name) => name.length > before.length + after.length)
    .filter((name) => name.startsWith(before) && name.endsWith(after))
    .map((name) => name.slice(before.length, name.length - after.length));
  const [value, ...others] = new Set(values);
  if (value === undefined || others.length > 0 || !isExpandable(value)) return undefined;
  return { kind, value };
}
