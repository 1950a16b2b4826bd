/**
 * From promise code into the loop and back.
 */
import {
  currentScope,
  currentTask,
  EventLoop,
  run,
  scope,
  sleep,
  spawn,
  suppressedErrors,
  until,
  yieldNow,
} from "fibril";
import { VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { now } from "./simulated.ts";

describe("run", () => {
  test("gives what main returns, after everything that it spawned", async () => {
    const log: string[] = [];
    const value = await run(function* main() {
      spawn(function* () {
        yield* sleep(2);
        log.push("child");
      });
      return currentTask().name;
    });
    expect([value, log]).toEqual(["main", ["child"]]);
  });

  test("rejects with what main threw, the same object, with what came later", async () => {
    const [first, later] = [new Error("first"), new Error("later")];
    const error: unknown = await run(() =>
      scope(function* (own) {
        own.defer(() => {
          throw later;
        });
        throw first;
      }),
    ).catch((it: unknown) => it);
    expect(error).toBe(first);
    expect(suppressedErrors(error)).toEqual([later]);
  });

  test("rejects when main cannot even begin", async () => {
    await expect(run((() => undefined) as never)).rejects.toMatchObject({ code: "NOT_AN_OPERATION" });
    await expect(
      run(() => {
        throw new Error("before it began");
      }),
    ).rejects.toThrow("before it began");
  });

  test("runs on a loop of its own, or on the one that is given", async () => {
    const loop = new EventLoop({ name: "given" });
    const names = await Promise.all([
      run(function* () {
        yield* yieldNow();
        return EventLoop.current().name;
      }),
      run(
        function* () {
          yield* yieldNow();
          return EventLoop.current() === loop;
        },
        { loop },
      ),
      run(
        function* () {
          return EventLoop.current().name;
        },
        { name: "mine" },
      ),
    ]);
    expect(names).toEqual(["main", true, "mine"]);
  });

  test("two runs at the same time keep apart, one inside the other works through until()", async () => {
    const value = await run(function* outer() {
      const inner = yield* until(
        run(
          function* inner() {
            yield* sleep(1);
            return [currentTask().name, EventLoop.current().name];
          },
          { name: "inner loop" },
        ),
      );
      return [...inner, currentTask().name, EventLoop.current().name];
    });
    expect(value).toEqual(["inner", "inner loop", "outer", "main"]);
  });

  test("takes clock and host, and needs nothing else of the platform", () => {
    const clock = new VirtualClock(1000);
    const host = new VirtualHost(clock);
    const log: number[] = [];
    void run(
      function* () {
        log.push(now());
        yield* sleep(500);
        log.push(now());
      },
      { clock, host },
    );
    expect(log).toEqual([]);
    host.drain();
    expect(log).toEqual([1000, 1500]);
  });
});

describe("an AbortSignal", () => {
  test("cancels main; its cleanup completes; the promise rejects with the signal's reason, the very value", async () => {
    const controller = new AbortController();
    const reason = new Error("user left");
    const log: string[] = [];
    const main = run(
      function* () {
        try {
          controller.abort(reason);
          yield* sleep(60_000);
          log.push("not reached");
        } finally {
          yield* sleep(1);
          log.push("clean");
        }
      },
      { signal: controller.signal },
    );
    const error: unknown = await main.catch((it: unknown) => it);
    expect(error).toBe(reason);
    expect(log).toEqual(["clean"]);
  });

  test("that is aborted already lets main run to its first wait", async () => {
    const log: string[] = [];
    const main = run(
      function* () {
        log.push("began");
        yield* sleep(1);
        log.push("not reached");
      },
      { signal: AbortSignal.abort("before") },
    );
    await expect(main).rejects.toBe("before");
    expect(log).toEqual(["began"]);
  });

  test("without a reason of its own rejects with the platform's AbortError", async () => {
    await expect(run(() => sleep(1), { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
  });

  test("that comes after another cancellation changes nothing: CancelledError", async () => {
    const controller = new AbortController();
    const main = run(
      function* () {
        currentScope().cancel("first");
        controller.abort("second");
        yield* sleep(1);
      },
      { signal: controller.signal },
    );
    await expect(main).rejects.toMatchObject({ code: "CANCELLED", reason: "first" });
  });

  test("is let go of when main has ended: no listener is left", async () => {
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--;
      removeEventListener.apply(signal, args);
    };
    await run(() => sleep(1), { signal });
    await run(
      function* () {
        throw new Error("x");
      },
      { signal },
    ).catch(() => {});
    expect(listeners).toBe(0);
    controller.abort();
  });

  test("main that handles it may return a value all the same", async () => {
    const controller = new AbortController();
    const value = await run(
      function* () {
        controller.abort();
        try {
          yield* sleep(60_000);
        } catch {
          return "handled";
        }
        return "not reached";
      },
      { signal: controller.signal },
    );
    expect(value).toBe("handled");
  });

  test("cleanupMs bounds the cleanup of main", async () => {
    const reports: string[] = [];
    const controller = new AbortController();
    const main = run(
      function* () {
        controller.abort();
        try {
          yield* sleep(60_000);
        } finally {
          yield* sleep(60_000);
        }
      },
      { signal: controller.signal, cleanupMs: 5, onReport: (it) => void reports.push(it.kind) },
    );
    await expect(main).rejects.toMatchObject({ name: "AbortError" });
    expect(reports).toEqual(["cleanup-overrun"]);
  });
});
