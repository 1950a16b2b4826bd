/** On virtual time, with every order and every cancellation. */
import fc from "fast-check";
import { scope, sleep, yieldNow, type Coroutine } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { JobQueue } from "../../src/fetch/job-queue.ts";

interface Item {
  readonly origin: string;
  readonly number: number;
}

const items = (origins: readonly string[]): Item[] => origins.map((origin, number) => ({ origin, number }));

function* feed(queue: JobQueue<Item>, list: readonly Item[]): Coroutine<void> {
  for (const item of list) yield* queue.put(item);
  queue.end();
}

function valueOf<T>(main: () => Coroutine<T>, seed?: number): T {
  const { outcome, leaks } = simulateSync(main, seed === undefined ? {} : { seed });
  expect(leaks).toEqual([]);
  if (outcome.status === "failed") throw outcome.error;
  if (outcome.status !== "succeeded") throw new Error("it was cancelled");
  return outcome.value;
}

/** Feeds the items and lets workers take them; what each needs is `work`. Returns them in the order in which they began. */
function runQueue(
  options: {
    readonly capacity: number;
    readonly perHost: number;
    readonly workers: number;
    readonly list: readonly Item[];
  },
  work: (item: Item, queue: JobQueue<Item>) => Coroutine<void>,
  seed?: number,
): Item[] {
  const begun: Item[] = [];
  valueOf(function* () {
    const queue = new JobQueue<Item>(options);
    yield* scope(function* (own) {
      own.spawn(feed, queue, options.list);
      for (let number = 0; number < options.workers; number++) {
        own.spawn(function* worker() {
          for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
            begun.push(item);
            yield* work(item, queue);
            queue.finished(item);
          }
        });
      }
      yield* yieldNow();
    });
    expect([queue.waiting, queue.away]).toEqual([0, 0]);
  }, seed);
  return begun;
}

describe("order", () => {
  test("one host: first in, first out", () => {
    const list = items(["a", "a", "a", "a"]);
    const begun = runQueue({ capacity: 10, perHost: Infinity, workers: 1, list }, () => yieldNow() as Coroutine<void>);
    expect(begun.map(({ number }) => number)).toEqual([0, 1, 2, 3]);
  });

  test("several hosts take turns", () => {
    const list = items(["a", "a", "a", "b", "b", "c"]);
    const all = valueOf(function* () {
      const queue = new JobQueue<Item>({ capacity: 10, perHost: Infinity });
      yield* feed(queue, list);
      const order: string[] = [];
      for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
        order.push(item.origin);
        queue.finished(item);
      }
      return order;
    });
    expect(all).toEqual(["a", "b", "c", "a", "b", "a"]);
  });

  test("a host at its limit is passed over, and its turn comes when a place is free", () => {
    const list = items(["a", "a", "a", "b"]);
    const times = new Map<number, number>();
    let now = 0;
    runQueue({ capacity: 10, perHost: 1, workers: 4, list }, function* (item) {
      times.set(item.number, now);
      yield* sleep(10);
      now = Math.max(now, times.get(item.number)! + 10);
    });
    expect([...times]).toEqual([
      [0, 0],
      [3, 0],
      [1, 10],
      [2, 20],
    ]);
  });

  test("a host that is held gets no request until it is released as often", () => {
    const order = valueOf(function* () {
      const queue = new JobQueue<Item>({ capacity: 10, perHost: Infinity });
      queue.hold("a");
      queue.hold("a");
      yield* feed(queue, items(["a", "b"]));
      const seen: string[] = [];
      yield* scope(function* (own) {
        own.spawn(function* () {
          for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
            seen.push(item.origin);
            queue.finished(item);
          }
        });
        yield* sleep(1);
        queue.release("a");
        yield* sleep(1);
        seen.push("released");
        queue.release("a");
      });
      return seen;
    });
    expect(order).toEqual(["b", "released", "a"]);
  });
});

test("tryPut puts what there is room for, and waits for nothing", () => {
  const [first, second] = items(["a", "a"]) as [Item, Item];
  const given = valueOf(function* () {
    const queue = new JobQueue<Item>({ capacity: 1, perHost: 5 });
    const tried = [queue.tryPut(first), queue.tryPut(second), queue.waiting];
    return [...tried, yield* queue.take(), queue.tryPut(second)];
  });
  expect(given).toEqual([true, false, 1, first, true]);
});

describe("bounds", () => {
  test("who puts waits while it is full, and is visible as waiting", () => {
    const seen = valueOf(function* () {
      const queue = new JobQueue<Item>({ capacity: 2, perHost: Infinity });
      const list = items(["a", "a", "a", "a", "a"]);
      return yield* scope(function* (own) {
        const feeder = own.spawn(feed, queue, list);
        yield* sleep(1);
        const before = [queue.waiting, feeder.waitingFor];
        for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
          expect(queue.waiting).toBeLessThanOrEqual(2);
          queue.finished(item);
        }
        return before;
      });
    });
    expect(seen).toEqual([2, "room among the 2 URLs read ahead"]);
  });

  test("takers end when nothing waits and nothing is away, and not before", () => {
    const ends = valueOf(function* () {
      const queue = new JobQueue<Item>({ capacity: 2, perHost: Infinity });
      const [item] = items(["a"]);
      yield* feed(queue, [item!]);
      const first = yield* queue.take();
      queue.leave();
      queue.finished(first!);
      return yield* scope(function* (own) {
        const taker = own.spawn(() => queue.take());
        yield* sleep(5);
        const waiting = taker.waitingFor;
        queue.comeBack(item!);
        const again = yield* taker;
        queue.finished(again!);
        return [waiting, again === item, yield* queue.take()];
      });
    });
    expect(ends).toEqual(["a URL to fetch", true, undefined]);
  });

  test("law: every item is taken exactly once for each try, whatever the order, the hosts and the limits", () => {
    fc.assert(
      fc.property(
        fc.record({
          origins: fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 30 }),
          capacity: fc.integer({ min: 1, max: 5 }),
          perHost: fc.integer({ min: 1, max: 3 }),
          workers: fc.integer({ min: 1, max: 6 }),
          seed: fc.nat(),
          // How long each takes, and which are tried twice.
          durations: fc.array(fc.nat({ max: 3 }), { minLength: 30, maxLength: 30 }),
          twice: fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
        }),
        ({ origins, capacity, perHost, workers, seed, durations, twice }) => {
          const open = new Map<string, number>();
          const tries = new Map<number, number>();
          const list = items(origins);
          runQueue(
            { capacity, perHost, workers, list },
            function* (item, queue) {
              const inside = (open.get(item.origin) ?? 0) + 1;
              expect(inside).toBeLessThanOrEqual(perHost);
              open.set(item.origin, inside);
              yield* sleep(durations[item.number]!);
              open.set(item.origin, inside - 1 + (open.get(item.origin)! - inside));
              tries.set(item.number, (tries.get(item.number) ?? 0) + 1);
              if (!twice[item.number] || tries.get(item.number) === 2) return;
              queue.leave();
              queue.comeBack(item);
            },
            seed,
          );
          expect([...tries].sort(([one], [other]) => one - other)).toEqual(
            list.map(({ number }) => [number, twice[number] ? 2 : 1]),
          );
        },
      ),
      { numRuns: 200 },
    );
  });
});

test("cancelled at any step, nothing is left behind", () => {
  const { runs, cancelled } = cancelSweep(() => ({
    main: function* () {
      const queue = new JobQueue<Item>({ capacity: 2, perHost: 1 });
      yield* scope(function* (own) {
        own.spawn(feed, queue, items(["a", "a", "b", "a", "b"]));
        for (let number = 0; number < 3; number++) {
          own.spawn(function* () {
            for (let item = yield* queue.take(); item !== undefined; item = yield* queue.take()) {
              yield* sleep(1);
              queue.finished(item);
            }
          });
        }
        yield* yieldNow();
      });
    },
  }));
  expect(runs).toBeGreaterThan(10);
  expect(cancelled).toBeGreaterThan(10);
});
