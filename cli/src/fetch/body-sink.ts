/**
 * Where a body goes while it streams in.
 *
 * Used as: `write` for each piece, then `finish`; or `abandon` at any moment instead, also in the middle of another call
 * that was cancelled or failed. `abandon` leaves nothing behind.
 */
import { close, mkdir, open, rename, unlink, write } from "node:fs";
import { dirname } from "node:path";
import { Cancelled } from "fibril";
import type { Coroutine } from "fibril";
import { fileOperation } from "./file-operation.ts";
import type { OutputStream } from "./output-stream.ts";

export interface BodySink {
  /** Whether the body may begin anew after `abandon`. */
  readonly canRestart: boolean;
  write(chunk: Uint8Array): Coroutine<void>;
  /** The body is complete. @returns the file that has it now, or `null`. */
  finish(): Coroutine<string | null>;
  abandon(): Coroutine<void>;
}

/** For a body that is only counted. */
export const NOWHERE: BodySink = {
  canRestart: true,
  *write(): Coroutine<void> {},
  *finish(): Coroutine<null> {
    return null;
  },
  *abandon(): Coroutine<void> {},
};

/** The standard output; what was written there cannot be taken back. */
export class StreamSink implements BodySink {
  readonly #stream: OutputStream;
  #hasBegun = false;

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  get canRestart(): boolean {
    return !this.#hasBegun;
  }

  *write(chunk: Uint8Array): Coroutine<void> {
    this.#hasBegun = true;
    yield* this.#stream.write(chunk);
  }

  *finish(): Coroutine<null> {
    return null;
  }

  *abandon(): Coroutine<void> {}
}

/** A file that has its name only when it is complete: it is written beside that place as `name.part`, then renamed. */
export class FileSink implements BodySink {
  readonly canRestart = true;
  readonly #path: string;
  readonly #part: string;
  #descriptor: number | null = null;
  #exists = false;

  constructor(path: string) {
    this.#path = path;
    this.#part = `${path}.part`;
  }

  *write(chunk: Uint8Array): Coroutine<void> {
    const descriptor = this.#descriptor ?? (yield* this.#open());
    for (let offset = 0; offset < chunk.byteLength;) {
      const from = offset;
      offset += yield* fileOperation<number>(`write ${this.#part}`, (done) =>
        write(descriptor, chunk, from, chunk.byteLength - from, null, done),
      );
    }
  }

  *finish(): Coroutine<string> {
    if (this.#descriptor === null) yield* this.#open();
    yield* this.#close();
    yield* fileOperation<unknown>(`rename ${this.#part}`, (done) =>
      rename(this.#part, this.#path, (error) => {
        if (error === null) this.#exists = false;
        done(error, undefined);
      }),
    );
    return this.#path;
  }

  *abandon(): Coroutine<void> {
    try {
      if (this.#descriptor !== null) yield* this.#close();
    } catch (error) {
      if (error instanceof Cancelled) throw error; // the time for cleanup is over
    }
    if (!this.#exists) return;
    this.#exists = false;
    try {
      const part = this.#part;
      yield* fileOperation<unknown>(`remove ${part}`, (done) => unlink(part, (error) => done(error, undefined)));
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      // Somebody else has removed it, or nobody can; why the body was given up is what has to be told.
    }
  }

  *#open(): Coroutine<number> {
    try {
      return yield* this.#openNow();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      const folder = dirname(this.#part);
      yield* fileOperation<unknown>(`create folder ${folder}`, (done) => mkdir(folder, { recursive: true }, done));
      return yield* this.#openNow();
    }
  }

  *#openNow(): Coroutine<number> {
    this.#descriptor = yield* fileOperation<number>(`open ${this.#part}`, (done) => open(this.#part, "w", done));
    this.#exists = true;
    return this.#descriptor;
  }

  *#close(): Coroutine<void> {
    const descriptor = this.#descriptor!;
    this.#descriptor = null; // whatever close() says, the descriptor is gone
    yield* fileOperation<unknown>(`close ${this.#part}`, (done) =>
      close(descriptor, (error) => done(error ?? null, undefined)),
    );
  }
}
