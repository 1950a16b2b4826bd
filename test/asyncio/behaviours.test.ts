/**
 * What CPython's own tests of asyncio claim, told anew: each is named as there (names and behaviour only).
 */
import { describe, expect, test } from "vitest";
import {
  allTasks,
  asCompleted,
  Barrier,
  CancelledError,
  Condition,
  createTask,
  currentTask,
  FIRST_COMPLETED,
  FIRST_EXCEPTION,
  gather,
  getRunningLoop,
  InvalidStateError,
  Lock,
  Queue,
  RuntimeError,
  Semaphore,
  shield,
  sleep,
  TaskGroup,
  timeout,
  timeoutAt,
  TimeoutError,
  wait,
  waitFor,
} from "../../src/asyncio/index.ts";
import type { Coroutine, ExceptionGroup, Future, Task } from "../../src/asyncio/index.ts";
import { failureOf, now, play, stage, thrownBy, thrownIn } from "./virtual.ts";

function newFuture<T>(): Future<T> {
  return getRunningLoop().createFuture<T>();
}

/** A task that has taken its first step. */
function* started<T>(coroutine: Coroutine<T>): Coroutine<Task<T>> {
  const task = createTask(coroutine);
  yield* sleep(0);
  return task;
}

describe("tasks", () => {
  test("test_yield_from_twice: one future awaited again gives the value again", () => {
    play(function* () {
      const future = newFuture<number>();
      getRunningLoop().callLater(1, () => future.setResult(7));
      expect([yield* future, yield* future]).toEqual([7, 7]);
    });
  });

  test("test_cancel_inner_future: cancelling what a task awaits raises in it", () => {
    play(function* () {
      const future = newFuture<void>();
      const task = yield* started(awaiting(future));
      future.cancel("why");
      expect(yield* thrownIn(task)).toMatchObject({ name: "CancelledError", message: "why" });
      expect([task.cancelled(), task.cancelling()]).toEqual([true, 0]);
    });
  });

  test("test_cancel_both_task_and_inner_future: one delivery", () => {
    play(function* () {
      const future = newFuture<void>();
      let deliveries = 0;
      const task = yield* started(
        (function* () {
          try {
            yield* future;
          } catch {
            deliveries++;
          }
          yield* sleep(1);
          return 42;
        })(),
      );
      future.cancel();
      task.cancel();
      expect([yield* task, deliveries]).toEqual([42, 1]);
    });
  });

  test("test_cancel_task_catching: a caught cancellation and a return are a success", () => {
    play(function* () {
      const task = yield* started(
        (function* () {
          try {
            yield* sleep(10);
          } catch (error) {
            if (!(error instanceof CancelledError)) throw error;
          }
          return 42;
        })(),
      );
      task.cancel();
      expect([yield* task, task.cancelled()]).toEqual([42, false]);
    });
  });

  test("test_cancel_task_ignoring: the task survives, awaits again, and can be cancelled again", () => {
    play(function* () {
      const task = yield* started(
        (function* () {
          try {
            yield* sleep(10);
          } catch {}
          yield* sleep(10);
        })(),
      );
      task.cancel();
      yield* sleep(1);
      expect(task.done()).toBe(false);
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
      expect([task.cancelled(), now()]).toEqual([true, 1]);
    });
  });

  test("test_cancel_awaited_task: cancelling goes down the chain of tasks, the innermost ends first", () => {
    const log: string[] = [];
    const link = function* (name: string, inner: () => Coroutine<void>): Coroutine<void> {
      try {
        yield* createTask(inner());
      } finally {
        log.push(name);
      }
    };
    play(function* () {
      const task = createTask(link("outer", () => link("middle", () => link("inner", () => sleep(10)))));
      yield* sleep(1);
      task.cancel();
      yield* thrownIn(task);
    });
    expect(log).toEqual(["inner", "middle", "outer"]);
  });

  test("test_cancel_message: the message travels with the error, through gather and wait_for too", () => {
    play(function* () {
      for (const wrap of [
        (): Coroutine<void> => sleep(10),
        (): Coroutine<unknown> => awaiting(gather(sleep(10), sleep(20))),
        (): Coroutine<unknown> => waitFor(createTask(sleep(10)), 100),
      ]) {
        const task: Task<unknown> = yield* started<unknown>(wrap());
        task.cancel("enough");
        expect(yield* thrownIn(task)).toMatchObject({ name: "CancelledError", message: "enough" });
      }
    });
  });

  test("test_uncancel_basic: requests are counted, and taken back to zero, not below", () => {
    play(function* () {
      const task = yield* started(sleep(10));
      expect(task.cancelling()).toBe(0);
      expect(task.uncancel()).toBe(0);
      task.cancel();
      task.cancel();
      expect([task.cancelling(), task.uncancel(), task.uncancel(), task.uncancel()]).toEqual([2, 1, 0, 0]);
      yield* thrownIn(task);
      expect([task.cancel(), task.cancelling()]).toEqual([false, 0]);
    });
  });

  test("test_uncancel_resets_must_cancel: a request that is taken back before it is delivered is not delivered", () => {
    play(function* () {
      const future = newFuture<number>();
      const task = yield* started(awaiting(future));
      future.setResult(42);
      task.cancel();
      task.uncancel();
      expect(yield* task).toBe(42);
    });
  });

  test("test_uncancel_structured_blocks: a request made for a block ends with it", () => {
    play(function* () {
      const log: unknown[] = [];
      const block = function* (seconds: number): Coroutine<void> {
        const task = currentTask()!;
        const timer = getRunningLoop().callLater(seconds, () => task.cancel());
        try {
          yield* sleep(10);
        } catch (error) {
          if (!(error instanceof CancelledError) || task.uncancel() > 0) throw error;
        } finally {
          timer.cancel();
        }
      };
      const task = yield* started(
        (function* () {
          yield* block(1);
          log.push(now(), currentTask()!.cancelling());
          yield* sleep(5);
        })(),
      );
      yield* sleep(2);
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
      expect([log, now()]).toEqual([[1, 0], 2]);
    });
  });

  test("test_baseexception_during_cancel: another error of the cleanup wins", () => {
    play(function* () {
      const other = new Error("cleanup");
      const task = yield* started(
        (function* () {
          try {
            yield* sleep(10);
          } catch {
            throw other;
          }
        })(),
      );
      task.cancel();
      expect([yield* thrownIn(task), task.cancelled(), task.exception()]).toEqual([other, false, other]);
    });
  });

  test("test_task_awaits_on_itself: an error, no hang", () => {
    play(function* () {
      const tasks: Task<unknown>[] = [];
      tasks.push(
        createTask(
          (function* () {
            yield* tasks[0]!;
          })(),
        ),
      );
      expect(yield* thrownIn(tasks[0]!)).toBeInstanceOf(RuntimeError);
    });
  });

  test("test_step_result: a raw yield of anything but nothing is an error that names the star; of nothing, one iteration", () => {
    play(function* () {
      const raw = function* (value: unknown): Generator<never, void, unknown> {
        yield value as never;
      };
      expect(String(yield* thrownIn(createTask(raw(newFuture()) as never)))).toContain("yield*");
      expect(String(yield* thrownIn(createTask(raw(sleep(1)) as never)))).toContain("yield*");
      expect(yield* thrownIn(createTask(raw(5) as never))).toBeInstanceOf(RuntimeError);
      yield* createTask(raw(undefined) as never);
    });
  });

  test("test_future_of_another_loop: an error at the await", () => {
    const other = stage().loop;
    play(function* () {
      expect(yield* thrownIn(createTask(awaiting(other.createFuture())))).toBeInstanceOf(RuntimeError);
    });
  });

  test("test_set_result on a task: refused", () => {
    play(function* () {
      const task = createTask(sleep(0));
      expect(thrownBy(() => task.setResult())).toBeInstanceOf(RuntimeError);
      expect(thrownBy(() => task.setException())).toBeInstanceOf(RuntimeError);
      yield* task;
    });
  });

  test("test_sleep_cancel: the timer goes with the wait", () => {
    const { loop, host, finish } = stage();
    finish(
      (function* () {
        const task = yield* started(sleep(100));
        task.cancel();
        yield* thrownIn(task);
      })(),
    );
    void loop.runForever();
    host.drain();
    expect(loop.time()).toBe(0); // nothing was left to wait for
  });

  test("test_cancellation_exception_context: an error raised while handling the cancellation can name it as its cause", () => {
    play(function* () {
      const task = yield* started(
        (function* () {
          try {
            yield* sleep(10);
          } catch (error) {
            throw new Error("cleanup failed", { cause: error });
          }
        })(),
      );
      task.cancel("why");
      expect(yield* thrownIn(task)).toMatchObject({ cause: { name: "CancelledError", message: "why" } });
    });
  });

  test("test_names, test_current_task, test_all_tasks: in the order of creation, the done ones left out", () => {
    play(function* () {
      const [a, b, c] = ["a", "b", "c"].map((name) => createTask(sleep(name === "b" ? 0 : 5), { name }));
      yield* sleep(1);
      const main = currentTask()!;
      expect([...allTasks()].map((it) => it.getName())).toEqual([main.getName(), "a", "c"]);
      a!.setName("new");
      expect([a!.getName(), b!.done(), /^Task-\d+$/.test(createTask(sleep(0)).getName())]).toEqual(["new", true, true]);
      getRunningLoop().callSoon(() => expect(currentTask()).toBeNull());
      yield* sleep(0);
      expect([String(c), String(b)]).toEqual([
        '<Task pending name="c" wait_for=<Future pending>>',
        '<Task finished name="b">',
      ]);
    });
  });

  test("test_eager_start: up to the first suspension inside the call", () => {
    play(function* () {
      const log: string[] = [];
      const main = currentTask();
      const task = createTask(
        (function* () {
          log.push(currentTask()!.getName());
          yield* sleep(0);
          log.push("second step");
          return 1;
        })(),
        { name: "eager", eagerStart: true },
      );
      log.push("after the call");
      expect(currentTask()).toBe(main);
      expect(yield* task).toBe(1);
      expect(log).toEqual(["eager", "after the call", "second step"]);
      const done = createTask(
        // oxlint-disable-next-line require-yield -- it ends in its first step
        (function* (): Coroutine<number> {
          return 2;
        })(),
        { eagerStart: true },
      );
      expect([done.done(), done.result(), allTasks().has(done as Task<unknown>)]).toEqual([true, 2, false]);
    });
  });
});

function* awaiting<T>(future: Future<T>): Coroutine<T> {
  return yield* future;
}

describe("futures", () => {
  test("test_state: pending, then a result, an exception, or cancelled; nothing twice", () => {
    play(function* () {
      const [value, failed, cancelled] = [newFuture<number>(), newFuture<number>(), newFuture<number>()];
      expect(thrownBy(() => value.result())).toBeInstanceOf(InvalidStateError);
      expect(thrownBy(() => value.exception())).toBeInstanceOf(InvalidStateError);
      value.setResult(1);
      const error = new Error("x");
      failed.setException(error);
      expect([cancelled.cancel("m"), cancelled.cancel()]).toEqual([true, false]);
      expect([value.result(), value.exception(), value.cancel()]).toEqual([1, null, false]);
      expect([thrownBy(() => failed.result()), failed.exception(), failed.cancelled()]).toEqual([error, error, false]);
      expect(thrownBy(() => cancelled.result())).toMatchObject({ name: "CancelledError", message: "m" });
      expect(thrownBy(() => cancelled.exception())).toBeInstanceOf(CancelledError);
      for (const future of [value, failed, cancelled]) {
        expect(thrownBy(() => future.setResult(2))).toBeInstanceOf(InvalidStateError);
        expect(thrownBy(() => future.setException(error))).toBeInstanceOf(InvalidStateError);
      }
      yield* sleep(0);
    });
  });

  test("test_remove_done_callback: every registration goes, and the count is returned", () => {
    play(function* () {
      const future = newFuture<number>();
      const log: string[] = [];
      const twice = (): void => void log.push("twice");
      future.addDoneCallback(twice);
      future.addDoneCallback(() => log.push("once"));
      future.addDoneCallback(twice);
      expect([future.removeDoneCallback(twice), future.removeDoneCallback(twice)]).toEqual([2, 0]);
      future.setResult(1);
      future.addDoneCallback((it) => log.push(`late ${it.result()}`));
      yield* sleep(0);
      expect(log).toEqual(["once", "late 1"]);
    });
  });

  test("test_schedule_callbacks_list_mutation_1: a callback may remove one that is scheduled already; it is called all the same", () => {
    play(function* () {
      const future = newFuture<number>();
      let called = false;
      const second = (): void => void (called = true);
      future.addDoneCallback(() => future.removeDoneCallback(second));
      future.addDoneCallback(second);
      future.setResult(1);
      yield* sleep(0);
      expect(called).toBe(true);
    });
  });

  test("test_tb_logger_exception_retrieved: looked at, awaited or cancelled, it is not reported", () => {
    const { loop, finish, complaints } = stage();
    finish(
      (function* () {
        const failed = (): Future<void> => {
          const future = newFuture<void>();
          future.setException(new Error("x"));
          return future;
        };
        failed().exception();
        thrownBy(() => failed().result());
        yield* thrownIn(failed());
        failed().cancel();
        failed();
      })(),
    );
    loop.close();
    expect(complaints.map((it) => it.message)).toEqual(["Future exception was never retrieved"]);
  });

  test("a pending future cannot be spread or driven outside a task: an error, no endless loop", () => {
    const { loop } = stage();
    expect(thrownBy(() => [...(loop.createFuture() as unknown as Iterable<unknown>)])).toBeInstanceOf(RuntimeError);
    play(function* () {
      expect(thrownBy(() => [...(newFuture() as unknown as Iterable<unknown>)])).toBeInstanceOf(RuntimeError);
      yield* sleep(1);
      expect(now()).toBe(1);
    });
  });
});

describe("wait, asCompleted, gather, shield", () => {
  test("test_wait_first_completed, test_wait_really_done: the rest is pending, all that are done are reported", () => {
    play(function* () {
      const [a, b, c] = [1, 1, 5].map((seconds) => createTask(sleep(seconds)));
      const [done, pending] = yield* wait([a!, b!, c!], { returnWhen: FIRST_COMPLETED });
      expect([done.has(a!), done.has(b!), pending.has(c!), now()]).toEqual([true, true, true, 1]);
    });
  });

  test("test_wait_first_exception_in_wait: wakes at the first error", () => {
    play(function* () {
      const failing = createTask(waitFor(sleep(9), 2));
      const [done, pending] = yield* wait([createTask(sleep(1)), failing, createTask(sleep(5))], {
        returnWhen: FIRST_EXCEPTION,
      });
      expect([done.size, pending.size, now()]).toEqual([2, 1, 2]);
    });
  });

  test("test_wait_with_timeout and wrong arguments", () => {
    play(function* () {
      expect(yield* thrownIn(wait([]))).toMatchObject({ code: "ASYNCIO_VALUE" });
      expect(yield* thrownIn(wait([sleep(1)] as never))).toMatchObject({ code: "USAGE" });
      expect(yield* thrownIn(wait(newFuture() as never))).toMatchObject({ code: "USAGE" });
      expect(yield* thrownIn(wait([newFuture()], { returnWhen: "x" as never }))).toMatchObject({
        code: "ASYNCIO_VALUE",
      });
      const same = createTask(sleep(1));
      const [done] = yield* wait([same, same]);
      expect(done.size).toBe(1);
    });
  });

  test("test_as_completed_same_tasks_in_as_out: anext gives the very tasks, as they get done", () => {
    play(function* () {
      const tasks = [2, 1].map((seconds) => createTask(sleep(seconds, seconds)));
      const completed = asCompleted(tasks);
      const out: unknown[] = [];
      for (let it = yield* completed.anext(); !it.done; it = yield* completed.anext())
        out.push(tasks.indexOf(it.value as Task<number>));
      expect(out).toEqual([1, 0]);
      expect(yield* asCompleted([]).anext()).toEqual({ done: true, value: undefined });
    });
  });

  test("test_one_exception, test_return_exceptions, test_duplicate_coroutines", () => {
    play(function* () {
      const error = new Error("x");
      const failing = function* (): Coroutine<number> {
        yield* sleep(1);
        throw error;
      };
      expect(yield* gather(sleep(1, "a"), failing(), { returnExceptions: true })).toEqual(["a", error]);
      const one = createTask(sleep(1, 5));
      expect(yield* gather(one, one, sleep(0, 6))).toEqual([5, 5, 6]);
      expect(yield* gather()).toEqual([]);
      expect(yield* thrownIn(gather(failing(), sleep(9)))).toBe(error);
      expect(yield* thrownIn(gather(failing(), failing()))).toBe(error); // the second failure is dropped silently
      yield* sleep(1);
    });
  });

  test("test_cancellation_broadcast, test_cancel_gather_2: cancelling reaches every child; after the end it does nothing", () => {
    play(function* () {
      const children = [createTask(sleep(5)), createTask(sleep(6))];
      const all = gather(...children, { returnExceptions: true });
      yield* sleep(1);
      expect(all.cancel()).toBe(true);
      expect(yield* thrownIn(all)).toBeInstanceOf(CancelledError);
      expect([children.every((it) => it.cancelled()), all.cancelled(), all.cancel()]).toEqual([true, false, false]);
    });
  });

  test("test_gather_shield: cancelling gather spares what is shielded", () => {
    play(function* () {
      const inner = createTask(sleep(2, "inner"));
      const all = gather(shield(inner), sleep(5));
      yield* sleep(1);
      all.cancel();
      yield* thrownIn(all);
      expect([yield* inner, now()]).toEqual(["inner", 2]);
    });
  });

  test("test_shield_*, test_shield_cancel_outer_exception: result, exception and cancellation of the inner; a late failure is reported", () => {
    const { finish, complaints } = stage();
    const error = new TypeError("x");
    finish(
      (function* () {
        const done = newFuture<number>();
        done.setResult(1);
        expect(shield(done)).toBe(done);
        expect(yield* shield(sleep(1, 2))).toBe(2);
        const cancelled = newFuture<void>();
        const outer = shield(cancelled);
        cancelled.cancel();
        expect(yield* thrownIn(outer)).toBeInstanceOf(CancelledError);
        expect(outer.cancelled()).toBe(true);
        const late = newFuture<void>();
        for (const shielded of [shield(late), shield(late)]) shielded.cancel();
        yield* sleep(0);
        late.setException(error);
        yield* sleep(1);
      })(),
    );
    expect(complaints).toMatchObject([{ message: "TypeError exception in shielded future", exception: error }]);
  });
});

describe("time limits", () => {
  test("test_wait_for_timeout_less_then_0_or_0_coroutine_do_not_started: a coroutine does not begin, a done future gives its result", () => {
    play(function* () {
      let begun = false;
      const coroutine = function* (): Coroutine<void> {
        begun = true;
      };
      expect(yield* thrownIn(waitFor(coroutine(), 0))).toBeInstanceOf(TimeoutError);
      expect(yield* thrownIn(waitFor(coroutine(), -1))).toMatchObject({
        name: "TimeoutError",
        cause: expect.any(CancelledError) as unknown,
      });
      const done = newFuture<number>();
      done.setResult(3);
      expect([begun, yield* waitFor(done, 0), now()]).toEqual([false, 3, 0]);
    });
  });

  test("test_wait_for: result, error, no limit, cancelled from outside", () => {
    play(function* () {
      expect(yield* waitFor(sleep(1, "a"), 2)).toBe("a");
      expect(yield* waitFor(sleep(1, "b"), null)).toBe("b");
      const task = yield* started(waitFor(sleep(10), 20));
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
      expect(yield* thrownIn(waitFor((() => sleep(1)) as never, 1))).toMatchObject({ code: "NOT_AN_OPERATION" });
    });
  });

  test("test_wait_for_issue86296: a cancellation is not lost when the inner has just finished", () => {
    play(function* () {
      const inner = newFuture<number>();
      const task = yield* started(waitFor(inner, 5));
      inner.setResult(1);
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
    });
  });

  test("test_nested_timeouts_loop_busy: due while the loop was busy: both expire, and the outer one is thrown", () => {
    const { clock, finish } = stage();
    const log: string[] = [];
    finish(
      (function* () {
        try {
          yield* timeout(2).with(function* () {
            try {
              yield* timeout(1).with(function* () {
                clock.advanceTo(3000); // busy
                yield* sleep(5);
              });
            } catch (error) {
              log.push(`inner ${(error as Error).name}`);
              if (!(error instanceof TimeoutError)) throw error;
            }
            yield* sleep(5);
          });
        } catch (error) {
          log.push(`outer ${(error as Error).name}`);
        }
      })(),
    );
    expect(log).toEqual(["inner CancelledError", "outer TimeoutError"]);
  });

  test("test_foreign_cancel_doesnt_timeout_if_not_expired, test_cancel_in_timeout_after_cancellation", () => {
    play(function* () {
      const limit = timeout(10);
      const task = yield* started(limit.with(() => sleep(20)));
      task.cancel();
      expect([yield* thrownIn(task), limit.expired()]).toEqual([expect.any(CancelledError), false]);
      const again = yield* started(
        (function* () {
          try {
            yield* sleep(10);
          } catch {}
          // cancelled before, and not taken back: the timeout converts all the same
          return yield* thrownIn(timeout(1).with(() => sleep(10)));
        })(),
      );
      again.cancel();
      expect([yield* again, again.cancelling()]).toEqual([expect.any(TimeoutError), 1]);
    });
  });

  test("test_timeout_reschedule, states and misuse", () => {
    play(function* () {
      const limit = timeoutAt(1);
      expect(thrownBy(() => limit.reschedule(2))).toBeInstanceOf(RuntimeError);
      yield* limit.with(function* (it) {
        it.reschedule(3);
        yield* sleep(2);
        expect([it.when(), it.expired()]).toEqual([3, false]);
        it.reschedule(null);
        yield* sleep(9);
      });
      expect(thrownBy(() => limit.reschedule(2))).toBeInstanceOf(RuntimeError);
      expect(yield* thrownIn(limit.with(() => sleep(1)))).toBeInstanceOf(RuntimeError);
      expect(
        yield* thrownIn(
          timeout(1).with((it) => {
            it.reschedule(0); // long past
            return sleep(5);
          }),
        ),
      ).toBeInstanceOf(TimeoutError);
      expect(now()).toBe(11);
      expect(thrownBy(() => timeout("1" as never))).toMatchObject({ code: "USAGE" });
      expect(thrownBy(() => timeout(Number.NaN))).toMatchObject({ code: "ASYNCIO_VALUE" });
    });
  });
});

describe("groups", () => {
  test("test_cancel_children_on_child_error: siblings and body are cancelled, the group is thrown, the count is 0", () => {
    const log: string[] = [];
    play(function* () {
      const error = new Error("x");
      const sibling = function* (): Coroutine<void> {
        try {
          yield* sleep(10);
        } finally {
          log.push("sibling");
        }
      };
      const thrown = yield* thrownIn(
        new TaskGroup().with(function* (group) {
          group.createTask(sibling());
          group.createTask(
            (function* () {
              yield* sleep(1);
              throw error;
            })(),
          );
          try {
            yield* sleep(20);
          } finally {
            log.push("body");
          }
        }),
      );
      expect([(thrown as ExceptionGroup).exceptions, now(), currentTask()!.cancelling()]).toEqual([[error], 1, 0]);
      yield* sleep(1); // the cancellation was taken back
    });
    expect(log).toEqual(["sibling", "body"]);
  });

  test("test_nested_groups_both_cancelled: the inner keeps the outer's cancellation", () => {
    play(function* () {
      const [outerError, innerError] = [new Error("outer"), new Error("inner")];
      const fail = function* (error: Error): Coroutine<void> {
        yield* sleep(1);
        throw error;
      };
      const thrown = (yield* thrownIn(
        new TaskGroup().with(function* (outer) {
          outer.createTask(fail(outerError));
          yield* new TaskGroup().with(function* (inner) {
            inner.createTask(fail(innerError));
            yield* sleep(5);
          });
        }),
      )) as ExceptionGroup;
      expect(thrown.exceptions[0]).toBe(outerError);
      expect((thrown.exceptions[1] as ExceptionGroup).exceptions).toEqual([innerError]);
    });
  });

  test("test_taskgroup_25: children that start children are all waited for", () => {
    play(function* () {
      let ended = 0;
      yield* new TaskGroup().with(function* (group) {
        const spread = function* (depth: number): Coroutine<void> {
          yield* sleep(1);
          if (depth > 0) for (let i = 0; i < 2; i++) group.createTask(spread(depth - 1));
          ended++;
        };
        group.createTask(spread(4));
      });
      expect([ended, now()]).toEqual([31, 5]);
    });
  });

  test("test_cancels_task_if_created_during_creation: an eager child that fails cancels the body at its next wait, not in the call", () => {
    play(function* () {
      const error = new Error("x");
      const log: string[] = [];
      const thrown = yield* thrownIn(
        new TaskGroup().with(function* (group) {
          group.createTask(
            // oxlint-disable-next-line require-yield -- it fails in its first step
            (function* (): Coroutine<void> {
              throw error;
            })(),
            { eagerStart: true },
          );
          log.push("after the call");
          group.createTask(sleep(10));
          yield* sleep(0);
          log.push("never");
        }),
      );
      expect([(thrown as ExceptionGroup).exceptions, log, now()]).toEqual([[error], ["after the call"], 0]);
    });
  });

  test("test_taskgroup entering twice, too early, too late", () => {
    play(function* () {
      const group = new TaskGroup();
      expect(thrownBy(() => group.createTask(sleep(1)))).toBeInstanceOf(RuntimeError);
      expect(yield* group.with(() => sleep(1, "body"))).toBe("body");
      expect(yield* thrownIn(group.with(() => sleep(1)))).toBeInstanceOf(RuntimeError);
      const late = sleep(1);
      expect(thrownBy(() => group.createTask(late))).toBeInstanceOf(RuntimeError);
      expect(late.next().done).toBe(true); // closed
    });
  });

  test("test_taskgroup_cancel (3.15): ends quietly, from inside, from a child, before entry, after exit, twice", () => {
    play(function* () {
      const log: string[] = [];
      const group = new TaskGroup();
      const child = function* (): Coroutine<void> {
        try {
          yield* sleep(10);
        } finally {
          log.push("child");
        }
      };
      const result = yield* group.with(function* () {
        group.createTask(child());
        getRunningLoop().callLater(1, () => group.cancel());
        yield* sleep(20);
        return "never";
      });
      group.cancel();
      expect([result, log, now(), currentTask()!.cancelling()]).toEqual([undefined, ["child"], 1, 0]);
      const before = new TaskGroup();
      before.cancel();
      before.cancel();
      yield* before.with(function* () {
        log.push("body begins");
        yield* sleep(1);
        log.push("never");
      });
      expect([log, now()]).toEqual([["child", "body begins"], 1]);
    });
  });

  test("a foreign cancellation while a cancelled group ends counts and is not thrown (3.15rc1; thrown since gh-155433)", () => {
    play(function* () {
      const task = yield* started(
        (function* () {
          yield* new TaskGroup().with(function* (group) {
            group.createTask(
              (function* () {
                try {
                  yield* sleep(10);
                } finally {
                  yield* sleep(2);
                }
              })(),
            );
            getRunningLoop().callLater(1, () => group.cancel());
            yield* sleep(0);
          });
        })(),
      );
      yield* sleep(2);
      task.cancel();
      expect([yield* task, task.cancelling()]).toEqual([undefined, 1]);
    });
  });
});

describe("between tasks", () => {
  test("test_cancel_release_race (Lock): a cancelled waiter hands on", () => {
    play(function* () {
      const lock = new Lock();
      yield* lock.acquire();
      const [a, b] = [createTask(lock.acquire()), createTask(lock.acquire())];
      yield* sleep(0);
      lock.release();
      a.cancel();
      yield* thrownIn(a);
      expect([yield* b, lock.locked()]).toEqual([true, true]);
      lock.release();
      expect(thrownBy(() => lock.release())).toBeInstanceOf(RuntimeError);
    });
  });

  test("test_cancelled_wakeup (Condition): a notification is not lost with a cancelled waiter", () => {
    play(function* () {
      const condition = new Condition();
      const waiter = (): Coroutine<string> =>
        condition.with(function* () {
          yield* condition.wait();
          return "woke";
        });
      const [a, b] = [createTask(waiter()), createTask(waiter())];
      yield* sleep(0);
      yield* condition.with(function* () {
        condition.notify();
        a.cancel();
        yield* sleep(0);
      });
      yield* thrownIn(a);
      expect([yield* b, condition.locked()]).toEqual(["woke", false]);
    });
  });

  test("test_cancelled_error_re_aquire: the lock is held again before the error leaves wait", () => {
    play(function* () {
      const condition = new Condition();
      const seen: unknown[] = [];
      const task = yield* started(
        (function* () {
          yield* condition.acquire();
          try {
            yield* condition.wait();
          } catch (error) {
            seen.push((error as CancelledError).message, condition.locked());
            condition.release();
            throw error;
          }
        })(),
      );
      yield* condition.acquire();
      task.cancel("first");
      yield* sleep(0);
      task.cancel("second"); // while it waits for the lock
      yield* sleep(0);
      condition.release();
      yield* thrownIn(task);
      expect(seen).toEqual(["second", true]);
    });
  });

  test("test_wait_for (Condition) and misuse", () => {
    play(function* () {
      const condition = new Condition(new Lock());
      let items = 0;
      const consumer = createTask(condition.with(() => condition.waitFor(() => items)));
      yield* sleep(0);
      for (let i = 0; i < 2; i++) {
        yield* condition.with(function* () {
          items = i;
          condition.notifyAll();
        });
        yield* sleep(1);
      }
      expect(yield* consumer).toBe(1);
      expect(thrownBy(() => condition.notify())).toBeInstanceOf(RuntimeError);
      expect(yield* thrownIn(condition.wait())).toBeInstanceOf(RuntimeError);
    });
  });

  test("test_acquire_fifo_order_4 (Semaphore): several releases wake in order", () => {
    play(function* () {
      const semaphore = new Semaphore(0);
      const order: number[] = [];
      const take = function* (i: number): Coroutine<void> {
        yield* semaphore.acquire();
        order.push(i);
      };
      const tasks = [0, 1, 2, 3].map((i) => createTask(take(i)));
      yield* sleep(0);
      tasks[1]!.cancel();
      semaphore.release();
      semaphore.release();
      semaphore.release();
      yield* wait(tasks);
      expect([order, semaphore.locked()]).toEqual([[0, 2, 3], true]);
    });
  });

  test("test_acquire_no_hang (Semaphore): a waiter that is cancelled after it was woken hands the permit on", () => {
    play(function* () {
      const semaphore = new Semaphore(1);
      yield* semaphore.acquire();
      const [a, b] = [createTask(semaphore.acquire()), createTask(semaphore.acquire())];
      yield* sleep(0);
      semaphore.release();
      a.cancel();
      expect([yield* thrownIn(a), yield* b]).toEqual([expect.any(CancelledError), true]);
    });
  });

  test("test_acquire_fifo_order (Semaphore): who came while others stood in line is served once these have passed", () => {
    play(function* () {
      const semaphore = new Semaphore(0);
      const first = yield* started(semaphore.acquire());
      semaphore.release();
      semaphore.release(); // one permit is free now, and first has not taken its own yet
      const second = createTask(semaphore.acquire(), { eagerStart: true });
      expect(second.done()).toBe(false);
      expect(yield* gather(first, second)).toEqual([true, true]);
    });
  });

  test("test_get_cancelled_race, test_why_are_putters_waiting (Queue)", () => {
    play(function* () {
      const queue = new Queue<number>(1);
      yield* queue.put(0);
      const putters = [1, 2].map((i) => createTask(queue.put(i)));
      yield* sleep(0);
      expect(queue.getNowait()).toBe(0);
      putters[0]!.cancel(); // it was woken: the place is for the next one
      yield* thrownIn(putters[0]!);
      yield* putters[1]!;
      expect([yield* queue.get(), queue.qsize()]).toEqual([2, 0]);
    });
  });

  test("test_barrier: indices, several rounds, one who comes while it drains, a cancelled one, reset, abort", () => {
    play(function* () {
      const barrier = new Barrier(2);
      const [a, b, c, d] = [0, 1, 2, 3].map(() => createTask(barrier.wait()));
      expect(yield* gather(a!, b!, c!, d!)).toEqual([0, 1, 0, 1]);
      const lonely = yield* started(barrier.wait());
      expect(barrier.nWaiting).toBe(1);
      lonely.cancel();
      yield* thrownIn(lonely);
      expect(barrier.nWaiting).toBe(0);
      const resetting = yield* started(barrier.wait());
      yield* barrier.reset();
      expect(yield* thrownIn(resetting)).toMatchObject({ code: "BARRIER_BROKEN" });
      const pair = [createTask(barrier.wait()), createTask(barrier.with((index) => sleep(0, index)))];
      expect(yield* gather(...pair)).toEqual([0, 1]);
      const aborted = yield* started(barrier.wait());
      yield* barrier.abort();
      expect([yield* thrownIn(aborted), barrier.broken]).toEqual([
        expect.objectContaining({ code: "BARRIER_BROKEN" }),
        true,
      ]);
      expect(yield* thrownIn(barrier.wait())).toMatchObject({ code: "BARRIER_BROKEN" });
      yield* barrier.reset();
      expect([barrier.broken, barrier.parties]).toEqual([false, 2]);
    });
  });

  test("a primitive belongs to the loop that waits for it first", () => {
    const lock = new Lock();
    play(function* () {
      yield* lock.acquire();
      const waiter = yield* started(lock.acquire());
      waiter.cancel();
      yield* thrownIn(waiter);
    });
    expect(failureOf(() => lock.acquire())).toBeInstanceOf(RuntimeError);
  });
});
