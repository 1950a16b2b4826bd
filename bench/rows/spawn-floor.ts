/**
 * Where the cost of spawning comes from: the same work as the row `spawn`, with less and less around it.
 *
 * `generator`: N generator objects, run to their ends and nothing else: no runtime on generators can cost less. `toy`: the
 * smallest thing that could be called a task: an object with a result, a ready queue, a list of siblings for whoever wants to
 * cancel them, and a join by `yield*`. No scopes, no cancellation, no names, no states, no probes, no failures.
 * What Fibril costs above the toy is what it does; what the toy costs above native is what generators cost.
 */
import { Batches } from "../meter.ts";
import type { TimedProgram, TimedRow } from "../row.ts";

export const spawnFloorRow: TimedRow = {
  name: "spawn-floor",
  kind: "time",
  title: "the row spawn, with less and less around it",
  operation: "task",
  sizeOf: "tasks",
  sizes: [1_000],
  rounds: 3,
  contestants: [
    {
      name: "native",
      async load() {
        async function child(i: number): Promise<number> {
          return i + 1;
        }
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
      name: "generator",
      note: "N generators run to their ends, no runtime at all",
      async load() {
        function* child(i: number): Generator<never, number, unknown> {
          return i + 1;
        }
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          while (batches.more()) {
            const tasks: Generator<never, number, unknown>[] = [];
            for (let i = 0; i < n; i++) tasks.push(child(i));
            for (const task of tasks) batches.add(task.next().value);
          }
          return batches.result();
        };
      },
    },
    {
      name: "toy",
      note: "a task object, a ready queue, a list of siblings, a join by yield*",
      async load() {
        function* child(i: number): ToyCoroutine<number> {
          return i + 1;
        }
        function* main(kernel: ToyKernel, batches: Batches, n: number): ToyCoroutine<void> {
          while (batches.more()) {
            const tasks: ToyTask<number>[] = [];
            for (let i = 0; i < n; i++) tasks.push(kernel.spawn(child(i)));
            for (const task of tasks) batches.add(yield* task);
          }
        }
        return async (n, ops) => {
          const batches = new Batches(n, ops);
          const kernel = new ToyKernel();
          kernel.spawn(main(kernel, batches, n));
          kernel.run();
          return batches.result();
        };
      },
    },
    { name: "fibril-all", note: "as in the row spawn, joined by all() in place of a loop", load: () => fibril(true) },
    { name: "fibril", load: () => fibril(false) },
  ],
  targets: [],
};

async function fibril(joinsAll: boolean): Promise<TimedProgram> {
  const { all, run, spawn } = await import("fibril");
  function* child(i: number) {
    return i + 1;
  }
  return async (n, ops) => {
    const batches = new Batches(n, ops);
    await run(function* () {
      while (batches.more()) {
        const tasks = [];
        for (let i = 0; i < n; i++) tasks.push(spawn(child, i));
        if (joinsAll) for (const value of yield* all(tasks)) batches.add(value);
        else for (const task of tasks) batches.add(yield* task);
      }
    });
    return batches.result();
  };
}

type ToyCoroutine<T> = Generator<undefined, T, unknown>;

class ToyTask<T> {
  readonly kernel: ToyKernel;
  readonly top: ToyCoroutine<T>;
  before: ToyTask<unknown> | null = null;
  after: ToyTask<unknown> | null = null;
  joiner: ToyTask<unknown> | null = null;
  isSettled = false;
  value: T | undefined = undefined;

  constructor(kernel: ToyKernel, top: ToyCoroutine<T>) {
    this.kernel = kernel;
    this.top = top;
  }

  [Symbol.iterator](): Iterator<undefined, T, unknown> {
    return this;
  }

  next(): IteratorResult<undefined, T> {
    if (this.isSettled) return { done: true, value: this.value as T };
    this.joiner = this.kernel.running;
    return SUSPENDED;
  }
}

const SUSPENDED: IteratorYieldResult<undefined> = Object.freeze({ done: false, value: undefined });

class ToyKernel {
  running: ToyTask<unknown> | null = null;
  #ready: ToyTask<unknown>[] = [];
  #last: ToyTask<unknown> | null = null;

  spawn<T>(top: ToyCoroutine<T>): ToyTask<T> {
    const task = new ToyTask<T>(this, top);
    const last = this.#last;
    if (last !== null) {
      last.after = task as ToyTask<unknown>;
      task.before = last;
    }
    this.#last = task as ToyTask<unknown>;
    this.#ready.push(task as ToyTask<unknown>);
    return task;
  }

  run(): void {
    while (this.#ready.length > 0) {
      const turn = this.#ready;
      this.#ready = [];
      for (const task of turn) {
        this.running = task;
        const result = task.top.next();
        if (result.done === true) this.#settle(task, result.value);
      }
    }
  }

  #settle(task: ToyTask<unknown>, value: unknown): void {
    task.isSettled = true;
    task.value = value;
    const { before, after } = task;
    if (before !== null) before.after = after;
    if (after !== null) after.before = before;
    else this.#last = before;
    task.before = null;
    task.after = null;
    if (task.joiner !== null) this.#ready.push(task.joiner);
  }
}
