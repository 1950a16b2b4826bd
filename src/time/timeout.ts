/**
 * Deadlines around an operation. Each opens a scope, so what the operation spawns is bounded too.
 *
 * A function gets that scope and may read and move its deadline: a limit counts from the beginning, and only the body
 * knows when it has got on. `scope.deadline` is a time of the loop's clock, like those of `timeoutAt` and `sleepUntil`.
 */
import { describeValue, isOperation, Scope, TimeoutError, toOperation, UsageError } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";

/** An operation, or a function that makes one and may move the deadline of the scope that it gets. */
export type TimedBody<T> = Operation<T> | ScopedFunction<T>;

type ScopedFunction<T> = (scope: Scope) => Operation<T>;

/**
 * Runs `body`; cancels it when it has not ended within `ms` milliseconds, waits for its cleanup, and throws.
 *
 * A value that is there when the time runs out is returned. Zero or less lets the body run up to its first wait. An error
 * that its cleanup throws wins over the `TimeoutError`. Cancelling cancels the body.
 * @throws {TimeoutError} when the time ran out. Its `limitMs` is the time that the body had, all moves of the deadline counted.
 * @example
 * const page = yield* timeout(2_000, session.get(url));
 * @example
 * yield* timeout(1_000, function* (scope) {
 *   for (const part of parts) { yield* send(part); scope.deadline += 500; }
 * });
 */
export function* timeout<T>(ms: number, body: TimedBody<T>): Coroutine<T> {
  const operation = operationOf(body);
  const scope = Scope.enter({ name: "timeout", timeoutMs: ms });
  const enteredAt = ms === Infinity ? scope.loop.now() : scope.deadline - ms;
  const { deadline } = scope;
  const value = yield* scope.run(operation ?? bodyIn(scope, body as ScopedFunction<T>));
  if (hasTimedOut(scope)) {
    const moved = scope.deadline !== deadline && scope.deadline !== Infinity;
    throw new TimeoutError(describeBody(body), moved ? scope.deadline - enteredAt : ms, undefined, scope.waitedFor);
  }
  return value as T;
}

/**
 * Like `timeout`, with a point in time, in milliseconds of the loop's clock.
 *
 * @throws {TimeoutError} when the time has come before the body has ended.
 * @throws {UsageError} when `deadline` is not a number.
 * @example
 * const deadline = EventLoop.current().now() + 5_000;
 * for (const url of urls) pages.push(yield* timeoutAt(deadline, session.get(url)));
 */
export function* timeoutAt<T>(deadline: number, body: TimedBody<T>): Coroutine<T> {
  const operation = operationOf(body);
  const scope = enterUntil("timeoutAt", deadline);
  const enteredAt = scope.loop.now();
  const value = yield* scope.run(operation ?? bodyIn(scope, body as ScopedFunction<T>));
  if (hasTimedOut(scope)) {
    const end = scope.deadline === Infinity ? deadline : scope.deadline;
    throw new TimeoutError(describeBody(body), Math.max(0, end - enteredAt), undefined, scope.waitedFor);
  }
  return value as T;
}

/**
 * Like `timeout`, but gives `undefined` instead of throwing.
 * @example
 * const answer = (yield* moveOnAfter(500, ask())) ?? "nobody answered";
 */
export function* moveOnAfter<T>(ms: number, body: TimedBody<T>): Coroutine<T | undefined> {
  const operation = operationOf(body);
  const scope = Scope.enter({ name: "moveOnAfter", timeoutMs: ms });
  const value = yield* scope.run(operation ?? bodyIn(scope, body as ScopedFunction<T>));
  return hasTimedOut(scope) ? undefined : value;
}

/**
 * Like `timeoutAt`, but gives `undefined` instead of throwing.
 * @throws {UsageError} when `deadline` is not a number.
 * @example
 * while (EventLoop.current().now() < end) yield* moveOnAt(end, work());
 */
export function* moveOnAt<T>(deadline: number, body: TimedBody<T>): Coroutine<T | undefined> {
  const operation = operationOf(body);
  const scope = enterUntil("moveOnAt", deadline);
  const value = yield* scope.run(operation ?? bodyIn(scope, body as ScopedFunction<T>));
  return hasTimedOut(scope) ? undefined : value;
}

function enterUntil(name: string, deadline: number): Scope {
  if (typeof deadline !== "number" || Number.isNaN(deadline)) {
    throw new UsageError(`${name} takes a time in milliseconds of the loop's clock, got ${describeValue(deadline)}`);
  }
  const scope = Scope.enter({ name });
  scope.deadline = deadline;
  return scope;
}

/** The operation of a body that is one, before a scope is entered: a coroutine that has run already is refused here. */
function operationOf<T>(body: TimedBody<T>): Operation<T> | null {
  return typeof body === "function" ? null : toOperation<T>(body);
}

/** Calls the body with its scope, when the scope runs: one that throws must still end it. */
function* bodyIn<T>(scope: Scope, body: ScopedFunction<T>): Coroutine<T> {
  const operation = body(scope);
  if (isOperation(operation)) return yield* operation;
  const refused = Object.defineProperty(() => operation, "name", { value: body.name });
  return yield* toOperation(refused); // throws, with the name
}

/** The deadline ended the body, or a task that the body had left running. */
function hasTimedOut(scope: Scope): boolean {
  if (scope.isCaught) scope.throwUnlessDeadline();
  return scope.isCaught;
}

function describeBody(body: TimedBody<unknown>): string {
  return typeof body === "function" && body.name !== "" ? `"${body.name}"` : "the operation";
}
