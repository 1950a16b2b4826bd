import {
  CancelledError as JoinedCancelled,
  Channel,
  EventLoop as KernelLoop,
  scope,
  sleep as fibrilSleep,
  spawn,
  timeout as fibrilTimeout,
  UsageError,
} from "fibril";
import { simulate } from "fibril/testing";
import { describe, expect, test } from "vitest";
import {
  asOperation,
  CancelledError,
  captureCallGraph,
  createTask,
  currentTask,
  formatCallGraph,
  gather,
  getRunningLoop,
  newEventLoop,
  printCallGraph,
  RuntimeError,
  shield,
  sleep,
  TaskGroup,
  timeout,
  TimeoutError,
  wait,
  wrapFuture,
  wrapOperation,
} from "../../src/asyncio/index.ts";
import type { Coroutine } from "../../src/asyncio/index.ts";
import { simulated } from "../core/simulated.ts";
import { now, play, thrownBy, thrownIn } from "./virtual.ts";

describe("promises", () => {
  test("a future for a promise: its value, its error; cancelling drops it", async () => {
    const loop = newEventLoop();
    const error = new Error("x");
    const main = function* (): Coroutine<unknown[]> {
      const dropped = wrapFuture(Promise.resolve(0));
      dropped.cancel();
      const own = getRunningLoop().createFuture<void>();
      return [
        yield* wrapFuture(Promise.resolve(1)),
        yield* thrownIn(wrapFuture(Promise.reject(error))),
        wrapFuture(own) === own,
      ];
    };
    expect(await loop.runUntilComplete(main())).toEqual([1, error, true]);
    expect([loop.kernel.statistics().outside, thrownBy(() => wrapFuture(5 as never, { loop }))]).toEqual([
      0,
      expect.any(UsageError),
    ]);
    loop.close();
  });

  test("a promise that was forgotten in gather is named", () => {
    play(function* () {
      expect(String(thrownBy(() => gather(Promise.resolve(1) as never)))).toContain("wrapFuture");
    });
  });
});

describe("operations of Fibril in asyncio", () => {
  test("sleep, channels, scopes; in milliseconds there", () => {
    play(function* () {
      const { sender, receiver } = new Channel<number>(1);
      const got = wrapOperation(() => receiver.receive());
      yield* wrapOperation(fibrilSleep(1500));
      yield* wrapOperation(() => sender.send(7));
      const sum = yield* wrapOperation(() =>
        scope(function* () {
          const tasks = [spawn(double, 1), spawn(double, 2)];
          return (yield* tasks[0]!) + (yield* tasks[1]!);
        }),
      );
      expect([yield* got, sum, now()]).toEqual([7, 6, 1.6]);
    });
  });

  test("failures come through; cancelling cancels the operation and waits for its cleanup", () => {
    const log: string[] = [];
    play(function* () {
      const error = new Error("x");
      expect(
        yield* thrownIn(
          wrapOperation(function* () {
            yield* fibrilSleep(1000);
            throw error;
          }),
        ),
      ).toBe(error);
      const limit = timeout(1).with(function* () {
        yield* wrapOperation(function* () {
          try {
            yield* fibrilSleep(10_000);
          } finally {
            yield* fibrilSleep(500);
            log.push(`cleaned up`);
          }
        });
      });
      expect([yield* thrownIn(limit), now()]).toEqual([expect.any(TimeoutError), 2.5]);
    });
    expect(log).toEqual(["cleaned up"]);
  });
});

function* double(n: number) {
  yield* fibrilSleep(100);
  return n * 2;
}

describe("coroutines of asyncio in Fibril", () => {
  test("a value, an error; time is shared", () => {
    simulated(function* () {
      expect(yield* asOperation(sleep(2, "value"))).toBe("value");
      expect(KernelLoop.current().now()).toBe(2000);
      const error = new Error("x");
      const failing = function* (): Coroutine<void> {
        yield* sleep(1);
        throw error;
      };
      let thrown: unknown;
      try {
        yield* asOperation(failing());
      } catch (caught) {
        thrown = caught;
      }
      expect(thrown).toBe(error);
      const [a, b] = [
        spawn(() => asOperation(() => gather(sleep(1, 1), sleep(2, 2)))),
        spawn(() => asOperation(sleep(2, 3))),
      ];
      expect([yield* a, yield* b, KernelLoop.current().now()]).toEqual([[1, 2], 3, 5000]);
    });
  });

  test("a timeout of Fibril cancels the coroutine and waits for its cleanup", () => {
    const log: string[] = [];
    simulated(function* () {
      const slow = function* (): Coroutine<void> {
        try {
          yield* sleep(10);
        } catch (error) {
          log.push((error as Error).name);
          yield* sleep(1);
          log.push(`cleaned up ${getRunningLoop().time()}`);
          throw error;
        }
      };
      let thrown: unknown;
      try {
        yield* fibrilTimeout(1000, () => asOperation(slow()));
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ code: "TIMEOUT" });
      expect(KernelLoop.current().now()).toBe(2000);
    });
    expect(log).toEqual(["CancelledError", "cleaned up 2"]);
  });

  test("cancelled on the side of asyncio: Fibril's CancelledError", () => {
    simulated(function* () {
      const cancelled = function* (): Coroutine<void> {
        currentTask()!.cancel("over there");
        yield* sleep(1);
      };
      let thrown: unknown;
      try {
        yield* asOperation(cancelled());
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(JoinedCancelled);
    });
  });

  test("works where promises are under way, too", async () => {
    const value = await simulate(function* () {
      return yield* asOperation(wrapped());
    });
    expect(value).toBe("promise");
  });
});

function* wrapped(): Coroutine<string> {
  return yield* wrapFuture(Promise.resolve("promise"));
}

describe("call graphs", () => {
  function* inner(): Coroutine<void> {
    yield* sleep(10);
  }

  function* outer(): Coroutine<void> {
    yield* inner();
  }

  test("test_graph: where a task stands, innermost first, and who awaits it, by whatever way", () => {
    play(function* () {
      const task = createTask(outer(), { name: "leaf" });
      const start = function* (name: string, body: () => Coroutine<unknown>) {
        const made = createTask(body(), { name });
        yield* sleep(0);
        return made;
      };
      yield* start("joiner", function* joining() {
        yield* task;
      });
      yield* start("gatherer", function* () {
        yield* gather(task, sleep(20));
      });
      yield* start("waiter", function* () {
        yield* wait([task]);
      });
      yield* start("shielder", function* () {
        yield* shield(task);
      });
      yield* sleep(1);
      const graph = captureCallGraph(task)!;
      expect(graph.callStack.map((it) => it.name)).toEqual(["inner", "outer"]);
      expect(graph.callStack[0]!.file).toContain("bridge-and-graph.test.ts");
      expect(graph.awaitedBy.map((it) => (it.future as typeof task).getName())).toEqual([
        "joiner",
        "gatherer",
        "waiter",
        "shielder",
      ]);
      expect(graph.awaitedBy[0]!.callStack.map((it) => it.name)).toEqual(["joining"]);
      expect(task.getStack().map((it) => it.name)).toEqual(["outer", "inner"]);
      expect(task.getStack({ limit: 1 }).map((it) => it.name)).toEqual(["inner"]);
      yield* task;
      expect(captureCallGraph(task)).toMatchObject({ callStack: [], awaitedBy: [] });
      expect(now()).toBe(10); // looking changed nothing
    });
  });

  test("a group's tasks are awaited by its parent; the running task is seen from inside", () => {
    play(function* () {
      yield* new TaskGroup().with(function* (group) {
        const child = group.createTask(lookAtMyself());
        expect(captureCallGraph(child)!.awaitedBy.map((it) => it.future)).toHaveLength(1);
        const graph = yield* child;
        expect(graph.callStack.map((it) => it.name)).toEqual(["lookAtMyself"]);
        expect(graph.awaitedBy).toHaveLength(1);
      });
    });
  });

  // oxlint-disable-next-line require-yield -- it only looks
  function* lookAtMyself(): Coroutine<NonNullable<ReturnType<typeof captureCallGraph>>> {
    return captureCallGraph()!;
  }

  test("printed in Python's form, to where it is told", () => {
    play(function* () {
      const task = createTask(outer(), { name: "leaf" });
      const parent = createTask(
        (function* parent() {
          yield* task;
        })(),
        { name: "parent" },
      );
      yield* sleep(1);
      const lines: string[] = [];
      printCallGraph(task, { file: { write: (text: string) => lines.push(...text.split("\n")) } });
      expect(lines.map((line) => line.replace(/id=0x[0-9a-f]+/, "id").replace(/'\/.*\/|line \d+/g, "…"))).toEqual([
        "* Task(name='leaf', id)",
        "  + Call stack:",
        "  |   File …bridge-and-graph.test.ts', …, in generator inner()",
        "  |   File …bridge-and-graph.test.ts', …, in generator outer()",
        "  + Awaited by:",
        "    * Task(name='parent', id)",
        "      + Call stack:",
        "      |   File …bridge-and-graph.test.ts', …, in generator parent()",
        "",
      ]);
      expect(formatCallGraph(task, { limit: 1 })).not.toContain("outer()");
      expect(formatCallGraph(task, { limit: -1 })).not.toContain("inner()");
      expect(formatCallGraph(task, { limit: 0 })).not.toContain("Call stack");
      expect(formatCallGraph(getRunningLoop().createFuture())).toMatch(/^\* Future\(id=0x/);
      parent.cancel();
    });
  });

  test("test_tools: outside a loop a future has to be named; a circle has an end", () => {
    expect(thrownBy(() => captureCallGraph())).toBeInstanceOf(RuntimeError);
    expect(thrownBy(() => captureCallGraph(5 as never))).toBeInstanceOf(UsageError);
    play(function* () {
      const future = getRunningLoop().createFuture<void>();
      const tasks = [createTask(sleep(0)), createTask(sleep(0))];
      tasks[0]!.addAwaiter(tasks[1]!);
      tasks[1]!.addAwaiter(tasks[0]!);
      expect(formatCallGraph(tasks[0]).split("\n")).toHaveLength(3);
      getRunningLoop().callSoon(() => expect(captureCallGraph()).toBeNull());
      future.cancel();
      expect(yield* thrownIn(future)).toBeInstanceOf(CancelledError);
    });
  });
});
