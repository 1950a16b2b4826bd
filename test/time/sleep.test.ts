import { currentTask, EventLoop, scope, sleep, spawn, yieldNow } from "fibril";
import { describe, expect, test } from "vitest";
import { now, simulated, thrownBy } from "../core/simulated.ts";

describe("sleep", () => {
  test("waits exactly as long as it says, on the loop's clock", () => {
    expect(
      simulated(function* () {
        const times: number[] = [];
        for (const ms of [1, 0.5, 3_600_000]) {
          yield* sleep(ms);
          times.push(now());
        }
        return times;
      }),
    ).toEqual([1, 1.5, 3_600_001.5]);
  });

  test("wakes by length, and among equal ones in the order in which they began", () => {
    const order = simulated(function* () {
      const seen: string[] = [];
      yield* scope(function* (own) {
        for (const [name, ms] of [
          ["c", 3],
          ["a", 1],
          ["b", 2],
          ["a2", 1],
          ["c2", 3],
        ] as const) {
          own.spawn(function* () {
            yield* sleep(ms);
            seen.push(name);
          });
        }
      });
      return seen;
    });
    expect(order).toEqual(["a", "a2", "b", "c", "c2"]);
  });

  test("of zero or less gives way once, without a timer", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      for (const ms of [0, -5, -Infinity]) {
        spawn(function* () {
          log.push(`other ${ms}`);
        });
        const { steps } = currentTask();
        const waiting = sleep(ms);
        expect(EventLoop.current().statistics().timers).toBe(0);
        yield* waiting;
        log.push([ms, currentTask().steps - steps, now()]);
      }
      return log;
    });
    expect(seen).toEqual(["other 0", [0, 1, 0], "other -5", [-5, 1, 0], "other -Infinity", [-Infinity, 1, 0]]);
  });

  test("that is cancelled removes its timer at once", () => {
    simulated(function* () {
      const tasks = Array.from({ length: 100 }, () => spawn(() => sleep(1000)));
      yield* yieldNow();
      yield* yieldNow();
      expect(EventLoop.current().statistics().timers).toBe(100);
      for (const task of tasks) yield* task.cancel();
      expect([EventLoop.current().statistics().timers, now()]).toEqual([0, 0]);
    });
  });

  test("may be used again when it is over", () => {
    expect(
      simulated(function* () {
        const nap = sleep(5);
        yield* nap;
        yield* nap;
        return now();
      }),
    ).toBe(10);
  });

  test.each([NaN, undefined, "10", null, {}])("refuses %s where it is written", (ms) => {
    expect(thrownBy(() => sleep(ms as number))).toMatchObject({ code: "USAGE" });
  });

  test("says how long it waits", () => {
    expect(
      simulated(function* () {
        const task = spawn(() => sleep(2.5));
        yield* sleep(1);
        return task.waitingFor;
      }),
    ).toBe("sleep 2.5 ms");
  });
});
