/**
 * What is left for the rest of the program: 1,000 tasks switch as fast as they can, and a timer of the host that wants to
 * come every millisecond says how late it was.
 *
 * Promises give way to other promises only: as long as one is ready, no timer and no socket is served. So `native` shows how long
 * the load lasts, with a timer that never came. `native-immediate` is what one writes against it: `setImmediate` instead of
 * `await null`; the time of a switch says what that costs.
 */
import type { Fiber as FiberOf } from "effect/Fiber";
import type { Operation } from "effection";
import type { LagMeter } from "../meter.ts";
import { foreign } from "../row.ts";
import type { LagRow } from "../row.ts";

export const lagRow: LagRow = {
  name: "lag",
  kind: "lag",
  title: "how late a timer of 1 ms is while 1,000 tasks switch",
  sizeOf: "tasks",
  sizes: [1_000],
  rounds: 3,
  contestants: [
    {
      name: "native",
      note: "the timer does not come at all before the load ends: this is how long the load lasted",
      async load() {
        async function task(meter: LagMeter): Promise<void> {
          while (meter.switched()) await null;
        }
        return async (meter) => {
          const tasks: Promise<void>[] = [];
          for (let i = 0; i < meter.tasks; i++) tasks.push(task(meter));
          await Promise.all(tasks);
        };
      },
    },
    {
      name: "native-immediate",
      note: "every switch by setImmediate of timers/promises",
      async load() {
        const { setImmediate: giveWay } = await import("node:timers/promises");
        async function task(meter: LagMeter): Promise<void> {
          while (meter.switched()) await giveWay();
        }
        return async (meter) => {
          const tasks: Promise<void>[] = [];
          for (let i = 0; i < meter.tasks; i++) tasks.push(task(meter));
          await Promise.all(tasks);
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, spawn, yieldNow } = await import("fibril");
        function* task(meter: LagMeter) {
          while (meter.switched()) yield* yieldNow();
        }
        return async (meter) => {
          await run(function* () {
            for (let i = 0; i < meter.tasks; i++) spawn(task, meter);
          });
        };
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        const Fiber = await import("effect/Fiber");
        const task = Effect.fnUntraced(function* (meter: LagMeter) {
          while (meter.switched()) yield* Effect.yieldNow;
        });
        return async (meter) => {
          const main = Effect.gen(function* () {
            const fibers: FiberOf<void>[] = [];
            for (let i = 0; i < meter.tasks; i++) fibers.push(yield* Effect.forkChild(task(meter)));
            yield* Fiber.joinAll(fibers);
          });
          await Effect.runPromise(main);
        };
      },
    },
    {
      name: "effection",
      async load() {
        const { action, run, spawn } = await import("effection");
        const nothing = () => {};
        const giveWay = action<void>((resolve) => {
          resolve();
          return nothing;
        }, "give way");
        function* task(meter: LagMeter): Operation<void> {
          while (meter.switched()) yield* giveWay;
        }
        return async (meter) => {
          await run(function* () {
            const tasks = [];
            for (let i = 0; i < meter.tasks; i++) tasks.push(yield* spawn(() => task(meter)));
            for (const each of tasks) yield* each;
          });
        };
      },
    },
    foreign("python", { note: "asyncio.sleep(0), and a timer of its loop" }),
  ],
  targets: [],
};
