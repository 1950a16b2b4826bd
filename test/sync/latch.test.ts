import { moveOnAfter, sleep, spawn } from "fibril";
import { describe, expect, test } from "vitest";
import { Latch } from "../../src/sync/index.ts";
import { simulated, thrownBy } from "../core/simulated.ts";

describe("a latch", () => {
  test("opens when its count is used up, and stays open", () => {
    simulated(function* () {
      const latch = new Latch(3, { name: "loaded" });
      const task = spawn(() => latch.wait());
      yield* sleep(1);
      latch.countDown(2);
      yield* sleep(1);
      expect([latch.isOpen, task.waitingFor]).toEqual([false, 'latch "loaded" (1 to go)']);
      expect(latch.statistics()).toEqual({ name: "loaded", count: 1, waiting: 1 });
      latch.countDown();
      yield* task;
      yield* latch.wait();
      expect([latch.isOpen, latch.statistics()]).toEqual([true, { name: "loaded", count: 0, waiting: 0 }]);
    });
  });

  test("is open from the start with nothing to count", () => {
    simulated(() => new Latch(0).wait());
  });

  test("a cancelled waiter leaves it as it is", () => {
    simulated(function* () {
      const latch = new Latch(1);
      yield* moveOnAfter(1, latch.wait());
      expect(latch.statistics()).toEqual({ name: "latch", count: 1, waiting: 0 });
    });
  });

  test("refuses to count something twice, and counts that are none", () => {
    const latch = new Latch(2);
    expect(thrownBy(() => latch.countDown(3))).toMatchObject({ code: "LATCH_OVERRUN" });
    for (const count of [NaN, 0, -1, 0.5]) {
      expect(thrownBy(() => latch.countDown(count))).toMatchObject({ code: "USAGE" });
    }
    expect(latch.count).toBe(2);
    for (const count of [NaN, -1, 0.5, Infinity]) {
      expect(thrownBy(() => new Latch(count))).toMatchObject({ code: "USAGE" });
    }
  });
});
