/**
 * One task switch: a task gives way and gets its next turn after all the others had theirs.
 *
 * The nearest thing in each runtime: `await null` (a microtask), Effect's `yieldNow` (which goes by way of
 * `setImmediate`), and for Effection, which has no such operation, a hoisted action that resolves at once: its task
 * goes to the end of the queue and is resumed from there.
 */
import type { Fiber as FiberOf } from "effect/Fiber";
import { SwitchMeter } from "../meter.ts";
import { foreign } from "../row.ts";
import type { TimedRow } from "../row.ts";

export const switchRow: TimedRow = {
  name: "switch",
  kind: "time",
  title: "give way and get the next turn",
  operation: "switch",
  sizeOf: "tasks",
  sizes: [1, 1_000, 100_000],
  rounds: 3,
  contestants: [
    {
      name: "native",
      async load() {
        async function task(meter: SwitchMeter): Promise<void> {
          await null;
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            await null;
            meter.tick();
          }
          meter.finish();
        }
        return async (n, ops) => {
          const meter = new SwitchMeter(n, ops);
          const tasks: Promise<void>[] = [];
          for (let i = 0; i < n; i++) tasks.push(task(meter));
          await Promise.all(tasks);
          return meter.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, spawn, yieldNow } = await import("fibril");
        function* task(meter: SwitchMeter) {
          yield* yieldNow();
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            yield* yieldNow();
            meter.tick();
          }
          meter.finish();
        }
        return async (n, ops) => {
          const meter = new SwitchMeter(n, ops);
          await run(function* () {
            for (let i = 0; i < n; i++) spawn(task, meter);
          });
          return meter.result();
        };
      },
    },
    {
      name: "effect",
      note: "without its budget of operations, so that it starts all tasks before the first one runs, as the others do",
      async load() {
        const Effect = await import("effect/Effect");
        const Fiber = await import("effect/Fiber");
        const { MaxOpsBeforeYield } = await import("effect/Scheduler");
        const task = Effect.fnUntraced(function* (meter: SwitchMeter) {
          yield* Effect.yieldNow;
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            yield* Effect.yieldNow;
            meter.tick();
          }
          meter.finish();
        });
        return async (n, ops) => {
          const meter = new SwitchMeter(n, ops);
          const main = Effect.gen(function* () {
            const fibers: FiberOf<void>[] = [];
            for (let i = 0; i < n; i++) fibers.push(yield* Effect.forkChild(task(meter)));
            yield* Fiber.joinAll(fibers);
          });
          await Effect.runPromise(Effect.provideService(main, MaxOpsBeforeYield, Infinity));
          return meter.result();
        };
      },
    },
    {
      name: "effection",
      maxSize: 1_000,
      note: "not at 100,000 tasks: at 11 KB a task, one sample takes more than a gigabyte and several seconds",
      async load() {
        const { action, run, spawn } = await import("effection");
        const nothing = () => {};
        const giveWay = action<void>((resolve) => {
          resolve();
          return nothing;
        }, "give way");
        function* task(meter: SwitchMeter) {
          yield* giveWay;
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            yield* giveWay;
            meter.tick();
          }
          meter.finish();
        }
        return async (n, ops) => {
          const meter = new SwitchMeter(n, ops);
          await run(function* () {
            const tasks = [];
            for (let i = 0; i < n; i++) tasks.push(yield* spawn(() => task(meter)));
            for (const each of tasks) yield* each;
          });
          return meter.result();
        };
      },
    },
    foreign("python", { note: "asyncio.sleep(0)" }),
    foreign("go", { note: "runtime.Gosched on one processor" }),
  ],
  targets: [
    { n: 1_000, of: "fibril", to: "native", atMost: 1.0 },
    { n: 1_000, of: "fibril", to: "effect", atMost: 0.15 },
  ],
};
