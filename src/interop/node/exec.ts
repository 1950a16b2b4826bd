/**
 * A program from its start to its end, with all that it says: `spawnProcess` for the ordinary case.
 *
 * It has a scope of its own, so a timeout, an abort, too much output and a failing callback are all the same: the scope is
 * cancelled and the process is stopped, then the error goes on. Input, stdout and stderr are three tasks, so that none of the pipes
 * can fill up while another one is looked after.
 */
import {
  closeSequence,
  describeValue,
  isOperation,
  Scope,
  sequenceOf,
  TimeoutError,
  until,
  UsageError,
} from "../../core/index.ts";
import type { Coroutine, Operation, SequenceSource } from "../../core/index.ts";
import { checkSignal, unwatchSignal, watchSignal } from "../signal-watch.ts";
import { checkCommand, spawnProcess } from "./process.ts";
import type { SpawnProcessOptions } from "./process.ts";
import { ProcessError, ProcessInputError, ProcessOutputLimitError } from "./process-errors.ts";
import type { ProcessExit } from "./process-errors.ts";
import type { ProcessInput } from "./process-input.ts";
import type { ProcessOutput } from "./process-output.ts";

/** Takes output as it comes. When it returns an operation or a promise, that is awaited before more is read. */
export type OutputHandler = (chunk: Uint8Array) => Operation<void> | PromiseLike<void> | void;

export interface ExecOptions extends Pick<
  SpawnProcessOptions,
  "cwd" | "env" | "shell" | "graceMs" | "ownGroup" | "name"
> {
  /**
   * For its stdin. A process that does not read it all is no failure; when it has ended, the source is closed.
   * Default: none, stdin is ignored.
   */
  readonly input?: string | Uint8Array | SequenceSource<string | Uint8Array>;
  /** How long it may take, in milliseconds. Default: for ever. */
  readonly timeoutMs?: number;
  /** How much it may write to stdout, and how much to stderr. Default: 16 MiB; `Infinity` is allowed. */
  readonly maxOutputBytes?: number;
  /** Of stdout and stderr in the result; `"bytes"` for `Uint8Array`s. Default: `"utf8"`. */
  readonly encoding?: BufferEncoding | "bytes";
  /** Stops the process when it aborts. */
  readonly signal?: AbortSignal;
  /** Whether it is a failure to end with a code other than 0, or by a signal. Default: `true`. */
  readonly check?: boolean;
  /** Gets stdout instead of the result, without a limit. */
  readonly onStdout?: OutputHandler;
  /** Gets stderr instead of the result, without a limit. The message of a `ProcessError` still has its end. */
  readonly onStderr?: OutputHandler;
}

export interface ExecResult<Output extends string | Uint8Array = string> extends ProcessExit {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly durationMs: number;
}

const DEFAULT_MAX_OUTPUT_BYTES = 16 * 2 ** 20;
const TAIL_BYTES = 2_048; // of stderr, in the message of an error

/**
 * Runs a program, without a shell, waits until it has ended and closed its output, and returns what it wrote.
 *
 * Cancelling stops it (SIGTERM to its group, SIGKILL after `graceMs`) and waits for its end; its output is lost. What it has
 * started and left behind is stopped, too.
 * @throws {ProcessError} when it ends with a code other than 0 or by a signal; not with `check: false`.
 * @throws {ProcessSpawnError} when it cannot be started.
 * @throws {TimeoutError} after `timeoutMs`; it has been stopped then.
 * @throws {ProcessOutputLimitError} when it writes more than `maxOutputBytes`; it has been stopped then.
 * @throws the reason of `signal`, the very value, when that aborts; it has been stopped then.
 * @throws {UsageError} for wrong arguments.
 * @example
 * const { stdout } = yield* exec("git", ["rev-parse", "HEAD"], { timeoutMs: 5_000 });
 */
export function exec(
  command: string,
  args: readonly string[],
  options: ExecOptions & { readonly encoding: "bytes" },
): Coroutine<ExecResult<Uint8Array>>;
export function exec(command: string, args?: readonly string[], options?: ExecOptions): Coroutine<ExecResult>;
export function exec(
  command: string,
  args: readonly string[] = [],
  options: ExecOptions = {},
): Coroutine<ExecResult<never>> {
  checkCommand(command, args, options);
  checkOptions(command, options);
  return execChecked(command, args, options) as Coroutine<ExecResult<never>>;
}

function* execChecked(
  command: string,
  args: readonly string[],
  options: ExecOptions,
): Coroutine<ExecResult<string | Uint8Array>> {
  const name = options.name ?? command;
  const { timeoutMs = Infinity } = options;
  const scope = Scope.enter({ name: `exec ${name}`, timeoutMs });
  const result = yield* scope.run(runToEnd(scope, command, args, options));
  if (scope.isCaught) {
    if (scope.cancelled?.source === "abort-signal") throw scope.cancelled.reason;
    scope.throwUnlessDeadline();
    throw new TimeoutError(`process "${name}"`, timeoutMs);
  }
  return result!;
}

function* runToEnd(
  scope: Scope,
  command: string,
  args: readonly string[],
  options: ExecOptions,
): Coroutine<ExecResult<string | Uint8Array>> {
  const { signal, encoding = "utf8", input } = options;
  if (signal !== undefined) follow(signal, scope);
  const began = scope.loop.now();
  const started = yield* spawnProcess(command, args, { ...options, stdin: input === undefined ? "ignore" : "pipe" });
  const maxBytes = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  const stdout = new Collected(started.stdout!, maxBytes, options.onStdout);
  const stderr = new Collected(started.stderr!, maxBytes, options.onStderr);
  const collecting = [scope.spawn(collect, stdout), scope.spawn(collect, stderr)];
  const feeding = input === undefined ? null : scope.spawn(feed, started.stdin!, input);
  const exit = yield* started.wait();
  for (const task of collecting) yield* task;
  if (feeding !== null) yield* feeding.cancel("the process has ended"); // its source may be silent for ever
  const result = {
    stdout: stdout.content(encoding),
    stderr: stderr.content(encoding),
    ...exit,
    durationMs: scope.loop.now() - began,
  };
  if (options.check !== false && exit.code !== 0) {
    throw new ProcessError(options.name ?? command, exit, result, stderr.tail());
  }
  return result;
}

function follow(signal: AbortSignal, scope: Scope): void {
  const watcher = { signalAborted: (reason: unknown): void => scope.request("abort-signal", reason) };
  if (signal.aborted) watcher.signalAborted(signal.reason);
  else {
    watchSignal(signal, watcher);
    scope.defer(() => unwatchSignal(signal, watcher));
  }
}

/** What came out of one pipe: all of it, or, for a handler, the end of it. */
class Collected {
  readonly output: ProcessOutput;
  readonly #maxBytes: number;
  readonly #handler: OutputHandler | undefined;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(output: ProcessOutput, maxBytes: number, handler: OutputHandler | undefined) {
    this.output = output;
    this.#maxBytes = maxBytes;
    this.#handler = handler;
  }

  *take(chunk: Uint8Array): Coroutine<void> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#handler === undefined) {
      if (this.#bytes <= this.#maxBytes) return;
      const advice = "raise maxOutputBytes, or take it as it comes with onStdout and onStderr";
      throw new ProcessOutputLimitError(this.output.name, this.#maxBytes, advice);
    }
    if (this.#bytes > 2 * TAIL_BYTES) this.#keep(Buffer.from(this.#end()));
    const handled = this.#handler(chunk) as Partial<PromiseLike<void>> | undefined;
    if (isOperation(handled)) yield* handled;
    else if (typeof handled?.then === "function") yield* until(handled as PromiseLike<void>);
  }

  content(encoding: BufferEncoding | "bytes"): string | Uint8Array {
    const all = this.#handler === undefined ? Buffer.concat(this.#chunks, this.#bytes) : Buffer.alloc(0);
    return encoding === "bytes" ? all : all.toString(encoding);
  }

  tail(): string {
    return this.#end().toString("utf8").trim();
  }

  #end(): Buffer {
    return Buffer.concat(this.#chunks, this.#bytes).subarray(-TAIL_BYTES);
  }

  #keep(chunk: Uint8Array): void {
    this.#chunks = [chunk];
    this.#bytes = chunk.length;
  }
}

function* collect(collected: Collected): Coroutine<void> {
  const { output } = collected;
  for (let chunk = yield* output.next(); chunk.done !== true; chunk = yield* output.next()) {
    yield* collected.take(chunk.value);
  }
}

/** One that does not read its input to the end is nothing unusual: how it ends says whether it went well. */
function* feed(stdin: ProcessInput, input: NonNullable<ExecOptions["input"]>): Coroutine<void> {
  const isWhole = typeof input === "string" || input instanceof Uint8Array;
  const chunks = sequenceOf<string | Uint8Array>(isWhole ? [input] : input);
  let isOver = false;
  try {
    while (!isOver) {
      const chunk = yield* chunks.next();
      isOver = chunk.done === true;
      if (chunk.done !== true) yield* stdin.write(chunk.value);
    }
    yield* stdin.end();
  } catch (error) {
    if (!(error instanceof ProcessInputError)) throw error;
  } finally {
    if (!isOver) yield* closeSequence(chunks);
  }
}

function checkOptions(command: string, options: ExecOptions): void {
  const { timeoutMs = 0, maxOutputBytes = 0, encoding = "utf8", signal, input = "" } = options;
  const at = `exec of "${command}"`;
  for (const [name, value] of Object.entries({ timeoutMs, maxOutputBytes })) {
    if (typeof value !== "number" || !(value >= 0)) {
      throw new UsageError(`${name} in ${at} must be a number, 0 or more, got ${describeValue(value)}`);
    }
  }
  if (encoding !== "bytes" && !Buffer.isEncoding(encoding)) {
    throw new UsageError(`${at} cannot decode ${describeValue(encoding)}; use "utf8", "latin1" … or "bytes"`);
  }
  if (signal !== undefined) checkSignal(at, signal);
  if (typeof input !== "string" && (typeof input !== "object" || input === null)) {
    throw new UsageError(`the input of ${at} must be text, bytes or a sequence of them, got ${describeValue(input)}`);
  }
  for (const handler of ["onStdout", "onStderr"] as const) {
    if (options[handler] === undefined || typeof options[handler] === "function") continue;
    throw new UsageError(`${handler} of ${at} must be a function, got ${describeValue(options[handler])}`);
  }
}
