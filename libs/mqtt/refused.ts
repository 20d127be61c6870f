/**
 * A write that the store refuses for what is in it, and would refuse every time: to be told from a store that is away. Whoever sent
 * it must hear that it is not taken, or would send it for ever.
 */
export function isRefused(error: Error): boolean {
  return Reflect.get(error, 'code') === 'vault.refused';
}
