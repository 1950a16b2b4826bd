/**
 * Between promises and tasks, both ways. `bridge-until`: a task waits for a promise, here of an async function that gives way
 * once. `bridge-await`: promise code starts a task, which gives way once, and awaits it; 1 or 1,000 of them at the same time.
 *
 * Native promises have no border to cross, so they show what an `await` costs without one.
 */
import { Batches } from "../meter.ts";
import type { Contestant, TimedProgram, TimedRow } from "../row.ts";

export const bridgeUntilRow: TimedRow = {
  name: "bridge-until",
  kind: "time",
  title: "call an async function from a task and wait for its promise",
  operation: "call",
  sizeOf: "tasks",
  sizes: [1],
  rounds: 3,
  contestants: untilContestants(),
  targets: [],
};

export const bridgeAwaitRow: TimedRow = {
  name: "bridge-await",
  kind: "time",
  title: "start a task from promise code and await it",
  operation: "task",
  sizeOf: "tasks at a time",
  sizes: [1, 1_000],
  rounds: 3,
  contestants: awaitContestants(),
  targets: [],
};

async function answer(i: number): Promise<number> {
  await null;
  return i + 1;
}

function untilContestants(): Contestant<TimedProgram>[] {
  return [
    {
      name: "native",
      async load() {
        return async (_n, ops) => {
          const batches = new Batches(ops, 1);
          while (batches.more()) for (let i = 0; i < ops; i++) batches.add(await answer(i));
          return batches.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, until } = await import("fibril");
        return async (_n, ops) => {
          const batches = new Batches(ops, 1);
          await run(function* () {
            while (batches.more()) for (let i = 0; i < ops; i++) batches.add(yield* until(answer(i)));
          });
          return batches.result();
        };
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        return async (_n, ops) => {
          const batches = new Batches(ops, 1);
          const main = Effect.gen(function* () {
            while (batches.more()) {
              for (let i = 0; i < ops; i++) batches.add(yield* Effect.promise(() => answer(i)));
            }
          });
          await Effect.runPromise(main);
          return batches.result();
        };
      },
    },
    {
      name: "effection",
      async load() {
        const { run, until } = await import("effection");
        return async (_n, ops) => {
          const batches = new Batches(ops, 1);
          await run(function* () {
            while (batches.more()) for (let i = 0; i < ops; i++) batches.add(yield* until(answer(i)));
          });
          return batches.result();
        };
      },
    },
  ];
}

function awaitContestants(): Contestant<TimedProgram>[] {
  return [
    {
      name: "native",
      async load() {
        return (n, ops) => awaited(n, ops, answer);
      },
    },
    {
      name: "fibril",
      async load() {
        const { EventLoop, yieldNow } = await import("fibril");
        const loop = new EventLoop();
        function* answers(i: number) {
          yield* yieldNow();
          return i + 1;
        }
        return (n, ops) => awaited(n, ops, (i) => loop.spawn(answers, i));
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        const answers = Effect.fnUntraced(function* (i: number) {
          yield* Effect.yieldNow;
          return i + 1;
        });
        return (n, ops) => awaited(n, ops, (i) => Effect.runPromise(answers(i)));
      },
    },
    {
      name: "effection",
      async load() {
        const { action, run } = await import("effection");
        const nothing = () => {};
        const giveWay = action<void>((resolve) => {
          resolve();
          return nothing;
        }, "give way");
        return (n, ops) =>
          awaited(n, ops, (i) =>
            run(function* () {
              yield* giveWay;
              return i + 1;
            }),
          );
      },
    },
  ];
}

async function awaited(n: number, ops: number, start: (i: number) => PromiseLike<number>) {
  const batches = new Batches(n, ops);
  while (batches.more()) {
    if (n === 1) {
      batches.add(await start(0));
    } else {
      const tasks: PromiseLike<number>[] = [];
      for (let i = 0; i < n; i++) tasks.push(start(i));
      for (const value of await Promise.all(tasks)) batches.add(value);
    }
  }
  return batches.result();
}
