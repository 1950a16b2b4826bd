/**
 * Every operation is a single wait, so `select` can take one of several and leave the others as they were.
 */
import { currentTask, sleep, spawn } from "fibril";
import { describe, expect, test } from "vitest";
import { select } from "../../src/channels/select.ts";
import { Barrier, Event, Latch, Limiter, Lock, RwLock, Semaphore } from "../../src/sync/index.ts";
import type { Permit } from "../../src/sync/index.ts";
import { caught } from "./caught.ts";
import { simulated } from "../core/simulated.ts";

describe("in a select", () => {
  test("the first lock that is free is taken, by the task; the others are left alone", () => {
    simulated(function* () {
      const [a, b] = [new Lock({ name: "a" }), new Lock({ name: "b" })];
      const [heldA, heldB] = [yield* a.acquire(), yield* b.acquire()];
      const task = spawn(function* () {
        const chosen = yield* select({ a: a.acquire(), b: b.acquire() });
        expect(chosen.key).toBe("b");
        expect(b.owner).toBe(currentTask());
        yield* sleep(1);
        chosen.value.release();
      });
      yield* sleep(1);
      expect([a.statistics().waiting, b.statistics().waiting]).toEqual([1, 1]);
      heldB.release();
      expect(a.statistics().waiting).toBe(0);
      expect(b.owner).toBe(task);
      heldA.release();
      expect(a.isLocked).toBe(false);
      yield* task;
      expect(b.isLocked).toBe(false);
    });
  });

  test("two arms at the same primitive take it once", () => {
    simulated(function* () {
      const lock = new Lock();
      const rwLock = new RwLock();
      const semaphore = new Semaphore(2);
      const limiter = new Limiter(1);
      const holding: Permit[] = [
        yield* lock.acquire(),
        yield* rwLock.acquireWrite(),
        yield* semaphore.acquire(2),
        yield* limiter.acquireOnBehalfOf({}),
      ];
      const tasks = [
        () => select([lock.acquire(), lock.acquire()]),
        () => select([rwLock.acquireRead(), rwLock.acquireRead(), rwLock.acquireWrite()]),
        () => select([semaphore.acquire(), semaphore.acquire()]),
        () => select([limiter.acquireOnBehalfOf(lock), limiter.acquireOnBehalfOf(semaphore)]),
      ].map((make) =>
        spawn(function* () {
          const { value } = yield* make();
          yield* sleep(2);
          value.release();
        }),
      );
      yield* sleep(1);
      for (const permit of holding) permit.release();
      expect(lock.statistics()).toMatchObject({ isLocked: true, waiting: 0 });
      expect(rwLock.statistics()).toMatchObject({ readers: 1, waitingReaders: 0, waitingWriters: 0 });
      expect(semaphore.statistics()).toMatchObject({ available: 1, waiting: 0 });
      expect(limiter.statistics()).toMatchObject({ borrowed: 1, waiting: 0 });
      for (const task of tasks) yield* task;
      expect([lock.isLocked, rwLock.readers, semaphore.available, limiter.borrowed]).toEqual([false, 0, 2, 0]);
    });
  });

  test("a task that holds a lock is refused also as an arm", () => {
    simulated(function* () {
      const lock = new Lock();
      using _permit = yield* lock.acquire();
      expect(yield* caught(select([lock.acquire(), sleep(1)]))).toMatchObject({ code: "LOCK_REENTERED" });
    });
  });

  test("a task cannot be two parties of a barrier", () => {
    simulated(function* () {
      const barrier = new Barrier(2);
      expect(yield* caught(select([barrier.wait(), barrier.wait()]))).toMatchObject({ code: "BARRIER_TWICE" });
      expect(barrier.waiting).toBe(0);
      const task = spawn(() => barrier.wait());
      yield* sleep(1);
      expect(yield* select([sleep(5), barrier.wait()])).toEqual({ key: 1, value: 1 });
      expect(yield* task).toBe(0);
    });
  });

  test("an event or a latch that is not chosen is left as it was", () => {
    simulated(function* () {
      const event = new Event();
      const latch = new Latch(1);
      expect(yield* select([event.wait(), latch.wait(), sleep(1)])).toEqual({ key: 2, value: undefined });
      expect([event.statistics().waiting, latch.statistics().waiting]).toEqual([0, 0]);
      latch.countDown();
      expect((yield* select([event.wait(), latch.wait()])).key).toBe(1);
    });
  });
});
