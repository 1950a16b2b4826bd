import { all, moveOnAfter, sleep, spawn, UsageError } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { LifoQueue, PriorityQueue, Queue, QueueShutDownError } from "../../src/channels/index.ts";
import { failureOf, simulated, thrownBy } from "../core/simulated.ts";

describe("a queue", () => {
  test("is bounded by default, and a put waits while it is full", () => {
    simulated(function* () {
      const queue = new Queue<number>();
      expect(queue.capacity).toBe(1_024);
      for (let i = 0; i < 1_024; i++) expect(queue.tryPut(i)).toBe(true);
      expect([queue.isFull, queue.size, queue.tryPut(0)]).toEqual([true, 1_024, false]);
      const waiting = spawn(() => queue.put(-1));
      yield* sleep(1);
      expect(waiting.waitingFor).toBe("put into queue");
      expect(yield* queue.get()).toBe(0);
      expect([queue.isFull, queue.size]).toEqual([true, 1_024]);
      yield* waiting;
    });
  });

  test("gives an item to who has waited longest: a later get cannot take it", () => {
    const seen = simulated(function* () {
      const queue = new Queue<number>(9);
      const log: string[] = [];
      for (const name of ["a", "b"]) {
        spawn(function* () {
          log.push(`${name} ${yield* queue.get()}`);
        });
      }
      yield* sleep(1);
      for (const item of [1, 2, 3]) expect(queue.tryPut(item)).toBe(true);
      log.push(`main ${yield* queue.get()}`);
      yield* sleep(1);
      return log;
    });
    expect(seen).toEqual(["main 3", "a 1", "b 2"]); // asyncio: main 1, b 2, a 3
  });

  test("tryGet tells an item that is undefined from no item", () => {
    const queue = new Queue<undefined>();
    queue.tryPut(undefined);
    expect([queue.tryGet(), queue.tryGet()]).toEqual([{ value: undefined }, undefined]);
  });

  test("join waits until every item was reported done, not only got", () => {
    const log = simulated(function* () {
      const queue = new Queue<number>(1, { name: "jobs" });
      const seen: string[] = [];
      yield* queue.join(); // nothing was put in
      const worker = spawn(function* () {
        for (;;) {
          const item = yield* queue.get();
          yield* sleep(10);
          seen.push(`done ${item}`);
          queue.taskDone();
        }
      });
      for (const item of [1, 2]) yield* queue.put(item);
      const joining = spawn(() => queue.join());
      yield* sleep(1);
      expect(joining.waitingFor).toBe('all items of queue "jobs" to be done');
      expect(queue.statistics()).toMatchObject({ unfinished: 2, waitingJoiners: 1, size: 1 });
      yield* joining;
      seen.push("joined");
      yield* worker.cancel();
      return seen;
    });
    expect(log).toEqual(["done 1", "done 2", "joined"]);
  });

  test("taskDone once too often is a usage error and changes nothing", () => {
    const queue = new Queue<number>(3, { name: "jobs" });
    expect(thrownBy(() => queue.taskDone())).toBeInstanceOf(UsageError);
    queue.tryPut(1);
    queue.taskDone();
    expect(() => queue.taskDone()).toThrow('taskDone() of queue "jobs": all its items are done already');
    expect(queue.unfinished).toBe(0);
  });

  test("shutdown refuses who puts at once, and who gets once it is empty", () => {
    simulated(function* () {
      const queue = new Queue<number>(1, { name: "jobs" });
      yield* queue.put(1);
      const putting = spawn(() => codeOf(queue.put(2)));
      yield* sleep(1);
      expect(queue.shutdown()).toEqual([]);
      expect(queue.shutdown()).toEqual([]);
      expect(yield* putting).toBe("QUEUE_SHUT_DOWN");
      expect(thrownBy(() => queue.tryPut(3))).toBeInstanceOf(QueueShutDownError);
      expect([queue.isShutDown, yield* queue.get()]).toEqual([true, 1]);
      expect(yield* codeOf(queue.get())).toBe("QUEUE_SHUT_DOWN");
      expect(() => queue.tryGet()).toThrow('cannot get from queue "jobs": it is shut down and empty');
      expect(yield* queue.next()).toEqual({ done: true, value: undefined });
    });
  });

  test("shutdown tells those who wait for an item", () => {
    simulated(function* () {
      const queue = new Queue<number>(1);
      const getting = spawn(() => codeOf(queue.get()));
      const next = spawn(() => queue.next());
      yield* sleep(1);
      queue.shutdown();
      expect(yield* getting).toBe("QUEUE_SHUT_DOWN");
      expect(yield* next).toEqual({ done: true, value: undefined });
    });
  });

  test("an immediate shutdown gives back what it throws out, and join does not wait for that", () => {
    simulated(function* () {
      const queue = new Queue<number>(9);
      for (const item of [1, 2, 3]) yield* queue.put(item);
      yield* queue.get();
      const joining = spawn(() => queue.join());
      yield* sleep(1);
      queue.shutdown();
      expect(queue.shutdown({ immediate: true })).toEqual([2, 3]);
      expect([queue.unfinished, queue.size]).toEqual([1, 0]);
      yield* sleep(1);
      expect(joining.isSettled).toBe(false);
      queue.taskDone();
      yield* joining;
      expect(thrownBy(() => queue.shutdown({ immediate: 1 as never }))).toBeInstanceOf(UsageError);
    });
  });

  test("an immediate shutdown counts no item as done that was reported done before it was got", () => {
    const queue = new Queue<number>(9);
    for (const item of [1, 2]) queue.tryPut(item);
    queue.taskDone();
    expect(queue.shutdown({ immediate: true })).toEqual([1, 2]);
    expect(queue.unfinished).toBe(0);
  });

  test("is a sequence: several workers share it until it is shut down", () => {
    const sums = simulated(function* () {
      const queue = new Queue<number>(2);
      function* work(): Coroutine<number> {
        let sum = 0;
        for (;;) {
          const { done, value } = yield* queue.next();
          if (done) return sum;
          sum += value;
          yield* sleep(1);
        }
      }
      const workers = [spawn(work), spawn(work)];
      for (let i = 1; i <= 10; i++) yield* queue.put(i);
      queue.shutdown();
      return yield* all(workers);
    });
    expect(sums.reduce((sum, it) => sum + it)).toBe(55);
  });

  for (const target of ["main", "stepped"] as const) {
    test(`the sweep: ${target} cancelled at any step, and the account is right`, () => {
      cancelSweep(
        () => {
          const queue = new Queue<number>(2);
          let put = 0;
          let got = 0;
          function* main(): Coroutine<void> {
            for (let worker = 0; worker < 2; worker++) {
              spawn(function* () {
                for (;;) {
                  if ((yield* queue.next()).done) return;
                  got++;
                  queue.taskDone();
                }
              });
            }
            // A worker that was cancelled leaves the others waiting for ever.
            yield* moveOnAfter(100, function* () {
              for (let i = 0; i < 6; i++) {
                yield* queue.put(i);
                put++;
              }
              yield* queue.join();
            });
            queue.shutdown();
          }
          return {
            main,
            check() {
              const { size, unfinished, waitingGetters, waitingJoiners, waitingPutters } = queue.statistics();
              expect([size, unfinished]).toEqual([put - got, put - got]);
              expect([waitingGetters, waitingJoiners, waitingPutters]).toEqual([0, 0, 0]);
            },
          };
        },
        { target },
      );
    });
  }
});

describe("order", () => {
  test("a LIFO queue gives what came last", () => {
    const queue = new LifoQueue<number>(3, { name: "stack" });
    for (const item of [1, 2, 3]) queue.tryPut(item);
    expect(queue.tryPut(4)).toBe(false);
    expect([queue.tryGet(), queue.tryGet()]).toEqual([{ value: 3 }, { value: 2 }]);
    expect(queue.shutdown({ immediate: true })).toEqual([1]);
  });

  test("a priority queue gives the smallest, and equals in the order in which they came", () => {
    const items = ["c3", "a1", "b2", "d1", "e3", "f2", "g-Infinity", "hInfinity", "i-Infinity", "jInfinity"];
    const byNumber = new PriorityQueue<string>(10, { priority: (item) => Number(item.slice(1)) });
    const byComparison = new PriorityQueue<string>({
      compare: (a, b) => Number(a.slice(1)) - Number(b.slice(1)) || 0,
    });
    for (const queue of [byNumber, byComparison]) {
      for (const item of items) queue.tryPut(item);
      expect(queue.shutdown({ immediate: true })).toEqual([
        "g-Infinity",
        "i-Infinity",
        "a1",
        "d1",
        "b2",
        "f2",
        "c3",
        "e3",
        "hInfinity",
        "jInfinity",
      ]);
    }
    expect([byNumber.name, byComparison.capacity]).toEqual(["priority queue", 1_024]);
  });

  test("the priority is asked once, when the item enters the queue", () => {
    const asked: number[] = [];
    const queue = new PriorityQueue<{ rank: number }>(9, {
      priority: (item) => {
        asked.push(item.rank);
        return item.rank;
      },
    });
    const items = [{ rank: 2 }, { rank: 1 }, { rank: 3 }];
    for (const item of items) queue.tryPut(item);
    items[2]!.rank = 0; // too late
    expect([queue.tryGet()?.value.rank, asked]).toEqual([1, [2, 1, 3]]);
  });

  test("an item that cannot be compared fails its own put, at once or from the line, and nobody else", () => {
    simulated(function* () {
      const queue = new PriorityQueue<number | string>(1, { priority: (item) => item as number });
      yield* queue.put(1);
      const bad = spawn(() => codeOf(queue.put("not a number")));
      const good = spawn(() => queue.put(2));
      yield* sleep(1);
      expect(yield* queue.get()).toBe(1);
      expect(yield* bad).toBe("USAGE");
      yield* good;
      expect(queue.statistics()).toMatchObject({ size: 1, unfinished: 2, waitingPutters: 0 });
      expect(yield* queue.get()).toBe(2);
      expect(thrownBy(() => queue.tryPut(Number.NaN))).toBeInstanceOf(UsageError);
      expect(queue.unfinished).toBe(2);
    });
  });

  test("what compare throws comes out of the put", () => {
    const error = failureOf(function* () {
      const queue = new PriorityQueue<number>(9, {
        compare(a) {
          throw new Error(`cannot compare ${a}`);
        },
      });
      yield* queue.put(1);
      yield* queue.put(2);
    });
    expect(error).toMatchObject({ message: "cannot compare 2" });
  });

  test("compare and priority cannot change the queue that asks them: nothing that was put is lost", () => {
    simulated(function* () {
      const refused: unknown[] = [];
      let meddle: () => unknown = () => {};
      const meddling = (): void => void refused.push(thrownBy(meddle));
      const compared: PriorityQueue<number> = new PriorityQueue(9, {
        compare(a, b) {
          meddling();
          return a - b;
        },
      });
      const ranked: PriorityQueue<number> = new PriorityQueue(9, {
        priority(item) {
          meddling();
          return item;
        },
      });
      meddle = () => compared.tryPut(99);
      for (const item of [3, 1, 2]) expect(compared.tryPut(item)).toBe(true);
      meddle = () => compared.tryGet();
      expect([compared.tryGet()?.value, compared.size, compared.unfinished]).toEqual([1, 2, 3]);
      meddle = () => ranked.tryPut(99);
      yield* ranked.put(1);
      expect([ranked.size, ranked.unfinished]).toEqual([1, 1]);
      expect(refused.length).toBeGreaterThan(3);
      for (const error of refused) expect(error).toBeInstanceOf(UsageError);
      meddle = () => {
        throw new Error(`${compared.size} items`); // looking is fine
      };
      expect(compared.shutdown({ immediate: true })).toEqual([2, 3]);
    });
  });
});

describe("an immediate shutdown whose comparison throws", () => {
  test("loses nothing, and another one gives everything, in order", () => {
    simulated(function* () {
      for (let bad = 1; bad < 12; bad++) {
        let comparisons = -Infinity;
        const queue = new PriorityQueue<number>({
          compare: (a, b) => {
            if (++comparisons === bad) throw new Error("compare");
            return a - b;
          },
        });
        for (const item of [5, 3, 1, 4, 2, 6]) queue.tryPut(item);
        const joining = spawn(() => queue.join());
        yield* sleep(1);
        comparisons = 0;
        const error = thrownBy(() => {
          throw queue.shutdown({ immediate: true }); // an array when it does not throw
        });
        if (comparisons < bad) {
          expect([error, bad]).toEqual([[1, 2, 3, 4, 5, 6], bad]);
          yield* joining;
          continue;
        }
        expect(String(error)).toBe("Error: compare");
        expect([queue.size, queue.unfinished, queue.isShutDown, joining.isSettled]).toEqual([6, 6, true, false]);
        if (bad % 2 === 0) {
          expect(queue.tryGet()).toEqual({ value: 1 });
          queue.taskDone();
        }
        expect(queue.shutdown({ immediate: true })).toEqual([1, 2, 3, 4, 5, 6].slice(bad % 2 === 0 ? 1 : 0));
        yield* joining;
        expect([queue.size, queue.unfinished, queue.shutdown({ immediate: true })]).toEqual([0, 0, []]);
      }
    });
  });

  test("twice loses nothing either", () => {
    let isBroken = false;
    const queue = new PriorityQueue<number>(9, {
      compare: (a, b) => {
        if (isBroken && a === 6) throw new Error("compare");
        return a - b;
      },
    });
    for (const item of [1, 2, 3, 4, 5, 6, 7]) queue.tryPut(item);
    isBroken = true;
    for (let i = 0; i < 3; i++) expect(() => queue.shutdown({ immediate: true })).toThrow("compare");
    expect([queue.size, queue.tryGet()]).toEqual([7, { value: 1 }]);
    isBroken = false;
    expect(queue.shutdown({ immediate: true })).toEqual([2, 3, 4, 5, 6, 7]);
  });
});

test("a priority queue takes its capacity among the options, or first as the others", () => {
  const priority = (item: number): number => item;
  expect(new PriorityQueue({ capacity: 3, priority, name: "jobs" }).statistics()).toMatchObject({
    name: "jobs",
    capacity: 3,
  });
  expect(new PriorityQueue(3, { priority, name: "jobs" }).statistics()).toMatchObject({ name: "jobs", capacity: 3 });
  expect(new PriorityQueue({ priority }).statistics()).toMatchObject({ name: "priority queue", capacity: 1_024 });
  expect(() => new PriorityQueue({ capacity: 0, priority })).toThrow(UsageError);
});

describe("misuse and looking in", () => {
  test.each([0, -1, 1.5, Number.NaN, "9"])("a capacity of %s is refused", (capacity) => {
    expect(() => new Queue(capacity as number)).toThrow(UsageError);
    expect(() => new LifoQueue(capacity as number, { name: "x" })).toThrow('the capacity of LIFO queue "x" must be');
    expect(() => new PriorityQueue(capacity as number, { priority: () => 0 })).toThrow(UsageError);
  });

  test("Infinity means no bound", () => {
    const queue = new Queue<number>(Infinity);
    for (let i = 0; i < 3_000; i++) queue.tryPut(i);
    expect([queue.size, queue.isFull]).toEqual([3_000, false]);
  });

  test("a priority queue needs to know the order, in one way", () => {
    for (const options of [undefined, {}, { priority: 3 }, { priority: () => 0, compare: () => 0 }]) {
      expect(() => new PriorityQueue(3, options as never)).toThrow(UsageError);
    }
  });

  test("statistics are frozen", () => {
    const queue = new Queue<number>(3, { name: "jobs" });
    queue.tryPut(1);
    const statistics = queue.statistics();
    expect(statistics).toEqual({
      name: "jobs",
      capacity: 3,
      size: 1,
      unfinished: 1,
      waitingPutters: 0,
      waitingGetters: 0,
      waitingJoiners: 0,
      isShutDown: false,
    });
    expect(Object.isFrozen(statistics)).toBe(true);
  });
});

function* codeOf(operation: object): Coroutine<string> {
  try {
    yield* operation as Coroutine<unknown>;
    return "done";
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return (error as QueueShutDownError).code;
  }
}
