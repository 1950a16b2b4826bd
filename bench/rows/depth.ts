/**
 * A task switch at the bottom of a tall stack of calls.
 *
 * Native delegation resumes through every frame of a `yield*` chain, so its cost grows with the depth. Frames made by
 * `coroutine` and Effect's generators are kept by the runtime, and an async function is resumed by itself: flat lines.
 */
import type { Effect as EffectOf } from "effect/Effect";
import type { Fiber as FiberOf } from "effect/Fiber";
import type { Operation } from "effection";
import type { Coroutine } from "fibril";
import { check, SwitchMeter } from "../meter.ts";
import type { TimedRow } from "../row.ts";

/** Enough to take turns, few enough that 1,000 frames for each of them stay in memory. */
const TASKS = 100;

export const depthRow: TimedRow = {
  name: "depth",
  kind: "time",
  title: `give way at the bottom of nested calls, ${TASKS} tasks`,
  operation: "switch",
  sizeOf: "calls deep",
  sizes: [1, 10, 100, 1_000],
  rounds: 3,
  contestants: [
    {
      name: "native",
      async load() {
        async function nest(depth: number, meter: SwitchMeter): Promise<number> {
          if (depth > 1) return (await nest(depth - 1, meter)) + 1;
          await null;
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            await null;
            meter.tick();
          }
          meter.finish();
          return 1;
        }
        return async (depth, ops) => {
          const meter = new SwitchMeter(TASKS, ops);
          const tasks: Promise<number>[] = [];
          for (let i = 0; i < TASKS; i++) tasks.push(nest(depth, meter));
          for (const frames of await Promise.all(tasks)) checkDepth(frames, depth);
          return meter.result();
        };
      },
    },
    {
      name: "fibril",
      note: "each call is a frame made by coroutine()",
      async load() {
        const { coroutine, run, spawn, yieldNow } = await import("fibril");
        const nest = coroutine("nest", function* (depth: number, meter: SwitchMeter): Coroutine<number> {
          if (depth > 1) return (yield* nest(depth - 1, meter)) + 1;
          yield* yieldNow();
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            yield* yieldNow();
            meter.tick();
          }
          meter.finish();
          return 1;
        });
        return async (depth, ops) => {
          const meter = new SwitchMeter(TASKS, ops);
          await run(function* () {
            const tasks = [];
            for (let i = 0; i < TASKS; i++) tasks.push(spawn(nest, depth, meter));
            for (const task of tasks) checkDepth(yield* task, depth);
          });
          return meter.result();
        };
      },
    },
    {
      name: "fibril-plain",
      note: "the same calls as plain generators, by native delegation",
      async load() {
        const { run, spawn, yieldNow } = await import("fibril");
        function* nest(depth: number, meter: SwitchMeter): Coroutine<number> {
          if (depth > 1) return (yield* nest(depth - 1, meter)) + 1;
          yield* yieldNow();
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            yield* yieldNow();
            meter.tick();
          }
          meter.finish();
          return 1;
        }
        return async (depth, ops) => {
          const meter = new SwitchMeter(TASKS, ops);
          await run(function* () {
            const tasks = [];
            for (let i = 0; i < TASKS; i++) tasks.push(spawn(nest, depth, meter));
            for (const task of tasks) checkDepth(yield* task, depth);
          });
          return meter.result();
        };
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        const Fiber = await import("effect/Fiber");
        const nest: (depth: number, meter: SwitchMeter) => EffectOf<number> = Effect.fnUntraced(function* (
          depth: number,
          meter: SwitchMeter,
        ) {
          if (depth > 1) return (yield* nest(depth - 1, meter)) + 1;
          yield* Effect.yieldNow;
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            yield* Effect.yieldNow;
            meter.tick();
          }
          meter.finish();
          return 1;
        });
        return async (depth, ops) => {
          const meter = new SwitchMeter(TASKS, ops);
          const main = Effect.gen(function* () {
            const fibers: FiberOf<number>[] = [];
            for (let i = 0; i < TASKS; i++) fibers.push(yield* Effect.forkChild(nest(depth, meter)));
            for (const frames of yield* Fiber.joinAll(fibers)) checkDepth(frames, depth);
          });
          await Effect.runPromise(main);
          return meter.result();
        };
      },
    },
    {
      name: "effection",
      note: "gives way by a hoisted action that resolves at once, as in the row switch",
      async load() {
        const { action, run, spawn } = await import("effection");
        const nothing = () => {};
        const giveWay = action<void>((resolve) => {
          resolve();
          return nothing;
        }, "give way");
        function* nest(depth: number, meter: SwitchMeter): Operation<number> {
          if (depth > 1) return (yield* nest(depth - 1, meter)) + 1;
          yield* giveWay;
          meter.arrive();
          for (let i = 1; i < meter.perTask; i++) {
            yield* giveWay;
            meter.tick();
          }
          meter.finish();
          return 1;
        }
        return async (depth, ops) => {
          const meter = new SwitchMeter(TASKS, ops);
          await run(function* () {
            const tasks = [];
            for (let i = 0; i < TASKS; i++) tasks.push(yield* spawn(() => nest(depth, meter)));
            for (const task of tasks) checkDepth(yield* task, depth);
          });
          return meter.result();
        };
      },
    },
  ],
  targets: [{ n: 100, of: "fibril", to: "native", atMost: 1.2 }],
};

function checkDepth(frames: number, depth: number): void {
  check(frames === depth, `${frames} frames instead of ${depth}`);
}
