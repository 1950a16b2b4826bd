import {
  CancelledError,
  currentTask,
  defer,
  EventLoop,
  Future,
  moveOnAfter,
  run,
  sleep,
  spawn,
  suppressedErrors,
  TaskLocal,
  UsageError,
} from "fibril";
import type { Coroutine, Operation } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { forEachConcurrent, mapConcurrent } from "../../src/combine/index.ts";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after, fail } from "./operands.ts";
import { naturals, source } from "./sources.ts";

const double = (n: number): Coroutine<number> => after(10 - n, n * 2);

describe("mapConcurrent", () => {
  test("gives the results in the order of the items, at most `limit` at the same time", () => {
    const seen = simulated(function* () {
      let [running, most] = [0, 0];
      const values = yield* mapConcurrent(
        [1, 2, 3, 4, 5, 6, 7],
        function* (n, index) {
          most = Math.max(most, ++running);
          yield* sleep(10 - n);
          running--;
          return [n * 2, index];
        },
        { limit: 3 },
      );
      expectTypeOf(values).toEqualTypeOf<number[][]>();
      return [values, most];
    });
    const values = [1, 2, 3, 4, 5, 6, 7].map((n, index) => [n * 2, index]);
    expect(seen).toEqual([values, 3]);
  });

  test("or in the order in which they are there", () => {
    expect(simulated(() => mapConcurrent([1, 2, 3], double, { ordered: false }))).toEqual([6, 4, 2]);
  });

  test("the limit is ten unless it is given; `Infinity` starts all at once", () => {
    const items = Array.from({ length: 25 }, (_, n) => n);
    for (const [options, most] of [
      [{}, 3],
      [{ limit: Infinity }, 1],
      [{ limit: 1 }, 25],
    ] as const) {
      const elapsed = simulated(function* () {
        yield* mapConcurrent(items, () => sleep(1), options);
        return now();
      });
      expect(elapsed).toBe(most);
    }
  });

  test("takes iterables, sequences and async iterables; one caller at a time asks a sequence", async () => {
    expect(simulated(() => mapConcurrent(new Set([1, 2]), double))).toEqual([2, 4]);
    const it = source([1, 2, 3, 4, 5], 1);
    const seen = simulated(function* () {
      return [yield* mapConcurrent(it, double, { limit: 3 }), it.taken, it.together, it.closed];
    });
    expect(seen).toEqual([[2, 4, 6, 8, 10], 5, 1, 0]);
    async function* numbers() {
      for (let n = 0; n < 20; n++) yield await Promise.resolve(n);
    }
    const values = await run(() => mapConcurrent(numbers(), (n) => after(n % 3, n), { limit: 4 }));
    expect(values).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });

  test("`fn` may return any operation; items and results may be `undefined`", () => {
    const future = new Future<number>();
    future.resolve(7);
    const seen = simulated(function* () {
      const task = spawn(after, 1, "task");
      const operations: Operation<unknown>[] = [future, task, sleep(1)];
      return yield* mapConcurrent(operations, (it) => it);
    });
    expect(seen).toEqual([7, "task", undefined]);
    expect(simulated(() => mapConcurrent([undefined, undefined], (it, index) => after(0, [it, index])))).toEqual([
      [undefined, 0],
      [undefined, 1],
    ]);
  });

  test("of nothing is nothing; few items hire few workers", () => {
    const seen = simulated(function* () {
      const before = EventLoop.current().statistics().tasksSpawned;
      const values = [yield* mapConcurrent([], double), yield* mapConcurrent(source([], 0), double)];
      yield* mapConcurrent([1, 2], double, { limit: 100 });
      yield* mapConcurrent(source([1, 2], 0), double, { limit: 100 });
      return [values, EventLoop.current().statistics().tasksSpawned - before];
    });
    expect(seen).toEqual([[[], []], 0 + 1 + 2 + 3]);
  });

  test("the first failure cancels the others, waits for them, closes the source and is thrown", () => {
    const [first, later] = [new Error("first"), new Error("later")];
    const log: string[] = [];
    const it = source(naturals(), 1);
    const error = failureOf(() =>
      mapConcurrent(
        it,
        function* (n) {
          try {
            yield* n === 2 ? fail(3, first) : sleep(50);
          } finally {
            if (n < 2) yield* sleep(n + 1);
            log.push(`${n} at ${now()}`);
          }
          return n;
        },
        { limit: 4 },
      ),
    );
    expect([error === first, it.closed, log]).toEqual([true, 1, ["2 at 6", "3 at 6", "0 at 7", "1 at 8"]]);
    const both = failureOf(() => mapConcurrent([first, later], (it_) => fail(1, it_)));
    expect([both === first, suppressedErrors(both)]).toEqual([true, [later]]);
  });

  test("a failure of the source cancels what is under way and is thrown", () => {
    const log: string[] = [];
    function* broken() {
      yield 1;
      yield 2;
      throw new Error("source");
    }
    function* work(n: number): Coroutine<number> {
      try {
        yield* sleep(n * 5);
        return n;
      } finally {
        log.push(`${n} at ${now()}`);
      }
    }
    expect(failureOf(() => mapConcurrent(broken(), work, { limit: 2 }))).toMatchObject({ message: "source" });
    expect(log).toEqual(["1 at 5", "2 at 5"]);
  });

  test("an item that cancels itself is a CancelledError for all of it", () => {
    const error = failureOf(() =>
      mapConcurrent([1, 2], function* (n) {
        if (n === 2) currentTask().cancel("myself");
        yield* sleep(5);
      }),
    );
    expect(error).toBeInstanceOf(CancelledError);
    expect(error).toMatchObject({ reason: "myself" });
  });

  test("cancelling it cancels what is under way, takes no more and closes the source", () => {
    const it = naturals();
    const stopped: number[] = [];
    const seen = simulated(() =>
      moveOnAfter(
        5,
        mapConcurrent(
          it,
          function* (n) {
            try {
              yield* sleep(3);
            } finally {
              if (now() === 5) stopped.push(n);
            }
          },
          { limit: 2 },
        ),
      ),
    );
    expect([seen, it.taken, it.closed, stopped]).toEqual([undefined, 4, 1, [2, 3]]);
  });

  test("an item that swallows the cancellation does not go on to the next one", () => {
    const it = naturals();
    const log: unknown[] = [];
    simulated(function* () {
      log.push(
        yield* moveOnAfter(
          5,
          mapConcurrent(
            it,
            function* () {
              try {
                yield* sleep(20);
              } catch {
                log.push("swallowed");
              }
            },
            { limit: 1 },
          ),
        ),
      );
    });
    expect([it.taken, log]).toEqual([1, ["swallowed", undefined]]);
  });

  test("each item is like a task of its own: releases run, children end and task-locals go before the next one", () => {
    const user = new TaskLocal("user", "nobody");
    const log: string[] = [];
    simulated(function* () {
      user.set("ada");
      yield* mapConcurrent(
        ["a", "b"],
        function* (name) {
          log.push(`${name} begins at ${now()}, user ${user.get()}`);
          user.set(name);
          defer(() => void log.push(`${name} released at ${now()}`));
          spawn(function* () {
            yield* sleep(3);
            log.push(`child of ${name} at ${now()}`);
          });
          yield* sleep(1);
        },
        { limit: 1 },
      );
    });
    expect(log).toEqual([
      "a begins at 0, user ada",
      "child of a at 3",
      "a released at 3",
      "b begins at 3, user ada",
      "child of b at 6",
      "b released at 6",
    ]);
  });

  test("a child or a release of an item that fails is the item's failure", () => {
    const error = new Error("child");
    expect(
      failureOf(() =>
        mapConcurrent([1], function* () {
          spawn(fail, 1, error);
          return 1;
        }),
      ),
    ).toBe(error);
    expect(
      failureOf(() =>
        mapConcurrent([1, 2], function* () {
          defer(() => {
            throw error;
          });
        }),
      ),
    ).toBe(error);
  });

  test("gives way to others even if no item ever waits", () => {
    let [mapped, seenAt] = [0, -1];
    run(function* () {
      yield* mapConcurrent(
        naturals(),
        function* () {
          if (++mapped === 200_000) throw new Error("never gave way");
        },
        { limit: 2 },
      );
    }).catch(() => {});
    return new Promise<void>((resolve) => {
      EventLoop.prototype.callLater.call(new EventLoop(), 1, () => {
        seenAt = mapped;
        resolve();
      });
    }).then(() => {
      expect(seenAt).toBeLessThan(200_000);
      mapped = 199_999; // let it end
      return undefined;
    });
  });

  test("wrong options, sources and functions are refused", () => {
    for (const limit of [0, -1, 1.5, Number.NaN, "3" as never]) {
      expect(failureOf(() => mapConcurrent([1], double, { limit }))).toBeInstanceOf(UsageError);
    }
    expect(failureOf(() => mapConcurrent(5 as never, double))).toBeInstanceOf(UsageError);
    const error = failureOf(() => mapConcurrent([1], (async () => 1) as never));
    expect(error).toMatchObject({ code: "NOT_AN_OPERATION" });
    expect((error as Error).message).toContain("write function*");
  });

  test("cancelled at any step it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      for (const everyMs of [0, 1]) {
        const sweep = cancelSweep(
          () => {
            const it = source([1, 2, 3, 4], everyMs);
            return {
              main: () => mapConcurrent(it, (n) => sleep(n % 3), { limit: 2 }),
              check: ({ outcome }) => expect(it.closed).toBe(outcome.status === "succeeded" ? 0 : 1),
            };
          },
          { seed: 5, target },
        );
        expect(sweep.runs).toBeGreaterThan(8);
      }
    }
  });
});

describe("forEachConcurrent", () => {
  test("works on at most `limit` items at the same time and gives nothing", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const value = yield* forEachConcurrent(
        source(["a", "b", "c"], 1),
        function* (name, index) {
          yield* sleep(5);
          log.push(`${name}${index} at ${now()}`);
        },
        { limit: 2 },
      );
      return [log, value];
    });
    expect(seen).toEqual([["a0 at 6", "b1 at 7", "c2 at 12"], undefined]);
  });

  test("goes through a source without end until it is cancelled", () => {
    const it = naturals();
    simulated(() =>
      moveOnAfter(
        100,
        forEachConcurrent(it, () => sleep(1), { limit: 5 }),
      ),
    );
    expect([it.taken, it.closed]).toEqual([500, 1]);
  });
});
