/**
 * The contract of suspension: what may stand between a coroutine and its wait, and what happens to those who break it.
 */
import { coroutine, ForeignYieldError, Future, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import type { Coroutine, Operation, Suspend, Task } from "fibril";
import { Wait, WaitQueue } from "fibril/lowlevel";
import type { Started, Waiter } from "fibril/lowlevel";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated, thrownBy } from "./simulated.ts";

/** Counts how often it is started and withdrawn; wakes when told. */
class Counted extends Wait<string> {
  starts = 0;
  withdrawals = 0;
  #waiter: Waiter | null = null;

  get reason(): string {
    return "counted";
  }

  protected start(task: Waiter): Started<string> {
    this.starts++;
    this.#waiter = task;
    return task.park(this);
  }

  withdraw(): boolean {
    this.withdrawals++;
    return true;
  }

  wake(value: string): boolean {
    return this.#waiter!.wake(this, value);
  }
}

/** A generator that hands on by hand what `yield*` would hand on by itself. */
function* byHand<T>(operation: Operation<T>): Coroutine<T> {
  const iterator = operation[Symbol.iterator]();
  for (;;) {
    const result = iterator.next();
    if (result.done === true) return result.value;
    yield result.value;
  }
}

function* stealToken(): Coroutine<unknown> {
  const iterator = yieldNow()[Symbol.iterator]();
  const { value } = iterator.next();
  yield value as Suspend;
  iterator.next();
  return value;
}

describe("a pending wait", () => {
  test("may be resumed at any time: nothing is started twice, nothing goes on", () => {
    const wait = new Counted();
    const result = simulated(function* () {
      const after: string[] = [];
      const task = spawn(function* () {
        const value = yield* wait;
        after.push(value);
        return value;
      });
      yield* yieldNow();
      for (let i = 0; i < 100; i++) task.awaitStack(); // resumes the whole chain down to the wait
      expect([wait.starts, after, task.state, task.steps]).toEqual([1, [], "waiting", 1]);
      wait.wake("woken");
      for (let i = 0; i < 100; i++) task.awaitStack(); // and while it is ready to go on
      expect([after, task.state, task.steps]).toEqual([[], "ready", 1]);
      return yield* task;
    });
    expect([result, wait.starts, wait.withdrawals]).toEqual(["woken", 1, 0]);
  });

  test("ends once: of several wake-ups the first one counts, and a late one changes nothing", () => {
    const wait = new Counted();
    simulated(function* () {
      const task = spawn(function* () {
        const value = yield* wait;
        yield* sleep(5);
        return value;
      });
      yield* yieldNow();
      expect([wait.wake("one"), wait.wake("two")]).toEqual([true, false]);
      yield* yieldNow();
      expect([task.waitingFor, wait.wake("three")]).toEqual(["sleep 5 ms", false]);
      expect([yield* task, now()]).toEqual(["one", 5]);
    });
  });

  test("is not woken into the caller: waking only makes its task ready", () => {
    simulated(function* () {
      const future = new Future<void>();
      const log: string[] = [];
      spawn(function* () {
        yield* future;
        log.push("resumed");
      });
      yield* yieldNow();
      future.resolve();
      log.push("after resolve");
      yield* yieldNow();
      yield* yieldNow();
      expect(log).toEqual(["after resolve", "resumed"]);
    });
  });

  test("that cannot be withdrawn goes on to its value; the cancellation comes at the next wait", () => {
    class Stubborn extends Counted {
      override withdraw(): boolean {
        super.withdraw();
        return false;
      }
    }
    const wait = new Stubborn();
    const log: string[] = [];
    simulated(function* () {
      const task = spawn(function* () {
        log.push(yield* wait);
        yield* sleep(1);
        log.push("not reached");
      });
      yield* yieldNow();
      task.cancel();
      yield* sleep(3);
      wait.wake("kept");
      yield* task.cancel();
      expect([task.outcome?.status, now()]).toEqual(["cancelled", 3]);
    });
    expect([log, wait.withdrawals]).toEqual([["kept"], 1]);
  });

  test("a withdraw that throws is reported, and the cancellation reaches everybody all the same", () => {
    const error = new Error("cannot let go");
    class Broken extends Counted {
      override withdraw(): boolean {
        throw error;
      }
    }
    const log: string[] = [];
    const { outcome, leaks, reports } = simulateSync(function* () {
      try {
        yield* scope(function* (own) {
          own.spawn(() => new Broken());
          own.spawn(function* () {
            try {
              yield* sleep(50);
            } finally {
              log.push(`sibling at ${now()}`);
            }
          });
          yield* sleep(1);
          own.cancel();
          yield* sleep(50);
        });
      } catch {
        // CancelledError.
      }
      return now();
    });
    expect({ outcome, leaks, log }).toEqual({
      outcome: { status: "succeeded", value: 1 },
      leaks: [],
      log: ["sibling at 1"],
    });
    expect(reports.map((it) => it.error)).toEqual([error]);
  });

  test("is not started at all when a cancellation is pending", () => {
    const wait = new Counted();
    simulated(function* () {
      const task = spawn(() => wait);
      yield* task.cancel();
    });
    expect([wait.starts, wait.withdrawals]).toEqual([0, 0]);
  });
});

describe("what is no operation", () => {
  const line = "at the line";

  test("a raw yield is a ForeignYieldError, thrown at that yield", () => {
    const caught = simulated(function* () {
      try {
        yield 42 as never;
      } catch (error) {
        expect(error).toBeInstanceOf(ForeignYieldError);
        expect(error).toMatchObject({ code: "FOREIGN_YIELD" });
        yield* sleep(1); // and the task is unharmed
        return `${line}: ${(error as Error).message}`;
      }
      return "nothing";
    });
    expect(caught).toMatch(/^at the line: task "main" yielded 42; write `yield\*`/);
  });

  test("it passes through delegation and frames to whoever catches", () => {
    const inner = coroutine(function* inner(): Coroutine<void> {
      yield "x" as never;
    });
    function* outer(): Coroutine<string> {
      try {
        yield* inner();
      } catch (error) {
        return (error as ForeignYieldError).code;
      }
      return "nothing";
    }
    expect(simulated(outer)).toBe("FOREIGN_YIELD");
  });

  test("a yielded promise is told to go through until()", () => {
    const error = failureOf(function* () {
      yield Promise.resolve() as never;
    });
    expect(error).toBeInstanceOf(ForeignYieldError);
    expect((error as Error).message).toContain("yield* until(promise)");
  });

  test.each([
    ["sleep", () => sleep(1)],
    ["a coroutine", () => byHand(sleep(1))],
    ["a future", () => new Future()],
    ["a task", () => spawn(() => sleep(1))],
  ])("the star forgotten before %s is told to write the star", (_, make) => {
    const error = failureOf(function* () {
      yield make() as never;
    });
    expect(error).toBeInstanceOf(ForeignYieldError);
    expect((error as Error).message).toContain("with a star");
  });

  test("the token of the shared suspension, yielded without a wait, is refused", () => {
    const error = failureOf(
      function* () {
        const token = yield* spawn(stealToken);
        yield token as never;
      },
      { onReport: () => {} },
    );
    expect(error).toMatchObject({ code: "FOREIGN_YIELD" });
  });

  test.each([
    ["undefined", () => undefined, /"lost" is no coroutine/],
    ["a promise", () => Promise.resolve(), /until\(\)/],
    ["a string", () => "text", /got "text"/],
    ["a number", () => 7, /got 7/],
    [
      "an async generator",
      async function* () {},
      /got an object of class AsyncGenerator; write function\* instead of async/,
    ],
  ])("spawning a function that gives %s is refused at once, with advice", (_, make, message) => {
    const error = thrownBy(() =>
      simulated(function* () {
        spawn({ name: "lost" }, make as never);
        yield* sleep(1);
      }),
    );
    expect(error).toMatchObject({ code: "NOT_AN_OPERATION" });
    expect((error as Error).message).toMatch(message);
  });

  test("spawning a coroutine instead of its function is refused, and the message says what to write", () => {
    function* job(): Coroutine<void> {
      yield* sleep(1);
    }
    const error = thrownBy(() =>
      simulated(function* () {
        spawn(job() as never);
        yield* sleep(1);
      }),
    );
    expect(error).toMatchObject({
      code: "NOT_A_FUNCTION",
      message: "spawn takes a function here, got an object of class Generator; pass its function: () => job(1)",
    });
  });

  test("what has no name is not called by an empty one", () => {
    const error = thrownBy(() => simulated((() => Promise.resolve()) as never));
    expect((error as Error).message).not.toMatch(/""/);
    const inside = thrownBy(() =>
      simulated(function* () {
        spawn((() => 7) as never);
        yield* sleep(1);
      }),
    );
    expect((inside as Error).message).toMatch(/^"the function" is no coroutine/);
  });

  test("spawning a function that gives a list is refused with advice", () => {
    const error = failureOf(function* () {
      yield* spawn((() => [1, 2]) as never);
    });
    expect(error).toBeInstanceOf(UsageError);
  });
});

describe("an operation outside a coroutine", () => {
  test.each([
    ["sleep", () => sleep(10), "sleep 10 ms"],
    ["yieldNow", () => yieldNow(), "its next turn"],
    ["a future", () => new Future({ name: "answer" }), "answer"],
    ["a queue", () => new WaitQueue().park("lock"), "lock"],
  ])("%s says that it has no task and what to do", (_, make, reason) => {
    const error = thrownBy(() => make()[Symbol.iterator]().next());
    expect(error).toMatchObject({ code: "OUTSIDE_TASK" });
    expect((error as Error).message).toContain(`"${reason}" was started outside a coroutine`);
  });

  test("so do scopes, and framed coroutines", () => {
    const framed = coroutine(function* framed(): Coroutine<void> {});
    function* caller(): Coroutine<void> {
      yield* framed();
    }
    expect(thrownBy(() => scope(() => sleep(1)).next())).toMatchObject({ code: "OUTSIDE_TASK" });
    expect(thrownBy(() => caller().next())).toBeInstanceOf(UsageError);
  });
});

describe("a wrapper generator written by hand", () => {
  const framed = coroutine(function* framed(ms: number): Coroutine<string> {
    yield* sleep(ms);
    return `slept ${ms}`;
  });

  test.each<[string, (ms: number) => Operation<unknown>]>([
    ["sleep", (ms) => sleep(ms)],
    ["a framed coroutine", framed],
    ["a scope", (ms) => scope(() => sleep(ms))],
    ["a wrapper of a wrapper", (ms) => byHand(sleep(ms))],
  ])("around %s: the operation is unharmed, the wrapper is reported once", (_, make) => {
    const { outcome, reports, leaks } = simulateSync(function* () {
      yield* byHand(make(5));
      yield* byHand(make(7));
      return now();
    });
    expect(outcome).toEqual({ status: "succeeded", value: 12 });
    expect(leaks).toEqual([]);
    // V8 hands the shared result through `yield`, but a generator's own yield makes a new one.
    expect(reports.map((it) => it.kind)).toEqual(["wrapped-yield"]);
    expect(reports[0]!.message).toContain('task "main"');
  });

  test("it may be looked at while it waits", () => {
    const { outcome } = simulateSync(function* () {
      const task = spawn(() => byHand(framed(5)));
      yield* sleep(1);
      for (let i = 0; i < 10; i++) task.awaitStack();
      return [yield* task, now()];
    });
    expect(outcome).toEqual({ status: "succeeded", value: ["slept 5", 5] });
  });

  test("a cancellation goes through it, and its cleanup may wait", () => {
    const log: string[] = [];
    const { outcome, leaks } = simulateSync(function* () {
      const task = spawn(function* () {
        try {
          yield* byHand(framed(100));
          log.push("not reached");
        } finally {
          log.push(`cleanup at ${now()}`);
          yield* byHand(sleep(2));
          log.push(`clean at ${now()}`);
        }
      });
      yield* sleep(1);
      yield* task.cancel();
      return task.outcome?.status;
    });
    expect(outcome).toEqual({ status: "succeeded", value: "cancelled" });
    expect([log, leaks]).toEqual([["cleanup at 1", "clean at 3"], []]);
  });

  test("one that yields something of its own in between gets the error, and the wait is withdrawn", () => {
    const wait = new Counted();
    simulated(function* () {
      const task = spawn(function* () {
        const iterator = wait[Symbol.iterator]();
        iterator.next();
        try {
          yield "mine" as never;
        } catch (error) {
          yield* sleep(1);
          return error instanceof ForeignYieldError;
        }
        return false;
      });
      expect(yield* task).toBe(true);
    });
    expect([wait.starts, wait.withdrawals]).toEqual([1, 1]);
  });
});

describe("waits by hand", () => {
  test("two waits at once are refused, and name both", () => {
    const message = simulated(function* () {
      const task: Task<string> = spawn(function* () {
        const first = sleep(10)[Symbol.iterator]();
        const second = new Future({ name: "second" })[Symbol.iterator]();
        first.next();
        const refused = thrownBy(() => second.next());
        expect(refused).toMatchObject({ code: "ALREADY_WAITING" });
        return (refused as Error).message;
      });
      return yield* task;
    });
    expect(message).toContain('began to wait for "second" while it waits for "sleep 10 ms"');
  });

  test("a wait that is let go of is withdrawn when its task ends", () => {
    const wait = new Counted();
    simulated(function* () {
      yield* spawn(function* () {
        wait[Symbol.iterator]().next();
      });
      yield* sleep(1);
    });
    expect([wait.starts, wait.withdrawals, wait.wake("late")]).toEqual([1, 1, false]);
  });

  test("a wait that is let go of and woken in the same step does not break its task", () => {
    const value = simulated(function* () {
      const task = spawn(function* () {
        const future = new Future<number>();
        future[Symbol.iterator]().next();
        future.resolve(1);
        return 5;
      });
      return yield* task;
    });
    expect(value).toBe(5);
  });

  test("throwing into a wait by hand withdraws it, so that the coroutine may clean up", () => {
    const log = simulated(
      function* () {
        const seen: unknown[] = [];
        function* guarded(): Coroutine<void> {
          try {
            yield* sleep(100);
          } catch (error) {
            seen.push(error);
            yield* sleep(1);
            seen.push(now());
          }
        }
        function* impatient(): Coroutine<void> {
          const inner = guarded();
          inner.next();
          let result: IteratorResult<Suspend, void> = inner.throw("enough");
          while (result.done !== true) {
            yield result.value;
            result = inner.next();
          }
        }
        yield* spawn(impatient);
        return seen;
      },
      { onReport: () => {} },
    );
    expect(log).toEqual(["enough", 1]);
  });
});

describe("an operation that completes at once", () => {
  test("does not suspend: its task keeps the turn", () => {
    const order = simulated(function* () {
      const log: string[] = [];
      const settled = new Future<number>();
      settled.resolve(1);
      spawn(function* () {
        log.push("other");
      });
      for (let i = 0; i < 3; i++) log.push(`got ${yield* settled}`);
      yield* yieldNow();
      return log;
    });
    expect(order).toEqual(["got 1", "got 1", "got 1", "other"]);
  });
});

describe("one operation in two tasks", () => {
  function* message(operation: Operation<string | void>): Coroutine<string> {
    try {
      return (yield* operation) ?? "no error";
    } catch (error) {
      return (error as Error).message;
    }
  }

  test("sleep: it has no state of its own, so both sleep", () => {
    const times = simulated(function* () {
      const shared = sleep(5);
      const woken: number[] = [];
      function* sleeper(): Coroutine<void> {
        yield* shared;
        woken.push(now());
      }
      spawn(sleeper);
      yield* sleep(2);
      yield* spawn(sleeper);
      return woken;
    });
    expect(times).toEqual([5, 7]);
  });

  test("a place in a queue: the second task is told so, the first one is unharmed", () => {
    const queue = new WaitQueue<string>();
    const [first, second] = simulated(function* () {
      const shared = queue.park("the queue");
      const tasks = [spawn(message, shared), spawn(message, shared)];
      yield* sleep(1);
      queue.unpark(1, "value");
      return [yield* tasks[0]!, yield* tasks[1]!];
    });
    expect(first).toBe("value");
    expect(second).not.toBe("value");
  });

  test("the end of a task may be awaited by two, through one cancel()", () => {
    simulated(function* () {
      const task = spawn(() => sleep(100));
      yield* yieldNow();
      const end = task.cancel();
      const one = spawn(() => end);
      const two = spawn(() => end);
      yield* one;
      yield* two;
    });
  });
});
