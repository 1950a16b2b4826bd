/**
 * What has ended or was given up is not kept alive: by futures, tasks, queues and loops that live on.
 */
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { EventLoop, Future, moveOnAfter, scope, sleep } from "fibril";
import type { Coroutine, Operation, Scope, Task } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { VirtualClock, VirtualHost } from "fibril/testing";
import { expect, test } from "vitest";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const COUNT = 50;

/** How many of the objects that `make` refers to are still there after a collection. */
async function survivors(make: (loop: EventLoop, host: VirtualHost) => WeakRef<object>[]): Promise<number> {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock);
  const loop = new EventLoop({ clock, host, onReport: () => {} });
  const refs = make(loop, host);
  for (let i = 0; i < 3; i++) {
    await setImmediate(); // a WeakRef holds its object until the end of the job
    collectGarbage();
  }
  // The loop has to live until here, as it would in a program.
  expect(loop.statistics().ready).toBe(0);
  return refs.filter((it) => it.deref() !== undefined).length;
}

/** Waits for `source` until `ms` have passed, with something heavy in its hands. */
function* patience(source: Operation<unknown>, heavy: object): Coroutine<object> {
  yield* moveOnAfter(1, source);
  return heavy;
}

function giveUpOn(source: (loop: EventLoop) => () => Operation<unknown>) {
  return (loop: EventLoop, host: VirtualHost): WeakRef<object>[] => {
    const make = source(loop);
    const refs: WeakRef<object>[] = [];
    for (let i = 0; i < COUNT; i++) refs.push(new WeakRef(loop.spawn(patience, make(), { i }) as object));
    host.drain();
    kept.push(make);
    return refs;
  };
}

/** What lives on while the tasks are gone. */
const kept: unknown[] = [];

test.each<[string, (loop: EventLoop) => () => Operation<unknown>]>([
  ["a future", () => lasting(new Future())],
  ["a task that goes on", (loop) => lasting(loop.spawn(() => new Future()))],
  ["a queue", () => fromQueue(new WaitQueue())],
])("%s keeps nothing of the tasks that waited for it and gave up", async (_, source) => {
  expect(await survivors(giveUpOn(source))).toBeLessThan(COUNT / 5);
});

function lasting(operation: Operation<unknown>): () => Operation<unknown> {
  return () => operation;
}

function fromQueue(queue: WaitQueue): () => Operation<unknown> {
  return () => queue.park("a line");
}

test("a loop keeps nothing of tasks that have settled, nor of callbacks that have run or were cancelled", async () => {
  const alive = await survivors((loop, host) => {
    const refs: WeakRef<object>[] = [];
    for (let i = 0; i < COUNT; i++) {
      refs.push(new WeakRef(loop.spawn(() => sleep(i)) as object));
      refs.push(new WeakRef(loop.callLater(i, () => {})));
      const cancelled = loop.callLater(1e9, () => {});
      cancelled.cancel();
      refs.push(new WeakRef(cancelled));
    }
    host.drain();
    return refs;
  });
  expect(alive).toBeLessThan(COUNT / 5);
});

test("a scope that lives on keeps nothing of its tasks that have settled", async () => {
  const alive = await survivors((loop, host) => {
    const refs: WeakRef<object>[] = [];
    loop.spawn(function* () {
      yield* scope(function* (own: Scope) {
        for (let i = 0; i < COUNT; i++) refs.push(new WeakRef(own.spawn(() => sleep(i)) as Task<void>));
        yield* new Future();
      });
    });
    host.drain();
    return refs;
  });
  expect(alive).toBeLessThan(COUNT / 5);
});
