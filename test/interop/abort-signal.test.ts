/**
 * AbortSignal into coroutines: aborted() and withSignal(), and no listener left on a signal that lives on.
 */
import {
  all,
  Cancelled,
  CancelledError,
  currentScope,
  moveOnAfter,
  race,
  run,
  sleep,
  spawn,
  UsageError,
  yieldNow,
} from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { aborted, withSignal } from "../../src/interop/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";
import { listenersOf } from "./left.ts";

const left = (signal: AbortSignal): number => listenersOf(signal, "abort");

describe("aborted(signal)", () => {
  test("waits for the abort and gives its reason", () => {
    const controller = new AbortController();
    const seen = simulated(function* () {
      const task = spawn(() => aborted(controller.signal));
      yield* yieldNow();
      yield* yieldNow();
      expect([task.state, task.waitingFor, left(controller.signal)]).toEqual(["waiting", "abort of a signal", 1]);
      controller.abort("stop");
      return yield* task;
    });
    expect([seen, left(controller.signal)]).toEqual(["stop", 0]);
  });

  test("of a signal that has aborted gives the reason at once", () => {
    const signal = AbortSignal.abort("before");
    expect(simulated(() => aborted(signal))).toBe("before");
    expect(left(signal)).toBe(0);
  });

  test("holds the loop: something outside will abort it", () => {
    const controller = new AbortController();
    const { leaks } = simulateSync(() => aborted(controller.signal));
    expect(leaks.join()).toContain("outside");
  });

  test("10,000 waits one after another and 10,000 at once: never more than one listener, no warning, none afterwards", async () => {
    const warnings: unknown[] = [];
    const controller = new AbortController();
    const { signal } = controller;
    const onWarning = (warning: Error & { readonly target?: unknown }): void => {
      if (warning.target === signal) warnings.push(warning); // others may warn of what is theirs
    };
    process.on("warning", onWarning);
    const woken = await run(function* () {
      for (let i = 0; i < 10_000; i++) yield* race([aborted(signal), yieldNow()]);
      expect(left(signal)).toBe(0);
      for (let i = 0; i < 10_000; i++) yield* withSignal(signal, yieldNow());
      expect(left(signal)).toBe(0);
      const tasks = Array.from({ length: 10_000 }, () => spawn(() => aborted(signal)));
      const given = Array.from({ length: 10_000 }, () => spawn(() => race([aborted(signal), yieldNow()])));
      yield* all(given);
      expect(left(signal)).toBe(1);
      controller.abort("all");
      return (yield* all(tasks)).filter((reason) => reason === "all").length;
    });
    await new Promise<void>((resolve) => process.nextTick(resolve));
    process.off("warning", onWarning);
    expect([woken, left(signal), warnings]).toEqual([10_000, 0, []]);
  });

  test("one object in two tasks at once is refused", () => {
    const { signal } = new AbortController();
    const error = failureOf(function* () {
      const shared = aborted(signal);
      const first = spawn(() => shared);
      yield* yieldNow();
      yield* yieldNow();
      try {
        yield* shared;
      } finally {
        yield* first.cancel();
      }
    });
    expect(error).toMatchObject({ code: "SHARED_WAIT" });
    expect(left(signal)).toBe(0);
  });

  test("an operation can be used again", () => {
    const { signal } = new AbortController();
    const operation = aborted(signal);
    expect(
      simulated(function* () {
        yield* race([operation, yieldNow()]);
        yield* race([operation, yieldNow()]);
        return left(signal);
      }),
    ).toBe(0);
  });

  test("something that is no signal is refused", () => {
    expect(thrownBy(() => aborted({} as AbortSignal))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => aborted(new EventTarget() as AbortSignal))).toBeInstanceOf(UsageError);
    expect(failureOf(() => withSignal(undefined as never, yieldNow()))).toBeInstanceOf(UsageError);
  });
});

describe("withSignal(signal, body)", () => {
  test("cancels the body when the signal aborts, waits for its cleanup, and throws the very reason", () => {
    const controller = new AbortController();
    const reason = new Error("the reason");
    const log: unknown[] = [];
    const error = failureOf(function* () {
      spawn(function* () {
        yield* sleep(5);
        controller.abort(reason);
      });
      yield* withSignal(controller.signal, function* () {
        try {
          yield* sleep(100);
        } catch (cancelled) {
          log.push((cancelled as Cancelled).source, (cancelled as Cancelled).reason === reason);
          throw cancelled;
        } finally {
          yield* sleep(3);
          log.push(now());
        }
      });
    });
    expect(error).toBe(reason);
    expect([log, left(controller.signal)]).toEqual([["abort-signal", true, 8], 0]);
  });

  test("an abort without a reason throws the platform's AbortError", () => {
    const error = failureOf(() => withSignal(AbortSignal.abort(), sleep(10)));
    expect(error).toBeInstanceOf(DOMException);
    expect(error).toMatchObject({ name: "AbortError" });
  });

  test("a reason may be anything", () => {
    expect(failureOf(() => withSignal(AbortSignal.abort("text"), sleep(10)))).toBe("text");
  });

  test("with a signal that has aborted the body runs up to its first wait", () => {
    const log: string[] = [];
    failureOf(() =>
      withSignal(AbortSignal.abort("x"), function* () {
        log.push("began");
        yield* sleep(0);
        log.push("went on");
      }),
    );
    expect(log).toEqual(["began"]);
    expect(simulated(() => withSignal(AbortSignal.abort("x"), function* () { return "value"; }))).toBe("value"); // prettier-ignore
  });

  test("gives the value of the body, or throws its error, and stops listening", () => {
    const { signal } = new AbortController();
    expect(simulated(() => withSignal(signal, function* () { return (yield* sleep(1), 7); }))).toBe(7); // prettier-ignore
    const error = new Error("body");
    expect(
      failureOf(() =>
        withSignal(signal, function* () {
          yield* sleep(1);
          throw error;
        }),
      ),
    ).toBe(error);
    expect(left(signal)).toBe(0);
  });

  test("an error of the cleanup wins over the reason", () => {
    const error = new Error("cleanup");
    const seen = failureOf(() =>
      withSignal(AbortSignal.abort("reason"), function* () {
        try {
          yield* sleep(1);
        } finally {
          throw error; // oxlint-disable-line no-unsafe-finally -- that is the case
        }
      }),
    );
    expect(seen).toBe(error);
  });

  test("cancels what the body has spawned, too", () => {
    const controller = new AbortController();
    const log: string[] = [];
    const error = failureOf(() =>
      withSignal(controller.signal, function* () {
        spawn(function* child(): Coroutine<void> {
          try {
            yield* sleep(100);
          } finally {
            log.push("child ended");
          }
        });
        yield* sleep(1);
        controller.abort("now");
        yield* sleep(100);
      }),
    );
    expect([error, log]).toEqual(["now", ["child ended"]]);
  });

  test("a body that cancels its own scope gives CancelledError, not the reason", () => {
    const error = failureOf(() =>
      withSignal(new AbortController().signal, function* () {
        currentScope().cancel("own");
        yield* sleep(1);
      }),
    );
    expect(error).toBeInstanceOf(CancelledError);
  });

  test("a cancellation from outside passes through, also when the signal aborts later", () => {
    const controller = new AbortController();
    const seen = simulated(function* () {
      const value = yield* moveOnAfter(
        1,
        withSignal(controller.signal, function* () {
          try {
            yield* sleep(10);
          } finally {
            controller.abort("too late");
            yield* sleep(1);
          }
        }),
      );
      return [value, now()];
    });
    expect([seen, left(controller.signal)]).toEqual([[undefined, 2], 0]);
  });

  test("two at different depths are told apart", () => {
    const outer = new AbortController();
    const inner = new AbortController();
    const log: unknown[] = [];
    const error = failureOf(() =>
      withSignal(outer.signal, function* () {
        try {
          yield* withSignal(inner.signal, function* () {
            inner.abort("inner");
            yield* sleep(1);
          });
        } catch (reason) {
          log.push(reason);
        }
        outer.abort("outer");
        yield* sleep(1);
      }),
    );
    expect([log, error]).toEqual([["inner"], "outer"]);
  });

  test.each([undefined, 1, 2, 3])("cancelled at any step, it leaves no listener (seed %s)", (seed) => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => {
          const controller = new AbortController();
          return {
            *main() {
              spawn(function* () {
                yield* sleep(2);
                controller.abort("reason");
              });
              const reasons = spawn(() => race([aborted(controller.signal, { external: false }), sleep(3)]));
              try {
                yield* withSignal(controller.signal, () => all([sleep(5), withSignal(controller.signal, sleep(5))]));
              } catch (error) {
                if (error instanceof Cancelled) throw error;
              }
              yield* reasons;
            },
            check: () => expect(left(controller.signal)).toBe(0),
          };
        },
        { target, ...(seed === undefined ? {} : { seed }) },
      );
      expect(sweep.runs).toBeGreaterThan(10);
    }
  });
});
