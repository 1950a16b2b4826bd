import { moveOnAfter, scope, shield, sleep, spawn, timeout, TimeoutError } from "fibril";
import type { Scope } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { currentDeadline, moveOnAt, remainingMs, timeoutAt } from "../../src/time/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";

describe("a deadline can be moved by the body", () => {
  test("later, as often as it gets on", () => {
    expect(
      simulated(function* () {
        return yield* timeout(10, function* (own) {
          expectTypeOf(own).toEqualTypeOf<Scope>();
          for (let part = 0; part < 5; part++) {
            yield* sleep(8);
            own.deadline += 8;
          }
          return [now(), own.deadline];
        });
      }),
    ).toEqual([40, 50]);
  });

  test("earlier; limitMs is the time that it had", () => {
    const error = failureOf(() =>
      timeout(1_000, function* load(own) {
        yield* sleep(10);
        own.deadline = now() + 5;
        yield* sleep(100);
      }),
    );
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error).toMatchObject({ limitMs: 15 });
    expect((error as Error).message).toContain('"load" did not end within 15 ms');
  });

  test("from never to a time, and from a time to never", () => {
    expect(
      failureOf(function* () {
        yield* sleep(3);
        yield* timeout(Infinity, function* (own) {
          own.deadline = 7;
          yield* sleep(100);
        });
      }),
    ).toMatchObject({ code: "TIMEOUT", limitMs: 4 });
    expect(
      simulated(function* () {
        yield* timeout(1, function* (own) {
          own.deadline = Infinity;
          yield* sleep(100);
        });
        return now();
      }),
    ).toBe(100);
  });

  test("moving it in the cleanup, when it has passed, changes nothing", () => {
    expect(
      failureOf(() =>
        timeout(5, function* (own) {
          try {
            yield* sleep(100);
          } finally {
            own.deadline = 1_000;
          }
        }),
      ),
    ).toMatchObject({ limitMs: 5 });
  });

  test("moveOnAfter passes its scope, too", () => {
    expect(
      simulated(function* () {
        const moved = yield* moveOnAfter(5, function* (own) {
          own.deadline += 5;
          yield* sleep(8);
          return "in time";
        });
        const late = yield* moveOnAfter(50, function* (own) {
          own.deadline = now() + 1;
          yield* sleep(8);
          return "in time";
        });
        return [moved, late, now()];
      }),
    ).toEqual(["in time", undefined, 9]);
  });
});

describe("timeoutAt and moveOnAt", () => {
  test("end the body when the clock shows the time", () => {
    expect(
      simulated(function* () {
        yield* sleep(4);
        const log: unknown[] = [];
        log.push(yield* timeoutAt(10.5, sleep(6)), now());
        log.push(
          yield* moveOnAt(15, function* () {
            yield* sleep(4);
            return "in time";
          }),
          yield* moveOnAt(20, sleep(7)),
          now(),
        );
        return log;
      }),
    ).toEqual([undefined, 10, "in time", undefined, 20]);
  });

  test("several share one deadline", () => {
    expect(
      simulated(function* () {
        let done = 0;
        const end = 25;
        for (;;) {
          const went = yield* moveOnAt(end, function* () {
            yield* sleep(10);
            return true;
          });
          if (went === undefined) return [done, now()];
          done++;
        }
      }),
    ).toEqual([2, 25]);
  });

  test("a deadline that has passed lets the body run up to its first wait", () => {
    const log: unknown[] = [];
    const error = failureOf(function* () {
      yield* sleep(10);
      yield* timeoutAt(5, function* () {
        log.push("began", remainingMs(), currentDeadline());
        yield* sleep(1);
        log.push("not reached");
      });
    });
    expect(error).toMatchObject({ code: "TIMEOUT", limitMs: 0 });
    expect(log).toEqual(["began", 0, -Infinity]);
  });

  test("limitMs counts from the beginning, moves included", () => {
    expect(
      failureOf(function* () {
        yield* sleep(10);
        yield* timeoutAt(13, function* (own) {
          own.deadline += 4;
          yield* sleep(100);
        });
      }),
    ).toMatchObject({ limitMs: 7 });
  });

  test("wait for the cleanup and cancel what was spawned", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      yield* moveOnAt(5, function* () {
        spawn(function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(2);
            seen.push(`child at ${now()}`);
          }
        });
        yield* sleep(100);
      });
      return seen;
    });
    expect(log).toEqual(["child at 7"]);
  });

  test("leave nothing behind, whenever they are cancelled", () => {
    cancelSweep(() => ({
      main: function* () {
        yield* moveOnAt(4, function* (own) {
          own.deadline += 1;
          yield* sleep(10);
        });
        yield* timeoutAt(10, sleep(2));
      },
    }));
  });

  test.each([NaN, undefined, "10"])("refuse %s and leave no scope open", (deadline) => {
    expect(
      simulated(function* () {
        const codes: unknown[] = [];
        for (const limit of [timeoutAt, moveOnAt]) {
          try {
            yield* limit(deadline as number, sleep(1));
          } catch (error) {
            codes.push((error as { code: string }).code);
          }
        }
        yield* scope(() => sleep(1)); // works only if nothing is open
        return codes;
      }),
    ).toEqual(["USAGE", "USAGE"]);
  });
});

test("a coroutine that has run already is refused by every limit, and leaves no scope open", () => {
  expect(
    simulated(function* () {
      const codes: unknown[] = [];
      for (const limit of [timeout, moveOnAfter, timeoutAt, moveOnAt]) {
        yield* scope(function* () {
          const once = (function* () {
            yield* sleep(1);
          })();
          yield* limit(1_000, once);
          try {
            yield* limit(1_000, once);
          } catch (error) {
            codes.push((error as { code: string }).code);
          }
        });
      }
      return codes;
    }),
  ).toEqual(["REUSED", "REUSED", "REUSED", "REUSED"]);
});

test("a body that is no coroutine is named", () => {
  const wrong = async function load(): Promise<void> {};
  expect((failureOf(() => timeout(5, wrong as never)) as Error).message).toContain("load");
});

describe("currentDeadline and remainingMs", () => {
  test("are those of the earliest scope around, seen from the running task", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [[currentDeadline(), remainingMs()]];
      yield* sleep(10);
      yield* timeout(100, function* () {
        log.push([currentDeadline(), remainingMs()]);
        yield* moveOnAfter(500, function* (inner) {
          yield* sleep(5);
          log.push([currentDeadline(), remainingMs()]);
          inner.deadline = 50;
          const child = spawn(function* () {
            log.push([currentDeadline(), remainingMs()]);
          });
          yield* child;
        });
      });
      log.push(currentDeadline());
      return log;
    });
    expect(seen).toEqual([[Infinity, Infinity], [110, 100], [110, 95], [50, 35], Infinity]);
  });

  test("are not those beyond a shield", () => {
    expect(
      simulated(() =>
        timeout(100, () =>
          shield(function* () {
            return [currentDeadline(), remainingMs(), yield* timeout(3, () => readDeadline())];
          }),
        ),
      ),
    ).toEqual([Infinity, Infinity, 3]);
    function* readDeadline() {
      return currentDeadline();
    }
  });

  test("say that no time is left once a scope around is cancelled, in its cleanup too", () => {
    expect(
      simulated(function* () {
        const log: unknown[] = [];
        yield* moveOnAfter(5, function* () {
          try {
            yield* sleep(10);
          } finally {
            log.push(currentDeadline(), remainingMs());
          }
        });
        return [...log, currentDeadline()];
      }),
    ).toEqual([-Infinity, 0, Infinity]);
  });

  test("are refused outside a coroutine", () => {
    expect(thrownBy(currentDeadline)).toMatchObject({ code: "OUTSIDE_TASK" });
    expect(thrownBy(remainingMs)).toMatchObject({ code: "OUTSIDE_TASK" });
  });
});
