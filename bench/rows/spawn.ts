/**
 * Starting N tasks from one hoisted function and joining all of them, in two forms.
 *
 * `spawn`: the child returns at once. For native promises that is the best case: an async function that never awaits
 * has finished before it returns, so there is no task at all, only a promise. `spawn-wait`: the child gives way once,
 * which is the least that a real task does. The design's target for "spawn and join" is held against both.
 */
import type { Effect as EffectOf } from "effect/Effect";
import type { Fiber as FiberOf } from "effect/Fiber";
import { check } from "../meter.ts";
import type { Contestant, Sample, TimedProgram, TimedRow } from "../row.ts";

export const spawnRow: TimedRow = {
  name: "spawn",
  kind: "time",
  title: "spawn N hoisted functions that return at once, join them",
  operation: "task",
  sizeOf: "tasks",
  sizes: [1_000, 100_000],
  rounds: 5,
  contestants: contestants(false),
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
  rounds: 5,
  contestants: contestants(true),
  targets: [
    { n: 1_000, of: "fibril", to: "native", atMost: 1.2 },
    { n: 1_000, of: "fibril", to: "effect", atMost: 0.15 },
  ],
};

function contestants(wait: boolean): Contestant<TimedProgram>[] {
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
        const child = wait ? waits : returns;
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          while (batches.more()) {
            const tasks: Promise<number>[] = [];
            for (let i = 0; i < n; i++) tasks.push(child(i));
            for (const value of await Promise.all(tasks)) batches.add(value);
          }
          return batches.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, spawn, yieldNow } = await import("fibril");
        function* returns(i: number) {
          return i + 1;
        }
        function* waits(i: number) {
          yield* yieldNow();
          return i + 1;
        }
        const child = wait ? waits : returns;
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          await run(function* () {
            while (batches.more()) {
              const tasks = [];
              for (let i = 0; i < n; i++) tasks.push(spawn(child, i));
              for (const task of tasks) batches.add(yield* task);
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
        const child: (i: number) => EffectOf<number> = wait ? waits : returns;
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          const main = Effect.gen(function* () {
            while (batches.more()) {
              const fibers: FiberOf<number>[] = [];
              for (let i = 0; i < n; i++) fibers.push(yield* Effect.forkChild(child(i)));
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
        function* returns(i: number) {
          return i + 1;
        }
        function* waits(i: number) {
          yield* giveWay;
          return i + 1;
        }
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          await run(function* () {
            while (batches.more()) {
              const tasks = [];
              for (let i = 0; i < n; i++) tasks.push(yield* spawn(wait ? () => waits(i) : () => returns(i)));
              for (const task of tasks) batches.add(yield* task);
            }
          });
          return batches.result();
        };
      },
    },
  ];
}

/** Counts batches of `n` tasks, times them, and checks the sum of what the tasks gave back. */
class Batches {
  readonly #n: number;
  readonly #batches: number;
  #begun = 0;
  #sum = 0;
  #startedAt = 0;
  #stoppedAt = 0;

  constructor(n: number, ops: number) {
    this.#n = n;
    this.#batches = Math.max(1, Math.ceil(ops / n));
  }

  /** Whether to do one more batch. */
  more(): boolean {
    if (this.#begun === 0) this.#startedAt = performance.now();
    if (this.#begun < this.#batches) {
      this.#begun++;
      return true;
    }
    this.#stoppedAt = performance.now();
    return false;
  }

  add(value: number): void {
    this.#sum += value;
  }

  result(): Sample {
    const expected = (this.#batches * (this.#n * (this.#n + 1))) / 2;
    check(this.#sum === expected, `the results add up to ${this.#sum}, not ${expected}`);
    return { ns: (this.#stoppedAt - this.#startedAt) * 1e6, ops: this.#batches * this.#n };
  }
}
