import {
  CancelledError,
  currentTask,
  EventLoop,
  Future,
  moveOnAfter,
  race,
  scope,
  sleep,
  spawn,
  suppressedErrors,
  UsageError,
} from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, expectTypeOf, test } from "vitest";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { after, fail, told } from "./operands.ts";

describe("race", () => {
  test("gives the result of the first that ends", () => {
    const seen = simulated(function* () {
      const value = yield* race([after(3, "slow"), () => after(1, 7), sleep(5)]);
      expectTypeOf(value).toEqualTypeOf<string | number | void>();
      return [value, now()];
    });
    expect(seen).toEqual([7, 1]);
  });

  test("of those that end in the same turn it is the one that was ready first", () => {
    expect(simulated(() => race([after(5, "a"), after(5, "b")]))).toBe("a");
    expect(simulated(() => race([after(5, undefined), after(5, "b")]))).toBeUndefined();
  });

  test("a failure wins as well, and is thrown as it is", () => {
    const error = new Error("first");
    expect(failureOf(() => race([after(5, "value"), fail(1, error)]))).toBe(error);
  });

  test("the losers are cancelled, and their cleanup has ended when it returns", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const value = yield* race([
        after(2, "winner"),
        function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(3);
            log.push(`loser clean at ${now()}`);
          }
          return "not reached";
        },
      ]);
      return [...log, `${value} at ${now()}`];
    });
    expect(seen).toEqual(["loser clean at 5", "winner at 5"]);
  });

  test("what the cleanup of a loser throws is thrown, and what comes later is kept", () => {
    const [first, second] = [new Error("first"), new Error("second")];
    function* loser(ms: number, error: Error): Coroutine<void> {
      try {
        yield* sleep(100);
      } finally {
        yield* fail(ms, error);
      }
    }
    const error = failureOf(() => race([after(1, "winner"), loser(2, second), loser(1, first)]));
    expect(error).toBe(first);
    expect(suppressedErrors(error)).toEqual([second]);
  });

  test("a loser that fails in the turn in which another has won does not replace its value; the failure is reported", () => {
    const error = new Error("second");
    const kinds = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const { outcome, reports } = simulateSync(() => race([after(1, "first"), fail(1, error), after(1, "third")]), {
        seed,
      });
      kinds.add(outcome.status === "succeeded" ? String(outcome.value) : outcome.status);
      if (outcome.status === "failed") expect([outcome.error, reports]).toEqual([error, []]);
      else for (const report of reports) expect(report).toMatchObject({ kind: "lost-error", error });
    }
    expect([...kinds].sort()).toEqual(["failed", "first", "third"]);
    const { outcome, reports } = simulateSync(() => race([after(1, "first"), fail(1, error)]));
    expect([outcome, reports.map((it) => it.error)]).toEqual([{ status: "succeeded", value: "first" }, [error]]);
  });

  test("a loser that fails in the turn in which another has failed is kept with it", () => {
    const [first, second] = [new Error("first"), new Error("second")];
    const error = failureOf(() => race([fail(1, first), fail(1, second), after(1, "value")]));
    expect([error === first, suppressedErrors(error)]).toEqual([true, [second]]);
  });

  test("an operand has ended when all that it has spawned has", () => {
    const seen = simulated(function* () {
      function* first(): Coroutine<string> {
        spawn(sleep, 9);
        return "first";
      }
      return [yield* race([first, after(5, "second")]), now()];
    });
    expect(seen).toEqual(["second", 5]);
  });

  test("a task that has ended already wins at once, and one of another loop may win", async () => {
    const seen = simulated(function* () {
      const task = spawn(after, 1, "task");
      yield* task;
      return [yield* race([after(1, "late"), task]), now()];
    });
    expect(seen).toEqual(["task", 1]);
    const far = new EventLoop({ name: "other" }).spawn(after, 2, "far");
    expect(await new EventLoop().spawn(() => race([far, sleep(5_000)]))).toBe("far");
  });

  test("hears no more of a task once it is over: that one's failure is its own scope's", () => {
    const [first, later] = [new Error("first"), new Error("later")];
    const { outcome, reports } = simulateSync(function* () {
      const task = EventLoop.current().spawn(fail, 9, later);
      try {
        yield* race([task, fail(1, first)]);
      } finally {
        yield* sleep(10);
      }
    });
    expect([outcome, suppressedErrors(first), reports.map((it) => it.error)]).toEqual([
      { status: "failed", error: first },
      [],
      [later],
    ]);
  });

  test("cancelled at any step it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => {
          const log: string[] = [];
          return {
            main: () => race([told(log, "a", 2, 1, 1), told(log, "b", 2, 2, 1)]),
            check: () => expect(log).toHaveLength(2),
          };
        },
        { seed: 5, target },
      );
      expect(sweep.runs).toBeGreaterThan(5);
    }
  });

  test("of nothing would wait for ever, and is refused", () => {
    expect(failureOf(() => race([]))).toBeInstanceOf(UsageError);
  });

  test("of one is that one", () => {
    expect(simulated(() => race([after(2, "alone")]))).toBe("alone");
  });

  test("a task among the operands is joined: when it loses it goes on", () => {
    const seen = simulated(function* () {
      const task = spawn(after, 10, "task");
      return [yield* race([task, after(1, "winner")]), yield* task, now()];
    });
    expect(seen).toEqual(["winner", "task", 10]);
  });

  test("cancelling it cancels every operand", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      function* operand(name: string): Coroutine<void> {
        try {
          yield* sleep(100);
        } finally {
          log.push(`${name} at ${now()}`);
        }
      }
      log.push(String(yield* moveOnAfter(5, race([operand("a"), operand("b")]))));
      return log;
    });
    expect(seen).toEqual(["a at 5", "b at 5", "undefined"]);
  });

  test("an operand that ends by its own cancellation has ended: it is thrown as CancelledError, not waited for for ever", () => {
    const error = failureOf(() =>
      race([
        function* () {
          currentTask().cancel("myself");
          yield* sleep(1);
        },
      ]),
    );
    expect(error).toBeInstanceOf(CancelledError);
  });

  test("it takes one value from a source that gives one: the others leave it alone", () => {
    const seen = simulated(function* () {
      const [a, b] = [new Future<string>(), new Future<string>()];
      const racing = spawn(() => race([a, b]));
      yield* sleep(1);
      b.resolve("b");
      const first = yield* racing;
      a.resolve("a");
      return [first, yield* a];
    });
    expect(seen).toEqual(["b", "a"]);
  });

  test("may be nested, and may stand in scopes that end early", () => {
    const seen = simulated(function* () {
      const value = yield* scope(() => race([() => race([after(9, "x"), after(4, "inner")]), after(6, "outer")]));
      return [value, now()];
    });
    expect(seen).toEqual(["inner", 4]);
  });
});
