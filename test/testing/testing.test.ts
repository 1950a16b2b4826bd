/**
 * The tools that the other tests stand on.
 */
import { EventLoop, Future, run, scope, sleep, spawn, until, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { systemClock } from "fibril/lowlevel";
import {
  cancelSweep,
  lastInFirstOut,
  seededOrder,
  seededRandom,
  simulate,
  simulateSync,
  VirtualClock,
  VirtualHost,
} from "fibril/testing";
import type { SweepProgram } from "fibril/testing";
import { describe, expect, test } from "vitest";

describe("virtual time", () => {
  test("jumps when all tasks wait for time, and to each timer in turn", () => {
    const times: number[] = [];
    const { elapsedMs } = simulateSync(function* () {
      yield* scope(function* (own) {
        for (const ms of [3_600_000, 1000, 60_000]) {
          own.spawn(function* () {
            yield* sleep(ms);
            times.push(EventLoop.current().now());
          });
        }
      });
    });
    expect([times, elapsedMs]).toEqual([[1000, 60_000, 3_600_000], 3_600_000]);
  });

  test("stands still while anything is ready", () => {
    const { elapsedMs, steps } = simulateSync(function* () {
      spawn(() => sleep(10));
      for (let i = 0; i < 1000; i++) {
        yield* yieldNow();
        expect(EventLoop.current().now()).toBe(0);
      }
    });
    expect([elapsedMs, steps]).toEqual([10, 1004]);
  });

  test("stands still while something outside is pending", async () => {
    const log: string[] = [];
    await simulate(function* () {
      spawn(function* () {
        yield* sleep(1);
        log.push("timer");
      });
      for (let i = 0; i < 20; i++) yield* until(Promise.resolve());
      log.push(`promises at ${EventLoop.current().now()}`);
    });
    expect(log).toEqual(["promises at 0", "timer"]);
  });

  test("a hold that is taken while the loop rests holds it as well", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const loop = new EventLoop({ clock, host });
    const task = loop.spawn(() => sleep(10));
    host.drain(() => task.state === "waiting");
    const release = loop.hold();
    expect([host.drain(), clock.now()]).toEqual(["outside", 0]);
    release();
    expect([host.drain(), clock.now()]).toEqual(["idle", 10]);
  });

  test("never goes back", () => {
    const clock = new VirtualClock(5);
    clock.advanceTo(3);
    expect(clock.now()).toBe(5);
    clock.advanceTo(7);
    expect(clock.now()).toBe(7);
  });

  test("several loops share a clock and a host: their timers fire in the order of time", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const log: string[] = [];
    for (const [name, ms] of [
      ["a", 3],
      ["b", 1],
      ["c", 2],
    ] as const) {
      new EventLoop({ clock, host }).callLater(ms, () => log.push(`${name}@${clock.now()}`));
    }
    expect(host.drain()).toBe("idle");
    expect(log).toEqual(["b@1", "c@2", "a@3"]);
  });

  test("drain stops when it is told to, and goes on from there", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const loop = new EventLoop({ clock, host });
    const task = loop.spawn(() => sleep(10));
    host.drain(() => task.state === "waiting");
    expect([task.state, clock.now()]).toEqual(["waiting", 0]);
    expect([host.drain(), task.state]).toEqual(["idle", "settled"]);
  });
});

describe("simulateSync", () => {
  test("says how it ended, how long it took and in how many steps", () => {
    const error = new Error("x");
    expect(simulateSync(() => sleep(5))).toEqual({
      outcome: { status: "succeeded", value: undefined },
      elapsedMs: 5,
      steps: 2,
      reports: [],
      leaks: [],
    });
    expect(
      simulateSync(function* () {
        throw error;
      }),
    ).toMatchObject({ outcome: { status: "failed", error }, steps: 1 });
  });

  test("names what is left behind: tasks, timers, holds", () => {
    const { leaks, outcome } = simulateSync(function* main() {
      const loop = EventLoop.current();
      loop.spawn({ name: "forgotten" }, () => new Future({ name: "never" }));
      loop.hold();
    });
    expect(outcome.status).toBe("succeeded");
    expect(leaks).toEqual([
      expect.stringContaining('"forgotten" is waiting: never'),
      expect.stringContaining("1 wait(s) for something outside"),
    ]);
  });

  test("a program that gets stuck has failed, and says where", () => {
    const { outcome, leaks } = simulateSync(() => new Future({ name: "never" }));
    expect(outcome).toMatchObject({ status: "failed", error: { code: "STUCK" } });
    expect(leaks).toHaveLength(1);
  });

  test("collects the reports", () => {
    const { reports } = simulateSync(function* () {
      EventLoop.current().callSoon(() => {
        throw new Error("reported");
      });
      yield* sleep(1);
    });
    expect(reports.map((it) => it.kind)).toEqual(["callback-failed"]);
  });

  test("steer is called before the first step and after every step, with who has run", () => {
    const calls: unknown[] = [];
    simulateSync(
      function* main() {
        yield* spawn({ name: "child" }, () => yieldNow());
      },
      {},
      (main, stepped, steps) => void calls.push([main.name, stepped?.name ?? null, steps]),
    );
    expect(calls).toEqual([
      ["main", null, 0],
      ["main", "main", 1],
      ["main", "child", 2],
      ["main", "child", 3],
      ["main", "main", 4],
    ]);
  });
});

describe("simulate", () => {
  test("gives the value, or rejects with the error", async () => {
    expect(
      await simulate(function* () {
        yield* sleep(1e9);
        return EventLoop.current().now();
      }),
    ).toBe(1e9);
    await expect(
      simulate(function* () {
        yield* sleep(1);
        throw new Error("x");
      }),
    ).rejects.toThrow("x");
  });

  test("takes the options of run", async () => {
    await expect(simulate(() => sleep(1), { signal: AbortSignal.abort("no") })).rejects.toBe("no");
  });

  test("gives the same result as the real clock, only faster", async () => {
    function* program(): Coroutine<string[]> {
      const log: string[] = [];
      yield* scope(function* (own) {
        for (const ms of [30, 10, 20]) {
          own.spawn(function* () {
            yield* sleep(ms);
            log.push(String(ms));
          });
        }
      });
      return log;
    }
    // It counts little of a time in which the process stood still, else the three would not begin to sleep together.
    let [last, shown] = [systemClock.now(), 0];
    const patient = (): number => {
      const now = systemClock.now();
      shown += Math.min(now - last, 2);
      last = now;
      return shown;
    };
    expect(await simulate(program)).toEqual(await run(program, { clock: { now: patient } }));
  });
});

describe("seeded orders", () => {
  test("the same seed gives the same numbers, another seed others, all of them in [0, 1)", () => {
    const take = (seed: number): number[] => Array.from({ length: 100 }, seededRandom(seed));
    expect(take(1)).toEqual(take(1));
    expect(take(1)).not.toEqual(take(2));
    for (const it of take(3)) expect(it >= 0 && it < 1).toBe(true);
    expect(new Set(take(4)).size).toBe(100);
  });

  test("picks stay in range, and all of them come", () => {
    const order = seededOrder(7);
    const picks = new Set(Array.from({ length: 200 }, () => order.pick(5)));
    expect([...picks].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    expect([order.pick(1), lastInFirstOut.pick(1), lastInFirstOut.pick(9)]).toEqual([0, 0, 8]);
  });
});

describe("cancelSweep", () => {
  test("cancels at every step, once before the first, and counts", () => {
    const at: number[] = [];
    const sweep = cancelSweep(() => {
      let steps = 0;
      return {
        main: function* () {
          for (; steps < 3; steps++) yield* sleep(1);
        },
        check: () => void at.push(steps),
      };
    });
    expect(sweep).toEqual({ runs: 5, cancelled: 4 });
    expect(at).toEqual([3, 0, 0, 1, 2, 3]); // the first one is the run without a cancellation
  });

  test("finds the step at which something leaks, and names it", () => {
    const forgetful = () => {
      let open = 0;
      return {
        main: function* (): Coroutine<void> {
          yield* sleep(1);
          open++;
          yield* sleep(1); // a cancellation here finds it open
          open--;
        },
        check: () => {
          if (open > 0) throw new Error(`${open} left open`);
        },
      };
    };
    expect(() => cancelSweep(forgetful)).toThrow("cancelled after step 2: 1 left open");
  });

  test("finds tasks that are left running", () => {
    const wild = () => ({
      main: function* (): Coroutine<void> {
        const future = new Future<void>({ name: "go" });
        EventLoop.current().spawn({ name: "wild" }, () => future);
        yield* sleep(1);
        future.resolve();
      },
    });
    expect(() => cancelSweep(wild)).toThrow(/cancelled after step 0: .*"wild" is waiting: go/);
  });

  test("a program that fails by itself is refused, unless it may", () => {
    const broken = (): SweepProgram => ({
      main: function* () {
        yield* sleep(1);
        throw new RangeError("broken");
      },
    });
    expect(() => cancelSweep(broken)).toThrow(/fails without being cancelled: RangeError: broken/);
    expect(cancelSweep(broken, { mayFail: true })).toEqual({ runs: 3, cancelled: 2 });
  });

  test("with the target stepped it cancels whoever has just run", () => {
    const cancelled = new Set<string>();
    cancelSweep(
      () => ({
        main: function* main(): Coroutine<void> {
          for (const name of ["a", "b"]) {
            spawn({ name }, function* () {
              try {
                yield* sleep(5);
              } catch (error) {
                cancelled.add(name);
                throw error;
              }
            });
          }
          yield* sleep(1);
        },
      }),
      { target: "stepped" },
    );
    expect(cancelled).toEqual(new Set(["a", "b"]));
  });
});
