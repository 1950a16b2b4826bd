/**
 * Where a suspended task stands: exact lines, through every kind of call, for nothing until asked.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { all, coroutine, EventLoop, formatFrame, Future, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine, Operation, StackFrame } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { describe, expect, test } from "vitest";
import type * as Program from "./await-stack-program.ts";
import { simulated } from "./simulated.ts";

const program = createRequire(import.meta.url)("./await-stack-program.ts") as typeof Program;
const source = readFileSync(fileURLToPath(new URL("./await-stack-program.ts", import.meta.url)), "utf8").split("\n");

/** The frames as `name: what stands at that line and column`. */
function spots(stack: readonly StackFrame[]): string[] {
  return stack.map(({ name, file, line, column }) => {
    expect(file).toMatch(/await-stack-program\.ts$/);
    return `${name}: ${source[line - 1]!.slice(column - 1)}`;
  });
}

function* leaf(): Coroutine<void> {
  yield* sleep(100); // at the leaf
}
function* plain(): Coroutine<void> {
  yield* leaf(); // in plain
}
/** The stack of a task while it waits. */
function stackOf(body: () => Operation<unknown>): readonly StackFrame[] {
  return simulated(function* () {
    const task = spawn(body);
    yield* sleep(1);
    return task.awaitStack();
  });
}

describe("the await stack", () => {
  test("has every frame with its line and column, innermost first, through plain and framed calls", () => {
    expect(spots(program.stackOf("outer"))).toEqual([
      "leaf: sleep(100); // at leaf",
      "plain: leaf(); // at plain",
      "framed: plain(); // at framed",
      "load a page: framed(); // at load a page",
      "outer: named(); // at outer",
    ]);
  });

  test("goes through scopes and timeouts, and has no frame of the library", () => {
    expect(spots(program.stackOf("throughScopes"))).toEqual([
      "leaf: sleep(100); // at leaf",
      "plain: leaf(); // at plain",
      "framed: plain(); // at framed",
      "load a page: framed(); // at load a page",
      "limited: named(); // at limited",
      "body: timeout(1000, function* limited() {",
      "throughScopes: scope(function* body() {",
    ]);
  });

  test("shows the line of a cleanup that waits", () => {
    expect(spots(program.stackOf("cleaning"))).toEqual([
      "leaf: sleep(100); // at leaf",
      "cleaning: leaf(); // at cleaning",
    ]);
  });

  test("stays with the task that waits: the operands of all() have their own", () => {
    const stacks = simulated(function* top() {
      const task = spawn(function* middle() {
        yield* all([leaf, plain]);
      });
      yield* sleep(1);
      const found = EventLoop.current()
        .tasks()
        .map((it) => [it.name, it.awaitStack.map((frame) => frame.name)]);
      yield* task;
      return found;
    });
    expect(stacks).toEqual([
      ["top", []], // it runs
      ["middle", ["middle"]],
      ["leaf", ["leaf"]],
      ["plain", ["leaf", "plain"]],
    ]);
  });

  test("is where a ready task will go on", () => {
    const names = simulated(function* () {
      const future = new Future<void>();
      const task = spawn(function* waiter() {
        yield* future;
      });
      yield* yieldNow();
      yield* yieldNow();
      future.resolve();
      expect(task.state).toBe("ready");
      return task.awaitStack().map((it) => it.name);
    });
    expect(names).toEqual(["waiter"]);
  });

  test("is empty before the first step, while the task runs, and after it has settled", () => {
    simulated(function* () {
      const task = spawn(function* self(): Coroutine<number> {
        return task.awaitStack().length;
      });
      expect([task.state, task.awaitStack()]).toEqual(["ready", []]);
      expect(yield* task).toBe(0);
      expect(task.awaitStack()).toEqual([]);
    });
  });

  test("may be asked for by another task in the middle of its step, as often as it likes", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const queue = new WaitQueue<string>();
      const task = spawn(function* parked() {
        seen.push(yield* queue.park("the line"));
      });
      yield* yieldNow();
      for (let i = 0; i < 50; i++) expect(task.awaitStack()).toHaveLength(1);
      expect([task.waitingFor, queue.size, seen]).toEqual(["the line", 1, []]);
      queue.unpark(1, "unparked");
      yield* task;
      return seen;
    });
    expect(log).toEqual(["unparked"]);
  });

  test("leaves Error.stackTraceLimit and Error.prepareStackTrace as they were", () => {
    const before = [Error.stackTraceLimit, Error.prepareStackTrace];
    stackOf(plain);
    expect([Error.stackTraceLimit, Error.prepareStackTrace]).toEqual(before);
  });

  test("of a very deep task is cut, and does not overflow", () => {
    const deep = coroutine(function* deep(n: number): Coroutine<void> {
      if (n === 0) yield* sleep(10);
      else yield* deep(n - 1);
    });
    const stack = stackOf(() => deep(20_000));
    expect(stack.length).toBeGreaterThan(20);
    expect(new Set(stack.map((it) => it.name))).toEqual(new Set(["deep"]));
  });

  test("is printed as a stack line", () => {
    const [first] = stackOf(leaf);
    expect(formatFrame(first!)).toMatch(/^leaf \(.*await-stack\.test\.ts:\d+:\d+\)$/);
  });
});
