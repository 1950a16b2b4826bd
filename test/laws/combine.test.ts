/**
 * Random operands against naive models on virtual time: what comes out, when, in which order, and who was cancelled.
 *
 * In the order of the loop operands with different delays never end in the same turn, so the model is exact. Ties and seeded
 * orders get the properties that hold whatever the order is: nobody runs on, every operand ends once, nothing is lost.
 */
import { all, Cancelled, EventLoop, moveOnAfter, race, sleep, spawn, suppressedErrors } from "fibril";
import type { Coroutine, Operation, Task } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { any, asCompleted, forEach, hedge, settle, wait } from "../../src/combine/index.ts";
import type { AllFailedError } from "../../src/combine/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

interface Plan {
  readonly ms: number;
  readonly fails: boolean;
  /** Given as a task of the caller's. */
  readonly isTask: boolean;
  readonly cleanupMs: number;
}

/** What happened to an operand, and when. */
type Fate = readonly ["succeeded" | "failed" | "cancelled", number];

class Fault extends Error {
  readonly index: number;
  constructor(index: number) {
    super(`operand ${index}`);
    this.index = index;
  }
}

const plan = fc.record({
  ms: fc.nat({ max: 12 }),
  fails: fc.boolean(),
  isTask: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  cleanupMs: fc.nat({ max: 3 }),
});
const plans = fc.array(plan, { minLength: 1, maxLength: 6 });
/** Each operand at a time of its own, so that one order is right. */
const apart = fc
  .uniqueArray(plan, { minLength: 1, maxLength: 6, selector: (it) => it.ms })
  .map((list) => list.map((it) => ({ ...it, ms: it.ms + 1 })));
const seed = fc.option(fc.nat(), { nil: undefined });

interface Ran {
  readonly fates: readonly (Fate | undefined)[];
  /** What the combinator gave, or what it threw. */
  readonly value: unknown;
  readonly error: unknown;
  readonly at: number;
  /** Operands that were still at it when the combinator returned. */
  readonly runningOn: readonly number[];
  readonly reported: readonly unknown[];
}

function execute(
  operands: readonly Plan[],
  combine: (bodies: Operation<number>[]) => Operation<unknown>,
  options: { readonly seed?: number | undefined; readonly cancelAtMs?: number | undefined } = {},
): Ran {
  const fates: (Fate | undefined)[] = operands.map(() => undefined);
  let ran: Omit<Ran, "fates" | "reported"> | undefined;
  function* operand(it: Plan, index: number): Coroutine<number> {
    const now = (): number => EventLoop.current().now();
    try {
      yield* sleep(it.ms);
    } catch (error) {
      if (it.cleanupMs > 0) yield* sleep(it.cleanupMs);
      fates[index] = ["cancelled", now()];
      throw error;
    }
    fates[index] = [it.fails ? "failed" : "succeeded", now()];
    if (it.fails) throw new Fault(index);
    return index;
  }
  const { leaks, reports, outcome } = simulateSync(
    function* () {
      const loop = EventLoop.current();
      const tasks = operands.map((it, index) => (it.isTask ? loop.spawn(operand, it, index) : null));
      const bodies = operands.map((it, index): Operation<number> => tasks[index] ?? operand(it, index));
      let value: unknown;
      let error: unknown;
      try {
        const main = combine(bodies);
        value = yield* options.cancelAtMs === undefined ? main : moveOnAfter(options.cancelAtMs, main);
      } catch (thrown) {
        if (thrown instanceof Cancelled) throw thrown;
        error = thrown;
      }
      const runningOn = operands.flatMap((it, index) => (it.isTask || fates[index] !== undefined ? [] : [index]));
      ran = { value, error, at: loop.now(), runningOn };
      for (const task of tasks) if (task !== null) yield* settle([task]);
    },
    options.seed === undefined ? {} : { seed: options.seed },
  );
  expect([leaks, outcome.status]).toEqual([[], "succeeded"]);
  const reported = reports.map((it) => it.error).filter((it) => !(it instanceof Fault && operands[it.index]!.isTask));
  return { ...ran!, fates, reported };
}

/** How an operand ends that is told to stop at `stopMs`: tasks do not hear of it. */
function fateOf(it: Plan, stopMs: number): Fate {
  if (it.isTask || it.ms <= stopMs) return [it.fails ? "failed" : "succeeded", it.ms];
  return ["cancelled", stopMs + it.cleanupMs];
}

/** When the last operand of ours has ended, if all are told to stop at `stopMs`. */
function endOf(operands: readonly Plan[], stopMs: number): number {
  return Math.max(stopMs, ...operands.filter((it) => !it.isTask).map((it) => fateOf(it, stopMs)[1]));
}

function check(operands: readonly Plan[], stopMs: number, ran: Ran): void {
  expect(ran.fates).toEqual(operands.map((it) => fateOf(it, stopMs)));
  expect([ran.runningOn, ran.at, ran.reported]).toEqual([[], endOf(operands, stopMs), []]);
}

const inOrder = (operands: readonly Plan[]): number[] =>
  operands.map((_, index) => index).sort((a, b) => operands[a]!.ms - operands[b]!.ms);

describe("operands that end one by one", () => {
  test(
    "all: every value in order, or the first failure, which stops the others",
    () => {
      fc.assert(
        fc.property(apart, seed, (operands, s) => {
          const ran = execute(operands, (bodies) => all(bodies), { seed: s });
          const failing = inOrder(operands).find((index) => operands[index]!.fails);
          if (failing === undefined) {
            const last = Math.max(...operands.map((it) => it.ms));
            expect([ran.value, ran.at]).toEqual([operands.map((_, index) => index), last]);
          } else {
            expect(ran.error).toMatchObject({ index: failing });
            check(operands, operands[failing]!.ms, ran);
          }
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "race: the first to end decides",
    () => {
      fc.assert(
        fc.property(apart, seed, (operands, s) => {
          const ran = execute(operands, (bodies) => race(bodies), { seed: s });
          const first = inOrder(operands)[0]!;
          if (operands[first]!.fails) expect(ran.error).toMatchObject({ index: first });
          else expect(ran.value).toBe(first);
          check(operands, operands[first]!.ms, ran);
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "any: the first to succeed decides, or all have failed",
    () => {
      fc.assert(
        fc.property(apart, seed, (operands, s) => {
          const ran = execute(operands, (bodies) => any(bodies), { seed: s });
          const first = inOrder(operands).find((index) => !operands[index]!.fails);
          if (first === undefined) {
            expect((ran.error as AllFailedError).errors.map((it) => (it as Fault).index)).toEqual(
              operands.map((_, i) => i),
            );
            check(operands, Math.max(...operands.map((it) => it.ms)), ran);
          } else {
            expect(ran.value).toBe(first);
            check(operands, operands[first]!.ms, ran);
          }
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "asCompleted: in order of completion, each once; a body that stops stops the rest",
    () => {
      fc.assert(
        fc.property(apart, seed, fc.nat({ max: 6 }), (operands, s, count) => {
          const ran = execute(
            operands,
            (bodies) =>
              asCompleted(bodies, function* (completed) {
                const keys: number[] = [];
                while (keys.length < count) {
                  const step = yield* completed.next();
                  if (step.done === true) break;
                  keys.push(step.value.key);
                }
                return keys;
              }),
            { seed: s },
          );
          const expected = inOrder(operands).slice(0, count);
          expect(ran.value).toEqual(expected);
          check(operands, count === 0 ? 0 : operands[expected.at(-1)!]!.ms, ran);
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "wait: done and pending in order, and nobody is touched",
    () => {
      fc.assert(
        fc.property(
          apart,
          seed,
          fc.constantFrom("all", "first", "firstFailure"),
          fc.option(
            fc.nat({ max: 14 }).map((ms) => ms + 0.5),
            { nil: undefined },
          ),
          (operands, s, returnWhen, timeoutMs) => {
            const tasks = operands.map((it) => ({ ...it, isTask: true }));
            const ran = execute(
              tasks,
              function* (bodies) {
                const given = bodies as unknown as Task<number>[];
                const limit = timeoutMs === undefined ? {} : { timeoutMs };
                const { done, pending } = yield* wait(given, { returnWhen, ...limit });
                return [done.map((it) => given.indexOf(it)), pending.map((it) => given.indexOf(it))];
              },
              { seed: s },
            );
            const failing = inOrder(tasks).find((index) => tasks[index]!.fails);
            const last = Math.max(...tasks.map((it) => it.ms));
            const first = Math.min(...tasks.map((it) => it.ms));
            const wanted =
              returnWhen === "first"
                ? first
                : returnWhen === "all" || failing === undefined
                  ? last
                  : tasks[failing]!.ms;
            const at = Math.min(wanted, timeoutMs ?? Infinity);
            const isDone = (index: number): boolean => tasks[index]!.ms <= at;
            const indexes = tasks.map((_, index) => index);
            expect([ran.value, ran.at]).toEqual([[indexes.filter(isDone), indexes.filter((it) => !isDone(it))], at]);
            expect(ran.fates).toEqual(tasks.map((it) => fateOf(it, Infinity)));
          },
        ),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "hedge: starts by delay or failure of the newest, and the first success decides",
    () => {
      fc.assert(
        fc.property(apart, seed, fc.nat({ max: 9 }), (operands, s, delay) => {
          const own = operands.map((it) => ({ ...it, isTask: false }));
          const delayMs = delay + 0.3; // never at the same moment as an end
          const ran = execute(own, (bodies) => hedge(bodies, { delayMs }), { seed: s });
          // The model walks through the starts.
          const starts: number[] = [];
          let at = 0;
          let winAt = Infinity;
          for (const [index, it] of own.entries()) {
            if (at > winAt) break;
            starts.push(at);
            if (!it.fails) winAt = Math.min(winAt, at + it.ms);
            at = index === own.length - 1 ? at : it.fails && it.ms < delayMs ? at + it.ms : at + delayMs;
          }
          const winner = starts.findIndex((start, index) => !own[index]!.fails && close(start + own[index]!.ms, winAt));
          if (winner >= 0) expect(ran.value).toBe(winner);
          else expect((ran.error as AllFailedError).errors).toHaveLength(own.length);
          expect([ran.fates.filter((it) => it !== undefined).length, ran.reported]).toEqual([starts.length, []]);
          for (const [index, start] of starts.entries()) {
            const it = own[index]!;
            const [status, endedAt] = ran.fates[index]!;
            const end = start + it.ms;
            const isStopped = end > winAt && !close(end, winAt);
            expect(status).toBe(isStopped ? "cancelled" : it.fails ? "failed" : "succeeded");
            expect(endedAt).toBeCloseTo(isStopped ? winAt + it.cleanupMs : end, 6);
          }
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );
});

const close = (a: number, b: number): boolean => Math.abs(a - b) < 1e-6;

describe("operands that may end in the same turn, in any order, cancelled at any moment", () => {
  const cancelAtMs = fc.option(fc.nat({ max: 13 }), { nil: undefined });

  test(
    "settle: an outcome for each, and a failure cancels nobody",
    () => {
      fc.assert(
        fc.property(plans, seed, cancelAtMs, (operands, s, cancelAt) => {
          const ran = execute(operands, (bodies) => settle(bodies), { seed: s, cancelAtMs: cancelAt });
          expect([ran.runningOn, ran.error]).toEqual([[], undefined]);
          const last = Math.max(...operands.map((it) => it.ms));
          if (cancelAt === undefined || last < cancelAt) {
            const statuses = (ran.value as { status: string }[]).map((it) => it.status);
            expect(statuses).toEqual(operands.map((it) => (it.fails ? "failed" : "succeeded")));
            expect([ran.at, ran.reported]).toEqual([last, []]);
          } else if (ran.value === undefined) {
            const lost = operands.flatMap((it, index) =>
              it.fails && !it.isTask && ran.fates[index]?.[0] === "failed" ? [index] : [],
            );
            const reported = ran.reported.map((it) => (it as Fault).index);
            for (const index of lost) if (operands[index]!.ms < cancelAt) expect(reported).toContain(index);
          }
        }),
        runs(150),
      );
    },
    LAW_TIMEOUT_MS,
  );

  for (const [name, combine] of [
    ["all", (bodies: Operation<number>[]) => all(bodies)],
    ["race", (bodies: Operation<number>[]) => race(bodies)],
    ["any", (bodies: Operation<number>[]) => any(bodies)],
    ["hedge", (bodies: Operation<number>[]) => hedge(bodies, { delayMs: 3 })],
    [
      "asCompleted",
      (bodies: Operation<number>[]) =>
        asCompleted(bodies, (completed) =>
          forEach(completed, function* ({ outcome }) {
            if (outcome.status === "failed") throw outcome.error;
          }),
        ),
    ],
  ] as const) {
    test(
      `${name}: nobody runs on, no failure is lost, a value or a failure that the operands had`,
      () => {
        fc.assert(
          fc.property(plans, seed, cancelAtMs, (operands, s, cancelAt) => {
            const ran = execute(operands, combine, { seed: s, cancelAtMs: cancelAt });
            const started = operands.map((_, index) => index).filter((index) => ran.fates[index] !== undefined);
            if (name !== "hedge") expect(ran.runningOn).toEqual([]);
            // Never earlier than the moment, never later than the slowest cleanup.
            const slowest = Math.max(...operands.map((it) => it.cleanupMs));
            if (cancelAt !== undefined) expect(ran.at).toBeLessThanOrEqual(cancelAt + slowest);
            const seen = new Set(
              [
                ran.error,
                ...suppressedErrors(ran.error),
                ...ran.reported,
                ...((ran.error as Partial<AllFailedError>)?.errors ?? []),
              ]
                .filter((it) => it instanceof Fault)
                .map((it) => it.index),
            );
            for (const index of seen) expect(operands[index]!.fails).toBe(true);
            if (name === "race" && typeof ran.value === "number") {
              // The winner's value stays, whoever fails in the same turn; each of those failures is reported.
              expect(operands[ran.value]!.fails).toBe(false);
              const failed = started.filter((index) => ran.fates[index]![0] === "failed" && !operands[index]!.isTask);
              expect([...seen].sort((a, b) => a - b)).toEqual(
                failed.filter((index) => operands[index]!.ms <= operands[ran.value as number]!.ms),
              );
            }
            if (name === "all" && cancelAt === undefined) {
              const failed = started.filter((index) => ran.fates[index]![0] === "failed" && !operands[index]!.isTask);
              for (const index of failed) expect(seen).toContain(index);
            }
            if ((name === "any" || name === "hedge") && ran.value !== undefined) expect(ran.reported).toEqual([]);
          }),
          runs(150),
        );
      },
      LAW_TIMEOUT_MS,
    );
  }
});

test("a task is never touched by what it is an operand of", () => {
  const log: string[] = [];
  simulateSync(function* () {
    const task = spawn(function* () {
      yield* sleep(20);
      log.push("done");
    });
    for (const combine of [all, race, any, settle] as ((bodies: Operation<unknown>[]) => Operation<unknown>)[])
      yield* moveOnAfter(1, combine([task, sleep(9)]));
  });
  expect(log).toEqual(["done"]);
});
