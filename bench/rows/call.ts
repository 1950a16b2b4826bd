/**
 * Calling another coroutine: the price of a name in the trace. The call returns at once (`call`) or gives way once
 * on the way (`call-wait`).
 */
import type { Effect as EffectOf } from "effect/Effect";
import type { Operation } from "effection";
import { check } from "../meter.ts";
import type { Contestant, Sample, TimedProgram, TimedRow } from "../row.ts";

export const callRow: TimedRow = {
  name: "call",
  kind: "time",
  title: "call a coroutine that returns at once",
  operation: "call",
  sizeOf: "tasks",
  sizes: [1],
  rounds: 3,
  contestants: contestants(false),
  targets: [],
};

export const callWaitRow: TimedRow = {
  name: "call-wait",
  kind: "time",
  title: "call a coroutine that gives way once",
  operation: "call",
  sizeOf: "tasks",
  sizes: [1],
  rounds: 3,
  contestants: contestants(true),
  targets: [],
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
        return (_n, ops) =>
          timed(ops, async () => {
            let sum = 0;
            for (let i = 0; i < ops; i++) sum += await child(i);
            return sum;
          });
      },
    },
    {
      name: "fibril",
      note: "each call is a frame made by coroutine()",
      async load() {
        const { coroutine, run, yieldNow } = await import("fibril");
        const returns = coroutine("returns", function* (i: number) {
          return i + 1;
        });
        const waits = coroutine("waits", function* (i: number) {
          yield* yieldNow();
          return i + 1;
        });
        const child = wait ? waits : returns;
        return (_n, ops) =>
          timed(ops, () =>
            run(function* () {
              let sum = 0;
              for (let i = 0; i < ops; i++) sum += yield* child(i);
              return sum;
            }),
          );
      },
    },
    {
      name: "fibril-plain",
      note: "the same calls as plain generators, by native delegation",
      async load() {
        const { run, yieldNow } = await import("fibril");
        function* returns(i: number) {
          return i + 1;
        }
        function* waits(i: number) {
          yield* yieldNow();
          return i + 1;
        }
        const child = wait ? waits : returns;
        return (_n, ops) =>
          timed(ops, () =>
            run(function* () {
              let sum = 0;
              for (let i = 0; i < ops; i++) sum += yield* child(i);
              return sum;
            }),
          );
      },
    },
    {
      name: "effect",
      async load() {
        const Effect = await import("effect/Effect");
        const returns = Effect.fnUntraced(function* (i: number) {
          return i + 1;
        });
        const waits = Effect.fnUntraced(function* (i: number) {
          yield* Effect.yieldNow;
          return i + 1;
        });
        const child: (i: number) => EffectOf<number> = wait ? waits : returns;
        return (_n, ops) =>
          timed(ops, () =>
            Effect.runPromise(
              Effect.gen(function* () {
                let sum = 0;
                for (let i = 0; i < ops; i++) sum += yield* child(i);
                return sum;
              }),
            ),
          );
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
        function* returns(i: number): Operation<number> {
          return i + 1;
        }
        function* waits(i: number): Operation<number> {
          yield* giveWay;
          return i + 1;
        }
        const child = wait ? waits : returns;
        return (_n, ops) =>
          timed(ops, () =>
            run(function* () {
              let sum = 0;
              for (let i = 0; i < ops; i++) sum += yield* child(i);
              return sum;
            }),
          );
      },
    },
  ];
}

async function timed(ops: number, calls: () => PromiseLike<number>): Promise<Sample> {
  const startedAt = performance.now();
  const sum = await calls();
  const stoppedAt = performance.now();
  const expected = (ops * (ops + 1)) / 2;
  check(sum === expected, `the results add up to ${sum}, not ${expected}`);
  return { ns: (stoppedAt - startedAt) * 1e6, ops };
}
