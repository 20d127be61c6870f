/**
 * Which addresses are of the public internet. What is not is refused to whoever lets the platform call an address of theirs:
 * it would reach this machine, the operator's network, or a cloud's metadata service from inside.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net';

// IANA's registries of special-purpose addresses, less what is globally reachable; multicast and what is reserved besides.
const specialV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10', // shared address space of carriers
  '127.0.0.0/8',
  '169.254.0.0/16', // link-local; metadata services of clouds
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24', // relays from 6to4
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];

/** All that is allocated is in it; loopback, unique-local, link-local, multicast, mapped and translated IPv4 are not. */
const globalV6 = ['2000::/3'];

const specialV6 = [
  '2001::/23', // Teredo and other protocols' own
  '2001:db8::/32',
  '2002::/16', // 6to4: an IPv4 address in disguise
  '3fff::/20',
];

const notPublicV4 = rangesOf(specialV4);
const publicV6 = rangesOf(globalV6);
const notPublicV6 = rangesOf(specialV6);

/** False for what is no address. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !notPublicV4.check(address, 'ipv4');
  return isIPv6(address) && publicV6.check(address, 'ipv6') && !notPublicV6.check(address, 'ipv6');
}

/** Of addresses and ranges like 10.0.0.0/8. Throws for what is neither. */
export function rangesOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}
