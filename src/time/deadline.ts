/**
 * The time that the running task has left, for code that has to tell it to somebody else: a header, a query's limit.
 */
import { currentTask } from "../core/index.ts";
import type { Scope } from "../core/index.ts";

/**
 * When the running task will be cancelled because time has run out, in milliseconds of the loop's clock: the earliest
 * deadline of the scopes around, up to a shield. `Infinity` for never; `-Infinity` once one of these scopes has been
 * cancelled, also while the task cleans up.
 *
 * @throws {UsageError} outside a coroutine.
 * @example
 * request.headers["x-deadline"] = String(currentDeadline());
 */
export function currentDeadline(): number {
  const scope = currentTask().scope as Scope;
  return scope.isReached ? -Infinity : scope.effectiveDeadline;
}

/**
 * How many milliseconds are left until `currentDeadline()`: never less than 0, `Infinity` when there is no deadline.
 *
 * @throws {UsageError} outside a coroutine.
 * @example
 * yield* query("set statement_timeout = " + Math.min(remainingMs(), 60_000));
 */
export function remainingMs(): number {
  const deadline = currentDeadline();
  return deadline === Infinity ? Infinity : Math.max(0, deadline - currentTask().loop.now());
}
