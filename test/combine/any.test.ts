import { CancelledError, currentTask, moveOnAfter, sleep, spawn, suppressedErrors, UsageError } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { AllFailedError, any } from "../../src/combine/index.ts";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after, fail, told } from "./operands.ts";

describe("any", () => {
  test("gives the first success; failures before it are dropped", () => {
    const seen = simulated(function* () {
      const value = yield* any([fail(1, new Error("a")), after(3, "b"), () => after(2, 7)]);
      expectTypeOf(value).toEqualTypeOf<string | number>();
      return [value, now()];
    });
    expect(seen).toEqual([7, 2]);
  });

  test("the losers are cancelled at once, and their cleanup has ended when it returns", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const value = yield* any([told(log, "loser", 10, "l", 3), after(2, "winner")]);
      return [...log, `${value} at ${now()}`];
    });
    expect(seen).toEqual(["loser stopped at 5", "winner at 5"]);
  });

  test("when all fail it throws their errors in the order of the operands", () => {
    const errors = [new Error("a"), new Error("b"), "c"];
    const error = failureOf(() => any([fail(3, errors[0]), fail(1, errors[1]), fail(2, errors[2])]));
    expect(error).toBeInstanceOf(AllFailedError);
    expect(error).toMatchObject({ errors, code: "ALL_FAILED", cause: errors[0] });
    expect((error as Error).message).toContain("all 3 operand(s) of any failed");
  });

  test("an operand that was cancelled counts as failed, with a CancelledError", () => {
    const error = failureOf(function* () {
      const task = spawn(sleep, 50);
      task.cancel("elsewhere");
      yield* any([
        task,
        function* () {
          currentTask().cancel("myself");
          yield* sleep(1);
        },
      ]);
    }) as AllFailedError;
    expect(error.errors.map((it) => it instanceof CancelledError && it.reason)).toEqual(["elsewhere", "myself"]);
  });

  test("a failure in the turn in which another has won is dropped like an earlier one", () => {
    for (let seed = 0; seed < 20; seed++) {
      expect(simulated(() => any([fail(1, new Error("a")), after(1, "b"), fail(1, new Error("c"))]), { seed })).toBe(
        "b",
      );
    }
  });

  test("what the cleanup of a loser throws is thrown, and what comes later is kept", () => {
    const [first, second] = [new Error("first"), new Error("second")];
    function* loser(ms: number, error: Error) {
      try {
        yield* sleep(100);
      } finally {
        yield* fail(ms, error);
      }
    }
    const error = failureOf(() => any([after(1, "winner"), loser(2, second), loser(1, first)]));
    expect(error).toBe(first);
    expect(suppressedErrors(error)).toEqual([second]);
  });

  test("a task that has succeeded already wins at once; a task that loses goes on", () => {
    const seen = simulated(function* () {
      const [won, loses] = [spawn(after, 1, "won"), spawn(after, 9, "loses")];
      yield* won;
      return [yield* any([loses, won, after(1, "late")]), now(), yield* loses];
    });
    expect(seen).toEqual(["won", 1, "loses"]);
  });

  test("cancelling it cancels every operand", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      log.push(String(yield* moveOnAfter(5, any([told(log, "a", 9, 1), told(log, "b", 9, 1), fail(1, "x")]))));
      return log;
    });
    expect(seen).toEqual(["a stopped at 5", "b stopped at 5", "undefined"]);
  });

  test("of nothing cannot succeed, and is refused", () => {
    expect(failureOf(() => any([]))).toBeInstanceOf(UsageError);
  });

  test("cancelled at any step it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => {
          const log: string[] = [];
          return {
            main: () => any([told(log, "a", 2, 1, 1), told(log, "b", 2, 2, 1), fail(1, new Error("c"))]),
            check: () => expect(log).toHaveLength(2),
          };
        },
        { seed: 5, target },
      );
      expect(sweep.runs).toBeGreaterThan(5);
    }
  });
});
