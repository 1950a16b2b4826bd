import { currentTask, EventLoop, sleep, spawn, yieldNow } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { sleepUntil } from "../../src/time/index.ts";
import { now, simulated, thrownBy } from "../core/simulated.ts";

describe("sleepUntil", () => {
  test("waits until the clock shows the time, however late it begins", () => {
    expect(
      simulated(function* () {
        const times: number[] = [];
        yield* sleepUntil(10);
        times.push(now());
        yield* sleep(7);
        yield* sleepUntil(20.5);
        times.push(now());
        return times;
      }),
    ).toEqual([10, 20.5]);
  });

  test("a time that has passed, or is now, gives way once and sets no timer", () => {
    simulated(function* () {
      yield* sleep(5);
      for (const deadline of [5, 4, 0, -1, -Infinity]) {
        const { steps } = currentTask();
        yield* sleepUntil(deadline);
        expect([currentTask().steps - steps, now(), EventLoop.current().statistics().timers]).toEqual([1, 5, 0]);
      }
    });
  });

  test("one object serves several tasks", () => {
    expect(
      simulated(function* () {
        const dawn = sleepUntil(30);
        const tasks = [1, 2, 3].map(() => spawn(() => dawn));
        for (const task of tasks) yield* task;
        return now();
      }),
    ).toBe(30);
  });

  test("cancelled, it removes its timer at once", () => {
    simulated(function* () {
      const task = spawn(() => sleepUntil(1_000));
      yield* yieldNow();
      yield* yieldNow();
      expect([EventLoop.current().statistics().timers, task.waitingFor]).toEqual([1, "sleep until 1000 ms"]);
      yield* task.cancel();
      expect([EventLoop.current().statistics().timers, now()]).toEqual([0, 0]);
    });
    cancelSweep(() => ({ main: () => sleepUntil(3) }));
  });

  test("Infinity sets no timer: nothing else to do is a deadlock", () => {
    expect(() => simulated(() => sleepUntil(Infinity))).toThrow(/stuck|can never run/);
  });

  test.each([NaN, undefined, "10", null, {}])("refuses %s where it is written", (deadline) => {
    expect(thrownBy(() => sleepUntil(deadline as number))).toMatchObject({ code: "USAGE" });
  });
});
