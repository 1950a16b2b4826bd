/**
 * One lock that 100 tasks want all the time. Whoever has it gives way once before giving it back, as a holder that waits for
 * something does, so there is always a line.
 *
 * Native promises have no lock: theirs is the chain of promises that stands in many programs; `native-p-limit` is `p-limit(1)`.
 * Effection has none either: a queue that holds one token.
 */
import type { Operation } from "effection";
import type { Semaphore as SemaphoreOf } from "effect/Semaphore";
import { check } from "../meter.ts";
import { foreign } from "../row.ts";
import type { Sample, TimedRow } from "../row.ts";

export const lockRow: TimedRow = {
  name: "lock",
  kind: "time",
  title: "take a lock that others wait for, give way, give it back",
  operation: "acquisition",
  sizeOf: "tasks",
  sizes: [100],
  rounds: 3,
  contestants: [
    {
      name: "native",
      note: "a chain of promises",
      async load() {
        class Mutex {
          #tail: Promise<void> = Promise.resolve();

          acquire(): Promise<() => void> {
            const before = this.#tail;
            let release!: () => void;
            this.#tail = new Promise((resolve) => {
              release = resolve;
            });
            return before.then(() => release);
          }
        }
        async function work(mutex: Mutex, section: Section): Promise<void> {
          for (let i = 0; i < section.perTask; i++) {
            const release = await mutex.acquire();
            try {
              section.enter();
              await null;
              section.leave();
            } finally {
              release();
            }
          }
        }
        return async (n, ops) => {
          const section = new Section(n, ops);
          const mutex = new Mutex();
          const tasks: Promise<void>[] = [];
          for (let i = 0; i < n; i++) tasks.push(work(mutex, section));
          await Promise.all(tasks);
          return section.result();
        };
      },
    },
    {
      name: "native-p-limit",
      note: "p-limit(1)",
      async load() {
        const { default: pLimit } = await import("p-limit");
        async function inside(section: Section): Promise<void> {
          section.enter();
          await null;
          section.leave();
        }
        async function work(limit: ReturnType<typeof pLimit>, section: Section): Promise<void> {
          for (let i = 0; i < section.perTask; i++) await limit(inside, section);
        }
        return async (n, ops) => {
          const section = new Section(n, ops);
          const limit = pLimit(1);
          const tasks: Promise<void>[] = [];
          for (let i = 0; i < n; i++) tasks.push(work(limit, section));
          await Promise.all(tasks);
          return section.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, spawn, yieldNow } = await import("fibril");
        const { Lock } = await import("fibril");
        function* work(lock: InstanceType<typeof Lock>, section: Section) {
          for (let i = 0; i < section.perTask; i++) {
            const permit = yield* lock.acquire();
            try {
              section.enter();
              yield* yieldNow();
              section.leave();
            } finally {
              permit.release();
            }
          }
        }
        return async (n, ops) => {
          const section = new Section(n, ops);
          await run(function* () {
            const lock = new Lock();
            for (let i = 0; i < n; i++) spawn(work, lock, section);
          });
          return section.result();
        };
      },
    },
    {
      name: "effect",
      note: "Semaphore(1); giving way goes by way of setImmediate",
      async load() {
        const Effect = await import("effect/Effect");
        const Fiber = await import("effect/Fiber");
        const Semaphore = await import("effect/Semaphore");
        const work = Effect.fnUntraced(function* (semaphore: SemaphoreOf, section: Section) {
          const inside = semaphore.withPermit(
            Effect.gen(function* () {
              section.enter();
              yield* Effect.yieldNow;
              section.leave();
            }),
          );
          for (let i = 0; i < section.perTask; i++) yield* inside;
        });
        return async (n, ops) => {
          const section = new Section(n, ops);
          const main = Effect.gen(function* () {
            const semaphore = yield* Semaphore.make(1);
            const fibers = [];
            for (let i = 0; i < n; i++) fibers.push(yield* Effect.forkChild(work(semaphore, section)));
            yield* Fiber.joinAll(fibers);
          });
          await Effect.runPromise(main);
          return section.result();
        };
      },
    },
    {
      name: "effection",
      note: "a queue with one token",
      async load() {
        const { action, createQueue, run, spawn } = await import("effection");
        type Tokens = ReturnType<typeof createQueue<void, void>>;
        const nothing = () => {};
        const giveWay = action<void>((resolve) => {
          resolve();
          return nothing;
        }, "give way");
        function* work(tokens: Tokens, section: Section): Operation<void> {
          for (let i = 0; i < section.perTask; i++) {
            yield* tokens.next();
            try {
              section.enter();
              yield* giveWay;
              section.leave();
            } finally {
              tokens.add();
            }
          }
        }
        return async (n, ops) => {
          const section = new Section(n, ops);
          await run(function* () {
            const tokens = createQueue<void, void>();
            tokens.add();
            const tasks = [];
            for (let i = 0; i < n; i++) tasks.push(yield* spawn(() => work(tokens, section)));
            for (const task of tasks) yield* task;
          });
          return section.result();
        };
      },
    },
    foreign("python", { note: "asyncio.Lock" }),
    foreign("go", { note: "sync.Mutex" }),
  ],
  targets: [],
};

/** What the lock guards: counts, and notices a second task inside. */
class Section {
  readonly perTask: number;
  readonly #total: number;
  readonly #startedAt = performance.now();
  #stoppedAt = 0;
  #inside = 0;
  #left = 0;

  constructor(tasks: number, ops: number) {
    this.perTask = Math.ceil(ops / tasks);
    this.#total = tasks * this.perTask;
  }

  enter(): void {
    if (++this.#inside !== 1) check(false, "two tasks were inside");
  }

  leave(): void {
    this.#inside--;
    if (++this.#left === this.#total) this.#stoppedAt = performance.now();
  }

  result(): Sample {
    check(this.#left === this.#total, `the lock was taken ${this.#left} times instead of ${this.#total}`);
    return { ns: (this.#stoppedAt - this.#startedAt) * 1e6, ops: this.#total };
  }
}
