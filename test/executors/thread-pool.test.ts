/**
 * What only threads can do, and what only threads can do wrong.
 */
import { spawn as spawnProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { forEach, scope, sleep, spawn, suppressedErrors, until, use, wait } from "fibril";
import type { Coroutine } from "fibril";
import { afterEach, describe, expect, test } from "vitest";
import {
  ExecutorBrokenError,
  isCancelled,
  job,
  JobNotFoundError,
  progress,
  ThreadPool,
  toThread,
  WorkerCrashedError,
} from "../../src/executors/index.ts";
import type { ThreadPoolOptions } from "../../src/executors/index.ts";
import * as jobs from "./jobs.ts";
import { eventually, flags, really, threadsNamed, thrownIn } from "./threads.ts";

const NAME = "tp";

function* open(options: ThreadPoolOptions = {}): Coroutine<ThreadPool> {
  return yield* use(new ThreadPool({ maxWorkers: 2, name: NAME, ...options }));
}

afterEach(noThreadIsLeft);

function noThreadIsLeft(): void {
  expect(threadsNamed(NAME)).toBe(0);
}

describe("cancelling what does not wait", () => {
  test("a loop that polls isCancelled() ends; what it returns is its value", () =>
    really(function* () {
      const pool = yield* open();
      const started = flags();
      const handle = yield* pool.submit(jobs.pollUntilCancelled, started);
      yield* eventually(() => started[0] === 1);
      expect(yield* handle.cancel()).toBe(false);
      expect(yield* handle).toBe("gave what it had");
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("one that has begun before this thread has made another step keeps its value, too", () =>
    really(function* () {
      const pool = yield* open();
      yield* pool.call(jobs.square, 1); // a thread is there
      const started = flags();
      const handle = yield* pool.submit(jobs.pollUntilCancelled, started);
      for (let i = 0; i < 5_000 && Atomics.load(started, 0) === 0; i++) Atomics.wait(started, 1, 0, 1); // blocks the loop
      expect(yield* handle.cancel()).toBe(false);
      expect(yield* handle).toBe("gave what it had");
    }));

  test("throwIfCancelled() makes it a cancellation", () =>
    really(function* () {
      const pool = yield* open();
      const started = flags();
      const handle = yield* pool.submit(jobs.throwWhenCancelled, started);
      yield* eventually(() => started[0] === 1);
      expect(yield* handle.cancel()).toBe(true);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("what takes no notice loses its thread after graceMs; the next job gets a new one", () =>
    really(function* () {
      const pool = yield* open({ maxWorkers: 1, graceMs: 20 });
      const started = flags();
      const handle = yield* pool.submit(jobs.spin, started);
      yield* eventually(() => started[0] === 1);
      const behind = yield* pool.submit(jobs.add, 1, 2);
      expect(yield* handle.cancel()).toBe(true);
      expect(yield* behind).toBe(3);
      expect(pool.statistics()).toMatchObject({ cancelled: 1, workers: { total: 1, crashes: 0 } });
    }));
});

describe("a thread that dies", () => {
  test.each([
    ["process.exit", (pool: ThreadPool) => pool.call(jobs.exit, 7), { exitCode: 7 }],
    ["an uncaught error", (pool: ThreadPool) => pool.call(jobs.crash), { cause: { message: "nobody catches this" } }],
  ])("by %s settles its job, and the pool goes on", (_, crash, expected) =>
    really(function* () {
      const pool = yield* open({ maxWorkers: 1 });
      const error = yield* thrownIn(() => crash(pool));
      expect(error).toBeInstanceOf(WorkerCrashedError);
      expect(error).toMatchObject({ code: "WORKER_CRASHED", ...expected });
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 1 });
    }),
  );

  test("by lack of memory does so, too", () =>
    really(function* () {
      const pool = yield* open({
        maxWorkers: 1,
        resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
      });
      const error = (yield* thrownIn(() => pool.call(jobs.devour))) as WorkerCrashedError;
      expect(error).toBeInstanceOf(WorkerCrashedError);
      expect(error.cause).toMatchObject({ code: "ERR_WORKER_OUT_OF_MEMORY" });
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
    }));

  test("loses no other job: what lay ready behind the crash runs elsewhere", () =>
    really(function* () {
      const pool = yield* open();
      for (let i = 0; i < 20; i++) yield* pool.call(jobs.add, i, 1); // short ones, so that jobs go ahead
      const handles = [];
      for (let i = 0; i < 60; i++) handles.push(yield* pool.submit(jobs.add, i, 1));
      const crash = yield* pool.submit({ priority: 1 }, jobs.exit, 1);
      for (let i = 0; i < 60; i++) handles.push(yield* pool.submit(jobs.add, i, 1));
      yield* wait(handles);
      expect(handles.map((it) => it.outcome?.status)).toEqual(handles.map(() => "succeeded"));
      expect(yield* thrownIn(() => crash)).toBeInstanceOf(WorkerCrashedError);
      expect(pool.statistics()).toMatchObject({ succeeded: 140, failed: 1 });
    }));

  test("during a map fails the map", () =>
    really(function* () {
      const pool = yield* open();
      const results = pool.map(jobs.exit, [1, 2, 3]);
      expect(yield* thrownIn(() => results.next())).toBeInstanceOf(WorkerCrashedError);
    }));
});

describe("who gets which job", () => {
  test("no short job stays behind a long one while another thread is free", () =>
    really(function* () {
      const pool = yield* open();
      for (let i = 0; i < 20; i++) yield* pool.call(jobs.add, i, 1);
      const gate = flags();
      const handles = [];
      for (let i = 0; i < 6; i++) handles.push(yield* pool.submit(jobs.add, i, 1));
      const long = yield* pool.submit(jobs.block, gate);
      for (let i = 0; i < 40; i++) handles.push(yield* pool.submit(jobs.add, i, 1));
      yield* wait(handles);
      expect(long.isSettled).toBe(false);
      Atomics.store(gate, 1, 1);
      Atomics.notify(gate, 1);
      expect(yield* long).toBe("was let go");
    }));

  test("threads are started when needed and end when idle", () =>
    really(function* () {
      const pool = yield* open({ idleMs: 10 });
      expect(pool.statistics().workers.total).toBe(0);
      const both = [yield* pool.submit(jobs.nap, 1), yield* pool.submit(jobs.nap, 1)];
      expect(pool.statistics().workers.total).toBe(2);
      yield* wait(both);
      yield* eventually(() => pool.statistics().workers.total === 0);
      yield* eventually(() => threadsNamed(NAME) === 0);
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
    }));

  test("minWorkers are there from the beginning and stay", () =>
    really(function* () {
      const pool = yield* open({ minWorkers: 1, idleMs: 1 });
      expect(pool.statistics().workers.total).toBe(1);
      yield* wait([yield* pool.submit(jobs.nap, 1), yield* pool.submit(jobs.nap, 1)]);
      yield* eventually(() => pool.statistics().workers.total === 1);
      yield* sleep(10);
      expect(pool.statistics().workers.total).toBe(1);
    }));

  test("recycleAfter gives a fresh thread, with modules of its own", () =>
    really(function* () {
      const pool = yield* open({ maxWorkers: 1, recycleAfter: 2 });
      const counts = [];
      for (let i = 0; i < 5; i++) counts.push(yield* pool.call(jobs.count));
      expect(counts).toEqual([1, 2, 1, 2, 1]);
      expect(pool.statistics().workers.crashes).toBe(0);
    }));

  test("the initializer runs in each thread before its first job", () =>
    really(function* () {
      const pool = yield* open({ initializer: { job: jobs.prepare, args: [100] } });
      const both = [yield* pool.submit(jobs.count), yield* pool.submit(jobs.count)];
      const counts = [yield* both[0]!, yield* both[1]!];
      expect(Math.min(...counts)).toBe(101);
    }));

  test("an initializer that fails breaks the pool, and every job says why", () =>
    really(function* () {
      const pool = yield* open({ maxWorkers: 1, initializer: { job: jobs.failToPrepare } });
      const handles = [yield* pool.submit(jobs.count), yield* pool.submit(jobs.count)];
      for (const handle of handles) expect(yield* thrownIn(() => handle)).toBeInstanceOf(ExecutorBrokenError);
      expect(yield* thrownIn(() => pool.submit(jobs.count))).toMatchObject({ code: "EXECUTOR_BROKEN" });
    }));
});

describe("finding the job", () => {
  test("one that its module does not define on import is not found, and the message says so", () =>
    really(function* () {
      const pool = yield* open();
      const error = yield* thrownIn(() => pool.call(jobs.makeHidden()));
      expect(error).toBeInstanceOf(JobNotFoundError);
      expect(error).toMatchObject({
        code: "JOB_NOT_FOUND",
        message: expect.stringMatching(/defines no such job when it is imported, only "add"/),
      });
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
    }));

  test("a module that cannot be imported says why", () =>
    really(function* () {
      const pool = yield* open();
      const lost = job("file:///nowhere/lost.ts", function lost() {});
      expect(yield* thrownIn(() => pool.call(lost))).toMatchObject({
        code: "JOB_NOT_FOUND",
        message: expect.stringMatching(/cannot be imported: .*nowhere/),
      });
    }));

  test("a function without a name is refused when it is made", () => {
    expect(() => job(import.meta.url, () => 1)).toThrow(/has no name/);
    expect(() => job("jobs.ts", function named() {})).toThrow(/takes import.meta.url first/);
    expect(job(import.meta.url, () => 1, { name: "one" }).name).toBe("one");
  });

  test("outside of a job its functions do nothing", () => {
    progress(1);
    expect(isCancelled()).toBe(false);
  });
});

test("toThread shares a pool that keeps nothing alive", () =>
  really(function* () {
    expect(yield* toThread(jobs.add, 1, 2)).toBe(3);
    expect(yield* thrownIn(() => toThread(jobs.fail, "range"))).toMatchObject({ className: "RangeError" });
  }));

test("nothing is left on the loop after a storm of cancellations", () =>
  really(function* () {
    const pool = yield* open({ graceMs: 2_000 });
    for (let round = 0; round < 30; round++) {
      yield* scope(function* (own) {
        for (let i = 0; i < 10; i++) yield* pool.submit(jobs.slowSquare, i);
        spawn(() => pool.call(jobs.slowSquare, 1));
        spawn(() => forEach(pool.map(jobs.slowSquare, [1, 2, 3]), function* () {}));
        yield* sleep(round % 3);
        void own.cancel();
      });
      expect(pool.statistics()).toMatchObject({ running: 0, queue: { size: 0, waiting: 0 } });
    }
    expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
    expect(pool.statistics().workers.crashes).toBe(0);
    expect(suppressedErrors(undefined)).toEqual([]);
  }));

describe("programs", () => {
  function program(
    file: string,
  ): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
    return runProgram(file, () => {});
  }

  function runProgram(
    file: string,
    onOutput: (child: ReturnType<typeof spawnProcess>, text: string) => void,
  ): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
    const child = spawnProcess(
      process.execPath,
      [...process.execArgv, fileURLToPath(new URL(`programs/${file}`, import.meta.url))],
      { timeout: 50_000, killSignal: "SIGKILL" },
    );
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (part) => {
      stdout += String(part);
      onOutput(child, stdout);
    });
    child.stderr.on("data", (part) => (stderr += String(part)));
    return new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr })));
  }

  test("idle threads keep no process alive, though nobody has shut the pool down", () =>
    really(function* () {
      const ended = yield* until(program("leaves-pool-open.ts"));
      expect(ended).toMatchObject({ code: 0, stdout: "3\n", stderr: "" });
    }));

  test("a job of the main module is refused with advice; behind a guard, and said so, it runs", () =>
    really(function* () {
      const ended = yield* until(program("in-main.ts"));
      expect(ended).toMatchObject({ code: 0, stderr: "" });
      expect(ended.stdout.split("\n")).toEqual([
        expect.stringMatching(/JOB_IN_MAIN.*defined in the program's main module.*isMainThread/),
        "guarded: 42",
        "",
      ]);
    }));

  test("Ctrl-C cancels the program, its jobs clean up, and the process ends", () =>
    really(function* () {
      const ended = yield* until(
        runProgram("interrupted.ts", (child, text) => {
          if (text.endsWith("running\n")) child.kill("SIGINT");
        }),
      );
      expect(ended).toMatchObject({ code: 130, stderr: "" });
      expect(ended.stdout).toBe("running\ncleaned up: 1\n");
    }));
});
