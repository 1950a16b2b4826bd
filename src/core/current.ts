/**
 * What a coroutine can ask and do without suspending: who am I, add a task, register a release.
 */
import { UsageError } from "./errors.ts";
import { isOperation, running } from "./operation.ts";
import type { Coroutine, Operation } from "./operation.ts";
import type { Scope } from "./scope.ts";
import type { Cleanup, SpawnOptions } from "./scope.ts";
import type { Task } from "./task.ts";

/** The running task. @throws {UsageError} outside a coroutine. */
export function currentTask(): Task<unknown> {
  const task = running.task as Task<unknown> | null;
  if (task === null) {
    throw new UsageError(
      "there is no running task here: call it inside a coroutine, or use loop.spawn()",
      "OUTSIDE_TASK",
    );
  }
  return task;
}

/** The innermost scope of the running task; that of the task itself when it has opened none. @throws {UsageError} outside a coroutine. */
export function currentScope(): Scope {
  const task = currentTask();
  return (task.scope.host === task ? task.scope : task.ownScope()) as Scope;
}

/**
 * Adds a task to the current scope: the innermost one that the running task has opened, else the task itself. That scope
 * ends after the task has; a failure of the task cancels it. The first step comes in the next turn.
 *
 * @example
 * const task = spawn(download, url);        // download is a generator function
 * const named = spawn({ name: `get ${url}` }, download, url);
 * const bytes = yield* task;
 */
export function spawn<Args extends readonly unknown[], T>(
  options: SpawnOptions,
  fn: (...args: Args) => Operation<T>,
  ...args: Args
): Task<T>;
export function spawn<Args extends readonly unknown[], T>(fn: (...args: Args) => Operation<T>, ...args: Args): Task<T>;
export function spawn(
  first: SpawnOptions | AnyFunction,
  second?: unknown,
  third?: unknown,
  ...rest: unknown[]
): Task<unknown> {
  const scope = currentScope();
  if (typeof first !== "function") {
    return scope.spawn(first, second as AnyFunction, ...(arguments.length > 2 ? [third, ...rest] : []));
  }
  // The hot path: no array for up to two arguments. How many were passed matters, since a function may have defaults.
  switch (arguments.length) {
    case 1:
      return scope.launch(first(), first);
    case 2:
      return scope.launch(first(second), first);
    case 3:
      return scope.launch(first(second, third), first);
    default:
      return scope.launch(first(second, third, ...rest), first);
  }
}

type AnyFunction = (...args: unknown[]) => Operation<unknown>;

/**
 * Registers a release in the current scope: it runs when the scope ends, last in first out, shielded from cancellation.
 * @example
 * const file = openSync(path); defer(() => closeSync(file));
 */
export function defer(cleanup: Cleanup): void {
  currentScope().defer(cleanup);
}

type Disposable = { [Symbol.dispose](): void };
type AsyncDisposable = { [Symbol.asyncDispose](): PromiseLike<void> };

/**
 * Takes a resource and registers its release in the same step: `Symbol.asyncDispose` if it has one, else
 * `Symbol.dispose`. An operation is awaited first; when that is cancelled there is nothing to release.
 *
 * Whatever `yield*` accepts counts as an operation, even if it is disposable too: newer engines give every generator a
 * `Symbol.dispose`.
 * @throws {UsageError} when the resource has neither method.
 * @example
 * const connection = yield* use(connect(url));
 */
export function* use<R extends Disposable | AsyncDisposable>(resource: R | Operation<R>): Coroutine<R> {
  const taken: R = isOperation(resource) ? yield* resource as Operation<R> : (resource as R);
  const { [Symbol.asyncDispose]: asyncDispose, [Symbol.dispose]: dispose } = (taken ?? {}) as Partial<
    Disposable & AsyncDisposable
  >;
  if (typeof asyncDispose !== "function" && typeof dispose !== "function") {
    throw new UsageError(
      "use() takes something with Symbol.dispose or Symbol.asyncDispose; for anything else write defer()",
    );
  }
  defer(() => (asyncDispose === undefined ? dispose!.call(taken) : (asyncDispose.call(taken) as never)));
  return taken;
}
