/**
 * What Node's own streams use of a TCP connection: its handle, and the requests and results that go with it. None of it is documented.
 * Where something is missing, or the process may not have it, there is no binding, and connections are Node's sockets (`socket-link.ts`).
 */
import { getSystemErrorName } from 'node:util';

/** libuv's UV_EOF, the same everywhere. */
export const endOfFile = -4095;

/** One thing that was asked of a handle, until it is done; negative statuses are the system's errors. */
export interface Request {
  oncomplete?: (this: this, status: number) => void;
}

/** A TCP connection as libuv has it. What returns a number returns 0, or the system's error, which is negative. */
export interface TcpHandle {
  /** Called for each read; what it returns is where the next one goes, undefined for where this one went. */
  onread: ((this: never) => Uint8Array | undefined) | undefined;
  /** Its reads go to there, which whoever gives it holds on to. */
  useUserBuffer(memory: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: Request, chunk: Uint8Array): number;
  writev(request: Request, chunks: readonly Uint8Array[], areBuffers: true): number;
  /** Sends what is written and that it was the last. */
  shutdown(request: Request): number;
  getpeername(answer: { address?: string; port?: number }): number;
  setNoDelay(isOn: boolean): number;
  setKeepAlive(isOn: boolean, afterS: number): number;
  close(closed?: (this: never) => void): void;
  /** As `close`, and the peer is told that the connection was cut. */
  reset(closed?: () => void): number;
}

export interface StreamBinding {
  readonly WriteWrap: new () => Request;
  readonly ShutdownWrap: new () => Request;
  /** What the last read or write of any handle came to, at the places below. */
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

export const streamBinding = load();

function load(): StreamBinding | undefined {
  try {
    const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamBinding> };
    const found = binding?.('stream_wrap') ?? {};
    const { WriteWrap, ShutdownWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found;
    if (WriteWrap === undefined || ShutdownWrap === undefined || streamBaseState === undefined)
      return undefined;
    if (kReadBytesOrError === undefined || kLastWriteWasAsync === undefined) return undefined;
    return { WriteWrap, ShutdownWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync };
  } catch {
    return undefined;
  }
}

const methods = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeBuffer',
  'writev',
  'shutdown',
  'getpeername',
  'setNoDelay',
  'setKeepAlive',
  'close',
  'reset',
] as const satisfies readonly (keyof TcpHandle)[];

/** Whether it is as it is known here. */
export function isTcpHandle(handle: unknown): handle is TcpHandle {
  return hasMethods(handle, methods) && 'onread' in handle;
}

/** Whether it is an object that can do all of this. */
export function hasMethods(it: unknown, names: readonly string[]): it is object {
  if (typeof it !== 'object' || it === null) return false;
  return names.every((name) => typeof (it as Record<string, unknown>)[name] === 'function');
}

/** As Node's own. */
export function systemError(call: string, status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: status, syscall: call });
}
