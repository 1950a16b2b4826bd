/**
 * What a scope has to close when it ends: subscriptions, readers, writers.
 *
 * A bridge holds something of the platform (listeners, a lock on a stream), so each belongs to the scope that opened it and
 * nobody can forget it. `scope.defer` alone would not do: a release cannot be taken back, and a scope that lives as long as
 * the program would keep one for every subscription that was closed long ago. So each scope gets one release, for a set.
 *
 * Invariant: what was closed by hand is in no set. The set is closed last in first out, at the place among the scope's
 * releases where its first entry came.
 */
import { currentScope, running, Scope, UsageError } from "../core/index.ts";
import type { Cleanup, Coroutine } from "../core/index.ts";

const open = new WeakMap<Scope, Set<Cleanup>>();

/**
 * Closes it when the current scope ends. The returned function takes that back.
 * @param what For the message: `"on()"`.
 * @throws {UsageError} outside a coroutine.
 */
export function closeWithScope(what: string, close: Cleanup): () => void {
  if (running.task === null) {
    throw new UsageError(
      `${what} belongs to the scope that calls it and is closed when that ends; call it inside a coroutine`,
      "OUTSIDE_TASK",
    );
  }
  return closeWith(currentScope(), close);
}

/** Closes it when `scope` ends. The returned function takes that back. */
export function closeWith(scope: Scope, close: Cleanup): () => void {
  let held = open.get(scope);
  if (held === undefined) {
    const made = (held = new Set<Cleanup>());
    scope.defer(() => (made.size === 0 ? undefined : closeAll(made)));
    open.set(scope, made);
  }
  const entries = held;
  entries.add(close);
  return () => void entries.delete(close);
}

/** A scope of its own, so that one that fails does not keep the others from being closed. */
function* closeAll(held: Set<Cleanup>): Coroutine<void> {
  const own = Scope.enter({ name: "closing" });
  for (const close of held) own.defer(close);
  held.clear();
  yield* own.run(nothing());
}

/** Done already. */
export function* nothing(): Coroutine<void> {}
