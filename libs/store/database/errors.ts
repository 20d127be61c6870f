/** What can go wrong in the store, in words of its own: nobody above it sees an error of Prisma's or of PostgreSQL's driver. */
import { codeOf, messageOf } from './error-code.js';
import { Prisma } from '../generated/client.js';

export type StoreErrorCode =
  | 'store.unavailable' // no connection, none to be had in time, or PostgreSQL cannot work now; worth trying again
  | 'store.contention' // lost against another transaction (deadlock, serialisation); worth trying again
  | 'store.unique' // a unique constraint, named
  | 'store.reference' // a foreign key, named
  | 'store.check' // a check constraint, named: bad input that got past its parser
  | 'store.not-found' // the row to change or delete is not there, or not this tenant's
  | 'store.refused' // row-level security or a missing right: an error of ours
  | 'store.failure'; // anything else: an error of ours

export class StoreError extends Error {
  override readonly name = 'StoreError';

  constructor(
    readonly code: StoreErrorCode,
    message: string,
    /** Name of the constraint that was violated, where one was. */
    readonly constraint: string | undefined,
    cause: unknown,
  ) {
    super(message, { cause });
  }
}

/** Whether another transaction was faster, so that the same work may end otherwise when it is done again. */
export function wasOvertaken(error: unknown): boolean {
  return (
    error instanceof StoreError && (error.code === 'store.reference' || error.code === 'store.contention')
  );
}

export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return (
    error instanceof StoreError &&
    error.code === 'store.unique' &&
    (constraint === undefined || error.constraint === constraint)
  );
}

/** Gives work's own errors back as they are, the database's as a StoreError. */
export async function withStoreErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toStoreError(error);
  }
}

/** Anything that is not the database's comes back unchanged. */
export function toStoreError(error: unknown): unknown {
  if (error instanceof StoreError) return error;
  const failure = databaseFailure(error);
  if (failure === undefined) return error;
  const code =
    failure.sqlState === undefined ? codeOfPrisma(failure.prismaCode) : codeOfSqlState(failure.sqlState);
  const constraint = failure.sqlState === '23514' ? lastWord(failure.message) : failure.constraint;
  return new StoreError(code, describe(code, constraint, failure), constraint, error);
}

interface DatabaseFailure {
  readonly sqlState: string | undefined;
  readonly prismaCode: string | undefined;
  readonly constraint: string | undefined;
  readonly message: string;
}

function databaseFailure(error: unknown): DatabaseFailure | undefined {
  if (
    error instanceof Prisma.PrismaClientKnownRequestError ||
    error instanceof Prisma.PrismaClientUnknownRequestError ||
    error instanceof Prisma.PrismaClientInitializationError ||
    error instanceof Prisma.PrismaClientRustPanicError ||
    error instanceof Prisma.PrismaClientValidationError
  ) {
    const prismaCode = error instanceof Prisma.PrismaClientKnownRequestError ? error.code : undefined;
    const meta = error instanceof Prisma.PrismaClientKnownRequestError ? error.meta : undefined;
    return adapterFailure(field(meta, 'driverAdapterError'), prismaCode) ?? plainFailure(prismaCode);
  }
  return adapterFailure(error, undefined) ?? driverFailure(error);
}

/** What @prisma/adapter-pg throws: { name: 'DriverAdapterError', cause: { kind, originalCode, originalMessage, … } }. */
function adapterFailure(error: unknown, prismaCode: string | undefined): DatabaseFailure | undefined {
  if (field(error, 'name') !== 'DriverAdapterError') return undefined;
  const cause = field(error, 'cause');
  const kind = text(field(cause, 'kind'));
  const unreachable = kind !== undefined && unreachableKinds.has(kind);
  return {
    sqlState:
      text(field(cause, 'originalCode')) ?? text(field(cause, 'code')) ?? (unreachable ? '08006' : undefined),
    prismaCode,
    constraint: text(field(field(cause, 'constraint'), 'index')),
    message: text(field(cause, 'originalMessage')) ?? '',
  };
}

const unreachableKinds = new Set([
  'DatabaseNotReachable',
  'ConnectionClosed',
  'SocketTimeout',
  'TlsConnectionError',
  'TooManyConnections',
]);

/** What plain pg throws: a DatabaseError with an SQLSTATE, a system error, or a sentence about the connection. */
function driverFailure(error: unknown): DatabaseFailure | undefined {
  const code = codeOf(error);
  const message = messageOf(error);
  if (code !== undefined && text(field(error, 'severity')) !== undefined)
    return {
      sqlState: code,
      prismaCode: undefined,
      constraint: text(field(error, 'constraint')),
      message,
    };
  const systemError = code !== undefined && text(field(error, 'syscall')) !== undefined;
  if (systemError || connectionSentences.has(message))
    return { sqlState: '08006', prismaCode: undefined, constraint: undefined, message };
  return undefined;
}

// pg gives these no code.
const connectionSentences = new Set([
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'timeout exceeded when trying to connect',
  'Query read timeout',
]);

function plainFailure(prismaCode: string | undefined): DatabaseFailure {
  return { sqlState: undefined, prismaCode, constraint: undefined, message: '' };
}

function codeOfSqlState(state: string): StoreErrorCode {
  switch (state) {
    case '23505':
      return 'store.unique';
    case '23503':
    case '23001':
      return 'store.reference';
    case '23502':
    case '23514':
    case '22P02':
    case '22001':
    case '22003':
    case '22021': // a NUL in a text
    case '22P05':
      return 'store.check';
    case '40001':
    case '40P01':
    case '55P03': // lock_timeout
      return 'store.contention';
    case '42501':
      return 'store.refused';
    case '25006': // read-only: a replica, or on its way to be one
    case '57014': // statement_timeout
    case '25P03': // idle in transaction for too long
    case '28P01': // wrong password: nothing a caller could do
    case '28000':
    case '3D000':
      return 'store.unavailable';
    default:
      // 08 connection, 53 out of resources (disk full, too many connections), 57P shutting down or starting, 58 system error.
      return /^(08|53|57P|58)/.test(state) ? 'store.unavailable' : 'store.failure';
  }
}

function codeOfPrisma(code = ''): StoreErrorCode {
  switch (code) {
    case 'P1000':
    case 'P1001':
    case 'P1002':
    case 'P1003':
    case 'P1008':
    case 'P1010':
    case 'P1011':
    case 'P1017':
    case 'P2024':
    case 'P2028': // a transaction that could not begin in time, or took too long
    case 'P2037':
      return 'store.unavailable';
    case 'P2002':
      return 'store.unique';
    case 'P2003':
      return 'store.reference';
    case 'P2018':
    case 'P2025':
      return 'store.not-found';
    case 'P2034':
      return 'store.contention';
    default:
      return 'store.failure';
  }
}

/** Never the database's own text: it may quote the values that were written. */
function describe(code: StoreErrorCode, constraint: string | undefined, failure: DatabaseFailure): string {
  const origin = failure.sqlState ?? failure.prismaCode;
  const suffix = origin === undefined ? '' : ` (${origin})`;
  if (constraint !== undefined) return `the database refuses the row: ${constraint}${suffix}`;
  return `${sentences[code]}${suffix}`;
}

const sentences: Readonly<Record<StoreErrorCode, string>> = {
  'store.unavailable': 'the database cannot be used now',
  'store.contention': 'another transaction was in the way',
  'store.unique': 'the row exists already',
  'store.reference': 'the row refers to, or is referred to by, another',
  'store.check': 'the database refuses a value',
  'store.not-found': 'the row is not there',
  'store.refused': 'the database refuses the statement to this role',
  'store.failure': 'the database statement failed',
};

/** A check constraint's name comes last in PostgreSQL's sentence, and nowhere else in what the adapter passes on. */
function lastWord(sentence: string): string | undefined {
  return /([a-z0-9_]+)\W*$/.exec(sentence)?.[1];
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
