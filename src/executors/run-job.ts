/**
 * Runs one job to its end, on a loop: what the worker does for anything but a plain function, and what the in-process executor does.
 *
 * The function decides what it is by what it returns: a generator is a coroutine (or, of a stream, a source of values), a promise is
 * awaited, all else is the result.
 */
import { Cancelled, CancelledError, sequenceOf, until } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";
import { setCarried } from "./carried.ts";
import { withJob } from "./job-context.ts";
import type { JobContext } from "./job-context.ts";
import type { AnyJob } from "./job.ts";
import type { CarriedValue, JobShape } from "./pool.ts";
import { BatchFailure, isCoroutine } from "./returned.ts";
import { setTaskJob } from "./task-job.ts";

/** What it is given. */
export interface JobCall {
  readonly job: AnyJob;
  readonly shape: JobShape;
  readonly args: readonly unknown[];
  readonly locals: readonly CarriedValue[] | null;
  readonly context: JobContext;
  /** Of a stream: sends one value; waits while the receiver has enough. */
  readonly emit?: (value: unknown) => Operation<void> | null;
}

type AnyFunction = (...args: readonly unknown[]) => unknown;

/** The whole job. @throws {BatchFailure} */
export function* runJob(call: JobCall): Coroutine<unknown> {
  setTaskJob(call.context);
  if (call.locals !== null) setCarried(call.locals);
  const fn = call.job.fn as unknown as AnyFunction;
  if (call.shape === "call") return yield* resultOf(withJob(call.context, fn, call.args));
  if (call.shape === "stream") return yield* emitAll(call, fn);
  return yield* runBatch(call, fn, call.args[0] as readonly unknown[], [], null);
}

/**
 * The items that `done` has no result of yet.
 * @param begun What the function has returned for the first of them, if it was called already.
 */
export function* runBatch(
  call: JobCall,
  fn: AnyFunction,
  items: readonly unknown[],
  done: unknown[],
  begun: { readonly value: unknown } | null,
): Coroutine<unknown[]> {
  const first = done.length;
  for (let index = first; index < items.length; index++) {
    if (call.context.isCancelled) throw new CancelledError(`job "${call.context.name}"`, undefined);
    const isBegun = index === first && begun !== null;
    try {
      done.push(yield* resultOf(isBegun ? begun.value : withJob(call.context, fn, [items[index]])));
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      throw new BatchFailure(done, index, error);
    }
  }
  return done;
}

function* emitAll(call: JobCall, fn: AnyFunction): Coroutine<void> {
  const [, ...args] = call.args; // the first one is the window
  const source = withJob(call.context, fn, args) as Iterable<unknown> | AsyncIterable<unknown>;
  const values = sequenceOf(source);
  try {
    for (let step = yield* values.next(); step.done !== true; step = yield* values.next()) {
      const waiting = call.emit!(step.value);
      if (waiting !== null) yield* waiting;
      if (call.context.isCancelled) throw new CancelledError(`job "${call.context.name}"`, undefined);
    }
  } catch (error) {
    const closing = values.close?.();
    if (closing !== undefined) yield* closing;
    throw error;
  }
}

function* resultOf(value: unknown): Coroutine<unknown> {
  if (isCoroutine(value)) return yield* value as Coroutine<unknown>;
  if (typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function") {
    return yield* until(value as PromiseLike<unknown>);
  }
  return value;
}
