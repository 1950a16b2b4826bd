import { moveOnAfter, sleep, spawn, suppressedErrors } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { describe, expect, test } from "vitest";
import { forEach, STOP } from "../../src/combine/index.ts";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { fail } from "./operands.ts";
import { source } from "./sources.ts";

describe("forEach", () => {
  test("takes one value after the other, with its number", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      const it = source([5, 6, 7], 1);
      yield* forEach(it, function* (value, index) {
        yield* sleep(value);
        log.push([index, value, now()]);
      });
      return [log, it.closed];
    });
    expect(seen).toEqual([
      [
        [0, 5, 6],
        [1, 6, 13],
        [2, 7, 21],
      ],
      0,
    ]);
  });

  test("goes over strings, sets and async iterables", async () => {
    const log: unknown[] = [];
    const push = function* (it: unknown): Coroutine<void> {
      log.push(it);
    };
    simulated(() => forEach("ab", push));
    simulated(() => forEach(new Set([1, 2]), push));
    expect(log).toEqual(["a", "b", 1, 2]);
  });

  test("STOP ends it and closes the source; what was not taken stays", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      const it = source([5, 6, 7], 0);
      yield* forEach(it, function* (value) {
        log.push(value);
        return value === 6 ? STOP : value;
      });
      return [log, it.closed];
    });
    expect(seen).toEqual([[5, 6], 1]);
  });

  test("a failure of the body closes the source and is thrown; what closing throws is kept with it", () => {
    const [first, later] = [new Error("body"), new Error("close")];
    const it = source([1, 2, 3], 0, later);
    const thrown = failureOf(() => forEach(it, (value) => (value === 2 ? fail(1, first) : sleep(1))));
    expect([thrown === first, suppressedErrors(thrown), it.taken, it.closed]).toEqual([true, [later], 2, 1]);
  });

  test("cancelling closes the source, also while it waits for the next value", () => {
    for (const everyMs of [2, 50]) {
      const it = source([1, 2, 3], everyMs);
      simulated(() =>
        moveOnAfter(
          5,
          forEach(it, () => sleep(10)),
        ),
      );
      expect(it.closed).toBe(1);
    }
  });

  test("closes an iterator with return(), which runs its finally", () => {
    const log: string[] = [];
    function* numbers() {
      try {
        yield 1;
        yield 2;
      } finally {
        log.push("returned");
      }
    }
    expect(failureOf(() => forEach(numbers(), () => fail(1, "x")))).toBe("x");
    expect(log).toEqual(["returned"]);
  });

  test("what the body spawns belongs to the caller, as in a loop", () => {
    const seen = simulated(function* () {
      yield* forEach([1], function* () {
        spawn(sleep, 10);
      });
      return now();
    });
    expect(seen).toBe(0);
  });

  test("a body that makes no operation is refused, and the source is closed", () => {
    const it = source([1], 0);
    expect(failureOf(() => forEach(it, (() => 5) as unknown as () => Operation<void>))).toMatchObject({
      code: "NOT_AN_OPERATION",
    });
    expect(it.closed).toBe(1);
  });
});
