/**
 * From coroutines to promise code: an operation as a promise, a coroutine function as an async function.
 *
 * Where the task lives decides who else hears of its end. A task of a scope tells the scope, so a promise that nobody
 * awaits is no unhandled rejection: the failure has been delivered. A task of a loop tells only the promise, which then is
 * like any other: somebody has to handle it. Either way a failure arrives, and arrives once.
 *
 * Tasks made from outside are not supervised for deadlock, as those of `run` are: calls share a loop and may feed each other,
 * so one that waits for a later call is not stuck.
 */
import { currentScope, describeValue, EventLoop, running, toOperation, UsageError } from "../core/index.ts";
import type { Body, Operation, Scope } from "../core/index.ts";
import { withSignal } from "./abort-signal.ts";

export interface PromiseOptions {
  /** Where it runs, as a task of nobody. Default: the current scope; needed outside coroutines. */
  readonly loop?: EventLoop;
  /** Cancels it when it aborts; the promise then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Of the task. Default: the name of the function. */
  readonly name?: string;
}

/**
 * Runs an operation as a task and gives its end as a promise.
 *
 * Inside a coroutine it is a task of the current scope: the scope waits for it, cancels it, and fails when it fails, so the
 * promise needs no handler. With `loop` it is a task of that loop and belongs to nobody; the promise alone tells its end.
 * Cancelled, it rejects with `CancelledError`, or with the signal's reason. `run` is for whole programs.
 *
 * @throws {UsageError} outside coroutines without a loop.
 * @example
 * legacy.register({ load: (id) => toPromise(() => load(id), { loop }) });
 */
export function toPromise<T>(body: Body<T>, options: PromiseOptions = {}): Promise<T> {
  const { loop, signal } = options;
  const owner = ownerOf("toPromise()", loop);
  const name = options.name ?? ((typeof body === "function" && body.name) || "promise");
  const task = owner.spawn({ name }, () => (signal === undefined ? toOperation(body) : withSignal(signal, body)));
  const promise = task.then((value) => value);
  if (loop === undefined) promise.catch(() => {}); // its scope has heard of it
  return promise;
}

export interface AsyncFunctionOptions<Args extends readonly unknown[]> {
  /** Where the calls run. Default: the loop of the caller of `asyncFunction`, else one that all such functions share. */
  readonly loop?: EventLoop;
  /** Finds the signal that cancels a call among its arguments. */
  readonly signal?: (args: Args) => AbortSignal | undefined;
  /** Of the tasks, and of the function. Default: the name of `fn`. */
  readonly name?: string;
}

/**
 * Makes an async function of a coroutine function: for handlers and libraries that know only promises. It may be called
 * from anywhere; each call is a task of the loop that belongs to nobody, so in coroutines call `fn` itself.
 *
 * The promise rejects with what `fn` throws; cancelled, with `CancelledError` or the signal's reason.
 * @example
 * const load = asyncFunction(loadUser, { signal: ([, options]) => options?.signal });
 * app.get("/user", async (request) => await load(request.params.id, { signal: request.signal }));
 */
export function asyncFunction<Args extends readonly unknown[], T>(
  fn: (...args: Args) => Operation<T>,
  options: AsyncFunctionOptions<Args> = {},
): (...args: Args) => Promise<T> {
  if (typeof fn !== "function") {
    throw new UsageError(`asyncFunction() takes a coroutine function, got ${describeValue(fn)}`);
  }
  const loop = options.loop ?? (running.loop as EventLoop | null) ?? sharedLoop();
  const name = options.name ?? (fn.name || "async function");
  const call = async (...args: Args): Promise<T> => {
    const signal = options.signal?.(args);
    return await toPromise(() => fn(...args), { loop, name, ...(signal === undefined ? {} : { signal }) });
  };
  return Object.defineProperty(call, "name", { value: name, configurable: true });
}

let shared: EventLoop | null = null;

function sharedLoop(): EventLoop {
  return (shared ??= new EventLoop({ name: "async functions" }));
}

/** The scope that the tasks of a bridge belong to: that of the loop, or the current one. */
export function ownerOf(what: string, loop: EventLoop | undefined): Scope {
  if (loop !== undefined) {
    if (loop instanceof EventLoop) return loop.root;
    throw new UsageError(`the option \`loop\` of ${what} must be an EventLoop, got ${describeValue(loop)}`);
  }
  if (running.task !== null) return currentScope();
  throw new UsageError(`${what} outside a coroutine needs to know where to run: pass { loop }`, "OUTSIDE_TASK");
}
