/**
 * Deadlines around an operation. Both open a scope, so what the operation spawns is bounded too.
 */
import { Scope, TimeoutError, toOperation } from "../core/index.ts";
import type { Body, Coroutine } from "../core/index.ts";

/**
 * Runs `body`; cancels it when it has not ended within `ms` milliseconds, waits for its cleanup, and throws.
 *
 * A value that is there when the time runs out is returned. Zero or less lets the body run up to its first wait. An error
 * that its cleanup throws wins over the `TimeoutError`.
 * @throws {TimeoutError} when the time ran out.
 * @example
 * const page = yield* timeout(2_000, session.get(url));
 */
export function* timeout<T>(ms: number, body: Body<T>): Coroutine<T> {
  const scope = Scope.enter({ name: "timeout", timeoutMs: ms });
  const value = yield* scope.run(toOperation(body));
  if (hasTimedOut(scope)) throw new TimeoutError(describeBody(body), ms);
  return value as T;
}

/**
 * Like `timeout`, but gives `undefined` instead of throwing.
 * @example
 * const answer = (yield* moveOnAfter(500, ask())) ?? "nobody answered";
 */
export function* moveOnAfter<T>(ms: number, body: Body<T>): Coroutine<T | undefined> {
  const scope = Scope.enter({ name: "moveOnAfter", timeoutMs: ms });
  const value = yield* scope.run(toOperation(body));
  return hasTimedOut(scope) ? undefined : value;
}

/** The deadline ended the body, or a task that the body had left running. */
function hasTimedOut(scope: Scope): boolean {
  if (scope.isCaught) scope.throwUnlessDeadline();
  return scope.isCaught;
}

function describeBody(body: Body<unknown>): string {
  return typeof body === "function" && body.name !== "" ? `"${body.name}"` : "the operation";
}
