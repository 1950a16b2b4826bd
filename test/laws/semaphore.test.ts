/**
 * The semaphore against a number and an array: requests of different sizes, permits that are given back, added, and never given back.
 */
import fc from "fast-check";
import { test } from "vitest";
import { Semaphore } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw, okOr } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

type Op =
  | {
      readonly kind: "acquire";
      readonly isTry: boolean;
      readonly count: number;
      readonly ending: "once" | "twice" | "never";
    }
  | { readonly kind: "use"; readonly count: number }
  | { readonly kind: "release"; readonly count: number };

const PERMITS = 2;
const MAX = 3;

class SemaphoreModel implements Model {
  readonly fate: Fate[] = [];
  free = PERMITS;
  line: { readonly worker: number; readonly count: number }[] = [];

  request(worker: number, count: number): void {
    this.fate[worker] = this.tryAcquire(count);
    if (this.fate[worker] === "waits") this.line.push({ worker, count });
  }

  tryAcquire(count: number): Fate {
    if (this.line.length > 0 || count > this.free) return "waits";
    this.free -= count;
    return "served";
  }

  release(count: number): Fate {
    if (this.free + count > MAX) return "SEMAPHORE_OVER_RELEASE";
    this.free += count;
    this.serve();
    return "served";
  }

  gaveUp(worker: number): void {
    if (!this.line.some((it) => it.worker === worker)) return;
    this.line = this.line.filter((it) => it.worker !== worker);
    this.fate[worker] = "gave up";
    this.serve();
  }

  ended(): void {} // permits belong to nobody

  private serve(): void {
    while (this.line.length > 0 && this.line[0]!.count <= this.free) {
      const { worker, count } = this.line.shift()!;
      this.free -= count;
      this.fate[worker] = "served";
    }
  }
}

function world(crew: Crew): World<Op> {
  const semaphore = new Semaphore(PERMITS, { name: "law", max: MAX });
  const model = new SemaphoreModel();
  return {
    model,
    compare: () => [
      { name: "law", available: model.free, max: MAX, waiting: model.line.length },
      semaphore.statistics(),
    ],
    *perform(worker, op, inner) {
      const { count } = op;
      if (op.kind === "release") {
        crew.expect("release", model.release(count), okOr(crew.call(() => semaphore.release(count))));
      } else if (op.kind === "use") {
        const work = function* () {
          try {
            yield* inner();
          } finally {
            model.release(count); // too many after releases by hand; then the one inside `use` fails
          }
        };
        yield* crew.use(
          worker,
          (body) => (count === 1 ? semaphore.use(body) : semaphore.use(count, body)),
          () => model.request(worker, count),
          work,
        );
      } else {
        const got = op.isTry
          ? crew.tried(model.tryAcquire(count), () => semaphore.tryAcquire(count))
          : yield* crew.wait(worker, semaphore.acquire(count), () => model.request(worker, count));
        if (typeof got === "string") return;
        try {
          yield* inner();
        } finally {
          if (op.ending !== "never") {
            crew.expect("permit", model.release(count), okOr(crew.call(() => got.value.release())));
            if (op.ending === "twice") got.value[Symbol.dispose]();
          }
        }
      }
    },
  };
}

const count = fc.integer({ min: 1, max: MAX });

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("acquire" as const),
      isTry: fc.boolean(),
      count,
      ending: fc.constantFrom("once" as const, "once" as const, "once" as const, "twice" as const, "never" as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("use" as const), count }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("release" as const), count }) },
);

test(
  "law: a semaphore conserves its permits, serves strictly in the order of coming, and lets nobody wait who could be served",
  () => checkLaw(op, world, runs(120)),
  LAW_TIMEOUT_MS,
);
