/**
 * What CPython does in the places that surprise, measured on CPython 3.11 to 3.15 on virtual time.
 */
import { describe, expect, test } from "vitest";
import {
  asCompleted,
  CancelledError,
  Condition,
  ContextVar,
  createTask,
  currentTask,
  Event,
  ExceptionGroup,
  FIRST_EXCEPTION,
  gather,
  getRunningLoop,
  Lock,
  Queue,
  RuntimeError,
  Semaphore,
  shield,
  sleep,
  TaskGroup,
  timeout,
  TimeoutError,
  wait,
  waitFor,
} from "../../src/asyncio/index.ts";
import type { Awaitable, Coroutine, Task } from "../../src/asyncio/index.ts";
import { now, play, stage, thrownIn } from "./virtual.ts";

class KeyError extends Error {}
class OtherError extends Error {}

/** Logs its way; what is thrown at it too. */
function* logged(log: unknown[], name: string, seconds: number): Coroutine<string> {
  try {
    yield* sleep(seconds);
    log.push(`${name} done ${now()}`);
    return name;
  } catch (error) {
    log.push(`${name} ${(error as Error).name} ${now()}`);
    throw error;
  }
}

function* failAfter(seconds: number, error: unknown): Coroutine<never> {
  yield* sleep(seconds);
  throw error;
}

/** Fails while it is being cancelled. */
function* failInCleanup(error: unknown): Coroutine<void> {
  try {
    yield* sleep(100);
  } finally {
    // oxlint-disable-next-line no-unsafe-finally -- the error of a cleanup takes the place of the cancellation
    throw error;
  }
}

describe("cancelling a task", () => {
  test("before its first step: neither body nor finally run", () => {
    const log: string[] = [];
    play(function* () {
      const task = createTask(
        (function* () {
          try {
            log.push("body");
            yield* sleep(1);
          } finally {
            log.push("finally");
          }
        })(),
      );
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
    });
    expect(log).toEqual([]);
  });

  test("in the same iteration as what it awaits was done: cancelled, the value is lost", () => {
    play(function* () {
      const future = getRunningLoop().createFuture<number>();
      let value = 0;
      const task = createTask(
        (function* () {
          value = yield* future;
        })(),
      );
      yield* sleep(0);
      future.setResult(42);
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
      expect([value, task.cancelled()]).toEqual([0, true]);
    });
  });

  test("three times at once: one delivery, a count of three, and it may go on", () => {
    const log: string[] = [];
    play(function* () {
      const task = createTask(
        (function* () {
          try {
            yield* sleep(10);
          } catch {
            log.push(`caught ${currentTask()!.cancelling()}`);
          }
          yield* sleep(2);
        })(),
      );
      yield* sleep(0);
      task.cancel();
      task.cancel();
      task.cancel();
      yield* task;
      log.push(`ended ${now()} ${task.cancelled()}`);
    });
    expect(log).toEqual(["caught 3", "ended 2 false"]);
  });

  test("a second time during its cleanup: the cleanup is cut short", () => {
    play(function* () {
      const task = createTask(
        (function* () {
          try {
            yield* sleep(10);
          } finally {
            yield* sleep(3);
          }
        })(),
      );
      yield* sleep(1);
      task.cancel();
      yield* sleep(1);
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
      expect(now()).toBe(2);
    });
  });

  test("test_cancel_current_task: by itself: the code up to the next suspension still runs", () => {
    const log: string[] = [];
    play(function* () {
      const task = createTask(
        (function* () {
          currentTask()!.cancel();
          log.push("still here");
          yield* sleep(0);
          log.push("never");
        })(),
      );
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
    });
    expect(log).toEqual(["still here"]);
  });

  test("test_cancel_at_end: by itself, and then it returns: cancelled", () => {
    play(function* () {
      const task = createTask(
        // oxlint-disable-next-line require-yield -- it ends before any suspension
        (function* (): Coroutine<number> {
          currentTask()!.cancel();
          return 1;
        })(),
      );
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
      expect(task.cancelled()).toBe(true);
    });
  });
});

describe("iterations", () => {
  test("awaiting a future or task that is done does not suspend", () => {
    play(function* () {
      const log: string[] = [];
      const task = createTask(sleep(0, "task"));
      yield* sleep(1);
      const future = getRunningLoop().createFuture<string>();
      future.setResult("future");
      getRunningLoop().callSoon(() => log.push("callback"));
      log.push(yield* future, yield* task);
      expect(log).toEqual(["future", "task"]);
    });
  });

  /** Iterations from the child's last step to the parent's next. */
  function distance(join: (child: Coroutine<void>) => Awaitable<unknown>): number {
    return play(function* () {
      const loop = getRunningLoop();
      let ticks = 0;
      let end = -1;
      const tick = (): void => {
        ticks++;
        if (ticks < 20) loop.callSoon(tick);
      };
      loop.callSoon(tick);
      yield* join(
        (function* () {
          yield* sleep(0);
          yield* sleep(0);
          end = ticks;
        })(),
      );
      return ticks - end;
    });
  }

  test("a parent that awaits a task resumes one iteration after the task's end; by way of gather and groups, two", () => {
    expect(distance((child) => createTask(child))).toBe(1);
    expect(distance((child) => gather(child))).toBe(2);
    expect(
      distance((child) =>
        new TaskGroup().with(function* (group) {
          group.createTask(child);
          yield* sleep(0);
        }),
      ),
    ).toBe(2);
  });

  test("callbacks of a future run after the setter has returned, in the order of adding", () => {
    play(function* () {
      const log: string[] = [];
      const future = getRunningLoop().createFuture<void>();
      future.addDoneCallback(() => log.push("first"));
      future.addDoneCallback(() => log.push("second"));
      future.setResult();
      log.push("setter has returned");
      yield* sleep(0);
      expect(log).toEqual(["setter has returned", "first", "second"]);
    });
  });

  test("callSoon in a callback: the next iteration", () => {
    play(function* () {
      const loop = getRunningLoop();
      const log: number[] = [];
      for (const i of [0, 1, 2]) {
        loop.callSoon(() => {
          log.push(i);
          loop.callSoon(() => log.push(10 + i));
        });
      }
      yield* sleep(1);
      expect(log).toEqual([0, 1, 2, 10, 11, 12]);
    });
  });

  test("a timer that is due runs after the callbacks that are ready", () => {
    play(function* () {
      const loop = getRunningLoop();
      const log: string[] = [];
      loop.callAt(loop.time(), () => log.push("timer"));
      loop.callSoon(() => log.push("ready"));
      yield* sleep(1);
      expect(log).toEqual(["ready", "timer"]);
    });
  });

  test("eight timers with one deadline fire in the order in which they were set (CPython: 0 2 6 5 7 1 3 4)", () => {
    play(function* () {
      const loop = getRunningLoop();
      const log: number[] = [];
      for (let i = 0; i < 8; i++) loop.callAt(1, () => log.push(i));
      yield* sleep(2);
      expect(log).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    });
  });

  test("sleep(0) and sleep(-5) take one iteration each", () => {
    play(function* () {
      const log: string[] = [];
      const a = createTask(
        (function* () {
          yield* sleep(0);
          log.push("a");
        })(),
      );
      const b = createTask(
        (function* () {
          yield* sleep(-5);
          log.push("b");
        })(),
      );
      yield* gather(a, b);
      expect([log, now()]).toEqual([["a", "b"], 0]);
    });
  });

  test("test_context_4: a task runs in a copy of the context: set 1, start, set 5; the child sees 1, sets 2, the parent sees 5", () => {
    play(function* () {
      const variable = new ContextVar<number>("variable");
      variable.set(1);
      const task = createTask(
        (function* () {
          yield* sleep(0);
          const before = variable.get();
          variable.set(2);
          return [before, variable.get()];
        })(),
      );
      variable.set(5);
      expect([yield* task, variable.get()]).toEqual([[1, 2], 5]);
    });
  });
});

describe("gather", () => {
  test("the first error is thrown at once, the others go on", () => {
    const log: string[] = [];
    play(function* () {
      const other = createTask(logged(log, "other", 2));
      expect(yield* thrownIn(gather(failAfter(1, new KeyError()), other))).toBeInstanceOf(KeyError);
      log.push(`thrown ${now()}`);
      yield* other;
    });
    expect(log).toEqual(["thrown 1", "other done 2"]);
  });

  test("test_one_cancellation: a child that is cancelled: the await throws, the whole is not cancelled, the sibling runs on", () => {
    const log: string[] = [];
    play(function* () {
      const child = createTask(sleep(5));
      const sibling = createTask(logged(log, "sibling", 2));
      const all = gather(child, sibling);
      getRunningLoop().callLater(1, () => child.cancel());
      expect(yield* thrownIn(all)).toBeInstanceOf(CancelledError);
      expect([all.cancelled(), now()]).toEqual([false, 1]);
      yield* sibling;
    });
    expect(log).toEqual(["sibling done 2"]);
  });

  test("cancelled, with returnExceptions: CancelledError all the same", () => {
    const log: string[] = [];
    play(function* () {
      const all = gather(logged(log, "a", 5), logged(log, "b", 5), { returnExceptions: true });
      getRunningLoop().callLater(1, () => all.cancel());
      expect(yield* thrownIn(all)).toBeInstanceOf(CancelledError);
    });
    expect(log).toEqual(["a CancelledError 1", "b CancelledError 1"]);
  });
});

describe("wait and asCompleted", () => {
  test("wait with a timeout: pending, not cancelled", () => {
    play(function* () {
      const task = createTask(sleep(5));
      const [done, pending] = yield* wait([task], { timeout: 1 });
      expect([done.size, pending.size, pending.has(task), now(), task.done()]).toEqual([0, 1, true, 1, false]);
    });
  });

  test("test_yield_wait_does_not_shield_cancel: wait that is cancelled: the child goes on", () => {
    const log: string[] = [];
    play(function* () {
      const child = createTask(logged(log, "child", 2));
      const waiter = createTask(wait([child]));
      yield* sleep(1);
      waiter.cancel();
      expect(yield* thrownIn(waiter)).toBeInstanceOf(CancelledError);
      yield* child;
    });
    expect(log).toEqual(["child done 2"]);
  });

  test("FIRST_EXCEPTION and a child that is cancelled: waits for the rest", () => {
    play(function* () {
      const child = createTask(sleep(5));
      const rest = createTask(sleep(3));
      getRunningLoop().callLater(1, () => child.cancel());
      const [done] = yield* wait([child, rest], { returnWhen: FIRST_EXCEPTION });
      expect([done.size, now()]).toEqual([2, 3]);
    });
  });

  test("asCompleted of delays 3, 1, 2: 1, 2, 0", () => {
    play(function* () {
      const order: number[] = [];
      for (const next of asCompleted([3, 1, 2].map((delay, index) => sleep(delay, index)))) order.push(yield* next);
      expect(order).toEqual([1, 2, 0]);
    });
  });

  test("test_as_completed_with_timeout: asCompleted of delays 1 and 5 with a timeout of 2: a value, a TimeoutError, the task runs on", () => {
    play(function* () {
      const slow = createTask(sleep(5, "slow"));
      const [first, second] = [...asCompleted([createTask(sleep(1, "fast")), slow], { timeout: 2 })];
      expect(yield* first!).toBe("fast");
      expect(yield* thrownIn(second!)).toBeInstanceOf(TimeoutError);
      expect([slow.done(), now()]).toEqual([false, 2]);
    });
  });
});

describe("time limits", () => {
  test("waitFor runs a coroutine in the task of the caller", () => {
    play(function* () {
      const inside = yield* waitFor(
        // oxlint-disable-next-line require-yield -- it only looks around
        (function* (): Coroutine<Task<unknown> | null> {
          return currentTask();
        })(),
        1,
      );
      expect(inside).toBe(currentTask());
    });
  });

  test("test_wait_for_cancel_suppressed: waitFor, and what is inside returns 42 when cancelled: 42", () => {
    play(function* () {
      const stubborn = createTask(
        (function* () {
          try {
            yield* sleep(10);
          } catch {
            return 42;
          }
          return 0;
        })(),
      );
      expect(yield* waitFor(stubborn, 1)).toBe(42);
    });
  });

  test("test_wait_for_waits_for_task_cancellation: waitFor with 0 of a task whose cleanup takes two seconds: TimeoutError after the cleanup", () => {
    play(function* () {
      const task = createTask(
        (function* () {
          try {
            yield* sleep(10);
          } finally {
            yield* sleep(2);
          }
        })(),
      );
      yield* sleep(1);
      expect(yield* thrownIn(waitFor(task, 0))).toBeInstanceOf(TimeoutError);
      expect(now()).toBe(3);
    });
  });

  test("timeout(0) around a wait: the body runs to it, then TimeoutError", () => {
    const log: string[] = [];
    play(function* () {
      const block = timeout(0).with(function* () {
        log.push("body");
        yield* sleep(1);
      });
      expect(yield* thrownIn(block)).toBeInstanceOf(TimeoutError);
      expect([log, now(), currentTask()!.cancelling()]).toEqual([["body"], 0, 0]);
    });
  });

  test("timeout(0) without a wait: no error, nothing leaks out", () => {
    play(function* () {
      yield* timeout(0).with(function* () {});
      yield* sleep(1);
      expect([now(), currentTask()!.cancelling()]).toEqual([1, 0]);
    });
  });

  test("a timeout that is swallowed inside: no error, expired, a count of 0", () => {
    play(function* () {
      const limit = timeout(1);
      yield* limit.with(function* () {
        try {
          yield* sleep(5);
        } catch {}
      });
      expect([limit.expired(), currentTask()!.cancelling(), now()]).toEqual([true, 0, 1]);
    });
  });

  test.each([
    { outer: 1, inner: 2 },
    { outer: 1, inner: 1 },
  ])("nested, outer $outer s and inner $inner s: only the outer one is heard of", ({ outer, inner }) => {
    const log: string[] = [];
    play(function* () {
      try {
        yield* timeout(outer).with(function* () {
          try {
            yield* timeout(inner).with(function* () {
              yield* sleep(5);
            });
          } catch (error) {
            log.push(`inner ${(error as Error).name}`);
            throw error;
          }
        });
      } catch (error) {
        log.push(`outer ${(error as Error).name}`);
      }
      expect([now(), currentTask()!.cancelling()]).toEqual([1, 0]);
    });
    expect(log).toEqual(["inner CancelledError", "outer TimeoutError"]);
  });

  test("shield: the outer wait ends at once, what is inside goes on", () => {
    const log: string[] = [];
    play(function* () {
      const inner = createTask(logged(log, "inner", 2));
      const outer = createTask(
        (function* () {
          yield* shield(inner);
        })(),
      );
      yield* sleep(1);
      outer.cancel();
      yield* thrownIn(outer);
      log.push(`outer ended ${now()}`);
      yield* inner;
    });
    expect(log).toEqual(["outer ended 1", "inner done 2"]);
  });
});

describe("groups", () => {
  test("the body fails, then a child in its cleanup: the child's error first", () => {
    play(function* () {
      const error = yield* thrownIn(
        new TaskGroup().with(function* (group) {
          group.createTask(failInCleanup(new KeyError()));
          yield* sleep(1);
          throw new OtherError();
        }),
      );
      expect((error as ExceptionGroup).exceptions.map((it) => (it as object).constructor)).toEqual([
        KeyError,
        OtherError,
      ]);
    });
  });

  test("a child fails and two fail in their cleanup: in that order, then in the order of cancelling", () => {
    play(function* () {
      const [first, second, third] = [new Error("1"), new Error("2"), new Error("3")];
      const error = yield* thrownIn(
        new TaskGroup().with(function* (group) {
          group.createTask(failInCleanup(second));
          group.createTask(failInCleanup(third));
          group.createTask(failAfter(1, first));
        }),
      );
      expect((error as ExceptionGroup).exceptions).toEqual([first, second, third]);
    });
  });

  test("test_taskgroup_no_create_task_after_failure: a task is refused while the group is shutting down; its coroutine never begins", () => {
    const log: unknown[] = [];
    play(function* () {
      const group = new TaskGroup();
      yield* thrownIn(
        group.with(function* () {
          try {
            group.createTask(failAfter(1, new KeyError()));
            yield* sleep(5);
          } finally {
            try {
              group.createTask(logged(log as string[], "late", 1));
            } catch (error) {
              log.push(error);
            }
          }
        }),
      );
    });
    expect(log).toEqual([expect.any(RuntimeError)]);
  });

  test("a child that is cancelled alone is no error", () => {
    play(function* () {
      yield* new TaskGroup().with(function* (group) {
        const child = group.createTask(sleep(5));
        yield* sleep(1);
        child.cancel();
      });
      expect(now()).toBe(1);
    });
  });

  test("test_error_and_cancel: cancelled from outside, and a cleanup fails: the group is thrown, the task is not cancelled, the count stays 1", () => {
    play(function* () {
      const seen: unknown[] = [];
      const task = createTask(
        (function* () {
          try {
            yield* new TaskGroup().with(function* (group) {
              group.createTask(failInCleanup(new KeyError()));
              yield* sleep(5);
            });
          } catch (error) {
            seen.push(error, currentTask()!.cancelling());
            seen.push(yield* thrownIn(sleep(1))); // asked anew
          }
        })(),
      );
      yield* sleep(1);
      task.cancel();
      yield* thrownIn(task);
      expect(seen).toEqual([expect.any(ExceptionGroup), 1, expect.any(CancelledError)]);
    });
  });
});

describe("between tasks", () => {
  test("a condition: of two waiters one is cancelled, and the other wakes for no reason (since 3.13)", () => {
    const log: string[] = [];
    play(function* () {
      const condition = new Condition();
      const waiter = (name: string): Coroutine<void> =>
        condition.with(function* () {
          yield* condition.wait();
          log.push(`${name} woke`);
        });
      const [a] = [createTask(waiter("a")), createTask(waiter("b"))];
      yield* sleep(1);
      a.cancel();
      yield* sleep(1);
    });
    expect(log).toEqual(["b woke"]);
  });

  test("an event that is set and cleared in one step: the waiter wakes", () => {
    play(function* () {
      const event = new Event();
      const waiter = createTask(event.wait());
      yield* sleep(0);
      event.set();
      event.clear();
      expect([yield* waiter, event.isSet()]).toEqual([true, false]);
    });
  });

  test("a lock that is released, and one who barges in: the waiter is first, and locked() is false in between", () => {
    const log: unknown[] = [];
    play(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const take = (name: string): Coroutine<void> =>
        lock.with(function* () {
          log.push(name);
          yield* sleep(0);
        });
      const waiter = createTask(take("waiter"));
      yield* sleep(0);
      lock.release();
      log.push(lock.locked());
      yield* take("barger");
      yield* waiter;
    });
    expect(log).toEqual([false, "waiter", "barger"]);
  });

  test("a semaphore that is released, and one who barges in: the waiter is first", () => {
    const log: unknown[] = [];
    play(function* () {
      const semaphore = new Semaphore(1);
      yield* semaphore.acquire();
      const take = (name: string): Coroutine<void> =>
        semaphore.with(function* () {
          log.push(name);
          yield* sleep(0);
        });
      const waiter = createTask(take("waiter"));
      yield* sleep(0);
      semaphore.release();
      log.push(semaphore.locked());
      yield* take("barger");
      yield* waiter;
    });
    expect(log).toEqual([true, "waiter", "barger"]);
  });

  test("a queue: put, main gets, two waiters: main 1, b 2, a 3", () => {
    const log: string[] = [];
    play(function* () {
      const queue = new Queue<number>();
      const getter = function* (name: string): Coroutine<void> {
        log.push(`${name} ${yield* queue.get()}`);
      };
      const [a, b] = [createTask(getter("a")), createTask(getter("b"))];
      yield* sleep(0);
      queue.putNowait(1);
      yield* getter("main"); // a was woken for it, and goes to the end of the line
      yield* sleep(0);
      queue.putNowait(2);
      yield* sleep(0);
      queue.putNowait(3);
      yield* gather(a, b);
    });
    expect(log).toEqual(["main 1", "b 2", "a 3"]);
  });

  test("a queue: a getter that was woken is cancelled: the item goes to the next", () => {
    play(function* () {
      const queue = new Queue<number>();
      const [a, b] = [createTask(queue.get()), createTask(queue.get())];
      yield* sleep(0);
      queue.putNowait(1);
      a.cancel();
      expect([yield* thrownIn(a), yield* b]).toEqual([expect.any(CancelledError), 1]);
    });
  });
});

describe("where ours differs, and says so", () => {
  test("a failure that nobody looks at is reported when the loop is closed, with CPython's words", () => {
    const { loop, finish, complaints } = stage();
    const error = new KeyError();
    finish(
      (function* () {
        createTask(failAfter(1, error), { name: "careless" });
        yield* sleep(2);
      })(),
    );
    loop.close();
    expect(complaints).toMatchObject([{ message: "Task exception was never retrieved", exception: error }]);
  });

  test("two tasks that await each other are stuck; cancelling one is an error of the engine, as in CPython", () => {
    const { finish, loop } = stage();
    const thrown = finish(
      (function* () {
        const tasks: Task<unknown>[] = [];
        const awaitOther = function* (other: number): Coroutine<void> {
          yield* tasks[other]!;
        };
        tasks.push(createTask(awaitOther(1)), createTask(awaitOther(0)));
        yield* sleep(1);
        try {
          tasks[0]!.cancel();
        } catch (error) {
          return error;
        }
        return null;
      })(),
    );
    expect(thrown).toBeInstanceOf(RangeError); // CPython: RecursionError
    loop.setExceptionHandler(() => {});
    loop.close();
  });
});
