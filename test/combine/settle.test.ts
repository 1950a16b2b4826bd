import { CancelledError, currentTask, EventLoop, moveOnAfter, sleep, spawn } from "fibril";
import type { Outcome } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { settle } from "../../src/combine/index.ts";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after, fail, told } from "./operands.ts";

describe("settle", () => {
  test("gives what became of each, in the order of the operands; a failure cancels nobody", () => {
    const error = new Error("b");
    const seen = simulated(function* () {
      const outcomes = yield* settle([after(3, "a"), () => fail(1, error), after(2, 7)]);
      expectTypeOf(outcomes).toEqualTypeOf<[Outcome<string>, Outcome<never>, Outcome<number>]>();
      return [outcomes, now()];
    });
    expect(seen).toEqual([
      [
        { status: "succeeded", value: "a" },
        { status: "failed", error },
        { status: "succeeded", value: 7 },
      ],
      3,
    ]);
  });

  test("or under the keys of a record, whatever their names; of nothing it is nothing", () => {
    const seen = simulated(function* () {
      const outcomes = yield* settle({ a: after(1, "x"), ["__proto__"]: after(2, 1) });
      return [Object.keys(outcomes), outcomes.a, yield* settle([]), yield* settle({}), now()];
    });
    expect(seen).toEqual([["a", "__proto__"], { status: "succeeded", value: "x" }, [], {}, 2]);
  });

  test("an operand that cancels itself is cancelled, and so is a task that was cancelled elsewhere", () => {
    const seen = simulated(function* () {
      const task = spawn(sleep, 50);
      task.cancel("elsewhere");
      const outcomes = yield* settle([
        task,
        function* () {
          currentTask().cancel("myself");
          yield* sleep(1);
        },
      ]);
      return outcomes.map((it) => (it.status === "cancelled" ? it.cancelled.reason : it.status));
    });
    expect(seen).toEqual(["elsewhere", "myself"]);
  });

  test("cancelling it cancels the operands and waits for them, but leaves a task alone", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(() => told(log, "task", 20, 1));
      yield* moveOnAfter(5, settle([told(log, "a", 10, 1, 2), told(log, "b", 3, 1), task]));
      log.push(`left at ${now()}`);
      yield* task;
      return log;
    });
    expect(seen).toEqual(["b done at 3", "a stopped at 7", "left at 7", "task done at 20"]);
  });

  test("failures that nobody will be handed, because it was cancelled, are reported", () => {
    const error = new Error("early");
    const { reports, outcome } = simulateSync(() => moveOnAfter(5, settle([fail(1, error), sleep(10)])));
    expect([outcome, reports.map((it) => [it.kind, it.error])]).toEqual([
      { status: "succeeded", value: undefined },
      [["lost-error", error]],
    ]);
  });

  test("what a cleanup throws while it is cancelled is thrown", () => {
    const error = new Error("cleanup");
    const thrown = failureOf(() =>
      moveOnAfter(
        5,
        settle([
          function* () {
            try {
              yield* sleep(10);
            } finally {
              yield* fail(1, error);
            }
          },
        ]),
      ),
    );
    expect(thrown).toBe(error);
  });

  test("works with tasks that have settled and with tasks of another loop", async () => {
    const other = new EventLoop({ name: "other" });
    const loop = new EventLoop({ name: "mine" });
    const far = other.spawn(after, 2, "far");
    const outcomes = await loop.spawn(function* () {
      const near = spawn(after, 0, "near");
      yield* near;
      return yield* settle([far, near]);
    });
    expect(outcomes).toEqual([
      { status: "succeeded", value: "far" },
      { status: "succeeded", value: "near" },
    ]);
  });

  test("cancelled at any step it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => {
          const log: string[] = [];
          return {
            main: () => settle([told(log, "a", 1, 1, 1), told(log, "b", 2, 2), fail(1, new Error("c"))]),
            check: () => expect(log).toHaveLength(2),
          };
        },
        { seed: 3, target },
      );
      expect(sweep.runs).toBeGreaterThan(5);
    }
  });

  test("a task among the operands that was cancelled is no CancelledError thrown", () => {
    const seen = simulated(function* () {
      const [outcome] = yield* settle([() => fail(0, new CancelledError("x", undefined))]);
      return outcome.status;
    });
    expect(seen).toBe("failed");
  });
});
