/**
 * The error family. One class per cause, a stable `code`, the original kept as `cause`.
 *
 * A message says what happened, to what, and what to do. Whose fault it is shows in the class: usage errors are the
 * caller's, `InternalError` is ours. `Cancelled` is not here: it is a request on its way, not a failure.
 */
export class FibrilError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The call does not fit where or how it was made. Code: `USAGE`, or a more exact one. */
export class UsageError extends FibrilError {
  constructor(message: string, code = "USAGE", options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** A coroutine yielded something that is no operation: `yield x` where `yield* x` was meant. Code: `FOREIGN_YIELD`. */
export class ForeignYieldError extends UsageError {
  constructor(task: string, value: unknown) {
    const isPromise =
      typeof (value as PromiseLike<unknown> | null)?.then === "function" &&
      (value as Partial<Iterable<unknown>>)[Symbol.iterator] === undefined;
    const hint = isPromise
      ? "a promise; write `yield* until(promise)`"
      : `${describeValue(value)}; write \`yield*\` with a star, and yield* operations only`;
    super(`task "${task}" yielded ${hint}`, "FOREIGN_YIELD");
  }
}

/** A function or value that was to be run is no coroutine. Code: `NOT_AN_OPERATION`. @package */
export function notAnOperation(name: string, value: unknown): UsageError {
  // A promise, or what an `async function*` makes.
  const isAsync = isObject(value) && ("then" in value || Symbol.asyncIterator in value);
  const hint = isAsync ? "; write function* instead of async, and wrap promises in until()" : "";
  return new UsageError(
    `"${name || "the function"}" is no coroutine: expected a generator or another operation, got ${describeValue(value)}${hint}`,
    "NOT_AN_OPERATION",
  );
}

/** A scope that takes no more tasks was asked to spawn. Code: `SCOPE_CLOSED`. */
export class ScopeClosedError extends UsageError {
  constructor(what: string, scope: string) {
    super(
      `cannot ${what} in closed scope "${scope}"; do it before the scope's body has returned and its last task has settled`,
      "SCOPE_CLOSED",
    );
  }
}

/** Something was settled twice, or read before it was settled. Code: `INVALID_STATE`. */
export class InvalidStateError extends UsageError {
  constructor(message: string) {
    super(message, "INVALID_STATE");
  }
}

/**
 * What an observer sees of a cancellation: thrown by joining a cancelled task, by a scope that was cancelled from
 * inside, and by the promise of a cancelled `run`. Code: `CANCELLED`. `cause` is the reason when that is an error.
 */
export class CancelledError extends FibrilError {
  readonly reason: unknown;

  constructor(what: string, reason: unknown) {
    const why = reason === undefined ? "" : `: ${reason instanceof Error ? reason.message : describeValue(reason)}`;
    super("CANCELLED", `${what} was cancelled${why}`, reason instanceof Error ? { cause: reason } : undefined);
    this.reason = reason;
  }
}

/** Time ran out. Code: `TIMEOUT`. */
export class TimeoutError extends FibrilError {
  /** The limit that was passed, in milliseconds. */
  readonly limitMs: number;
  /** What the body was waiting for when the time ran out; `null` when that is not known. */
  readonly waitedFor: string | null;

  constructor(what: string, limitMs: number, options?: ErrorOptions, waitedFor: string | null = null) {
    const where = waitedFor === null ? "" : `; it was waiting for ${waitedFor}`;
    // A deadline that was moved gives a difference of clock readings, which nobody wants to read to the last digit.
    const limit = limitMs < 0 ? "its deadline, which was moved into the past" : `${Math.round(limitMs * 1e3) / 1e3} ms`;
    super("TIMEOUT", `${what} did not end within ${limit}${where}`, options);
    this.limitMs = limitMs;
    this.waitedFor = waitedFor;
  }
}

/** All tasks wait for each other and nothing from outside can wake one. Code: `DEADLOCK`. The message lists the waits. */
export class DeadlockError extends FibrilError {
  constructor(waits: readonly string[]) {
    super(
      "DEADLOCK",
      `${waits.length} task(s) can never run again: nothing is ready, no timer is set and nothing outside the loop is pending.\n` +
        `${waits.map((line) => `  ${line}`).join("\n")}\n` +
        "If something outside the loop will end one of these waits, say so: `until(promise)`, `{ external: true }` for a Future, Event, Channel or Queue, `get external() { return true }` in a Wait of yours, or `loop.hold()`.",
    );
  }
}

/** A cleanup was still waiting when its time was up. Code: `CLEANUP_OVERRUN`. */
export class CleanupOverrunError extends FibrilError {
  constructor(what: string, cleanupMs: number) {
    super(
      "CLEANUP_OVERRUN",
      `${what} was still waiting ${cleanupMs} ms after the cancellation; its waits throw Cancelled from here on. ` +
        "Make the cleanup shorter, raise `cleanupMs`, or shield what has to finish",
    );
  }
}

/** A fault of Fibril itself. Code: `INTERNAL`. */
export class InternalError extends FibrilError {
  constructor(message: string, options?: ErrorOptions) {
    super("INTERNAL", `${message}. This is a fault in Fibril: please report it with this stack`, options);
  }
}

const suppressed = new WeakMap<object, Set<unknown>>();

/**
 * The failures that came after `error` in the same scope, in the order in which they happened; empty when none did.
 *
 * @example
 * try { yield* scope(body) } catch (error) { for (const later of suppressedErrors(error)) console.error(later) }
 */
export function suppressedErrors(error: unknown): readonly unknown[] {
  return isObject(error) ? [...(suppressed.get(error) ?? [])] : [];
}

/** Notes `later` under `first`; `false` when `first` is a primitive, which nothing can be attached to. @package */
export function suppress(first: unknown, later: unknown): boolean {
  if (first === later) return true;
  if (!isObject(first)) return false;
  const list = suppressed.get(first);
  if (list === undefined) suppressed.set(first, new Set([later]));
  else list.add(later);
  return true;
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** A short form of any value for messages; never throws. @package */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 79)}…` : value);
  if (typeof value === "function") return `function ${value.name || "(anonymous)"}`;
  if (!isObject(value)) return String(value);
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  // What a generator inherits from is no function; it has a tag.
  const name: unknown = value.constructor?.name || (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
  return typeof name === "string" && name !== "" ? `an object of class ${name}` : "an object";
}

/** @throws {UsageError} unless `fn` can be called. `what` names who takes it: "scope". @package */
export function checkFunction(what: string, fn: unknown): void {
  if (typeof fn !== "function") {
    const hint = isObject(fn) && Symbol.iterator in fn ? "; pass its function: () => job(1)" : "";
    throw new UsageError(`${what} takes a function here, got ${describeValue(fn)}${hint}`, "NOT_A_FUNCTION");
  }
}

/** @throws {UsageError} when it is not a number. @package */
export function checkDuration(what: string, ms: unknown): void {
  if (typeof ms !== "number" || Number.isNaN(ms)) {
    throw new UsageError(`${what} must be a number of milliseconds, got ${describeValue(ms)}`);
  }
}
