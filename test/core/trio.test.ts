/**
 * What trio's own tests of scopes, nurseries, channels and clocks claim, told anew of Fibril: each is named as there (names
 * and behaviour only). Where Fibril decided otherwise the claim says so.
 */
import {
  Cancelled,
  CancelledError,
  Channel,
  ChannelClosedError,
  currentDeadline,
  currentScope,
  currentTask,
  EventLoop,
  Lock,
  moveOnAfter,
  scope,
  shield,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
  TimeoutError,
  yieldNow,
} from "fibril";
import type { Coroutine, Operation, Scope } from "fibril";
import { describe, expect, test } from "vitest";
import { now, simulated, thrownBy } from "./simulated.ts";

/** How an operation ended. */
function* ending(body: () => Operation<unknown>): Coroutine<string> {
  try {
    return `gave ${String(yield* body())}`;
  } catch (error) {
    return `threw ${error instanceof Error ? `${error.name} ${error.message}` : String(error)}`;
  }
}

describe("cancellation", () => {
  test("test_cancel_edge_cases: cancelling twice is one cancellation, and it holds for every wait after cleanupMs", () => {
    const seen = simulated(
      function* () {
        const log: string[] = [];
        yield* ending(() =>
          scope(
            function* (own) {
              own.cancel("first");
              own.cancel("second");
              for (let attempt = 1; attempt <= 3; attempt++) {
                try {
                  yield* sleep(1);
                } catch (error) {
                  log.push(`${attempt}: ${String((error as Cancelled).reason)}`);
                }
              }
            },
            { cleanupMs: 0 },
          ),
        );
        return [...log, now()];
      },
      { onReport: () => undefined },
    );
    expect(seen).toEqual(["1: first", "2: first", "3: first", 0]);
  });

  test("test_cancel_shielding: a shield holds an outer cancellation back, and lets its own scope's through", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        yield* shield(function* () {
          yield* sleep(5);
          log.push(`not disturbed at ${now()}`);
          yield* ending(() =>
            scope(function* (inner) {
              inner.cancel();
              yield* sleep(100);
            }),
          );
          log.push(`its own got through at ${now()}`);
        });
        yield* sleep(1);
        log.push("not reached");
      });
      yield* sleep(1);
      yield* task.cancel();
      return [...log, task.outcome?.status];
    });
    expect(seen).toEqual(["not disturbed at 5", "its own got through at 5", "cancelled"]);
  });

  test("test_cancel_inheritance: one request reaches the nested scopes and their tasks in the same turn", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      function* leaf(name: string): Coroutine<void> {
        try {
          yield* sleep(1000);
        } finally {
          log.push(`${name} at ${now()}`);
        }
      }
      const task = spawn(() =>
        scope(function* () {
          spawn(leaf, "outer");
          yield* scope(function* () {
            spawn(leaf, "middle");
            yield* scope(function* () {
              spawn(leaf, "inner");
              yield* leaf("body");
            });
          });
        }),
      );
      yield* sleep(7);
      yield* task.cancel();
      return log.toSorted();
    });
    expect(seen).toEqual(["body at 7", "inner at 7", "middle at 7", "outer at 7"]);
  });

  test("test_unshield_while_cancel_propagating: a shield that is entered while unwinding does not take the cancellation over", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const outcome = yield* ending(() =>
        scope(
          function* (own) {
            try {
              own.cancel("stop");
              yield* sleep(1000);
            } finally {
              yield* shield(sleep(3));
              log.push(`cleaned up at ${now()}`);
            }
          },
          { name: "owner" },
        ),
      );
      return [...log, outcome.includes("stop")];
    });
    expect(seen).toEqual(["cleaned up at 3", true]);
  });

  test("test_precancelled_task: a task of a cancelled scope begins, and is cancelled at its first wait", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* ending(() =>
        scope(function* (own) {
          own.cancel();
          spawn(function* () {
            log.push("began");
            yield* sleep(1);
            log.push("not reached");
          });
          yield* sleep(1);
        }),
      );
      return [...log, now()];
    });
    expect(seen).toEqual(["began", 0]);
  });

  test("test_cancel_unbound: a scope that is cancelled before its body begins cancels it at its first wait", () => {
    const seen = simulated(function* () {
      let before = "";
      const outcome = yield* ending(() =>
        timeout(0, function* () {
          before = "the code before the first wait ran";
          yield* sleep(1);
        }),
      );
      return [before, outcome.split(" ")[1], now()];
    });
    expect(seen).toEqual(["the code before the first wait ran", "TimeoutError", 0]);
  });

  test("test_cancel_scope_misnesting_1: a scope that is left from another task is an error that says so", () => {
    simulated(function* () {
      const ended = yield* scope(function* (own) {
        return own;
      });
      const error = thrownBy(() => ended.spawn(() => sleep(1)));
      expect(error).toMatchObject({ code: "SCOPE_CLOSED" });
    });
  });

  test("test_cancel_scope_exceptiongroup_filtering: of cancellations and errors together only the errors come out", () => {
    const failure = new Error("boom");
    const late = new Error("late");
    const seen = simulated(function* () {
      try {
        yield* scope(function* () {
          spawn(function* () {
            yield* sleep(1);
            throw failure;
          });
          spawn(function* () {
            try {
              yield* sleep(1000);
            } finally {
              // oxlint-disable-next-line no-unsafe-finally -- an error in a cleanup is what the claim is about
              throw late;
            }
          });
          for (let i = 0; i < 3; i++) spawn(() => sleep(1000));
          yield* sleep(1000);
        });
      } catch (error) {
        return [error, ...suppressedErrors(error)];
      }
      return [];
    });
    expect(seen).toEqual([failure, late]);
  });

  test("test_cancel_reason_nursery: a task that goes down with its scope can say who failed and why", () => {
    const seen = simulated(function* () {
      let told: unknown;
      const outcome = yield* ending(() =>
        scope(
          function* () {
            spawn(function* () {
              try {
                yield* sleep(1000);
              } catch (error) {
                told = error;
                throw error;
              }
            });
            spawn({ name: "culprit" }, function* () {
              yield* sleep(2);
              throw new Error("boom");
            });
            yield* sleep(1000);
          },
          { name: "group" },
        ),
      );
      expect(told).toBeInstanceOf(Cancelled);
      const { source, at, by, reason } = told as Cancelled;
      return [outcome, source, at, by, String((reason as Error | undefined)?.message)];
    });
    expect(seen).toEqual(["threw Error boom", "failure", 2, "culprit", "boom"]);
  });
});

describe("deadlines", () => {
  test("test_current_effective_deadline: the earliest of all scopes, up to a shield", () => {
    const seen = simulated(function* () {
      const seen: number[] = [currentDeadline()];
      yield* timeout(20, function* () {
        seen.push(currentDeadline());
        yield* timeout(50, function* () {
          seen.push(currentDeadline());
        });
        yield* timeout(10, function* () {
          seen.push(currentDeadline());
          yield* shield(function* () {
            seen.push(currentDeadline());
          });
        });
      });
      return seen;
    });
    expect(seen).toEqual([Infinity, 20, 20, 10, Infinity]);
  });

  test("test_move_on_after_moves_on_even_if_shielded: a shield keeps the deadline that is inside of it", () => {
    const seen = simulated(function* () {
      const task = spawn(() => shield(() => moveOnAfter(5, sleep(1000))));
      yield* yieldNow();
      task.cancel();
      return [yield* task, now()];
    });
    expect(seen).toEqual([undefined, 5]);
  });
});

describe("tasks and scopes", () => {
  function* server(ready: (port: number) => void, port: number): Coroutine<void> {
    yield* sleep(2);
    ready(port);
    yield* sleep(5);
  }

  test("test_nursery_start: the value of the child that is ready, the error of one that never was, a cancellation before", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      yield* scope(function* (own) {
        log.push(yield* own.start(server, 80), now());
        log.push(
          yield* ending(() =>
            own.start(function* () {
              yield* sleep(1);
              throw new Error("in use");
            }),
          ),
        );
        log.push((yield* moveOnAfter(1, () => own.start(server, 81))) ?? "given up", own.size);
      });
      return [...log, now()];
    });
    expect(seen).toEqual([80, 2, "threw Error in use", "given up", 1, 7]);
  });

  test("test_nursery_start_keeps_nursery_open: a scope whose body is over stays open while a child is starting", () => {
    const seen = simulated(function* () {
      const log: unknown[] = [];
      yield* scope(function* (own: Scope) {
        spawn(function* () {
          log.push(yield* own.start(server, 443), now());
        });
      });
      return [...log, now()];
    });
    expect(seen).toEqual([443, 2, 7]);
  });

  test("test_task_tree_introspection: parents and children can be seen", () => {
    const seen = simulated(function* main() {
      return yield* scope(
        function* (own) {
          const child = spawn({ name: "child" }, function* () {
            yield* scope(
              function* () {
                spawn({ name: "grandchild" }, () => sleep(1));
              },
              { name: "nest" },
            );
          });
          yield* yieldNow();
          yield* yieldNow();
          const names = EventLoop.current()
            .tasks()
            .map((task) => task.name);
          return [
            names,
            own.tasks.map((task) => task.name),
            own.tasks[0] === child,
            currentScope() === own,
            currentTask().name,
          ];
        },
        { name: "family" },
      );
    });
    expect(seen).toEqual([["main", "child", "grandchild"], ["child"], true, true, "main"]);
  });
});

describe("channels, locks, the clock", () => {
  test("test_channel_fairness: a value that was sent belongs to the one who waited, not to the sender who receives next", () => {
    const seen = simulated(function* () {
      const { sender, receiver } = new Channel<number>(1);
      const log: string[] = [];
      spawn(function* () {
        log.push(`waiter ${yield* receiver.receive()}`);
      });
      yield* yieldNow();
      yield* sender.send(1);
      yield* sender.send(2);
      log.push(`sender ${yield* receiver.receive()}`);
      yield* yieldNow();
      return log.toSorted();
    });
    expect(seen).toEqual(["sender 2", "waiter 1"]);
  });

  test("test_close_multiple_send_handles: the end comes with the last clone, after what is buffered", () => {
    const seen = simulated(function* () {
      const { sender, receiver } = new Channel<number>(4);
      const clone = sender.clone();
      yield* sender.send(1);
      sender.close();
      yield* clone.send(2);
      clone.close();
      const got = [yield* receiver.receive(), yield* receiver.receive()];
      const end = yield* ending(() => receiver.receive());
      return [...got, end.startsWith(`threw ${ChannelClosedError.name}`)];
    });
    expect(seen).toEqual([1, 2, true]);
  });

  test("test_generic_lock_fifo_fairness: whoever waits comes before the one who releases and asks again", () => {
    const seen = simulated(function* () {
      const lock = new Lock();
      const log: string[] = [];
      yield* lock.acquire();
      spawn(function* () {
        yield* lock.acquire();
        log.push("waiter");
        lock.release();
      });
      yield* yieldNow();
      lock.release();
      yield* lock.acquire();
      log.push("re-acquirer");
      lock.release();
      return log;
    });
    expect(seen).toEqual(["waiter", "re-acquirer"]);
  });

  test("test_mock_clock_autojump: virtual time jumps only when every task waits for time", () => {
    const seen = simulated(function* () {
      const log: number[] = [];
      spawn(function* () {
        yield* sleep(10_000);
        log.push(now());
      });
      for (let i = 0; i < 50; i++) yield* yieldNow();
      log.push(now());
      yield* sleep(20_000);
      return [...log, now()];
    });
    expect(seen).toEqual([0, 10_000, 20_000]);
  });

  test("a deadline that passes is a TimeoutError, a request is a CancelledError: nobody has to guess", () => {
    const seen = simulated(function* () {
      const caught: unknown[] = [];
      for (const body of [() => timeout(1, sleep(5)), () => cancelledScope()]) {
        try {
          yield* body();
        } catch (error) {
          caught.push(error);
        }
      }
      return caught;
    });
    expect(seen).toEqual([expect.any(TimeoutError), expect.any(CancelledError)]);
  });
});

function* cancelledScope(): Coroutine<void> {
  yield* scope(function* (own) {
    own.cancel();
    yield* sleep(5);
  });
}
