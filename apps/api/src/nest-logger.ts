import type { LoggerService } from '@nestjs/common';
import type { Logger } from '#process';

/** Nest's own words in our log: its start-up notes at debug, its warnings and errors as they are. */
export function nestLogger(log: Logger): LoggerService {
  const fields = (message: unknown, rest: readonly unknown[]): Record<string, unknown> => ({
    message: message instanceof Error ? message.message : message,
    ...(message instanceof Error ? { err: message } : {}),
    context: rest.at(-1),
  });
  return {
    log: (message, ...rest: unknown[]) => log.debug('nest.note', fields(message, rest)),
    debug: (message, ...rest: unknown[]) => log.debug('nest.note', fields(message, rest)),
    verbose: (message, ...rest: unknown[]) => log.debug('nest.note', fields(message, rest)),
    warn: (message, ...rest: unknown[]) => log.warn('nest.warning', fields(message, rest)),
    error: (message, ...rest: unknown[]) => log.error('nest.error', fields(message, rest)),
    fatal: (message, ...rest: unknown[]) => log.error('nest.error', fields(message, rest)),
  };
}
