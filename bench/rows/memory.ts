/**
 * A great many tasks asleep at the same time: what does the process need for them?
 *
 * All sleep equally long, which suits `setTimeout` best: Node keeps one list for each duration. The peak covers the
 * whole life of the tasks, so it includes starting and waking them.
 */
import type { Fiber as FiberOf } from "effect/Fiber";
import type { Sleepers } from "../meter.ts";
import { foreign } from "../row.ts";
import type { MemoryRow } from "../row.ts";

export const memoryRow: MemoryRow = {
  name: "memory",
  kind: "memory",
  title: "tasks asleep at the same time",
  sizeOf: "tasks",
  sizes: [10_000, 100_000, 1_000_000],
  rounds: 3,
  contestants: [
    {
      name: "native",
      async load() {
        async function sleeper(sleepers: Sleepers, index: number): Promise<void> {
          sleepers.asleep();
          await new Promise<void>((resolve) => {
            setTimeout(resolve, sleepers.sleepMs);
          });
          sleepers.awake(index);
        }
        return async (sleepers) => {
          const tasks: Promise<void>[] = [];
          for (let i = 0; i < sleepers.count; i++) tasks.push(sleeper(sleepers, i));
          await Promise.all(tasks);
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, sleep, spawn } = await import("fibril");
        function* sleeper(sleepers: Sleepers, index: number) {
          sleepers.asleep();
          yield* sleep(sleepers.sleepMs);
          sleepers.awake(index);
        }
        return async (sleepers) => {
          await run(function* () {
            for (let i = 0; i < sleepers.count; i++) spawn(sleeper, sleepers, i);
          });
        };
      },
    },
    {
      name: "effect",
      startUs: 20,
      async load() {
        const Effect = await import("effect/Effect");
        const Fiber = await import("effect/Fiber");
        const sleeper = Effect.fnUntraced(function* (sleepers: Sleepers, index: number) {
          sleepers.asleep();
          yield* Effect.sleep(sleepers.sleepMs);
          sleepers.awake(index);
        });
        return async (sleepers) => {
          const main = Effect.gen(function* () {
            const fibers: FiberOf<void>[] = [];
            for (let i = 0; i < sleepers.count; i++) fibers.push(yield* Effect.forkChild(sleeper(sleepers, i)));
            yield* Fiber.joinAll(fibers);
          });
          await Effect.runPromise(main);
        };
      },
    },
    {
      name: "effection",
      maxSize: 20_000,
      startUs: 150,
      note: "measured with fewer tasks, because each needs more than 10 KB, and scaled up linearly",
      async load() {
        const { run, sleep, spawn } = await import("effection");
        function* sleeper(sleepers: Sleepers, index: number) {
          sleepers.asleep();
          yield* sleep(sleepers.sleepMs);
          sleepers.awake(index);
        }
        return async (sleepers) => {
          await run(function* () {
            const tasks = [];
            for (let i = 0; i < sleepers.count; i++) tasks.push(yield* spawn(() => sleeper(sleepers, i)));
            for (const task of tasks) yield* task;
          });
        };
      },
    },
    foreign("python", {
      maxSize: 100_000,
      startUs: 20,
      note: "measured with fewer tasks, because starting them takes long, and scaled up linearly",
    }),
    foreign("go"),
  ],
  targets: [
    { n: 1_000_000, of: "fibril", to: "native", atMost: 0.55 },
    { n: 1_000_000, of: "fibril", to: "effect", atMost: 0.45 },
  ],
};
