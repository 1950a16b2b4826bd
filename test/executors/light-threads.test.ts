/**
 * A thread costs what its jobs need: one that calls plain functions never loads the kernel. And what goes over its port is bounded,
 * and may be unreadable, without anybody being left waiting.
 */
import { forEach, sleep, spawn, timeout, use } from "fibril";
import type { Coroutine, Sequence } from "fibril";
import { afterEach, describe, expect, test } from "vitest";
import {
  JobCloneError,
  JobError,
  LoopThread,
  ThreadChannel,
  ThreadPool,
  ThreadStartError,
} from "../../src/executors/index.ts";
import type { JobLog, ThreadPoolOptions } from "../../src/executors/index.ts";
import * as jobs from "./light-jobs.ts";
import { eventually, flags, noThreadNamed, openGate, really, thrownIn } from "./threads.ts";

const NAME = "lt";
const LISTING = new URL("listing-entry.ts", import.meta.url);

function* open(options: ThreadPoolOptions = {}): Coroutine<ThreadPool> {
  return yield* use(new ThreadPool({ maxWorkers: 1, name: NAME, ...options }));
}

function* kernelIn(pool: ThreadPool): Coroutine<string[]> {
  const loaded = yield* pool.call(jobs.loaded);
  expect(loaded).toContain("executors/thread/worker-entry");
  return loaded.filter((it) => !it.startsWith("executors/")).sort();
}

function* collect<T>(values: Sequence<T>): Coroutine<T[]> {
  const all: T[] = [];
  yield* forEach(values, function* (value) {
    all.push(value);
  });
  return all;
}

/** What of the kernel needs no loop. */
const LOOPLESS = ["core/cancelled", "core/errors", "core/host", "core/loopless"];

afterEach(() => noThreadNamed(NAME));

describe("what a thread loads", () => {
  test("plain jobs load no kernel, whatever they do: fail, tell, be cancelled, come in lists", () =>
    really(function* () {
      const pool = yield* open({ workerEntry: LISTING, initializer: { job: jobs.square, args: [1] } });
      expect(yield* pool.call(jobs.square, 3)).toBe(9);
      expect(yield* thrownIn(() => pool.call(jobs.square, -1))).toBeInstanceOf(JobError);
      expect(yield* collect(pool.map(jobs.square, [1, 2, 3], { chunkSize: 2 }))).toEqual([1, 4, 9]);
      const started = flags();
      const handle = yield* pool.submit(jobs.pollUntilCancelled, started);
      yield* eventually(() => started[0] === 1);
      expect(yield* handle.cancel()).toBe(false);
      expect(yield* collect(handle.progress)).toEqual(["polling"]);
      expect(yield* collect(handle.logs)).toEqual([{ message: "polling", data: { id: handle.id } }]);
      expect(yield* kernelIn(pool)).toEqual(LOOPLESS);
    }));

  test("a deadline alone, of which a plain job cannot know, does not bring it", () =>
    really(function* () {
      const pool = yield* open({ workerEntry: LISTING });
      yield* timeout(50_000, function* () {
        expect(yield* kernelIn(pool)).toEqual(LOOPLESS);
      });
    }));

  test("the first job that waits brings it, and the next ones find it", () =>
    really(function* () {
      const pool = yield* open({ workerEntry: LISTING });
      expect(yield* pool.call(jobs.square, 3)).toBe(9);
      expect(yield* pool.call(jobs.three)).toBe(3);
      expect(yield* pool.call(jobs.three)).toBe(3);
      expect(yield* kernelIn(pool)).toContain("core/event-loop");
    }));

  for (const [what, first] of Object.entries({
    *"a list of coroutines"(pool: ThreadPool) {
      return yield* collect(pool.map(jobs.three, [1, 2] as never, { chunkSize: 2 }));
    },
    *"a stream"(pool: ThreadPool) {
      return yield* collect(pool.stream(jobs.letters));
    },
    *"a deadline"(pool: ThreadPool) {
      return yield* timeout(50_000, pool.call(jobs.square, 5));
    },
    *"an end of a channel"(pool: ThreadPool) {
      const channel = new ThreadChannel<string>(1);
      const answer = yield* pool.call(jobs.hasEnd, channel.receiver);
      const error = yield* thrownIn(function* () {
        for (;;) yield* channel.sender.send("nobody is there any more");
      });
      return [answer, (error as Error).name];
    },
    *"an initializer that waits"() {
      const pool = yield* open({ initializer: { job: jobs.three } });
      return yield* pool.call(jobs.square, 2);
    },
  } satisfies Record<string, (pool: ThreadPool) => Coroutine<unknown>>)) {
    const expected: Record<string, unknown> = {
      "a list of coroutines": [3, 3],
      "a stream": ["a", "b", "c"],
      "a deadline": 25,
      "an end of a channel": [true, "ChannelClosedError"],
      "an initializer that waits": 4,
    };
    test(`${what} works as the first thing that needs it`, () =>
      really(function* () {
        expect(yield* first(yield* open())).toEqual(expected[what]);
      }));
  }

  test("a job that is cancelled while the kernel comes sees its signal, and is cancelled", () =>
    really(function* () {
      const pool = yield* open();
      const started = flags();
      const handle = yield* pool.submit(jobs.never, started);
      while (started[0] === 0) Atomics.wait(started, 0, 0, 1); // at once, not a turn later
      expect(yield* handle.cancel("enough")).toBe(true);
      yield* eventually(() => started[1] === 1);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("a job is sent at once, though the thread's first words and its first outcome came together", () =>
    really(function* () {
      const pool = yield* open();
      const told = flags();
      const first = yield* pool.submit(jobs.tellMuch, 0, told);
      expect(Atomics.wait(told, 1, 0, 50_000)).not.toBe("timed-out");
      Atomics.wait(told, 1, 1, 20); // until the outcome is here, too
      yield* first;
      const again = flags();
      yield* pool.submit(jobs.tellMuch, 0, again);
      expect(Atomics.wait(again, 1, 0, 50_000)).not.toBe("timed-out"); // this thread does nothing else for it
    }));

  test("a loop thread has it from the beginning", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME, workerEntry: LISTING });
      expect(yield* thread.spawn(jobs.loaded)).toContain("core/event-loop");
    }));

  test("timers that a plain job has left behind go on between jobs", () =>
    really(function* () {
      const pool = yield* open();
      expect(yield* pool.call(jobs.ticking)).toBe(1);
      for (let seen = 1; seen < 5; seen = yield* pool.call(jobs.ticking)) yield* sleep(1);
    }));
});

describe("what jobs tell is bounded", () => {
  test("of progress the last value comes, of the log the last entries and how many were left out", () =>
    really(function* () {
      const pool = yield* open();
      const told = flags();
      const count = 20_000;
      yield* pool.call(jobs.square, 1);
      const handle = yield* pool.submit(jobs.tellMuch, count, told);
      expect(Atomics.wait(told, 1, 0, 50_000)).not.toBe("timed-out"); // the loop here stands still: it hears nothing
      const logging = spawn(collect<JobLog>, handle.logs);
      const seen = yield* collect(handle.progress);
      const logs = yield* logging;
      yield* handle;
      expect(seen.at(-1)).toBe(count);
      expect(seen.length).toBeLessThan(1_100);
      expect(logs.at(-1)).toEqual({ message: `entry ${count}`, data: undefined });
      const gap = logs.findIndex(({ message }) => message.includes("left out"));
      expect(logs.length - gap).toBe(256); // as many as a handle keeps
      expect((logs[gap]!.data as { leftOut: number }).leftOut).toBeGreaterThan(count - 1_500);
      expect(logs[gap + 1]!.message).toBe(`entry ${count - 254}`);
    }));

  test("what is held back comes when there is room again, though the job says nothing more", () =>
    really(function* () {
      const pool = yield* open();
      const told = flags();
      yield* pool.call(jobs.square, 1);
      const handle = yield* pool.submit(jobs.tellAndStay, 5_000, told);
      expect(Atomics.wait(told, 0, 0, 50_000)).not.toBe("timed-out");
      for (let seen: unknown = 0; seen !== 5_000;) seen = (yield* handle.progress.next()).value;
      expect(yield* handle.cancel()).toBe(true);
    }));

  test("nothing is held back from somebody who listens", () =>
    really(function* () {
      const pool = yield* open();
      const handle = yield* pool.submit(jobs.tellMuch, 200, flags());
      let seen = 0;
      yield* forEach(handle.progress, function* (value) {
        expect(value).toBe(++seen);
      });
      expect(seen).toBe(200);
    }));
});

describe("messages that cannot be read", () => {
  test("a result fails its job; the thread goes on", () =>
    really(function* () {
      const pool = yield* open();
      const error = yield* thrownIn(() => pool.call(jobs.giveUnreadable));
      expect(error).toBeInstanceOf(JobCloneError);
      expect(error).toMatchObject({ what: "the result", cause: { message: expect.stringContaining("deserialize") } });
      expect(yield* pool.call(jobs.square, 2)).toBe(4);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("an argument fails its job, also when the thread waits for it, or when others come along", () =>
    really(function* () {
      const pool = yield* open();
      for (let i = 0; i < 3; i++) {
        expect(yield* thrownIn(() => pool.call(jobs.take, jobs.unreadable()))).toBeInstanceOf(JobCloneError);
        expect(yield* pool.call(jobs.square, 2)).toBe(4);
      }
      const bad = yield* pool.submit(jobs.take, jobs.unreadable());
      const good = yield* pool.submit(jobs.square, 3);
      expect(yield* thrownIn(() => bad)).toBeInstanceOf(JobCloneError);
      expect(yield* good).toBe(9);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("an argument fails no other job: not those that went along, not those that come after the first of its kind", () =>
    really(function* () {
      const pool = yield* open();
      for (let i = 0; i < 20; i++) yield* pool.call(i === 0 ? jobs.three : jobs.noop); // short ones: more may lie ready there
      const first = yield* pool.submit(jobs.never, flags()); // what follows goes in one message
      const bad = yield* pool.submit(jobs.take, jobs.unreadable());
      const along = yield* pool.submit(jobs.noop);
      yield* sleep(1);
      const after = yield* pool.submit(jobs.take, 1);
      yield* first.cancel();
      expect(yield* thrownIn(() => bad)).toBeInstanceOf(JobCloneError);
      expect(yield* along).toBe(0);
      expect(yield* after).toBe("taken");
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("progress that nobody can read takes no room from later progress", () =>
    really(function* () {
      const pool = yield* open();
      const told = flags();
      const handle = yield* pool.submit(jobs.tellMuchUnreadable, 1_024, told);
      expect(Atomics.wait(told, 0, 0, 50_000)).not.toBe("timed-out");
      Atomics.wait(told, 1, 0, 5); // until it has ended: the loop here has heard nothing of it
      yield* handle;
      const staying = yield* pool.submit(jobs.tellAndStay, 1, flags());
      expect(yield* staying.progress.next()).toEqual({ done: false, value: 1 });
      yield* staying.cancel();
    }));

  test("nor does progress that cannot be sent", () =>
    really(function* () {
      const pool = yield* open();
      expect(yield* pool.call(jobs.tellMuchUncloneable, 1_024)).toBe(1_024);
      const staying = yield* pool.submit(jobs.tellAndStay, 1, flags());
      expect(yield* staying.progress.next()).toEqual({ done: false, value: 1 });
      yield* staying.cancel();
    }));

  test("progress is lost, and nothing else", () =>
    really(function* () {
      const pool = yield* open();
      const handle = yield* pool.submit(jobs.tellUnreadable);
      expect(yield* collect(handle.progress)).toEqual(["readable"]);
      expect(yield* handle).toBe("done");
    }));

  test("progress is lost, and not the outcome that is still to come of a job that has ended", () =>
    really(function* () {
      const pool = yield* open();
      const gate = flags();
      const handle = yield* pool.submit(jobs.tellUnreadableAndDally, gate);
      expect(Atomics.wait(gate, 0, 0, 50_000)).not.toBe("timed-out"); // the loop here hears of the progress after the end
      yield* sleep(20);
      openGate(gate);
      expect(yield* handle).toEqual({ word: "done" });
    }));

  test("a value of a stream is not passed over: the stream fails, and its job ends", () =>
    really(function* () {
      const pool = yield* open();
      const values = pool.stream(jobs.streamUnreadable);
      const error = yield* thrownIn(() => forEach(values, function* () {}));
      expect(error).toMatchObject({ name: "JobCloneError", what: "a value" });
      expect(yield* pool.call(jobs.square, 2)).toBe(4);
      expect(pool.statistics().workers).toMatchObject({ total: 1, crashes: 0 });
    }));

  test("nor when its job has ended by then: what comes before the value is given, and nothing behind it", () =>
    really(function* () {
      const pool = yield* open();
      yield* pool.call(jobs.three); // the kernel is there
      const ended = flags();
      const values = pool.stream(jobs.streamUnreadableAndEnd, ended);
      yield* sleep(0); // it is on its way
      expect(Atomics.wait(ended, 0, 0, 50_000)).not.toBe("timed-out"); // the loop here hears of it after the end
      const seen: unknown[] = [];
      const error = yield* thrownIn(() =>
        forEach(values, function* (value) {
          seen.push(value);
        }),
      );
      expect(error).toMatchObject({ name: "JobCloneError", what: "a value" });
      expect(seen).toEqual([1]);
    }));
});

describe("a thread that cannot be started", () => {
  const remote = new URL("https://example.org/worker.js");

  test("fails the job that needs it, each time", () =>
    really(function* () {
      const pool = yield* open({ workerEntry: remote });
      const handle = yield* pool.submit(jobs.square, 2);
      expect(yield* thrownIn(() => handle)).toBeInstanceOf(ThreadStartError);
      expect(yield* thrownIn(() => pool.call(jobs.square, 2))).toMatchObject({
        code: "THREAD_NOT_STARTED",
        job: "square",
      });
      expect(pool.statistics()).toMatchObject({ running: 0, failed: 2, workers: { total: 0 } });
    }));

  test("is refused at once when it should be there from the beginning", () =>
    really(function* () {
      const args = [() => 1] as never;
      const error = yield* thrownIn(() => open({ minWorkers: 1, initializer: { job: jobs.square, args } }));
      expect(error).toMatchObject({ code: "USAGE", cause: { name: "DataCloneError" } });
    }));
});
