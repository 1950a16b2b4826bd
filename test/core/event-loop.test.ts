/**
 * Turns, timers, callbacks and orders, on a virtual clock. What the loop owes its real host is in host-turn.test.ts.
 */
import { currentTask, EventLoop, Future, run, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import type { Coroutine, EventLoopOptions, Report } from "fibril";
import { lastInFirstOut, seededOrder, simulate, simulateSync, VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { now, simulated, thrownBy } from "./simulated.ts";

/** A loop on virtual time that the test turns by hand. */
function handLoop(options: EventLoopOptions = {}): { loop: EventLoop; host: VirtualHost; reports: Report[] } {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock);
  const reports: Report[] = [];
  return { loop: new EventLoop({ clock, host, onReport: (it) => void reports.push(it), ...options }), host, reports };
}

describe("a turn", () => {
  test("runs what was ready when it began, first in first out; what becomes ready meanwhile comes in the next one", () => {
    const { loop, host } = handLoop();
    const log: number[] = [];
    for (const i of [0, 1, 2]) {
      loop.callSoon(() => {
        log.push(i);
        loop.callSoon(() => log.push(10 + i));
      });
    }
    host.drain();
    expect(log).toEqual([0, 1, 2, 10, 11, 12]);
  });

  test("a task and a callback that became ready first run first, whatever they are", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const loop = EventLoop.current();
      loop.callSoon(() => seen.push("callback a"));
      spawn(function* () {
        seen.push("task b");
      });
      loop.callSoon(() => seen.push("callback c"));
      yield* yieldNow();
      return seen;
    });
    expect(log).toEqual(["callback a", "task b", "callback c"]);
  });

  test("a task's first step comes in the turn after the spawn, and the spawner goes on first", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      spawn(function* () {
        seen.push("child");
      });
      seen.push("spawner");
      yield* yieldNow();
      seen.push("spawner again");
      return seen;
    });
    expect(log).toEqual(["spawner", "child", "spawner again"]);
  });

  test("a thousand tasks that give way take turns", () => {
    const log: number[] = [];
    simulated(function* () {
      for (let i = 0; i < 1000; i++) {
        spawn(function* () {
          for (let round = 0; round < 3; round++) {
            log.push(i);
            yield* yieldNow();
          }
        });
      }
    });
    expect(log).toEqual([...Array(3000).keys()].map((i) => i % 1000));
  });

  test("the joiner of a task goes on one turn after its last step", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const task = spawn(function* () {
        seen.push("child ends");
        EventLoop.current().callSoon(() => {
          seen.push("next turn");
          EventLoop.current().callSoon(() => seen.push("the turn after"));
        });
      });
      yield* task;
      seen.push("joined");
      yield* yieldNow();
      yield* yieldNow();
      return seen;
    });
    expect(log).toEqual(["child ends", "next turn", "joined", "the turn after"]);
  });
});

test("a turn that is interrupted for the host goes on where it was: nobody has a second step before all have had the first", () => {
  let time = 0;
  let slices = 0;
  const host = new VirtualHost(new VirtualClock());
  const loop = new EventLoop({
    clock: { now: () => (time += 2) }, // each look at the clock takes a good part of a slice
    host: {
      soon: (slice) => host.soon(slice),
      afterIo(slice) {
        slices++;
        host.afterIo(slice);
      },
      after: (delayMs, outside, slice) => host.after(delayMs, outside, slice),
      clear: (timer) => host.clear(timer),
      report: (message, error) => host.report(message, error),
    },
    order: lastInFirstOut,
  });
  const rounds: number[] = [];
  for (let i = 0; i < 50; i++) {
    loop.spawn(function* () {
      for (const round of [1, 2, 3]) {
        rounds.push(round);
        yield* yieldNow();
      }
    });
  }
  host.drain();
  expect(slices).toBeGreaterThan(5);
  expect(rounds).toEqual(rounds.toSorted((a, b) => a - b));
  expect(rounds).toHaveLength(150);
});

describe("timers", () => {
  test("fire by deadline, and among equal deadlines in the order in which they were set", () => {
    const { loop, host } = handLoop();
    const log: string[] = [];
    const set = (deadline: number, name: string): void =>
      void loop.callAt(deadline, () => log.push(`${name}@${loop.now()}`));
    set(5, "c");
    set(1, "a");
    set(5, "d");
    set(3, "b");
    for (let i = 0; i < 8; i++) set(5, String(i));
    host.drain();
    expect(log).toEqual(["a@1", "b@3", "c@5", "d@5", "0@5", "1@5", "2@5", "3@5", "4@5", "5@5", "6@5", "7@5"]);
  });

  test("sleeps and callbacks share that order", () => {
    const log = simulated(function* () {
      const seen: string[] = [];
      const loop = EventLoop.current();
      for (const name of ["a", "b"]) {
        spawn(function* () {
          yield* sleep(5);
          seen.push(name);
        });
      }
      yield* yieldNow();
      yield* yieldNow();
      loop.callLater(5, () => seen.push("c"));
      yield* sleep(6);
      return seen;
    });
    expect(log).toEqual(["a", "b", "c"]);
  });

  test("a timer that is due runs after the callbacks that were ready already", () => {
    const { loop, host } = handLoop();
    const log: string[] = [];
    loop.callAt(0, () => log.push("timer"));
    loop.callSoon(() => log.push("ready"));
    loop.callSoon(() => log.push("ready too"));
    host.drain();
    expect(log).toEqual(["ready", "ready too", "timer"]);
  });

  test("deadlines in the past are sorted by deadline, not clamped to now", () => {
    const { loop, host } = handLoop();
    const log: string[] = [];
    loop.callLater(-1, () => log.push("-1"));
    loop.callLater(-5, () => log.push("-5"));
    loop.callLater(0, () => log.push("0"));
    host.drain();
    expect(log).toEqual(["-5", "-1", "0"]);
  });

  test("a task that wakes itself again and again does not keep a due timer from firing", () => {
    const steps = simulated(function* () {
      let fired = false;
      EventLoop.current().callLater(0, () => (fired = true));
      let count = 0;
      while (!fired) {
        count++;
        yield* yieldNow();
      }
      return count;
    });
    expect(steps).toBeLessThan(5);
  });

  test("the last one, cancelled from outside, takes the host's timer with it", () => {
    const { loop, host } = handLoop();
    const handle = loop.callLater(1000, () => {});
    let slices = 0;
    host.drain(() => slices++ === 1); // the loop rests now, and the host's timer is set
    handle.cancel();
    expect([host.drain(), loop.now()]).toEqual(["idle", 0]);
  });

  test("NaN is refused where it is written", () => {
    const { loop } = handLoop();
    expect(() => loop.callLater(NaN, () => {})).toThrow(UsageError);
    expect(loop.statistics().timers).toBe(0);
  });

  test("on a running clock, no timer fires early", async () => {
    const late = await run(function* () {
      const found: number[] = [];
      for (const ms of [1, 2, 3.5]) {
        const start = now();
        yield* sleep(ms);
        found.push(now() - start - ms);
      }
      return found;
    });
    for (const ms of late) expect(ms).toBeGreaterThanOrEqual(0);
  });
});

describe("handles", () => {
  test("a cancelled callback does not run, whether it was ready, waiting for its time, or due", () => {
    const { loop, host } = handLoop();
    const log: string[] = [];
    const soon = loop.callSoon(() => log.push("soon"));
    const later = loop.callLater(5, () => log.push("later"));
    soon.cancel();
    later.cancel();
    expect(loop.statistics().timers).toBe(0);
    const due = loop.callLater(1, () => log.push("due"));
    loop.callLater(1, () => log.push("runs"));
    loop.callAt(1, () => {}).cancel();
    loop.callAt(0.5, () => loop.callAt(1, () => log.push("runs too")));
    loop.callAt(0.5, () => loop.callLater(0, () => due.cancel()));
    host.drain();
    expect(log).toEqual(["runs", "runs too"]);
    expect([soon.isCancelled, later.isCancelled, due.isCancelled]).toEqual([true, true, true]);
  });

  test("callbacks may cancel each other while they run", () => {
    const { loop, host } = handLoop();
    const log: string[] = [];
    loop.callSoon(() => {
      log.push("a");
      b.cancel();
    });
    const b = loop.callSoon(() => log.push("b"));
    loop.callSoon(() => log.push("c"));
    host.drain();
    expect(log).toEqual(["a", "c"]);
  });

  test("cancelling twice, and after it has run, does nothing", () => {
    const { loop, host } = handLoop();
    let ran = 0;
    const handle = loop.callSoon(() => ran++);
    host.drain();
    expect([ran, handle.isCancelled]).toEqual([1, false]);
    handle.cancel();
    handle.cancel();
    host.drain();
    expect(ran).toBe(1);
  });

  test("arguments are passed on", () => {
    const { loop, host } = handLoop();
    const log: unknown[] = [];
    loop.callSoon((...args: number[]) => log.push(args), 1, 2);
    loop.callLater(1, (...args: number[]) => log.push(args), 3);
    loop.callAt(2, (...args: number[]) => log.push(args));
    host.drain();
    expect(log).toEqual([[1, 2], [3], []]);
  });

  test("a callback that throws is reported with its name, and the loop goes on", () => {
    const { loop, host, reports } = handLoop();
    const error = new Error("broken");
    const log: string[] = [];
    loop.callSoon(function careless() {
      throw error;
    });
    loop.callSoon(() => log.push("next"));
    loop.callLater(1, () => log.push("later"));
    host.drain();
    expect(log).toEqual(["next", "later"]);
    expect(reports).toEqual([
      { kind: "callback-failed", message: expect.stringContaining("careless") as string, error },
    ]);
  });

  test("a reporter that throws is reported itself, and neither report is lost", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const loop = new EventLoop({
      clock,
      host,
      onReport: () => {
        throw new Error("reporter");
      },
    });
    loop.callSoon(() => {
      throw new Error("callback");
    });
    let after = false;
    loop.callSoon(() => (after = true));
    host.drain();
    expect(host.reports.map((it) => (it.error as Error).message)).toEqual(["reporter", "callback"]);
    expect(after).toBe(true);
  });
});

describe("from outside", () => {
  test("tasks and callbacks may be added at any moment: before the loop has run, while it rests, while it waits for time", () => {
    const { loop, host } = handLoop();
    const log: string[] = [];
    function* note(text: string, ms: number): Coroutine<void> {
      yield* sleep(ms);
      log.push(`${text}@${loop.now()}`);
    }
    loop.spawn(note, "first", 10);
    host.drain();
    loop.spawn(note, "second", 5);
    loop.post(() => log.push("posted"));
    host.drain();
    loop.spawn({ name: "named" }, note, "third", 1);
    expect(loop.tasks().map((it) => it.name)).toEqual(["named"]);
    host.drain();
    expect(log).toEqual(["first@10", "posted", "second@15", "third@16"]);
  });

  test("nothing runs inside the caller", () => {
    const { loop } = handLoop();
    let ran = false;
    loop.spawn(function* () {
      ran = true;
    });
    loop.callSoon(() => (ran = true));
    loop.post(() => (ran = true));
    expect(ran).toBe(false);
  });

  test("an earlier timer wakes a loop that sleeps for a later one", () => {
    const { loop, host } = handLoop();
    const log: number[] = [];
    loop.callAt(100, () => log.push(loop.now()));
    host.drain(() => true);
    loop.callAt(10, () => log.push(loop.now()));
    host.drain();
    expect(log).toEqual([10, 100]);
  });

  test("a future that is resolved from outside wakes its task", () => {
    const { loop, host } = handLoop();
    const future = new Future<string>({ external: true });
    const task = loop.spawn(() => future);
    host.drain();
    expect(task.state).toBe("waiting");
    future.resolve("from outside");
    host.drain();
    expect(task.outcome).toEqual({ status: "succeeded", value: "from outside" });
  });
});

describe("the current loop", () => {
  test("exists only inside a step or a callback", () => {
    expect(thrownBy(() => EventLoop.current())).toMatchObject({ code: "NO_LOOP" });
    const { loop, host } = handLoop();
    const seen: unknown[] = [];
    loop.spawn(function* () {
      seen.push(EventLoop.current() === loop);
      yield* sleep(1);
      seen.push(EventLoop.current() === loop);
    });
    loop.callSoon(() => seen.push(EventLoop.current() === loop));
    host.drain();
    expect(seen).toEqual([true, true, true]);
    expect(thrownBy(() => EventLoop.current())).toBeInstanceOf(UsageError);
  });

  test("several loops take turns and keep apart", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const loops = ["a", "b"].map((name) => new EventLoop({ name, clock, host }));
    const log: string[] = [];
    for (const loop of loops) {
      loop.spawn(function* () {
        for (let i = 0; i < 2; i++) {
          log.push(`${EventLoop.current().name} ${currentTask().id} at ${now()}`);
          yield* sleep(loop.name === "a" ? 2 : 3);
        }
      });
    }
    host.drain();
    expect(log).toEqual(["a 1 at 0", "b 1 at 0", "a 1 at 2", "b 1 at 3"]);
    expect(loops.map((it) => it.statistics())).toEqual(
      loops.map(() => ({ tasks: 0, ready: 0, timers: 0, outside: 0, tasksSpawned: 1 })),
    );
  });

  test("a loop may run to its end inside a step of another, and the outer step knows where it is", () => {
    const seen = simulated(function* outer() {
      const loop = EventLoop.current();
      const me = currentTask();
      const inner = simulateSync(function* inner() {
        yield* sleep(1000);
        return EventLoop.current() === loop;
      });
      const same = [EventLoop.current() === loop, currentTask() === me];
      yield* sleep(1);
      return [inner.outcome, inner.elapsedMs, ...same, now()];
    });
    expect(seen).toEqual([{ status: "succeeded", value: false }, 1000, true, true, 1]);
  });

  test("a task may join a task of another loop", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const [a, b] = [new EventLoop({ name: "a", clock, host }), new EventLoop({ name: "b", clock, host })];
    const far = a.spawn(function* () {
      yield* sleep(10);
      return `from ${EventLoop.current().name}`;
    });
    const near = b.spawn(function* () {
      return `${yield* far} to ${EventLoop.current().name}`;
    });
    host.drain();
    expect(near.outcome).toEqual({ status: "succeeded", value: "from a to b" });
  });

  test("joining a task of another loop is no deadlock: that loop is outside", async () => {
    const other = new EventLoop({ name: "other" });
    const far = other.spawn(function* () {
      yield* sleep(2);
      return 7;
    });
    await expect(
      run(function* () {
        return yield* far;
      }),
    ).resolves.toBe(7);
  });
});

describe("tasks()", () => {
  test("lists every unsettled task in creation order, also those inside scopes of scopes, with state, wait and parent", () => {
    const { loop, host } = handLoop();
    function* child(): Coroutine<void> {
      yield* sleep(10);
    }
    loop.spawn(function* root() {
      yield* scope(
        function* (outer) {
          outer.spawn(child);
          yield* scope(
            function* (inner) {
              inner.spawn({ name: "grandchild" }, child);
              yield* new Future({ name: "answer", external: true });
            },
            { name: "inner" },
          );
        },
        { name: "outer" },
      );
    });
    loop.spawn(child);
    host.drain(() => loop.now() > 0);
    const snapshots = loop.tasks();
    expect(snapshots).toMatchObject([
      {
        id: 1,
        name: "root",
        state: "waiting",
        waitingFor: "answer",
        scope: "loop",
        parentId: null,
        steps: 1,
        isCancelling: false,
      },
      {
        id: 2,
        name: "child",
        state: "waiting",
        waitingFor: "sleep 10 ms",
        scope: "loop",
        parentId: null,
        steps: 1,
        isCancelling: false,
      },
      {
        id: 3,
        name: "child",
        state: "waiting",
        waitingFor: "sleep 10 ms",
        scope: "outer",
        parentId: 1,
        steps: 1,
        isCancelling: false,
      },
      {
        id: 4,
        name: "grandchild",
        state: "waiting",
        waitingFor: "sleep 10 ms",
        scope: "inner",
        parentId: 1,
        steps: 1,
        isCancelling: false,
      },
    ]);
    expect(snapshots[2]!.awaitStack.map((it) => it.name)).toEqual(["child"]);
    expect(Object.isFrozen(snapshots[0])).toBe(true);
  });

  test("says who is being cancelled", () => {
    const { loop, host } = handLoop();
    const task = loop.spawn(function* () {
      try {
        yield* sleep(10);
      } finally {
        yield* sleep(10);
      }
    });
    host.drain(() => task.state === "waiting");
    task.cancel();
    expect(loop.tasks()[0]).toMatchObject({ isCancelling: true, state: "ready" });
    host.drain(() => task.state === "waiting");
    expect(loop.tasks()[0]).toMatchObject({ isCancelling: true, waitingFor: "sleep 10 ms" });
    host.drain();
    expect(loop.tasks()).toEqual([]);
  });

  test("a task that nobody refers to is kept and runs to its end", () => {
    const { loop, host } = handLoop();
    let ended = 0;
    for (let i = 0; i < 100; i++) {
      loop.spawn(function* () {
        yield* sleep(i);
        ended++;
      });
    }
    expect(loop.statistics().tasks).toBe(100);
    host.drain();
    expect(ended).toBe(100);
  });
});

describe("determinism", () => {
  /** A program with a little of everything; its trace is what happened in which order. */
  function* busy(trace: string[]): Coroutine<void> {
    const gate = new Future<number>({ name: "gate" });
    function* worker(i: number): Coroutine<number> {
      for (let k = 0; k < 3; k++) {
        trace.push(`${i}.${k}@${now()}`);
        if (k === i % 3) yield* sleep(i % 4);
        else yield* yieldNow();
      }
      if (i === 5) gate.tryResolve(i);
      return yield* gate;
    }
    yield* scope(function* (inner) {
      const tasks = Array.from({ length: 8 }, (_, i) => inner.spawn(worker, i));
      for (const task of tasks) trace.push(`joined ${yield* task}`);
    });
  }

  function traceOf(options: Parameters<typeof simulateSync>[1]): string {
    const trace: string[] = [];
    simulated(() => busy(trace), options);
    return trace.join(" ");
  }

  test("the same seed gives the same trace, every time", () => {
    for (let seed = 0; seed < 20; seed++) expect(traceOf({ seed })).toBe(traceOf({ seed }));
    expect(traceOf({})).toBe(traceOf({}));
  });

  test("the trace on virtual time does not depend on whether it is driven at once or from promises", async () => {
    const trace: string[] = [];
    await simulate(() => busy(trace));
    expect(trace.join(" ")).toBe(traceOf({}));
  });

  test("different seeds explore different orders", () => {
    const traces = new Set(Array.from({ length: 50 }, (_, seed) => traceOf({ seed })));
    expect(traces.size).toBeGreaterThan(45);
    expect(traces.has(traceOf({}))).toBe(false);
  });

  test("every order runs everything: a turn is still a turn", () => {
    const sorted = (trace: string): string[] => trace.split(" ").sort();
    const expected = sorted(traceOf({})).map((it) => it.split("@")[0]);
    for (const order of [lastInFirstOut, seededOrder(1), seededOrder(2)]) {
      expect(sorted(traceOf({ order })).map((it) => it.split("@")[0])).toEqual(expected);
    }
  });

  test("last in first out reverses a turn, and leaves each task's own steps in order", () => {
    const log = simulated(
      function* () {
        const seen: string[] = [];
        for (const name of ["a", "b", "c"]) {
          spawn(function* () {
            seen.push(`${name}1`);
            yield* yieldNow();
            seen.push(`${name}2`);
          });
        }
        yield* sleep(1);
        return seen;
      },
      { order: lastInFirstOut },
    );
    expect(log).toEqual(["c1", "b1", "a1", "a2", "b2", "c2"]);
  });
});

test("cancelling the root of a loop leaves no timer once its last task has ended", () => {
  const clock = new VirtualClock();
  const host = new VirtualHost(clock);
  const loop = new EventLoop({ clock, host });
  loop.spawn(function* () {
    try {
      yield* sleep(1_000);
    } finally {
      yield* sleep(20);
    }
  });
  loop.callLater(5, () => void loop.root.cancel());
  host.drain();
  expect([clock.now(), loop.statistics().timers]).toEqual([25, 0]);
});
