/**
 * TCP sockets are written to past their streams. The kernel nearly always takes all that is written at once; for that Node's stream
 * makes a request, an entry in its state and a callback in the next tick, which was a tenth to a quarter of what the broker did
 * for a message (bench/history.md, decision 0014). Here a request is made only when the kernel has left something.
 *
 * `_handle` and the binding with its requests are not documented; where Node does not have them as they are known here, sockets
 * are written to by their streams.
 */
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';

export interface DirectWriter {
  /** The kernel has taken the bytes it had left before, or never will. */
  written(error: Error | undefined): void;
}

interface Request {
  oncomplete?: (this: Request, status: number) => void;
  writer?: DirectWriter;
  /** Held on to until they are written. */
  chunks?: readonly Buffer[];
}

interface Handle {
  writeBuffer?(request: Request, chunk: Buffer): number;
  writev?(request: Request, chunks: readonly Buffer[], areBuffers: true): number;
}

interface StreamBinding {
  readonly WriteWrap: new () => Request;
  readonly streamBaseState: Int32Array;
  readonly kLastWriteWasAsync: number;
}

const binding = streamBinding();
/** One that Node has not looked at, since the kernel took everything. */
let spare: Request | undefined;

/**
 * Nothing may wait in the socket. Returns whether all is written or the socket is destroyed; false: some of it waits, and the writer
 * will be told. Undefined: it has to go by the stream.
 */
export function writeDirectly(
  socket: Socket,
  chunks: readonly Buffer[],
  writer: DirectWriter,
): boolean | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: Handle | null };
  if (binding === undefined || handle?.writeBuffer === undefined || handle.writev === undefined)
    return undefined;
  const request = spare ?? new binding.WriteWrap();
  spare = undefined;
  const [first] = chunks;
  const status =
    chunks.length === 1 && first !== undefined
      ? handle.writeBuffer(request, first)
      : handle.writev(request, chunks, true);
  if (status !== 0) {
    socket.destroy(writeError(status));
    return true;
  }
  if (binding.streamBaseState[binding.kLastWriteWasAsync] === 0) {
    spare = request;
    return true;
  }
  request.oncomplete = onComplete;
  request.writer = writer;
  request.chunks = chunks;
  return false;
}

function onComplete(this: Request, status: number): void {
  this.writer?.written(status < 0 ? writeError(status) : undefined);
}

/** As Node's own. */
function writeError(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: 'write' });
}

function streamBinding(): StreamBinding | undefined {
  try {
    const { binding: load } = process as unknown as { binding?: (name: string) => Partial<StreamBinding> };
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = load?.('stream_wrap') ?? {};
    if (WriteWrap === undefined || streamBaseState === undefined || kLastWriteWasAsync === undefined) {
      return undefined;
    }
    return { WriteWrap, streamBaseState, kLastWriteWasAsync };
  } catch {
    return undefined; // there is none, or the process may not have it: streams do as well
  }
}
