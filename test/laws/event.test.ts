/**
 * The event against a flag and a set of those who wait.
 */
import fc from "fast-check";
import { test } from "vitest";
import { Event } from "../../src/sync/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";
import { checkLaw } from "./sync-program.ts";
import type { Crew, Fate, Model, World } from "./sync-program.ts";

type Op = "wait" | "set" | "clear" | "pulse";

class EventModel implements Model {
  readonly fate: Fate[] = [];
  isSet = false;
  readonly waiting: Set<number> = new Set();

  request(worker: number): void {
    this.fate[worker] = this.isSet ? "served" : "waits";
    if (!this.isSet) this.waiting.add(worker);
  }

  set(): void {
    this.isSet = true;
    for (const worker of this.waiting) this.fate[worker] = "served";
    this.waiting.clear();
  }

  gaveUp(worker: number): void {
    if (this.waiting.delete(worker)) this.fate[worker] = "gave up";
  }

  ended(): void {}
}

function world(crew: Crew): World<Op> {
  const event = new Event();
  const model = new EventModel();
  return {
    model,
    compare: () => [{ name: "event", isSet: model.isSet, waiting: model.waiting.size }, event.statistics()],
    *perform(worker, op, inner) {
      if (op === "wait") yield* crew.wait(worker, event.wait(), () => model.request(worker));
      if (op === "set" || op === "pulse") {
        event.set();
        model.set();
      }
      if (op === "clear" || op === "pulse") {
        event.clear();
        model.isSet = false;
      }
      yield* inner();
    },
  };
}

test(
  "law: an event wakes all who wait when it is set, and nobody else",
  () => checkLaw(fc.constantFrom<Op>("wait", "wait", "wait", "set", "clear", "pulse"), world, runs(120)),
  LAW_TIMEOUT_MS,
);
