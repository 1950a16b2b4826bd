import {
  CancelledError,
  currentTask,
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
import { describe, expect, expectTypeOf, test } from "vitest";
import { failureOf, now, simulated } from "../core/simulated.ts";

function* after<T>(ms: number, value: T): Coroutine<T> {
  yield* sleep(ms);
  return value;
}

function* fail(ms: number, error: unknown): Coroutine<never> {
  yield* sleep(ms);
  throw error;
}

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
