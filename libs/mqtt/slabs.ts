/**
 * Memory that is used again: what is written to sockets is laid into it, and frames that come in pieces are put together in it.
 * Without it every large message was a piece of memory of its own, and V8 went through its whole heap for each few dozen
 * megabytes of them (bench/results.md).
 */

const smallestPower = 8;
const largestPower = 18;
/** Larger ones are made for the occasion. */
export const largestSlab = 1 << largestPower;
/** Of each size, slabs of so many bytes are kept for whoever needs one next. */
const mostFreeBytes = 4 * 1024 * 1024;
const freeSlabs: Buffer[][] = Array.from({ length: largestPower + 1 }, () => []);

/** At least so long. What is in it is somebody else's. */
export function takeSlab(leastBytes: number): Buffer {
  if (leastBytes > largestSlab) return Buffer.allocUnsafeSlow(leastBytes);
  const power = Math.max(smallestPower, 32 - Math.clz32(leastBytes - 1));
  return freeSlabs[power]?.pop() ?? Buffer.allocUnsafeSlow(1 << power);
}

/** Nobody looks at it any more. */
export function giveBack(slab: Buffer): void {
  if (slab.length > largestSlab) return;
  const free = freeSlabs[31 - Math.clz32(slab.length)];
  if (free !== undefined && free.length * slab.length < mostFreeBytes) free.push(slab);
}
