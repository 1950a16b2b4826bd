/**
 * `AsyncLocalStorage` kept for each task of a loop.
 *
 * Node hands the stores on from a call to its callbacks. A task is resumed by the loop, whose slice was started by whoever
 * came first, so without help a step sees the stores of a stranger. With help each task has its own: those of its spawner to
 * begin with, and what `enterWith` has made of them since. It is opt in for a loop, since it costs something for each step.
 *
 * Node has two ways of keeping stores, and one of them hides its door, so there are three keepers. All of them do the same:
 *
 * - `ByResource` (Node 20 and 22, `async_hooks`): a store is a property of the resource that runs. One `AsyncResource` for
 *   each task, steps run in its scope, and `enterWith` writes there by itself. 14–22 ns a step, 80 ns a task.
 * - `ByFrame` (Node 24 and later, `AsyncContextFrame`): all stores together are one immutable map in a slot of the engine.
 *   Reading and writing the slot is all that is needed: 5–12 ns a step, 2 ns a task. Node exports neither, but an `AsyncResource`
 *   holds its map and the map's class has both. They are tried out before they are used.
 * - `ByRecapture`: should that door be shut one day. Public interfaces only: after each step a new `AsyncResource` takes down
 *   what the step has left. Right everywhere, 60–75 ns a step.
 *
 * Rejected: a list of storages to compare after each step (5–10 ns for each, and those of libraries would be forgotten);
 * wrapping `AsyncLocalStorage.prototype.enterWith` (changes what belongs to others); `AsyncLocalStorage.snapshot()` (90–140 ns a
 * step); a resource for each suspension (70–230 ns).
 */
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { EventLoop, toOperation, UsageError } from "../../core/index.ts";
import type { AsyncContext, Body, Coroutine, Runnable } from "../../core/index.ts";

/**
 * Makes a loop keep `AsyncLocalStorage` for each task, as in promise code.
 *
 * - A task sees the stores of the code that spawned it, whichever they are, also `storage.run(store, () => spawn(task))`; a callback
 *   of `loop.callSoon` and the like sees those of who registered it.
 * - `storage.enterWith(store)` in a task holds for the rest of that task and for what it spawns from then on: no other task sees it,
 *   the spawner included. It survives waits, calls of `coroutine()`s, and cancellation: cleanup sees it too.
 * - What a step starts (promises, timers, sockets) has its callbacks run with the stores of that task.
 * - `storage.run(store, fn)` takes a plain function, which cannot wait; for an operation there is `withStore`.
 * - What a cancellation calls back at once, such as an `AbortSignal`'s listeners, sees the stores of the canceller.
 *
 * The cost is 5–12 ns a step on Node 24 and 26, 14–22 ns on 20 and 22. One keeper can serve any number of loops.
 *
 * @example
 * const user = new AsyncLocalStorage<string>();
 * await run(main, { asyncContext: nodeAsyncContext() });
 */
export function nodeAsyncContext(): AsyncContext {
  // In a scope of its own: what the trial leaves behind is an empty map of stores, and with one every `queueMicrotask` of the caller, and of
  // all that it starts, takes Node's slow way.
  return (keeper ??= new AsyncResource("fibril.trial").runInAsyncScope(chooseKeeper));
}

/**
 * `storage.run` for an operation: runs `body` in the current task with `store`, then puts back what was there, also when it throws or
 * is cancelled. What `body` spawns sees the store. Cancelling cancels `body`.
 *
 * @throws {UsageError} when the loop keeps no context: there the store would leak into other tasks.
 * @example
 * yield* withStore(requestId, "r-17", handle(request));
 */
export function* withStore<Store, T>(storage: AsyncLocalStorage<Store>, store: Store, body: Body<T>): Coroutine<T> {
  if (EventLoop.current().asyncContext === null) {
    throw new UsageError(
      "withStore() needs a loop that keeps stores for each task: run(main, { asyncContext: nodeAsyncContext() })",
      "NO_ASYNC_CONTEXT",
    );
  }
  const before = storage.getStore();
  storage.enterWith(store);
  try {
    return yield* toOperation(body);
  } finally {
    storage.enterWith(before as Store);
  }
}

/** The slot of the engine: the map of all stores, `undefined` while there is none. @package */
export interface FrameSlot {
  get(this: void): unknown;
  set(this: void, frame: unknown): void;
}

/** @package */
export class ByFrame implements AsyncContext {
  readonly #get: () => unknown;
  readonly #set: (frame: unknown) => void;

  constructor(slot: FrameSlot) {
    this.#get = slot.get;
    this.#set = slot.set;
  }

  capture(): unknown {
    return this.#get();
  }

  run(step: Runnable, frame: unknown): unknown {
    const outer = this.#get();
    if (outer !== frame) this.#set(frame); // mostly both are none: each call goes down into C++
    let left: unknown = this; // no frame: should the step throw, nothing is known of what it has left
    try {
      step.run();
      left = this.#get();
      return left;
    } finally {
      if (left !== outer) this.#set(outer);
    }
  }
}

/** @package */
export class ByResource implements AsyncContext {
  capture(): AsyncResource {
    return new AsyncResource("fibril.Task");
  }

  run(step: Runnable, resource: unknown): unknown {
    if (resource === undefined) step.run(); // something of a stranger's in the ready queue
    else (resource as AsyncResource).runInAsyncScope(step.run, step);
    return resource;
  }
}

/** @package */
export class ByRecapture implements AsyncContext {
  capture(): AsyncResource {
    return new AsyncResource("fibril.Task");
  }

  run(step: Runnable, resource: unknown): unknown {
    return resource === undefined
      ? runAndCapture(step)
      : (resource as AsyncResource).runInAsyncScope(runAndCapture, undefined, step);
  }
}

function runAndCapture(step: Runnable): AsyncResource {
  step.run();
  return new AsyncResource("fibril.Task");
}

let keeper: AsyncContext | null = null;

function chooseKeeper(): AsyncContext {
  const probe = new AsyncLocalStorage<number>();
  try {
    if (resourcesRemember(probe)) return new ByResource();
    const slot = findFrameSlot(probe);
    return slot === null ? new ByRecapture() : new ByFrame(slot);
  } finally {
    probe.disable(); // with `async_hooks`, one that is enabled slows every promise of the process
  }
}

/** Whether `enterWith` in the scope of a resource is found there again. */
function resourcesRemember(probe: AsyncLocalStorage<number>): boolean {
  const resource = new AsyncResource("fibril.probe");
  resource.runInAsyncScope(() => probe.enterWith(1));
  return resource.runInAsyncScope(() => probe.getStore()) === 1;
}

/** The slot, by way of what an `AsyncResource` holds; `null` unless it does what it should. @package */
export function findFrameSlot(probe: AsyncLocalStorage<number>): FrameSlot | null {
  return probe.run(1, () => {
    const resource = new AsyncResource("fibril.probe") as unknown as Record<symbol, unknown>;
    for (const key of Object.getOwnPropertySymbols(resource)) {
      const frame = resource[key] as { readonly constructor?: { readonly current?: unknown; readonly set?: unknown } };
      const { current, set } = frame?.constructor ?? {};
      if (typeof current !== "function" || typeof set !== "function") continue;
      const slot = { get: current, set } as unknown as FrameSlot;
      if (works(slot, frame, probe)) return slot;
    }
    return null;
  });
}

function works(slot: FrameSlot, frame: unknown, probe: AsyncLocalStorage<number>): boolean {
  try {
    const { get, set } = slot;
    if (get() !== frame) return false;
    set(undefined);
    const isEmpty = get() === undefined && probe.getStore() === undefined;
    probe.enterWith(2);
    const follows = get() !== frame && probe.getStore() === 2;
    set(frame);
    return isEmpty && follows && get() === frame && probe.getStore() === 1;
  } catch {
    return false; // `probe.run` puts back what was there
  }
}
