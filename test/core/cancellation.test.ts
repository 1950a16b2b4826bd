/**
 * What a cancellation does, claim by claim. The first group is what Fibril promises; the others are the situations in
 * which asyncio, trio, anyio and the coroutine libraries of JavaScript are known to differ or to fail.
 */
import {
  all,
  Cancelled,
  CancelledError,
  coroutine,
  currentScope,
  currentTask,
  defer,
  EventLoop,
  Future,
  moveOnAfter,
  race,
  run,
  scope,
  shield,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
  until,
  yieldNow,
} from "fibril";
import type { Coroutine, Scope, Task } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { cancelSweep, seededOrder, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated } from "./simulated.ts";

/** Spawns `body`, cancels it at `atMs`, waits for its end, and gives the log and how it ended. */
function cancelledAt(
  atMs: number,
  body: (log: string[]) => Coroutine<unknown>,
  ...options: Parameters<typeof simulated>[1][]
): string[] {
  return simulated(function* () {
    const log: string[] = [];
    const task = EventLoop.current().spawn({ name: "subject" }, body, log);
    task.then(undefined, () => {}); // its failure is looked at below
    yield* sleep(atMs);
    yield* task.cancel("test");
    const { outcome } = task;
    log.push(outcome?.status === "failed" ? `failed: ${String(outcome.error)}` : String(outcome?.status));
    return log;
  }, options[0] ?? {});
}

describe("where it arrives", () => {
  test("it is thrown at the wait where the task stands, with reason, source, time and who asked", () => {
    simulated(function* main() {
      const task = spawn(function* () {
        try {
          yield* sleep(100);
        } catch (cancelled) {
          expect(cancelled).toBeInstanceOf(Cancelled);
          expect(cancelled).toMatchObject({ reason: "because", source: "request", by: "main", at: 5 });
          expect(String(cancelled)).toContain('by "main"');
          throw cancelled;
        }
      });
      yield* sleep(5);
      yield* task.cancel("because");
      expect(task.outcome?.status).toBe("cancelled");
    });
  });

  test("it is no Error: code that handles errors does not take it for one", () => {
    const log = cancelledAt(1, function* (seen) {
      try {
        yield* sleep(100);
      } catch (error) {
        seen.push(String(error instanceof Error));
        throw error;
      }
    });
    expect(log).toEqual(["false", "cancelled"]);
  });

  test("no statement after a cancelled yield* ever runs, when the delegated finally does not wait", () => {
    const log = cancelledAt(1, function* (seen) {
      function* inner(): Coroutine<void> {
        try {
          yield* sleep(100);
        } finally {
          seen.push("inner finally");
        }
        seen.push("ZOMBIE in inner");
      }
      yield* inner();
      seen.push("ZOMBIE after inner");
    });
    expect(log).toEqual(["inner finally", "cancelled"]);
  });

  test("no statement after a cancelled yield* ever runs, when the delegated finally waits", () => {
    const log = cancelledAt(1, function* (seen) {
      function* inner(): Coroutine<void> {
        try {
          yield* sleep(100);
        } finally {
          yield* sleep(5);
          seen.push(`inner finally at ${now()}`);
        }
        seen.push("ZOMBIE in inner");
      }
      function* middle(): Coroutine<void> {
        try {
          yield* inner();
          seen.push("ZOMBIE in middle");
        } finally {
          yield* sleep(5);
          seen.push(`middle finally at ${now()}`);
        }
      }
      yield* middle();
      seen.push("ZOMBIE after middle");
    });
    expect(log).toEqual(["inner finally at 6", "middle finally at 11", "cancelled"]);
  });

  test("the same through framed calls", () => {
    const log = cancelledAt(1, function* (seen) {
      const inner = coroutine(function* inner(): Coroutine<void> {
        try {
          yield* sleep(100);
        } finally {
          yield* sleep(5);
          seen.push("inner finally");
        }
        seen.push("ZOMBIE");
      });
      const middle = coroutine(function* middle(): Coroutine<void> {
        yield* inner();
        seen.push("ZOMBIE");
      });
      yield* middle();
      seen.push("ZOMBIE");
    });
    expect(log).toEqual(["inner finally", "cancelled"]);
  });

  test("a task that was cancelled before its first step runs to its first wait", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const task = spawn(function* () {
        try {
          seen.push("began");
          yield* sleep(1);
          seen.push("not reached");
        } finally {
          seen.push("finally");
        }
      });
      yield* task.cancel();
      return [...seen, task.outcome?.status];
    });
    expect(log).toEqual(["began", "finally", "cancelled"]);
  });

  test("a task that ends without any wait has its value, although it was cancelled before it began", () => {
    const outcome = simulated(function* () {
      const task = spawn(function* () {
        return "value";
      });
      yield* task.cancel();
      return task.outcome;
    });
    expect(outcome).toEqual({ status: "succeeded", value: "value" });
  });

  test("a task that cancels itself goes on to its next wait", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const task = spawn(function* () {
        currentTask().cancel("myself");
        seen.push("still runs");
        yield* yieldNow();
        seen.push("not reached");
      });
      yield* task.cancel();
      return [...seen, task.outcome?.status];
    });
    expect(log).toEqual(["still runs", "cancelled"]);
  });

  test("a task that waits for its own cancellation is cancelled at that wait", () => {
    const log = simulated(function* () {
      const task: Task<string> = spawn(function* () {
        yield* currentTask().cancel("myself");
        return "not reached";
      });
      yield* sleep(1);
      return [task.outcome?.status, now()];
    });
    expect(log).toEqual(["cancelled", 1]);
  });

  test("it goes down the chain of joins only where it was asked: a joined task is left alone", () => {
    const log = simulated(function* () {
      const inner = spawn(function* () {
        yield* sleep(10);
        return "inner is whole";
      });
      const outer = spawn(() => inner);
      yield* sleep(1);
      yield* outer.cancel();
      return [outer.outcome?.status, yield* inner];
    });
    expect(log).toEqual(["cancelled", "inner is whole"]);
  });

  test("a wait that leaves the task leaves no trace: no timer, no place in line, no watcher", () => {
    simulated(function* () {
      const queue = new WaitQueue();
      const future = new Future<void>();
      const other = spawn(() => sleep(50));
      for (const wait of [
        () => sleep(100),
        () => queue.park("a line"),
        () => future,
        () => other,
        () => scope(() => sleep(100)),
      ]) {
        const task = spawn(function* () {
          yield* wait();
        });
        yield* yieldNow();
        yield* task.cancel();
      }
      expect([queue.size, EventLoop.current().statistics().timers]).toEqual([0, 1]); // that of `other`
      yield* other;
    });
  });
});

describe("what has happened is not undone", () => {
  test("a value that is ready is not lost: it comes first, the cancellation at the next wait", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const future = new Future<string>();
      const task = spawn(function* () {
        seen.push(yield* future);
        yield* sleep(1);
        seen.push("not reached");
      });
      yield* sleep(1);
      future.resolve("value");
      task.cancel();
      yield* task.cancel();
      return [...seen, task.outcome?.status];
    });
    expect(log).toEqual(["value", "cancelled"]);
  });

  test("an error that is ready is not replaced either", () => {
    const log = simulated(function* () {
      const future = new Future<string>();
      const task = spawn(function* () {
        try {
          yield* future;
        } catch (error) {
          return String(error);
        }
        return "nothing";
      });
      yield* sleep(1);
      future.reject("broken");
      task.cancel();
      return yield* task;
    });
    expect(log).toBe("broken");
  });

  test("a sleep that is over in the same turn is over", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      let task: Task<void> | undefined = undefined;
      spawn(function* () {
        yield* sleep(5);
        task!.cancel();
      });
      task = spawn(function* () {
        yield* sleep(5);
        seen.push(`slept until ${now()}`);
      });
      yield* sleep(10);
      return [...seen, task.outcome?.status];
    });
    expect(log).toEqual(["slept until 5", "succeeded"]);
  });

  test("a timeout and a sleep of the same length: the timeout, since its timer was set first", () => {
    const seen = simulated(function* () {
      return [yield* moveOnAfter(5, () => after(5, "value")), yield* moveOnAfter(5, () => after(4.9, "value"))];
    });
    expect(seen).toEqual([undefined, "value"]);
  });

  test("a value that the body returned after it had swallowed the timeout is the value", () => {
    expect(
      simulated(() =>
        timeout(5, function* () {
          try {
            yield* sleep(100);
          } catch {
            return 42;
          }
          return 0;
        }),
      ),
    ).toBe(42);
  });

  test("a permit is never lost, whoever is cancelled whenever", () => {
    for (const target of ["main", "stepped"] as const) {
      for (const seed of [undefined, 1, 2, 3, 4, 5]) {
        cancelSweep(
          () => {
            const queue = new WaitQueue();
            let free = 1;
            function* withPermit(): Coroutine<void> {
              if (free > 0) free--;
              else yield* queue.park("a permit");
              try {
                yield* sleep(1);
              } finally {
                if (queue.unpark(1, undefined) === 0) free++;
              }
            }
            return {
              main: () => all([withPermit, withPermit, () => timeout(2, withPermit), withPermit]),
              check: () => expect([free, queue.size]).toEqual([1, 0]),
            };
          },
          { target, mayFail: true, ...(seed === undefined ? {} : { seed }) },
        );
      }
    }
  });

  test("the winner of a race has its value, although the cancellation comes while the losers clean up", () => {
    const log = cancelledAt(11, function* (seen) {
      const value = yield* race([
        () => after(10, "value"),
        function* (): Coroutine<string> {
          try {
            yield* sleep(1000);
          } finally {
            yield* sleep(5);
          }
          return "not reached";
        },
      ]);
      seen.push(`${value} at ${now()}`);
      yield* sleep(1);
      seen.push("not reached");
    });
    expect(log).toEqual(["value at 15", "cancelled"]);
  });

  function* after<T>(ms: number, value: T): Coroutine<T> {
    yield* sleep(ms);
    return value;
  }
});

describe("cleanup", () => {
  test("in catch and finally may wait, and completes", () => {
    const log = cancelledAt(1, function* (seen) {
      try {
        yield* sleep(100);
      } catch (error) {
        yield* sleep(2);
        seen.push(`catch at ${now()}`);
        throw error;
      } finally {
        yield* sleep(2);
        seen.push(`finally at ${now()}`);
      }
    });
    expect(log).toEqual(["catch at 3", "finally at 5", "cancelled"]);
  });

  test("is not disturbed by a second cancel, nor by a third", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const task = spawn(function* () {
        try {
          yield* sleep(100);
        } finally {
          yield* sleep(10);
          seen.push(`clean at ${now()}`);
        }
      });
      for (let i = 0; i < 3; i++) {
        yield* sleep(2);
        task.cancel(i);
      }
      yield* task.cancel();
      const { outcome } = task;
      return [...seen, outcome?.status === "cancelled" ? outcome.cancelled.reason : outcome];
    });
    expect(log).toEqual(["clean at 12", 0]);
  });

  test("three cancels before delivery are one delivery; caught, the task lives on", () => {
    const log = simulated(function* () {
      let deliveries = 0;
      const task = spawn(function* () {
        try {
          yield* sleep(100);
        } catch {
          deliveries++;
        }
        yield* sleep(2);
        return `lived until ${now()}`;
      });
      yield* sleep(1);
      task.cancel();
      task.cancel();
      task.cancel();
      return [yield* task, deliveries];
    });
    expect(log).toEqual(["lived until 3", 1]);
  });

  test("a cancellation that lands while the task is in a finally anyway is thrown there; defer() is what cannot be torn", () => {
    const log = cancelledAt(2, function* (seen) {
      defer(function* () {
        yield* sleep(3);
        seen.push(`deferred at ${now()}`);
      });
      try {
        yield* sleep(1);
      } finally {
        try {
          yield* sleep(5); // the cancellation comes here, at 2
          seen.push("not reached");
        } finally {
          yield* sleep(1);
          seen.push(`inner finally at ${now()}`);
        }
      }
      seen.push("ZOMBIE");
    });
    expect(log).toEqual(["inner finally at 3", "deferred at 6", "cancelled"]);
  });

  test("an error in it wins over the cancellation, and the task has failed", () => {
    const log = cancelledAt(1, function* () {
      try {
        yield* sleep(100);
      } finally {
        yield* sleep(1);
        // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
        throw new Error("cleanup");
      }
    });
    expect(log).toEqual(["failed: Error: cleanup"]);
  });

  test("errors of a body, a cleanup and a release: all are kept, the first one is thrown", () => {
    const [body, cleanup, release] = ["body", "cleanup", "release"].map((it) => new Error(it));
    const error = failureOf(() =>
      scope(function* (own) {
        own.defer(() => {
          throw release;
        });
        own.spawn(function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(1);
            // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
            throw cleanup;
          }
        });
        yield* sleep(1);
        throw body;
      }),
    );
    expect(error).toBe(body);
    expect(suppressedErrors(error)).toEqual([cleanup, release]);
  });

  test("a cancellation that is swallowed comes back after cleanupMs", () => {
    const log = cancelledAt(
      1,
      function* (seen) {
        try {
          yield* sleep(100);
        } catch {
          seen.push("swallowed");
        }
        yield* sleep(4000);
        seen.push(`went on until ${now()}`);
        yield* sleep(4000);
        seen.push("not reached");
      },
      { onReport: () => {} },
    );
    expect(log).toEqual(["swallowed", "went on until 4001", "cancelled"]);
  });

  test("cancel() completes when the whole subtree has settled, cleanup included", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      function* child(depth: number): Coroutine<void> {
        if (depth > 0) spawn(child, depth - 1);
        try {
          yield* sleep(100);
        } finally {
          yield* sleep(depth + 1);
          seen.push(`${depth} at ${now()}`);
        }
      }
      const task = spawn(child, 3);
      yield* sleep(5);
      yield* task.cancel();
      seen.push(`cancelled at ${now()}`);
      return seen;
    });
    expect(log).toEqual(["0 at 6", "1 at 7", "2 at 8", "3 at 9", "cancelled at 9"]);
  });
});

describe("how far it reaches", () => {
  test("down to every task and scope inside, at once and in one turn", () => {
    const log = cancelledAt(3, function* (seen) {
      yield* scope(function* () {
        for (const name of ["a", "b"]) {
          spawn(function* () {
            yield* scope(function* () {
              spawn(function* () {
                try {
                  yield* sleep(100);
                } finally {
                  seen.push(`${name} at ${now()}`);
                }
              });
              yield* sleep(100);
            });
          });
        }
      });
      seen.push("ZOMBIE");
    });
    expect(log).toEqual(["a at 3", "b at 3", "cancelled"]);
  });

  test("one cancelled task of many leaves its siblings alone", () => {
    const values = simulated(function* () {
      const tasks = [1, 2, 3].map((n) =>
        spawn(function* () {
          yield* sleep(n);
          return n;
        }),
      );
      yield* tasks[1]!.cancel();
      return [yield* tasks[0]!, tasks[1]!.outcome?.status, yield* tasks[2]!];
    });
    expect(values).toEqual([1, "cancelled", 3]);
  });

  test("tasks that are spawned in a cancelled scope are started, and cancelled at their first wait", () => {
    const log = cancelledAt(1, function* (seen) {
      try {
        yield* sleep(100);
      } finally {
        spawn(function* () {
          seen.push("started");
          yield* sleep(1);
          seen.push("not reached");
        });
      }
    });
    expect(log).toEqual(["started", "cancelled"]);
  });

  test("a child that swallows it does not keep its siblings from being cancelled, and its parent waits for it", () => {
    const log = cancelledAt(1, function* (seen) {
      spawn(function* () {
        try {
          yield* sleep(100);
        } catch {
          yield* sleep(7);
          seen.push(`stubborn until ${now()}`);
        }
      });
      spawn(function* () {
        try {
          yield* sleep(100);
        } finally {
          seen.push(`sibling at ${now()}`);
        }
      });
      yield* sleep(100);
    });
    expect(log).toEqual(["sibling at 1", "stubborn until 8", "cancelled"]);
  });

  test("shields hold it back; what they hold back comes after", () => {
    const log = cancelledAt(1, function* (seen) {
      yield* shield(function* () {
        yield* sleep(5);
        seen.push(`shielded until ${now()}`);
      });
      yield* yieldNow();
      seen.push("not reached");
    });
    expect(log).toEqual(["shielded until 5", "cancelled"]);
  });

  test("while a shield holds it back, nobody spins: no step is taken for it", () => {
    const { steps, elapsedMs } = simulateSync(function* () {
      const task = spawn(function* () {
        yield* shield(sleep(4000));
        yield* yieldNow();
      });
      yield* sleep(1);
      yield* task.cancel();
    });
    expect(elapsedMs).toBe(4000);
    expect(steps).toBeLessThan(10);
  });

  test("two tasks that join each other: cancelling one ends both", () => {
    const log = simulated(function* () {
      const loop = EventLoop.current();
      const tasks: Task<void>[] = [];
      for (const i of [0, 1]) {
        tasks.push(
          loop.spawn(function* () {
            yield* tasks[1 - i]!;
          }),
        );
      }
      tasks[1]!.then(undefined, () => {}); // it is looked at below
      yield* sleep(1);
      yield* tasks[0]!.cancel("enough");
      try {
        yield* tasks[1]!;
      } catch (error) {
        return [tasks[0]!.outcome?.status, (error as CancelledError).code, (error as CancelledError).reason];
      }
      return [];
    });
    expect(log).toEqual(["cancelled", "CANCELLED", "enough"]);
  });

  test("an outer cancellation that meets an inner one: one throw unwinds both, and only the outer one is seen", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const task = spawn(function* () {
        try {
          yield* scope(function* (inner) {
            try {
              inner.cancel("inner");
              currentTask().cancel("outer");
              yield* sleep(1);
            } catch (error) {
              seen.push(String((error as Cancelled).reason));
              throw error;
            }
          });
          seen.push("not reached");
        } catch (error) {
          seen.push(error instanceof Cancelled ? "passes through" : "a CancelledError");
          throw error;
        }
      });
      yield* sleep(1);
      return [...seen, task.outcome?.status];
    });
    expect(log).toEqual(["outer", "passes through", "cancelled"]);
  });

  test("an outer cancellation during the cleanup of an inner one: the cleanup ends, then it goes on outwards", () => {
    const log = cancelledAt(3, function* (seen) {
      try {
        yield* moveOnAfter(1, function* () {
          try {
            yield* sleep(100);
          } finally {
            yield* sleep(5);
            seen.push(`clean at ${now()}`);
          }
        });
        seen.push("moved on");
        yield* sleep(1);
        seen.push("not reached");
      } finally {
        seen.push(`out at ${now()}`);
      }
    });
    expect(log).toEqual(["clean at 6", "moved on", "out at 6", "cancelled"]);
  });

  test("a scope catches its own cancellation only", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      let outer: Scope | undefined = undefined;
      try {
        yield* scope(function* (own) {
          outer = own;
          try {
            yield* scope(function* () {
              outer!.cancel("outer");
              yield* sleep(1);
            });
          } catch (error) {
            seen.push(error instanceof Cancelled ? "inner lets it through" : "inner caught it");
            throw error;
          }
        });
      } catch (error) {
        seen.push(error instanceof CancelledError ? "outer caught it" : "?");
      }
      yield* sleep(1);
      return seen;
    });
    expect(log).toEqual(["inner lets it through", "outer caught it"]);
  });

  test("a failure of a scope inside that is being cancelled wins over the cancellation, and both scopes end", () => {
    const log = cancelledAt(1, function* (seen) {
      try {
        yield* scope(function* (own) {
          own.spawn(function* () {
            try {
              yield* sleep(100);
            } finally {
              // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
              throw new Error("in cleanup");
            }
          });
          yield* sleep(100);
        });
      } finally {
        seen.push(`inner ended at ${now()}`);
      }
    });
    expect(log).toEqual(["inner ended at 1", "failed: Error: in cleanup"]);
  });

  test("a scope never outlives its tasks nor the other way round, whatever is cancelled in whatever order", () => {
    for (let seed = 0; seed < 30; seed++) {
      const log = simulated(
        function* () {
          const seen: string[] = [];
          for (let i = 0; i < 3; i++) {
            try {
              yield* scope(function* (own) {
                for (let k = 0; k < 3; k++) {
                  own.spawn(function* () {
                    try {
                      yield* sleep(k);
                    } finally {
                      yield* sleep(1);
                      seen.push("task");
                    }
                  });
                }
                if (i === 1) own.cancel();
                if (i === 2) throw new Error("body");
              });
            } catch {
              // Cancelled or failed: it has ended.
            }
            seen.push("scope");
          }
          return seen.join(" ");
        },
        { order: seededOrder(seed) },
      );
      expect(log).toBe("task task task scope task task task scope task task task scope");
    }
  });

  test("two siblings that fail together lose neither error", () => {
    const [a, b] = [new Error("a"), new Error("b")];
    const error = failureOf(() =>
      scope(function* () {
        for (const it of [a, b]) {
          spawn(function* () {
            yield* sleep(5);
            throw it;
          });
        }
      }),
    );
    expect([error, ...suppressedErrors(error)]).toEqual([a, b]);
  });

  test("a rethrown Cancelled of a task that was not cancelled is a failure, not a cancellation", () => {
    const error = failureOf(function* () {
      let kept: unknown;
      yield* moveOnAfter(1, function* () {
        try {
          yield* sleep(100);
        } catch (cancelled) {
          kept = cancelled;
          throw cancelled;
        }
      });
      spawn(() => sleep(1));
      throw kept;
    });
    expect(error).toBeInstanceOf(CancelledError);
  });

  test("nor is it one for the scope in which it is thrown again: that throws CancelledError", () => {
    const seen = simulated(function* () {
      let kept: unknown;
      yield* moveOnAfter(1, function* () {
        try {
          yield* sleep(100);
        } catch (cancelled) {
          kept = cancelled;
          throw cancelled;
        }
      });
      try {
        yield* scope(function* () {
          throw kept;
        });
      } catch (error) {
        return [error instanceof Cancelled, error instanceof CancelledError];
      }
      return [];
    });
    expect(seen).toEqual([false, true]);
  });

  test("it crosses to promises as CancelledError, never as Cancelled", async () => {
    const reason = new Error("stop");
    const error: unknown = await run(function* () {
      currentScope().cancel(reason);
      yield* until(new Promise(() => {}));
    }).catch((it: unknown) => it);
    expect(error).toBeInstanceOf(CancelledError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ reason, cause: reason });
  });

  test("it reaches ten thousand tasks with one object", () => {
    const reasons = new Set<unknown>();
    simulated(function* () {
      const task = spawn(function* () {
        for (let i = 0; i < 10_000; i++) {
          spawn(function* () {
            try {
              yield* sleep(1e6);
            } catch (cancelled) {
              reasons.add(cancelled);
              throw cancelled;
            }
          });
        }
        yield* sleep(1e6);
      });
      yield* sleep(1);
      yield* task.cancel();
      expect(now()).toBe(1);
    });
    expect(reasons.size).toBe(1);
  });
});

describe("sources", () => {
  test("a Cancelled says what it came from: a request, a deadline, a failure, a lost race", () => {
    const seen: string[] = [];
    function* note(): Coroutine<void> {
      try {
        yield* sleep(100);
      } catch (error) {
        seen.push((error as Cancelled).source);
        throw error;
      }
    }
    simulated(function* () {
      const task = spawn(note);
      yield* yieldNow();
      yield* task.cancel();
      yield* moveOnAfter(1, note);
      try {
        yield* all([note, fail]);
      } catch {
        // The failure.
      }
      yield* race([note, sleep(1)]);
    });
    expect(seen).toEqual(["request", "deadline", "failure", "obsolete"]);
  });

  function* fail(): Coroutine<never> {
    yield* sleep(1);
    throw new Error("failed");
  }
});
