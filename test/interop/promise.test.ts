/**
 * toPromise() and asyncFunction(): coroutines for promise code.
 */
import {
  Cancelled,
  CancelledError,
  currentTask,
  EventLoop,
  run,
  scope,
  sleep,
  spawn,
  UsageError,
  yieldNow,
} from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { asyncFunction, toPromise, until } from "../../src/interop/index.ts";
import { thrownBy } from "../core/simulated.ts";
import { listenersOf, rejectionOf, turns, virtualLoop, withUnhandled } from "./left.ts";

function* double(n: number): Coroutine<number> {
  yield* yieldNow();
  return n * 2;
}

function* failing(error: unknown): Coroutine<never> {
  yield* yieldNow();
  throw error;
}

describe("toPromise() inside a coroutine", () => {
  test("runs it as a task of the current scope, and the promise tells its value", async () => {
    const seen = await run(function* () {
      const parent = currentTask();
      const promise = toPromise(function* child() {
        const task = currentTask();
        yield* yieldNow();
        return [task.name, task.parent === parent];
      });
      return yield* until(promise);
    });
    expect(seen).toEqual(["child", true]);
  });

  test("the scope waits for it", async () => {
    const log: string[] = [];
    await run(function* () {
      yield* scope(function* () {
        void toPromise(function* () {
          yield* sleep(1);
          log.push("task ended");
        });
      });
      log.push("scope ended");
    });
    expect(log).toEqual(["task ended", "scope ended"]);
  });

  test("a failure goes to the scope and to who awaits; a promise that nobody awaits is no unhandled rejection", async () => {
    const error = new Error("failed");
    const { value, unhandled } = await withUnhandled(async () => {
      const awaited: unknown[] = [];
      const thrown = await rejectionOf(
        run(function* () {
          void toPromise(() => failing(error));
          toPromise(() => failing(error)).catch((it) => awaited.push(it));
          yield* sleep(100);
        }),
      );
      return [thrown, ...awaited];
    });
    expect(value).toEqual([error, error]);
    expect(unhandled).toEqual([]);
  });

  test("cancelled with its scope it rejects with CancelledError, and nothing is unhandled", async () => {
    const { value, unhandled } = await withUnhandled(async () => {
      const promises: Promise<unknown>[] = [];
      await run(() =>
        scope(function* (own) {
          promises.push(toPromise(sleep(1_000)));
          yield* yieldNow();
          own.cancel("enough");
        }),
      );
      return await rejectionOf(promises[0]!);
    });
    expect(value).toBeInstanceOf(CancelledError);
    expect(unhandled).toEqual([]);
  });

  test("needs a loop outside", () => {
    expect(thrownBy(() => toPromise(double(1)))).toMatchObject({ code: "OUTSIDE_TASK" });
    expect(thrownBy(() => toPromise(double(1), { loop: {} as EventLoop }))).toBeInstanceOf(UsageError);
  });
});

describe("toPromise() with a loop", () => {
  test("runs it as a task of nobody, whose failure only the promise tells", async () => {
    const { loop, host, reports } = virtualLoop();
    const error = new Error("failed");
    const value = toPromise(() => double(4), { loop });
    const failure = rejectionOf(toPromise(() => failing(error), { loop }));
    host.drain();
    expect([await value, await failure, reports]).toEqual([8, error, []]);
  });

  test("a signal cancels it; the promise rejects with the very reason after the cleanup", async () => {
    const { loop, host } = virtualLoop();
    const controller = new AbortController();
    const log: string[] = [];
    const promise = toPromise(
      function* () {
        try {
          yield* sleep(1_000);
        } catch (error) {
          log.push(error instanceof Cancelled ? error.source : "other");
          throw error;
        } finally {
          yield* sleep(5);
          log.push("cleaned up");
        }
      },
      { loop, signal: controller.signal },
    );
    const rejected = rejectionOf(promise);
    host.drain(() => loop.statistics().timers > 0);
    const reason = new Error("client went away");
    controller.abort(reason);
    host.drain();
    expect([await rejected, log]).toEqual([reason, ["abort-signal", "cleaned up"]]);
    expect(listenersOf(controller.signal, "abort")).toBe(0);
  });

  test("no listener is left on the signal when it ends by itself", async () => {
    const { loop, host } = virtualLoop();
    const { signal } = new AbortController();
    const promises = Array.from({ length: 50 }, () => toPromise(() => sleep(1), { loop, signal }));
    host.drain(() => loop.statistics().timers > 0);
    expect(listenersOf(signal, "abort")).toBe(1);
    host.drain();
    await Promise.all(promises);
    expect(listenersOf(signal, "abort")).toBe(0);
  });

  test("several that wait for each other's later calls are no deadlock", async () => {
    const { loop, host, reports } = virtualLoop();
    let open: (() => void) | undefined;
    const waits = toPromise(() => until(new Promise<void>((resolve) => (open = resolve))), { loop });
    host.drain();
    const opens = toPromise(
      function* () {
        open!();
      },
      { loop },
    );
    host.drain();
    await opens;
    await turns();
    host.drain();
    await waits;
    expect(reports).toEqual([]);
  });
});

describe("asyncFunction()", () => {
  test("is an async function with the arguments and the name of the coroutine function", async () => {
    const call = asyncFunction(double);
    expect([await call(4), call.name]).toEqual([8, "double"]);
  });

  test("may be called from anywhere: outside, inside a step, inside a step of another loop", async () => {
    const loop = new EventLoop({ name: "mine" });
    const call = asyncFunction(
      function* () {
        yield* yieldNow();
        return [EventLoop.current().name, currentTask().parent];
      },
      { loop },
    );
    const expected = ["mine", null];
    expect(await call()).toEqual(expected);
    expect(await run(() => until(call()))).toEqual(expected);
    expect(await run(() => until(call()), { loop })).toEqual(expected);
  });

  test("without a loop it takes that of the coroutine that makes it, else all share one", async () => {
    const current = (): ((this: void) => Promise<EventLoop>) =>
      asyncFunction(function* () {
        return EventLoop.current();
      });
    const [one, two] = [await current()(), await current()()];
    expect(one).toBe(two);
    const loop = new EventLoop();
    const call = await run(
      function* () {
        return current();
      },
      { loop },
    );
    expect(await call()).toBe(loop);
  });

  test("rejects with what it throws, also when it throws before it makes a coroutine, or makes none", async () => {
    const error = new Error("failed");
    expect(await rejectionOf(asyncFunction(failing)(error))).toBe(error);
    const early = asyncFunction((): Coroutine<void> => {
      throw error;
    });
    expect(await rejectionOf(early())).toBe(error);
    expect(await rejectionOf(asyncFunction((() => 5) as never)())).toMatchObject({ code: "NOT_AN_OPERATION" });
    expect(thrownBy(() => asyncFunction(5 as never))).toBeInstanceOf(UsageError);
  });

  test("a failure that is handled is not reported and not unhandled; one that is not is the platform's to tell", async () => {
    const reports: unknown[] = [];
    const loop = new EventLoop({ onReport: (report) => void reports.push(report) });
    const call = asyncFunction(failing, { loop });
    const handled = await withUnhandled(() => rejectionOf(call("handled")));
    expect([handled, reports]).toEqual([{ value: "handled", unhandled: [] }, []]);
    const forgotten = await withUnhandled(async () => void call("forgotten"));
    expect([forgotten.unhandled, reports]).toEqual([["forgotten"], []]);
  });

  test("finds the signal among its arguments", async () => {
    const controller = new AbortController();
    const wait = asyncFunction((ms: number, _signal?: AbortSignal) => sleep(ms), { signal: ([, signal]) => signal });
    const rejected = rejectionOf(wait(60_000, controller.signal));
    await turns();
    controller.abort("stop");
    expect(await rejected).toBe("stop");
    await wait(0);
    expect(listenersOf(controller.signal, "abort")).toBe(0);
  });

  test("a call from a coroutine is not cancelled with its caller: it belongs to nobody", async () => {
    const log: string[] = [];
    const call = asyncFunction(function* () {
      yield* sleep(2);
      log.push("went on");
    });
    const pending: Promise<void>[] = [];
    await run(function* () {
      const task = spawn(function* () {
        pending.push(call());
        yield* until(pending[0]!);
      });
      yield* yieldNow();
      yield* yieldNow();
      yield* task.cancel();
    });
    await pending[0];
    expect(log).toEqual(["went on"]);
  });
});
