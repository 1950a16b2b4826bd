/**
 * A worker imports the kernel when the first job comes that needs it. Until it is there, everything else may happen: cancellation, the end
 * of the executor, other jobs; and it may never come. Here the import lasts until the test opens a gate.
 */
import { setEnvironmentData } from "node:worker_threads";
import { forEach, shield, sleep, spawn, use } from "fibril";
import type { Coroutine } from "fibril";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { JobError, ThreadChannel, ThreadPool } from "../../src/executors/index.ts";
import type { ThreadPoolOptions } from "../../src/executors/index.ts";
import { waitsWhenCancelled } from "./jobs.ts";
import { snapshot } from "../../src/inspector/index.ts";
import * as jobs from "./light-jobs.ts";
import { eventually, flags, noThreadNamed, really, thrownIn } from "./threads.ts";

const NAME = "late";
const ENTRY = new URL("late-kernel-entry.ts", import.meta.url);

let gate = flags();

beforeEach(() => {
  gate = flags();
  setEnvironmentData("late kernel", gate);
});
afterEach(() => noThreadNamed(NAME));

function* open(options: ThreadPoolOptions = {}): Coroutine<ThreadPool> {
  return yield* use(new ThreadPool({ maxWorkers: 1, name: NAME, workerEntry: ENTRY, ...options }));
}

function* importBegins(): Coroutine<void> {
  yield* eventually(() => Atomics.load(gate, 1) > 0);
}

function openGate(how: "let in" | "no kernel" = "let in"): void {
  Atomics.store(gate, 0, how === "let in" ? 1 : 2);
  Atomics.notify(gate, 0);
}

describe("while the kernel is on its way", () => {
  test("a promise that is rejected fails its job and nothing else", () =>
    really(function* () {
      const pool = yield* open();
      const handle = yield* pool.submit(jobs.rejectsAtOnce);
      yield* importBegins();
      yield* sleep(5); // the thread has turns of its own in which it would hear of a rejection that nobody looks at
      openGate();
      expect(yield* thrownIn(() => handle)).toMatchObject({ className: "TypeError" });
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("jobs begin in the order in which they were submitted, whatever they need", () =>
    really(function* () {
      const pool = yield* open();
      const order = flags(8);
      const kinds = [jobs.noteOrder, jobs.noteOrderAndPromise, jobs.noteOrderAndWait, jobs.noteOrderAndWait];
      const handles = [];
      for (const [number, kind] of [...kinds, jobs.noteOrder].entries()) {
        handles.push(yield* pool.submit(kind, order, number + 1));
      }
      yield* importBegins();
      openGate();
      for (const handle of handles) yield* handle;
      expect([...order]).toEqual([5, 1, 2, 3, 4, 5, 0, 0]);
      expect(gate[1]).toBe(1);
    }));

  test("a coroutine that is cancelled is never called, and the next job is", () =>
    really(function* () {
      const pool = yield* open();
      const order = flags(4);
      const handle = yield* pool.submit(jobs.noteOrderAndWait, order, 1);
      yield* importBegins();
      const ending = handle.cancel("enough");
      const next = yield* pool.submit(jobs.noteOrderAndWait, order, 2);
      yield* sleep(1);
      openGate();
      expect(yield* ending).toBe(true);
      yield* next;
      expect([...order]).toEqual([1, 2, 0, 0]);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("a job that is cancelled ends with its thread when the kernel does not come, and its neighbours go on", () =>
    really(function* () {
      const pool = yield* open({ graceMs: 20 });
      for (const job of [jobs.promisesForEver, jobs.never]) {
        gate[1] = 0;
        const started = flags();
        const handle = yield* pool.submit(job, started);
        yield* importBegins();
        const next = yield* pool.submit(jobs.square, 3);
        expect(yield* handle.cancel("enough")).toBe(true);
        expect(yield* next).toBe(9);
      }
    }));

  test("a list keeps its deadline over there", () =>
    really(function* () {
      openGate();
      const pool = yield* open({ graceMs: 20 });
      const mapping = spawn(function* () {
        yield* forEach(pool.map(jobs.promiseForItem, [1, 2], { chunkSize: 2 }), function* () {});
      });
      let deadlines: (number | null)[] = [];
      while (deadlines.length === 0) {
        const [worker] = (yield* snapshot({ timeoutMs: 5_000 })).thread.threads;
        deadlines = (worker?.loops ?? []).flatMap(({ tasks }) => tasks.map(({ deadlineMs }) => deadlineMs));
        yield* sleep(1);
      }
      expect(deadlines).toEqual([expect.any(Number)]);
      mapping.cancel();
      yield* pool.shutdown({ cancelRunning: true });
    }));

  test("an executor that is shut down ends", () =>
    really(function* () {
      const pool = yield* open({ graceMs: 20 });
      const running = yield* pool.submit(jobs.promisesForEver, flags());
      const pending = yield* pool.submit(jobs.square, 3);
      yield* importBegins();
      yield* pool.shutdown({ cancelPending: true, cancelRunning: true });
      expect([running.state, pending.state]).toEqual(["settled", "settled"]);
      expect(pool.statistics()).toMatchObject({ running: 0, cancelled: 2, workers: { total: 0 } });
    }));
});

describe("when the kernel cannot be loaded", () => {
  test("each job that needs it fails and says so; plain jobs run", () =>
    really(function* () {
      openGate("no kernel");
      const pool = yield* open();
      for (const job of [jobs.three, jobs.rejectsAtOnce, jobs.three]) {
        const error = yield* thrownIn(() => pool.call(job));
        expect(error).toBeInstanceOf(JobError);
        expect(error).toMatchObject({ message: expect.stringContaining("there is no kernel today") });
        // Not under the deadline of this test, for which there is a task when the kernel is there in parts.
        expect(yield* shield(() => pool.call(jobs.square, 2))).toBe(4);
      }
      const stream = pool.stream(jobs.letters);
      expect(yield* thrownIn(() => stream.next())).toBeInstanceOf(JobError);
      // The other end of a channel that went along is told.
      const channel = new ThreadChannel<string>(1);
      expect(yield* thrownIn(() => pool.call(jobs.hasEnd, channel.receiver))).toBeInstanceOf(JobError);
      const error = yield* thrownIn(function* () {
        for (;;) yield* channel.sender.send("nobody is there");
      });
      expect(error).toMatchObject({ name: "ChannelClosedError" });
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));
});

test("the reason of a cancellation that a job has seen before its thread heard of it is not made up", () =>
  really(function* () {
    openGate();
    const pool = yield* open();
    expect(yield* pool.call(jobs.three)).toBe(3);
    // Without a deadline, for which the function would be called by a task that can be cancelled already.
    yield* shield(function* () {
      const started = flags();
      const handle = yield* pool.submit(waitsWhenCancelled, started);
      yield* eventually(() => started[0] === 1);
      const ending = handle.cancel("enough");
      yield* eventually(() => started[1] !== 0);
      expect(started[1]).toBe(1);
      expect(yield* ending).toBe(true);
    });
  }));
