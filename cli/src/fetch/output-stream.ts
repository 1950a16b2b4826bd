/**
 * The standard output for coroutines: who writes waits while the reader at the other end is slower.
 */
import type { Writable } from "node:stream";
import { Future } from "fibril";
import type { Coroutine } from "fibril";

/** Nobody reads the output any more (`fibril … | head`). */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** The output takes nothing any more, such as a file on a full disk. */
export class OutputFailed extends Error {
  override readonly name = "OutputFailed";
}

export class OutputStream {
  readonly #stream: Writable;
  /** Set while the stream has more than it wants. */
  #drained: Future<void> | null = null;
  #failure: Error | null = null;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("drain", this.#drain).on("error", this.#fail);
  }

  /**
   * Writes, and then waits until there is room for more. What was given is written even when the wait is cancelled.
   * @throws {OutputClosed} when nobody reads any more.
   * @throws {OutputFailed} when the stream fails otherwise.
   */
  *write(data: string | Uint8Array): Coroutine<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#accepts(data)) return;
    this.#drained ??= new Future<void>({ name: "room in the standard output", external: true });
    yield* this.#drained;
  }

  /** A file that is the standard output is written at once, and throws. */
  #accepts(data: string | Uint8Array): boolean {
    try {
      return this.#stream.write(data);
    } catch (error) {
      this.#fail(error as NodeJS.ErrnoException);
      throw this.#failure!;
    }
  }

  /** Takes the listeners away; what was written still goes out. */
  release(): void {
    this.#stream.off("drain", this.#drain).off("error", this.#fail);
  }

  readonly #drain = (): void => {
    this.#drained?.resolve();
    this.#drained = null;
  };

  readonly #fail = (error: NodeJS.ErrnoException): void => {
    this.#failure =
      error.code === "EPIPE"
        ? new OutputClosed("nobody reads the output any more")
        : new OutputFailed(`cannot write the output: ${error.message}`, { cause: error });
    this.#drained?.reject(this.#failure);
    this.#drained = null;
  };
}
