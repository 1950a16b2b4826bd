/**
 * A scope owns tasks: it ends after all of them, and nothing that fails in it is lost.
 */
import {
  CancelledError,
  currentScope,
  currentTask,
  EventLoop,
  Future,
  moveOnAfter,
  scope,
  ScopeClosedError,
  shield,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
  UsageError,
  yieldNow,
} from "fibril";
import type { Coroutine, Scope } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated, thrownBy } from "./simulated.ts";

function* fail(afterMs: number, error: unknown): Coroutine<never> {
  yield* sleep(afterMs);
  throw error;
}

describe("a scope ends after its tasks", () => {
  test("its value comes when the last task has ended, also of those that tasks spawned", () => {
    const seen = simulated(function* () {
      const value = yield* scope(function* (inner) {
        inner.spawn(function* () {
          yield* sleep(5);
          inner.spawn(() => sleep(5));
          spawn(() => sleep(20)); // of the task's own scope
        });
        return "value";
      });
      return [value, now()];
    });
    expect(seen).toEqual(["value", 25]);
  });

  test("a return in the body does not cancel the tasks", () => {
    const ended = simulated(function* () {
      let count = 0;
      yield* scope(function* () {
        for (let i = 0; i < 3; i++) {
          spawn(function* () {
            yield* sleep(i);
            count++;
          });
        }
        return;
      });
      return count;
    });
    expect(ended).toBe(3);
  });

  test("spawn() adds to the innermost scope of the running task", () => {
    const parents = simulated(function* () {
      const names: string[] = [];
      const note = (): number => names.push(currentScope().name);
      note();
      yield* scope(
        function* () {
          note();
          const task = spawn(function* child() {
            note();
            yield* scope(
              function* () {
                note();
              },
              { name: "of the child" },
            );
          });
          yield* task;
          expect(task.owner.name).toBe("outer");
        },
        { name: "outer" },
      );
      note();
      return names;
    });
    expect(parents).toEqual([expect.any(String), "outer", "child", "of the child", expect.any(String)]);
  });

  test("it may not be outlived: a task that is spawned when the last one has just settled is waited for", () => {
    let accepted = 0;
    for (let turn = 0; turn < 8; turn++) {
      for (const seed of [undefined, ...Array(10).keys()]) {
        const log = simulated(() => spawnLate(turn), seed === undefined ? {} : { seed });
        expect(log.at(-1), `turn ${turn}, seed ${seed}`).toBe("scope ends");
        if (log.length > 1) accepted++;
      }
    }
    expect(accepted).toBeGreaterThan(20);
  });

  /** Spawns into a scope whose only task needs three steps, once, after so many turns. */
  function* spawnLate(turns: number): Coroutine<string[]> {
    const seen: string[] = [];
    yield* scope(function* (outer) {
      let inner: Scope | undefined = undefined;
      outer.spawn(function* () {
        for (let i = 0; i < turns; i++) yield* yieldNow();
        try {
          inner?.spawn(function* late() {
            yield* sleep(1);
            seen.push("task ends");
          });
        } catch (error) {
          expect(error).toBeInstanceOf(ScopeClosedError);
        }
      });
      yield* scope(function* (it) {
        inner = it;
        it.spawn(function* () {
          yield* yieldNow();
          yield* yieldNow();
        });
      });
      seen.push("scope ends");
    });
    return seen;
  }

  test("it is closed once it has ended: spawning and deferring are refused with its name", () => {
    const kept = simulated(function* () {
      let inner: Scope | undefined = undefined;
      yield* scope(
        function* (it) {
          inner = it;
        },
        { name: "batch" },
      );
      return inner as Scope | undefined;
    });
    const error = thrownBy(() => kept!.spawn({ name: "late" }, () => sleep(1)));
    expect(error).toBeInstanceOf(ScopeClosedError);
    expect(error).toMatchObject({ code: "SCOPE_CLOSED", message: expect.stringMatching(/"late".*"batch"/) as string });
    expect(thrownBy(() => kept!.defer(() => {}))).toBeInstanceOf(ScopeClosedError);
  });

  test("while its releases run it takes no tasks and no further releases", () => {
    const seen = simulated(function* () {
      const codes: unknown[] = [];
      yield* scope(function* (own) {
        own.defer(function* () {
          yield* sleep(1);
          for (const late of [() => own.spawn(() => sleep(1)), () => own.defer(() => {})]) {
            codes.push((thrownBy(late) as ScopeClosedError).code);
          }
        });
      });
      return codes;
    });
    expect(seen).toEqual(["SCOPE_CLOSED", "SCOPE_CLOSED"]);
  });

  test("while its last task runs it takes tasks, also from outside and after its body has returned", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* scope(function* (inner) {
        inner.spawn(() => sleep(10));
        EventLoop.current().callLater(5, () => {
          inner.spawn(function* () {
            yield* sleep(10);
            log.push(`late task ends at ${now()}`);
          });
        });
      });
      log.push(`scope ends at ${now()}`);
      return log;
    });
    expect(seen).toEqual(["late task ends at 15", "scope ends at 15"]);
  });

  test("a body that throws before it waits ends the scope all the same", () => {
    const error = new Error("at once");
    const seen = simulated(function* () {
      try {
        yield* scope(() => {
          throw error;
        });
      } catch (it) {
        yield* scope(() => sleep(1));
        return [it, currentScope().name];
      }
      return [];
    });
    expect(seen[0]).toBe(error);
  });

  test("it lists its tasks and counts them", () => {
    simulated(function* main() {
      yield* scope(function* (inner) {
        const a = inner.spawn({ name: "a" }, () => sleep(1));
        const b = inner.spawn({ name: "b" }, () => sleep(2));
        expect([inner.size, inner.tasks.map((it) => it.name)]).toEqual([2, ["a", "b"]]);
        expect([a.parent === currentTask(), a.owner === inner]).toEqual([true, true]);
        yield* a;
        yield* yieldNow();
        expect(inner.tasks.map((it) => it.name)).toEqual(["b"]);
        yield* b;
      });
    });
  });
});

describe("the first failure", () => {
  const first = new RangeError("first");
  const third = new Error("third");

  test("of a task cancels the others and the body, and is what the scope throws: the same object", () => {
    const log: unknown[] = [];
    const error = failureOf(function* () {
      yield* scope(function* (inner) {
        inner.spawn(fail, 5, first);
        inner.spawn(function* () {
          try {
            yield* sleep(100);
          } finally {
            log.push(`sibling at ${now()}`);
          }
        });
        try {
          yield* sleep(100);
        } finally {
          log.push(`body at ${now()}`);
        }
      });
    });
    expect(error).toBe(first);
    expect(suppressedErrors(error)).toEqual([]);
    expect(log.map(String).toSorted()).toEqual(["body at 5", "sibling at 5"]);
  });

  test("of the body cancels the tasks, and they end before it is thrown", () => {
    const log: string[] = [];
    const error = failureOf(function* () {
      try {
        yield* scope(function* () {
          spawn(function* () {
            try {
              yield* sleep(100);
            } finally {
              yield* sleep(3);
              log.push(`task at ${now()}`);
            }
          });
          yield* fail(1, first);
        });
      } finally {
        log.push(`out at ${now()}`);
      }
    });
    expect(error).toBe(first);
    expect(log).toEqual(["task at 4", "out at 4"]);
  });

  test("of two that come in the same turn: neither is lost", () => {
    for (const seed of [undefined, 1, 2, 3, 4, 5, 6, 7]) {
      const [first, second] = [new RangeError("first"), new TypeError("second")];
      const error = failureOf(
        function* () {
          yield* scope(function* (inner) {
            inner.spawn(fail, 5, first);
            inner.spawn(fail, 5, second);
          });
        },
        seed === undefined ? {} : { seed },
      );
      expect(new Set([error, ...suppressedErrors(error)])).toEqual(new Set([first, second]));
      expect(suppressedErrors(error)).toHaveLength(1);
    }
  });

  test("has the later ones in the order in which they came: siblings in cleanup, then the body, then releases", () => {
    const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map((it) => new Error(it));
    const error = failureOf(function* () {
      yield* scope(function* (inner) {
        inner.defer(() => {
          throw d;
        });
        inner.defer(() => fail(1, e));
        inner.spawn(fail, 5, a);
        for (const [ms, it] of [
          [3, b],
          [2, c],
        ] as const) {
          inner.spawn(function* () {
            try {
              yield* sleep(100);
            } finally {
              yield* fail(ms, it);
            }
          });
        }
        try {
          yield* sleep(100);
        } finally {
          yield* fail(1, third);
        }
      });
    });
    expect(error).toBe(a);
    expect(suppressedErrors(error).map((it) => (it as Error).message)).toEqual(["third", "c", "b", "e", "d"]);
  });

  test("thrown again by whoever joined the task is the same failure, not a second one", () => {
    const it = new Error("joined");
    const error = failureOf(function* () {
      yield* scope(function* (inner) {
        const task = inner.spawn(fail, 1, it);
        inner.spawn(function* () {
          yield* task;
        });
        yield* task;
      });
    });
    expect(error).toBe(it);
    expect(suppressedErrors(error)).toEqual([]);
  });

  test("goes through nested scopes as it is, with what each of them adds", () => {
    const [a, b, c] = ["a", "b", "c"].map((it) => new Error(it));
    const error = failureOf(function* () {
      yield* scope(function* (outer) {
        outer.defer(() => {
          throw c;
        });
        yield* scope(function* (inner) {
          inner.defer(() => {
            throw b;
          });
          inner.spawn(fail, 1, a);
        });
      });
    });
    expect(error).toBe(a);
    expect(suppressedErrors(error)).toEqual([b, c]);
  });

  test("may be tolerated by catching inside the task: the scope goes on", () => {
    const seen = simulated(function* () {
      return yield* scope(function* (inner) {
        const tasks = [1, 2, 3].map((n) =>
          inner.spawn(function* () {
            try {
              if (n === 2) yield* fail(1, new Error("two"));
              yield* sleep(n);
              return n;
            } catch {
              return -n;
            }
          }),
        );
        return [yield* tasks[0]!, yield* tasks[1]!, yield* tasks[2]!, inner.cancelled];
      });
    });
    expect(seen).toEqual([1, -2, 3, null]);
  });

  test("that is a primitive has no room for later ones: those are reported", () => {
    const { outcome, reports } = simulateSync(function* () {
      yield* scope(function* (inner) {
        inner.spawn(fail, 1, "primitive");
        inner.spawn(fail, 1, third);
      });
    });
    expect(outcome).toEqual({ status: "failed", error: "primitive" });
    expect(reports).toEqual([{ kind: "lost-error", message: expect.any(String) as string, error: third }]);
  });

  test("undefined, thrown, is a failure like any other", () => {
    expect(failureOf(() => scope(() => fail(1, undefined)))).toBeUndefined();
  });

  test("of a task that keeps its failure goes to whoever joins it; the scope and its tasks go on", () => {
    const error = new Error("kept");
    const seen = simulated(function* () {
      return yield* scope(function* () {
        const task = spawn(() => fail(1, error));
        task.keepFailure();
        const sibling = spawn(function* () {
          yield* sleep(5);
          return "went on";
        });
        const value = yield* sibling;
        return [value, task.outcome?.status, now()];
      });
    });
    expect(seen).toEqual(["went on", "failed", 5]);
  });

  test("a task that was cancelled alone is no failure", () => {
    const value = simulated(function* () {
      return yield* scope(function* (inner) {
        const task = inner.spawn(() => sleep(100));
        inner.spawn(() => sleep(3));
        yield* sleep(1);
        yield* task.cancel();
        return "unharmed";
      });
    });
    expect(value).toBe("unharmed");
  });

  test("reaches tasks that are spawned while the scope is failing: they are cancelled at their first wait", () => {
    const log: string[] = [];
    const error = failureOf(function* () {
      yield* scope(function* (inner) {
        inner.spawn(fail, 1, third);
        try {
          yield* sleep(100);
        } finally {
          inner.spawn(function* late() {
            log.push("began");
            yield* sleep(1);
            log.push("not reached");
          });
        }
      });
    });
    expect(error).toBe(third);
    expect(log).toEqual(["began"]);
  });
});

describe("cancelling a scope", () => {
  test("from inside ends body and tasks, and the scope throws CancelledError with the reason", () => {
    const reason = { why: "test" };
    const seen = simulated(function* () {
      const log: unknown[] = [];
      try {
        yield* scope(
          function* (inner) {
            inner.spawn(function* () {
              yield* sleep(5);
              inner.cancel(reason);
              inner.cancel("again");
            });
            yield* sleep(100);
          },
          { name: "batch" },
        );
      } catch (error) {
        log.push(error);
      }
      yield* sleep(1);
      return [...log, now()];
    });
    expect(seen).toEqual([expect.any(CancelledError), 6]);
    expect(seen[0]).toMatchObject({ reason, message: expect.stringContaining('"batch"') as string });
  });

  test("leaves the scopes around and their tasks alone", () => {
    const seen = simulated(function* () {
      const other = spawn(function* () {
        yield* sleep(10);
        return "other";
      });
      try {
        yield* scope(function* (inner) {
          inner.cancel();
          yield* sleep(1);
        });
      } catch {
        // Expected.
      }
      return [yield* other, currentScope().cancelled];
    });
    expect(seen).toEqual(["other", null]);
  });

  test("returns an operation that completes when the scope has ended, cleanup included", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      let inner: Scope | undefined = undefined;
      const task = spawn(function* () {
        try {
          yield* scope(function* (it) {
            inner = it;
            it.defer(() => sleep(2));
            it.spawn(function* () {
              try {
                yield* sleep(100);
              } finally {
                yield* sleep(3);
              }
            });
            yield* sleep(100);
          });
        } catch {
          log.push(`scope ended at ${now()}`);
        }
      });
      yield* sleep(1);
      yield* (inner as unknown as Scope).cancel();
      log.push(`cancel returned at ${now()}`);
      yield* (inner as unknown as Scope).cancel();
      yield* task;
      return log;
    });
    expect(seen.toSorted()).toEqual(["cancel returned at 6", "scope ended at 6"]);
  });

  test("before its body has begun: the body runs to its first wait", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        currentScope().cancel();
        yield* scope(function* () {
          log.push("began");
          yield* sleep(1);
          log.push("not reached");
        });
      });
      yield* task.cancel();
      return log;
    });
    expect(seen).toEqual(["began"]);
  });

  test("a scope that has ended is not cancelled any more", () => {
    const seen = simulated(function* () {
      const kept = yield* scope(function* (inner) {
        return inner;
      });
      yield* kept.cancel("too late");
      return kept.cancelled;
    });
    expect(seen).toBeNull();
  });

  test("by timeoutMs says that it was the time", () => {
    const error = failureOf(() => scope(() => sleep(100), { timeoutMs: 5, name: "batch" }));
    expect(error).toMatchObject({ message: expect.stringMatching(/"batch".*(5 ms|deadline|time)/) as string });
  });

  test("with a cleanupMs that is no number is refused before anything is entered", () => {
    const seen = simulated(function* () {
      try {
        yield* scope(() => sleep(1), { cleanupMs: NaN });
      } catch (error) {
        return error;
      }
      return undefined;
    });
    expect(seen).toMatchObject({ code: "USAGE" });
  });

  test("a timeout that is no number is refused before anything is entered: scopes around stay whole", () => {
    for (const open of [
      () => timeout(NaN, sleep(1)),
      () => moveOnAfter(NaN, sleep(1)),
      () => scope(() => sleep(1), { timeoutMs: NaN }),
      () => timeout("5" as never, sleep(1)),
    ]) {
      const seen = simulated(function* () {
        return yield* scope(function* (inner) {
          let code: unknown;
          try {
            yield* open();
          } catch (error) {
            ({ code } = error as { code: unknown });
          }
          return [code, currentScope() === inner];
        });
      });
      expect(seen).toEqual(["USAGE", true]);
    }
  });
});

describe("start()", () => {
  function* serve(ready: (port: number) => void, port: number): Coroutine<void> {
    yield* sleep(5);
    ready(port);
    yield* sleep(10);
  }

  test("waits until the task says that it is ready, and gives what it says; the task goes on in the scope", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      yield* scope(function* (inner) {
        log.push(yield* inner.start(serve, 8080), now(), inner.size);
      });
      return [...log, now()];
    });
    expect(seen).toEqual([8080, 5, 1, 15]);
  });

  test("a task that is ready at once needs no wait, one that says so twice is heard once", () => {
    const seen = simulated(function* () {
      return yield* scope(function* (inner) {
        return yield* inner.start(function* (ready: (n: number) => void) {
          ready(1);
          ready(2);
        });
      });
    });
    expect(seen).toBe(1);
  });

  test("throws what the task throws before it is ready, and the scope goes on", () => {
    const error = new Error("port in use");
    const seen = simulated(function* () {
      return yield* scope(function* (inner) {
        try {
          yield* inner.start(() => fail(3, error));
        } catch (it) {
          yield* sleep(1);
          return [it, inner.cancelled];
        }
        return [];
      });
    });
    expect(seen).toEqual([error, null]);
    expect(seen[0]).toBe(error);
  });

  test("a failure after it was ready is the scope's", () => {
    const error = new Error("later");
    expect(
      failureOf(() =>
        scope(function* (inner) {
          yield* inner.start(function* (ready: () => void) {
            ready();
            yield* fail(1, error);
          });
          yield* sleep(100);
        }),
      ),
    ).toBe(error);
  });

  test("a failure in the very step in which it was ready is the scope's as well", () => {
    const error = new Error("same step");
    expect(
      failureOf(() =>
        scope(function* (inner) {
          yield* inner.start(function* (ready: () => void) {
            ready();
            throw error;
          });
          yield* sleep(100);
        }),
      ),
    ).toBe(error);
  });

  test("a task that ends without saying so is a usage error", () => {
    expect(failureOf(() => scope((inner) => inner.start(() => sleep(1))))).toMatchObject({ code: "NOT_READY" });
  });

  test("cancelling the wait cancels the task and waits for its cleanup", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* scope(function* (inner) {
        yield* moveOnAfter(
          5,
          inner.start(function* (_ready: () => void) {
            try {
              yield* sleep(100);
            } finally {
              yield* sleep(2);
              log.push(`cleaned at ${now()}`);
            }
          }),
        );
        log.push(`moved on at ${now()} with ${inner.size} task(s)`);
      });
      return log;
    });
    expect(seen).toEqual(["cleaned at 7", "moved on at 7 with 0 task(s)"]);
  });

  test("an error in that cleanup is not lost", () => {
    const error = new Error("cleanup");
    const { outcome, reports } = simulateSync(() =>
      scope(function* (inner) {
        yield* moveOnAfter(
          5,
          inner.start(function* (_ready: () => void) {
            try {
              yield* sleep(100);
            } finally {
              yield* fail(1, error);
            }
          }),
        );
        yield* sleep(1);
      }),
    );
    const thrown = outcome.status === "failed" ? [outcome.error, ...suppressedErrors(outcome.error)] : [];
    expect([...thrown, ...reports.map((it) => it.error)]).toContain(error);
  });

  test("cancelled at any step, it leaves nothing behind", () => {
    for (const target of ["main", "stepped"] as const) {
      const sweep = cancelSweep(
        () => {
          let open = 0;
          return {
            main: () =>
              scope(function* (inner) {
                const port = yield* inner.start(function* server(ready: (port: number) => void) {
                  open++;
                  try {
                    yield* sleep(1);
                    ready(1);
                    yield* sleep(1);
                  } finally {
                    yield* shield(sleep(1)); // it may be here when the cancellation comes
                    open--;
                  }
                });
                yield* sleep(port);
              }),
            check: () => expect(open).toBe(0),
          };
        },
        { target },
      );
      expect(sweep.runs).toBeGreaterThan(5);
    }
  });
});

describe("currentScope().cancel()", () => {
  const leave = function* (): Coroutine<string> {
    currentScope().cancel("enough");
    yield* sleep(1);
    return "not reached";
  };

  test("inside timeout() and moveOnAfter() is a cancellation, not a timeout", () => {
    expect(failureOf(() => timeout(1000, leave))).toMatchObject({ code: "CANCELLED", reason: "enough" });
    expect(failureOf(() => moveOnAfter(1000, leave))).toMatchObject({ code: "CANCELLED", reason: "enough" });
  });

  test("inside shield() is a cancellation, not undefined", () => {
    expect(failureOf(() => shield(leave))).toMatchObject({ code: "CANCELLED", reason: "enough" });
  });
});

test("scopes that are left in the wrong order, by driving them by hand, are an error that says so", () => {
  const error = simulated(function* () {
    const task = EventLoop.current().spawn(function* () {
      function* stopInside(): Coroutine<void> {
        yield undefined as never; // not reached by the loop: the coroutine is driven by hand
      }
      const [outer, inner] = [scope(stopInside, { name: "outer" }), scope(stopInside, { name: "inner" })];
      outer.next();
      inner.next();
      outer.next();
    });
    try {
      yield* task;
    } catch (it) {
      return it;
    }
    return undefined;
  });
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toMatch(/"outer".*inside out/);
});

test("a scope may be handed to other tasks, which spawn into it and cancel it", () => {
  const seen = simulated(function* () {
    const log: string[] = [];
    const gate = new Future<Scope>();
    const user = spawn(function* () {
      const far = yield* gate;
      far.spawn(function* () {
        log.push(`runs in ${currentTask().owner.name}`);
        yield* sleep(100);
      });
      yield* sleep(5);
      yield* far.cancel("by another task");
      log.push(`ended at ${now()}`);
    });
    try {
      yield* scope(
        function* (inner) {
          gate.resolve(inner);
          yield* sleep(100);
        },
        { name: "shared" },
      );
    } catch (error) {
      log.push(String((error as CancelledError).reason));
    }
    yield* user;
    return log;
  });
  expect(seen.toSorted()).toEqual(["by another task", "ended at 5", "runs in shared"]);
});
