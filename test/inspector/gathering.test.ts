/**
 * The threads below this one, played by fakes: they answer late, wrongly, never, or are gone.
 */
import { EventLoop, run, sleep, spawn, UsageError, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test, vi } from "vitest";
import { systemHost } from "../../src/core/index.ts";
import { dumpOnSignal, formatTree, snapshot, snapshotHere, waitCircles } from "../../src/inspector/index.ts";
import type { Snapshot, ThreadRecord } from "../../src/inspector/index.ts";
import { fakeSource } from "./fake-source.ts";

function answerOf(name: string): { status: "answered"; value: ThreadRecord } {
  const value = snapshotHere({ loops: [new EventLoop({ name })] }).thread;
  return { status: "answered", value };
}

/** The fakes: threads that other files of this process have left are none of them. */
function fakesIn({ thread }: Snapshot): ThreadRecord[] {
  return thread.threads.filter((each) => each.threadId > 9_000);
}

/** The timers that are set and not cleared: counted at the host, since the process has vitest's own, too. */
function watchTimers(): Disposable & { readonly alive: number } {
  const alive = new Set<unknown>();
  const { after, clear } = systemHost;
  const setting = vi.spyOn(systemHost, "after").mockImplementation((delayMs, outside, slice) => {
    const timer = after(delayMs, outside, () => {
      alive.delete(timer);
      slice();
    });
    alive.add(timer);
    return timer;
  });
  const clearing = vi.spyOn(systemHost, "clear").mockImplementation((timer) => {
    alive.delete(timer);
    clear(timer);
  });
  return {
    get alive() {
      return alive.size;
    },
    [Symbol.dispose]() {
      setting.mockRestore();
      clearing.mockRestore();
    },
  };
}

function* eventually(holds: () => boolean): Coroutine<void> {
  while (!holds()) yield* sleep(1);
}

describe("gathering", () => {
  test("waits for all threads, and lists them in the order in which they were started", async () => {
    using slow = fakeSource("slow");
    using quick = fakeSource("quick", answerOf("loop of quick"));
    await run(function* main() {
      const taking = spawn({ name: "taking" }, function* () {
        return yield* snapshot({ stacks: true, limit: 7, timeoutMs: 60_000 });
      });
      yield* eventually(() => slow.isAsked);
      expect(taking.waitingFor).toMatch(/^a snapshot of \d+ thread\(s\)$/);
      slow.say(answerOf("loop of slow"));
      expect(fakesIn(yield* taking).map((each) => [each.name, each.state, each.loops[0]?.name])).toEqual([
        ["slow", "answered", "loop of slow"],
        ["quick", "answered", "loop of quick"],
      ]);
      expect(quick.asked[0]).toEqual({
        module: expect.stringContaining("/src/inspector/answer.ts"),
        request: { stacks: true, limit: 7, timeoutMs: 45_000 },
      });
      expect(slow.takenBack).toBe(1);
    });
  });

  test("gives a thread three quarters of its time, which is 500 ms unless told otherwise", async () => {
    using quick = fakeSource("quick", answerOf("there"));
    await run(() => snapshot());
    expect(quick.asked[0]!.request).toMatchObject({ timeoutMs: 375 });
  });

  test("does not wait longer than it was told: a silent thread is listed with its jobs", async () => {
    using silent = fakeSource("cpu 1");
    silent.heard = 1_234;
    silent.jobList = [{ id: 17, name: "hash", state: "running", ageMs: 120 }];
    const taken = await run(() => snapshot({ timeoutMs: 5 }));
    expect(fakesIn(taken)[0]).toMatchObject({ state: "silent", heardMs: 1_234, loops: [] });
    expect(fakesIn(taken)[0]!.jobs).toEqual([
      { id: 17, name: "hash", state: "running", ageMs: 120, runMs: null, task: null },
    ]);
    expect(silent.takenBack).toBe(1);
    const tree = formatTree(taken);
    expect(tree).toContain(
      `pool worker "cpu 1" (thread ${silent.threadId}) of cpu does not answer, last heard of 1.2 s ago`,
    );
    expect(tree).toContain('job "hash" #17 running, submitted 120 ms ago');
  });

  test("a timeout of 0 still takes the answers that are there", async () => {
    using quick = fakeSource("quick", answerOf("there"));
    const taken = await run(() => snapshot({ timeoutMs: 0 }));
    expect(fakesIn(taken)[0]!.state).toBe("answered");
    expect(quick.asked.length).toBe(1);
  });

  test("one that ended, and one that cannot, hold nobody up", async () => {
    using ended = fakeSource("gone", { status: "ended" });
    using failed = fakeSource("bundled", { status: "failed", why: "Cannot find module" });
    using dying = fakeSource("dying");
    const taken = await run(function* () {
      const taking = spawn(function* () {
        return yield* snapshot({ timeoutMs: 60_000 });
      });
      yield* eventually(() => dying.isAsked);
      dying.say({ status: "ended" });
      return yield* taking;
    });
    expect(fakesIn(taken).map((each) => [each.state, each.trouble])).toEqual([
      ["ended", null],
      ["failed", "Cannot find module"],
      ["ended", null],
    ]);
    expect(formatTree(taken)).toContain("cannot be looked into: Cannot find module");
    expect([ended.takenBack, failed.takenBack]).toEqual([1, 1]);
  });

  test("one that answers twice does not stand for another", async () => {
    using chatty = fakeSource("chatty");
    using slow = fakeSource("slow");
    await run(function* () {
      const taking = spawn(function* () {
        return yield* snapshot({ timeoutMs: 60_000 });
      });
      yield* eventually(() => slow.isAsked);
      chatty.say(answerOf("first"));
      chatty.say(answerOf("second"));
      yield* sleep(2);
      expect(taking.isSettled).toBe(false);
      slow.say(answerOf("slow"));
      expect(fakesIn(yield* taking).map((each) => each.loops[0]!.name)).toEqual(["first", "slow"]);
    });
  });

  test("an answer that comes twice or too late is ignored", async () => {
    using source = fakeSource("chatty");
    await run(function* () {
      const taking = spawn(function* () {
        return yield* snapshot({ timeoutMs: 60_000 });
      });
      yield* eventually(() => source.isAsked);
      source.say(answerOf("first"));
      source.say(answerOf("second"));
      expect(fakesIn(yield* taking)[0]!.loops[0]!.name).toBe("first");
    });
  });

  test("cancelled, it asks no longer and leaves no timer", async () => {
    using silent = fakeSource("silent");
    using timers = watchTimers();
    const loop = new EventLoop();
    await run(
      function* () {
        const asking = spawn(function* () {
          yield* snapshot({ timeoutMs: 60_000 });
        });
        yield* eventually(() => silent.isAsked);
        expect(timers.alive).toBeGreaterThan(0);
        yield* asking.cancel();
        expect([silent.isAsked, silent.takenBack]).toEqual([false, 1]);
        const taking = spawn(() => snapshot());
        void taking.cancel(); // before it has begun
        yield* yieldNow();
        expect(silent.asked.length).toBe(1);
      },
      { loop },
    );
    expect(loop.statistics()).toMatchObject({ tasks: 0, timers: 0, outside: 0 });
    expect(timers.alive).toBe(0);
  });

  test("snapshotHere asks nobody", () => {
    using source = fakeSource("cpu 1");
    const taken = snapshotHere();
    expect(fakesIn(taken)[0]).toMatchObject({ name: "cpu 1", state: "unasked", executor: "cpu" });
    expect(source.asked).toEqual([]);
    expect(formatTree(taken)).toContain("was not asked");
  });

  test("jobs that the thread itself reports are joined with what is known here", async () => {
    const value: ThreadRecord = {
      ...answerOf("there").value,
      jobs: [
        { id: 3, name: "nap", state: "running", ageMs: null, runMs: 40, task: { loop: 0, id: 1, name: "nap" } },
        { id: 9, name: "unknown here", state: "running", ageMs: null, runMs: 1, task: null },
      ],
    };
    using source = fakeSource("feeds", { status: "answered", value });
    source.jobList = [
      { id: 3, name: "nap", state: "running", ageMs: 55 },
      { id: 4, name: "next", state: "sent", ageMs: 5 },
    ];
    const taken = await run(() => snapshot());
    expect(fakesIn(taken)[0]!.jobs).toEqual([
      { id: 3, name: "nap", state: "running", ageMs: 55, runMs: 40, task: { loop: 0, id: 1, name: "nap" } },
      { id: 4, name: "next", state: "sent", ageMs: 5, runMs: null, task: null },
      { id: 9, name: "unknown here", state: "running", ageMs: null, runMs: 1, task: null },
    ]);
  });
});

describe("dumpOnSignal", () => {
  test("takes a snapshot of all threads at every signal, until it is ended, and keeps nothing", async () => {
    using source = fakeSource("cpu 1", answerOf("there"));
    const taken: Snapshot[] = [];
    const before = process.listenerCount("SIGUSR2");
    const stop = dumpOnSignal("SIGUSR2", { onSnapshot: (each) => taken.push(each) });
    try {
      await run(function* main() {
        process.kill(process.pid, "SIGUSR2");
        yield* eventually(() => taken.length === 1);
      });
    } finally {
      stop();
    }
    expect(taken[0]!.thread.loops.flatMap((loop) => loop.tasks.map((task) => task.name))).toContain("main");
    expect(fakesIn(taken[0]!)[0]!.state).toBe("answered");
    expect(process.listenerCount("SIGUSR2")).toBe(before);
    expect(source.asked.length).toBe(1);
  });

  test("ended while a thread has not answered, it asks no longer", async () => {
    using source = fakeSource("silent");
    const taken: Snapshot[] = [];
    const stop = dumpOnSignal("SIGUSR2", { onSnapshot: (each) => taken.push(each), timeoutMs: 60_000 });
    await run(function* () {
      process.kill(process.pid, "SIGUSR2");
      yield* eventually(() => source.isAsked);
    });
    stop();
    expect([source.isAsked, taken.length]).toEqual([false, 0]);
  });

  test("refuses wrong options at once, and leaves no handler", () => {
    const before = process.listenerCount("SIGUSR2");
    expect(() => dumpOnSignal("SIGUSR2", { timeoutMs: -1 })).toThrow(/timeoutMs/);
    for (const signal of ["SIGKILL", "USR2", 12 as never]) expect(() => dumpOnSignal(signal)).toThrow(UsageError);
    expect(process.listenerCount("SIGUSR2")).toBe(before);
  });
});

test("waitCircles looks into every thread", () => {
  const { thread, ...rest } = snapshotHere();
  expect(waitCircles({ ...rest, thread: { ...thread, threads: [thread] } })).toEqual([]);
});
