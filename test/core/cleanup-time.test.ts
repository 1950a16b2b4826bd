/**
 * Cleanup may wait, for `cleanupMs`; after that nobody holds a cancellation up any longer.
 */
import {
  all,
  Cancelled,
  currentScope,
  currentTask,
  EventLoop,
  scope,
  shield,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
} from "fibril";
import type { Coroutine } from "fibril";
import { simulateSync } from "fibril/testing";
import type { Simulation } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { now, simulated } from "./simulated.ts";

/** A task that is cancelled at 10 and then does `cleanup`, in a scope with the given time for it. */
function cancelledAt10<T>(cleanup: () => Coroutine<T>, cleanupMs?: number): Simulation<unknown> {
  return simulateSync(function* () {
    const task = EventLoop.current().spawn({ name: "worker" }, function* () {
      yield* scope(
        function* (own) {
          spawn(function* () {
            yield* sleep(10);
            own.cancel();
          });
          try {
            yield* sleep(1e9);
          } finally {
            yield* cleanup();
          }
        },
        cleanupMs === undefined ? {} : { cleanupMs },
      );
    });
    try {
      yield* task;
    } catch {
      // CancelledError.
    }
    return now();
  });
}

function valueOf(simulation: Simulation<unknown>): unknown {
  expect(simulation.leaks).toEqual([]);
  return simulation.outcome.status === "succeeded" ? simulation.outcome.value : simulation.outcome;
}

function cancelledTask(body: () => Coroutine<unknown>, atMs = 10): Simulation<unknown> {
  return simulateSync(function* () {
    const task = EventLoop.current().spawn({ name: "worker" }, body);
    yield* sleep(atMs);
    yield* task.cancel("test");
    void task.outcome;
    return now();
  });
}

describe("cleanup that waits", () => {
  test("completes, however many waits it has, within its time", () => {
    const log: number[] = [];
    const it = cancelledAt10(function* () {
      for (let i = 0; i < 4; i++) {
        yield* sleep(1000);
        log.push(now());
      }
    });
    expect([log, valueOf(it), it.reports]).toEqual([[1010, 2010, 3010, 4010], 4010, []]);
  });

  test("has 5,000 ms by default: then it is interrupted once more, and reported with task, wait and line", () => {
    const log: string[] = [];
    const it = cancelledTask(function* () {
      try {
        yield* sleep(1e9);
      } finally {
        try {
          yield* sleep(1e6);
          log.push("not reached");
        } catch (error) {
          log.push(`${String(error instanceof Cancelled)} at ${now()}`);
        }
        try {
          yield* sleep(1);
          log.push("not reached");
        } catch {
          log.push(`again at ${now()}`);
        }
      }
    });
    expect([log, valueOf(it)]).toEqual([["true at 5010", "again at 5010"], 5010]);
    expect(it.reports).toEqual([expect.objectContaining({ kind: "cleanup-overrun" })]);
    expect(it.reports[0]!.message).toMatch(/"worker" at .*cleanup-time\.test\.ts:\d+:\d+.*sleep 1000000 ms.*5000 ms/);
  });

  test("is reported as well when it waits in a scope of its own: timeout, all, scope", () => {
    for (const wait of [() => timeout(1e6, sleep(1e6)), () => all([sleep(1e6)]), () => scope(() => sleep(1e6))]) {
      const it = cancelledTask(function* () {
        try {
          yield* sleep(1e9);
        } finally {
          yield* wait();
        }
      });
      expect(valueOf(it)).toBe(5010);
      expect(it.reports).toContainEqual(
        expect.objectContaining({ kind: "cleanup-overrun", message: expect.stringContaining('"worker"') as string }),
      );
    }
  });

  test("has the time that its scope gives it, inherited by scopes inside", () => {
    const forEver = function* (): Coroutine<void> {
      yield* sleep(1e6);
    };
    expect([0, 7, 70].map((cleanupMs) => valueOf(cancelledAt10(forEver, cleanupMs)))).toEqual([10, 17, 80]);
    const inherited = simulateSync(function* () {
      yield* scope(
        function* () {
          yield* scope(function* (inner) {
            expect(inner.cleanupMs).toBe(7);
            inner.cancel();
            try {
              yield* sleep(1);
            } finally {
              yield* sleep(1e6);
            }
          });
        },
        { cleanupMs: 7 },
      );
    });
    expect(inherited.elapsedMs).toBe(7);
  });

  test("with Infinity it has all the time in the world, and nothing is reported", () => {
    const it = cancelledAt10(function* () {
      yield* sleep(1e7);
    }, Infinity);
    expect([valueOf(it), it.reports]).toEqual([1e7 + 10, []]);
  });

  test("after its time, a shield in the cleanup still holds", () => {
    const log: string[] = [];
    const it = cancelledAt10(function* () {
      yield* sleep(3);
      currentScope().defer(function* () {
        yield* sleep(4);
        log.push(`released at ${now()}`);
      });
    }, 5);
    expect([log, valueOf(it)]).toEqual([["released at 17"], 17]);
  });
});

describe("a cancellation that is swallowed", () => {
  test("comes back when the time for cleanup is over, at every wait", () => {
    const log: number[] = [];
    const it = cancelledTask(function* () {
      for (let swallowed = 0; swallowed < 4;) {
        try {
          yield* sleep(2000);
          log.push(now());
        } catch {
          swallowed++;
        }
      }
    });
    expect([log, valueOf(it)]).toEqual([[2010, 4010], 5010]);
  });

  test("does not come back when its scope ends in time: the code after it runs normally", () => {
    const seen = simulated(function* () {
      yield* scope(function* (own) {
        own.cancel();
        try {
          yield* sleep(1);
        } catch {
          // Swallowed.
        }
        yield* sleep(3);
      });
      yield* sleep(10_000);
      return now();
    });
    expect(seen).toBe(10_003);
  });

  test("by an error that replaces it and is handled, comes back as well", () => {
    const log: string[] = [];
    const it = cancelledTask(function* () {
      try {
        yield* scope(function* () {
          try {
            yield* sleep(1e9);
          } finally {
            // oxlint-disable-next-line no-unsafe-finally -- this is what the test is about
            throw new Error("cleanup failed");
          }
        });
      } catch (error) {
        log.push((error as Error).message);
      }
      for (;;) {
        yield* sleep(2000);
        log.push(`still there at ${now()}`);
      }
    });
    expect(log).toEqual(["cleanup failed", "still there at 2010", "still there at 4010"]);
    expect(valueOf(it)).toBe(5010);
  });
});

describe("the time for cleanup of several", () => {
  test("an outer cancellation that comes during the cleanup of an inner one has its own time", () => {
    const log: string[] = [];
    const it = cancelledTask(function* () {
      try {
        yield* scope(function* (inner) {
          inner.cancel();
          try {
            yield* sleep(1);
          } finally {
            yield* sleep(4000); // the outer one comes at 10 and is held
            log.push(`inner cleanup at ${now()}`);
          }
        });
      } catch (error) {
        log.push(error instanceof Cancelled ? `outer at ${now()}` : `inner ended at ${now()}`);
        if (error instanceof Cancelled) throw error;
      }
      yield* sleep(1e6);
      log.push("not reached");
    });
    expect(log).toEqual(["inner cleanup at 4000", "inner ended at 4000"]);
    expect(valueOf(it)).toBe(4000);
  });

  test("cleanup may use timeouts, all and scopes of its own: they are not cancelled by what is unwinding", () => {
    const log: unknown[] = [];
    const it = cancelledTask(function* () {
      try {
        yield* sleep(1e9);
      } finally {
        log.push(yield* timeout(100, () => after(5, "timeout")));
        log.push(yield* all([after(5, "a"), after(3, "b")]));
        log.push(
          yield* scope(function* (own) {
            const task = own.spawn(after, 5, "task");
            return yield* task;
          }),
        );
        try {
          yield* timeout(5, sleep(1e6));
        } catch (error) {
          log.push((error as Error).name);
        }
      }
    });
    expect([log, valueOf(it)]).toEqual([["timeout", ["a", "b"], "task", "TimeoutError"], 30]);
  });

  test("what is spawned in the cancelled scope itself is cancelled at its first wait", () => {
    const log: string[] = [];
    cancelledTask(function* () {
      try {
        yield* sleep(1e9);
      } finally {
        const task = spawn(function* () {
          log.push("began");
          yield* sleep(1);
          log.push("not reached");
        });
        try {
          yield* task;
        } catch (error) {
          log.push((error as Error).name);
        }
      }
    });
    expect(log).toEqual(["began", "CancelledError"]);
  });

  function* after<T>(ms: number, value: T): Coroutine<T> {
    yield* sleep(ms);
    return value;
  }
});

describe("releases", () => {
  test("share the time for cleanup: one that takes longer is cancelled, is a failure, and the next ones still run", () => {
    const log: string[] = [];
    const it = cancelledAt10(function* () {
      const own = currentScope();
      own.defer(() => void log.push(`first in at ${now()}`));
      own.defer(function* () {
        try {
          yield* sleep(1e6);
        } finally {
          log.push(`cut at ${now()}`);
        }
      });
      yield* sleep(0);
    }, 50);
    expect([log, valueOf(it)]).toEqual([["cut at 60", "first in at 60"], 60]);
  });

  test("that were running when the cancellation came have the same time from then on", () => {
    const it = cancelledTask(function* () {
      yield* scope(
        function* (own) {
          own.defer(() => sleep(1e6));
        },
        { cleanupMs: 50 },
      );
    });
    expect(Number(valueOf(it))).toBeLessThanOrEqual(5010);
  });

  test("inside a shield have all the time: the cancellation outside does not reach them, before or after it begins", () => {
    for (const cancelAtMs of [0, 10]) {
      const log: string[] = [];
      const it = cancelledTask(function* () {
        if (cancelAtMs === 0) currentTask().cancel();
        yield* shield(function* () {
          yield* scope(function* (own) {
            own.defer(function* () {
              yield* sleep(20_000);
              log.push(`released at ${now()}`);
            });
            yield* sleep(5);
          });
        });
        yield* sleep(1);
        log.push("not reached");
      }, cancelAtMs);
      expect([log, valueOf(it), it.reports]).toEqual([["released at 20005"], 20_005, []]);
    }
  });

  test("without any cancellation take as long as they like", () => {
    const at = simulated(function* () {
      yield* scope(function* (own) {
        own.defer(() => sleep(1e6));
      });
      return now();
    });
    expect(at).toBe(1e6);
  });
});

test("a scope that fails gives its tasks the time for cleanup too, and keeps the overrun out of the errors", () => {
  const error = new Error("first");
  const { outcome, reports, elapsedMs } = simulateSync(function* () {
    yield* scope(
      function* (own) {
        own.spawn({ name: "slow" }, function* () {
          try {
            yield* sleep(1e9);
          } finally {
            yield* sleep(1e6);
          }
        });
        yield* sleep(1);
        throw error;
      },
      { cleanupMs: 20 },
    );
  });
  expect(outcome).toEqual({ status: "failed", error });
  expect([suppressedErrors(error), elapsedMs]).toEqual([[], 21]);
  expect(reports).toEqual([
    expect.objectContaining({ kind: "cleanup-overrun", message: expect.stringContaining('"slow"') as string }),
  ]);
});
