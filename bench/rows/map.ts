/**
 * The same function over 100,000 items, 100 of them at a time; each call gives way once and the results come in order.
 *
 * `native` is p-limit with `Promise.all`, what most programs do; `native-lanes` is the hand-written form that makes no promise
 * for what has not begun: 100 async functions that take the next index. Effection has nothing of the kind, so it runs lanes too.
 */
import type { Operation } from "effection";
import { Batches } from "../meter.ts";
import { foreign } from "../row.ts";
import type { TimedRow } from "../row.ts";

const LIMIT = 100;

export const mapRow: TimedRow = {
  name: "map",
  kind: "time",
  title: `map N items, ${LIMIT} at a time, each gives way once`,
  operation: "item",
  sizeOf: "items",
  sizes: [100_000],
  rounds: 3,
  contestants: [
    {
      name: "native",
      note: `p-limit(${LIMIT}) and Promise.all`,
      async load() {
        const { default: pLimit } = await import("p-limit");
        async function work(item: number): Promise<number> {
          await null;
          return item + 1;
        }
        return async (n, ops) => {
          const items = itemsOf(n);
          const batches = new Batches(n, ops);
          while (batches.more()) {
            const limit = pLimit(LIMIT);
            for (const value of await Promise.all(items.map((item) => limit(work, item)))) batches.add(value);
          }
          return batches.result();
        };
      },
    },
    {
      name: "native-lanes",
      note: "by hand: each of the async functions takes the next index",
      async load() {
        async function work(item: number): Promise<number> {
          await null;
          return item + 1;
        }
        return async (n, ops) => {
          const items = itemsOf(n);
          const batches = new Batches(n, ops);
          while (batches.more()) {
            const results: number[] = [];
            let next = 0;
            const lane = async (): Promise<void> => {
              while (next < n) {
                const index = next++;
                results[index] = await work(items[index]!);
              }
            };
            await Promise.all(Array.from({ length: LIMIT }, lane));
            for (const value of results) batches.add(value);
          }
          return batches.result();
        };
      },
    },
    {
      name: "fibril",
      async load() {
        const { run, yieldNow } = await import("fibril");
        const { mapConcurrent } = await import("fibril");
        function* work(item: number) {
          yield* yieldNow();
          return item + 1;
        }
        return async (n, ops) => {
          const items = itemsOf(n);
          const batches = new Batches(n, ops);
          await run(function* () {
            while (batches.more()) {
              for (const value of yield* mapConcurrent(items, work, { limit: LIMIT })) batches.add(value);
            }
          });
          return batches.result();
        };
      },
    },
    {
      name: "effect",
      note: `Effect.forEach with concurrency ${LIMIT}`,
      async load() {
        const Effect = await import("effect/Effect");
        const work = Effect.fnUntraced(function* (item: number) {
          yield* Effect.yieldNow;
          return item + 1;
        });
        return async (n, ops) => {
          const items = itemsOf(n);
          const batches = new Batches(n, ops);
          const main = Effect.gen(function* () {
            while (batches.more()) {
              for (const value of yield* Effect.forEach(items, work, { concurrency: LIMIT })) batches.add(value);
            }
          });
          await Effect.runPromise(main);
          return batches.result();
        };
      },
    },
    {
      name: "effection",
      note: "by hand: each of the tasks takes the next index",
      async load() {
        const { action, run, spawn } = await import("effection");
        const nothing = () => {};
        const giveWay = action<void>((resolve) => {
          resolve();
          return nothing;
        }, "give way");
        function* work(item: number): Operation<number> {
          yield* giveWay;
          return item + 1;
        }
        return async (n, ops) => {
          const items = itemsOf(n);
          const batches = new Batches(n, ops);
          await run(function* () {
            while (batches.more()) {
              const results: number[] = [];
              let next = 0;
              const lane = function* (): Operation<void> {
                while (next < n) {
                  const index = next++;
                  results[index] = yield* work(items[index]!);
                }
              };
              const tasks = [];
              for (let i = 0; i < LIMIT; i++) tasks.push(yield* spawn(lane));
              for (const task of tasks) yield* task;
              for (const value of results) batches.add(value);
            }
          });
          return batches.result();
        };
      },
    },
    foreign("python", { note: `gather behind asyncio.Semaphore(${LIMIT})` }),
  ],
  targets: [],
};

function itemsOf(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}
