import { EventLoop, moveOnAfter, sleep, spawn } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { every } from "../../src/time/index.ts";
import type { EveryOptions } from "../../src/time/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";

/** When the runs begin and end until `untilMs`, for runs that take these times, the last one again and again. */
function runsOf(periodMs: number, takes: readonly number[], untilMs: number, options: EveryOptions = {}): string[] {
  const log: string[] = [];
  simulated(function* () {
    let count = 0;
    yield* moveOnAfter(
      untilMs,
      every(
        periodMs,
        function* () {
          const run = count++;
          log.push(`${run} at ${now()}`);
          yield* sleep(takes[Math.min(run, takes.length - 1)]!);
        },
        options,
      ),
    );
  });
  return log;
}

describe("every", () => {
  test("runs at multiples of the period, however long a run takes", () => {
    expect(runsOf(10, [0, 9, 3], 45)).toEqual(["0 at 10", "1 at 20", "2 at 30", "3 at 40"]);
    expect(runsOf(10, [1], 25, { immediate: true })).toEqual(["0 at 0", "1 at 10", "2 at 20"]);
  });

  test("never overlaps: by default what was due meanwhile is left out", () => {
    // The run of 10 ends at 35; that of 20 is late, and 30 is left out.
    expect(runsOf(10, [25, 1], 55)).toEqual(["0 at 10", "1 at 35", "2 at 40", "3 at 50"]);
    expect(runsOf(10, [25, 1], 55, { missed: "burst" })).toEqual([
      "0 at 10",
      "1 at 35",
      "2 at 36",
      "3 at 40",
      "4 at 50",
    ]);
    expect(runsOf(10, [25, 1], 60, { missed: "delay" })).toEqual(["0 at 10", "1 at 35", "2 at 45", "3 at 55"]);
  });

  test("with a limit, so many runs go on at the same time and no more", () => {
    expect(runsOf(10, [25], 65, { limit: 2 })).toEqual([
      "0 at 10",
      "1 at 20",
      "2 at 35", // due at 30, a place is free at 35
      "3 at 45", // due at 40
      "4 at 60",
    ]);
    expect(runsOf(10, [15, 15, 1], 65, { limit: 2 })).toEqual([
      "0 at 10",
      "1 at 20",
      "2 at 30",
      "3 at 40",
      "4 at 50",
      "5 at 60",
    ]);
    expect(runsOf(10, [1, 1, 25, 1], 45, { limit: 2 })).toEqual(["0 at 10", "1 at 20", "2 at 30", "3 at 40"]);
    expect(runsOf(10, [1_000], 45, { limit: Infinity })).toEqual(["0 at 10", "1 at 20", "2 at 30", "3 at 40"]);
  });

  test("jitter delays each run by a random part of it, and the schedule by nothing", () => {
    const numbers = [0.5, 0, 0.25];
    expect(runsOf(10, [1], 41, { jitterMs: 8, random: () => numbers.shift() ?? 0 })).toEqual([
      "0 at 14",
      "1 at 20",
      "2 at 32",
      "3 at 40",
    ]);
    const repeated = (): string[] => runsOf(10, [1], 100, { jitterMs: 10 });
    expect(repeated()).toEqual(repeated());
    expect(new Set(repeated().map((line) => Number(line.split(" at ")[1]) % 10)).size).toBeGreaterThan(3);
  });

  test("the first failure ends it, as it is; runs beside it are cancelled", () => {
    const error = new Error("own");
    const log: unknown[] = [];
    const caught = failureOf(() =>
      every(
        10,
        function* ({ index }) {
          try {
            yield* sleep(15);
            throw error;
          } finally {
            log.push([index, now()]);
          }
        },
        { limit: 3 },
      ),
    );
    expect(caught).toBe(error);
    expect(log).toEqual([
      [0, 25],
      [1, 25],
    ]);
    expect(
      failureOf(() =>
        every(10, function* () {
          throw error;
        }),
      ),
    ).toBe(error);
  });

  test.each([1, 2])("with onError the runs go on (limit %i)", (limit) => {
    const seen: unknown[] = [];
    const onError = (error: unknown, tick: { index: number }): void => void seen.push([error, tick.index, now()]);
    simulated(function* () {
      yield* moveOnAfter(
        35,
        every(
          10,
          function* ({ index }) {
            throw `failure ${index}`;
          },
          { onError, limit },
        ),
      );
    });
    expect(seen).toEqual([
      ["failure 0", 0, 10],
      ["failure 1", 1, 20],
      ["failure 2", 2, 30],
    ]);
  });

  test("an onError that throws ends it; a cancellation is none of its business", () => {
    const second = new Error("second");
    expect(
      failureOf(() =>
        every(
          10,
          function* () {
            throw new Error("first");
          },
          {
            onError: () => {
              throw second;
            },
          },
        ),
      ),
    ).toBe(second);
    const seen: unknown[] = [];
    simulated(function* () {
      yield* moveOnAfter(
        15,
        every(10, () => sleep(100), { onError: (error) => void seen.push(error) }),
      );
    });
    expect(seen).toEqual([]);
  });

  test("what a run has spawned ends with it", () => {
    expect(
      simulated(function* () {
        const sizes: number[] = [];
        yield* moveOnAfter(
          100,
          every(10, function* () {
            sizes.push(EventLoop.current().statistics().tasks);
            spawn(() => sleep(5));
          }),
        );
        return new Set(sizes).size;
      }),
    ).toBe(1);
  });

  test("says what it waits for", () => {
    simulated(function* () {
      const one = spawn(() => every(10, function* flush() {}));
      const two = spawn(() => every(10, () => sleep(100), { limit: 2, name: "many" }));
      yield* sleep(25);
      expect([one.waitingFor, two.waitingFor]).toEqual([
        'tick of interval "flush"',
        'the end of one of 2 runs of "many"',
      ]);
      yield* one.cancel();
      yield* two.cancel();
    });
  });

  test.each([
    { target: "main" as const, limit: 1 },
    { target: "stepped" as const, limit: 1 },
    { target: "main" as const, limit: 2 },
    { target: "stepped" as const, limit: 2 },
  ])("cancelled at any step it leaves nothing ($target, $limit)", ({ target, limit }) => {
    for (const seed of [undefined, 1, 2, 3]) {
      cancelSweep(
        () => {
          let going = 0;
          function* job(): Coroutine<void> {
            going++;
            try {
              yield* sleep(7);
            } finally {
              going--;
              yield* sleep(1);
            }
          }
          return {
            main: () => moveOnAfter(22, every(5, job, { limit, jitterMs: 2 })) as Operation<unknown>,
            check: () => expect(going).toBe(0),
          };
        },
        { target, ...(seed === undefined ? {} : { seed }) },
      );
    }
  });

  test.each([
    ["a period of 0", () => every(0, () => sleep(1))],
    ["a limit of 0", () => every(1, () => sleep(1), { limit: 0 })],
    ["a limit of 1.5", () => every(1, () => sleep(1), { limit: 1.5 })],
    ["more jitter than the period", () => every(1, () => sleep(1), { jitterMs: 2 })],
    ["a jitter that is no number", () => every(1, () => sleep(1), { jitterMs: NaN })],
    ["an operation", () => every(1, sleep(1) as never)],
  ])("refuses %s at once", (_, call) => {
    expect(thrownBy(call)).toMatchObject({ code: "USAGE" });
  });
});
