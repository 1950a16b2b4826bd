import { EventLoop, Future, run, yieldNow } from "fibril";
import type { Coroutine, EventLoopOptions, Task } from "fibril";
import { systemHost } from "fibril/lowlevel";
import { nodeAsyncContext } from "fibril/interop/node";
import { AsyncLocalStorage } from "node:async_hooks";
import { expect, onTestFinished, test } from "vitest";

/**
 * A loop that waits for something outside, as that of a server does; it is let go of when the test ends. For its clock no time passes, so
 * that no slice is ever used up.
 */
async function waitingLoop(options: EventLoopOptions = {}): Promise<EventLoop> {
  const loop = new EventLoop({ clock: { now: () => 0 }, ...options });
  onTestFinished(loop.hold());
  await new Promise<void>((resolve) => systemHost.afterIo(resolve));
  return loop;
}

/** A task of the root whose first step comes inside the caller, where it can. */
function begin(loop: EventLoop, body: () => Coroutine<unknown>): Task<unknown> {
  const task = loop.root.launch(body(), "begun", true);
  task.schedule(true);
  return task;
}

test("a task that is begun from outside has run to its first wait when the call returns", async () => {
  const loop = await waitingLoop();
  const gate = new Future<string>({ external: true });
  const trace: string[] = [];
  const task = begin(loop, function* () {
    trace.push("first");
    trace.push(yield* gate);
  });
  trace.push("returned");
  expect(task.state).toBe("waiting");
  gate.resolve("second");
  await task;
  expect(trace).toEqual(["first", "returned", "second"]);
  expect(loop.statistics()).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 1 });
});

test("what the first step makes ready runs too, in its order", async () => {
  const loop = await waitingLoop();
  const trace: string[] = [];
  begin(loop, function* () {
    loop.callSoon(() => trace.push("called"));
    trace.push("before");
    yield* yieldNow();
    trace.push("after");
  });
  expect(trace).toEqual(["before", "called", "after"]);
});

test("inside a step, of whichever loop, it stands in line", async () => {
  const other = await waitingLoop();
  const trace: string[] = [];
  await run(function* () {
    begin(EventLoop.current(), function* () {
      trace.push("own");
    });
    begin(other, function* () {
      trace.push("other");
    });
    trace.push("begun");
    yield* yieldNow();
  });
  expect([trace[0], [...trace.slice(1)].sort()]).toEqual(["begun", ["other", "own"]]);
});

test("with something in line already it comes after that", async () => {
  const loop = await waitingLoop();
  const trace: string[] = [];
  loop.callSoon(() => trace.push("earlier"));
  await begin(loop, function* () {
    trace.push("later");
  });
  expect(trace).toEqual(["earlier", "later"]);
});

test("once the time of a slice is used up the host comes first", async () => {
  let now = 0;
  const slices: string[] = [];
  const host = { ...systemHost };
  const loop = await waitingLoop({ clock: { now: () => now }, host });
  host.soon = () => void slices.push("soon");
  host.afterIo = () => void slices.push("afterIo");
  let ran = 0;
  for (let i = 0; i < 1_000 && slices.length === 0; i++) {
    now += 1;
    begin(loop, function* () {
      ran++;
    });
  }
  expect(slices).toEqual(["afterIo"]);
  expect(ran).toBeGreaterThan(0);
  expect(ran).toBeLessThan(20);
});

test("a failure in the first step is the task's, and the caller goes on", async () => {
  const reports: unknown[] = [];
  const loop = await waitingLoop({ onReport: (report) => reports.push(report.error) });
  const error = new Error("at once");
  // oxlint-disable-next-line require-yield -- it does not come that far
  const task = begin(loop, function* () {
    throw error;
  });
  expect(task.outcome).toEqual({ status: "failed", error });
  expect(reports).toEqual([error]);
});

test("in an idle loop it stands in line, and others may wait for what it does: no false alarm", async () => {
  const loop = new EventLoop();
  const gate = new Future<void>({ external: true });
  const shared = new Future<void>();
  const task = begin(loop, function* () {
    yield* gate;
    shared.resolve();
  });
  expect(task.state).toBe("ready");
  expect(EventLoop.live()).toContain(loop);
  const running = run(function* () {
    yield* shared;
  });
  await new Promise<void>((resolve) => systemHost.afterIo(resolve));
  gate.resolve();
  await running;
});

test("stores of the caller reach it, and what it makes of them does not come back", async () => {
  const storage = new AsyncLocalStorage<string>();
  const loop = await waitingLoop({ asyncContext: nodeAsyncContext() });
  const gate = new Future<void>({ external: true });
  const seen: unknown[] = [];
  await storage.run("caller", async () => {
    const task = begin(loop, function* () {
      seen.push(storage.getStore());
      storage.enterWith("own");
      yield* gate;
      seen.push(storage.getStore());
    });
    seen.push(storage.getStore());
    gate.resolve();
    await task;
  });
  expect(seen).toEqual(["caller", "caller", "own"]);
  expect(storage.getStore()).toBeUndefined();
});
