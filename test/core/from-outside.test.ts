/**
 * `loop.post` and `loop.spawn` at any moment from anywhere, and several loops in one thread that keep apart.
 */
import {
  CancelledError,
  currentTask,
  EventLoop,
  Future,
  moveOnAfter,
  run,
  sleep,
  spawn,
  TaskLocal,
  timeout,
  TimeoutError,
  until,
  yieldNow,
} from "fibril";
import type { Coroutine, Operation, Report, Task } from "fibril";
import { VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";

function* after<T>(ms: number, value: T): Coroutine<T> {
  yield* sleep(ms);
  return value;
}

function later(ms: number, callback: () => void): void {
  new EventLoop().callLater(ms, callback);
}

/** Where something may be called from. Each calls `act` once, at some moment. */
const places: readonly (readonly [string, (loop: EventLoop, act: () => void) => void])[] = [
  ["before the loop ever ran", (_loop, act) => act()],
  [
    "while it rests",
    (loop, act) => {
      void loop.spawn(sleep, 0).then(() => later(2, act));
    },
  ],
  [
    "while it sleeps for long",
    (loop, act) => {
      // Its own timer, so that it has begun to sleep; the act comes from another loop's.
      loop.spawn(function* () {
        later(2, act);
        yield* sleep(60_000);
      });
    },
  ],
  ["from a promise callback", (_loop, act) => void Promise.resolve().then(() => act())],
  [
    "from a step of another loop",
    (_loop, act) =>
      void new EventLoop().spawn(function* () {
        yield* sleep(1);
        act();
      }),
  ],
  [
    "from a step of the same loop",
    (loop, act) =>
      void loop.spawn(function* () {
        yield* sleep(1);
        act();
      }),
  ],
  ["from a callback of the same loop", (loop, act) => void loop.callSoon(act)],
  ["from a timer of the same loop", (loop, act) => void loop.callLater(1, act)],
  [
    "from the end of a task",
    (loop, act) => loop.spawn(sleep, 1).watch({ before: null, after: null, taskSettled: act }),
  ],
  ["after a run on it has ended", (loop, act) => void run(() => sleep(1), { loop }).then(() => act())],
];

describe("from outside", () => {
  for (const [place, call] of places) {
    test(`post runs a callback soon, never inside the caller: ${place}`, async () => {
      const loop = new EventLoop({ name: "mine" });
      const seen = await new Promise<unknown[]>((resolve) => {
        call(loop, () => {
          let returned = false;
          loop.post(() => resolve([returned, EventLoop.current().name]));
          returned = true;
        });
      });
      expect(seen).toEqual([true, "mine"]);
      loop.root.cancel();
    });

    test(`spawn adds a task that belongs to no other: ${place}`, async () => {
      const loop = new EventLoop({ name: "mine" });
      const seen = await new Promise<unknown[]>((resolve) => {
        call(loop, () => {
          const task: Task<void> = loop.spawn(function* () {
            yield* yieldNow();
            resolve([currentTask() === task, task.parent, EventLoop.current() === loop]);
          });
          expect([task.state, loop.tasks().some((it) => it.id === task.id)]).toEqual(["ready", true]);
        });
      });
      expect(seen).toEqual([true, null, true]);
      loop.root.cancel();
    });
  }

  test("what is posted runs in order, and a callback that throws stops nothing", async () => {
    const reports: Report[] = [];
    const loop = new EventLoop({ onReport: (report) => void reports.push(report) });
    const log: number[] = [];
    const error = new Error("callback");
    loop.post(() => void log.push(1));
    loop.post(() => {
      throw error;
    });
    loop.post(() => loop.post(() => void log.push(3)));
    loop.post(() => void log.push(2));
    await loop.spawn(sleep, 1);
    expect([log, reports.map((it) => [it.kind, it.error])]).toEqual([[1, 2, 3], [["callback-failed", error]]]);
  });

  test("after the root was cancelled a callback still runs; a task runs up to its first wait", async () => {
    const loop = new EventLoop();
    loop.root.cancel("over");
    const log: string[] = [];
    loop.post(() => void log.push("posted"));
    const task = loop.spawn(function* () {
      log.push("began");
      yield* sleep(1);
      log.push("not reached");
    });
    await expect(Promise.resolve(task)).rejects.toMatchObject({ code: "CANCELLED", reason: "over" });
    expect(log).toEqual(["posted", "began"]);
  });

  test("a task may be cancelled from outside, and from another loop", async () => {
    const [one, other] = [new EventLoop(), new EventLoop()];
    const tasks = [one.spawn(sleep, 60_000), one.spawn(sleep, 60_000)] as const;
    tasks[0].cancel("outside");
    const seen = await other.spawn(function* () {
      yield* sleep(1);
      yield* tasks[1].cancel("other loop");
      return tasks.map((it) => it.outcome?.status);
    });
    expect(seen).toEqual(["cancelled", "cancelled"]);
  });
});

describe("several loops in one thread", () => {
  test("each step sees its own loop and task, also right after the other one has run", async () => {
    const loops = [new EventLoop({ name: "a" }), new EventLoop({ name: "b" })];
    const log: boolean[] = [];
    await Promise.all(
      loops.map((loop) =>
        loop.spawn({ name: loop.name }, function* () {
          for (let n = 0; n < 50; n++) {
            log.push(EventLoop.current() === loop && currentTask().name === loop.name && currentTask().loop === loop);
            yield* n % 3 === 0 ? sleep(0.2) : n % 3 === 1 ? yieldNow() : until(Promise.resolve());
          }
        }),
      ),
    );
    expect(log).toEqual(Array.from({ length: 100 }, () => true));
    expect(() => EventLoop.current()).toThrow("no running event loop");
  });

  test("each lists its own tasks, counts its own timers, keeps its own time", () => {
    const clocks = [new VirtualClock(), new VirtualClock(500)] as const;
    const hosts = clocks.map((clock) => new VirtualHost(clock));
    const [a, b] = clocks.map((clock, index) => new EventLoop({ name: "ab"[index]!, clock, host: hosts[index]! })) as [
      EventLoop,
      EventLoop,
    ];
    a.spawn(sleep, 10);
    const task = b.spawn(sleep, 30);
    hosts[1]!.drain(() => b.statistics().timers === 1);
    expect([a, b].map((it) => [it.tasks().map((t) => t.name), it.statistics().timers])).toEqual([
      [["sleep"], 0],
      [["sleep"], 1],
    ]);
    hosts[1]!.drain();
    expect([task.state, a.now(), b.now(), a.tasks().length, b.tasks().length]).toEqual(["settled", 0, 530, 1, 0]);
    hosts[0]!.drain();
    expect([a.now(), a.tasks().length]).toEqual([10, 0]);
  });

  test("cancelling the root of one leaves the other alone", async () => {
    const [a, b] = [new EventLoop(), new EventLoop()];
    const [stopped, goesOn] = [a.spawn(after, 60_000, "a"), b.spawn(after, 3, "b")];
    a.root.cancel("only a");
    await expect(Promise.resolve(stopped)).rejects.toBeInstanceOf(CancelledError);
    expect(await goesOn).toBe("b");
  });

  test("a task of one is joined in the other, both ways at the same time", async () => {
    const [a, b] = [new EventLoop({ name: "a" }), new EventLoop({ name: "b" })];
    const error = new Error("in b");
    const inA = a.spawn(after, 3, "from a");
    const inB = b.spawn(function* () {
      const value = yield* inA;
      expect(EventLoop.current()).toBe(b);
      yield* sleep(2);
      if (value === "from a") throw error;
    });
    const joined = a.spawn(function* () {
      try {
        yield* inB;
      } catch (thrown) {
        return [thrown === error, EventLoop.current() === a];
      }
      return [];
    });
    expect(await joined).toEqual([true, true]);
  });

  test("giving up a join leaves the task of the other loop alone; a deadline of one loop ends its wait for the other", async () => {
    const [a, b] = [new EventLoop(), new EventLoop()];
    const gate = new Future<string>({ external: true });
    const slow = b.spawn(() => gate);
    const seen = await a.spawn(function* () {
      const missed = yield* moveOnAfter(2, slow);
      const error = yield* caught(timeout(2, slow));
      gate.resolve("slow"); // not before: it is not a matter of time which of them ends first
      return [missed, error instanceof TimeoutError, yield* slow];
    });
    expect(seen).toEqual([undefined, true, "slow"]);
  });

  test("a cancelled task of the other loop is a CancelledError, and cancels nothing here", async () => {
    const [a, b] = [new EventLoop(), new EventLoop()];
    const task = b.spawn(sleep, 60_000);
    const joining = a.spawn(function* () {
      const error = yield* caught(task);
      yield* sleep(1);
      return error;
    });
    task.cancel("why");
    expect(await joining).toMatchObject({ code: "CANCELLED", reason: "why" });
  });

  test("a future is set in one loop and awaited in several, and in promise code", async () => {
    const loops = [new EventLoop(), new EventLoop(), new EventLoop()];
    const future = new Future<string>({ external: true });
    const waiting = loops.map((loop) =>
      loop.spawn(function* () {
        return [yield* future, EventLoop.current() === loop];
      }),
    );
    loops[1]!.spawn(function* () {
      yield* sleep(2);
      future.resolve("set");
    });
    expect(await future).toBe("set");
    expect(await Promise.all(waiting)).toEqual([
      ["set", true],
      ["set", true],
      ["set", true],
    ]);
  });

  test("a run that waits for another loop is not deadlocked, and the end of a scope elsewhere can be waited for", async () => {
    const other = new EventLoop();
    const task = other.spawn(function* () {
      spawn(sleep, 5);
      yield* sleep(60_000);
    });
    const state = await run(function* () {
      yield* sleep(1);
      yield* task.cancel();
      return task.state;
    });
    expect(state).toBe("settled");
  });

  test("a loop whose slice runs inside a step of another one gives the step back its own", () => {
    const clock = new VirtualClock();
    const hosts = [new VirtualHost(clock), new VirtualHost(clock)] as const;
    const [outer, inner] = hosts.map((host) => new EventLoop({ clock, host })) as [EventLoop, EventLoop];
    const log: unknown[] = [];
    const task = outer.spawn(function* (): Coroutine<void> {
      inner.spawn(function* () {
        yield* yieldNow();
        log.push(EventLoop.current() === inner);
      });
      hosts[1].drain();
      log.push(EventLoop.current() === outer, currentTask() === task);
      yield* sleep(1);
      log.push(clock.now());
    });
    hosts[0].drain();
    expect(log).toEqual([true, true, true, 1]);
  });

  test("task-locals cross to a task that is spawned on another loop from a step", async () => {
    const user = new TaskLocal("user", "nobody");
    const other = new EventLoop();
    const seen = await new EventLoop().spawn(function* () {
      user.set("ada");
      const far = other.spawn(function* () {
        yield* sleep(1);
        return user.get();
      });
      user.set("later");
      return [yield* far, user.get()];
    });
    expect(seen).toEqual(["ada", "later"]);
  });
});

function* caught(operation: Operation<unknown>): Coroutine<unknown> {
  try {
    yield* operation;
  } catch (error) {
    return error;
  }
  return undefined;
}
