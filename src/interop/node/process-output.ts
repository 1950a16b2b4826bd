/**
 * What a process writes, as a bounded sequence of bytes or lines.
 *
 * The bound is the pipe's: Node reads one buffer ahead (64 KB), the system holds another, and then the process has to
 * wait until somebody reads. So who does not want the output says so, with `"ignore"` or `close()`.
 */
import type { Readable } from "node:stream";
import { TextDecoder } from "node:util";
import { describeValue, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation, Sequence } from "../../core/index.ts";
import { nothing } from "../scope-closing.ts";
import { ProcessOutputLimitError } from "./process-errors.ts";
import { fromReadable } from "./readable.ts";

export interface LineOptions {
  /** A name that `TextDecoder` knows. Bytes that are wrong become U+FFFD. Default: `"utf-8"`. */
  readonly encoding?: string;
  /** A longer line fails the sequence. Default: 1 MiB, counted in characters. */
  readonly maxLineLength?: number;
}

export class ProcessOutput implements Sequence<Uint8Array> {
  /** For people: `stdout of "git"`. */
  readonly name: string;
  readonly #stream: Readable;
  readonly #chunks: Sequence<Uint8Array>;

  /** @internal */
  constructor(stream: Readable, name: string) {
    this.name = name;
    this.#stream = stream;
    stream.on("error", ignore); // told to who reads; without a reader it must not end this process
    this.#chunks = fromReadable<Uint8Array>(stream, { name, destroy: false });
  }

  /** Waits for the next bytes, as they come, or for the end. Cancelling takes none. Several tasks may take turns. */
  next(): Operation<IteratorResult<Uint8Array, undefined>> {
    return this.#chunks.next();
  }

  /** Throws away what is there and what will come, so that the process need not wait. By the call; the operation is done. */
  close(): Operation<void> {
    void this.#chunks.close!();
    this.#stream.resume();
    return nothing();
  }

  /**
   * The lines, without their ends (`\n` or `\r\n`); a last one without an end counts. Take either lines or bytes: the lines keep
   * what they have read ahead. Cancelling a `next` takes nothing. One task at a time.
   *
   * @throws {ProcessOutputLimitError} at `next`, for a line that is too long.
   * @example
   * const lines = process.stdout.lines();
   * for (let line = yield* lines.next(); !line.done; line = yield* lines.next()) handle(line.value);
   */
  lines(options: LineOptions = {}): Sequence<string> {
    return new Lines(this, options);
  }

  /** Closes the pipe from this side. @internal */
  destroy(): void {
    this.#stream.destroy();
  }
}

const LONGEST_LINE = 2 ** 20;

class Lines implements Sequence<string> {
  readonly #output: ProcessOutput;
  readonly #maxLength: number;
  readonly #decoder: TextDecoder;
  readonly #ready: string[] = [];
  #rest = "";
  #hasEnded = false;

  constructor(output: ProcessOutput, options: LineOptions) {
    const { encoding = "utf-8", maxLineLength = LONGEST_LINE } = options;
    if (typeof maxLineLength !== "number" || !(maxLineLength > 0)) {
      throw new UsageError(`maxLineLength must be a positive number, got ${describeValue(maxLineLength)}`);
    }
    this.#output = output;
    this.#maxLength = maxLineLength;
    try {
      this.#decoder = new TextDecoder(encoding);
    } catch (error) {
      throw new UsageError(`lines() cannot decode ${describeValue(encoding)}`, "USAGE", { cause: error });
    }
  }

  // What a cancelled call has read stays in the object.
  *next(): Coroutine<IteratorResult<string, undefined>> {
    for (;;) {
      const line = this.#ready.shift();
      if (line !== undefined) return { done: false, value: line };
      if (this.#rest.length > this.#maxLength) {
        const advice = "raise maxLineLength, or take the bytes";
        throw new ProcessOutputLimitError(`a line of ${this.#output.name}`, this.#maxLength, advice);
      }
      if (this.#hasEnded) return { done: true, value: undefined };
      const chunk = yield* this.#output.next();
      if (chunk.done === true) this.#end();
      else this.#split(this.#rest + this.#decoder.decode(chunk.value, { stream: true }));
    }
  }

  close(): Operation<void> {
    this.#ready.length = 0;
    this.#rest = "";
    this.#hasEnded = true;
    return this.#output.close();
  }

  #split(text: string): void {
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      this.#ready.push(text.slice(start, end > start && text[end - 1] === "\r" ? end - 1 : end));
      start = end + 1;
    }
    this.#rest = text.slice(start);
  }

  #end(): void {
    this.#hasEnded = true;
    this.#split(this.#rest + this.#decoder.decode());
    if (this.#rest !== "") this.#ready.push(this.#rest);
    this.#rest = "";
  }
}

function ignore(): void {}
