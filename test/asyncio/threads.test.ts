import { EventLoop as KernelLoop, run as fibrilRun, sleep as fibrilSleep, spawn, timeout, until, use } from "fibril";
import { describe, expect, test } from "vitest";
import {
  CancelledError,
  ConcurrentFuture,
  createTask,
  getRunningLoop,
  newEventLoop,
  run,
  runCoroutineThreadsafe,
  RuntimeError,
  sleep,
  ThreadPoolExecutor,
  toThread,
  wrapFuture,
} from "../../src/asyncio/index.ts";
import type { Coroutine } from "../../src/asyncio/index.ts";
import { InlineExecutor, ThreadPool, toThread as fibrilToThread } from "../../src/executors/index.ts";
import { double, longSleep } from "./jobs.ts";
import { thrownBy, thrownIn } from "./virtual.ts";

const shared = (): Int32Array => new Int32Array(new SharedArrayBuffer(8));

const runMain = <T>(main: () => Coroutine<T>): Promise<T> => run(main());

/** Until the job has begun. */
const begun = (seen: Int32Array): Promise<void> =>
  fibrilRun(function* () {
    while (Atomics.load(seen, 0) === 0) yield* fibrilSleep(1);
  });

describe("toThread", () => {
  test("gives the job's result or its error; the loop runs on meanwhile", async () => {
    const seen = await runMain(function* () {
      let ticks = 0;
      const ticker = createTask(
        (function* () {
          for (;;) {
            yield* sleep(0);
            ticks++;
          }
        })(),
      );
      const value = yield* toThread(double, 21);
      const error = yield* thrownIn(toThread(double, Number.NaN));
      ticker.cancel();
      return [value, error instanceof RangeError, ticks > 0];
    });
    expect(seen).toEqual([42, true, true]);
  });

  test("cancelled, the wait ends at once, and the job is cancelled and cleans up", async () => {
    const seen = shared();
    await runMain(function* () {
      const task = createTask(toThread(longSleep, seen));
      yield* wrapFuture(begun(seen));
      task.cancel();
      expect(yield* thrownIn(task)).toBeInstanceOf(CancelledError);
    });
    expect([...seen]).toEqual([1, 1]); // `run` has waited for the default executor
  });
});

describe("ThreadPoolExecutor", () => {
  test("submit gives a future for code outside of loops", async () => {
    const executor = new ThreadPoolExecutor({ on: new InlineExecutor() });
    const future = executor.submit(double, 4);
    const told: unknown[] = [];
    future.addDoneCallback((it) => told.push(it === future));
    expect([future.done(), thrownBy(() => future.result())]).toMatchObject([false, { code: "INVALID_STATE" }]);
    expect(await future).toBe(8);
    expect([future.result(), future.exception(), future.done(), future.cancelled(), future.cancel()]).toEqual([
      8,
      null,
      true,
      false,
      false,
    ]);
    expect(told).toEqual([true]);
    await executor.shutdown();
    expect(thrownBy(() => executor.submit(double, 1))).toBeInstanceOf(RuntimeError);
  });

  test("map gives the results in the order of the items, and its first failure cancels the rest", async () => {
    const executor = new ThreadPoolExecutor({ on: new InlineExecutor() });
    const results: number[] = [];
    for await (const result of executor.map(double, [1, 2, 3])) results.push(result);
    expect(results).toEqual([2, 4, 6]);
    const failing = executor.map(double, [1, Number.NaN, 3]);
    expect(await failing.next()).toEqual({ done: false, value: 2 });
    await expect(failing.next()).rejects.toBeInstanceOf(RangeError);
    await executor.shutdown();
  });

  test("what is submitted must be a job: a function is refused with what to write instead", async () => {
    const executor = new ThreadPoolExecutor();
    expect(thrownBy(() => executor.submit(Math.sqrt as never, 4))).toMatchObject({
      name: "UsageError",
      message: expect.stringContaining("job(import.meta.url") as unknown,
    });
    await executor.shutdown();
  });

  test("a default executor of one's own is used, and one loop's jobs are waited for at its end", async () => {
    const executor = new ThreadPoolExecutor({ on: new InlineExecutor({ name: "mine" }) });
    const result = await runMain(function* () {
      getRunningLoop().setDefaultExecutor(executor);
      return yield* getRunningLoop().runInExecutor(null, double, 5);
    });
    expect(result).toBe(10);
    expect(thrownBy(() => executor.submit(double, 1))).toBeInstanceOf(RuntimeError); // shut down with the run
    const loop = newEventLoop();
    expect(thrownBy(() => loop.setDefaultExecutor({} as never))).toMatchObject({ name: "UsageError" });
    const foreign = { submit: () => Promise.resolve(0 as never) };
    expect(thrownBy(() => loop.runInExecutor(foreign, "no function" as never))).toMatchObject({ name: "UsageError" });
    loop.close();
  });

  test("cancelFutures cancels what has not ended", async () => {
    const seen = shared();
    const executor = new ThreadPoolExecutor({ on: new InlineExecutor() });
    const future = executor.submit(longSleep, seen);
    await begun(seen);
    await executor.shutdown({ cancelFutures: true });
    expect([future.cancelled(), ...seen]).toEqual([true, 1, 1]);
  });
});

describe("runCoroutineThreadsafe", () => {
  function* add(a: number, b: number): Coroutine<number> {
    yield* sleep(0.001);
    return a + b;
  }

  test("adds a coroutine to a loop that runs, from outside, and gives its result there", async () => {
    const loop = newEventLoop();
    const running = loop.runForever();
    const future = runCoroutineThreadsafe(add(1, 2), loop);
    expect(future).toBeInstanceOf(ConcurrentFuture);
    expect(await future).toBe(3);
    const failed = runCoroutineThreadsafe(
      (function* (): Coroutine<void> {
        throw new RangeError("no");
      })(),
      loop,
    );
    await expect(failed).rejects.toBeInstanceOf(RangeError);
    expect(thrownBy(() => runCoroutineThreadsafe(add as never, loop))).toMatchObject({ name: "UsageError" });
    loop.callSoonThreadsafe(() => loop.stop());
    await running;
    loop.close();
  });

  test("test_run_coroutine_threadsafe_with_timeout: whoever gives up outside cancels the task inside", async () => {
    const loop = newEventLoop();
    const running = loop.runForever();
    let ended = "";
    const future = runCoroutineThreadsafe(
      (function* (): Coroutine<void> {
        try {
          yield* sleep(60);
        } catch (error) {
          ended = error instanceof CancelledError ? "cancelled" : "failed";
          throw error;
        }
      })(),
      loop,
    );
    await fibrilRun(function* () {
      try {
        yield* timeout(5, until(future));
      } catch {
        future.cancel();
      }
    });
    await fibrilRun(function* () {
      while (ended === "") yield* fibrilSleep(1);
    });
    expect([future.cancelled(), ended]).toEqual([true, "cancelled"]);
    await expect(future).rejects.toBeInstanceOf(CancelledError);
    loop.stop();
    await running;
    loop.close();
  });

  test("cancelled before the loop has taken it, it never begins", async () => {
    const loop = newEventLoop();
    let began = false;
    const future = runCoroutineThreadsafe(
      (function* (): Coroutine<void> {
        began = true;
        yield* sleep(0);
      })(),
      loop,
    );
    future.cancel();
    await loop.runUntilComplete(sleep(0.001));
    expect([began, future.cancelled()]).toEqual([false, true]);
    loop.close();
  });

  test("a callback that throws is reported and stops nobody", async () => {
    const loop = newEventLoop();
    const complaints: unknown[] = [];
    loop.setExceptionHandler((_loop, { exception }) => void complaints.push(exception));
    const future = runCoroutineThreadsafe(add(1, 1), loop);
    const error = new Error("in callback");
    future.addDoneCallback(() => {
      throw error;
    });
    await loop.runUntilComplete(
      (function* (): Coroutine<void> {
        while (!future.done()) yield* sleep(0.001);
      })(),
    );
    expect([await future, complaints]).toEqual([2, [error]]);
    loop.close();
  });
});

test("test_run_in_worker_thread_cancellation: Fibril's toThread waits until the job has ended in its thread", async () => {
  const seen = shared();
  await fibrilRun(function* () {
    const task = spawn(() => fibrilToThread(longSleep, seen));
    yield* until(begun(seen));
    yield* task.cancel();
    expect([...seen]).toEqual([1, 1]);
  });
});

test("a pool of Fibril serves asyncio, too", async () => {
  await fibrilRun(function* () {
    const pool = yield* use(new ThreadPool({ maxWorkers: 1 }));
    const executor = new ThreadPoolExecutor({ on: pool });
    expect(yield* until(executor.submit(double, 3))).toBe(6);
    yield* until(executor.shutdown());
    expect(yield* pool.call(double, 4)).toBe(8); // it is not shut down with what stands on it
    yield* fibrilSleep(0);
    expect(KernelLoop.current().name).toBeTypeOf("string");
  });
});
