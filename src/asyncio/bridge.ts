/**
 * Between asyncio and the rest of the world: promises, and Fibril's own operations and tasks.
 *
 * An asyncio task is driven by rules of its own, so an operation of Fibril cannot be awaited there as it is, nor the other way round;
 * the types say so. Instead the other side gets a task of its own, on the same loop of the kernel, and cancellation goes through:
 * whoever is cancelled cancels the other side's task and waits until it has cleaned up.
 */
import {
  Cancelled,
  CancelledError as JoinedCancelled,
  EventLoop as KernelLoop,
  toOperation,
  UsageError,
} from "../core/index.ts";
import type { Body, Coroutine as FibrilCoroutine, Task as FibrilTask } from "../core/index.ts";
import { Wait } from "../lowlevel.ts";
import type { Started, Waiter } from "../lowlevel.ts";
import { CancelledError } from "./errors.ts";
import { EventLoop, getRunningLoop } from "./event-loop.ts";
import { Future, isFuture } from "./future.ts";
import type { Awaitable, Coroutine } from "./future.ts";
import { coroutineOf } from "./task.ts";
import type { Task } from "./task.ts";

/**
 * A future that gets what the promise settles with. Cancelling the future leaves the promise alone.
 * @param options.loop Default: the running one.
 * @example
 * const response = yield* wrapFuture(fetch(url));
 */
export function wrapFuture<T>(
  promise: PromiseLike<T> | Future<T>,
  options: { readonly loop?: EventLoop } = {},
): Future<T> {
  if (isFuture(promise)) return promise as Future<T>;
  if (typeof promise?.then !== "function") throw new UsageError("wrapFuture takes a promise");
  return (options.loop ?? getRunningLoop()).followPromise(promise);
}

/** Cancelling it cancels the task of Fibril; it is done when that has settled. */
class OperationFuture<T> extends Future<T> {
  readonly #task: FibrilTask<T>;
  #message: unknown = undefined;

  constructor(loop: EventLoop, task: FibrilTask<T>) {
    super({ loop });
    this.#task = task;
    task.watch({ before: null, after: null, taskSettled: () => this.#settled() });
  }

  override cancel(message?: unknown): boolean {
    if (this.done()) return false;
    this.#message = message;
    this.#task.cancel(message);
    return true;
  }

  #settled(): void {
    if (this.loop.isClosed()) return;
    const outcome = this.#task.outcome!;
    if (outcome.status === "succeeded") this.setResult(outcome.value);
    else if (outcome.status === "failed") this.setException(outcome.error);
    else super.cancel(this.#message);
  }
}

/**
 * Runs an operation of Fibril as a task of Fibril, on the same loop; a future for its result. Cancelling the future cancels the
 * operation, and it is done once that has cleaned up. What the operation opens with `spawn` and `scope` belongs to its task.
 * @example
 * const item = yield* wrapOperation(channel.receive());
 * yield* wrapOperation(() => scope(function* () { … }));
 */
export function wrapOperation<T>(body: Body<T>): Future<T> {
  const loop = getRunningLoop();
  const name = typeof body === "function" && body.name !== "" ? body.name : "operation of asyncio";
  return new OperationFuture(
    loop,
    loop.kernel.spawn({ name }, () => toOperation(body)),
  );
}

/** For each loop of the kernel the asyncio loop that serves its tasks. */
const guests = new WeakMap<object, EventLoop>();

function guestOf(kernel: KernelLoop): EventLoop {
  const known = guests.get(kernel);
  if (known !== undefined) return known;
  const loop = new EventLoop({ kernel, name: `asyncio on ${kernel.name}` });
  guests.set(kernel, loop);
  // Only what ends the program ends it; the next coroutine gets a new one.
  loop.runForever().catch((error: unknown) => {
    guests.delete(kernel);
    kernel.report({ kind: "callback-failed", message: "an asyncio coroutine asked the program to end:", error });
  });
  return loop;
}

/** Waits until an asyncio task is done, whatever it comes to. */
class TaskDone extends Wait<void> {
  readonly #task: Task<unknown>;
  #waiter: Waiter | null = null;
  readonly #done = (): void => void this.#waiter!.wake(this, undefined);

  constructor(task: Task<unknown>) {
    super();
    this.#task = task;
  }

  get reason(): string {
    return `asyncio task "${this.#task.getName()}"`;
  }

  protected start(task: Waiter): Started<void> {
    if (this.#task.done()) return task.complete(this, undefined);
    this.#waiter = task;
    this.#task.addDoneCallback(this.#done);
    return task.park(this);
  }

  withdraw(): boolean {
    this.#task.removeDoneCallback(this.#done);
    return true;
  }
}

/**
 * Runs an asyncio coroutine in a task of Fibril: an operation for its result. What needs a running loop to be made, such as `gather(…)`, goes
 * into a function. The coroutine becomes an asyncio task on the same loop, which runs as
 * long as the loop does. Cancelling the operation cancels the coroutine and waits until it has cleaned up.
 * @throws {CancelledError} Fibril's, when the coroutine was cancelled on the side of asyncio.
 * @example
 * const page = yield* asOperation(download(url)); // in a coroutine of Fibril
 */
export function* asOperation<T>(body: Awaitable<T> | (() => Awaitable<T>)): FibrilCoroutine<T> {
  const kernel = KernelLoop.current();
  const task = guestOf(kernel).createTask(typeof body === "function" ? callAndAwait(body) : coroutineOf(body));
  try {
    yield* new TaskDone(task as Task<unknown>);
  } catch (error) {
    if (!(error instanceof Cancelled)) throw error;
    task.cancel(error.reason);
    yield* new TaskDone(task as Task<unknown>);
    task.markSeen();
    throw error;
  }
  try {
    return task.result();
  } catch (error) {
    throw error instanceof CancelledError
      ? new JoinedCancelled(`asyncio task "${task.getName()}"`, error.message)
      : error;
  }
}

function* callAndAwait<T>(body: () => Awaitable<T>): Coroutine<T> {
  return yield* body();
}
