import { pino, stdSerializers, type DestinationStream, type Logger as Pino } from 'pino';
import type { LogLevel } from './settings.js';

/** What a line says beside its event: `tenant` and `client` wherever there is one; an exception goes under `err`. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * One JSON line a fact, the event's name first (`connection.refused`), then its fields. Values under a name that belongs to
 * a secret are masked. Guard costly fields on a hot path with `isDebug`: arguments are built even where nothing is written.
 */
export interface Logger {
  readonly isDebug: boolean;
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  /** A logger that adds these fields to every line. */
  child(fields: Fields): Logger;
}

const secretNames = [
  'password',
  'secret',
  'secretKey',
  'secretHash',
  'key',
  'keyHash',
  'apiKey',
  'adminKey',
  'privateKey',
  'token',
  'authorization',
  'cookie',
  'databaseUrl',
  'connectionString',
];

/** Down to the third level, where `headers.authorization` and `options.tls.key` are. */
const secretPaths = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** `app` names the process on every line. Without a destination lines go to standard output, at once. */
export function createLogger(app: string, level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { app },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: serializeError },
    // Away from `err`: under this key pino would copy the message, unmasked, into a field of its own.
    errorKey: 'exception',
    redact: { paths: secretPaths, censor: '[secret]' },
  };
  // Synchronous: pino writes what waits when the process exits, and where the reader is gone (a supervisor that was killed) it
  // tries again for ever. Nothing waits here, and a broken pipe is the end of the log only.
  return wrap(pino(options, destination ?? pino.destination({ fd: 1, sync: true })));
}

/** For tests and tools that have nothing to say. */
export function silentLogger(): Logger {
  return createLogger('silent', 'silent');
}

function wrap(inner: Pino): Logger {
  return {
    isDebug: inner.isLevelEnabled('debug'),
    debug: (event, fields) => inner.debug({ event, ...fields }),
    info: (event, fields) => inner.info({ event, ...fields }),
    warn: (event, fields) => inner.warn({ event, ...fields }),
    error: (event, fields) => inner.error({ event, ...fields }),
    child: (fields) => wrap(inner.child(fields)),
  };
}

/** Drivers put connection strings into their messages: whatever stands before the @ of a URL is masked. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack, code } = stdSerializers.err(error);
  return { type, code, message: maskUrls(message), stack: maskUrls(stack) };
}

function maskUrls(text: string): string {
  return text.replace(/\b([a-z][a-z0-9+]*:\/\/)[^\s/@]*@/gi, '$1[secret]@');
}
