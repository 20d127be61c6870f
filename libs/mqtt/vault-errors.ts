/**
 * A write that the store refuses for what is in it, and would refuse every time: to be told from a store that is away. Whoever sent
 * it must hear that it is not taken, or would send it for ever.
 */
export function isRefused(error: unknown): boolean {
  return codeOf(error) === 'vault.refused';
}

/** A read, or a claim, that may be tried again: the store cannot be used now. */
export function isUnavailable(error: unknown): boolean {
  return codeOf(error) === 'vault.unavailable';
}

function codeOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, 'code') : undefined;
}
