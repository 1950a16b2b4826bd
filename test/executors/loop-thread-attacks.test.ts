/**
 * A loop thread under attack: cancelled at any step, dead at any step, blocked at any step. Its scope ends all the same, in time, and nothing is left.
 */
import { CancelledError, EventLoop, moveOnAfter, run, scope, sleep, spawn } from "fibril";
import type { Coroutine, Task } from "fibril";
import { afterEach, describe, expect, test } from "vitest";
import { LoopThread, ThreadChannel } from "../../src/executors/index.ts";
import { taskSources } from "../../src/lowlevel.ts";
import * as jobs from "./jobs.ts";
import { bomb } from "./bomb.ts";
import { eventually, flags, really, threadsNamed, thrownIn } from "./threads.ts";

const NAME = "lta";
const GRACE_MS = 100;
const IN_TIME_MS = 50_000; // the machine may be busy; without an end it would be never
const isLong = process.env["FIBRIL_LONG"] === "1";

afterEach(nothingIsLeft);

function nothingIsLeft(): void {
  expect(threadsNamed(NAME)).toBe(0);
  expect([...taskSources].filter((source) => source.name === NAME)).toEqual([]);
}

/** Some of everything that a loop thread is for. */
function* useThread(ended: Int32Array, fuse: Int32Array): Coroutine<void> {
  const thread = yield* LoopThread.start({ name: NAME, graceMs: GRACE_MS });
  const lines = new ThreadChannel<string>(1);
  const napping = thread.spawn(jobs.napWithCleanup, ended);
  const ticking = thread.spawn(bomb, fuse);
  const counting = thread.spawn(jobs.countWords, lines.receiver);
  yield* lines.sender.send("to be");
  yield* lines.sender.send("or not to be");
  yield* thread.tasks();
  lines.sender.close();
  yield* counting;
  yield* napping.cancel();
  yield* ticking.cancel();
}

/** Does `attack` after step `at` of the program, of whatever task. Returns whether it came to that. */
async function attackAt(at: number, attack: (task: Task<void>, fuse: Int32Array) => void): Promise<boolean> {
  const [ended, fuse] = [flags(), flags()];
  const reports: string[] = [];
  const loop = new EventLoop({ onReport: (report) => reports.push(`${report.kind}: ${report.message}`) });
  let steps = 0;
  await run(
    function* main() {
      const startedAt = loop.now();
      const task = spawn({ name: "target" }, useThread, ended, fuse);
      task.keepFailure();
      const detach = loop.addProbe({
        afterStep: ({ name }) => {
          if (name !== "main" && name !== "end" && steps++ === at) attack(task, fuse);
        },
      });
      spawn({ name: "end" }, function* () {
        yield* eventually(() => fuse[0] !== 0 || task.isSettled);
        yield* sleep(2 * GRACE_MS);
        void task.cancel();
      });
      yield* eventually(() => task.isSettled);
      detach();
      void task.outcome; // a crashed thread is no news here
      expect(loop.now() - startedAt).toBeLessThan(IN_TIME_MS);
      expect(threadsNamed(NAME)).toBe(0);
    },
    { loop },
  );
  const { tasks, timers, outside } = loop.statistics();
  const crashes = reports.filter((report) => !/^unobserved-failure: .*(?:job|task)/.test(report));
  expect({ at, tasks, timers, outside, crashes }).toEqual({ at, tasks: 0, timers: 0, outside: 0, crashes: [] });
  return steps > at;
}

/** Every step; a few of them in the quick run. */
async function everywhere(attack: (task: Task<void>, fuse: Int32Array) => void, few: readonly number[]): Promise<void> {
  if (!isLong) {
    for (const at of few) expect(await attackAt(at, attack)).toBe(true);
    return;
  }
  let at = 0;
  while (at < 1_000 && (await attackAt(at, attack))) at++;
  expect(at).toBeGreaterThan(10);
}

describe("at any step", () => {
  const TIMEOUT_MS = isLong ? 3_000_000 : 400_000;
  test("cancelled", () => everywhere((task) => void task.cancel("attack"), [0, 1, 2, 5, 8, 10]), TIMEOUT_MS);
  test("its thread dies", () => everywhere((_, fuse) => void Atomics.store(fuse, 0, 1), [4, 8]), TIMEOUT_MS);
  test("its thread is blocked", () => everywhere((_, fuse) => void Atomics.store(fuse, 0, 2), [4, 8]), TIMEOUT_MS);
});

describe("the end of the owner", () => {
  test("comes when the thread is blocked: it is ended after graceMs, with all that runs there", () =>
    really(function* () {
      const begun = flags();
      yield* scope(function* (own) {
        const thread = yield* LoopThread.start({ name: NAME, graceMs: GRACE_MS });
        thread.spawn(jobs.nap, 60_000);
        thread.spawn(jobs.spin, begun);
        yield* eventually(() => begun[0] === 1);
        void own.cancel();
      });
      expect(threadsNamed(NAME)).toBe(0);
    }));

  test("comes when cleanup over there never ends", () =>
    really(function* () {
      const ended = flags();
      yield* scope(function* (own) {
        const thread = yield* LoopThread.start({ name: NAME, graceMs: 1 });
        thread.spawn(jobs.napWithCleanup, ended);
        yield* eventually(() => ended[1] === 1);
        void own.cancel();
      });
      expect(threadsNamed(NAME)).toBe(0);
    }));

  test("comes when the thread has not even begun: its initializer hangs", () =>
    really(function* () {
      const begun = flags();
      const initializer = { job: jobs.spin, args: [begun] };
      const starting = spawn(function* () {
        yield* LoopThread.start({ name: NAME, graceMs: GRACE_MS, initializer });
      });
      yield* eventually(() => begun[0] === 1);
      yield* starting.cancel();
      expect(threadsNamed(NAME)).toBe(0);
    }));

  test("cancels what another scope has spawned on it", () =>
    really(function* () {
      const ended = flags();
      let outside: unknown;
      yield* scope(function* (own) {
        yield* scope(function* () {
          const thread = yield* LoopThread.start({ name: NAME });
          own.spawn(function* () {
            outside = yield* thrownIn(() => thread.spawn(jobs.napWithCleanup, ended));
          });
          yield* eventually(() => ended[1] === 1);
        });
        expect([...ended]).toEqual([1, 1]);
      });
      expect(outside).toBeInstanceOf(CancelledError);
    }));
});

test("tasks() of a blocked thread can be given up, and the thread answers others later", () =>
  really(function* () {
    const thread = yield* LoopThread.start({ name: NAME });
    const begun = flags();
    const blocking = thread.spawn(jobs.block, begun);
    yield* eventually(() => begun[0] === 1);
    const asking = spawn(() => thread.tasks());
    yield* sleep(1);
    expect(asking.waitingFor).toBe(`the tasks of thread "${NAME}"`);
    expect(yield* moveOnAfter(5, () => thread.tasks())).toBeUndefined();
    yield* asking.cancel();
    Atomics.store(begun, 1, 1);
    Atomics.notify(begun, 1);
    expect(yield* blocking).toBe("was let go");
    expect(yield* thread.tasks()).toEqual([]);
  }));
