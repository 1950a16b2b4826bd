import { moveOnAfter, sleep, spawn } from "fibril";
import { describe, expect, test } from "vitest";
import { Event } from "../../src/sync/index.ts";
import { simulated } from "../core/simulated.ts";

describe("an event", () => {
  test("lets through at once while it is set", () => {
    simulated(function* () {
      const event = new Event();
      event.set();
      event.set();
      yield* event.wait();
      expect(event.isSet).toBe(true);
      event.clear();
      expect(event.isSet).toBe(false);
      expect(yield* moveOnAfter(3, event.wait())).toBeUndefined();
    });
  });

  test("wakes all who wait, in the order of coming, also if it is cleared at once", () => {
    const log = simulated(function* () {
      const event = new Event({ name: "ready" });
      const seen: number[] = [];
      const tasks = [1, 2, 3].map((id) =>
        spawn(function* () {
          yield* event.wait();
          seen.push(id);
        }),
      );
      yield* sleep(1);
      expect([event.statistics(), tasks[0]!.waitingFor]).toEqual([
        { name: "ready", isSet: false, waiting: 3 },
        'event "ready"',
      ]);
      event.set();
      event.clear();
      expect(event.statistics()).toEqual({ name: "ready", isSet: false, waiting: 0 });
      for (const task of tasks) yield* task;
      return seen;
    });
    expect(log).toEqual([1, 2, 3]);
  });

  test("a cancelled waiter leaves it as it is", () => {
    simulated(function* () {
      const event = new Event();
      yield* moveOnAfter(1, event.wait());
      expect(event.statistics()).toEqual({ name: "event", isSet: false, waiting: 0 });
      expect(Object.isFrozen(event.statistics())).toBe(true);
    });
  });
});
