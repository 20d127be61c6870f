/** A reason not to start that a person can act on: shown as one line, without a stack. */
export class StartupError extends Error {
  override readonly name = 'StartupError';

  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
