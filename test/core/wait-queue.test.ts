import { moveOnAfter, scope, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine, Task } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { simulated } from "./simulated.ts";

describe("a wait queue", () => {
  test("serves those who have waited longest, as many as asked, and counts the rest", () => {
    const log = simulated(function* () {
      const queue = new WaitQueue<string>();
      const seen: string[] = [];
      const tasks = Array.from({ length: 5 }, (_, i) =>
        spawn(function* () {
          seen.push(`${i} ${yield* queue.park("a permit")}`);
        }),
      );
      yield* sleep(1);
      expect([queue.size, tasks[0]!.waitingFor]).toEqual([5, "a permit"]);
      expect([queue.unpark(2, "x"), queue.size]).toEqual([2, 3]);
      yield* sleep(1);
      expect([queue.unpark(0, "y"), queue.unpark(9, "z"), queue.unpark(1, "nobody"), queue.size]).toEqual([0, 3, 0, 0]);
      for (const task of tasks) yield* task;
      return seen;
    });
    expect(log).toEqual(["0 x", "1 x", "2 z", "3 z", "4 z"]);
  });

  test("wakes one by default", () => {
    simulated(function* () {
      const queue = new WaitQueue();
      const task = spawn(() => queue.park("a turn"));
      yield* sleep(1);
      expect((queue.unpark as () => number)()).toBe(1);
      yield* task;
    });
  });

  test("a cancelled waiter gives up its place and takes nothing; the next one is served", () => {
    const log = simulated(function* () {
      const queue = new WaitQueue<string>();
      const seen: string[] = [];
      const tasks: Task<void>[] = ["a", "b", "c"].map((name) =>
        spawn(function* () {
          seen.push(`${name} ${yield* queue.park("a permit")}`);
        }),
      );
      yield* sleep(1);
      yield* tasks[0]!.cancel();
      expect(queue.size).toBe(2);
      expect(queue.unpark(1, "permit")).toBe(1);
      yield* tasks[1]!;
      const served = [...seen];
      queue.unpark(1, "another");
      return served;
    });
    expect(log).toEqual(["b permit"]);
  });

  test("a waiter that was unparked and then cancelled has its value: it is not lost", () => {
    const log = simulated(function* () {
      const queue = new WaitQueue<string>();
      const seen: string[] = [];
      const task = spawn(function* () {
        seen.push(yield* queue.park("a permit"));
        yield* yieldNow();
        seen.push("not reached");
      });
      yield* sleep(1);
      queue.unpark(1, "permit");
      yield* task.cancel();
      return [...seen, task.outcome?.status];
    });
    expect(log).toEqual(["permit", "cancelled"]);
  });

  test("a waiter that comes back stands at the end", () => {
    const log = simulated(function* () {
      const queue = new WaitQueue<number>();
      const seen: string[] = [];
      const impatient = spawn(function* () {
        while ((yield* moveOnAfter(2, queue.park("a turn"))) === undefined) seen.push("gave up");
        seen.push("impatient");
      });
      yield* sleep(1);
      const patient = spawn(function* () {
        yield* queue.park("a turn");
        seen.push("patient");
      });
      yield* sleep(2);
      queue.unpark(1, 1);
      queue.unpark(1, 2);
      yield* patient;
      yield* impatient;
      return seen;
    });
    expect(log).toEqual(["gave up", "patient", "impatient"]);
  });

  test("breakAll throws the same error at all who wait, and at nobody who comes later", () => {
    const error = new Error("closed");
    const seen = simulated(function* () {
      const queue = new WaitQueue();
      const caught: unknown[] = [];
      const tasks = [1, 2].map(() =>
        spawn(function* () {
          try {
            yield* queue.park("the door");
          } catch (it) {
            caught.push(it);
          }
        }),
      );
      yield* sleep(1);
      expect([queue.breakAll(error), queue.breakAll(error), queue.size]).toEqual([2, 0, 0]);
      for (const task of tasks) yield* task;
      expect(yield* moveOnAfter(5, queue.park("the door"))).toBeUndefined();
      return caught;
    });
    expect(seen).toEqual([error, error]);
    expect(seen[0]).toBe(error);
  });
});

describe("a semaphore built on it", () => {
  class Semaphore {
    free: number;
    readonly queue = new WaitQueue();

    constructor(permits: number) {
      this.free = permits;
    }

    *acquire(): Coroutine<void> {
      if (this.free > 0) this.free--;
      else yield* this.queue.park("a permit");
    }

    release(): void {
      if (this.queue.unpark(1, undefined) === 0) this.free++;
    }
  }

  function* work(semaphore: Semaphore, ms: number): Coroutine<void> {
    yield* semaphore.acquire();
    try {
      yield* sleep(ms);
    } finally {
      semaphore.release();
    }
  }

  const orders = [undefined, ...Array(20).keys()];

  test.each(["main", "stepped"] as const)(
    "loses no permit, whichever task is cancelled at whichever step (%s)",
    (target) => {
      let runs = 0;
      for (const seed of orders) {
        const sweep = cancelSweep(
          () => {
            const semaphore = new Semaphore(2);
            return {
              main: () =>
                scope(function* (inner) {
                  for (const ms of [2, 1, 3, 2, 0]) inner.spawn(work, semaphore, ms);
                  yield* moveOnAfter(3, work(semaphore, 1));
                }),
              check: () => expect([semaphore.free, semaphore.queue.size]).toEqual([2, 0]),
            };
          },
          { target, ...(seed === undefined ? {} : { seed }) },
        );
        runs += sweep.runs;
      }
      expect(runs).toBeGreaterThan(15 * orders.length);
    },
  );
});
