/**
 * Where a body goes while it streams in.
 *
 * Used as: `write` for each piece, then `finish`; or `abandon` at any moment instead, also in the middle of another call
 * that was cancelled or failed. `abandon` leaves nothing behind, unless it is told to keep what there is.
 */
import type { Coroutine } from "fibril";
import type { AppendFile } from "./journal/append-file.ts";
import type { OutputStream } from "./output-stream.ts";

export interface BodySink {
  /** Told before the first piece. @param size Of the whole body, if that is known. */
  begin?(size: number | undefined): void;
  write(chunk: Uint8Array): Coroutine<void>;
  /** The body is complete. @returns the file that has it now, or `null`. */
  finish(completion?: Completion): Coroutine<string | null>;
  /** @param keep Leave what has arrived, to be continued another time. */
  abandon(keep?: boolean): Coroutine<void>;
}

export interface Completion {
  /** Of the whole body, in hexadecimal digits; `null` when nobody asked for it. */
  readonly sha256: string | null;
  /** What is appended when everything is written, just before the file gets its name. */
  readonly journal?: { readonly file: AppendFile; lineFor(path: string): string };
}

/** For a body that is only counted. */
export const NOWHERE: BodySink = {
  *write(): Coroutine<void> {},
  *finish(): Coroutine<null> {
    return null;
  },
  *abandon(): Coroutine<void> {},
};

/** The standard output; what was written there cannot be taken back. */
export class StreamSink implements BodySink {
  readonly #stream: OutputStream;

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  *write(chunk: Uint8Array): Coroutine<void> {
    yield* this.#stream.write(chunk);
  }

  *finish(): Coroutine<null> {
    return null;
  }

  *abandon(): Coroutine<void> {}
}
