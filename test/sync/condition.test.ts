import { Cancelled, moveOnAfter, scope, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { Condition, Lock } from "../../src/sync/index.ts";
import { caught } from "./caught.ts";
import { now, simulated, thrownBy } from "../core/simulated.ts";

describe("a condition", () => {
  test("wakes as many as notified, longest first, each with the lock", () => {
    const log = simulated(function* () {
      const condition = new Condition();
      const seen: string[] = [];
      const tasks = ["a", "b", "c"].map((name) =>
        spawn({ name }, function* () {
          yield* condition.lock.use(function* () {
            yield* condition.wait();
            seen.push(`${name} ${now()} ${condition.lock.owner?.name}`);
            yield* sleep(2);
          });
        }),
      );
      yield* sleep(1);
      expect(condition.statistics()).toEqual({ name: "condition", waiting: 3, waitingForLock: 0 });
      yield* condition.lock.use(function* () {
        condition.notify(2);
        expect(condition.statistics()).toEqual({ name: "condition", waiting: 1, waitingForLock: 2 });
        yield* sleep(1);
      });
      yield* sleep(10);
      seen.push("more");
      yield* condition.lock.use(function* () {
        condition.notifyAll();
      });
      for (const task of tasks) yield* task;
      return seen;
    });
    expect(log).toEqual(["a 2 a", "b 4 b", "more", "c 12 c"]);
  });

  test("says what it waits for", () => {
    simulated(function* () {
      const condition = new Condition({ lock: new Lock({ name: "stock" }), name: "not empty" });
      const task = spawn(() => condition.lock.use(() => condition.wait()));
      yield* sleep(1);
      expect(task.waitingFor).toBe('condition "not empty"');
      yield* condition.lock.use(function* () {
        condition.notify();
        expect(task.waitingFor).toBe('lock "stock" (held by "main") after condition "not empty"');
        expect(Object.isFrozen(condition.statistics())).toBe(true);
      });
    });
  });

  test("waitFor looks at once and after every notification, with the lock", () => {
    simulated(function* () {
      const condition = new Condition();
      const items: number[] = [];
      let looked = 0;
      const taker = spawn(function* () {
        return yield* condition.lock.use(function* () {
          yield* condition.waitFor(() => {
            looked++;
            expect(condition.lock.owner).toBe(taker);
            return items.length > 0;
          });
          return items.shift();
        });
      });
      function* put(...more: number[]): Coroutine<void> {
        yield* condition.lock.use(function* () {
          items.push(...more);
          condition.notify();
        });
      }
      yield* sleep(1);
      yield* put();
      yield* sleep(1);
      yield* put(7);
      expect([yield* taker, looked]).toEqual([7, 3]);
      yield* condition.lock.use(() => condition.waitFor(() => true));
    });
  });

  test("needs the lock to wait and to notify", () => {
    simulated(function* () {
      const condition = new Condition();
      expect(yield* caught(condition.wait())).toMatchObject({ code: "LOCK_NOT_OWNED" });
      expect(yield* caught(condition.waitFor(() => true))).toMatchObject({ code: "LOCK_NOT_OWNED" });
      expect(thrownBy(() => condition.notify())).toMatchObject({ code: "LOCK_NOT_OWNED" });
      expect(thrownBy(() => condition.notifyAll())).toMatchObject({ code: "LOCK_NOT_OWNED" });
      yield* condition.lock.use(function* () {
        for (const count of [NaN, 0, -1, 1.5]) {
          expect(thrownBy(() => condition.notify(count))).toMatchObject({ code: "USAGE" });
        }
      });
    });
  });

  test("several conditions of one lock keep apart", () => {
    simulated(function* () {
      const lock = new Lock();
      const [full, empty] = [new Condition(lock), new Condition(lock)];
      const task = spawn(() => lock.use(() => full.wait()));
      yield* sleep(1);
      yield* lock.use(function* () {
        empty.notifyAll();
      });
      yield* sleep(1);
      expect(task.state).toBe("waiting");
      yield* lock.use(function* () {
        full.notifyAll();
      });
    });
  });
});

describe("a wait for a condition that is cancelled", () => {
  test("has the lock again before Cancelled goes on, and nobody interrupts that", () => {
    const log = simulated(function* () {
      const condition = new Condition();
      const seen: unknown[] = [];
      const task = spawn(() =>
        condition.lock.use(function* () {
          try {
            yield* condition.wait();
          } catch (error) {
            seen.push(error instanceof Cancelled, now(), condition.lock.owner === task);
            throw error;
          }
        }),
      );
      yield* sleep(1);
      yield* condition.lock.use(function* () {
        task.cancel();
        yield* sleep(1);
        task.cancel("again");
        yield* sleep(1);
        expect(task.state).toBe("waiting");
      });
      yield* task.cancel();
      expect(condition.lock.isLocked).toBe(false);
      return seen;
    });
    expect(log).toEqual([true, 3, true]);
  });

  test("wakes nobody else when it was not notified", () => {
    simulated(function* () {
      const condition = new Condition();
      const [first, second] = [1, 2].map(() => spawn(() => condition.lock.use(() => condition.wait())));
      yield* sleep(1);
      yield* first!.cancel();
      yield* sleep(1);
      expect([second!.state, condition.statistics().waiting]).toEqual(["waiting", 1]);
      yield* second!.cancel();
    });
  });

  test("passes on the notification that it had got", () => {
    simulated(function* () {
      const condition = new Condition();
      const [first, second, third] = [1, 2, 3].map(() => spawn(() => condition.lock.use(() => condition.wait())));
      yield* sleep(1);
      yield* condition.lock.use(function* () {
        condition.notify();
        first!.cancel();
        yield* sleep(1);
        expect(condition.statistics()).toEqual({ name: "condition", waiting: 1, waitingForLock: 2 });
      });
      yield* second!;
      yield* sleep(1);
      expect([first!.state, third!.state]).toEqual(["settled", "waiting"]);
      yield* third!.cancel();
    });
  });

  test("that was notified and has the lock already goes on: the cancellation comes at its next wait", () => {
    simulated(function* () {
      const condition = new Condition();
      let isThrough = false;
      const task = spawn(() =>
        condition.lock.use(function* () {
          yield* condition.wait();
          isThrough = true;
          yield* sleep(1);
        }),
      );
      yield* sleep(1);
      yield* condition.lock.use(function* () {
        condition.notify();
      });
      yield* task.cancel();
      expect([isThrough, task.outcome?.status, condition.lock.isLocked]).toEqual([true, "cancelled", false]);
    });
  });

  test("before it began keeps the lock all the time", () => {
    simulated(function* () {
      const condition = new Condition();
      let owner: unknown;
      const task = spawn(function* () {
        yield* condition.lock.use(function* () {
          task.cancel();
          try {
            yield* condition.wait();
          } finally {
            owner = condition.lock.owner;
          }
        });
      });
      yield* sleep(1);
      expect([owner === task, condition.statistics().waiting]).toEqual([true, 0]);
    });
  });

  test("goes on without the lock when cleanupMs has passed, and its permit takes nothing from the holder", () => {
    const { outcome, reports, leaks } = simulateSync(function* () {
      const condition = new Condition();
      const waited = yield* scope(
        function* () {
          const task = spawn(() => condition.lock.use(() => condition.wait()));
          yield* sleep(1);
          yield* condition.lock.use(function* () {
            yield* task.cancel();
            return [now(), condition.lock.owner === task, condition.lock.isLocked];
          });
          return [now()];
        },
        { cleanupMs: 20 },
      );
      return waited;
    });
    expect(outcome).toEqual({ status: "succeeded", value: [21] });
    expect(reports.map((report) => report.kind)).toEqual(["cleanup-overrun"]);
    expect(leaks).toEqual([]);
  });

  test("throws BrokenLockError when the lock broke while it waited for it", () => {
    simulated(function* () {
      const condition = new Condition();
      const task = spawn(() => caught(condition.lock.use(() => condition.wait())));
      yield* sleep(1);
      yield* spawn({ name: "killer" }, function* () {
        yield* condition.lock.acquire();
        condition.notify();
        yield* sleep(1);
      });
      expect(yield* task).toMatchObject({ code: "LOCK_BROKEN", owner: "killer" });
      expect(condition.lock.isBroken).toBe(true);
      condition.lock.repair();
      expect(
        yield* moveOnAfter(
          1,
          condition.lock.use(() => condition.wait()),
        ),
      ).toBeUndefined();
      expect(condition.lock.isLocked).toBe(false);
    });
  });
});
