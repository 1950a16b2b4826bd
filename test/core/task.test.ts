/**
 * Tasks: names, joining, outcomes, and failures that nobody would see.
 */
import {
  CancelledError,
  currentScope,
  currentTask,
  EventLoop,
  moveOnAfter,
  run,
  scope,
  sleep,
  spawn,
  UsageError,
  yieldNow,
} from "fibril";
import type { Coroutine, Report, Task } from "fibril";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated, thrownBy } from "./simulated.ts";

function* fail(afterMs: number, error: unknown): Coroutine<never> {
  yield* sleep(afterMs);
  throw error;
}

/** The reports of a program. */
function reportsOf(main: () => Coroutine<unknown>): readonly Report[] {
  const { reports, leaks, outcome } = simulateSync(main);
  expect({ status: outcome.status, leaks }).toEqual({ status: "succeeded", leaks: [] });
  return reports;
}

describe("names and ids", () => {
  test("a task is named after its function, after its options, or after its number", () => {
    const names = simulated(function* () {
      const tasks = [
        spawn(fail.bind(null, 0, 0) && sleeper),
        spawn({ name: "mine" }, sleeper),
        spawn(function* () {}),
        spawn(() => sleep(1)),
      ];
      return tasks.map((it) => it.name);
    });
    expect(names).toEqual(["sleeper", "mine", "task 4", "task 5"]);
  });

  function* sleeper(): Coroutine<void> {
    yield* sleep(1);
  }

  test("ids count up in creation order, for each loop from 1", () => {
    const ids = (): number[] =>
      simulated(function* () {
        const tasks = [spawn(sleeper), spawn(sleeper)];
        return [currentTask().id, ...tasks.map((it) => it.id)];
      });
    expect([ids(), ids()]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  test("arguments are passed on, and steps are counted", () => {
    simulated(function* () {
      function* add(a: number, b: number): Coroutine<number> {
        yield* yieldNow();
        yield* yieldNow();
        return a + b;
      }
      const task = spawn(add, 2, 3);
      expect([yield* task, task.steps]).toEqual([5, 3]);
    });
  });
});

describe("currentTask", () => {
  test("is the running task, at every depth and after every wait", () => {
    simulated(function* () {
      const task: Task<boolean[]> = spawn(function* () {
        const seen: boolean[] = [];
        function* deep(): Coroutine<void> {
          seen.push(currentTask() === task);
          yield* sleep(1);
          seen.push(currentTask() === task);
        }
        yield* scope(() => deep());
        return seen;
      });
      expect(yield* task).toEqual([true, true]);
    });
  });

  test("outside a coroutine there is none, not in a callback either", () => {
    expect(thrownBy(() => currentTask())).toMatchObject({ code: "OUTSIDE_TASK" });
    expect(thrownBy(() => spawn(() => sleep(1)))).toBeInstanceOf(UsageError);
    const inCallback = simulated(function* () {
      let error: unknown;
      EventLoop.current().callSoon(() => (error = thrownBy(() => currentTask())));
      yield* sleep(1);
      return error;
    });
    expect(inCallback).toMatchObject({ code: "OUTSIDE_TASK" });
  });
});

describe("joining", () => {
  test("gives the value, as often and as late as it is asked", () => {
    const values = simulated(function* () {
      const task = spawn(function* () {
        yield* sleep(3);
        return "value";
      });
      const others = [spawn(() => task), spawn(() => task)];
      const seen = [yield* task, yield* others[0]!, yield* others[1]!];
      yield* sleep(5);
      return [...seen, yield* task, now()];
    });
    expect(values).toEqual(["value", "value", "value", "value", 8]);
  });

  test("a settled task does not suspend the joiner", () => {
    const steps = simulated(function* () {
      const task = spawn(function* () {});
      yield* task;
      const before = currentTask().steps;
      yield* task;
      return currentTask().steps - before;
    });
    expect(steps).toBe(0);
  });

  test("throws the very error that the task threw", () => {
    const error = new RangeError("mine");
    const caught = simulated(function* () {
      const task = EventLoop.current().spawn(fail, 1, error);
      const seen: unknown[] = [];
      for (let i = 0; i < 2; i++) {
        try {
          yield* task;
        } catch (it) {
          seen.push(it);
        }
      }
      return seen;
    });
    expect(caught).toEqual([error, error]);
    expect(caught[0]).toBe(error);
  });

  test("a cancelled task throws CancelledError, with its name and reason; the joiner is not cancelled by it", () => {
    const reason = new Error("not needed");
    const error = simulated(function* () {
      const task = spawn({ name: "download" }, () => sleep(10));
      task.cancel(reason);
      try {
        yield* task;
      } catch (it) {
        yield* sleep(1);
        return it;
      }
      return undefined;
    });
    expect(error).toBeInstanceOf(CancelledError);
    expect(error).toMatchObject({
      code: "CANCELLED",
      reason,
      cause: reason,
      message: expect.stringContaining('"download"') as string,
    });
  });

  test("cancelling the joiner leaves the joined task alone", () => {
    const seen = simulated(function* () {
      const task = spawn(function* () {
        yield* sleep(10);
        return "whole";
      });
      const first = yield* moveOnAfter(5, task);
      return [first, now(), yield* task, now()];
    });
    expect(seen).toEqual([undefined, 5, "whole", 10]);
  });

  test("a task cannot join itself", () => {
    const error = failureOf(function* () {
      const task: Task<void> = spawn(function* self(): Coroutine<void> {
        yield* task;
      });
      yield* task;
    });
    expect(error).toMatchObject({ code: "SELF_JOIN" });
  });

  test("many joiners go on in the order in which they came", () => {
    const order = simulated(function* () {
      const seen: number[] = [];
      const task = spawn(() => sleep(5));
      yield* scope(function* (inner) {
        for (let i = 0; i < 5; i++) {
          inner.spawn(function* () {
            yield* task;
            seen.push(i);
          });
        }
      });
      return seen;
    });
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });
});

describe("the outcome", () => {
  test("is undefined until the task has settled, then says which of the three it was", () => {
    const outcomes = simulated(function* () {
      const loop = EventLoop.current();
      const tasks = [loop.spawn(() => sleep(1)), loop.spawn(fail, 1, "broken"), loop.spawn(() => sleep(1))];
      tasks[1]!.then(undefined, () => {});
      tasks[2]!.cancel("enough");
      const before = tasks.map((it) => it.outcome);
      yield* sleep(2);
      return [before, ...tasks.map((it) => it.outcome)];
    });
    expect(outcomes).toEqual([
      [undefined, undefined, undefined],
      { status: "succeeded", value: undefined },
      { status: "failed", error: "broken" },
      { status: "cancelled", cancelled: expect.objectContaining({ reason: "enough", source: "request" }) as unknown },
    ]);
  });

  test("a Cancelled that was kept and thrown again where nobody is cancelled is a failure, with or without a scope", () => {
    const outcomes = simulated(function* () {
      function* throwAgain(open: boolean): Coroutine<void> {
        let kept: unknown;
        yield* moveOnAfter(1, function* () {
          try {
            yield* sleep(10);
          } catch (cancelled) {
            kept = cancelled;
            throw cancelled;
          }
        });
        if (open) yield* scope(() => sleep(1));
        if (open) spawn(() => sleep(1));
        throw kept;
      }
      const loop = EventLoop.current();
      const tasks = [loop.spawn(throwAgain, false), loop.spawn(throwAgain, true)];
      const seen: unknown[] = [];
      for (const task of tasks) {
        try {
          yield* task;
        } catch (error) {
          seen.push([task.outcome?.status, error instanceof CancelledError]);
        }
      }
      return seen;
    });
    expect(outcomes).toEqual([
      ["failed", true],
      ["failed", true],
    ]);
  });
});

describe("from promise code", () => {
  test("await gives the value, the failure, or CancelledError", async () => {
    const loop = new EventLoop({ onReport: () => {} });
    const error = new Error("failed");
    const good = loop.spawn(function* () {
      yield* sleep(1);
      return "value";
    });
    const bad = loop.spawn(fail, 1, error);
    const cancelled = loop.spawn(() => sleep(60_000));
    cancelled.cancel("no need");
    expect(await good).toBe("value");
    expect(await good).toBe("value");
    await expect(Promise.resolve(bad)).rejects.toBe(error);
    await expect(Promise.resolve(cancelled)).rejects.toMatchObject({ code: "CANCELLED", reason: "no need" });
  });

  test("the promise callbacks run after the loop's step, never inside it", async () => {
    const log: string[] = [];
    await run(function* () {
      const task = spawn(function* () {
        log.push("settles");
      });
      void task.then(() => log.push("then"));
      yield* task;
      log.push("joined");
    });
    await Promise.resolve();
    expect(log).toEqual(expect.arrayContaining(["settles", "then", "joined"]));
    expect(log[0]).toBe("settles");
  });
});

describe("a failure that nobody would see", () => {
  test("is reported when its joiner was cancelled in the step in which it failed", () => {
    const { reports } = simulateSync(function* () {
      const root = EventLoop.current().spawn(function* root() {
        yield* sleep(5);
        throw new Error("lost");
      });
      yield* moveOnAfter(100, function* (limit) {
        root.watch({ before: null, after: null, taskSettled: () => void limit.cancel() });
        spawn(function* () {
          yield* root;
        });
        yield* sleep(50);
      });
    });
    expect(reports.map(({ kind, error }) => [kind, String(error)])).toEqual([["unobserved-failure", "Error: lost"]]);
  });

  const error = new Error("unseen");

  test("of a root task is reported when it settles, once, with the task's name", () => {
    const reports = reportsOf(function* () {
      EventLoop.current().spawn({ name: "background" }, fail, 5, error);
      yield* sleep(10);
    });
    expect(reports).toEqual([
      { kind: "unobserved-failure", message: expect.stringContaining('"background"') as string, error },
    ]);
  });

  test("is not reported when somebody joins, or has looked at the outcome", () => {
    const reports = reportsOf(function* () {
      const joined = EventLoop.current().spawn(fail, 5, error);
      try {
        yield* joined;
      } catch {
        // Seen.
      }
      const awaited = EventLoop.current().spawn(fail, 5, error);
      awaited.then(undefined, () => {});
      yield* sleep(10);
    });
    expect(reports).toEqual([]);
  });

  test("is reported although somebody had begun to join, and gave up before the end", () => {
    const reports = reportsOf(function* () {
      const task = EventLoop.current().spawn({ name: "slow" }, fail, 20, error);
      yield* moveOnAfter(5, task);
      yield* sleep(30);
    });
    expect(reports).toEqual([expect.objectContaining({ kind: "unobserved-failure", error })]);
  });

  test("is reported although somebody waited for the end of its cancellation", () => {
    const reports = reportsOf(function* () {
      const task = EventLoop.current().spawn({ name: "messy" }, function* () {
        try {
          yield* sleep(100);
        } finally {
          yield* fail(1, error);
        }
      });
      yield* sleep(1);
      yield* task.cancel();
    });
    expect(reports).toEqual([expect.objectContaining({ kind: "unobserved-failure", error })]);
  });

  test("a cancellation is no failure: nothing is reported", () => {
    const reports = reportsOf(function* () {
      const task = EventLoop.current().spawn(() => sleep(100));
      yield* sleep(1);
      yield* task.cancel();
    });
    expect(reports).toEqual([]);
  });

  test("of a child is never reported: its scope throws it", () => {
    const { outcome, reports } = simulateSync(function* () {
      spawn(fail, 5, error);
      yield* sleep(10);
    });
    expect(outcome).toEqual({ status: "failed", error });
    expect(reports).toEqual([]);
  });

  test("the reporter runs outside of any task", () => {
    const seen: unknown[] = [];
    simulateSync(
      function* () {
        EventLoop.current().spawn(fail, 1, error);
        yield* sleep(2);
      },
      { onReport: () => void seen.push((thrownBy(() => currentTask()) as UsageError).code) },
    );
    expect(seen).toEqual(["OUTSIDE_TASK"]);
  });

  test("the console gets the suppressed errors as well", () => {
    const clock = { now: () => 0 };
    const printed: unknown[] = [];
    const later = new Error("a later one");
    const slices: (() => void)[] = [];
    const loop = new EventLoop({
      clock,
      host: {
        soon: (slice) => void slices.push(slice),
        afterIo: (slice) => void slices.push(slice),
        after: () => 0,
        clear: () => {},
        report: (message, it) => void printed.push(message, it),
      },
    });
    loop.spawn(function* () {
      yield* scope(function* (inner) {
        inner.spawn(function* () {
          throw error;
        });
        inner.spawn(function* () {
          throw later;
        });
      });
    });
    for (let slice = slices.shift(); slice !== undefined; slice = slices.shift()) slice();
    expect(printed).toContain(error);
    expect(printed.some((it) => it === later || String(it).includes("a later one"))).toBe(true);
  });
});

describe("joining a task that has settled", () => {
  test("gives its value any number of times, and counts: the loop gives way in between", () => {
    const seen = simulated(function* () {
      const settled = spawn(function* () {
        return 1;
      });
      yield* settled;
      let others = 0;
      let isOver = false;
      const other = spawn(function* () {
        while (!isOver) {
          others++;
          yield* yieldNow();
        }
      });
      let sum = 0;
      for (let i = 0; i < 200_000; i++) sum += yield* settled;
      isOver = true;
      yield* other;
      return { sum, gaveWay: others > 1 };
    });
    expect(seen).toEqual({ sum: 200_000, gaveWay: true });
  });

  test("throws its failure each time, and Cancelled comes first where one is pending", () => {
    const seen = simulated(function* () {
      const failure = new Error("broken");
      const failed = EventLoop.current().spawn(function* () {
        throw failure;
      });
      const caught: unknown[] = [];
      for (let i = 0; i < 2; i++) {
        try {
          yield* failed;
        } catch (error) {
          caught.push(error);
        }
      }
      const settled = spawn(function* () {
        return "value";
      });
      yield* settled;
      const cancelled = spawn(function* () {
        currentScope().cancel("enough");
        return yield* settled;
      });
      yield* scope(function* () {
        yield* cancelled.cancel();
      });
      return { same: caught.every((error) => error === failure), status: cancelled.outcome?.status };
    });
    expect(seen).toEqual({ same: true, status: "cancelled" });
  });
});
