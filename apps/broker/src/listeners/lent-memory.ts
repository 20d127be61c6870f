/** The piece of memory that all connections are read into: whoever receives it has it until it returns. */

/** Several times what Node reads at once: whoever sends much is read in fewer system calls. */
export const lent = Buffer.allocUnsafeSlow(256 * 1024);

/** One for each length that small reads have: to make a view costs as much as to read a small packet. */
const views: (Buffer | undefined)[] = [];
const mostViews = 1_024;

export function viewOfLent(length: number): Buffer {
  if (length > mostViews) return lent.subarray(0, length);
  return (views[length] ??= lent.subarray(0, length));
}
