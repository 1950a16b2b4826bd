/**
 * Events as a sequence, against a naive model: a list, a line of takers, a policy.
 */
import fc from "fast-check";
import { spawn, sleep, yieldNow } from "fibril";
import type { Coroutine, Task } from "fibril";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { EventOverflowError, on } from "../../src/interop/index.ts";
import type { EventSequence, Overflow } from "../../src/interop/index.ts";
import { listenersOf } from "../interop/left.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

class Numbered extends Event {
  readonly number: number;

  constructor(number: number) {
    super("number");
    this.number = number;
  }
}

type Step =
  | { readonly kind: "emit"; readonly count: number }
  | { readonly kind: "take" }
  | { readonly kind: "cancel"; readonly taker: number }
  | { readonly kind: "turn" }
  | { readonly kind: "close" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("emit" as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("take" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), taker: fc.nat({ max: 20 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const) }) },
);
const steps = fc.array(step, { maxLength: 25 });
const policy = fc.constantFrom<Overflow>("error", "dropOldest", "dropNewest");
const capacity = fc.constantFrom(1, 2, 3, Infinity);
const seed = fc.option(fc.nat(), { nil: undefined });

/** What became of one call of `next`. */
type Taken = number | "end" | "overflow" | "cancelled" | "waiting";

/** The whole of it, as one would write it down on paper. */
class Model {
  readonly taken: Taken[] = [];
  #kept: number[] = [];
  #line: number[] = [];
  #state: "open" | "overflown" | "closed" = "open";
  readonly #capacity: number;
  readonly #policy: Overflow;

  constructor(capacity: number, policy: Overflow) {
    this.#capacity = capacity;
    this.#policy = policy;
  }

  emit(number: number): void {
    if (this.#state !== "open") return;
    const first = this.#line.shift();
    if (first !== undefined) this.taken[first] = number;
    else if (this.#kept.length < this.#capacity) this.#kept.push(number);
    else if (this.#policy === "error") this.#state = "overflown";
    else if (this.#policy === "dropOldest") this.#kept = [...this.#kept.slice(1), number];
  }

  take(): void {
    const kept = this.#kept.shift();
    if (kept !== undefined) this.taken.push(kept);
    else if (this.#state === "open") this.#line.push(this.taken.push("waiting") - 1);
    else this.taken.push(this.#state === "closed" ? "end" : "overflow");
  }

  cancel(taker: number): void {
    if (!this.#line.includes(taker)) return;
    this.#line = this.#line.filter((it) => it !== taker);
    this.taken[taker] = "cancelled";
  }

  close(): void {
    this.#state = "closed";
    this.#kept = [];
    for (const taker of this.#line.splice(0)) this.taken[taker] = "end";
  }
}

function* taker(events: EventSequence<Numbered>, taken: Taken[], index: number): Coroutine<void> {
  taken[index] = "cancelled";
  try {
    const result = yield* events.next();
    taken[index] = result.done === true ? "end" : result.value.number;
  } catch (error) {
    if (!(error instanceof EventOverflowError)) throw error;
    taken[index] = "overflow";
  }
}

describe("on()", () => {
  test(
    "does what the model does: order, bound, policy, cancellation, close",
    () => {
      fc.assert(
        fc.property(steps, capacity, policy, seed, (script, limit, overflow, order) => {
          const target = new EventTarget();
          const model = new Model(limit, overflow);
          const taken: Taken[] = [];
          const { leaks, reports, outcome } = simulateSync(
            function* () {
              const events = on<Numbered>(target, "number", { capacity: limit, overflow, external: false });
              const tasks: Task<void>[] = [];
              let last = 0;
              for (const it of script) {
                if (it.kind === "emit") {
                  for (let i = 0; i < it.count; i++) {
                    target.dispatchEvent(new Numbered(++last));
                    model.emit(last);
                  }
                } else if (it.kind === "take") {
                  tasks.push(spawn(taker, events, taken, tasks.length));
                  model.take();
                } else if (it.kind === "cancel" && it.taker < tasks.length) {
                  tasks[it.taker]!.cancel();
                  model.cancel(it.taker);
                } else if (it.kind === "close") {
                  events.close();
                  model.close();
                }
                yield* sleep(1); // everybody has come to rest
                const { buffered, waiting } = events.statistics();
                expect(buffered).toBeLessThanOrEqual(limit);
                expect(buffered === 0 || waiting === 0).toBe(true);
              }
              const left = model.taken.map((it, i) => (it === "waiting" ? i : -1)).filter((i) => i !== -1);
              for (const index of left) {
                expect(tasks[index]!.state).toBe("waiting");
                tasks[index]!.cancel();
                model.cancel(index);
              }
              yield* sleep(1);
            },
            order === undefined ? {} : { seed: order },
          );
          if (outcome.status === "failed") throw outcome.error;
          expect({ leaks, reports, taken, listeners: listenersOf(target, "number") }).toEqual({
            leaks: [],
            reports: [],
            taken: model.taken,
            listeners: 0,
          });
        }),
        runs(300),
      );
    },
    LAW_TIMEOUT_MS,
  );

  test(
    "loses and doubles nothing, whoever is cancelled at whatever step: emitted = taken + kept + dropped",
    () => {
      fc.assert(
        fc.property(
          steps,
          capacity,
          fc.constantFrom<Overflow>("dropOldest", "dropNewest"),
          seed,
          fc.nat(),
          (...args) => {
            const [script, limit, overflow, order, at] = args;
            const program = (cancelAt: number): number => {
              const target = new EventTarget();
              const taken: Taken[] = [];
              let emitted = 0;
              let kept: number[] | undefined;
              let dropped = 0;
              const { steps: count, leaks } = simulateSync(
                function* () {
                  const events = on<Numbered>(target, "number", { capacity: limit, overflow, external: false });
                  const tasks: Task<void>[] = [];
                  for (const it of script) {
                    if (it.kind === "emit") {
                      for (let i = 0; i < it.count; i++) target.dispatchEvent(new Numbered(++emitted));
                    } else if (it.kind === "take") tasks.push(spawn(taker, events, taken, tasks.length));
                    else if (it.kind === "cancel" && it.taker < tasks.length) tasks[it.taker]!.cancel();
                    else if (it.kind === "turn") yield* yieldNow();
                  }
                  for (const task of tasks) task.cancel();
                  yield* sleep(1);
                  ({ dropped } = events.statistics());
                  const rest: number[] = [];
                  while (events.statistics().buffered > 0) rest.push((yield* events.next()).value!.number);
                  kept = rest;
                },
                order === undefined ? {} : { seed: order },
                (main, stepped, done) => {
                  if (done === cancelAt) (stepped ?? main).cancel();
                },
              );
              expect([leaks, listenersOf(target, "number")]).toEqual([[], 0]);
              const numbers = taken.filter((it): it is number => typeof it === "number");
              if (kept !== undefined) {
                expect(new Set([...numbers, ...kept]).size).toBe(numbers.length + kept.length);
                expect(numbers.length + kept.length + dropped).toBe(emitted);
                expect(kept).toEqual(kept.toSorted((a, b) => a - b));
              }
              return count;
            };
            program(at % (program(-1) + 1));
          },
        ),
        runs(300),
      );
    },
    LAW_TIMEOUT_MS,
  );
});
