import { all, CancelledError, currentTask, Future, sleep, spawn, suppressedErrors, timeout } from "fibril";
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

describe("all", () => {
  test("runs side by side, and gives a list in the order of the operands", () => {
    const seen = simulated(function* () {
      const values = yield* all([after(3, "a"), () => after(1, 2), sleep(2)]);
      expectTypeOf(values).toEqualTypeOf<[string, number, void]>();
      return [values, now()];
    });
    expect(seen).toEqual([["a", 2, undefined], 3]);
  });

  test("or a record under the keys of the operands", () => {
    const seen = simulated(function* () {
      const values = yield* all({ name: after(2, "ada"), age: () => after(1, 36) });
      expectTypeOf(values).toEqualTypeOf<{ name: string; age: number }>();
      return [values, now()];
    });
    expect(seen).toEqual([{ name: "ada", age: 36 }, 2]);
  });

  test("of a list of one type gives a list of that type", () => {
    const seen = simulated(function* () {
      const values = yield* all([1, 2, 3].map((n) => after(n, n)));
      expectTypeOf(values).toEqualTypeOf<number[]>();
      return values;
    });
    expect(seen).toEqual([1, 2, 3]);
  });

  test("of nothing is nothing, at once", () => {
    expect(
      simulated(function* () {
        return [yield* all([]), yield* all({}), now()];
      }),
    ).toEqual([[], {}, 0]);
  });

  test("keeps every key, whatever its name", () => {
    const seen = simulated(function* () {
      const values: object = yield* all({ ["__proto__"]: after(1, "a"), constructor: after(1, "b") } as never);
      return Object.entries(values);
    });
    expect(seen).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
  });

  test("the first failure cancels the others, waits for their cleanup, and is thrown with the later ones", () => {
    const [first, later] = [new Error("first"), new Error("later")];
    const log: string[] = [];
    const error = failureOf(() =>
      all([
        fail(5, first),
        function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(3);
            log.push(`clean at ${now()}`);
          }
        },
        function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* fail(1, later);
          }
        },
      ]),
    );
    expect(error).toBe(first);
    expect([suppressedErrors(error), log]).toEqual([[later], ["clean at 8"]]);
  });

  test("a failure of the last one does not wait for the first one", () => {
    const log = simulated(function* () {
      try {
        yield* all([sleep(1000), fail(1, new Error("last"))]);
      } catch (error) {
        return [(error as Error).message, now()];
      }
      return [];
    });
    expect(log).toEqual(["last", 1]);
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
      try {
        yield* timeout(5, all([operand("a"), operand("b")]));
      } catch (error) {
        log.push((error as Error).name);
      }
      return log;
    });
    expect(seen).toEqual(["a at 5", "b at 5", "TimeoutError"]);
  });

  test("a task among the operands is joined: cancelling does not reach it", () => {
    const seen = simulated(function* () {
      const task = spawn(after, 10, "task");
      try {
        yield* all([task, fail(1, new Error("other"))]);
      } catch {
        // Expected.
      }
      return [yield* task, now()];
    });
    expect(seen).toEqual(["task", 10]);
  });

  test("an operand that cancels itself is a CancelledError for all of it", () => {
    const error = failureOf(() =>
      all([
        function* () {
          currentTask().cancel("myself");
          yield* sleep(1);
        },
        sleep(5),
      ]),
    );
    expect(error).toBeInstanceOf(CancelledError);
    expect(error).toMatchObject({ reason: "myself" });
  });

  test("each operand is a task of its own, named after its function, its place or its key", () => {
    const seen = simulated(function* () {
      function* self(): Coroutine<string> {
        return currentTask().name;
      }
      return [...(yield* all([self, self(), () => self()])), ...Object.values(yield* all({ key: self() }))];
    });
    expect(seen).toEqual(["self", "all[0]", "all[1]", "all[2]", "all.key"].toSpliced(1, 1));
  });

  test("operands may wait for each other", () => {
    expect(
      simulated(function* () {
        const gate = new Future<number>();
        return yield* all([
          gate,
          function* () {
            yield* sleep(1);
            gate.resolve(7);
          },
        ]);
      }),
    ).toEqual([7, undefined]);
  });
});
