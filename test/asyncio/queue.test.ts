import { UsageError } from "fibril";
import { describe, expect, test } from "vitest";
import {
  BoundedSemaphore,
  createTask,
  Event,
  LifoQueue,
  PriorityQueue,
  Queue,
  QueueEmpty,
  QueueFull,
  QueueShutDown,
  Semaphore,
  sleep,
  ValueError,
} from "../../src/asyncio/index.ts";
import type { Coroutine } from "../../src/asyncio/index.ts";
import { now, play, thrownBy, thrownIn } from "./virtual.ts";

describe("queues", () => {
  test("first in, first out; bounded by maxsize, unbounded by default", () => {
    play(function* () {
      const queue = new Queue<number>(2);
      expect([queue.empty(), queue.full(), queue.qsize(), queue.maxsize]).toEqual([true, false, 0, 2]);
      expect(thrownBy(() => queue.getNowait())).toBeInstanceOf(QueueEmpty);
      yield* queue.put(1);
      yield* queue.put(2);
      expect(thrownBy(() => queue.putNowait(3))).toBeInstanceOf(QueueFull);
      const putter = createTask(queue.put(3));
      yield* sleep(1);
      expect([putter.done(), queue.full()]).toEqual([false, true]);
      expect([yield* queue.get(), yield* queue.get(), yield* queue.get()]).toEqual([1, 2, 3]);
      const unbounded = new Queue<number>();
      for (let i = 0; i < 1000; i++) unbounded.putNowait(i);
      expect([unbounded.full(), unbounded.qsize(), new Queue(-1).full()]).toEqual([false, 1000, false]);
      for (let i = 0; i < 1000; i++) expect(unbounded.getNowait()).toBe(i);
    });
  });

  test("join waits for taskDone of every item; one too many is refused", () => {
    play(function* () {
      const queue = new Queue<number>();
      yield* queue.join();
      for (let i = 0; i < 3; i++) queue.putNowait(i);
      const worker = createTask(
        (function* (): Coroutine<void> {
          for (;;) {
            yield* queue.get();
            yield* sleep(1);
            queue.taskDone();
          }
        })(),
      );
      yield* queue.join();
      expect(now()).toBe(3);
      worker.cancel();
      expect(thrownBy(() => queue.taskDone())).toBeInstanceOf(ValueError);
    });
  });

  test("shutdown: puts throw at once, gets drain what is left", () => {
    play(function* () {
      const queue = new Queue<number>(1);
      queue.putNowait(1);
      const putter = createTask(queue.put(2));
      yield* sleep(0);
      queue.shutdown();
      expect(yield* thrownIn(putter)).toBeInstanceOf(QueueShutDown);
      expect(thrownBy(() => queue.putNowait(3))).toBeInstanceOf(QueueShutDown);
      expect(yield* thrownIn(queue.put(3))).toBeInstanceOf(QueueShutDown);
      expect(yield* queue.get()).toBe(1);
      expect(yield* thrownIn(queue.get())).toBeInstanceOf(QueueShutDown);
      expect(thrownBy(() => queue.getNowait())).toBeInstanceOf(QueueShutDown);
    });
  });

  test("shutdown of an empty queue wakes its getters; immediate drops the items and ends join", () => {
    play(function* () {
      const empty = new Queue<number>();
      const getter = createTask(empty.get());
      yield* sleep(0);
      empty.shutdown();
      expect(yield* thrownIn(getter)).toBeInstanceOf(QueueShutDown);
      const full = new Queue<number>();
      full.putNowait(1);
      full.putNowait(2);
      const joiner = createTask(full.join());
      yield* sleep(0);
      full.shutdown(true);
      yield* joiner;
      expect(yield* thrownIn(full.get())).toBeInstanceOf(QueueShutDown);
    });
  });

  test("last in, first out", () => {
    const queue = new LifoQueue<number>(3);
    for (const i of [1, 2, 3]) queue.putNowait(i);
    expect([queue.full(), queue.getNowait(), queue.getNowait(), queue.getNowait()]).toEqual([true, 3, 2, 1]);
  });

  test("smallest first: numbers, strings, arrays element by element, or by a comparison of one's own", () => {
    const drained = <T>(queue: Queue<T>, items: readonly T[]): T[] => {
      for (const item of items) queue.putNowait(item);
      return items.map(() => queue.getNowait());
    };
    expect(drained(new PriorityQueue<number>(), [5, 1, 4, 1, 3])).toEqual([1, 1, 3, 4, 5]);
    expect(drained(new PriorityQueue<string>(), ["b", "a", "c"])).toEqual(["a", "b", "c"]);
    expect(
      drained(new PriorityQueue<[number, string]>(), [
        [2, "a"],
        [1, "b"],
        [1, "a"],
      ]),
    ).toEqual([
      [1, "a"],
      [1, "b"],
      [2, "a"],
    ]);
    const byLength = { isLess: (a: string, b: string) => a.length < b.length };
    expect(drained(new PriorityQueue<string>(0, byLength), ["ccc", "a", "bb"])).toEqual(["a", "bb", "ccc"]);
  });

  test("equal items leave in the order of Python's heapq", () => {
    const queue = new PriorityQueue<{ p: number; id: number }>(0, { isLess: (a, b) => a.p < b.p });
    for (let id = 0; id < 8; id++) queue.putNowait({ p: 1, id });
    const order = Array.from({ length: 8 }, () => queue.getNowait().id);
    expect(order).toEqual([0, 2, 6, 5, 7, 4, 1, 3]); // measured on CPython
  });

  test("items that cannot be compared are refused", () => {
    const queue = new PriorityQueue<unknown>();
    queue.putNowait({});
    expect(thrownBy(() => queue.putNowait({}))).toBeInstanceOf(UsageError);
  });
});

describe("misuse and the small ones", () => {
  test("wrong arguments", () => {
    expect(thrownBy(() => new Semaphore(-1))).toBeInstanceOf(ValueError);
    expect(thrownBy(() => new Semaphore(1.5))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => new Queue("1" as never))).toBeInstanceOf(UsageError);
  });

  test("a bounded semaphore is not released more often than acquired", () => {
    play(function* () {
      const semaphore = new BoundedSemaphore(1);
      yield* semaphore.acquire();
      semaphore.release();
      expect(thrownBy(() => semaphore.release())).toBeInstanceOf(ValueError);
      expect(semaphore.locked()).toBe(false);
      const plain = new Semaphore(1);
      plain.release();
      yield* plain.acquire();
      yield* plain.acquire();
      expect(plain.locked()).toBe(true);
    });
  });

  test("an event that is set lets all pass without a wait, until it is cleared", () => {
    play(function* () {
      const event = new Event();
      const waiters = [createTask(event.wait()), createTask(event.wait())];
      yield* sleep(0);
      event.set();
      event.set();
      for (const waiter of waiters) yield* waiter;
      yield* event.wait();
      event.clear();
      const late = createTask(event.wait());
      yield* sleep(1);
      expect([late.done(), String(event)]).toEqual([false, "<Event unset waiters:1>"]);
    });
  });
});
