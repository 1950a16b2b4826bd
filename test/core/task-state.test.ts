/**
 * The life of a task is a table; here it is walked with real programs, and every way beside it is tried.
 */
import { readFileSync } from "node:fs";
import { currentTask, EventLoop, Future, InternalError, scope, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine, TaskState } from "fibril";
import { TASK_STATES, TRANSITIONS } from "fibril/lowlevel";
import { seededOrder, simulateSync, VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { Task } from "../../src/core/index.ts";
import { simulated, thrownBy } from "./simulated.ts";

const pairs = TASK_STATES.flatMap((from) => TASK_STATES.map((to) => [from, to] as const));
const allowed = pairs.filter(([from, to]) => TRANSITIONS[from].includes(to));
const refused = pairs.filter(([from, to]) => !TRANSITIONS[from].includes(to));

/** `from → to` for each change of state of `task`, as far as a program outside the task can see. */
class Watch {
  readonly seen: string[] = [];
  #last: TaskState;
  readonly #task: Task<unknown>;

  constructor(task: Task<unknown>) {
    this.#task = task;
    this.#last = task.state;
  }

  look(): void {
    const { state } = this.#task;
    if (state !== this.#last) this.seen.push(`${this.#last} → ${state}`);
    this.#last = state;
  }
}

/** Walks through every state: runs, gives way, waits, is woken, ends. */
function* life(wake: Future<void>, look: () => void): Coroutine<void> {
  look();
  yield* yieldNow();
  look();
  yield* wake;
  look();
}

test("a task goes created → ready ⇄ running → waiting → ready, and from running to settled: the whole table", () => {
  const host = new VirtualHost(new VirtualClock());
  const loop = new EventLoop({ host, clock: new VirtualClock() });
  const wake = new Future<void>();
  let watch: Watch | undefined = undefined;
  const task = Task.create<void>(
    loop.root,
    life(wake, () => watch?.look()),
    "life",
  );
  watch = new Watch(task);
  loop.addProbe({ afterStep: () => watch!.look(), taskSettled: () => watch!.look() });
  task.schedule();
  watch.look();
  host.drain();
  wake.resolve();
  watch.look();
  host.drain();
  expect(watch.seen).toEqual([
    "created → ready",
    "ready → running",
    "running → ready",
    "ready → running",
    "running → waiting",
    "waiting → ready",
    "ready → running",
    "running → settled",
  ]);
  expect([...new Set(watch.seen)].sort()).toEqual(allowed.map(([from, to]) => `${from} → ${to}`).sort());
});

// A change names the state that it starts from. So it is refused in every other state, and all that can be wrong is the name.
describe("a way that is not in the table is refused", () => {
  const ways = refused.flatMap(([state, to]) =>
    allowed.filter((way) => way[1] === to).map(([from]) => [state, from, to] as const),
  );
  test.each(ways)("%s: no %s → %s", (state, from, to) => {
    const attempts: unknown[] = [];
    bringTo(state, (task) => {
      attempts.push(
        task.state,
        thrownBy(() => task["become"](numberOf(from), numberOf(to))),
        task.state,
      );
    });
    expect(attempts.slice(0, 3)).toEqual([state, expect.any(InternalError), state]);
    expect(String(attempts[1])).toContain(`from ${state} to ${to}`);
  });

  test("the kernel names ways of the table only, and each of them", () => {
    const kernel = readFileSync(new URL("../../src/core/task.ts", import.meta.url), "utf8");
    const named = [...kernel.matchAll(/\.become\((\w+), (\w+)\)/g)].map(([, from, to]) => `${from} → ${to}`);
    expect([...new Set(named)].sort()).toEqual(allowed.map(([from, to]) => `${from} → ${to}`.toUpperCase()).sort());
  });
});

function numberOf(state: TaskState): never {
  return TASK_STATES.indexOf(state) as never;
}

/** Brings a task to `state` by itself and calls `then` with it. */
function bringTo(state: TaskState, then: (task: Task<unknown>) => void): void {
  const host = new VirtualHost(new VirtualClock());
  const loop = new EventLoop({ host, clock: new VirtualClock() });
  if (state === "created") {
    then(
      Task.create(
        loop.root,
        life(new Future(), () => {}),
        "life",
      ),
    );
    return;
  }
  const wake = new Future<void>();
  const task: Task<unknown> = loop.spawn(life, wake, () => {
    if (state === "running") then(task);
  });
  if (state === "ready") then(task);
  host.drain();
  if (state === "waiting") then(task);
  wake.resolve();
  host.drain();
  if (state === "settled") then(task);
}

test("one that left by hand what cannot be withdrawn takes its cancellation, also when its slice is over", () => {
  let time = 0;
  const clock = { now: () => (time += 100) }; // each look at the clock ends the slice
  const host = new VirtualHost(new VirtualClock());
  const loop = new EventLoop({ host, clock, onReport: () => {} });
  let caught: unknown = null;
  loop.spawn(function* () {
    const left = scope(function* (own) {
      own.spawn(sleep, Infinity);
    })[Symbol.iterator]();
    left.next();
    currentTask().cancel("enough");
    try {
      for (;;) yield* sleep(1);
    } catch (error) {
      caught = error;
      throw error;
    }
  });
  host.drain();
  expect(caught).toMatchObject({ reason: "enough" });
});

describe("every task of every program", () => {
  test.each(["first in first out", 1, 2, 3])(
    "order %s: it is seen in allowed states only, and settles once",
    (seed) => {
      const settled: number[] = [];
      const steps: string[] = [];
      function* worker(future: Future<number>, depth: number): Coroutine<number> {
        if (depth > 0) spawn(worker, future, depth - 1);
        yield* yieldNow();
        return yield* future;
      }
      simulateSync(
        function* () {
          const future = new Future<number>();
          const task = spawn(worker, future, 4);
          for (let i = 0; i < 12; i++) yield* yieldNow();
          future.resolve(7);
          return yield* task;
        },
        {
          ...(typeof seed === "number" ? { order: seededOrder(seed) } : {}),
          probe: {
            taskSpawned: (it) => steps.push(`spawned ${it.state}`),
            beforeStep: (it) => steps.push(`before ${it.state}`),
            waitStarted: (it) => steps.push(`parked ${it.state}`),
            taskSettled: (it) => {
              steps.push(`settled ${it.state}`);
              settled.push(it.id);
            },
          },
        },
      );
      expect(new Set(steps)).toEqual(new Set(["spawned ready", "before running", "parked waiting", "settled settled"]));
      expect(settled.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
    },
  );
});

test("a settled task stays as it is, whoever tries to wake, cancel or resolve it", () => {
  const outcome = simulated(function* () {
    const future = new Future<number>();
    const task = spawn(function* () {
      return yield* future;
    });
    yield* yieldNow();
    future.resolve(1);
    yield* task;
    task.cancel("too late");
    future.tryReject(new Error("too late"));
    yield* yieldNow();
    return [task.state, task.outcome];
  });
  expect(outcome).toEqual(["settled", { status: "succeeded", value: 1 }]);
});
