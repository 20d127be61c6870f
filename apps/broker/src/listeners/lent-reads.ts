/**
 * Into which memory TCP sockets are read. Node makes 64 KiB for every read of a socket, whatever comes, and hands it on through a
 * stream: for a small packet, that was a seventh of all that the broker did for it (bench/history.md). Here all sockets are
 * read into one piece of memory, which whoever receives it has until it returns; and the rest of a large frame is read to
 * where it belongs.
 *
 * `onread` is net.Socket's own way to do so, but a server makes its sockets without it. So the handle of an accepted socket is
 * taken over by a new one. `_handle` and `handle` are not documented; where Node does not have them as they are known here, the
 * socket goes on as it is and reads by its stream.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';

export interface LentReader {
  /** The memory of the bytes is used again as soon as this returns, where it is not `place`'s. */
  received(bytes: Buffer): void;
  /** Where what comes next belongs. Undefined: nowhere in particular. */
  place(): Buffer | undefined;
}

/** Several times what Node reads at once: whoever sends much is read in fewer system calls. */
const lent = Buffer.allocUnsafeSlow(256 * 1024);

interface Handle {
  readonly useUserBuffer?: unknown;
}

/** The socket in which the connection goes on; undefined: in the one that there is. */
export function lendReads(accepted: Socket, reader: LentReader): Socket | undefined {
  if (accepted.bytesRead > 0) return undefined; // what it has read is in its stream
  const owner = accepted as unknown as { _handle: Handle | null | undefined };
  const handle = owner._handle;
  if (typeof handle?.useUserBuffer !== 'function') return undefined;
  owner._handle = null;
  const options: unknown = {
    handle,
    onread: {
      buffer: (): Buffer => reader.place() ?? lent,
      callback: (length: number, buffer: Uint8Array): boolean => {
        reader.received(Buffer.from(buffer.buffer, buffer.byteOffset, length));
        return true;
      },
    },
  };
  return new Socket(options as SocketConstructorOpts);
}
