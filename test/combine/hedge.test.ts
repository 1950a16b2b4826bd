import { moveOnAfter, sleep, TaskLocal, UsageError } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { AllFailedError, hedge } from "../../src/combine/index.ts";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after, fail, told } from "./operands.ts";

describe("hedge", () => {
  test("an attempt that is fast enough stays alone", () => {
    const seen = simulated(function* () {
      let started = 0;
      const value = yield* hedge(
        (attempt) => {
          started++;
          return after(5, attempt);
        },
        { delayMs: 5.5, max: 3 },
      );
      expectTypeOf(value).toEqualTypeOf<number>();
      return [value, started, now()];
    });
    expect(seen).toEqual([0, 1, 5]);
  });

  test("the next one starts after the delay, and the first success wins; the others are cancelled and awaited", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const value = yield* hedge([told(log, "a", 100, "a", 4), told(log, "b", 100, "b", 1), told(log, "c", 3, "c")], {
        delayMs: 10,
      });
      return [value, log, now()];
    });
    expect(seen).toEqual(["c", ["c done at 23", "b stopped at 24", "a stopped at 27"], 27]);
  });

  test("the next one starts at once when the newest has failed, and the delay counts from there", () => {
    const seen = simulated(function* () {
      const starts: number[] = [];
      const value = yield* hedge(
        function* (attempt) {
          starts.push(now());
          if (attempt === 0) yield* fail(2, new Error("0"));
          yield* sleep(100);
          return attempt;
        },
        { delayMs: 10, max: 3 },
      );
      return [value, starts];
    });
    expect(seen).toEqual([1, [0, 2, 12]]);
  });

  test("an older one that fails starts nothing: the newest is under way in its place", () => {
    const seen = simulated(function* () {
      const starts: number[] = [];
      const delays = [12, 100, 1];
      const value = yield* hedge(
        function* (attempt) {
          starts.push(now());
          yield* sleep(delays[attempt]!);
          if (attempt === 0) throw new Error("late");
          return attempt;
        },
        { delayMs: 10, max: 3 },
      );
      return [value, starts, now()];
    });
    expect(seen).toEqual([2, [0, 10, 20], 21]);
  });

  test("when all fail it throws their errors in the order of the attempts", () => {
    const error = failureOf(() => hedge([fail(30, "a"), fail(1, "b"), fail(2, "c")], { delayMs: 10 }));
    expect(error).toBeInstanceOf(AllFailedError);
    expect(error).toMatchObject({ errors: ["a", "b", "c"] });
    expect(failureOf(() => hedge((n) => fail(1, n), { delayMs: Infinity }))).toMatchObject({ errors: [0, 1] });
  });

  test("`max` bounds a list too", () => {
    expect(failureOf(() => hedge([fail(1, "a"), after(1, "b")], { delayMs: 10, max: 1 }))).toMatchObject({
      errors: ["a"],
    });
  });

  test("without a delay for it the next one comes only after a failure", () => {
    const seen = simulated(function* () {
      return [yield* hedge([after(1_000, "slow"), after(1, "never")], { delayMs: Infinity }), now()];
    });
    expect(seen).toEqual(["slow", 1_000]);
  });

  test("attempts inherit the task-locals of the caller, also those that start later", () => {
    const user = new TaskLocal("user", "nobody");
    const seen = simulated(function* () {
      user.set("ada");
      return yield* hedge(
        function* (attempt) {
          if (attempt === 0) yield* sleep(100);
          return user.get();
        },
        { delayMs: 1 },
      );
    });
    expect(seen).toBe("ada");
  });

  test("cancelling it cancels the attempts and starts no more", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* moveOnAfter(
        15,
        hedge((n) => told(log, `attempt ${n}`, 100, n), { delayMs: 10, max: 5 }),
      );
      yield* sleep(100);
      return log;
    });
    expect(seen).toEqual(["attempt 0 stopped at 15", "attempt 1 stopped at 15"]);
  });

  test("wrong options and no attempts are refused; so is a function that makes no operation", () => {
    for (const make of [
      () => hedge([], { delayMs: 1 }),
      () => hedge([sleep(1)], { delayMs: Number.NaN }),
      () => hedge([sleep(1)], { delayMs: -1 }),
      () => hedge([sleep(1)], { delayMs: 1, max: 0 }),
    ]) {
      expect(failureOf(make)).toBeInstanceOf(UsageError);
    }
    const error = failureOf(() => hedge((() => Promise.resolve(1)) as never, { delayMs: 1, max: 1 }));
    expect((error as AllFailedError).errors[0]).toMatchObject({ code: "NOT_AN_OPERATION" });
  });

  test("cancelled at any step it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => ({ main: () => hedge((n) => told([], `${n}`, 5 - n, n, 1), { delayMs: 2, max: 3 }) }),
        { seed: 5, target },
      );
      expect(sweep.runs).toBeGreaterThan(5);
    }
  });
});
