import { EventLoop, Future, moveOnAfter, sleep, spawn, UsageError } from "fibril";
import { closeSequence } from "fibril/lowlevel";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { asCompleted, forEach } from "../../src/combine/index.ts";
import type { Completed } from "../../src/combine/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";
import { after, fail, told } from "./operands.ts";

const status = ({ key, outcome }: Completed<unknown, number | string>): string =>
  `${key} ${outcome.status === "succeeded" ? String(outcome.value) : outcome.status} at ${now()}`;

describe("asCompleted of tasks", () => {
  test("gives them in the order in which they settle, those that have settled first", () => {
    const seen = simulated(function* () {
      const tasks = [after(3, "a"), after(1, "b"), after(2, "c")].map((it) => spawn(() => it));
      yield* tasks[1]!;
      const log: string[] = [];
      yield* forEach(asCompleted(tasks), function* (it) {
        expectTypeOf(it).toEqualTypeOf<Completed<string>>();
        expect(it.task).toBe(tasks[it.key]);
        log.push(status(it));
      });
      return log;
    });
    expect(seen).toEqual(["1 b at 1", "2 c at 2", "0 a at 3"]);
  });

  test("of a record it gives the keys; a failure is an outcome", () => {
    const seen = simulated(function* () {
      const loop = EventLoop.current();
      const tasks = { x: loop.spawn(after, 2, 1), y: loop.spawn(fail, 1, new Error("y")) };
      const log: string[] = [];
      yield* forEach(asCompleted(tasks), function* (it) {
        expectTypeOf(it).toEqualTypeOf<Completed<number, "x" | "y">>();
        log.push(status(it));
      });
      return log;
    });
    expect(seen).toEqual(["y failed at 1", "x 1 at 2"]);
  });

  test("cancelling a `next` leaves its task to the next one; `close` lets go of the rest", () => {
    const seen = simulated(function* () {
      const completed = asCompleted([spawn(after, 4, "a"), spawn(after, 9, "b")]);
      const missed = yield* moveOnAfter(1, completed.next());
      const step = yield* completed.next();
      yield* closeSequence(completed);
      return [missed, step.done === true ? "end" : status(step.value), (yield* completed.next()).done, now()];
    });
    expect(seen).toEqual([undefined, "0 a at 4", true, 4]);
  });

  test("several may take; each task is given once, in order of coming", () => {
    const seen = simulated(function* () {
      const completed = asCompleted([1, 2, 3].map((ms) => spawn(after, ms, ms)));
      const log: string[] = [];
      const take = (name: string) =>
        forEach(completed, function* (it) {
          log.push(`${name} ${status(it)}`);
        });
      const takers = [spawn(() => take("x")), spawn(() => take("y"))];
      for (const taker of takers) yield* taker;
      return log;
    });
    expect(seen).toEqual(["x 0 1 at 1", "y 1 2 at 2", "x 2 3 at 3"]);
  });

  test("tasks of another loop are waited for as something outside", async () => {
    const other = new EventLoop({ name: "other" });
    const secondIsSeen = new Future<void>({ external: true });
    const tasks = [other.spawn(() => secondIsSeen), other.spawn(after, 1, "b")];
    const keys = await new EventLoop().spawn(function* () {
      const log: number[] = [];
      yield* forEach(asCompleted(tasks), function* (it) {
        log.push(it.key);
        secondIsSeen.tryResolve();
      });
      return log;
    });
    expect(keys).toEqual([1, 0]);
  });

  test("operations without a body are refused at once: nobody would end them", () => {
    expect(thrownBy(() => asCompleted([sleep(1)] as never))).toBeInstanceOf(UsageError);
    expect(simulated(() => asCompleted([]).next())).toEqual({ done: true, value: undefined });
  });
});

describe("asCompleted of operations", () => {
  test("runs them for the body and returns what it returns", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const value = yield* asCompleted([after(3, "a"), () => fail(1, "x"), after(2, "c")], function* (completed) {
        yield* forEach(completed, function* (it) {
          log.push(status(it));
        });
        return "all";
      });
      return [log, value];
    });
    expect(seen).toEqual([["1 failed at 1", "2 c at 2", "0 a at 3"], "all"]);
  });

  test("when the body returns early the rest is cancelled and awaited; a task is only watched", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(() => told(log, "task", 20, "t"));
      const first = yield* asCompleted(
        { task, slow: told(log, "slow", 10, "s", 2), fast: told(log, "fast", 1, "f") },
        function* (completed) {
          const step = yield* completed.next();
          return step.done === true ? "" : step.value.key;
        },
      );
      log.push(`${first} at ${now()}`);
      yield* task;
      return log;
    });
    expect(seen).toEqual(["fast done at 1", "slow stopped at 3", "fast at 3", "task done at 20"]);
  });

  test("what the body spawns is awaited, not cancelled with the rest", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* asCompleted([after(1, "a"), told(log, "rest", 50, "r")], function* (completed) {
        yield* completed.next();
        spawn(() => told(log, "saved", 5, 1));
      });
      return log;
    });
    expect(seen).toEqual(["saved done at 6", "rest stopped at 6"]);
  });

  test("a failure of the body cancels the operands; so does cancelling", () => {
    const log: string[] = [];
    const error = failureOf(() =>
      asCompleted([told(log, "a", 9, 1)], function* (completed) {
        yield* moveOnAfter(2, completed.next());
        throw new Error("enough");
      }),
    );
    expect([(error as Error).message, log]).toEqual(["enough", ["a stopped at 2"]]);
    simulated(() =>
      moveOnAfter(
        3,
        asCompleted([told(log, "b", 9, 1)], (completed) => completed.next()),
      ),
    );
    expect(log[1]).toBe("b stopped at 3");
  });

  test("a failure that the body did not take is reported; what a cleanup throws is thrown", () => {
    const error = new Error("not taken");
    const { reports } = simulateSync(() => asCompleted([fail(1, error)], () => sleep(5)));
    expect(reports.map((it) => it.error)).toEqual([error]);
    function* dirty() {
      try {
        yield* sleep(50);
      } finally {
        yield* fail(1, error);
      }
    }
    expect(failureOf(() => asCompleted([dirty()], () => sleep(5)))).toBe(error);
  });

  test("cancelled at any step it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => {
          const log: string[] = [];
          return {
            main: () =>
              asCompleted([told(log, "a", 1, 1), told(log, "b", 2, 1, 1)], (completed) =>
                forEach(completed, () => sleep(1)),
              ),
            check: () => expect(log).toHaveLength(2),
          };
        },
        { seed: 5, target },
      );
      expect(sweep.runs).toBeGreaterThan(5);
    }
  });
});
