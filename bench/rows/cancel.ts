/**
 * Cancelling 100,000 tasks that sleep, until the cleanup of every one has run and all have ended. Starting them is not timed.
 *
 * With promises that is an `AbortController` for each task, as each request has its own, and `setTimeout` of `timers/promises`.
 * `native-one-signal` has one signal for all: adding a listener looks at those that are there, so starting N tasks takes N²
 * steps, and more than 10,000 are not feasible.
 */
import type { Effect as EffectOf } from "effect/Effect";
import type { Fiber as FiberOf } from "effect/Fiber";
import type { Operation } from "effection";
import { Stretch } from "../meter.ts";
import { foreign } from "../row.ts";
import type { TimedRow } from "../row.ts";

const SLEEP_MS = 600_000;

export const cancelRow: TimedRow = {
  name: "cancel",
  kind: "time",
  title: "cancel N tasks that sleep, with cleanup",
  operation: "task",
  sizeOf: "tasks",
  sizes: [1_000, 100_000],
  rounds: 3,
  contestants: [
    {
      name: "native",
      note: "an AbortController for each task",
      async load() {
        const { setTimeout: sleep } = await import("node:timers/promises");
        async function sleeper(stretch: Stretch, signal: AbortSignal): Promise<void> {
          try {
            await sleep(SLEEP_MS, undefined, { signal });
          } finally {
            stretch.ended();
          }
        }
        return async (n, ops) => {
          const batches = Math.max(1, Math.floor(ops / n));
          const stretch = new Stretch(n * batches);
          for (let batch = 0; batch < batches; batch++) {
            const controllers: AbortController[] = [];
            const tasks: Promise<void>[] = [];
            for (let i = 0; i < n; i++) {
              const controller = new AbortController();
              controllers.push(controller);
              tasks.push(sleeper(stretch, controller.signal));
            }
            stretch.start();
            for (const controller of controllers) controller.abort();
            await Promise.allSettled(tasks);
            stretch.stop();
          }
          return stretch.result();
        };
      },
    },
    {
      name: "native-one-signal",
      maxSize: 1_000,
      note: "one AbortSignal for all; starting takes N² steps, so not with 100,000",
      async load() {
        const { EventEmitter } = await import("node:events");
        const { setTimeout: sleep } = await import("node:timers/promises");
        async function sleeper(stretch: Stretch, signal: AbortSignal): Promise<void> {
          try {
            await sleep(SLEEP_MS, undefined, { signal });
          } finally {
            stretch.ended();
          }
        }
        return async (n, ops) => {
          const batches = Math.max(1, Math.floor(ops / n));
          const stretch = new Stretch(n * batches);
          for (let batch = 0; batch < batches; batch++) {
            const controller = new AbortController();
            EventEmitter.setMaxListeners(n + 1, controller.signal);
            const tasks: Promise<void>[] = [];
            for (let i = 0; i < n; i++) tasks.push(sleeper(stretch, controller.signal));
            stretch.start();
            controller.abort();
            await Promise.allSettled(tasks);
            stretch.stop();
          }
          return stretch.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, sleep, spawn, yieldNow } = await import("fibril");
        function* sleeper(stretch: Stretch) {
          try {
            yield* sleep(SLEEP_MS);
          } finally {
            stretch.ended();
          }
        }
        function* parent(stretch: Stretch, n: number) {
          for (let i = 0; i < n; i++) spawn(sleeper, stretch);
        }
        return async (n, ops) => {
          const batches = Math.max(1, Math.floor(ops / n));
          const stretch = new Stretch(n * batches);
          await run(function* () {
            for (let batch = 0; batch < batches; batch++) {
              const task = spawn(parent, stretch, n);
              yield* yieldNow(); // the parent spawns
              yield* yieldNow(); // its tasks go to sleep
              stretch.start();
              yield* task.cancel();
              stretch.stop();
            }
          });
          return stretch.result();
        };
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        const Fiber = await import("effect/Fiber");
        const sleeper = (stretch: Stretch): EffectOf<void> =>
          Effect.ensuring(
            Effect.sleep(SLEEP_MS),
            Effect.sync(() => stretch.ended()),
          );
        return async (n, ops) => {
          const batches = Math.max(1, Math.floor(ops / n));
          const stretch = new Stretch(n * batches);
          const main = Effect.gen(function* () {
            for (let batch = 0; batch < batches; batch++) {
              const fibers: FiberOf<void>[] = [];
              for (let i = 0; i < n; i++) fibers.push(yield* Effect.forkChild(sleeper(stretch)));
              yield* Effect.yieldNow; // they go to sleep
              stretch.start();
              yield* Fiber.interruptAll(fibers);
              stretch.stop();
            }
          });
          await Effect.runPromise(main);
          return stretch.result();
        };
      },
    },
    {
      name: "effection",
      maxSize: 1_000,
      note: "not with 100,000 tasks, which need more than a gigabyte",
      async load() {
        const { run, sleep, spawn } = await import("effection");
        function* sleeper(stretch: Stretch): Operation<void> {
          try {
            yield* sleep(SLEEP_MS);
          } finally {
            stretch.ended();
          }
        }
        function* parent(stretch: Stretch, n: number): Operation<void> {
          const tasks = [];
          for (let i = 0; i < n; i++) tasks.push(yield* spawn(() => sleeper(stretch)));
          for (const task of tasks) yield* task;
        }
        return async (n, ops) => {
          const batches = Math.max(1, Math.floor(ops / n));
          const stretch = new Stretch(n * batches);
          await run(function* () {
            for (let batch = 0; batch < batches; batch++) {
              const task = yield* spawn(() => parent(stretch, n));
              yield* sleep(1); // the parent spawns, its tasks go to sleep
              stretch.start();
              yield* task.halt();
              stretch.stop();
            }
          });
          return stretch.result();
        };
      },
    },
    foreign("python", { note: "Task.cancel and gather" }),
  ],
  targets: [],
};
