/**
 * A task keeps one watcher in place of a list. Who joins many watches each of them with one and the same object, as long as nobody
 * else watches too: everything here is about what happens when somebody does.
 */
import { all, coroutine, EventLoop, Lock, race, settle, sleep, spawn, wait } from "fibril";
import type { Coroutine, Operation, Task } from "fibril";
import type { Watcher } from "../../src/core/index.ts";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after } from "./operands.ts";

/** Each of them waits for `tasks`, in a way of its own, and says when and what. */
const ways: Readonly<Record<string, (tasks: readonly Task<number>[]) => Operation<unknown>>> = {
  all,
  settle,
  wait,
  race,
  *join(tasks) {
    const values: number[] = [];
    for (const task of tasks) values.push(yield* task);
    return values;
  },
  *await(tasks) {
    return yield* all(tasks.map((task) => () => task));
  },
};

function* started(): Coroutine<Task<number>[]> {
  return [spawn(after, 3, 1), spawn(after, 1, 2), spawn(after, 2, 3)];
}

const pairs = Object.keys(ways).flatMap((one) => Object.keys(ways).map((other) => [one, other] as const));

describe("two that wait for the same tasks", () => {
  test.each(pairs)("%s and %s get what each would get alone", (one, other) => {
    const alone = (which: string): unknown =>
      simulated(function* () {
        const value = yield* ways[which]!(yield* started());
        return [JSON.stringify(value, replacer), now()];
      });
    const together = simulated(function* () {
      const tasks = yield* started();
      const seen: Record<string, unknown> = {};
      function* waiting(place: string, which: string): Coroutine<void> {
        const value = yield* ways[which]!(tasks);
        seen[place] = [JSON.stringify(value, replacer), now()];
      }
      yield* all([spawn(waiting, "one", one), spawn(waiting, "other", other)]);
      return seen;
    });
    expect(together).toEqual({ one: alone(one), other: alone(other) });
  });

  test.each(pairs)("when %s is cancelled, %s goes on, and nothing is left", (one, other) => {
    const seen = simulated(function* () {
      const tasks = yield* started();
      const first = spawn(() => ways[one]!(tasks));
      const second = spawn(() => ways[other]!(tasks));
      yield* sleep(0);
      yield* first.cancel();
      expect(first.outcome!.status).toBe("cancelled");
      yield* second;
      yield* all(tasks);
      return second.outcome!.status;
    });
    expect(seen).toBe("succeeded");
  });
});

function replacer(_key: string, value: unknown): unknown {
  return value !== null && typeof value === "object" && "awaitStack" in value ? (value as Task<unknown>).name : value;
}

test("the same task twice is joined twice", () => {
  expect(
    simulated(function* () {
      const task = spawn(after, 1, 7);
      const { done } = yield* wait([task, task]);
      return [done.length, yield* all([task, task]), now()];
    }),
  ).toEqual([2, [7, 7], 1]);
  expect(
    simulated(function* () {
      const task = spawn(after, 1, 7);
      return [yield* all([task, task]), now()];
    }),
  ).toEqual([[7, 7], 1]);
});

test("those who watch one task are told in the order in which they came", () => {
  const order = simulated(function* () {
    const told: string[] = [];
    const task = spawn(after, 1, 0);
    function* waiting(name: string, operation: Operation<unknown>): Coroutine<void> {
      yield* operation;
      told.push(name);
    }
    const waiters = [
      spawn(waiting, "all", all([task])),
      spawn(waiting, "join", task),
      spawn(waiting, "wait", wait([task])),
    ];
    yield* all(waiters);
    return told;
  });
  expect(order).toEqual(["all", "join", "wait"]);
});

test("a watched task may come to what few tasks have: a frame, a lock, locals", () => {
  const framed = coroutine(function* framed(ms: number): Coroutine<number> {
    yield* sleep(ms);
    return ms;
  });
  const seen = simulated(function* () {
    const lock = new Lock();
    function* busy(ms: number): Coroutine<number> {
      yield* sleep(1);
      const permit = yield* lock.acquire();
      const value = yield* framed(ms);
      permit.release();
      return value;
    }
    return [yield* all([spawn(busy, 1), spawn(busy, 2)]), now()];
  });
  expect(seen).toEqual([[1, 2], 4]);
});

test("a watcher that was taken away may come again, and is told once", () => {
  const seen = simulated(function* () {
    const told: string[] = [];
    const task = spawn(after, 1, 0);
    const watcher: Watcher = { before: null, after: null, taskSettled: (settled) => void told.push(settled.name) };
    for (let i = 0; i < 3; i++) {
      task.watch(watcher);
      task.unwatch(watcher);
      task.unwatch(watcher);
    }
    task.watch(watcher);
    expect(() => task.watch(watcher)).toThrow(RangeError);
    yield* task;
    task.watch(watcher);
    return [told, watcher.before];
  });
  expect(seen).toEqual([["after", "after"], null]);
});

test.each(["all", "wait", "settle", "race", "join"])("a given-up %s is forgotten by the tasks", (way) => {
  simulated(function* () {
    for (const count of [1, 2]) {
      const tasks = yield* started();
      const waiting = Array.from({ length: count }, () => spawn(() => ways[way]!(tasks)));
      yield* sleep(0);
      expect(watched(tasks[0]!)).toBe(count);
      for (const task of waiting) yield* task.cancel();
      expect(tasks.map(watched)).toEqual([0, 0, 0]);
      yield* all(tasks);
    }
  });
});

function watched(task: Task<unknown>): number {
  return task["rare"] === null ? Number(task["extra"] !== null) : (task["rare"].watchers?.size ?? 0);
}

test("the first failure ends the wait, also when others watch the failing task; what is left is not watched", () => {
  const failure = failureOf(function* () {
    function* failing(): Coroutine<number> {
      yield* sleep(1);
      throw new Error("broken");
    }
    const late = spawn(after, 2, 1);
    const task = spawn(failing);
    const other = spawn(function* () {
      yield* wait([task, late]);
    });
    try {
      yield* all([late, task, late]);
    } finally {
      expect([now(), late["extra"] === null, late.isSettled]).toEqual([1, false, false]); // `other` still does
      yield* other;
    }
  });
  expect(failure).toEqual(new Error("broken"));
});

test.each(["all", "wait", "settle", "race", "join"])(
  "a %s that ends just before it is told has not seen the failure",
  (way) => {
    const joiner: Task<unknown>[] = [];
    const { reports } = simulateSync(
      function* () {
        const task = EventLoop.current().root.spawn({ name: "failing" }, function* (): Coroutine<number> {
          yield* sleep(1);
          throw new Error("broken");
        });
        joiner.push(spawn(() => ways[way]!([task])));
        yield* sleep(2);
      },
      { probe: { taskSettled: (task) => void (task.name === "failing" && joiner[0]!.cancel()) } },
    );
    expect(reports.map((it) => it.kind)).toEqual(["unobserved-failure"]);
  },
);

test("the reason names as many tasks as it counts, also while one of them settles", () => {
  const reasons: (string | null)[] = [];
  const joiner: Task<unknown>[] = [];
  simulated(
    function* () {
      const tasks = yield* started();
      joiner.push(spawn(() => all(tasks)));
      yield* joiner[0]!;
    },
    { probe: { taskSettled: (task) => void (task.name === "after" && reasons.push(joiner[0]!.waitingFor)) } },
  );
  expect(reasons).toEqual([
    'join 2 of 3 task(s): "after", "after"',
    'join 1 of 3 task(s): "after"',
    "join 0 of 3 task(s): ",
  ]);
});

test("cancelled at any step, joins of many tasks leave nothing behind", () => {
  for (const target of ["main", "stepped"] as const) {
    const sweep = cancelSweep(
      () => {
        let tasks: Task<number>[] = [];
        return {
          *main() {
            tasks = yield* started();
            const second = spawn(() => all([...tasks, tasks[0]!]));
            yield* wait(tasks, { timeoutMs: 2 });
            yield* settle([tasks[0]!, second]);
            yield* all(tasks);
          },
          check() {
            for (const task of tasks) expect([task.isSettled, task["rare"]?.watchers ?? null]).toEqual([true, null]);
          },
        };
      },
      { seed: 5, target, mayFail: true },
    );
    expect(sweep.runs).toBeGreaterThan(5);
  }
});
