/**
 * A task is counted by its scope at once and stands in its list only from its first wait on, or when somebody looks. Nobody may
 * notice: whoever looks, at any moment, sees all tasks that have not settled, in the order in which they were spawned.
 */
import { currentScope, currentTask, EventLoop, scope, settle, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine, Scope, Task } from "fibril";
import type { TaskView } from "fibril/lowlevel";
import { seededOrder, simulateSync } from "fibril/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LAW_TIMEOUT_MS, runs } from "../laws/runs.ts";
import { simulated } from "./simulated.ts";

const names = (own: Scope): string[] => own.tasks.map((task) => task.name);

function* stepping(steps: number, inStep: () => void = () => {}): Coroutine<void> {
  for (let i = 0; i < steps; i++) {
    inStep();
    yield* yieldNow();
  }
  inStep();
}

describe("a task that has not begun", () => {
  test("is among those of its scope and of its loop, between what was spawned before and after it", () => {
    const seen = simulated(function* () {
      return yield* scope(function* (own) {
        const first = own.spawn({ name: "a" }, stepping, 9);
        yield* yieldNow();
        own.spawn({ name: "b" }, stepping, 0);
        const early = names(own);
        own.spawn({ name: "c" }, stepping, 0);
        const later = names(own);
        const ofLoop = EventLoop.current()
          .tasks()
          .map((task) => task.name);
        const counts = [own.size, EventLoop.current().statistics().tasks];
        yield* first;
        return [early, later, ofLoop, counts, names(own), own.size];
      });
    });
    expect(seen).toEqual([["a", "b"], ["a", "b", "c"], ["main", "a", "b", "c"], [3, 4], [], 0]);
  });

  test("hears of the cancellation of its scope, and takes it at its first wait, in the order of spawning", () => {
    const taken = simulated(function* () {
      const order: string[] = [];
      function* child(name: string): Coroutine<void> {
        try {
          yield* sleep(1);
        } finally {
          order.push(name);
        }
      }
      const outer = spawn(function* () {
        const own = currentScope();
        for (const name of ["a", "b"]) spawn(child, name);
        yield* yieldNow();
        for (const name of ["c", "d"]) spawn(child, name);
        own.cancel();
        spawn(child, "e");
      });
      yield* settle([outer]);
      return order;
    });
    expect(taken).toEqual(["c", "d", "a", "b", "e"]); // those who wait already are woken behind those who stand in line
  });

  test("and ends in its first step is gone from there, and its scope ends after it", () => {
    const seen = simulated(function* () {
      let inStep: string[] = [];
      const after = yield* scope(function* (own) {
        own.spawn({ name: "short" }, stepping, 0, () => void (inStep = names(own)));
        own.spawn({ name: "long" }, stepping, 1);
        yield* yieldNow();
        return names(own);
      });
      return [inStep, after];
    });
    expect(seen).toEqual([["short", "long"], ["long"]]);
  });
});

test("a task that cancels its scope in its first step is cancelled with it, before those who have to be woken", () => {
  const order: string[] = [];
  function* child(name: string, first: () => void): Coroutine<void> {
    first();
    try {
      yield* sleep(1);
    } finally {
      order.push(name);
    }
  }
  const { leaks } = simulateSync(function* () {
    yield* scope(function* (own) {
      own.spawn(child, "a", () => {});
      own.spawn(child, "b", () => void own.cancel());
      own.spawn(child, "c", () => {});
      yield* sleep(5);
    });
  });
  expect([order, leaks]).toEqual([["b", "c", "a"], []]);
});

test("a task that has ended is not listed for an entry that it has left in the ready queue", () => {
  const seen = simulated(function* () {
    return yield* scope(function* (own) {
      own.spawn(function* () {
        const left = yieldNow()[Symbol.iterator]();
        left.next();
        left.return!();
      });
      yield* yieldNow();
      own.spawn(stepping, 0);
      return [names(own), own.size];
    });
  });
  expect(seen).toEqual([["stepping"], 1]);
});

test("whoever looks from a loop that runs inside a first step sees the task of that step", () => {
  const seen = simulated(function* () {
    return yield* scope(function* (own) {
      let inside: string[] = [];
      own.spawn({ name: "outer" }, function* () {
        simulateSync(function* () {
          yield* yieldNow();
          inside = names(own);
        });
      });
      own.spawn({ name: "next" }, stepping, 0);
      yield* yieldNow();
      return inside;
    });
  });
  expect(seen).toEqual(["outer", "next"]);
});

test("a task that a callback of a loop at rest spawns is listed before its first step", () => {
  const loop = new EventLoop({ onReport: () => {} });
  const task: Task<void> = loop.spawn({ name: "outside" }, stepping, 0);
  expect([loop.root.tasks.includes(task), loop.root.size]).toEqual([true, 1]);
});

describe("a probe that hears of a spawn", () => {
  test("finds the task where it belongs, behind those before it", () => {
    const seen: string[][] = [];
    const taskSpawned = (task: TaskView): void => {
      const { owner } = task as Task<unknown>;
      seen.push((owner as Scope).tasks.map((it) => it.name));
    };
    simulated(
      function* () {
        spawn({ name: "a" }, stepping, 0);
        spawn({ name: "b" }, stepping, 1);
      },
      { probe: { taskSpawned } },
    );
    expect(seen).toEqual([["main"], ["a"], ["a", "b"]]);
  });

  test("and cancels its scope reaches the task too", () => {
    const taskSpawned = (task: TaskView): void => {
      if (task.name === "last") void (task as Task<unknown>).owner.cancel();
    };
    const { leaks, elapsedMs } = simulateSync(
      function* () {
        yield* scope(function* (own) {
          own.spawn({ name: "first" }, sleep, 1_000);
          own.spawn({ name: "last" }, sleep, 1_000);
          yield* sleep(1_000);
        });
      },
      { probe: { taskSpawned } },
    );
    expect([leaks, elapsedMs]).toEqual([[], 0]);
  });
});

test("a task that broke the loop in its first step can be found, with what it has left running", () => {
  const { outcome, reports } = simulateSync(function* () {
    const task = EventLoop.current().root.spawn({ name: "breaks" }, function* () {
      const left = scope(function* (own) {
        own.spawn({ name: "inner" }, sleep, 1);
      })[Symbol.iterator]();
      left.next(); // waits for "inner", which cannot be taken back
    });
    yield* sleep(0.5);
    const found = EventLoop.current()
      .tasks()
      .map((it) => it.name);
    yield* task;
    return found;
  });
  expect(reports.map((it) => it.kind)).toEqual(["internal"]);
  expect(outcome).toEqual({ status: "succeeded", value: ["main", "breaks", "inner"] });
});

const act = fc.record({
  kind: fc.constantFrom("spawn", "hold", "look", "step", "nested"),
  steps: fc.integer({ min: 0, max: 3 }),
});

test(
  "law: the tasks of a scope are those that were spawned and have not settled, in that order, whenever somebody looks",
  () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 25 }), fc.option(fc.nat(), { nil: null }), (acts, seed) => {
        const order = seed === null ? {} : { order: seededOrder(seed) };
        simulated(function* () {
          yield* scope(function* (own) {
            const spawned: Task<unknown>[] = [];
            const look = (): void => {
              const open = spawned.filter((it) => !it.isSettled);
              expect(own.tasks.map((it) => it.id)).toEqual(open.map((it) => it.id));
              expect(own.size).toBe(open.length);
            };
            const held: Task<unknown>[] = [];
            for (const { kind, steps } of acts) {
              if (kind === "spawn") spawned.push(own.spawn(stepping, steps, steps % 2 === 0 ? look : undefined));
              else if (kind === "nested") {
                spawned.push(
                  own.spawn(function* () {
                    spawned.push(own.spawn(stepping, steps, look));
                    yield* scope(stepping.bind(null, steps, look) as () => Coroutine<void>);
                  }),
                );
              } else if (kind === "hold") {
                const task = own["launch"](stepping(steps, look), "held", true) as Task<unknown>;
                spawned.push(task);
                held.push(task);
              } else if (kind === "look") look();
              else {
                for (const task of held.splice(0)) task["schedule"]();
                for (let i = 0; i < steps; i++) yield* yieldNow();
              }
            }
            for (const task of held) task["schedule"]();
            expect(currentTask().isSettled).toBe(false);
          });
        }, order);
      }),
      runs(150),
    );
  },
  LAW_TIMEOUT_MS,
);
