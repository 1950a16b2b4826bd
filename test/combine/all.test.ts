import {
  all,
  CancelledError,
  currentTask,
  EventLoop,
  Future,
  moveOnAfter,
  run,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
} from "fibril";
import { simulateSync } from "fibril/testing";
import type { Coroutine } from "fibril";
import { describe, expect, expectTypeOf, test } from "vitest";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after, fail, told } from "./operands.ts";

describe("all", () => {
  test("runs side by side, and gives a list in the order of the operands", () => {
    const seen = simulated(function* () {
      const values = yield* all([after(3, "a"), () => after(1, 2), sleep(2)]);
      expectTypeOf(values).toEqualTypeOf<[string, number, void]>();
      return [values, now()];
    });
    expect(seen).toEqual([["a", 2, undefined], 3]);
  });

  test("or a record under the keys of the operands", () => {
    const seen = simulated(function* () {
      const values = yield* all({ name: after(2, "ada"), age: () => after(1, 36) });
      expectTypeOf(values).toEqualTypeOf<{ name: string; age: number }>();
      return [values, now()];
    });
    expect(seen).toEqual([{ name: "ada", age: 36 }, 2]);
  });

  test("of a list of one type gives a list of that type", () => {
    const seen = simulated(function* () {
      const values = yield* all([1, 2, 3].map((n) => after(n, n)));
      expectTypeOf(values).toEqualTypeOf<number[]>();
      return values;
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  test("of nothing is nothing, at once", () => {
    expect(
      simulated(function* () {
        return [yield* all([]), yield* all({}), now()];
      }),
    ).toEqual([[], {}, 0]);
  });

  test("keeps every key, whatever its name", () => {
    const seen = simulated(function* () {
      const values: object = yield* all({ ["__proto__"]: after(1, "a"), constructor: after(1, "b") } as never);
      return Object.entries(values);
    });
    expect(seen).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
  });

  test("the first failure cancels the others, waits for their cleanup, and is thrown with the later ones", () => {
    const [first, later] = [new Error("first"), new Error("later")];
    const log: string[] = [];
    const error = failureOf(() =>
      all([
        fail(5, first),
        function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(3);
            log.push(`clean at ${now()}`);
          }
        },
        function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* fail(1, later);
          }
        },
      ]),
    );
    expect(error).toBe(first);
    expect([suppressedErrors(error), log]).toEqual([[later], ["clean at 8"]]);
  });

  test("a failure of the last one does not wait for the first one", () => {
    const log = simulated(function* () {
      try {
        yield* all([sleep(1000), fail(1, new Error("last"))]);
      } catch (error) {
        return [(error as Error).message, now()];
      }
      return [];
    });
    expect(log).toEqual(["last", 1]);
  });

  test("cancelling it cancels every operand", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      function* operand(name: string): Coroutine<void> {
        try {
          yield* sleep(100);
        } finally {
          log.push(`${name} at ${now()}`);
        }
      }
      try {
        yield* timeout(5, all([operand("a"), operand("b")]));
      } catch (error) {
        log.push((error as Error).name);
      }
      return log;
    });
    expect(seen).toEqual(["a at 5", "b at 5", "TimeoutError"]);
  });

  test("a task among the operands is joined: cancelling does not reach it", () => {
    const seen = simulated(function* () {
      const task = spawn(after, 10, "task");
      try {
        yield* all([task, fail(1, new Error("other"))]);
      } catch {
        // Expected.
      }
      return [yield* task, now()];
    });
    expect(seen).toEqual(["task", 10]);
  });

  test("an operand that cancels itself is a CancelledError for all of it", () => {
    const error = failureOf(() =>
      all([
        function* () {
          currentTask().cancel("myself");
          yield* sleep(1);
        },
        sleep(5),
      ]),
    );
    expect(error).toBeInstanceOf(CancelledError);
    expect(error).toMatchObject({ reason: "myself" });
  });

  test("each operand is a task of its own, named after its function, its place or its key", () => {
    const seen = simulated(function* () {
      function* self(): Coroutine<string> {
        return currentTask().name;
      }
      return [...(yield* all([self, self(), () => self()])), ...Object.values(yield* all({ key: self() }))];
    });
    expect(seen).toEqual(["self", "all[0]", "all[1]", "all[2]", "all.key"].toSpliced(1, 1));
  });

  test("operands may wait for each other", () => {
    expect(
      simulated(function* () {
        const gate = new Future<number>();
        return yield* all([
          gate,
          function* () {
            yield* sleep(1);
            gate.resolve(7);
          },
        ]);
      }),
    ).toEqual([7, undefined]);
  });

  describe("of tasks and futures", () => {
    test("is one wait, without a task: it is over in the turn after the last one has settled", () => {
      const { steps, outcome } = simulateSync(function* () {
        const tasks = [3, 1, 2].map((ms) => spawn(after, ms, ms));
        const future = new Future<string>();
        spawn(function* () {
          future.resolve("set");
        });
        const values = yield* all([...tasks, future]);
        const record = yield* all({ b: tasks[0]!, a: future });
        return [values, record, now()];
      });
      expect(outcome).toMatchObject({ value: [[3, 1, 2, "set"], { b: 3, a: "set" }, 3] });
      expect(steps).toBe(2 + 3 * 2 + 1); // main twice, each task twice, the one that resolves once
    });

    test("reads what has settled at once, `undefined` too", () => {
      const seen = simulated(function* () {
        const tasks = [spawn(after, 1, undefined), spawn(after, 1, 7)];
        for (const task of tasks) yield* task;
        const future = new Future<string>();
        future.resolve("x");
        return [yield* all([...tasks, future]), yield* all([tasks[0]!, tasks[0]!]), now()];
      });
      expect(seen).toEqual([[undefined, 7, "x"], [undefined, undefined], 1]);
    });

    test("throws the first failure and leaves the others alone", () => {
      const error = new Error("b");
      const seen = simulated(function* () {
        const loop = EventLoop.current();
        const tasks = [spawn(after, 5, "a"), loop.spawn(fail, 2, error), spawn(after, 3, "c")] as const;
        const rejected = new Future<number>();
        rejected.reject("no");
        const thrown: unknown[] = [];
        for (const operands of [tasks, tasks, [tasks[0], rejected, tasks[2]], [rejected, tasks[1]]]) {
          try {
            yield* all(operands);
          } catch (failure) {
            thrown.push(failure, now());
          }
        }
        return [thrown, yield* tasks[0], yield* tasks[2], now()];
      });
      expect(seen).toEqual([[error, 2, error, 2, "no", 2, error, 2], "a", "c", 5]);
    });

    test("beside operations they are not cancelled when one of those fails, and their failure cancels those", () => {
      const log: string[] = [];
      const seen = simulated(function* () {
        const task = EventLoop.current().spawn(fail, 5, "task");
        const other = spawn(after, 9, "other");
        const thrown: unknown[] = [];
        for (const operands of [
          [fail(1, "own"), task, other],
          [told(log, "own", 20, 1, 2), task, other],
        ]) {
          try {
            yield* all(operands);
          } catch (failure) {
            thrown.push(failure, now());
          }
        }
        return [thrown, yield* other];
      });
      expect([seen, log]).toEqual([[["own", 1, "task", 7], "other"], ["own stopped at 7"]]);
    });

    test("cancelling it leaves the tasks alone; a cancelled task is a CancelledError", () => {
      const seen = simulated(function* () {
        const tasks = [spawn(after, 5, "a"), spawn(after, 6, "b")];
        const missed = yield* moveOnAfter(1, all(tasks));
        const cancelled = spawn(sleep, 50);
        cancelled.cancel("why");
        try {
          yield* all([cancelled, ...tasks]);
        } catch (error) {
          return [missed, (error as CancelledError).reason, yield* all(tasks)];
        }
        return [];
      });
      expect(seen).toEqual([undefined, "why", ["a", "b"]]);
    });

    test("may be waited for again after it was cancelled", () => {
      const seen = simulated(function* () {
        const joining = all([spawn(after, 3, "a"), spawn(after, 6, "b")]);
        return [yield* moveOnAfter(1, joining), yield* joining, yield* joining, now()];
      });
      expect(seen).toEqual([undefined, ["a", "b"], ["a", "b"], 6]);
    });

    test("says whom it waits for; a task cannot be among its own operands", () => {
      const seen = simulated(function* () {
        const tasks = [1, 2, 3, 4, 5].map((ms) => spawn({ name: `t${ms}` }, sleep, ms));
        const waiting = spawn(() => all(tasks));
        yield* sleep(1.5);
        return waiting.waitingFor;
      });
      expect(seen).toBe('join 4 of 5 task(s): "t2", "t3", "t4" and 1 more');
      const self = failureOf(function* () {
        yield* all([spawn(sleep, 1), currentTask()]);
      });
      expect(self).toMatchObject({ code: "SELF_JOIN" });
    });

    test("of other loops, and futures that are set outside, are waited for as something outside", async () => {
      const other = new EventLoop({ name: "other" });
      const outside = new Future<string>({ external: true });
      const tasks = [other.spawn(after, 3, "x"), other.spawn(after, 1, "y"), outside];
      other.callLater(2, () => outside.resolve("z"));
      expect(await run(() => all(tasks))).toEqual(["x", "y", "z"]);
    });
  });
});
