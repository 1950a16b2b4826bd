import { moveOnAfter, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { Semaphore } from "../../src/sync/index.ts";
import { simulated, thrownBy } from "../core/simulated.ts";

describe("a semaphore", () => {
  test("lets as many in as it has permits, then serves in the order of coming", () => {
    const log = simulated(function* () {
      const semaphore = new Semaphore(2);
      const seen: number[] = [];
      let inside = 0;
      function* work(id: number): Coroutine<void> {
        yield* semaphore.use(function* () {
          seen.push(id);
          expect(++inside).toBeLessThanOrEqual(2);
          yield* sleep(id % 2 === 0 ? 1 : 3);
          inside--;
        });
      }
      for (const task of [0, 1, 2, 3, 4].map((id) => spawn(work, id))) yield* task;
      expect(semaphore.available).toBe(2);
      return seen;
    });
    expect(log).toEqual([0, 1, 2, 3, 4]);
  });

  test("does not let small requests overtake a big one, until it is cancelled", () => {
    simulated(function* () {
      const semaphore = new Semaphore(3, { name: "slots" });
      const permit = yield* semaphore.acquire(2);
      const big = spawn(() => semaphore.acquire(3));
      const small = spawn(() => semaphore.acquire());
      yield* sleep(1);
      expect([semaphore.available, small.state, semaphore.tryAcquire()]).toEqual([1, "waiting", undefined]);
      expect([big.waitingFor, small.waitingFor]).toEqual(['3 permits of semaphore "slots"', 'semaphore "slots"']);
      yield* big.cancel();
      expect([semaphore.available, semaphore.statistics().waiting]).toEqual([0, 0]);
      (yield* small).release();
      permit.release();
      expect(semaphore.available).toBe(3);
    });
  });

  test("use takes one permit, or as many as asked, and gives them back however the body ends", () => {
    simulated(function* () {
      const semaphore = new Semaphore(3);
      yield* semaphore.use(function* () {
        expect(semaphore.available).toBe(2);
      });
      yield* moveOnAfter(
        1,
        semaphore.use(2, function* () {
          expect(semaphore.available).toBe(1);
          yield* sleep(5);
        }),
      );
      expect(semaphore.available).toBe(3);
    });
  });

  test("a permit gives back once", () => {
    simulated(function* () {
      const semaphore = new Semaphore(2);
      const permit = yield* semaphore.acquire(2);
      const other = semaphore.tryAcquire();
      permit.release();
      permit[Symbol.dispose]();
      expect([other, semaphore.available]).toEqual([undefined, 2]);
    });
  });

  test("a cancelled waiter takes no permit", () => {
    simulated(function* () {
      const semaphore = new Semaphore(1);
      const permit = yield* semaphore.acquire();
      expect(yield* moveOnAfter(1, semaphore.acquire())).toBeUndefined();
      permit.release();
      expect(semaphore.statistics()).toEqual({ name: "semaphore", available: 1, max: 1, waiting: 0 });
    });
  });

  test("refuses a release too many, and stays as it was", () => {
    simulated(function* () {
      const semaphore = new Semaphore(1, { name: "slots" });
      expect(thrownBy(() => semaphore.release())).toMatchObject({ code: "SEMAPHORE_OVER_RELEASE" });
      expect(semaphore.available).toBe(1);
      const permit = yield* semaphore.acquire();
      semaphore.release();
      expect(thrownBy(() => permit.release())).toMatchObject({ code: "SEMAPHORE_OVER_RELEASE" });
      permit.release(); // was given back, if in vain
    });
  });

  test("max lets permits be added", () => {
    simulated(function* () {
      const signal = new Semaphore(0, { max: Infinity });
      const waiting = [1, 2, 3].map(() => spawn(() => signal.acquire()));
      yield* sleep(1);
      signal.release(2);
      yield* sleep(1);
      expect(waiting.map((task) => task.isSettled)).toEqual([true, true, false]);
      signal.release(2);
      expect(Object.isFrozen(signal.statistics())).toBe(true);
      expect(signal.statistics()).toEqual({ name: "semaphore", available: 1, max: Infinity, waiting: 0 });
    });
  });

  test.each([NaN, -1, 1.5, Infinity, "2" as never])("refuses %s permits", (permits) => {
    expect(thrownBy(() => new Semaphore(permits))).toMatchObject({ code: "USAGE" });
  });

  test.each([NaN, -1, 0, 1.5, Infinity, 4])("refuses a request for %s of 3, and a release of it", (count) => {
    const semaphore = new Semaphore(3);
    expect(thrownBy(() => semaphore.acquire(count))).toMatchObject({ code: "USAGE" });
    expect(thrownBy(() => semaphore.tryAcquire(count))).toMatchObject({ code: "USAGE" });
    expect(thrownBy(() => semaphore.use(count, sleep(1)))).toMatchObject({ code: "USAGE" });
    expect(thrownBy(() => semaphore.release(count))).toHaveProperty("code");
    expect(semaphore.available).toBe(3);
  });

  test("refuses a max that is smaller than the permits, or that leaves none", () => {
    expect(thrownBy(() => new Semaphore(3, { max: 2 }))).toMatchObject({ code: "USAGE" });
    expect(thrownBy(() => new Semaphore(3, { max: NaN }))).toMatchObject({ code: "USAGE" });
    expect(thrownBy(() => new Semaphore(0))).toMatchObject({ message: expect.stringContaining("pass { max }") });
  });
});
