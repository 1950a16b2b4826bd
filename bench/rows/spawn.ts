/**
 * Starting N tasks and joining all of them, in three forms. All join with the counterpart of `Promise.all` that they have.
 *
 * `spawn`: the child returns at once. For native promises that is the best case: an async function that never awaits
 * has finished before it returns, so there is no task at all, only a promise. `spawn-wait`: the child gives way once,
 * which is the least that a real task does. The design's target for "spawn and join" is held against both. `spawn-closure`:
 * each task has a function of its own that returns at once, as written in place; making a generator function costs more than
 * making an async one.
 */
import type { Effect as EffectOf } from "effect/Effect";
import type { Fiber as FiberOf } from "effect/Fiber";
import type { Operation } from "effection";
import type { Task as TaskOf } from "fibril";
import { Batches } from "../meter.ts";
import { foreign } from "../row.ts";
import type { Contestant, Foreigner, TimedProgram, TimedRow } from "../row.ts";

export const spawnRow: TimedRow = {
  name: "spawn",
  kind: "time",
  title: "spawn N hoisted functions that return at once, join them",
  operation: "task",
  sizeOf: "tasks",
  sizes: [1_000, 100_000],
  rounds: 3,
  contestants: contestants("returns"),
  targets: [
    { n: 1_000, of: "fibril", to: "native", atMost: 1.2 },
    { n: 1_000, of: "fibril", to: "effect", atMost: 0.15 },
  ],
};

export const spawnWaitRow: TimedRow = {
  name: "spawn-wait",
  kind: "time",
  title: "spawn N hoisted functions that give way once, join them",
  operation: "task",
  sizeOf: "tasks",
  sizes: [1_000, 100_000],
  rounds: 3,
  contestants: contestants("waits"),
  targets: [
    { n: 1_000, of: "fibril", to: "native", atMost: 1.2 },
    { n: 1_000, of: "fibril", to: "effect", atMost: 0.15 },
  ],
};

export const spawnClosureRow: TimedRow = {
  name: "spawn-closure",
  kind: "time",
  title: "spawn N functions made in place that return at once, join them",
  operation: "task",
  sizeOf: "tasks",
  sizes: [1_000],
  rounds: 3,
  contestants: contestants("closure"),
  targets: [],
};

function contestants(form: "returns" | "waits" | "closure"): (Contestant<TimedProgram> | Foreigner)[] {
  return [
    {
      name: "native",
      async load() {
        async function returns(i: number): Promise<number> {
          return i + 1;
        }
        async function waits(i: number): Promise<number> {
          await null;
          return i + 1;
        }
        const child = form === "waits" ? waits : returns;
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          while (batches.more()) {
            const tasks: Promise<number>[] = [];
            if (form === "closure") for (let i = 0; i < n; i++) tasks.push((async () => i + 1)());
            else for (let i = 0; i < n; i++) tasks.push(child(i));
            for (const value of await Promise.all(tasks)) batches.add(value);
          }
          return batches.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { all, run, spawn, yieldNow } = await import("fibril");
        function* returns(i: number) {
          return i + 1;
        }
        function* waits(i: number) {
          yield* yieldNow();
          return i + 1;
        }
        const child = form === "waits" ? waits : returns;
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          await run(function* () {
            while (batches.more()) {
              const tasks: TaskOf<number>[] = [];
              if (form === "closure") {
                for (let i = 0; i < n; i++) {
                  tasks.push(
                    spawn(function* () {
                      return i + 1;
                    }),
                  );
                }
              } else {
                for (let i = 0; i < n; i++) tasks.push(spawn(child, i));
              }
              for (const value of yield* all(tasks)) batches.add(value);
            }
          });
          return batches.result();
        };
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        const Fiber = await import("effect/Fiber");
        const returns = Effect.fnUntraced(function* (i: number) {
          return i + 1;
        });
        const waits = Effect.fnUntraced(function* (i: number) {
          yield* Effect.yieldNow;
          return i + 1;
        });
        const child: (i: number) => EffectOf<number> = form === "waits" ? waits : returns;
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          const main = Effect.gen(function* () {
            while (batches.more()) {
              const fibers: FiberOf<number>[] = [];
              if (form === "closure") {
                for (let i = 0; i < n; i++) {
                  const effect = Effect.gen(function* () {
                    return i + 1;
                  });
                  fibers.push(yield* Effect.forkChild(effect));
                }
              } else {
                for (let i = 0; i < n; i++) fibers.push(yield* Effect.forkChild(child(i)));
              }
              for (const value of yield* Fiber.joinAll(fibers)) batches.add(value);
            }
          });
          await Effect.runPromise(main);
          return batches.result();
        };
      },
    },
    {
      name: "effection",
      maxSize: 1_000,
      note: "not at 100,000 tasks: one sample takes more than a gigabyte and several seconds",
      async load() {
        const { action, run, spawn } = await import("effection");
        const nothing = () => {};
        const giveWay = action<void>((resolve) => {
          resolve();
          return nothing;
        }, "give way");
        function* returns(i: number): Operation<number> {
          return i + 1;
        }
        function* waits(i: number): Operation<number> {
          yield* giveWay;
          return i + 1;
        }
        const child = form === "waits" ? waits : returns;
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          await run(function* () {
            while (batches.more()) {
              const tasks = [];
              if (form === "closure") {
                for (let i = 0; i < n; i++) {
                  const body = function* (): Operation<number> {
                    return i + 1;
                  };
                  tasks.push(yield* spawn(body));
                }
              } else {
                for (let i = 0; i < n; i++) tasks.push(yield* spawn(() => child(i)));
              }
              for (const task of tasks) batches.add(yield* task);
            }
          });
          return batches.result();
        };
      },
    },
    foreign("python", { note: "asyncio.create_task and gather" }),
    foreign("go", { note: "go and WaitGroup, on one processor" }),
  ];
}
