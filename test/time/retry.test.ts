import {
  Cancelled,
  CancelledError,
  currentScope,
  defer,
  EventLoop,
  moveOnAfter,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
  TimeoutError,
  UsageError,
} from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { CircuitBreaker, earlierFailures, retry, RetryBudget } from "../../src/time/index.ts";
import type { FailedAttempt, RetryOptions } from "../../src/time/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";

/** Fails so many times, each time after 1 ms, then gives the number of the attempt. */
function failing(times: number, errorOf: (attempt: number) => unknown = (attempt) => new Error(`failure ${attempt}`)) {
  return function* load(attempt: number): Coroutine<number> {
    yield* sleep(1);
    if (attempt <= times) throw errorOf(attempt);
    return attempt;
  };
}

/** When each of the attempts began, for attempts that take no time and fail. */
function begins(options: RetryOptions): number[] {
  const times: number[] = [];
  try {
    simulated(() =>
      retry(function* () {
        times.push(now());
        throw new Error("again");
      }, options),
    );
  } catch {}
  return times;
}

const PLAIN = { jitter: "none", baseMs: 10 } as const;

describe("retry", () => {
  test("gives the first value that comes, and counts the attempts", () => {
    expect(
      simulated(function* () {
        const value = yield* retry(failing(2), { ...PLAIN, attempts: 5 });
        expectTypeOf(value).toEqualTypeOf<number>();
        return [value, now()];
      }),
    ).toEqual([3, 1 + 10 + 1 + 20 + 1]);
    expect(simulated(() => retry(failing(0)))).toBe(1);
  });

  test("waits exponentially longer, up to a limit", () => {
    expect(begins({ ...PLAIN, attempts: 6, factor: 3, maxDelayMs: 200 })).toEqual([0, 10, 40, 130, 330, 530]);
    expect(begins({ ...PLAIN, attempts: 4, factor: 1 })).toEqual([0, 10, 20, 30]);
    expect(begins({ ...PLAIN, attempts: 3, baseMs: 0 })).toEqual([0, 0, 0]);
    expect(begins({ baseMs: 0, factor: 10, attempts: 400 }).length).toBe(400);
    expect(begins({ jitter: "none", attempts: 2_000, factor: 10, maxDelayMs: 1 }).at(-1)).toBe(1_999);
  });

  test("by default makes three attempts, with full jitter from 100 ms on", () => {
    const random = (): number => 0.5;
    expect(begins({ random })).toEqual([0, 50, 150]);
    expect(begins({})).toEqual(begins({})); // from the loop, so the same every time
  });

  test("jitter: full, equal, decorrelated", () => {
    const numbers = (...all: number[]) => {
      const left = [...all];
      return (): number => left.shift() ?? 0;
    };
    const options = { baseMs: 100, attempts: 4, maxDelayMs: 1_000 };
    expect(begins({ ...options, jitter: "full", random: numbers(0, 0.25, 0.75) })).toEqual([0, 0, 50, 350]);
    expect(begins({ ...options, jitter: "equal", random: numbers(0, 0.25, 0.75) })).toEqual([0, 50, 175, 525]);
    // 100 + r * (3 * before - 100), at most 1,000
    expect(begins({ ...options, jitter: "decorrelated", random: numbers(0.5, 0.5, 0.999) })).toEqual([
      0,
      200,
      200 + 350,
      550 + 1_000,
    ]);
  });

  test("throws the last failure as it is; earlierFailures has those before", () => {
    const errors = [new Error("a"), new Error("b"), new Error("c")];
    const thrown = failureOf(() =>
      retry(
        failing(9, (attempt) => errors[attempt - 1]),
        { ...PLAIN, attempts: 3 },
      ),
    );
    expect(thrown).toBe(errors[2]);
    expect(earlierFailures(thrown)).toEqual([errors[0], errors[1]]);
    expect(suppressedErrors(thrown)).toEqual([]); // those came after an error
    expect([earlierFailures(errors[0]), earlierFailures("x"), earlierFailures(null)]).toEqual([[], [], []]);
  });

  test("keeps the 16 latest earlier failures, each once, and no more however often", () => {
    const always = new Error("the same");
    for (let i = 0; i < 3; i++) {
      failureOf(() =>
        retry(
          failing(99, (attempt) => (attempt === 30 ? always : `f${attempt}`)),
          { ...PLAIN, factor: 1, attempts: 30 },
        ),
      );
    }
    expect(earlierFailures(always)).toEqual(Array.from({ length: 16 }, (_, i) => `f${14 + i}`));
    failureOf(() =>
      retry(
        failing(99, () => always),
        { ...PLAIN, attempts: 3 },
      ),
    );
    expect(earlierFailures(always)).not.toContain(always);
  });

  test("nested retries: the failures of the attempts inside count too, in order", () => {
    let count = 0;
    const thrown = failureOf(() =>
      retry(
        () =>
          retry(
            function* () {
              throw { n: ++count };
            },
            { ...PLAIN, attempts: 2 },
          ),
        { ...PLAIN, attempts: 2 },
      ),
    );
    expect(thrown).toEqual({ n: 4 });
    expect(earlierFailures(thrown)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  test("asks `when`, with the number of the attempt", () => {
    const asked: unknown[] = [];
    const when = (error: unknown, attempt: number): boolean => {
      asked.push([(error as Error).message, attempt]);
      return attempt < 2;
    };
    expect(failureOf(() => retry(failing(9), { ...PLAIN, attempts: 9, when }))).toMatchObject({ message: "failure 2" });
    expect(asked).toEqual([
      ["failure 1", 1],
      ["failure 2", 2],
    ]);
  });

  test("by default retries no usage error and no cancellation of something else", () => {
    const aborted = AbortSignal.abort().reason as unknown;
    for (const error of [new UsageError("wrong"), new CancelledError("it", undefined), aborted]) {
      let attempts = 0;
      const thrown = failureOf(() =>
        retry(
          failing(9, (attempt) => ((attempts = attempt), error)),
          { ...PLAIN, attempts: 3 },
        ),
      );
      expect([thrown, attempts]).toEqual([error, 1]);
    }
    expect(
      simulated(() =>
        retry(
          failing(1, () => new UsageError("wrong")),
          { ...PLAIN, when: () => true },
        ),
      ),
    ).toBe(2);
  });

  test("a time-out inside is a failure like any other", () => {
    expect(failureOf(() => retry(() => timeout(5, sleep(100)), { ...PLAIN, attempts: 2 }))).toBeInstanceOf(
      TimeoutError,
    );
  });

  test("never retries Cancelled, in an attempt or between two", () => {
    for (const cancelAt of [0.5, 5]) {
      let attempts = 0;
      const seen: unknown[] = [];
      simulated(function* () {
        const task = spawn(function* () {
          try {
            yield* retry(
              failing(9, (attempt) => (attempts = attempt)),
              { ...PLAIN, when: () => true },
            );
          } catch (error) {
            seen.push(error instanceof Cancelled);
            throw error;
          }
        });
        yield* sleep(cancelAt);
        yield* task.cancel();
        seen.push(now(), EventLoop.current().statistics().timers);
        yield* sleep(100);
      });
      expect(seen).toEqual([true, cancelAt, 0]);
      expect(attempts).toBe(cancelAt < 1 ? 0 : 1);
    }
  });

  test("an attempt that cancels itself has failed with CancelledError", () => {
    const thrown = failureOf(() =>
      retry(function* () {
        currentScope().cancel("enough");
        yield* sleep(1);
      }),
    );
    expect(thrown).toMatchObject({ code: "CANCELLED", reason: "enough" });
  });

  test("what an attempt has spawned and taken is gone before the next one begins", () => {
    const log: unknown[] = [];
    simulated(() =>
      retry(
        function* (attempt: number) {
          log.push(`begin ${attempt}`);
          defer(() => void log.push(`release ${attempt}`));
          spawn(function* () {
            try {
              yield* sleep(1_000);
            } finally {
              log.push(`child of ${attempt} ends at ${now()}`);
            }
          });
          yield* sleep(1);
          if (attempt === 1) throw new Error("once");
          currentScope().tasks.forEach((task) => task.cancel());
        },
        { ...PLAIN },
      ),
    );
    expect(log).toEqual([
      "begin 1",
      "child of 1 ends at 1",
      "release 1",
      "begin 2",
      "child of 2 ends at 12",
      "release 2",
    ]);
  });

  test("retryAfterMs: the delay is not shorter than the other side asks; too long is given up", () => {
    class Busy extends Error {
      readonly retryAfterMs: number;
      constructor(retryAfterMs: number) {
        super("busy");
        this.retryAfterMs = retryAfterMs;
      }
    }
    const times: number[] = [];
    const asks = [50, 5, 101];
    const thrown = failureOf(() =>
      retry(
        function* (attempt) {
          times.push(now());
          throw new Busy(asks[attempt - 1]!);
        },
        { ...PLAIN, attempts: 9, maxDelayMs: 100 },
      ),
    );
    expect(times).toEqual([0, 50, 70]);
    expect(thrown).toMatchObject({ retryAfterMs: 101 });
    expect(begins({ ...PLAIN, retryAfterMs: () => 30 })).toEqual([0, 30, 60]);
    expect(begins({ ...PLAIN, retryAfterMs: () => undefined })).toEqual([0, 10, 30]);
    expect(failureOf(() => retry(failing(1), { retryAfterMs: () => NaN }))).toMatchObject({ code: "USAGE" });
  });

  test("totalMs: no attempt begins later than that, and none is cut off", () => {
    expect(begins({ ...PLAIN, attempts: 9, totalMs: 70 })).toEqual([0, 10, 30, 70]);
    expect(begins({ ...PLAIN, attempts: 9, totalMs: 69 })).toEqual([0, 10, 30]);
    expect(
      simulated(function* () {
        yield* retry(() => sleep(500), { totalMs: 10 });
        return now();
      }),
    ).toBe(500);
  });

  test("tells onRetry before each delay; what that throws ends it", () => {
    const seen: FailedAttempt[] = [];
    failureOf(() => retry(failing(9), { ...PLAIN, attempts: 3, onRetry: (failed) => void seen.push(failed) }));
    expect(seen).toMatchObject([
      { attempt: 1, delayMs: 10, error: { message: "failure 1" } },
      { attempt: 2, delayMs: 20, error: { message: "failure 2" } },
    ]);
    const error = new Error("enough");
    const onRetry = (): never => {
      throw error;
    };
    expect(failureOf(() => retry(failing(9), { ...PLAIN, onRetry }))).toBe(error);
  });

  test("shows the schedule in what it waits for", () => {
    simulated(function* () {
      const options = { jitter: "none", baseMs: 180.4, factor: 1, when: () => true } as const;
      const tasks = [
        spawn(() => retry(failing(1), { ...options, attempts: 6 })),
        spawn(() => retry(() => failing(1)(1), { ...options, attempts: Infinity, name: "stock" })),
      ];
      yield* sleep(10);
      expect(tasks.map((task) => task.waitingFor)).toEqual([
        'retry 1 of 5 of "load" in 180 ms',
        "retry 1 of stock in 180 ms",
      ]);
      for (const task of tasks) yield* task.cancel();
    });
  });

  test("waits for an open circuit breaker", () => {
    const times: number[] = [];
    expect(
      simulated(function* () {
        const breaker = new CircuitBreaker({ failures: 1, openMs: 1_000 });
        return yield* retry(
          (attempt) =>
            breaker.use(function* () {
              times.push(now());
              if (attempt === 1) throw new Error("down");
              return attempt;
            }),
          { ...PLAIN },
        );
      }),
    ).toBe(3); // the second attempt was refused
    expect(times).toEqual([0, 1_000]);
  });

  test("cancelled at any step it leaves nothing", () => {
    for (const target of ["main", "stepped"] as const) {
      cancelSweep(
        () => ({
          main: () =>
            moveOnAfter(
              30,
              retry(
                function* (attempt) {
                  spawn(() => sleep(3));
                  yield* sleep(1);
                  if (attempt < 3) throw new Error("again");
                },
                { attempts: 4, baseMs: 5 },
              ),
            ),
        }),
        { target },
      );
    }
  });

  test("refuses a generator object: it could run only once", () => {
    const once = failing(0)(1);
    expect(thrownBy(() => retry(once as never))).toMatchObject({
      code: "USAGE",
      message: expect.stringContaining("retry(() => load(url))"),
    });
    // A function that gives the same one every time is found out at the second attempt.
    const same = failing(9)(1);
    expect(failureOf(() => retry(() => same, { ...PLAIN }))).toMatchObject({ code: "REUSED" });
  });

  test("says so when the body is no coroutine", () => {
    expect(failureOf(() => retry((async () => 1) as never))).toMatchObject({ code: "NOT_AN_OPERATION" });
  });

  test.each([
    ["attempts", 0],
    ["attempts", 1.5],
    ["attempts", NaN],
    ["baseMs", -1],
    ["baseMs", Infinity],
    ["factor", 0.5],
    ["maxDelayMs", Infinity],
    ["maxDelayMs", "1"],
    ["totalMs", -1],
    ["jitter", "some"],
  ])("refuses %s of %s at once", (option, value) => {
    expect(thrownBy(() => retry(failing(0), { [option]: value }))).toMatchObject({ code: "USAGE" });
  });
});

describe("a retry budget", () => {
  test("is shared: when it is used up, nobody retries", () => {
    const budget = new RetryBudget({ ratio: 0, reserve: 3 });
    let attempts = 0;
    simulated(function* () {
      for (let i = 0; i < 4; i++) {
        try {
          yield* retry(
            failing(9, () => ++attempts),
            { ...PLAIN, attempts: 3, budget },
          );
        } catch {}
      }
    });
    expect(attempts).toBe(4 + 3);
    expect(budget.statistics()).toEqual({ available: 0, requests: 4, retries: 3, refused: 3 });
  });

  test("ten requests at a ratio of 0.1 make exactly one retry", () => {
    const budget = new RetryBudget({ reserve: 0 });
    for (let round = 0; round < 1_000; round++) {
      for (let i = 0; i < 9; i++) budget.deposit();
      expect(budget.tryWithdraw()).toBe(false);
      budget.deposit();
      expect([budget.tryWithdraw(), budget.tryWithdraw()]).toEqual([true, false]);
    }
  });

  test("counts in whole thousandths, never more than asked", () => {
    const budget = new RetryBudget({ ratio: 0.0019, reserve: 0 });
    for (let i = 0; i < 999; i++) budget.deposit();
    expect(budget.tryWithdraw()).toBe(false);
    budget.deposit();
    expect(budget.tryWithdraw()).toBe(true);
  });

  test("saves up no more than its reserve", () => {
    const budget = new RetryBudget({ ratio: 1, reserve: 2 });
    for (let i = 0; i < 100; i++) budget.deposit();
    expect(budget.statistics().available).toBe(2);
    expect([1, 2, 3].map(() => budget.tryWithdraw())).toEqual([true, true, false]);
  });

  test("is asked last: a retry that is not made costs nothing", () => {
    const budget = new RetryBudget();
    failureOf(() => retry(failing(9), { budget, when: () => false }));
    failureOf(() => retry(failing(9), { budget, attempts: 1 }));
    failureOf(() => retry(failing(9), { budget, totalMs: 0, ...PLAIN }));
    expect(budget.statistics()).toMatchObject({ requests: 3, retries: 0, refused: 0 });
  });

  test.each([
    ["ratio", -0.1],
    ["ratio", 1.1],
    ["ratio", NaN],
    ["reserve", -1],
    ["reserve", 0.5],
    ["reserve", Infinity],
  ])("refuses a %s of %s", (option, value) => {
    expect(thrownBy(() => new RetryBudget({ [option]: value }))).toMatchObject({ code: "USAGE" });
  });
});
