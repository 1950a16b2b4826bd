/**
 * How much of what was written to a connection the system has taken: the sign that a client still reads.
 *
 * `socket.bytesWritten` counts what waits in the process too, and `writableLength` does not move before the whole of a write is gone,
 * which may be all of a large answer. The handle under the socket knows how much of that is left; Node's own time-out for sockets looks
 * there as well. With TLS it is the handle under that of TLS, which does not move before the whole is gone either. Nothing documented
 * does, so where the handle is another one only whole writes count.
 */
import type { Socket } from "node:net";

interface Handle {
  readonly bytesWritten?: number;
  readonly writeQueueSize?: number;
  /** Of the handle of TLS: the one below. */
  readonly _parent?: Handle | null;
}

/** A number that changes whenever something was taken. */
export function acceptedBytes(socket: Socket): number {
  const { bytesWritten, writeQueueSize } = handleOf(socket);
  if (bytesWritten === undefined || writeQueueSize === undefined) return socket.bytesWritten - socket.writableLength;
  return bytesWritten - writeQueueSize;
}

/** How much the system has yet to take. */
export function queuedBytes(socket: Socket): number {
  return handleOf(socket).writeQueueSize ?? socket.writableLength;
}

function handleOf(socket: Socket): Handle {
  const handle = (socket as unknown as { readonly _handle?: Handle | null })._handle ?? NONE;
  const below = handle._parent ?? NONE;
  return below.writeQueueSize === undefined ? handle : below;
}

const NONE: Handle = {};
