/**
 * Whether a client takes what waits for it: one question, answered in two ways.
 *
 * Over HTTP/1.1 a response has the connection to itself, and the connection tells every byte (see `accepted-bytes.ts`).
 *
 * Over HTTP/2 many streams share one, each with a window that the client opens or not, and Node tells about a single stream only when
 * a write of it, which may be all of a large answer, has been taken as a whole. Bytes it counts for the connection; the time-outs of
 * `Http2Stream` look there as well, so one stream that moves hides all that do not. Hence, when no write of a stream was taken:
 *   1. Nothing was taken of the whole connection: nothing of the stream was, either.
 *   2. Something was, whoever's it is: the stream is given time by the size of what waits, and at least a few rounds.
 *   3. But if others took more than what waits here, and only the stream's own window can be in the way, then those rounds are not
 *      due: streams are served in turn, and this one has let its turns pass.
 * Rejected: to write in small pieces, which would tell more. Who writes is fastify, hono or the handler, and Node ends a stream after
 * the first piece that follows `end`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { acceptedBytes, queuedBytes } from "./accepted-bytes.ts";

export interface Sending {
  /** There is nothing to watch any more: all has gone out, or the end is on its way. What the client then still keeps open is closed. */
  isOver(): boolean;
  /** Whether the client has taken nothing since the last call, or since the beginning, although something waits for it. */
  hasStalled(): boolean;
  /** Lets go of what waits. The response closes. */
  cut(): void;
  /** Everything written so far was taken. */
  drained(): void;
}

/** Begins to watch. @returns `null` for a made request, as of a test, that has no connection, and for one whose connection is gone. */
export function sendingOf(request: IncomingMessage, response: ServerResponse): Sending | null {
  if (isHttp2(request)) {
    const { stream } = response as unknown as Http2Response;
    return stream.session === undefined || stream.session.destroyed ? null : new StreamSending(stream);
  }
  const socket = request.socket as Socket | null | undefined;
  return socket === null || socket === undefined ? null : new ConnectionSending(socket);
}

export function isHttp2(request: IncomingMessage | null): boolean {
  return request?.httpVersionMajor === 2;
}

class ConnectionSending implements Sending {
  readonly #socket: Socket;
  #accepted: number;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#accepted = acceptedBytes(socket);
  }

  isOver(): boolean {
    return this.#socket.destroyed; // another of its requests has cut it; "close" is on its way
  }

  hasStalled(): boolean {
    const accepted = acceptedBytes(this.#socket);
    const hasMoved = accepted !== this.#accepted;
    this.#accepted = accepted;
    // With nothing left to send it is not the client that keeps us waiting but a source, or the response before this one.
    return !hasMoved && this.#socket.writableLength > 0;
  }

  cut(): void {
    this.#socket.destroy(); // the rest follows from its "close"
  }

  drained(): void {}
}

interface Http2Response {
  readonly stream: ServerHttp2Stream;
}

/** What a stream has to take in each round, on average, while its connection moves: the window that streams have by default. */
const ROUND_BYTES = 64 * 1024;
/** At least so many rounds it has while it may only be that the others are in the way. */
const SHARED_ROUNDS = 10;
const NO_ERROR = 0; // RFC 9113 §7
const CANCEL = 8; // the only code with which Node emits no error

class StreamSending implements Sending {
  readonly #stream: ServerHttp2Stream;
  #waiting: number;
  #accepted: number;
  #window: number;
  #heard: number;
  /** Of the connection, when this stream was last seen to move. */
  #acceptedThen: number;
  #rounds = 0;
  #hasDrained = false;
  #isStuck = false;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
    this.#waiting = stream.writableLength;
    this.#accepted = this.#acceptedThen = acceptedByAll(stream);
    this.#window = windowOf(stream);
    this.#heard = socketOf(stream).bytesRead;
  }

  isOver(): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.session === undefined || stream.session.destroyed) return true;
    if (stream.state.localClose !== 1) return false;
    // The client has its answer, and keeps the stream open by not ending its request. RFC 9113 §8.1 says what to do.
    if (!stream.closed) stream.close(NO_ERROR);
    return true;
  }

  hasStalled(): boolean {
    const stream = this.#stream;
    const waiting = stream.writableLength;
    const accepted = acceptedByAll(stream);
    const window = windowOf(stream);
    const heard = socketOf(stream).bytesRead;
    const isMoving = this.#hasDrained || waiting !== this.#waiting || !waitsForClient(stream);
    // What is taken makes the window of the connection smaller. Of the same size again it is when the client has said so; else what was
    // sent was no data but heads and resets, which no window holds back.
    const hasConnectionMoved =
      accepted !== this.#accepted && (window !== this.#window || heard !== this.#heard || isQueuedOn(stream));
    this.#hasDrained = false;
    this.#waiting = waiting;
    this.#accepted = accepted;
    this.#window = window;
    this.#heard = heard;
    if (isMoving) {
      this.#rounds = 0;
      this.#acceptedThen = accepted;
      return false;
    }
    const isQueued = isQueuedOn(stream);
    this.#isStuck = isQueued && !hasConnectionMoved;
    if (!hasConnectionMoved) return true;
    const isKeptByOthers = isQueued || window <= 0 || accepted - this.#acceptedThen <= 2 * waiting + ROUND_BYTES;
    const rounds = Math.ceil(waiting / ROUND_BYTES);
    return ++this.#rounds >= (isKeptByOthers ? Math.max(rounds, SHARED_ROUNDS) : rounds);
  }

  /** A connection that takes nothing at all is cut as a whole: not even a reset would get through. */
  cut(): void {
    const stream = this.#stream;
    if (this.#isStuck) stream.session!.destroy();
    else {
      stream.close(CANCEL);
      stream.destroy(); // now, and not when the reset has gone out, which may wait behind others
    }
  }

  drained(): void {
    this.#hasDrained = true;
  }
}

/** With room left it is the source that keeps us waiting. */
function waitsForClient(stream: ServerHttp2Stream): boolean {
  return stream.writableEnded || stream.writableNeedDrain;
}

function socketOf(stream: ServerHttp2Stream): Socket {
  return stream.session!.socket as Socket;
}

/** Whether the system does not take what the connection would send. */
function isQueuedOn(stream: ServerHttp2Stream): boolean {
  return queuedBytes(socketOf(stream)) > 0;
}

function acceptedByAll(stream: ServerHttp2Stream): number {
  return acceptedBytes(socketOf(stream));
}

/** How much more the client lets the connection send. */
function windowOf(stream: ServerHttp2Stream): number {
  return stream.session!.state.remoteWindowSize ?? 0;
}
