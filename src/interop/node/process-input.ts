/**
 * The stdin of a process.
 *
 * A write waits for room before it hands its bytes over, so a cancelled one has written nothing, and the pipe holds at most one
 * chunk more than its mark. Unlike a `StreamWriter`, an error that nobody has asked about is dropped: a process that does not want
 * its input (`head -1`) is nothing unusual, and how it ends says whether it went well.
 */
import type { Writable } from "node:stream";
import { describeValue, QueuedWait, UsageError, WaitQueue } from "../../core/index.ts";
import type { Operation, Started, Waiter } from "../../core/index.ts";
import { ProcessInputError } from "./process-errors.ts";

export interface ProcessInputStatistics {
  /** Tasks that wait for room. */
  readonly waiting: number;
  /** Bytes that the process has not taken yet, as far as this side knows. */
  readonly buffered: number;
}

export class ProcessInput {
  /** For people: `stdin of "git"`. */
  readonly name: string;
  readonly #stream: Writable;
  readonly #line = new WaitQueue<void, InputWrite>();
  readonly #ends = new WaitQueue<void>();
  /** `ending`: no more writes are admitted; it ends after those that stand in line. */
  #state: "open" | "ending" | "finished" | "lost" = "open";
  #error: Error | undefined = undefined;

  /** @internal */
  constructor(stream: Writable, name: string) {
    this.name = name;
    this.#stream = stream;
    stream.on("drain", () => this.#drained());
    stream.on("error", (error) => (this.#error ??= error)); // "close" follows
    stream.on("close", () => this.#closed());
  }

  /**
   * Waits until there is room, then hands the bytes to the pipe. First come first served. Cancelling writes nothing. Whether the
   * process reads them nobody knows.
   *
   * @throws {ProcessInputError} when the process has closed its stdin or ended, and after `end`.
   * @example
   * yield* process.stdin.write("line\n");
   */
  write(chunk: string | Uint8Array): Operation<void> {
    if (typeof chunk !== "string" && !(chunk instanceof Uint8Array)) {
      throw new UsageError(`${this.name} takes a string or bytes, got ${describeValue(chunk)}`);
    }
    return new InputWrite(this, this.#line, chunk);
  }

  /**
   * Closes the stdin of the process after the writes that stand in line, and waits until the pipe has taken everything.
   * No further writes are admitted from the `yield*` on. Cancelling does not take that back. Calling it again is fine.
   *
   * @throws {ProcessInputError} when the process ended or closed its stdin before it had everything.
   */
  end(): Operation<void> {
    return new InputEnd(this, this.#ends);
  }

  statistics(): ProcessInputStatistics {
    return Object.freeze({ waiting: this.#line.size, buffered: this.#stream.writableLength });
  }

  /** Closes the pipe and drops what it holds. @internal */
  destroy(): void {
    this.#stream.destroy();
  }

  /** @internal */
  serveWrite(task: Waiter, wait: InputWrite): Started<void> | null {
    if (this.#state !== "open" || this.#stream.destroyed) return task.fail(wait, this.#failure());
    if (this.#line.size > 0 || this.#stream.writableNeedDrain) return null;
    this.#stream.write(wait.chunk);
    return task.complete(wait, undefined);
  }

  /** @internal */
  serveEnd(task: Waiter, wait: InputEnd): Started<void> | null {
    if (this.#state === "finished") return task.complete(wait, undefined);
    if (this.#state === "lost") return task.fail(wait, this.#failure());
    this.#state = "ending";
    this.endIfDrained();
    return null;
  }

  /** @internal */
  endIfDrained(): void {
    if (this.#state === "ending" && this.#line.size === 0) this.#stream.end(); // "close" follows
  }

  #drained(): void {
    while (this.#line.size > 0 && !this.#stream.writableNeedDrain && !this.#stream.destroyed) {
      const entry = this.#line.shift()!;
      this.#stream.write(entry.chunk);
      entry.end();
    }
    this.endIfDrained();
  }

  #closed(): void {
    const hasAll = this.#error === undefined && this.#stream.writableLength === 0 && this.#line.size === 0;
    this.#state = hasAll ? "finished" : "lost";
    this.#line.breakAll(this.#failure());
    if (hasAll) this.#ends.unpark(this.#ends.size);
    else this.#ends.breakAll(this.#failure());
  }

  #failure(): ProcessInputError {
    return new ProcessInputError(this.name, this.#error === undefined ? {} : { cause: this.#error });
  }
}

class InputWrite extends QueuedWait<void> {
  readonly chunk: string | Uint8Array;
  readonly #input: ProcessInput;

  constructor(input: ProcessInput, line: WaitQueue<void, InputWrite>, chunk: string | Uint8Array) {
    super(line);
    this.#input = input;
    this.chunk = chunk;
  }

  get reason(): string {
    return `room in ${this.#input.name}`;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.#input.serveWrite(task, this);
  }

  protected override left(): void {
    this.#input.endIfDrained();
  }
}

class InputEnd extends QueuedWait<void> {
  readonly #input: ProcessInput;

  constructor(input: ProcessInput, ends: WaitQueue<void>) {
    super(ends);
    this.#input = input;
  }

  get reason(): string {
    return `end of ${this.#input.name}`;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.#input.serveEnd(task, this);
  }
}
