/**
 * until(): waiting for promises, and the way of a cancellation into them.
 */
import { Cancelled, CancelledError, moveOnAfter, run, sleep, spawn, until, yieldNow } from "fibril";
import { simulate } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { now } from "./simulated.ts";

/** A promise that the test settles. */
function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

describe("until a promise", () => {
  test("gives its value, or throws what it rejects with", async () => {
    const error = new Error("rejected");
    const seen = await run(function* () {
      const log: unknown[] = [yield* until(Promise.resolve(1)), yield* until(Promise.resolve())];
      try {
        yield* until(Promise.reject(error));
      } catch (it) {
        log.push(it);
      }
      return log;
    });
    expect(seen).toEqual([1, undefined, error]);
    expect(seen[2]).toBe(error);
  });

  test("takes any thenable, also one that answers at once", async () => {
    const thenable = { then: (resolve: (value: number) => void) => resolve(7) } as unknown as PromiseLike<number>;
    expect(await run(() => until(thenable))).toBe(7);
  });

  test("holds the loop open, and virtual time still", async () => {
    const { promise, resolve } = deferred<string>();
    const log: unknown[] = [];
    const value = simulate(function* () {
      const task = spawn(function* () {
        yield* sleep(50);
        log.push(`slept until ${now()}`);
      });
      log.push([yield* until(promise), now()]);
      yield* task;
    });
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(log).toEqual([]);
    resolve("value");
    await value;
    expect(log).toEqual([["value", 0], "slept until 50"]);
  });

  test.each([
    ["a number", 42],
    ["nothing", undefined],
    ["a function that gives nothing", () => undefined],
  ])("%s is refused at that line, and the task can go on waiting", async (_, value) => {
    const seen = await run(function* () {
      try {
        yield* until(value as never);
      } catch (error) {
        yield* sleep(1);
        return error instanceof Error ? "an error" : error;
      }
      return "nothing";
    });
    expect(seen).toBe("an error");
  });

  test("a thenable that throws is a promise that rejects", async () => {
    const seen = await run(function* () {
      try {
        yield* until({
          then: () => {
            throw new Error("broken then");
          },
        });
      } catch (error) {
        yield* sleep(1);
        return (error as Error).message;
      }
      return "nothing";
    });
    expect(seen).toBe("broken then");
  });
});

describe("a cancelled until", () => {
  test("aborts the signal that the function was given, with a CancelledError as reason", async () => {
    const seen: AbortSignal[] = [];
    await run(function* () {
      const task = spawn(function* () {
        yield* until((signal) => {
          seen.push(signal);
          return new Promise(() => {});
        });
      });
      yield* yieldNow();
      yield* yieldNow();
      expect(seen[0]!.aborted).toBe(false);
      yield* task.cancel("no longer needed");
    });
    expect(seen[0]!.aborted).toBe(true);
    expect(seen[0]!.reason).toBeInstanceOf(CancelledError);
    expect(seen[0]!.reason).toMatchObject({ reason: "no longer needed" });
  });

  test("never calls the function when the cancellation came first", async () => {
    let called = 0;
    await run(function* () {
      const task = spawn(function* () {
        yield* until(() => {
          called++;
          return Promise.resolve();
        });
      });
      yield* task.cancel();
    });
    expect(called).toBe(0);
  });

  test("drops the late value, and a late rejection is not unhandled", async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", listener);
    const late = [deferred<string>(), deferred<string>()];
    const seen = await run(function* () {
      const values = [yield* moveOnAfter(1, until(late[0]!.promise)), yield* moveOnAfter(1, until(late[1]!.promise))];
      late[0]!.resolve("late");
      late[1]!.reject(new Error("late"));
      yield* sleep(2);
      return values;
    });
    process.off("unhandledRejection", listener);
    expect([seen, unhandled]).toEqual([[undefined, undefined], []]);
  });

  test("does not wait for the promise: the task goes on at once", async () => {
    const at = await simulate(function* () {
      const task = spawn(() => until(() => new Promise(() => {})));
      yield* yieldNow();
      yield* yieldNow();
      yield* task.cancel();
      return now();
    });
    expect(at).toBe(0);
  });

  test("a promise that settled in the same turn is not lost: the value comes first", async () => {
    const seen: unknown[] = [];
    await run(function* () {
      const { promise, resolve } = deferred<string>();
      const canceller = spawn(function* () {
        yield* until(promise);
        seen.push(`cancelled while ${task.state}`);
        yield* task.cancel();
      });
      const task = spawn(function* () {
        seen.push(yield* until(promise));
        yield* sleep(1);
        seen.push("not reached");
      });
      yield* sleep(1);
      resolve("value");
      yield* canceller;
      seen.push(task.outcome?.status);
    });
    expect(seen).toEqual(["cancelled while ready", "value", "cancelled"]);
  });

  test("a thenable that rejects from inside the abort does not hide the cancellation", async () => {
    const seen: string[] = [];
    await run(function* () {
      const task = spawn(function* () {
        try {
          yield* until(
            (signal) =>
              ({
                then: (_: unknown, reject: (error: unknown) => void) => {
                  signal.addEventListener("abort", () => reject(new Error("aborted")));
                },
              }) as unknown as PromiseLike<void>,
          );
        } catch (error) {
          seen.push(error instanceof Cancelled ? "cancelled" : String(error));
          if (error instanceof Cancelled) throw error;
        }
        yield* sleep(1);
        seen.push("went on");
      });
      yield* yieldNow();
      yield* yieldNow();
      yield* task.cancel();
      seen.push(task.outcome!.status);
    });
    expect(seen.at(-1)).toBe("cancelled");
    expect(seen).not.toContain("went on");
  });

  test("an operation that is used again is not woken by the promise of its first use", async () => {
    const promises: ReturnType<typeof deferred<string>>[] = [];
    const value = await run(function* () {
      const operation = until<string>(() => {
        promises.push(deferred());
        return promises.at(-1)!.promise;
      });
      const first = spawn(() => operation);
      while (promises.length < 1) yield* yieldNow();
      yield* first.cancel();
      spawn(function* () {
        promises[0]!.resolve("stale");
        yield* until(promises[0]!.promise);
        yield* sleep(1);
        while (promises.length < 2) yield* yieldNow();
        promises[1]!.resolve("fresh");
      });
      return yield* operation;
    });
    expect(value).toBe("fresh");
  });
});
