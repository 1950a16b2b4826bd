/**
 * A loop in a thread: tasks are added to it from here, channels reach over, and a scope spans both.
 */
import { forEach, run, scope, sleep, spawn, use } from "fibril";
import { afterEach, describe, expect, test } from "vitest";
import {
  ExecutorShutdownError,
  LoopThread,
  ThreadChannel,
  ThreadPool,
  WorkerCrashedError,
} from "../../src/executors/index.ts";
import * as jobs from "./jobs.ts";
import { eventually, flags, openGate, really, threadsNamed, thrownIn } from "./threads.ts";

const NAME = "lt";

afterEach(noThreadIsLeft);

function noThreadIsLeft(): void {
  expect(threadsNamed(NAME)).toBe(0);
}

describe("a loop thread", () => {
  test("runs many tasks at the same time on one thread", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const gate = flags();
      const held = Array.from({ length: 200 }, () => thread.spawn(jobs.hold, gate));
      yield* eventually(() => gate[0] === 200); // all have begun, none has ended
      openGate(gate);
      for (const each of held) expect(yield* each).toBe("let go");
      expect(threadsNamed(NAME)).toBe(1);
    }));

  test("a handle cancels the task over there, and waits for its cleanup", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const ended = flags();
      const handle = thread.spawn(jobs.napWithCleanup, ended);
      const gate = flags();
      const other = thread.spawn(jobs.hold, gate);
      yield* eventually(() => ended[1] === 1);
      expect(yield* handle.cancel()).toBe(true);
      expect(ended[0]).toBe(1);
      openGate(gate);
      expect(yield* other).toBe("let go");
    }));

  test("when its scope ends by cancellation, its tasks are cancelled and awaited, then the thread is gone", () =>
    really(function* () {
      const ended = flags();
      yield* scope(function* (own) {
        const thread = yield* LoopThread.start({ name: NAME });
        for (let i = 0; i < 3; i++) thread.spawn(jobs.napWithCleanup, ended);
        yield* eventually(() => ended[1] === 3);
        void own.cancel();
      });
      expect(ended[0]).toBe(3);
      expect(threadsNamed(NAME)).toBe(0);
    }));

  test("tasks() shows what runs there and what it waits for", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const nap = thread.spawn({ name: "long nap" }, jobs.nap, 60_000);
      yield* eventually(() => nap.state === "running");
      let [seen, ...more] = yield* thread.tasks();
      while (seen?.state !== "waiting") [seen, ...more] = yield* thread.tasks(); // it has begun, and not come to its wait
      expect(more).toEqual([]);
      expect(seen).toMatchObject({ name: "long nap", state: "waiting", waitingFor: "sleep 60000 ms", parentId: null });
      expect(seen!.awaitStack[0]?.file).toMatch(/sleep|jobs\.ts/);
      yield* nap.cancel();
      expect(yield* thread.tasks()).toEqual([]);
    }));

  test("its failures stay with their handles", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const nap = thread.spawn(jobs.nap, 10);
      expect(yield* thrownIn(() => thread.spawn(jobs.failLater))).toMatchObject({ className: "SyntaxError" });
      expect(yield* nap).toBe("slept 10");
    }));

  test("its death settles all its tasks; another thread is started for the next", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const nap = thread.spawn(jobs.nap, 60_000);
      expect(yield* thrownIn(() => thread.spawn(jobs.exit, 3))).toBeInstanceOf(WorkerCrashedError);
      expect(yield* thrownIn(() => nap)).toBeInstanceOf(WorkerCrashedError);
      expect(yield* thread.spawn(jobs.add, 1, 2)).toBe(3);
    }));

  test("after its scope it takes nothing", async () => {
    let left: LoopThread | undefined;
    await really(function* () {
      yield* scope(function* () {
        left = yield* LoopThread.start({ name: NAME });
      });
    });
    await expect(
      run(function* () {
        left!.spawn(jobs.add, 1, 2);
        yield* sleep(0);
      }),
    ).rejects.toBeInstanceOf(ExecutorShutdownError);
  });
});

describe("a channel between threads", () => {
  test("values go over in order, and its end ends the receiver", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const lines = new ThreadChannel<string>(2, { name: "lines" });
      const counting = thread.spawn(jobs.countWords, lines.receiver);
      for (const line of ["to be", "or not", "to be"]) yield* lines.sender.send(line);
      lines.sender.close();
      expect(yield* counting).toBe(6);
    }));

  test("a slow receiver holds the sender back at the capacity", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const numbers = new ThreadChannel<number>(4);
      const sent = flags();
      const sending = thread.spawn(jobs.sendForEver, numbers.sender, sent);
      for (let i = 1; i <= 20; i++) {
        expect((yield* numbers.receiver.next()).value).toBe(i);
        expect(sent[0]).toBeLessThanOrEqual(i + 4);
      }
      yield* sleep(5);
      expect(sent[0]).toBeLessThanOrEqual(24);
      numbers.receiver.close();
      expect(yield* sending).toBe("closed");
    }));

  test("a sender that waits fails when the thread of the receiver dies", () =>
    really(function* () {
      const thread = yield* LoopThread.start({ name: NAME });
      const lines = new ThreadChannel<string>(1);
      const counting = thread.spawn(jobs.countWords, lines.receiver);
      yield* lines.sender.send("one");
      const stuck = spawn(() =>
        thrownIn(function* () {
          for (;;) yield* lines.sender.send("more");
        }),
      );
      yield* thrownIn(() => thread.spawn(jobs.exit, 0));
      expect(yield* stuck).toMatchObject({ code: "CHANNEL_CLOSED" });
      expect(yield* thrownIn(() => counting)).toBeInstanceOf(WorkerCrashedError);
    }));

  test("an end that is in use, or was given away, cannot go again", () =>
    really(function* () {
      const pool = yield* use(new ThreadPool({ maxWorkers: 1, name: NAME }));
      const lines = new ThreadChannel<string>(1);
      lines.sender.close();
      expect(yield* pool.call(jobs.countWords, lines.receiver)).toBe(0);
      expect(yield* thrownIn(() => pool.call(jobs.countWords, lines.receiver))).toMatchObject({
        message: expect.stringMatching(/cannot go to another thread: it was given away/),
      });
      yield* forEach([], function* () {});
    }));
});
