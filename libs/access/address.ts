/** Addresses of clients, and ranges of them: IPv4 and IPv6, single or with a prefix length (`10.0.0.0/8`, `2001:db8::/32`). */
import { BlockList, isIPv4, isIPv6, SocketAddress } from 'node:net';
import { z } from 'zod';

/** The address as ranges know it: IPv4 that came over IPv6 is IPv4, a zone is left off. Undefined: it is none. */
export function normalizeAddress(text: string): string | undefined {
  const percent = text.indexOf('%');
  const bare = percent === -1 ? text : text.slice(0, percent);
  if (isIPv4(bare)) return bare;
  if (!isIPv6(bare)) return undefined;
  const { address } = new SocketAddress({ address: bare, family: 'ipv6' });
  return address.startsWith(mapped) && isIPv4(address.slice(mapped.length))
    ? address.slice(mapped.length)
    : address;
}

/** The range in its one spelling, `address/length`. Undefined: it is none. */
export function normalizeRange(text: string): string | undefined {
  const [address = '', length, ...more] = text.split('/');
  const normal = address.includes('%') ? undefined : normalizeAddress(address);
  if (normal === undefined || more.length > 0) return undefined;
  const isMapped = isIPv6(address) && isIPv4(normal);
  const widest = isIPv6(address) ? 128 : 32;
  if (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const bits = (length === undefined ? widest : Number(length)) - (isMapped ? 96 : 0);
  return bits < 0 || bits > (isIPv4(normal) ? 32 : 128) ? undefined : `${normal}/${bits}`;
}

const mapped = '::ffff:';
const maxRanges = 200;

export const addressRangeSchema = z
  .string()
  .max(64)
  .refine((text) => normalizeRange(text) !== undefined, {
    message: 'An address or a range of them: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32.',
    params: { code: 'bad-range' },
  });

/** From where a tenant's clients, or one device, may connect. Without `allow`: from anywhere that is not denied. */
export const addressRulesSchema = z.strictObject({
  allow: z.array(addressRangeSchema).max(maxRanges).optional(),
  deny: z.array(addressRangeSchema).max(maxRanges).optional(),
});

export type AddressRules = z.output<typeof addressRulesSchema>;

/** Which ranges an address is in. Their number does not matter much: they are checked natively. */
export class AddressSet {
  // Of one list for both, `::/0` would hold every IPv4 address: mapped ones are in it.
  #v4: BlockList | undefined;
  #v6: BlockList | undefined;

  /** Throws where one is no range: they are checked where they come in. */
  constructor(ranges: readonly string[]) {
    for (const text of ranges) {
      const range = normalizeRange(text);
      if (range === undefined) throw new TypeError(`not a range of addresses: ${text.slice(0, 64)}`);
      const [address = '', bits] = range.split('/');
      if (isIPv4(address)) (this.#v4 ??= new BlockList()).addSubnet(address, Number(bits), 'ipv4');
      else (this.#v6 ??= new BlockList()).addSubnet(address, Number(bits), 'ipv6');
    }
  }

  /** False for what is no address. */
  has(address: string): boolean {
    const normal = this.#v4 === undefined && this.#v6 === undefined ? undefined : normalizeAddress(address);
    if (normal === undefined) return false;
    const isIn = isIPv4(normal) ? this.#v4?.check(normal, 'ipv4') : this.#v6?.check(normal, 'ipv6');
    return isIn === true;
  }
}

/** Why an address may not connect, if it may not: a denied range wins over an allowed one, and an unknown address has no right. */
export type AddressFault = 'denied' | 'not-allowed';

export class AddressFence {
  readonly #allow: AddressSet | undefined;
  readonly #deny: AddressSet | undefined;

  constructor({ allow, deny }: AddressRules) {
    this.#allow = allow && new AddressSet(allow);
    this.#deny = deny === undefined || deny.length === 0 ? undefined : new AddressSet(deny);
  }

  faultOf(address: string | undefined): AddressFault | undefined {
    if (this.#deny !== undefined && (address === undefined || this.#deny.has(address))) return 'denied';
    if (this.#allow !== undefined && (address === undefined || !this.#allow.has(address)))
      return 'not-allowed';
    return undefined;
  }
}

/** In words, for denial records and explanations. */
export function describeAddressFault(fault: AddressFault, whose: 'tenant' | 'device'): string {
  return fault === 'denied'
    ? `the address is in a range that the ${whose} denies`
    : `the address is in none of the ranges that the ${whose} allows`;
}
