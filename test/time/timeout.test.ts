import { Cancelled, moveOnAfter, scope, sleep, spawn, timeout, TimeoutError, until } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, expectTypeOf, test } from "vitest";
import { failureOf, now, simulated } from "../core/simulated.ts";

function* after<T>(ms: number, value: T): Coroutine<T> {
  yield* sleep(ms);
  return value;
}

describe("timeout", () => {
  test("gives the value that comes in time, of an operation or of a function that makes one", () => {
    expect(
      simulated(function* () {
        const value = yield* timeout(10, after(5, "operation"));
        expectTypeOf(value).toEqualTypeOf<string>();
        return [value, yield* timeout(10, () => after(5, 7)), yield* timeout(Infinity, sleep(5)), now()];
      }),
    ).toEqual(["operation", 7, undefined, 15]);
  });

  test("throws TimeoutError when the time has run out, after the cleanup of the body", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      try {
        yield* timeout(5, function* loadPage() {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(3);
            log.push(`clean at ${now()}`);
          }
        });
      } catch (error) {
        log.push(error instanceof TimeoutError, (error as TimeoutError).limitMs, now());
      }
      return log;
    });
    expect(seen).toEqual(["clean at 8", true, 5, 8]);
  });

  test("of zero or less lets the body run up to its first wait", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      for (const ms of [0, -1]) {
        try {
          yield* timeout(ms, function* () {
            log.push("began");
            yield* sleep(1);
            log.push("not reached");
          });
        } catch (error) {
          log.push((error as Error).name);
        }
      }
      log.push(
        yield* timeout(0, function* () {
          return "no wait, no timeout";
        }),
        now(),
      );
      return log;
    });
    expect(seen).toEqual(["began", "TimeoutError", "began", "TimeoutError", "no wait, no timeout", 0]);
  });

  test("of zero or less does not even start that first wait", () => {
    let started = 0;
    const seen = simulated(function* () {
      return yield* moveOnAfter(0, function* () {
        yield* until(() => {
          started++;
          return Promise.resolve();
        });
      });
    });
    expect([seen, started]).toEqual([undefined, 0]);
  });

  test("cancels what the body has spawned, too", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      try {
        yield* timeout(5, function* () {
          const child = spawn(function* () {
            try {
              yield* sleep(100);
            } finally {
              log.push(`child at ${now()}`);
            }
          });
          yield* child;
        });
      } catch (error) {
        log.push((error as Error).name);
      }
      return log;
    });
    expect(seen).toEqual(["child at 5", "TimeoutError"]);
  });

  test("throws what the body throws, in time or while it is stopped", () => {
    const error = new Error("own");
    expect(
      failureOf(() =>
        timeout(5, function* () {
          yield* sleep(1);
          throw error;
        }),
      ),
    ).toBe(error);
    expect(
      failureOf(() =>
        timeout(5, function* () {
          try {
            yield* sleep(10);
          } catch {
            throw error;
          }
        }),
      ),
    ).toBe(error);
  });

  test("a body that cannot begin ends it all the same", () => {
    const error = new Error("cannot begin");
    expect(
      simulated(function* () {
        return yield* scope(function* () {
          try {
            yield* timeout(5, () => {
              throw error;
            });
          } catch (it) {
            yield* sleep(10);
            return it === error;
          }
          return false;
        });
      }),
    ).toBe(true);
  });
});

describe("moveOnAfter", () => {
  test("gives the value that comes in time, else undefined", () => {
    expect(
      simulated(function* () {
        const value = yield* moveOnAfter(10, after(5, "in time"));
        expectTypeOf(value).toEqualTypeOf<string | undefined>();
        return [value, yield* moveOnAfter(10, after(50, "late")), now()];
      }),
    ).toEqual(["in time", undefined, 15]);
  });

  test("lets errors through, and cancellations that are not its own", () => {
    const error = new Error("own");
    expect(
      failureOf(() =>
        moveOnAfter(5, function* () {
          yield* sleep(1);
          throw error;
        }),
      ),
    ).toBe(error);
    const seen = simulated(function* () {
      const log: unknown[] = [];
      const task = spawn(function* () {
        try {
          yield* moveOnAfter(50, sleep(100));
          log.push("not reached");
        } catch (it) {
          log.push(it instanceof Cancelled);
          throw it;
        }
      });
      yield* sleep(1);
      yield* task.cancel();
      return log;
    });
    expect(seen).toEqual([true]);
  });

  test("in a loop it retries, and leaves nothing behind", () => {
    expect(
      simulated(function* () {
        let tries = 0;
        for (;;) {
          tries++;
          const length = 30 / tries;
          const value = yield* moveOnAfter(10, after(length, "done"));
          if (value !== undefined) return [value, tries, now()];
        }
      }),
    ).toEqual(["done", 4, 37.5]);
  });
});

test("the error names what the body was waiting for when its time ran out", () => {
  const message = (body: () => Coroutine<unknown>): string => (failureOf(() => timeout(5, body)) as Error).message;
  expect(
    message(function* load() {
      yield* timeout(50, sleep(20));
    }),
  ).toBe('"load" did not end within 5 ms; it was waiting for sleep 20 ms');
  expect(
    message(function* () {
      spawn(function* child() {
        yield* sleep(20);
      });
    }),
  ).toBe('the operation did not end within 5 ms; it was waiting for 1 task(s) of scope "timeout"');
  expect((failureOf(() => timeout(0, sleep(20))) as Error).message).toBe("the operation did not end within 0 ms");
});
