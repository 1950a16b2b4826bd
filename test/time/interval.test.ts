import { EventLoop, moveOnAfter, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep, VirtualClock, VirtualHost } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { interval, sleepUntil } from "../../src/time/index.ts";
import type { Interval, IntervalOptions, Tick } from "../../src/time/index.ts";
import { now, simulated, thrownBy } from "../core/simulated.ts";

function* take(ticks: Interval): Coroutine<Tick> {
  return (yield* ticks.next()).value!;
}

/** The ticks with their arrival times, for a consumer that is busy for these times after each. */
function arrivals(periodMs: number, busy: readonly number[], options: IntervalOptions): unknown[] {
  return simulated(function* () {
    const ticks = interval(periodMs, options);
    const log: unknown[] = [];
    for (const ms of busy) {
      const { scheduledAt, missed } = yield* take(ticks);
      log.push([now(), scheduledAt, missed]);
      if (ms > 0) yield* sleep(ms);
    }
    return log;
  });
}

describe("interval", () => {
  test("ticks at multiples of the period after the first next(), work or not", () => {
    expect(
      simulated(function* () {
        yield* sleep(7);
        const ticks = interval(10);
        yield* sleep(3);
        expect(ticks.dueAt).toBeUndefined();
        const log: unknown[] = [];
        for (const ms of [0, 9, 3, 5]) {
          log.push(yield* take(ticks));
          yield* sleep(ms);
        }
        return [log, ticks.dueAt, ticks.statistics()];
      }),
    ).toEqual([
      [20, 30, 40, 50].map((scheduledAt, index) => ({ index, scheduledAt, missed: 0 })),
      60,
      { ticks: 4, missed: 0, waiting: 0 },
    ]);
  });

  test("does not drift by rounding: tick n is at start + n * period exactly", () => {
    expect(
      simulated(function* () {
        const ticks = interval(0.1);
        for (let n = 1; n <= 1_000; n++) {
          const { scheduledAt } = yield* take(ticks);
          if (scheduledAt !== n * 0.1) return n;
        }
        return "exact";
      }),
    ).toBe("exact");
  });

  test("immediate: the first tick is at the start", () => {
    expect(arrivals(10, [0, 0, 0], { immediate: true })).toEqual([
      [0, 0, 0],
      [10, 10, 0],
      [20, 20, 0],
    ]);
  });

  // The same story for each: the tick of 10 is taken in time, then the consumer is busy until 45.
  test("skip leaves out what was missed and goes on at the next multiple", () => {
    expect(arrivals(10, [35, 0, 0], { missed: "skip" })).toEqual([
      [10, 10, 0],
      [45, 20, 2],
      [50, 50, 0],
    ]);
    expect(arrivals(10, [35, 0, 0], {})).toEqual(arrivals(10, [35, 0, 0], { missed: "skip" }));
  });

  test("burst catches up", () => {
    expect(arrivals(10, [35, 0, 0, 0, 0], { missed: "burst" })).toEqual([
      [10, 10, 0],
      [45, 20, 0],
      [45, 30, 0],
      [45, 40, 0],
      [50, 50, 0],
    ]);
  });

  test("delay shifts the schedule, by more than 5 ms only", () => {
    expect(arrivals(10, [35, 0, 15, 0, 0], { missed: "delay" })).toEqual([
      [10, 10, 0],
      [45, 20, 2],
      [55, 55, 0],
      [70, 65, 0], // 5 ms late: within the tolerance
      [75, 75, 0],
    ]);
  });

  test("skip: a due time that is now is skipped as well", () => {
    expect(arrivals(10, [30, 0, 0], { missed: "skip" })).toEqual([
      [10, 10, 0],
      [40, 20, 2],
      [50, 50, 0],
    ]);
  });

  test("skip: also where the division by the period rounds to the wrong side", () => {
    for (const [periodMs, startMs] of [
      [0.1, 0.7],
      [0.7, 3.3],
      [1.1, 0.1],
      [0.3, 0],
    ] as const) {
      for (let n = 2; n < 200; n++) {
        const due = startMs + n * periodMs;
        simulated(function* () {
          yield* sleepUntil(startMs);
          const ticks = interval(periodMs, { immediate: true });
          yield* ticks.next();
          yield* sleepUntil(due); // now is exactly the time of tick n
          const { value: tick } = yield* ticks.next();
          expect([tick!.missed, ticks.dueAt]).toEqual([n - 1, startMs + (n + 1) * periodMs]);
        });
      }
    }
  });

  test("a tick that is due counts as a step, so a burst without end lets others run", () => {
    expect(
      simulated(function* () {
        const ticks = interval(1e-6, { missed: "burst" });
        let others = 0;
        const other = spawn(function* () {
          for (let i = 0; i < 3; i++, others++) yield* sleep(1);
        });
        for (let i = 0; i < 3_000; i++) yield* ticks.next();
        yield* other.cancel();
        return others <= 3;
      }),
    ).toBe(true);
  });

  test("tasks take ticks in turn; one that is cancelled takes none and sets nobody back", () => {
    expect(
      simulated(function* () {
        const ticks = interval(10);
        const log: string[] = [];
        const tasks = ["a", "b", "c"].map((name) =>
          spawn({ name }, function* () {
            log.push(`${name} ${(yield* take(ticks)).scheduledAt} at ${now()}`);
          }),
        );
        yield* sleep(5);
        expect([ticks.statistics().waiting, tasks[0]!.waitingFor]).toEqual([3, 'tick of interval "interval"']);
        expect(EventLoop.current().statistics().timers).toBe(1);
        yield* tasks[0]!.cancel();
        yield* tasks[1]!;
        yield* tasks[2]!;
        expect(EventLoop.current().statistics().timers).toBe(0);
        return log;
      }),
    ).toEqual(["b 10 at 10", "c 20 at 20"]);
  });

  test("one that comes when the tick is due does not pass those who wait", () => {
    expect(
      simulated(function* () {
        const ticks = interval(10);
        const log: string[] = [];
        function* taker(name: string): Coroutine<void> {
          log.push(`${name} ${(yield* take(ticks)).scheduledAt}`);
        }
        spawn(function* () {
          yield* sleep(10); // set before the interval's timer, so it runs first
          yield* taker("late");
        });
        yield* yieldNow();
        yield* taker("early");
        yield* sleep(20);
        return log;
      }),
    ).toEqual(["early 10", "late 20"]);
  });

  test("one that comes when the tick has become due in the middle of a turn does not pass either", () => {
    const clock = new VirtualClock();
    const host = new VirtualHost(clock);
    const loop = new EventLoop({ clock, host });
    const ticks = interval(10);
    const log: string[] = [];
    function* taker(name: string): Coroutine<void> {
      log.push(`${name} ${(yield* take(ticks)).scheduledAt}`);
    }
    loop.spawn(taker, "early");
    loop.spawn(function* () {
      clock.advanceTo(10); // a long step: the timer has had no chance to fire
      yield* taker("late");
    });
    host.drain();
    expect(log).toEqual(["early 10", "late 20"]);
  });

  test("a cancelled next() leaves no timer and loses no tick", () => {
    simulated(function* () {
      const ticks = interval(10);
      const tasks = [1, 2].map(() => spawn(() => ticks.next()));
      yield* sleep(1);
      for (const [index, timers] of [1, 0].entries()) {
        yield* tasks[index]!.cancel();
        expect(EventLoop.current().statistics().timers).toBe(timers);
      }
    });
    expect(
      simulated(function* () {
        const ticks = interval(10);
        const log: unknown[] = [];
        for (let i = 0; i < 4; i++) log.push((yield* moveOnAfter(6, take(ticks)))?.scheduledAt, now());
        return log;
      }),
    ).toEqual([undefined, 6, 10, 10, undefined, 16, 20, 20]);
    for (const target of ["main", "stepped"] as const) {
      cancelSweep(
        () => {
          const ticks = interval(3, { missed: "burst" });
          return {
            main: function* () {
              spawn(function* () {
                for (let i = 0; i < 3; i++) yield* ticks.next();
              });
              for (let i = 0; i < 3; i++) yield* ticks.next();
            },
            check: () => expect(ticks.statistics().waiting).toBe(0),
          };
        },
        { target },
      );
    }
  });

  test("close() ends it, for those who wait and those who come", () => {
    expect(
      simulated(function* () {
        const ticks = interval(10);
        const waiting = spawn(() => ticks.next());
        yield* sleep(1);
        ticks.close();
        ticks.close();
        return [yield* waiting, yield* ticks.next(), now(), EventLoop.current().statistics().timers];
      }),
    ).toEqual([{ done: true, value: undefined }, { done: true, value: undefined }, 1, 0]);
  });

  test.each([0, -1, NaN, Infinity, "5", undefined])("refuses a period of %s", (periodMs) => {
    expect(thrownBy(() => interval(periodMs as number))).toMatchObject({ code: "USAGE" });
  });

  test("refuses an unknown policy", () => {
    expect(thrownBy(() => interval(5, { missed: "ignore" as never }))).toMatchObject({
      code: "USAGE",
      message: expect.stringContaining('"skip" or "burst" or "delay", got "ignore"'),
    });
  });
});
