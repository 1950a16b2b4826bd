/**
 * Calls as frames on the task's own stack.
 *
 * Native delegation resumes through every generator between the driver and the wait: 22–32 ns a level, and a stack
 * overflow after some thousands. `coroutine(fn)` makes the calls of one function frames that the task keeps itself: the
 * driver resumes only the innermost, at any depth. It is the counterpart of `@asyncio.coroutine` and of tornado's
 * `gen.coroutine`; plain generator functions remain right for small helpers, where a framed call costs more than it saves.
 *
 * How: a generator object inherits from its function's `prototype`, so an own `Symbol.iterator` there is what `yield*`
 * finds. It returns a `FrameCall`, which asks the task to run the generator and suspends like any other wait. The
 * function itself stays the same object, typed the same; recursion needs no care.
 */
import { running, SUSPENDED } from "./operation.ts";
import type { Coroutine, Frame, Operation, Suspend } from "./operation.ts";
import { UsageError } from "./errors.ts";

type CoroutineFunction = (...args: never[]) => Operation<unknown>;

const NEW = 0;
const ENTERED = 1;
const RETURNED = 2;
const THREW = 3;

class FrameCall implements Frame, Iterator<Suspend, unknown, unknown> {
  readonly callee: Coroutine<unknown>;
  caller: Iterator<Suspend, unknown, unknown> | null = null;
  below: Frame | null = null;
  stage: typeof NEW | typeof ENTERED | typeof RETURNED | typeof THREW = NEW;
  value: unknown = undefined;

  constructor(callee: Coroutine<unknown>) {
    this.callee = callee;
  }

  next(): IteratorResult<Suspend, unknown> {
    switch (this.stage) {
      case NEW: {
        const task = running.task;
        if (task === null) throw new UsageError("a coroutine was resumed outside a task; use run() or spawn()");
        this.stage = ENTERED;
        task.enterFrame(this);
        return SUSPENDED;
      }
      case ENTERED:
        if (running.capture !== null) running.capture(this.next);
        return SUSPENDED;
      case RETURNED:
        return { done: true, value: this.value };
      case THREW:
        throw withCallers(this.value, this.next);
    }
  }

  /** Reached only when somebody drives the calling coroutine by hand. */
  throw(error: unknown): IteratorResult<Suspend, unknown> {
    throw error;
  }

  /** Reached only when somebody drives the calling coroutine by hand. */
  return(value: unknown): IteratorResult<Suspend, unknown> {
    return { done: true, value };
  }

  end(failed: boolean, value: unknown): void {
    this.stage = failed ? THREW : RETURNED;
    this.value = value;
  }
}

const MOST_CALLERS = 16; // an error that crosses more frames than this keeps the innermost ones
const crossings = new WeakMap<Error, number>();

/** Adds the frames that the error is about to pass to its stack, so that the stack shows the logical call chain. */
function withCallers(error: unknown, below: (...args: never[]) => unknown): unknown {
  if (!(error instanceof Error)) return error;
  const crossed = crossings.get(error) ?? 0;
  crossings.set(error, crossed + 1);
  const { captureStackTrace } = Error as { captureStackTrace?: (target: object, below: unknown) => void };
  if (crossed >= MOST_CALLERS || captureStackTrace === undefined || typeof error.stack !== "string") return error;
  const holder: { stack?: string } = {};
  captureStackTrace(holder, below);
  const callers = String(holder.stack).split("\n").slice(1);
  const driver = callers.findIndex((line) => line.includes("Task.run "));
  const own = driver === -1 ? callers : callers.slice(0, driver);
  const added = own.filter((line) => !line.includes("FrameCall") && !line.includes("(<anonymous>)"));
  // The lines of the driver at the end say nothing about the program: the callers take their place.
  const head = error.stack.split("\n");
  const cut = head.findIndex((line) => line.includes("Task.run "));
  try {
    error.stack = [...(cut === -1 ? head : head.slice(0, cut)), ...added].join("\n");
  } catch {
    // Frozen, or with a stack that cannot be written: it goes on as it is.
  }
  return error;
}

function frameIterator(this: Coroutine<unknown>): Iterator<Suspend, unknown, unknown> {
  return new FrameCall(this);
}

/**
 * Makes the calls of a generator function frames on the task's own stack: resuming costs the same at any depth, and
 * recursion 100,000 deep works. Returns the very same function. Call it once, where the function is defined.
 *
 * @param name Shown in traces and await stacks; default: the function's own name.
 * @throws {UsageError} when it is not a generator function.
 * @example
 * const depth = coroutine(function* depth(n: number): Coroutine<number> {
 *   return n === 0 ? 0 : 1 + (yield* depth(n - 1));
 * });
 */
export function coroutine<F extends CoroutineFunction>(fn: F): F;
export function coroutine<F extends CoroutineFunction>(name: string, fn: F): F;
export function coroutine<F extends CoroutineFunction>(nameOrFn: string | F, maybeFn?: F): F {
  const fn = typeof nameOrFn === "string" ? maybeFn : nameOrFn;
  const prototype: unknown = fn?.prototype;
  if (typeof fn !== "function" || !isGeneratorPrototype(prototype)) {
    throw new UsageError("coroutine() takes a generator function: coroutine(function* name() { … })");
  }
  if (typeof nameOrFn === "string") Object.defineProperty(fn, "name", { value: nameOrFn, configurable: true });
  Object.defineProperty(prototype, Symbol.iterator, { value: frameIterator, configurable: true, writable: true });
  return fn;
}

const generatorPrototype: object = Object.getPrototypeOf(function* () {}.prototype) as object;

function isGeneratorPrototype(prototype: unknown): prototype is object {
  return typeof prototype === "object" && prototype !== null && generatorPrototype.isPrototypeOf(prototype);
}
