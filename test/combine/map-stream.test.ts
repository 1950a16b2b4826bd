import { moveOnAfter, sleep, spawn, UsageError } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { forEach, mapStream } from "../../src/combine/index.ts";
import type { MapStreamOptions } from "../../src/combine/index.ts";
import type { Sequence } from "../../src/core/index.ts";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after, fail } from "./operands.ts";
import { naturals, source } from "./sources.ts";

function* take<T>(results: Sequence<T>, count: number, everyMs = 0): Coroutine<T[]> {
  const taken: T[] = [];
  while (taken.length < count) {
    const step = yield* results.next();
    if (step.done === true) break;
    taken.push(step.value);
    if (everyMs > 0) yield* sleep(everyMs);
  }
  return taken;
}

describe("mapStream", () => {
  test("gives results as they come, in the order of the items or as they are ready", () => {
    const slowest = (n: number): Coroutine<string> => after(10 - n, `${n} after ${10 - n}`);
    for (const [options, expected] of [
      [{}, ["1 after 9 at 9", "2 after 8 at 9", "3 after 7 at 9"]],
      [{ ordered: false }, ["3 after 7 at 7", "2 after 8 at 8", "1 after 9 at 9"]],
    ] as const) {
      const seen = simulated(function* () {
        const log: string[] = [];
        yield* mapStream(
          [1, 2, 3],
          slowest,
          (results) =>
            forEach(results, function* (it) {
              log.push(`${it} at ${now()}`);
            }),
          options,
        );
        return log;
      });
      expect(seen).toEqual(expected);
    }
  });

  test("results that are taken slowly stop the intake", () => {
    for (const [options, held] of [
      [{ limit: 2, bufferSize: 0 }, 2],
      [{ limit: 2, bufferSize: 3 }, 5],
      [{ limit: 4 }, 8],
      [{}, 20],
    ] as [MapStreamOptions, number][]) {
      for (const ordered of [true, false]) {
        for (const everyMs of [0, 1]) {
          const it = source(naturals(), everyMs);
          const seen = simulated(() =>
            mapStream(
              it,
              (n) => after(1, n),
              function* (results) {
                yield* sleep(100);
                const before = it.taken;
                const [first] = yield* take(results, 1);
                yield* sleep(100);
                return [before, first, it.taken];
              },
              { ...options, ordered },
            ),
          );
          expect([seen, it.closed]).toEqual([[held, 0, held + 1], 1]);
        }
      }
    }
  });

  test("a slow first item holds the ordered ones back, and the intake with them", () => {
    const it = naturals();
    const seen = simulated(() =>
      mapStream(
        it,
        (n) => after(n === 0 ? 50 : 1, n),
        function* (results) {
          yield* sleep(40);
          const before = it.taken;
          return [before, yield* take(results, 7), now()];
        },
        { limit: 2, bufferSize: 4 },
      ),
    );
    expect(seen).toEqual([6, [0, 1, 2, 3, 4, 5, 6], 51]);
  });

  test("it is over when the source and all items are", () => {
    for (const values of [[], [1], [1, 2, 3]]) {
      for (const it of [values, source(values, 1)]) {
        expect(
          simulated(() =>
            mapStream(
              it,
              (n) => after(1, n),
              (results) => take(results, 9),
            ),
          ),
        ).toEqual(values);
      }
    }
  });

  test("when the consumer returns early the work is cancelled, and what it has spawned is awaited", () => {
    const log: string[] = [];
    const it = naturals();
    const seen = simulated(function* () {
      return yield* mapStream(
        it,
        function* (n) {
          try {
            yield* sleep(n === 0 ? 1 : 50);
          } finally {
            if (n > 0) yield* sleep(n);
            log.push(`${n} at ${now()}`);
          }
          return n;
        },
        function* (results) {
          spawn(function* () {
            yield* sleep(5);
            log.push(`child at ${now()}`);
          });
          return yield* take(results, 1);
        },
        { limit: 2 },
      );
    });
    expect([seen, log, it.closed]).toEqual([[0], ["0 at 1", "child at 5", "1 at 6", "2 at 7"], 1]);
  });

  test("a failure of an item cancels the consumer; one of the consumer cancels the items", () => {
    const log: string[] = [];
    const item = failureOf(() =>
      mapStream(
        naturals(),
        (n) => (n === 3 ? fail(5, "item") : sleep(50)),
        function* (results) {
          try {
            yield* take(results, 1);
          } finally {
            log.push(`consumer at ${now()}`);
          }
        },
      ),
    );
    const it = naturals();
    const consumer = failureOf(() =>
      mapStream(
        it,
        () => sleep(50),
        () => fail(3, "consumer"),
      ),
    );
    expect([item, consumer, log, it.closed]).toEqual(["item", "consumer", ["consumer at 5"], 1]);
  });

  test("a failure in the turn in which the consumer ends is reported and does not replace its value", () => {
    const error = new Error("late");
    const { outcome, reports } = simulateSync(() =>
      mapStream(
        [1],
        () => fail(5, error),
        function* () {
          yield* sleep(5);
          return "value";
        },
      ),
    );
    const isReported = reports.length === 1 && reports[0]!.error === error;
    expect(outcome.status === "failed" ? outcome.error : isReported).toBe(outcome.status === "failed" ? error : true);
    const dirty = failureOf(() =>
      mapStream(
        [1],
        function* () {
          try {
            yield* sleep(50);
          } finally {
            yield* fail(1, error);
          }
        },
        () => sleep(5),
      ),
    );
    expect(dirty).toBe(error);
  });

  test("streams nest", () => {
    const seen = simulated(() =>
      mapStream(
        [1, 2, 3],
        (n) => after(1, n),
        (doubled) =>
          mapStream(
            doubled,
            (n) => after(1, n * 10),
            (results) => take(results, 9),
          ),
        { limit: 2 },
      ),
    );
    expect(seen).toEqual([10, 20, 30]);
  });

  test("cancelling it cancels all", () => {
    const it = naturals();
    simulated(() =>
      moveOnAfter(
        5,
        mapStream(
          it,
          () => sleep(2),
          (results) => take(results, 1e6),
          { limit: 2 },
        ),
      ),
    );
    expect([it.taken, it.closed]).toEqual([6, 1]);
  });

  test("wrong options are refused", () => {
    for (const options of [{ limit: 0 }, { bufferSize: -1 }, { bufferSize: 0.5 }]) {
      expect(failureOf(() => mapStream([1], sleep, (results) => take(results, 1), options))).toBeInstanceOf(UsageError);
    }
  });

  test("cancelled at any step it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      for (const ordered of [true, false]) {
        const sweep = cancelSweep(
          () => {
            const it = source([1, 2, 3, 4, 5], 1);
            return {
              main: () =>
                mapStream(
                  it,
                  (n) => after(n % 3, n),
                  (results) => take(results, 4, 1),
                  { limit: 2, bufferSize: 1, ordered },
                ),
              check: () => expect(it.closed).toBeLessThanOrEqual(1),
            };
          },
          { seed: 5, target },
        );
        expect(sweep.runs).toBeGreaterThan(15);
      }
    }
  });
});
