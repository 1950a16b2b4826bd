/**
 * Calls as frames on the task's own stack: the same meaning as native delegation, at any depth.
 */
import { CancelledError, coroutine, sleep, spawn, UsageError, yieldNow } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { describe, expect, expectTypeOf, test } from "vitest";
import { failureOf, now, simulated, thrownBy } from "./simulated.ts";

const DEEP = 100_000;

const sum = coroutine(function* sum(n: number): Coroutine<number> {
  return n === 0 ? 0 : n + (yield* sum(n - 1));
});

const sumWithWait = coroutine(function* sumWithWait(n: number): Coroutine<number> {
  if (n === 0) {
    yield* sleep(5);
    return 0;
  }
  return n + (yield* sumWithWait(n - 1));
});

describe("coroutine()", () => {
  test("gives back the very same function, of the same type", () => {
    function* greet(name: string, loud = false): Coroutine<string> {
      yield* yieldNow();
      return loud ? name.toUpperCase() : name;
    }
    const same = coroutine(greet);
    expect(same).toBe(greet);
    expectTypeOf(same).toEqualTypeOf(greet);
    expect(same.length).toBe(1);
  });

  test("names the function when asked", () => {
    const fn = coroutine("fetch all", function* () {});
    expect(fn.name).toBe("fetch all");
    expect(simulated(() => ({ [Symbol.iterator]: () => nameOfTask(fn) }))).toBe("fetch all");
  });

  function* nameOfTask(fn: () => Operation<void>): Coroutine<string> {
    const task = spawn(fn);
    yield* task;
    return task.name;
  }

  test.each([
    ["an arrow function", () => () => sleep(1)],
    ["an async generator", () => async function* () {}],
    ["an async function", () => async () => {}],
    ["nothing", () => undefined],
    ["a class", () => class {}],
  ])("refuses %s", (_, make) => {
    expect(thrownBy(() => coroutine(make() as never))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => coroutine("name", make() as never))).toBeInstanceOf(UsageError);
  });

  test("its calls may be spawned, delegated to from plain generators, and mixed at will", () => {
    function* plain(n: number): Coroutine<number> {
      return n === 0 ? 0 : 1 + (yield* framed(n - 1));
    }
    const framed = coroutine(function* framed(n: number): Coroutine<number> {
      yield* yieldNow();
      return n === 0 ? 0 : 1 + (yield* plain(n - 1));
    });
    expect(
      simulated(function* () {
        const task = spawn(framed, 9);
        return [yield* task, yield* plain(6), yield* framed(0)];
      }),
    ).toEqual([9, 6, 0]);
  });

  test("a call that has ended gives undefined when it is delegated to again, as a native one does", () => {
    const once = coroutine(function* once(): Coroutine<number> {
      return 1;
    });
    expect(
      simulated(function* () {
        const call = once();
        return [yield* call, yield* call];
      }),
    ).toEqual([1, undefined]);
  });

  test("several calls of one function in several tasks keep apart", () => {
    const count = coroutine(function* count(n: number): Coroutine<string> {
      let text = "";
      for (let i = 0; i < n; i++) {
        yield* sleep(1);
        text += n;
      }
      return text;
    });
    const texts = simulated(function* () {
      const tasks = [3, 1, 2].map((n) => spawn(count, n));
      const found: string[] = [];
      for (const task of tasks) found.push(yield* task);
      return found;
    });
    expect(texts).toEqual(["333", "1", "22"]);
  });
});

describe("depth", () => {
  test("recursion 100,000 frames deep works, with and without a wait at the bottom", () => {
    const expected = (DEEP * (DEEP + 1)) / 2;
    expect(simulated(() => sum(DEEP))).toBe(expected);
    expect(simulated(() => sumWithWait(DEEP))).toBe(expected);
  });

  test("an error crosses 100,000 frames and is the same object", () => {
    const error = new Error("at the bottom");
    const fall = coroutine(function* fall(n: number): Coroutine<void> {
      if (n === 0) throw error;
      yield* fall(n - 1);
    });
    expect(failureOf(() => fall(DEEP))).toBe(error);
  });

  test("a cancellation unwinds 100,000 frames, and every finally runs once", () => {
    let cleaned = 0;
    const deep = coroutine(function* deep(n: number): Coroutine<void> {
      try {
        if (n === 0) yield* sleep(1000);
        else yield* deep(n - 1);
      } finally {
        cleaned++;
      }
    });
    simulated(function* () {
      const task = spawn(deep, DEEP);
      yield* sleep(1);
      yield* task.cancel();
      expect([task.outcome?.status, now()]).toEqual(["cancelled", 1]);
    });
    expect(cleaned).toBe(DEEP + 1);
  });

  test("resuming runs only the innermost frame: the callers are not entered", () => {
    const steps: string[] = [];
    const inner = coroutine(function* inner(): Coroutine<void> {
      for (let i = 0; i < 3; i++) {
        yield* yieldNow();
        steps.push("inner");
      }
    });
    const outer = coroutine(function* outer(): Coroutine<void> {
      const call = inner();
      const { next } = call;
      call.next = function (...args) {
        steps.push("next");
        return next.apply(this, args);
      };
      yield* call;
      steps.push("outer");
    });
    simulated(() => outer());
    expect(steps.filter((it) => it !== "next")).toEqual(["inner", "inner", "inner", "outer"]);
  });
});

describe("errors", () => {
  test("may be caught in any frame on the way, and the task goes on", () => {
    const thrower = coroutine(function* thrower(): Coroutine<never> {
      yield* yieldNow();
      throw new RangeError("deep");
    });
    const catcher = coroutine(function* catcher(): Coroutine<string> {
      try {
        yield* thrower();
      } catch (error) {
        yield* sleep(2);
        return `caught ${(error as Error).message} at ${now()}`;
      }
      return "nothing";
    });
    expect(simulated(() => catcher())).toBe("caught deep at 2");
  });

  test("what is no error crosses frames as it is", () => {
    for (const thrown of [undefined, null, "text", 7, { frozen: true }, Object.freeze(new Error("frozen"))]) {
      const thrower = coroutine(function* thrower(): Coroutine<never> {
        yield* yieldNow();
        throw thrown;
      });
      const caller = coroutine(function* caller(): Coroutine<void> {
        yield* thrower();
      });
      expect(failureOf(() => caller())).toBe(thrown);
    }
  });

  const fc = coroutine(function* fc(): Coroutine<void> {
    yield* sleep(1);
    throw new Error("with a stack");
  });
  function* plain(): Coroutine<void> {
    yield* fc();
  }
  const fb = coroutine(function* fb(): Coroutine<void> {
    yield* plain();
  });
  const fa = coroutine(function* fa(): Coroutine<void> {
    yield* fb();
  });

  test("their stack shows the logical call chain, once, without the library", () => {
    const { stack } = failureOf(() => fa()) as Error;
    const own = stack!.split("\n").filter((line) => line.includes("coroutine.test.ts"));
    expect(own.map((line) => /at (\w+)/.exec(line)?.[1])).toEqual(["fc", "plain", "fb", "fa"]);
    expect(stack).not.toMatch(/src\/core/);
    expect(stack!.startsWith("Error: with a stack\n")).toBe(true);
  });

  const calling = coroutine(function* calling(fn: () => Operation<void>): Coroutine<void> {
    yield* fn();
  });

  test("one whose stack cannot be written crosses frames as it is", () => {
    const error = Object.defineProperty(new Error("fixed"), "stack", { value: "fixed", writable: false });
    const thrower = coroutine(function* thrower(): Coroutine<never> {
      yield* yieldNow();
      throw error;
    });
    expect(failureOf(() => calling(thrower))).toBe(error);
  });

  test("one that is thrown on by a hundred frames keeps a short stack", () => {
    const deep = coroutine(function* deep(n: number): Coroutine<void> {
      if (n === 0) throw new Error("deep");
      yield* deep(n - 1);
    });
    const { stack } = failureOf(() => deep(100)) as Error;
    expect(stack!.split("\n").length).toBeLessThan(60);
  });
});

describe("try and finally", () => {
  test("run innermost first, in each frame once, also when they wait", () => {
    const log: string[] = [];
    function level(name: string, body: () => Operation<void>): () => Operation<void> {
      return coroutine(function* () {
        try {
          yield* body();
          log.push(`${name} returned`);
        } catch (error) {
          log.push(`${name} caught ${error instanceof Error ? error.message : "a cancellation"}`);
          throw error;
        } finally {
          yield* sleep(1);
          log.push(`${name} finally at ${now()}`);
        }
      });
    }
    simulated(function* () {
      yield* level(
        "a",
        level("b", () => sleep(5)),
      )();
      const task = spawn(
        level(
          "c",
          level("d", () => sleep(100)),
        ),
      );
      yield* sleep(3);
      try {
        task.cancel("enough");
        yield* task;
      } catch (error) {
        log.push(error instanceof CancelledError ? "joined" : String(error));
      }
    });
    expect(log).toEqual([
      "b returned",
      "b finally at 6",
      "a returned",
      "a finally at 7",
      "d caught a cancellation",
      "d finally at 11",
      "c caught a cancellation",
      "c finally at 12",
      "joined",
    ]);
  });

  test("a finally that returns takes the place of the error, as in any function", () => {
    const stubborn = coroutine(function* stubborn(): Coroutine<string> {
      try {
        yield* yieldNow();
        throw new Error("lost on purpose");
      } finally {
        // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
        return "returned";
      }
    });
    expect(simulated(() => stubborn())).toBe("returned");
  });
});
