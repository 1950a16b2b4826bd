/**
 * Every primitive in a small program with several tasks, cancelled at every step: nothing stays taken, nobody stays in line.
 */
import { moveOnAfter, scope, sleep } from "fibril";
import type { Coroutine, Operation, Scope } from "fibril";
import { cancelSweep } from "fibril/testing";
import type { SweepProgram } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { Barrier, Condition, Event, Latch, Limiter, Lock, RwLock, Semaphore } from "../../src/sync/index.ts";

/** Spawns what `fill` says and waits; afterwards `statistics` has to be `left`. */
function crowd(fill: (own: Scope) => Operation<unknown>, statistics: () => unknown, left: object): SweepProgram {
  return { main: () => scope(fill), check: () => expect(statistics()).toMatchObject(left) };
}

function* use(primitive: { use(body: () => Operation<void>): Operation<void> }, ms: number): Coroutine<void> {
  yield* primitive.use(() => sleep(ms));
}

const programs: Record<string, () => SweepProgram> = {
  lock: () => {
    const lock = new Lock();
    return crowd(
      function* (own) {
        for (const ms of [2, 0, 1]) own.spawn(use, lock, ms);
        yield* moveOnAfter(2, use(lock, 1));
        using _permit = yield* lock.acquire();
        yield* sleep(1);
      },
      () => lock.statistics(),
      { isLocked: false, isBroken: false, waiting: 0 },
    );
  },
  "rw-lock": () => {
    const lock = new RwLock();
    return crowd(
      function* (own) {
        own.spawn(() => lock.read(sleep(2)));
        own.spawn(() => lock.write(sleep(1)));
        own.spawn(() => lock.read(sleep(1)));
        own.spawn(function* () {
          using permit = yield* lock.acquireWrite();
          yield* sleep(1);
          permit.downgrade();
          yield* sleep(1);
        });
        yield* moveOnAfter(1, lock.write(sleep(1)));
        yield* lock.read(sleep(1));
      },
      () => lock.statistics(),
      { readers: 0, writer: null, waitingReaders: 0, waitingWriters: 0, isBroken: false },
    );
  },
  semaphore: () => {
    const semaphore = new Semaphore(3);
    return crowd(
      function* (own) {
        for (const count of [2, 3, 1]) own.spawn(() => semaphore.use(count, () => sleep(count)));
        yield* moveOnAfter(1, semaphore.use(3, sleep(1)));
        using _permit = yield* semaphore.acquire(2);
        yield* sleep(1);
      },
      () => semaphore.statistics(),
      { available: 3, waiting: 0 },
    );
  },
  limiter: () => {
    const limiter = new Limiter(1);
    return crowd(
      function* (own) {
        for (const ms of [2, 0, 1]) own.spawn(use, limiter, ms);
        own.spawn(function* () {
          yield* sleep(1);
          limiter.total = 2;
        });
        using _token = yield* limiter.acquireOnBehalfOf({});
        yield* moveOnAfter(2, use(limiter, 1));
      },
      () => limiter.statistics(),
      { borrowed: 0, borrowers: [], waiting: 0 },
    );
  },
  condition: () => {
    const condition = new Condition();
    const items: number[] = [];
    let taken = 0;
    let put = 0;
    return crowd(
      function* (own) {
        for (let i = 0; i < 3; i++) {
          own.spawn(() =>
            condition.lock.use(function* () {
              yield* condition.waitFor(() => items.length > 0);
              items.shift();
              taken++;
              yield* sleep(1);
            }),
          );
        }
        for (let i = 0; i < 3; i++) {
          yield* sleep(1);
          yield* condition.lock.use(function* () {
            items.push(i);
            put++;
            condition.notify();
          });
        }
      },
      () => ({ ...condition.statistics(), ...condition.lock.statistics(), lost: put - taken - items.length }),
      { waiting: 0, waitingForLock: 0, isLocked: false, isBroken: false, lost: 0 },
    );
  },
  barrier: () => {
    const barrier = new Barrier(3);
    return crowd(
      function* (own) {
        for (const ms of [2, 0]) {
          own.spawn(function* () {
            for (let round = 0; round < 2; round++) {
              yield* sleep(ms);
              yield* moveOnAfter(9, barrier.wait());
            }
          });
        }
        yield* moveOnAfter(9, barrier.wait());
        yield* moveOnAfter(9, barrier.wait());
      },
      () => barrier.statistics(),
      { waiting: 0, isBroken: false },
    );
  },
  "event and latch": () => {
    const event = new Event();
    const latch = new Latch(2);
    return crowd(
      function* (own) {
        for (let i = 0; i < 2; i++) {
          own.spawn(function* () {
            try {
              yield* moveOnAfter(9, event.wait());
            } finally {
              latch.countDown();
            }
          });
        }
        yield* sleep(1);
        event.set();
        event.clear();
        yield* latch.wait();
      },
      () => ({ event: event.statistics().waiting, latch: latch.statistics().waiting }),
      { event: 0, latch: 0 },
    );
  },
};

const orders = [undefined, ...Array(12).keys()];

describe.each(["main", "stepped"] as const)("cancelled at any step (%s)", (target) => {
  test.each(Object.entries(programs))("%s: nothing stays taken, nobody stays in line", (_name, program) => {
    let cancelled = 0;
    for (const seed of orders) {
      const sweep = cancelSweep(program, { target, ...(seed === undefined ? {} : { seed }) });
      expect(sweep.runs).toBeGreaterThan(7);
      cancelled += sweep.cancelled;
    }
    if (target === "main") expect(cancelled).toBeGreaterThan(orders.length * 5);
  });
});
