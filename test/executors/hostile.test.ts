/**
 * Jobs, modules and callers that behave badly: every job has one outcome all the same, the next one is served, nothing is left.
 */
import { setEnvironmentData } from "node:worker_threads";
import { forEach, scope, sleep, spawn, TimeoutError, until, use, wait } from "fibril";
import type { Coroutine } from "fibril";
import { afterEach, describe, expect, test } from "vitest";
import {
  InlineExecutor,
  job,
  JobCloneError,
  JobError,
  JobNotFoundError,
  LoopThread,
  ThreadChannel,
  ThreadPool,
  WorkerCrashedError,
} from "../../src/executors/index.ts";
import type { Executor, Job, JobHandle, ThreadPoolOptions } from "../../src/executors/index.ts";
import * as hostile from "./hostile-jobs.ts";
import * as jobs from "./jobs.ts";
import { eventually, flags, openGate, really, threadsNamed, thrownIn } from "./threads.ts";

const NAME = "ho";

function* open(options: ThreadPoolOptions = {}): Coroutine<ThreadPool> {
  return yield* use(new ThreadPool({ maxWorkers: 1, name: NAME, ...options }));
}

function* listOf(values: Parameters<typeof forEach>[0]): Coroutine<unknown[]> {
  const list: unknown[] = [];
  yield* forEach(values, function* (value) {
    list.push(value);
  });
  return list;
}

afterEach(noThreadIsLeft);

function noThreadIsLeft(): void {
  expect(threadsNamed(NAME)).toBe(0);
}

/** A module that stands at a gate while it is imported; `gate[0]` says that it does. Threads that are started later know the gate. */
function closeImportGate(): Int32Array {
  const gate = flags();
  setEnvironmentData("import gate", gate);
  return gate;
}
const STANDS_AT_GATE = `
  import { getEnvironmentData } from "node:worker_threads";
  const gate = getEnvironmentData("import gate");
  Atomics.store(gate, 0, 1);
  while (Atomics.load(gate, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 1));`;

/** A job of a module that is nothing but this code. */
function jobOf(code: string): Job<[], void> {
  return job(`data:text/javascript,${encodeURIComponent(code)}`, function of() {});
}

describe("modules", () => {
  test("one that exits the process while it is imported crashes its job, once", () =>
    really(function* () {
      const pool = yield* open();
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
      expect(yield* thrownIn(() => pool.call(jobOf("process.exit(3)")))).toMatchObject({
        code: "WORKER_CRASHED",
        exitCode: 3,
      });
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
      expect(pool.statistics().workers.crashes).toBe(1);
    }));

  test("one that never ends to be imported costs its thread when its job is cancelled, and the next is served", () =>
    really(function* () {
      const pool = yield* open({ graceMs: 20 });
      yield* pool.call(jobs.add, 1, 2);
      const handle = yield* pool.submit(jobOf("await new Promise(() => {})"));
      yield* sleep(50);
      expect(handle.state).toBe("pending");
      expect(yield* handle.cancel()).toBe(true);
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
    }));

  test("a job that is cancelled while its module is imported never runs", () =>
    really(function* () {
      const gate = closeImportGate();
      const pool = yield* open({ graceMs: 50_000 });
      yield* pool.call(jobs.add, 1, 2);
      const handle = yield* pool.submit(jobOf(STANDS_AT_GATE));
      yield* eventually(() => gate[0] === 1);
      expect(handle.state).toBe("pending");
      const ending = handle.cancel();
      openGate(gate);
      expect(yield* ending).toBe(true);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test.each([
    ["throws", "throw new RangeError('not today')", /not today/],
    ["is no JavaScript", "this is none", /Unexpected identifier/],
    ["defines nothing", "", /defines no job/],
  ])("one that %s says so", (_, code, message) =>
    really(function* () {
      const pool = yield* open();
      const error = (yield* thrownIn(() => pool.call(jobOf(code)))) as JobNotFoundError;
      expect(error).toBeInstanceOf(JobNotFoundError);
      expect(error.message).toMatch(message);
      expect(yield* pool.call(jobs.add, 1, 2)).toBe(3);
    }),
  );
});

describe.each([
  ["InlineExecutor", () => new InlineExecutor({ concurrency: 1 }) as Executor],
  ["ThreadPool", () => new ThreadPool({ maxWorkers: 1, name: NAME }) as Executor],
])("%s: jobs", (_, make) => {
  test("a context that outlives its job speaks for nobody", () =>
    really(function* () {
      const executor = yield* use(make());
      yield* executor.call(hostile.keepContext);
      const next = yield* executor.submit(hostile.useKept);
      expect(yield* next).toBe(false);
      expect(yield* listOf(next.progress)).toEqual(["mine"]);
      expect(yield* listOf(next.logs)).toEqual([]);
    }));

  test("an async function is a job after its waits, too, with a deadline and without", () =>
    really(function* () {
      const executor = yield* use(make());
      for (const options of [{}, { deadlineMs: 50_000 }]) {
        const handle = yield* executor.submit(options, hostile.progressLater);
        expect(yield* listOf(handle.progress)).toEqual(["after an await"]);
        expect(yield* handle).toBe(true);
      }
    }));

  test("progress and items that cannot be cloned are named", () =>
    really(function* () {
      const executor = yield* use(make());
      const bad = yield* thrownIn(() => executor.call(hostile.badProgress));
      expect(bad).toBeInstanceOf(JobCloneError);
      expect(bad).toMatchObject({ what: "the progress" });
      const values = executor.stream(hostile.badItem);
      expect((yield* values.next()).value).toBe(1);
      const worse = yield* thrownIn(() => values.next());
      expect(worse).toBeInstanceOf(JobCloneError);
      expect(worse).toMatchObject({ what: "a value" });
    }));

  test("errors and results whose getters throw are failures of their job", () =>
    really(function* () {
      const executor = yield* use(make());
      const trap = yield* thrownIn(() => executor.call(hostile.throwTrap));
      expect(trap).toBeInstanceOf(JobError);
      expect((trap as JobError).message).toMatch(/a trap/);
      expect(yield* thrownIn(() => executor.call(hostile.giveTrap))).toBeInstanceOf(JobCloneError);
      expect(yield* executor.call(jobs.add, 1, 2)).toBe(3);
      expect(executor.statistics().workers.crashes).toBe(0);
    }));

  test("a second cancel changes nothing: the scope waits for the cleanup of the first", () =>
    really(function* () {
      const executor = yield* use(make());
      const ended = flags();
      const handles: JobHandle<void>[] = [];
      yield* scope(function* (own) {
        const handle = yield* executor.submit(jobs.napWithCleanup, ended);
        handles.push(handle);
        yield* eventually(() => ended[1] === 1);
        void handle.cancel("once");
        void handle.cancel("twice");
        void own.cancel("three times");
      });
      expect(ended[0]).toBe(1);
      expect(handles[0]!.outcome).toMatchObject({ status: "cancelled" });
    }));

  test("a stream waits for room in the line, like submit", () =>
    really(function* () {
      const executor = yield* use(make());
      const small = executor.constructor as new (options: object) => Executor;
      const full = yield* use(new small({ maxWorkers: 1, concurrency: 1, queueSize: 0, name: NAME }));
      const nap = yield* full.submit(jobs.nap, 20);
      const values = full.stream(jobs.countTo, 3);
      expect(yield* listOf(values)).toEqual([1, 2, 3]);
      expect(nap.state).toBe("settled");
    }));

  test("a stream that nobody takes from, or that is closed while it waits for room, leaves nothing", () =>
    really(function* () {
      const small = make().constructor as new (options: object) => Executor;
      const full = yield* use(new small({ maxWorkers: 1, concurrency: 1, queueSize: 0, name: NAME }));
      const gate = flags();
      const held = yield* full.submit(jobs.hold, gate);
      yield* scope(function* (own) {
        full.stream(jobs.countTo, 3);
        const waiting = full.stream(jobs.countTo, 3);
        spawn(() => waiting.next());
        yield* eventually(() => full.statistics().queue.waiting > 0);
        expect(full.statistics().queue.waiting).toBe(1);
        void own.cancel();
      });
      expect(full.statistics().queue.waiting).toBe(0);
      openGate(gate);
      yield* held;
      expect(full.statistics()).toMatchObject({ running: 0, succeeded: 1, cancelled: 0 });
    }));

  test("a deadline counts the time that submit and call wait for room", () =>
    really(function* () {
      const small = make().constructor as new (options: object) => Executor;
      const full = yield* use(new small({ maxWorkers: 1, concurrency: 1, queueSize: 0, name: NAME }));
      const gate = flags();
      const held = yield* full.submit(jobs.hold, gate);
      expect(yield* thrownIn(() => full.call({ deadlineMs: 20 }, jobs.nap, 1))).toBeInstanceOf(TimeoutError);
      expect(held.isSettled).toBe(false);
      spawn(function* () {
        yield* sleep(200); // begins after the submission below
        openGate(gate);
      });
      const late = yield* full.submit({ deadlineMs: 30_000 }, jobs.timeLeft); // less than all of this test has
      expect(yield* late).toBeLessThan(30_000 - 100); // the copy at the worker is a little later, so that ours comes first
    }));

  test("two who take from one map get each result once, also when the line is full", () =>
    really(function* () {
      const small = make().constructor as new (options: object) => Executor;
      const full = yield* use(new small({ maxWorkers: 2, concurrency: 2, queueSize: 0, name: NAME }));
      const naps = [yield* full.submit(jobs.nap, 20), yield* full.submit(jobs.nap, 21)];
      const results = full.map(jobs.slowSquare, [5, 1, 2, 3, 4, 6], { bufferSize: 2 });
      const seen: unknown[] = [];
      const take = function* (): Coroutine<void> {
        for (let step = yield* results.next(); step.done !== true; step = yield* results.next()) seen.push(step.value);
      };
      yield* wait([spawn(take), spawn(take), spawn(take)]);
      expect(seen.sort((a, b) => Number(a) - Number(b))).toEqual([1, 4, 9, 16, 25, 36]);
      yield* wait(naps);
      expect(full.statistics().succeeded).toBe(8);
    }));
});

describe("threads", () => {
  test("two that take no notice are both cancelled when their thread is ended for one of them", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME, graceMs: 20 });
      const started = flags();
      const both = [thread.spawn(hostile.deaf, started), thread.spawn(hostile.deaf, started)];
      const innocent = thread.spawn(jobs.nap, 60_000);
      yield* eventually(() => started[0] === 2);
      const ends = both.map((each) => each.cancel());
      for (const end of ends) expect(yield* end).toBe(true);
      const crashed = (yield* thrownIn(() => innocent)) as WorkerCrashedError;
      expect(crashed).toBeInstanceOf(WorkerCrashedError);
      expect(crashed.message).toMatch(/job "deaf" did not stop within 20 ms/);
    }));

  test("a thread that is ended for one job takes no other along, whenever that happens", () =>
    really(function* () {
      const pool = yield* open({ graceMs: 5 });
      for (let i = 0; i < 10; i++) yield* pool.call(jobs.add, i, 1);
      for (let round = 0; round < 6; round++) {
        const slow = yield* pool.submit(hostile.work, 12 + round);
        const behind = [yield* pool.submit(jobs.add, round, 1), yield* pool.submit(jobs.add, round, 2)];
        yield* eventually(() => slow.state !== "pending");
        yield* sleep(6 + round);
        void slow.cancel();
        for (const [index, handle] of behind.entries()) expect(yield* handle).toBe(round + index + 1);
      }
      expect(pool.statistics().failed).toBe(0);
    }));

  test("a flood of progress leaves the loop alive, and is stopped by a cancellation", () =>
    really(function* () {
      const pool = yield* open();
      const stop = flags();
      const handle = yield* pool.submit(hostile.flood, stop);
      yield* eventually(() => stop[1] === 1);
      yield* sleep(50);
      yield* sleep(1);
      yield* handle.cancel();
    }));

  test("a thread that ends after its job is given no other one, though its exit is not known yet", () =>
    really(function* () {
      const pool = yield* open();
      yield* pool.call(jobs.add, 1, 2);
      const flag = flags();
      const bytes = new Uint8Array(100);
      const last = yield* pool.submit(hostile.leave, flag);
      const next = yield* pool.submit({ transfer: [bytes.buffer] }, hostile.lengthOf, bytes); // cannot be sent a second time
      Atomics.wait(flag, 0, 0); // so our loop hears of the end of the job and of its thread together
      expect(yield* last).toBe("done");
      expect(yield* next).toBe(100);
    }));

  test("an unhandled rejection in a job is a crash that says so", () =>
    really(function* () {
      const pool = yield* open();
      expect(yield* thrownIn(() => pool.call(hostile.rejectLoosely))).toMatchObject({
        code: "WORKER_CRASHED",
        cause: { message: "nobody handles this" },
      });
    }));

  test("threads that die before they are ready are not started over and over", () =>
    really(function* () {
      const pool = yield* open({ minWorkers: 1, initializer: { job: hostile.exitInInitializer } });
      yield* eventually(() => pool.statistics().workers.crashes > 0);
      yield* sleep(300);
      expect(pool.statistics().workers.crashes).toBeLessThanOrEqual(2);
      expect(yield* thrownIn(() => pool.call(jobs.add, 1, 2))).toBeInstanceOf(WorkerCrashedError);
    }));

  test("a thread that hangs before it is ready keeps no job to itself", () =>
    really(function* () {
      const first = flags();
      const pool = yield* open({ maxWorkers: 2, graceMs: 20, initializer: { job: hostile.hangOnce, args: [first] } });
      const handles = [yield* pool.submit(jobs.add, 1, 1), yield* pool.submit(jobs.add, 1, 2)];
      for (const [index, handle] of handles.entries()) expect(yield* handle).toBe(2 + index);
    }));

  test("a job that lies ready behind a long one goes on when the other thread has to be replaced", () =>
    really(function* () {
      const pool = yield* open({ maxWorkers: 2 });
      for (let i = 0; i < 40; i++)
        yield* wait([yield* pool.submit(jobs.add, i, 1), yield* pool.submit(jobs.add, i, 2)]);
      const gates = [flags(), flags()];
      const blocked = [yield* pool.submit(jobs.block, gates[0]!), yield* pool.submit(jobs.block, gates[1]!)];
      const behind = [];
      for (let i = 0; i < 6; i++) behind.push(yield* pool.submit(jobs.add, i, 1));
      yield* eventually(() => blocked.every((each) => each.state === "running"));
      const crash = spawn(() => thrownIn(() => pool.call({ priority: 1 }, jobs.exit, 1)));
      Atomics.store(gates[1]!, 1, 1);
      Atomics.notify(gates[1]!, 1);
      yield* wait([...behind, crash]);
      expect(behind.map((each) => each.outcome?.status)).toEqual(behind.map(() => "succeeded"));
      Atomics.store(gates[0]!, 1, 1);
      Atomics.notify(gates[0]!, 1);
      yield* wait(blocked);
    }));

  test("shutdown waits for threads that are ending because they were idle", () =>
    really(function* () {
      const pool = new ThreadPool({ maxWorkers: 2, idleMs: 0, name: NAME });
      yield* wait([yield* pool.submit(jobs.nap, 1), yield* pool.submit(jobs.nap, 1)]);
      yield* sleep(1);
      yield* pool.shutdown();
      expect(threadsNamed(NAME)).toBe(0);
    }));

  test("times longer than a timer of the platform can count do not end at once", () =>
    really(function* () {
      const pool = yield* open({ idleMs: 1e12, graceMs: 1e12 });
      const ended = flags();
      const handle = yield* pool.submit(jobs.napWithCleanup, ended);
      yield* eventually(() => ended[1] === 1);
      expect(yield* handle.cancel()).toBe(true);
      expect(ended[0]).toBe(1);
      yield* sleep(20);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));
});

describe("ends of channels", () => {
  test("a job that ends leaves no end open: the other one hears of it", () =>
    really(function* () {
      const pool = yield* open();
      const lines = new ThreadChannel<string>(1);
      const handle = yield* pool.submit(hostile.leaveReceiver, lines.receiver);
      const error = yield* thrownIn(function* () {
        for (;;) yield* lines.sender.send("more");
      });
      expect(error).toMatchObject({ code: "CHANNEL_CLOSED" });
      expect(yield* thrownIn(() => handle)).toMatchObject({ className: "RangeError" });
    }));

  test("nor does one whose other arguments cannot be sent, or that is taken back", () =>
    really(function* () {
      const pool = yield* open({ graceMs: 20 });
      const lines = new ThreadChannel<string>(1);
      const wrong = jobs.take as Job<readonly unknown[], number>;
      expect(yield* thrownIn(() => pool.call(wrong, lines.receiver, () => 1))).toBeInstanceOf(JobCloneError);
      const error = yield* thrownIn(function* () {
        for (;;) yield* lines.sender.send("more");
      });
      expect(error).toMatchObject({ code: "CHANNEL_CLOSED" });
    }));

  test("one inside of another argument is refused by name, not cloned to nothing", () =>
    really(function* () {
      const pool = yield* open();
      const lines = new ThreadChannel<string>(1);
      expect(yield* thrownIn(() => pool.call(jobs.take, { lines: lines.receiver }))).toMatchObject({
        what: expect.stringContaining("argument 1 (at .lines"),
      });
      lines.sender.close();
      lines.receiver.close();
    }));

  test("receiving from an end that was given away is an error", () =>
    really(function* () {
      const pool = yield* open();
      const lines = new ThreadChannel<string>(1);
      const handle = yield* pool.submit(jobs.countWords, lines.receiver);
      expect(yield* thrownIn(() => lines.receiver.next())).toMatchObject({ code: "CHANNEL_CLOSED" });
      lines.sender.close();
      expect(yield* handle).toBe(0);
    }));
});

test("failures that nobody looks at are reported while a long scope goes on, and are not kept for ever", () =>
  really(
    function* () {
      const executor = yield* use(new InlineExecutor());
      const { heapUsed } = process.memoryUsage();
      for (let i = 0; i < 300; i++) {
        const handle = yield* executor.submit(jobs.fail, "range");
        yield* wait([handle]);
      }
      expect(heapUsed).toBeGreaterThan(0);
    },
    Array.from({ length: 300 }, () => "nobody looked at its handle"),
  ));

test("the process does not wait for a receiver that nobody waits at", () =>
  really(function* () {
    const lines = new ThreadChannel<string>(2);
    yield* lines.sender.send("one");
    expect((yield* lines.receiver.next()).value).toBe("one");
    const busy = process.getActiveResourcesInfo().filter((each) => each === "MessagePort").length;
    yield* until(Promise.resolve());
    expect(busy).toBe(process.getActiveResourcesInfo().filter((each) => each === "MessagePort").length);
    lines.sender.close();
    lines.receiver.close();
  }));
