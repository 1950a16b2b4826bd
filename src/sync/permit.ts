/**
 * What was acquired and has to be given back.
 *
 * Taking and registering the release is one step: a task that was handed a permit gets it, even when it is cancelled in the
 * same turn, and goes on to its next wait. So no cancellation fits between the two lines of `holding`, or between
 * `using permit = yield* lock.acquire()` and its registration.
 */
import { isOperation, toOperation } from "../core/index.ts";
import type { Body, Coroutine, Operation } from "../core/index.ts";

/**
 * Whoever has it may give it back, from any task and from callbacks: once, later calls do nothing.
 *
 * @example
 * using permit = yield* lock.acquire();   // given back at the end of the block
 */
export interface Permit {
  release(): void;
  [Symbol.dispose](): void;
}

/** Acquires, runs `body`, gives back however it ends. No scope: what `body` spawns may outlive the permit. */
export function* holding<T>(acquire: Operation<Permit>, body: Body<T>): Coroutine<T> {
  const permit = yield* acquire;
  try {
    return yield* begin(body);
  } finally {
    permit.release();
  }
}

// `toOperation` alone would put one more generator under every resume of the body.
function begin<T>(body: Body<T>): Operation<T> {
  if (typeof body !== "function") return toOperation(body);
  const operation = body();
  return isOperation(operation) ? operation : toOperation(() => operation);
}
