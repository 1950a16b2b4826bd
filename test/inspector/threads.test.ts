/**
 * Real threads: one tree of them all, threads that are blocked, that die in between, that start others.
 */
import { run, scope, sleep, spawn, use } from "fibril";
import type { Coroutine } from "fibril";
import { afterEach, describe, expect, test } from "vitest";
import { LoopThread, ThreadPool, WorkerCrashedError } from "../../src/executors/index.ts";
import { formatTree, snapshot, snapshotHere } from "../../src/inspector/index.ts";
import type { JobRecord, Snapshot, TaskRecord, ThreadRecord } from "../../src/inspector/index.ts";
import { taskSources } from "../../src/lowlevel.ts";
import type { TaskSource } from "../../src/lowlevel.ts";
import * as jobs from "../executors/jobs.ts";
import { eventually, flags, really, threadsNamed, thrownIn } from "../executors/threads.ts";
import { dumpInThread, exitWhenTold, nest } from "./jobs.ts";

const NAME = "insp";
const PATIENCE = { timeoutMs: 50_000 }; // the machine may be busy with other tests

afterEach(nothingIsLeft);

function nothingIsLeft(): void {
  expect(threadsNamed(NAME)).toBe(0);
  expect(sources()).toEqual([]);
}

/** Ours: other files of this process may have left threads. */
function sources(): TaskSource[] {
  return [...taskSources].filter((source) => source.name.startsWith(NAME));
}

function threadIn(taken: Snapshot, role: string): ThreadRecord {
  return taken.thread.threads.find((thread) => thread.role === role && thread.name.startsWith(NAME))!;
}

function waiterOf(taken: Snapshot, job: string): TaskRecord {
  return taken.thread.loops.flatMap((loop) => loop.tasks).find((task) => task.wait?.job?.name === job)!;
}

/** The job that a task here waits for, in the thread that has it, and the task there that runs it. */
function follow(taken: Snapshot, job: string): [JobRecord, TaskRecord | undefined] {
  const link = waiterOf(taken, job).wait!.job!;
  const thread = taken.thread.threads.find((each) => each.threadId === link.threadId)!;
  const found = thread.jobs.find((each) => each.id === link.id)!;
  return [
    found,
    found.task === null ? undefined : thread.loops[found.task.loop!]!.tasks.find((it) => it.id === found.task!.id),
  ];
}

/** Both sides have come to their wait: a task here for its job, and one in a thread. */
function* untilWaiting(): Coroutine<Snapshot> {
  for (;;) {
    const taken = yield* snapshot({ ...PATIENCE, stacks: true });
    const here = taken.thread.loops.flatMap((loop) => loop.tasks);
    const there = taken.thread.threads.flatMap((thread) => thread.loops.flatMap((loop) => loop.tasks));
    const isHere = here.some((task) => (task.wait?.job ?? null) !== null);
    if (isHere && there.some((task) => task.state === "waiting")) return taken;
    yield* sleep(1);
  }
}

describe("a snapshot of several threads", () => {
  test("follows a wait here to the task there that runs the job", () =>
    really(function* main() {
      const thread = yield* LoopThread.start({ name: `${NAME} feeds` });
      const handle = thread.spawn({ name: "long nap" }, jobs.nap, 60_000);
      const taken = yield* untilWaiting();
      expect(taken).toEqual(JSON.parse(JSON.stringify(taken)));
      expect(threadIn(taken, "loop thread")).toMatchObject({
        name: `${NAME} feeds`,
        executor: `${NAME} feeds`,
        state: "answered",
        heardMs: null,
      });
      expect(waiterOf(taken, "long nap").wait).toMatchObject({
        reason: `job "long nap" #${handle.id} (running in ${NAME} feeds)`,
        job: { id: handle.id, state: "running", executor: `${NAME} feeds`, task: null },
      });
      const [job, task] = follow(taken, "long nap");
      expect(job).toMatchObject({ id: handle.id, state: "running" });
      expect(job.runMs).toBeGreaterThanOrEqual(0);
      expect(task).toMatchObject({ name: "long nap", wait: { reason: "sleep 60000 ms" } });
      expect(task!.stack!.some((frame) => frame.file.endsWith("executors/jobs.ts"))).toBe(true);
      expect(formatTree(taken)).toMatch(/long nap: job "long nap" #\d+ .*runs for \d.* → thread \d+ #\d+ long nap/);
      yield* handle.cancel();
    }));

  test("of a pool: what runs, what lies ready, what stands in line", () =>
    really(function* main() {
      const pool = yield* use(new ThreadPool({ name: `${NAME} cpu`, maxWorkers: 1, graceMs: 50 }));
      const [begun, ended] = [flags(), flags()];
      yield* pool.submit({ name: "first" }, jobs.block, begun);
      yield* eventually(() => begun[0] === 1);
      yield* pool.submit({ name: "second" }, jobs.block, ended);
      const calling = spawn(() => pool.call({ name: "third" }, jobs.add, 1, 2));
      yield* sleep(1);
      const taken = snapshotHere();
      const reasons = ["first", "second", "third"].map((name) => waiterOf(taken, name).wait!.reason);
      expect(reasons).toEqual([
        `job "first" #1 (running in ${NAME} cpu)`,
        `job "second" #2 (queued in ${NAME} cpu)`,
        `job "third" #3 (queued in ${NAME} cpu)`,
      ]);
      for (const each of [begun, ended]) {
        Atomics.store(each, 1, 1);
        Atomics.notify(each, 1);
      }
      expect(yield* calling).toBe(3);
    }));

  test("is not held up by a thread that is blocked, which is listed with its job", () =>
    really(function* main() {
      const pool = yield* use(new ThreadPool({ name: `${NAME} cpu`, maxWorkers: 1, graceMs: 20 }));
      const thread = yield* LoopThread.start({ name: `${NAME} feeds` });
      yield* snapshot(PATIENCE); // so that the second thread has loaded what it answers with
      const begun = flags();
      const handle = yield* pool.submit(jobs.spin, begun);
      yield* eventually(() => begun[0] === 1);
      const { loop } = handle.task;
      const startedAt = loop.now();
      for (let i = 0; i < 3; i++) {
        const taken = yield* snapshot({ timeoutMs: 100 });
        expect(threadIn(taken, "pool worker")).toMatchObject({
          state: "silent",
          loops: [],
          jobs: [{ id: 1, name: "spin", state: "running", runMs: null, task: null }],
        });
        expect(threadIn(taken, "pool worker").heardMs).toBeGreaterThan(0);
        expect(formatTree(taken)).toMatch(/does not answer, last heard of \d+/);
      }
      expect(loop.now() - startedAt).toBeLessThan(15_000);
      expect(yield* thread.spawn(jobs.add, 1, 2)).toBe(3);
      yield* handle.cancel();
    }));

  test("a question that was not answered is asked once, however often it is put", () =>
    really(function* main() {
      const thread = yield* LoopThread.start({ name: `${NAME} busy` });
      const begun = flags();
      const blocking = thread.spawn(jobs.block, begun);
      yield* eventually(() => begun[0] === 1);
      const [source] = sources();
      const heard: string[] = [];
      for (let i = 0; i < 50; i++) {
        const takeBack = source!.ask({ module: "data:text/javascript,nothing", request: 1 }, () => heard.push("never"));
        if (i < 49) takeBack();
      }
      source!.ask({ module: "data:text/javascript,nothing", request: 1 }, (answer) => heard.push(answer.status));
      Atomics.store(begun, 1, 1);
      Atomics.notify(begun, 1);
      yield* blocking;
      yield* eventually(() => heard.length > 0);
      expect(heard).toEqual(["never", "failed"]); // the one that was not taken back, and the last
    }));

  test("an answer is never from before it was asked for", () =>
    really(function* main() {
      yield* LoopThread.start({ name: `${NAME} slow` });
      const [source] = sources();
      // It looks at once and tells later what it saw, as a thread does that waits for threads of its own.
      const looking =
        "let looks = 0; export async function answer() { const look = ++looks; await new Promise((tell) => setTimeout(tell, 5)); return look; }";
      const heard: unknown[] = [];
      for (let i = 1; i <= 3; i++) {
        const question = { module: `data:text/javascript,${looking}`, request: null };
        source!.ask(question, (answer) => heard.push([i, (answer as { readonly value?: unknown }).value]));
      }
      yield* eventually(() => heard.length === 3);
      expect(heard).toEqual([
        [1, 1],
        [2, 2],
        [3, 2],
      ]);
    }));

  test("a thread that dies in the middle of it has ended", () =>
    really(function* main() {
      const thread = yield* LoopThread.start({ name: `${NAME} dying` });
      const begun = flags();
      const exiting = spawn(() => thrownIn(() => thread.spawn(exitWhenTold, begun)));
      yield* eventually(() => begun[0] === 1);
      const taking = spawn(function* () {
        return yield* snapshot(PATIENCE);
      });
      yield* eventually(() => taking.state === "waiting");
      Atomics.store(begun, 1, 1);
      Atomics.notify(begun, 1);
      const taken = yield* taking;
      expect(threadIn(taken, "loop thread")).toMatchObject({
        state: "ended",
        loops: [],
        jobs: [{ name: "exitWhenTold", state: "running" }], // what it died of
      });
      expect(yield* exiting).toBeInstanceOf(WorkerCrashedError);
    }));

  test("threads that a thread has started stand under it", () =>
    really(function* main() {
      const thread = yield* LoopThread.start({ name: `${NAME} outer` });
      const ready = flags();
      const nesting = thread.spawn(nest, `${NAME} inner`, ready);
      yield* eventually(() => ready[0] === 1);
      let inner: ThreadRecord | undefined;
      for (; inner?.loops[0]?.tasks[0]?.state !== "waiting"; yield* sleep(1)) {
        const taken = yield* snapshot(PATIENCE);
        const ours = taken.thread.threads.filter((each) => each.name.startsWith(NAME));
        expect(ours.map((each) => each.name)).toEqual([`${NAME} outer`]);
        const outer = ours[0]!;
        [inner] = outer.threads;
        expect(outer.loops[0]!.tasks.map((task) => task.name)).toContain("nest");
      }
      expect(inner).toMatchObject({ name: `${NAME} inner`, role: "loop thread", state: "answered" });
      expect(inner.loops[0]!.tasks[0]).toMatchObject({ name: "inner nap", wait: { reason: "sleep 60000 ms" } });
      yield* nesting.cancel();
    }));

  test("an idle thread is listed without loops, and cancelled snapshots leave nothing", () =>
    really(function* main() {
      const thread = yield* LoopThread.start({ name: `${NAME} idle` });
      yield* scope(function* () {
        for (let i = 0; i < 5; i++) {
          const taking = spawn(() => snapshot());
          yield* sleep(0);
          yield* taking.cancel();
        }
      });
      const taken = yield* snapshot(PATIENCE);
      expect(threadIn(taken, "loop thread")).toMatchObject({ state: "answered", jobs: [], loops: [] });
      expect(formatTree(taken)).toContain(" is idle");
      expect(yield* thread.tasks()).toEqual([]);
      expect(yield* thrownIn(() => thread.spawn(dumpInThread))).toMatchObject({ className: "UsageError" }); // no signals there
    }));
});

test("snapshots keep no process and no thread alive", async () => {
  let seen: Snapshot | undefined;
  await run(function* main() {
    yield* LoopThread.start({ name: `${NAME} short` });
    seen = yield* snapshot(PATIENCE);
  });
  expect(seen!.thread.threads.map((thread) => thread.name)).toContain(`${NAME} short`);
  expect(sources()).toEqual([]);
});
