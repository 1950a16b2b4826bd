/**
 * A snapshot of one thread: what it says, and that nobody notices that it was taken.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import {
  Channel,
  currentScope,
  EventLoop,
  Future,
  Lock,
  moveOnAfter,
  race,
  run,
  scope,
  shield,
  sleep,
  spawn,
  timeout,
  yieldNow,
} from "fibril";
import type { Coroutine, Scope, Task } from "fibril";
import { Wait } from "fibril/lowlevel";
import type { Started, Waiter } from "fibril/lowlevel";
import { simulateSync } from "fibril/testing";
import type { SimulateOptions } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { formatTree, snapshot, snapshotHere, trackWaits } from "../../src/inspector/index.ts";
import type { LoopRecord, Snapshot, TaskRecord } from "../../src/inspector/index.ts";
import { LAW_TIMEOUT_MS, runs } from "../laws/runs.ts";
import { simulated } from "../core/simulated.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** The loop that `snapshotHere` was called in: the first one. */
function loopIn(taken: Snapshot): LoopRecord {
  return taken.thread.loops[0]!;
}

function taskIn(taken: Snapshot, name: string): TaskRecord {
  const found = loopIn(taken).tasks.find((task) => task.name === name);
  if (found === undefined) throw new Error(`no task "${name}"`);
  return found;
}

function* napping(ms: number): Coroutine<void> {
  yield* sleep(ms);
}

function* endlessly(own: Scope, why: unknown): Coroutine<void> {
  void own.cancel(why);
  yield* shield(() => sleep(5));
}

/** Some of everything that waits. */
function* busy(): Coroutine<string> {
  const lock = new Lock({ name: "stock" });
  const channel = new Channel<number>(1);
  let sum = 0;
  yield* scope(function* (own) {
    own.spawn({ name: "sender" }, function* () {
      for (let i = 0; i < 4; i++) yield* channel.sender.send(i);
      channel.sender.close();
    });
    for (let i = 0; i < 3; i++) {
      own.spawn({ name: `holder ${i}` }, function* () {
        yield* lock.use(function* () {
          yield* sleep(i + 1);
          sum += i;
        });
      });
    }
    const receiving = own.spawn({ name: "receiver" }, function* () {
      for (let step = yield* channel.receiver.next(); step.done !== true; step = yield* channel.receiver.next()) {
        sum += step.value;
        yield* yieldNow();
      }
    });
    yield* moveOnAfter(2, () => sleep(50));
    yield* race([() => sleep(3), () => receiving, () => shield(() => sleep(1))]);
    const doomed = own.spawn({ name: "doomed" }, function* () {
      try {
        yield* sleep(1_000);
      } finally {
        yield* sleep(2);
      }
    });
    yield* yieldNow();
    yield* doomed.cancel("enough");
  });
  return `sum ${sum}`;
}

/** Who did what, step by step. */
function traceOf(options: SimulateOptions, isWatched: boolean): { trace: string[]; seen: number } {
  const trace: string[] = [];
  let seen = 0;
  const { outcome, leaks, reports, elapsedMs } = simulateSync(busy, {
    ...options,
    probe: {
      beforeStep: (task) => void trace.push(`${task.id} begins step ${task.steps}`),
      waitStarted: (task) => void trace.push(`${task.id} waits for ${task.waitingFor}`),
      taskSettled: (task) => void trace.push(`${task.id} settles`),
      afterStep: () => {
        if (!isWatched) return;
        seen += loopIn(snapshotHere({ stacks: true })).tasks.length;
        formatTree(snapshotHere());
      },
    },
  });
  trace.push(JSON.stringify([outcome, leaks, reports, elapsedMs]));
  return { trace, seen };
}

describe("observing", () => {
  test(
    "changes no order: the same trace with a snapshot after every step and without, in any order of tasks",
    () => {
      const law = fc.property(fc.option(fc.nat(), { nil: undefined }), (seed) => {
        const options = seed === undefined ? {} : { seed };
        const watched = traceOf(options, true);
        expect(watched.seen).toBeGreaterThan(50);
        expect(watched.trace).toEqual(traceOf(options, false).trace);
      });
      fc.assert(law, runs(30));
    },
    LAW_TIMEOUT_MS,
  );

  test("with no other thread, the operation answers in the step that asks", () => {
    simulated(function* main() {
      spawn({ name: "other" }, napping, 10);
      yield* yieldNow();
      const { steps } = taskIn(snapshotHere(), "main");
      const taken = yield* snapshot();
      expect(taskIn(taken, "main")).toMatchObject({ state: "running", steps, wait: null });
    });
  });

  test("a failure that nobody has seen is still reported, though it was in a snapshot", async () => {
    const reports: string[] = [];
    const loop = new EventLoop({ onReport: (report) => reports.push(report.kind) });
    loop.spawn({ name: "failing" }, function* () {
      yield* yieldNow();
      snapshotHere();
      throw new RangeError("unseen");
    });
    await run(() => sleep(1), { loop });
    expect(reports).toEqual(["unobserved-failure"]);
  });

  test("keeps neither tasks nor loops alive, nor what the tasks hold", async () => {
    const kept: WeakRef<object>[] = [];
    let taken = "";
    await (async () => {
      const loop = new EventLoop({ name: "short" });
      const ballast = { size: 1 };
      const isTaken = new Future<void>();
      const task = loop.spawn({ name: "held" }, function* () {
        yield* isTaken;
        return ballast;
      });
      await new Promise<void>((resolve) => loop.post(resolve));
      taken = JSON.stringify([snapshotHere({ stacks: true }), snapshotHere()]);
      loop.post(() => isTaken.resolve());
      await task;
      kept.push(new WeakRef(loop), new WeakRef(task), new WeakRef(ballast));
    })();
    for (let i = 0; i < 10 && kept.some((ref) => ref.deref() !== undefined); i++) {
      await run(() => sleep(1));
      gc();
    }
    expect(taken).toContain('"held"');
    expect(kept.map((ref) => ref.deref())).toEqual([undefined, undefined, undefined]);
  });

  test("a loop that has forgotten tasks is listed as long as somebody has it, and then collected", async () => {
    const kept: WeakRef<object>[] = [];
    await (async () => {
      const loop = new EventLoop({ name: "parked" });
      loop.spawn({ name: "for ever" }, () => sleep(Infinity));
      await new Promise<void>((resolve) => loop.post(resolve));
      await run(() => sleep(1)); // it has fallen idle
      expect(snapshotHere().thread.loops.map((each) => each.name)).toContain("parked");
      kept.push(new WeakRef(loop));
      loop.post(() => {});
    })();
    for (let i = 0; i < 10 && kept[0]!.deref() !== undefined; i++) {
      await run(() => sleep(1));
      gc();
    }
    expect(kept[0]!.deref()).toBeUndefined();
    expect(snapshotHere().thread.loops.map((each) => each.name)).not.toContain("parked");
  });

  test("a loop that has ended everything is not listed", async () => {
    const loop = new EventLoop({ name: "over" });
    await run(() => sleep(1), { loop });
    await run(() => sleep(1));
    expect(snapshotHere().thread.loops.map((each) => each.name)).not.toContain("over");
  });
});

describe("a snapshot", () => {
  test("has every task with its parent, its scope, its wait and what it is waiting for", () => {
    simulated(function* main() {
      const lock = new Lock({ name: "stock" });
      yield* scope(
        function* (own) {
          own.spawn({ name: "writer" }, () => lock.use(() => sleep(50)));
          const reader = own.spawn({ name: "reader" }, () => lock.use(() => sleep(1)));
          own.spawn({ name: "joiner" }, function* () {
            yield* reader;
          });
          yield* sleep(10);
          const taken = snapshotHere();
          const { tasks, scopes } = loopIn(taken);
          expect(tasks.map((task) => [task.id, task.name, task.parentId, task.state])).toEqual([
            [1, "main", null, "running"],
            [2, "writer", 1, "waiting"],
            [3, "reader", 1, "waiting"],
            [4, "joiner", 1, "waiting"],
          ]);
          expect(taskIn(taken, "writer").wait).toMatchObject({ reason: "sleep 50 ms", dueMs: 40, task: null });
          expect(taskIn(taken, "reader").wait).toMatchObject({
            reason: 'lock "stock" (held by "writer")',
            dueMs: null,
            task: { loop: 0, id: 2, name: "writer" },
          });
          expect(taskIn(taken, "joiner").wait).toMatchObject({ reason: 'join task "reader"', task: { id: 3 } });
          const shop = scopes[taskIn(taken, "writer").scopeId]!;
          expect(shop).toMatchObject({ name: "shop", hostId: 1, size: 3, isTaskScope: false, parentId: 0 });
          expect(scopes[0]).toMatchObject({ name: "simulation", hostId: null, parentId: null, size: 1 });
        },
        { name: "shop" },
      );
    });
  });

  test("says which deadline and which cancellation reach a task, up to a shield", () => {
    simulated(function* main() {
      yield* moveOnAfter(100, function* () {
        yield* scope(function* (own) {
          spawn({ name: "shielded" }, () => shield(() => sleep(5)));
          own.spawn({ name: "cleaning" }, function* () {
            try {
              yield* sleep(1_000);
            } finally {
              yield* sleep(5);
            }
          });
          spawn({ name: "limited" }, () => timeout(30, () => shield(() => sleep(20)))).keepFailure();
          yield* sleep(10);
          const before = snapshotHere();
          expect(taskIn(before, "cleaning")).toMatchObject({ deadlineMs: 90, cancelled: null, isCancelling: false });
          expect(taskIn(before, "limited").deadlineMs).toBeNull(); // what it does now is shielded
          const scopes = loopIn(before).scopes.filter((each) => each.hostId === taskIn(before, "limited").id);
          expect(scopes.map((each) => [each.isShield, each.deadlineMs])).toEqual([
            [false, 20],
            [true, null],
          ]);
          void own.cancel("too slow");
          yield* shield(() => sleep(1));
          const after = snapshotHere();
          expect(taskIn(after, "cleaning")).toMatchObject({
            isCancelling: true,
            cancelled: { source: "request", reason: "too slow", by: "main", ageMs: 1 },
          });
          expect(taskIn(after, "limited")).toMatchObject({ isCancelling: false, cancelled: null });
        });
      });
    });
  });

  test("has stacks when asked, innermost frame first", () => {
    simulated(function* main() {
      spawn({ name: "deep" }, function* outer() {
        yield* napping(10);
      });
      yield* yieldNow();
      expect(taskIn(snapshotHere(), "deep").stack).toBeNull();
      const { stack } = taskIn(snapshotHere({ stacks: true }), "deep");
      expect(stack!.map((frame) => frame.name)).toEqual(["napping", "outer"]);
      expect(stack![0]!.file).toContain("snapshot.test.ts");
      expect(taskIn(snapshotHere({ stacks: true }), "main").stack).toEqual([]);
    });
  });

  test("knows how long a task waits at least, from the second look on", () => {
    simulated(function* main() {
      const task = spawn({ name: "waiter" }, function* () {
        yield* sleep(10);
        yield* sleep(1_000);
      });
      yield* sleep(5);
      const look = (): unknown => {
        const { ms, isAtLeast } = taskIn(snapshotHere(), "waiter").wait!;
        return [ms, isAtLeast];
      };
      expect(look()).toEqual([null, false]);
      yield* sleep(3);
      expect(look()).toEqual([3, true]);
      yield* sleep(12); // it has moved on
      expect(look()).toEqual([null, false]);
      yield* task.cancel();
    });
  });

  test("knows it exactly while waits are tracked", () => {
    simulated(function* main() {
      const loop = EventLoop.current();
      const stop = trackWaits(loop);
      const tasks = [spawn({ name: "waiter" }, napping, 1_000)];
      yield* sleep(20);
      expect(taskIn(snapshotHere(), "waiter").wait).toMatchObject({ ms: 20, isAtLeast: false });
      stop();
      tasks.push(spawn({ name: "later" }, napping, 1_000));
      yield* sleep(20);
      expect(taskIn(snapshotHere(), "later").wait).toMatchObject({ ms: null });
      for (const task of tasks) yield* task.cancel();
    });
  });

  test("goes through JSON and a structured clone unchanged, whatever the limits are", () => {
    simulated(function* main() {
      let own = currentScope();
      own.spawn({ name: "outer" }, napping, 5);
      yield* moveOnAfter(10, function* () {
        own = currentScope();
        own.deadline = -Infinity;
        own.spawn({ name: "late" }, napping, 1);
        spawn({ name: "inner" }, () => scope((inner) => endlessly(inner, new RangeError("why"))));
        yield* shield(() => sleep(1));
        const taken = snapshotHere({ stacks: true, limit: Infinity });
        expect(JSON.parse(JSON.stringify(taken))).toEqual(taken);
        expect(structuredClone(taken)).toEqual(taken);
        expect(loopIn(taken).scopes.some((each) => each.cancelled?.reason === "RangeError: why")).toBe(true);
      });
    });
  });

  test("does not break on a wait that cannot say what it waits for", () => {
    class Rude extends Wait<void> {
      get reason(): string {
        throw new Error("mind your own business");
      }
      override get blocker(): never {
        throw new Error("no");
      }
      protected start(task: Waiter): Started<void> {
        return task.park(this);
      }
      withdraw(): boolean {
        return true;
      }
    }
    simulated(function* main() {
      const task = spawn({ name: "rude" }, () => new Rude());
      yield* yieldNow();
      expect(taskIn(snapshotHere(), "rude").wait).toMatchObject({ task: null, job: null });
      expect(taskIn(snapshotHere(), "rude").wait!.reason).toMatch(/cannot say what it waits for/);
      yield* task.cancel();
    });
  });

  test("lists all loops of the thread, and links tasks across them", async () => {
    const other = new EventLoop({ name: "other" });
    const gate = new Future<void>({ external: true });
    const server = other.spawn({ name: "server" }, () => gate);
    await run(
      function* main() {
        spawn({ name: "client" }, function* () {
          yield* server;
        });
        yield* sleep(2);
        const taken = snapshotHere();
        const names = taken.thread.loops.map((each) => each.name);
        expect(names).toEqual(expect.arrayContaining(["main", "other"]));
        expect(taskIn(taken, "client").wait!.task).toEqual({ loop: names.indexOf("other"), id: 1, name: "server" });
        expect(snapshotHere({ loops: [other] }).thread.loops.map((each) => each.name)).toEqual(["other"]);
        gate.resolve();
      },
      { name: "main" },
    );
  });

  test("refuses wrong options", () => {
    for (const options of [{ limit: 0 }, { limit: 1.5 }, { limit: NaN }, { stacks: 1 }, { loops: [{}] }, null]) {
      expect(() => snapshotHere(options as never)).toThrow(expect.objectContaining({ code: "USAGE" }));
    }
    for (const timeoutMs of [-1, NaN, Infinity, "1"]) {
      expect(() => snapshot({ timeoutMs: timeoutMs as never })).toThrow(/timeoutMs/);
    }
  });
});

describe("of very many tasks", () => {
  test("it lists as many as the limit says, the outermost, and counts the others", () => {
    simulated(function* main() {
      const nest = function* (depth: number): Coroutine<void> {
        if (depth > 0) spawn({ name: `level ${depth}` }, nest, depth - 1);
        yield* sleep(10);
      };
      for (let i = 0; i < 100; i++) spawn({ name: "crowd" }, nest, 3);
      yield* sleep(5);
      const { tasks, leftOut, scopes } = loopIn(snapshotHere({ limit: 50 }));
      expect([tasks.length, leftOut]).toEqual([50, 351]);
      expect(scopes.length).toBeLessThanOrEqual(50);
      expect(tasks.every((task) => task.name === "crowd" || task.name === "main")).toBe(true);
      const whole = loopIn(snapshotHere({ limit: 401 }));
      expect([whole.tasks.length, whole.leftOut]).toEqual([401, 0]);
      expect(formatTree(snapshotHere({ limit: 50 }))).toContain("351 task(s) are not listed");
    });
  });

  test("10,000 tasks by default, in less than 10 MB, of 30,000", () => {
    simulated(function* main() {
      for (let i = 0; i < 30_000; i++) spawn({ name: `task ${"x".repeat(1_000)}` }, napping, 10);
      yield* sleep(5);
      snapshotHere();
      const used = (): number => {
        for (let i = 0; i < 2; i++) gc(); // one that has begun before keeps what it has marked
        return process.memoryUsage().heapUsed;
      };
      const before = used();
      const taken = snapshotHere();
      expect(used() - before).toBeLessThan(10_000_000);
      expect([loopIn(taken).tasks.length, loopIn(taken).leftOut]).toEqual([10_000, 20_001]);
      expect(loopIn(taken).tasks[1]!.name.length).toBe(256);
    });
  });

  test("a chain of 30,000 tasks, each in the scope of the one before, breaks nothing", () => {
    let root: Task<void> | undefined;
    simulated(function* main() {
      let left = 30_000; // three times as deep as a stack
      const chain = function* (): Coroutine<void> {
        if (--left > 0) spawn(chain);
        yield* sleep(left > 0 ? 1 : 2);
      };
      root = spawn(chain);
      yield* sleep(0.5);
      const taken = snapshotHere({ limit: Infinity });
      const { tasks, scopes, leftOut } = loopIn(taken);
      expect([tasks.length, leftOut]).toEqual([30_001, 0]);
      expect(scopes.length).toBe(30_001);
      expect((JSON.parse(JSON.stringify(taken)) as Snapshot).thread.loops[0]!.tasks.length).toBe(30_001);
      const tree = formatTree(taken);
      expect(tree.split("\n").length).toBeGreaterThan(30_000);
      expect(tree.length).toBeLessThan(6_000_000);
      expect(tree).toContain("(level 29999) #");
    });
    expect(root!.isSettled).toBe(true);
  });
});
