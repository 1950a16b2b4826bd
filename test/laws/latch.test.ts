/**
 * The latch against a number and a set of those who wait.
 */
import fc from "fast-check";
import { test } from "vitest";
import { Latch } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw, okOr } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

const COUNT = 4;

/** 0: wait; otherwise count down by so many. */
type Op = number;

class LatchModel implements Model {
  readonly fate: Fate[] = [];
  count = COUNT;
  readonly waiting: Set<number> = new Set();

  request(worker: number): void {
    this.fate[worker] = this.count === 0 ? "served" : "waits";
    if (this.count > 0) this.waiting.add(worker);
  }

  countDown(by: number): Fate {
    if (by > this.count) return "LATCH_OVERRUN";
    this.count -= by;
    if (this.count === 0) {
      for (const worker of this.waiting) this.fate[worker] = "served";
      this.waiting.clear();
    }
    return "served";
  }

  gaveUp(worker: number): void {
    if (this.waiting.delete(worker)) this.fate[worker] = "gave up";
  }

  ended(): void {}
}

function world(crew: Crew): World<Op> {
  const latch = new Latch(COUNT);
  const model = new LatchModel();
  return {
    model,
    compare: () => [{ name: "latch", count: model.count, waiting: model.waiting.size }, latch.statistics()],
    *perform(worker, op, inner) {
      if (op === 0) yield* crew.wait(worker, latch.wait(), () => model.request(worker));
      else crew.expect("countDown", model.countDown(op), okOr(crew.call(() => latch.countDown(op))));
      yield* inner();
    },
  };
}

test(
  "law: a latch opens when its count is used up, not before, and wakes all who wait",
  () => checkLaw(fc.constantFrom<Op>(0, 0, 0, 1, 1, 2), world, runs(120)),
  LAW_TIMEOUT_MS,
);
