/**
 * Does the corpus notice what it is there to notice? Each mutant breaks one promise of the library, from outside, and the recorded
 * programs have to tell. A judge that lets one pass is the one at fault.
 */
import { afterEach, expect, test, vi } from "vitest";
import * as asyncio from "../../../src/asyncio/index.ts";
import { trace } from "./interpret.ts";
import type { Library } from "./interpret.ts";
import { readCorpus } from "./records.ts";

const corpus = readCorpus();

/** A broken library must differ in that many programs: one could be luck. */
const ENOUGH = 2;

afterEach(() => {
  vi.restoreAllMocks();
});

function mutant(broken: Partial<Record<keyof Library, unknown>> = {}): Library {
  return { ...asyncio, ...broken } as Library;
}

/** How many programs tell it from CPython, up to enough; crashes do not count. */
function noticed(library: Library): number {
  let differ = 0;
  for (const { program, trace: expected } of corpus) {
    const actual = trace(program, library);
    if (actual !== expected && !actual.includes("\nFAULT ")) differ++;
    if (differ === ENOUGH) break;
  }
  return differ;
}

type Broken = () => Library;

/** The parts of a task that only a mutant may touch. */
interface Inside {
  mustCancel: boolean;
}

const { prototype: taskPrototype } = asyncio.Task;
const { uncancel, cancel } = taskPrototype;

const mutants: Record<string, Broken> = {
  "the loop is not first in, first out": () => {
    class Unfair extends asyncio.EventLoop {
      #count = 0;

      override pushReady(entry: Parameters<asyncio.EventLoop["pushReady"]>[0]): void {
        const late = { isSkipped: false, run: () => super.pushReady(entry), describe: () => "late" };
        super.pushReady(++this.#count % 5 === 0 ? late : entry);
      }
    }
    return mutant({ newEventLoop: (options: asyncio.EventLoopOptions) => new Unfair(options) });
  },

  "timers with equal deadlines do not fire in the order in which they were set": () => {
    class Unfair extends asyncio.EventLoop {
      #count = 0;

      override callAt<Args extends readonly unknown[]>(
        when: number,
        callback: (...args: Args) => void,
        ...args: Args
      ): asyncio.TimerHandle {
        // Each a little earlier than the one before: so little that they still fire in the same iteration.
        return super.callAt(when - 1e-12 * this.#count++, callback, ...args);
      }

      override time(): number {
        return Math.round(super.time() * 1e6) / 1e6;
      }
    }
    return mutant({ newEventLoop: (options: asyncio.EventLoopOptions) => new Unfair(options) });
  },

  "waitFor runs a coroutine in a task of its own (CPython 3.11)": () =>
    mutant({
      waitFor: (awaitable: asyncio.Awaitable<unknown>, timeout: number | null) =>
        asyncio.waitFor(asyncio.isCoroutine(awaitable) ? asyncio.createTask(awaitable) : awaitable, timeout),
    }),

  "waitFor does not cancel what it waited for": () =>
    mutant({
      waitFor: (awaitable: asyncio.Awaitable<unknown>, timeout: number | null) =>
        asyncio.waitFor(asyncio.shield(awaitable), timeout),
    }),

  "waitFor of no time waits": () =>
    mutant({
      waitFor: (awaitable: asyncio.Awaitable<unknown>, timeout: number | null) =>
        asyncio.waitFor(awaitable, timeout === null ? null : Math.max(timeout, 0.25)),
    }),

  "uncancel takes nothing back": () => {
    vi.spyOn(taskPrototype, "uncancel").mockImplementation(function (this: asyncio.Task<unknown>) {
      return this.cancelling();
    });
    return mutant();
  },

  "uncancel leaves the request that has not been thrown yet (CPython 3.12)": () => {
    vi.spyOn(taskPrototype, "uncancel").mockImplementation(function (this: asyncio.Task<unknown>) {
      const inside = this as unknown as Inside;
      const { mustCancel } = inside;
      const left = uncancel.call(this);
      inside.mustCancel = mustCancel;
      return left;
    });
    return mutant();
  },

  "a second cancel does not count": () => {
    vi.spyOn(taskPrototype, "cancel").mockImplementation(function (this: asyncio.Task<unknown>, message?: unknown) {
      return this.cancelling() > 0 ? !this.done() : cancel.call(this, message);
    });
    return mutant();
  },

  "a group aborts its tasks from the last to the first": () => {
    class Backwards extends asyncio.TaskGroup {
      readonly #tasks: asyncio.Task<unknown>[] = [];

      override createTask<T>(coroutine: asyncio.Coroutine<T>, options?: asyncio.TaskOptions): asyncio.Task<T> {
        const task = super.createTask(coroutine, options);
        this.#tasks.push(task);
        task.cancel = (message?: unknown): boolean => {
          if (!(new Error().stack ?? "").includes("#abort")) return cancel.call(task, message);
          for (let other = this.#tasks.pop(); other !== undefined; other = this.#tasks.pop()) cancel.call(other);
          return true;
        };
        return task;
      }
    }
    return mutant({ TaskGroup: Backwards });
  },

  "a group does not cancel the siblings of a task that failed": () => {
    class Careless extends asyncio.TaskGroup {
      override createTask<T>(coroutine: asyncio.Coroutine<T>, options?: asyncio.TaskOptions): asyncio.Task<T> {
        const task = super.createTask(coroutine, options);
        task.cancel = (message?: unknown): boolean =>
          (new Error().stack ?? "").includes("#abort") ? true : cancel.call(task, message);
        return task;
      }
    }
    return mutant({ TaskGroup: Careless });
  },

  "shield does not shield": () =>
    mutant({ shield: (awaitable: asyncio.Awaitable<unknown>) => asyncio.ensureFuture(awaitable) }),

  "wait cancels what is pending at its timeout": () =>
    mutant({
      *wait(tasks: readonly asyncio.Task<unknown>[], options: asyncio.WaitOptions) {
        const [done, pending] = yield* asyncio.wait(tasks, options);
        for (const task of pending) task.cancel();
        return [done, pending];
      },
    }),

  "sleep(0) gives no turn to others": () =>
    mutant({
      *sleep(delay: number) {
        if (delay > 0) yield* asyncio.sleep(delay);
      },
    }),

  "a callback added to a future that is done is called at once": () => {
    const { addDoneCallback } = asyncio.Future.prototype;
    vi.spyOn(asyncio.Future.prototype, "addDoneCallback").mockImplementation(function (
      this: asyncio.Future<unknown>,
      callback,
    ) {
      if (this.done()) callback(this);
      else addDoneCallback.call(this, callback);
    });
    return mutant();
  },

  "a waiter of a lock is passed by": () => {
    class Barging extends asyncio.Lock {
      override *acquire(): asyncio.Coroutine<true> {
        while (this.locked()) yield* asyncio.sleep(0.25);
        return yield* super.acquire();
      }
    }
    return mutant({ Lock: Barging });
  },

  "a waiter of a semaphore is passed by": () => {
    class Barging extends asyncio.Semaphore {
      override *acquire(): asyncio.Coroutine<true> {
        while (this.locked()) yield* asyncio.sleep(0.25);
        return yield* super.acquire();
      }
    }
    return mutant({ Semaphore: Barging });
  },

  "shutting a queue down drops what is in it": () => {
    class Hasty extends asyncio.Queue<number> {
      override shutdown(): void {
        super.shutdown(true);
      }
    }
    return mutant({ Queue: Hasty });
  },

  "notify wakes one more": () => {
    class Generous extends asyncio.Condition {
      override notify(n = 1): void {
        super.notify(n + 1);
      }
    }
    return mutant({ Condition: Generous });
  },
};

test("the library as it is passes", () => {
  expect(noticed(mutant())).toBe(0);
});

for (const [what, make] of Object.entries(mutants)) {
  test(`the corpus notices when ${what}`, () => {
    expect(noticed(make())).toBe(ENOUGH);
  });
}
