/**
 * Memory that is used again: what is written to sockets is laid into it, and frames that come in pieces are put together in it.
 * Without it every large message was a piece of memory of its own, and V8 went through its whole heap for each few dozen
 * megabytes of them (bench/history.md).
 */

const smallestPower = 8;
const largestPower = 18;
/** Larger ones are made for the occasion. */
export const largestSlab = 1 << largestPower;
/** Slabs of so many bytes in all are kept for whoever needs one next: what some dozens of clients with large messages have under way. */
const mostFreeBytes = 32 * 1024 * 1024;
const freeSlabs: Buffer[][] = Array.from({ length: largestPower + 1 }, () => []);
let freeBytes = 0;

/** At least so long. What is in it is somebody else's. */
export function takeSlab(leastBytes: number): Buffer {
  if (leastBytes > largestSlab) return Buffer.allocUnsafeSlow(leastBytes);
  const power = Math.max(smallestPower, 32 - Math.clz32(leastBytes - 1));
  const slab = freeSlabs[power]?.pop();
  if (slab === undefined) return Buffer.allocUnsafeSlow(1 << power);
  freeBytes -= slab.length;
  return slab;
}

/** Nobody looks at it any more. */
export function giveBack(slab: Buffer): void {
  if (slab.length === 0 || slab.length > largestSlab) return;
  freeSlabs[31 - Math.clz32(slab.length)]?.push(slab);
  freeBytes += slab.length;
  if (freeBytes > mostFreeBytes) dropOne();
}

/** Of the size that most is kept of: what was wanted once gives way to what is wanted now. */
function dropOne(): void {
  let most: Buffer[] = [];
  let mostBytes = 0;
  for (const [power, free] of freeSlabs.entries()) {
    if (free.length << power <= mostBytes) continue;
    most = free;
    mostBytes = free.length << power;
  }
  freeBytes -= most.pop()?.length ?? 0;
}
