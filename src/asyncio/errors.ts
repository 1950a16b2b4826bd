/**
 * Python's exceptions, by name.
 *
 * Python's `except Exception` lets a cancellation pass, because `CancelledError` is a `BaseException` only. The same holds here:
 * `BaseException` is not an `Error`, so `catch (e) { if (!(e instanceof Error)) throw e; … }` is the counterpart of
 * `except Exception`. A bare `catch` is the counterpart of a bare `except`. No stack is captured for them, so cancelling is cheap.
 *
 * Where Python raises `TypeError`, a `UsageError` is thrown here, as everywhere in Fibril.
 */
import { FibrilError, InvalidStateError, UsageError } from "../core/index.ts";

export { InvalidStateError };

/** What is thrown without being a failure: cancellations and requests to end the program. Not an `Error`. */
export class BaseException {
  readonly name: string;
  readonly message: string;
  /** What it was made from; `undefined` when from nothing. */
  readonly cause: unknown;

  constructor(message: unknown = "", options: { readonly cause?: unknown } = {}) {
    this.name = new.target.name;
    this.message = String(message);
    this.cause = options.cause;
  }

  toString(): string {
    return this.message === "" ? this.name : `${this.name}: ${this.message}`;
  }
}

/** The future or task was cancelled. `message` is what was given to `cancel`, or empty. Let it pass once you have cleaned up. */
export class CancelledError extends BaseException {}

/** The user has pressed Ctrl-C twice, or the main coroutine has taken back the cancellation that the first one made. */
export class KeyboardInterrupt extends BaseException {}

/** Asks the program to end. Thrown in a task it ends the run of the loop, as in Python. */
export class SystemExit extends BaseException {
  readonly exitCode: unknown;

  constructor(exitCode: unknown = 0) {
    super(exitCode);
    this.exitCode = exitCode;
  }
}

/** Whether it is one of the two that no task keeps to itself. @package */
export function endsProgram(error: unknown): error is BaseException {
  return error instanceof KeyboardInterrupt || error instanceof SystemExit;
}

/** The call does not fit the state of the loop, task, group or lock. Code: `ASYNCIO_RUNTIME`. */
export class RuntimeError extends UsageError {
  constructor(message: string, code = "ASYNCIO_RUNTIME") {
    super(message, code);
  }
}

/** An argument has the right type and a wrong value. Code: `ASYNCIO_VALUE`. */
export class ValueError extends UsageError {
  constructor(message: string) {
    super(message, "ASYNCIO_VALUE");
  }
}

/** A context variable has no value here and no default. Code: `ASYNCIO_LOOKUP`. */
export class LookupError extends UsageError {
  constructor(name: string) {
    super(
      `context variable "${name}" has no value here; set it, give it a default, or get(fallback)`,
      "ASYNCIO_LOOKUP",
    );
  }
}

/** Time ran out. Code: `TIMEOUT`. Its `cause` is the `CancelledError` that it was made from, when there was one. */
export class TimeoutError extends FibrilError {
  constructor(message = "", options?: ErrorOptions) {
    super("TIMEOUT", message, options);
  }
}

/** The barrier was reset or aborted while the task waited, or is broken. Code: `BARRIER_BROKEN`. */
export class BrokenBarrierError extends RuntimeError {
  constructor(message: string) {
    super(message, "BARRIER_BROKEN");
  }
}

/** `getNowait` on an empty queue. Code: `QUEUE_EMPTY`. */
export class QueueEmpty extends FibrilError {
  constructor() {
    super("QUEUE_EMPTY", "the queue is empty; use `yield* queue.get()` to wait for an item");
  }
}

/** `putNowait` on a full queue. Code: `QUEUE_FULL`. */
export class QueueFull extends FibrilError {
  constructor() {
    super("QUEUE_FULL", "the queue is full; use `yield* queue.put(item)` to wait for room");
  }
}

/** The queue was shut down. Code: `QUEUE_SHUT_DOWN`. */
export class QueueShutDown extends FibrilError {
  constructor() {
    super("QUEUE_SHUT_DOWN", "the queue was shut down; stop using it");
  }
}
