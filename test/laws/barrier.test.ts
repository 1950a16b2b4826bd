/**
 * The barrier against an array of those who have come.
 */
import fc from "fast-check";
import { test } from "vitest";
import { Barrier } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

const PARTIES = 3;

type Op = "wait" | "abort" | "reset";

class BarrierModel implements Model {
  readonly fate: Fate[] = [];
  readonly place: number[] = [];
  line: number[] = [];
  rounds = 0;
  isBroken = false;

  request(worker: number): void {
    if (this.isBroken) {
      this.fate[worker] = "BARRIER_BROKEN";
      return;
    }
    this.fate[worker] = "waits";
    this.line.push(worker);
    if (this.line.length < PARTIES) return;
    this.rounds++;
    this.line.forEach((it, place) => {
      this.fate[it] = "served";
      this.place[it] = place;
    });
    this.line = [];
  }

  fail(): void {
    for (const it of this.line) this.fate[it] = "BARRIER_BROKEN";
    this.line = [];
  }

  gaveUp(worker: number): void {
    if (!this.line.includes(worker)) return;
    this.line = this.line.filter((it) => it !== worker);
    this.fate[worker] = "gave up";
  }

  ended(): void {}
}

function world(crew: Crew): World<Op> {
  const barrier = new Barrier(PARTIES);
  const model = new BarrierModel();
  return {
    model,
    compare: () => [
      { name: "barrier", parties: PARTIES, waiting: model.line.length, rounds: model.rounds, isBroken: model.isBroken },
      barrier.statistics(),
    ],
    *perform(worker, op, inner) {
      if (op === "wait") {
        const got = yield* crew.wait(worker, barrier.wait(), () => model.request(worker));
        if (typeof got !== "string") crew.expect("place", model.place[worker], got.value);
      } else {
        barrier[op]();
        model.isBroken = op === "abort";
        model.fail();
      }
      yield* inner();
    },
  };
}

test(
  "law: a barrier lets its parties go together, in the order of coming, round after round",
  () =>
    checkLaw(fc.constantFrom<Op>("wait", "wait", "wait", "wait", "wait", "wait", "abort", "reset"), world, runs(120)),
  LAW_TIMEOUT_MS,
);
