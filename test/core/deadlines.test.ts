/**
 * Deadlines: inherited, nested, moved; and what shields let through.
 */
import {
  Cancelled,
  currentScope,
  currentTask,
  moveOnAfter,
  scope,
  shield,
  sleep,
  spawn,
  timeout,
  TimeoutError,
  yieldNow,
} from "fibril";
import type { Coroutine, Scope } from "fibril";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated } from "./simulated.ts";

/** What happened, and when. */
function* outcomeOf(body: () => Coroutine<unknown>): Coroutine<string> {
  try {
    return `${String(yield* body())} at ${now()}`;
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    return `${(error as Error).name} ${(error as { limitMs?: number }).limitMs ?? ""} at ${now()}`;
  }
}

describe("the effective deadline", () => {
  test("is the earliest of all enclosing scopes, up to a shield", () => {
    const seen = simulated(function* () {
      const found: number[] = [currentScope().effectiveDeadline];
      yield* timeout(100, function* () {
        yield* sleep(1);
        found.push(currentScope().effectiveDeadline);
        yield* moveOnAfter(1000, function* () {
          found.push(currentScope().effectiveDeadline, currentScope().deadline);
          yield* shield(function* () {
            found.push(currentScope().effectiveDeadline);
            yield* timeout(50, function* () {
              found.push(currentScope().effectiveDeadline);
            });
          });
        });
      });
      found.push(currentScope().effectiveDeadline);
      return found;
    });
    expect(seen).toEqual([Infinity, 100, 100, 1001, Infinity, 51, Infinity]);
  });

  test("holds for the tasks that were spawned inside, and for theirs", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      function* child(depth: number): Coroutine<void> {
        if (depth > 0) spawn(child, depth - 1);
        try {
          log.push(`effective ${currentScope().effectiveDeadline}`);
          yield* sleep(100);
        } finally {
          log.push(`${depth} ends at ${now()}`);
        }
      }
      log.push(
        yield* outcomeOf(function* () {
          return yield* timeout(10, function* () {
            spawn(child, 1);
            yield* sleep(100);
          });
        }),
      );
      return log;
    });
    expect(seen.toSorted()).toEqual([
      "0 ends at 10",
      "1 ends at 10",
      "TimeoutError 10 at 10",
      "effective 10",
      "effective 10",
    ]);
  });
});

describe("nested timeouts", () => {
  test("the outer one first: only the outer one reports", () => {
    const inner = simulated(function* () {
      const log: string[] = [];
      log.push(
        yield* outcomeOf(() =>
          timeout(1, function* () {
            log.push(yield* outcomeOf(() => timeout(2, sleep(100))));
          }),
        ),
      );
      return log;
    });
    expect(inner).toEqual(["TimeoutError 1 at 1"]);
  });

  test("both at the same time: only the outer one reports", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      log.push(yield* outcomeOf(() => timeout(5, () => outcomeOf(() => timeout(5, sleep(100))))));
      return [...log, now()];
    });
    expect(seen).toEqual(["TimeoutError 5 at 5", 5]);
  });

  test("the inner one first, then the outer one: each reports its own", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      log.push(
        yield* outcomeOf(() =>
          timeout(3, function* () {
            log.push(yield* outcomeOf(() => timeout(1, sleep(100))));
            yield* sleep(100);
          }),
        ),
      );
      return log;
    });
    expect(seen).toEqual(["TimeoutError 1 at 1", "TimeoutError 3 at 3"]);
  });

  test("the outer one while the inner one cleans up: the cleanup completes, the inner one reports, then the outer one", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      log.push(
        yield* outcomeOf(() =>
          timeout(3, function* () {
            log.push(
              yield* outcomeOf(() =>
                timeout(1, function* () {
                  try {
                    yield* sleep(100);
                  } finally {
                    yield* sleep(5);
                    log.push(`clean at ${now()}`);
                  }
                }),
              ),
            );
            yield* sleep(100);
            log.push("not reached");
          }),
        ),
      );
      return log;
    });
    expect(seen).toEqual(["clean at 6", "TimeoutError 1 at 6", "TimeoutError 3 at 6"]);
  });
});

describe("timeouts and other cancellations", () => {
  test("a cancellation from elsewhere stays a cancellation when the time has not run out", () => {
    const seen = simulated(function* () {
      const task = spawn(() => timeout(100, sleep(1000)));
      yield* sleep(1);
      yield* task.cancel("foreign");
      return task.outcome;
    });
    expect(seen).toMatchObject({ status: "cancelled", cancelled: { reason: "foreign" } });
  });

  test("a cancellation that was swallowed before does not confuse a later timeout", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        try {
          yield* sleep(100);
        } catch {
          log.push("swallowed");
        }
        log.push(yield* outcomeOf(() => timeout(3, sleep(100))));
      });
      yield* sleep(1);
      yield* task.cancel();
      return log;
    });
    expect(seen).toEqual(["swallowed", "TimeoutError 3 at 4"]);
  });

  test("both the timeout and a cancellation from outside, in the same turn: the outer one wins", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        log.push(yield* outcomeOf(() => timeout(5, sleep(100))));
      });
      yield* sleep(5);
      yield* task.cancel();
      return [...log, task.outcome?.status];
    });
    // The timer came first, so the timeout reports; the cancellation finds no further wait.
    expect(seen).toEqual(["TimeoutError 5 at 5", "succeeded"]);
  });

  test("an error of the cleanup wins over the timeout", () => {
    const error = new Error("cleanup");
    expect(
      failureOf(() =>
        timeout(1, function* () {
          try {
            yield* sleep(100);
          } finally {
            // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
            throw error;
          }
        }),
      ),
    ).toBe(error);
  });

  test("a task that the body left behind is bounded as well", () => {
    const seen = simulated(function* () {
      return yield* outcomeOf(() =>
        timeout(5, function* () {
          spawn(() => sleep(100));
          return "value";
        }),
      );
    });
    expect(seen).toBe("TimeoutError 5 at 5");
  });
});

describe("a shield", () => {
  test("holds a cancellation from outside back until its body has ended; it is thrown at the next wait", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        const value = yield* shield(function* () {
          yield* sleep(5);
          log.push(`saved at ${now()}`);
          return "kept";
        });
        log.push(value);
        yield* sleep(1);
        log.push("not reached");
      });
      yield* sleep(1);
      yield* task.cancel();
      return [...log, now()];
    });
    expect(seen).toEqual(["saved at 5", "kept", 5]);
  });

  test("a deadline inside of it still fires", () => {
    const seen = simulated(function* () {
      const task = spawn(() => shield(() => outcomeOf(() => timeout(3, sleep(100)))));
      yield* sleep(1);
      task.cancel();
      return yield* task;
    });
    expect(seen).toBe("TimeoutError 3 at 3");
  });

  test("a deadline around it waits for it", () => {
    const seen = simulated(function* () {
      return [
        yield* outcomeOf(() => timeout(3, () => shield(() => sleep(10)))),
        yield* outcomeOf(() =>
          timeout(3, function* () {
            yield* shield(sleep(10));
            yield* sleep(1);
          }),
        ),
      ];
    });
    expect(seen).toEqual(["undefined at 10", "TimeoutError 3 at 20"]);
  });

  test("tasks that are spawned inside of it are shielded too", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        yield* shield(function* () {
          spawn(function* () {
            yield* sleep(5);
            log.push(`child at ${now()}`);
          });
        });
        yield* sleep(1);
        log.push("not reached");
      });
      yield* yieldNow();
      yield* task.cancel();
      return log;
    });
    expect(seen).toEqual(["child at 5"]);
  });

  test("entered when the task is cancelled already, it works all the same", () => {
    const seen = simulated(function* () {
      const task = spawn(function* () {
        currentTask().cancel();
        yield* shield(sleep(3));
        const at = now();
        try {
          yield* sleep(1);
        } finally {
          expect(at).toBe(3);
        }
      });
      yield* task.cancel();
      return [task.outcome?.status, now()];
    });
    expect(seen).toEqual(["cancelled", 3]);
  });

  test("a failure inside of it is thrown, and the held cancellation does not hide it", () => {
    const error = new Error("inside");
    const seen = simulated(function* () {
      const task = spawn(function* () {
        try {
          yield* shield(function* () {
            yield* sleep(2);
            throw error;
          });
        } catch (it) {
          return it;
        }
        return undefined;
      });
      yield* sleep(1);
      task.cancel();
      return yield* task;
    });
    expect(seen).toBe(error);
  });

  test("in a shield in a cancelled scope: cancelling the shield's own scope gets through", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      let inner: Scope | undefined = undefined;
      const task = spawn(() =>
        shield(() =>
          outcomeOf(() =>
            scope(function* (it) {
              inner = it;
              yield* sleep(100);
            }),
          ),
        ),
      );
      yield* sleep(1);
      task.cancel();
      yield* sleep(1);
      expect(task.state).toBe("waiting");
      (inner as unknown as Scope).cancel();
      log.push(yield* task);
      return log;
    });
    expect(seen).toEqual(["CancelledError  at 2"]);
  });
});

describe("a deadline that is moved", () => {
  test("later, earlier, into the past, and away", () => {
    function* limited(move: (it: Scope) => void): Coroutine<string> {
      return yield* outcomeOf(() =>
        moveOnAfter(10, function* () {
          const own = currentScope();
          yield* sleep(2);
          move(own);
          yield* sleep(50);
          return "done";
        }),
      );
    }
    const times = [
      (it: Scope) => (it.deadline += 5),
      (it: Scope) => (it.deadline = 4),
      (it: Scope) => (it.deadline = 0),
      (it: Scope) => (it.deadline = Infinity),
    ];
    const seen = times.map((move) => simulated(() => limited(move)));
    expect(seen).toEqual(["undefined at 15", "undefined at 4", "undefined at 2", "done at 52"]);
  });

  test("says what it is at every moment, and NaN is refused", () => {
    simulated(function* () {
      yield* scope(
        function* (own) {
          expect([own.deadline, own.effectiveDeadline]).toEqual([10, 10]);
          own.deadline = 20;
          expect(own.deadline).toBe(20);
          expect(() => (own.deadline = NaN)).toThrow(/number/);
          expect(own.deadline).toBe(20);
          yield* sleep(15);
          own.deadline = Infinity;
          expect(own.deadline).toBe(Infinity);
        },
        { timeoutMs: 10 },
      );
    });
  });

  test("after the scope was cancelled, or has ended, changes nothing", () => {
    const seen = simulated(function* () {
      const kept = yield* scope(function* (own) {
        return own;
      });
      kept.deadline = 5;
      yield* sleep(10);
      const error = yield* outcomeOf(() =>
        scope(function* (own) {
          own.cancel();
          own.deadline = now() + 100;
          yield* sleep(1);
        }),
      );
      return [kept.cancelled, error];
    });
    expect(seen).toEqual([null, "CancelledError  at 10"]);
  });

  test("a scope that ended in time leaves no timer", () => {
    simulated(function* () {
      for (let i = 0; i < 100; i++) yield* timeout(1000, yieldNow());
    });
  });
});

test("the TimeoutError names what it was, and the limit", () => {
  function* loadPage(): Coroutine<void> {
    yield* sleep(100);
  }
  const error = failureOf(() => timeout(30, loadPage));
  expect(error).toBeInstanceOf(TimeoutError);
  expect(error).toMatchObject({
    code: "TIMEOUT",
    limitMs: 30,
    message: expect.stringMatching(/"loadPage".*30 ms/) as string,
  });
});
