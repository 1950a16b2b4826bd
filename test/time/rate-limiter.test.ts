import { EventLoop, moveOnAfter, run, scope, sleep, spawn, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { RateLimiter } from "../../src/time/index.ts";
import type { RateLimiterOptions } from "../../src/time/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";

/** When each of so many callers, all there at the start, was served. */
function served(options: RateLimiterOptions, wanted: readonly number[]): number[] {
  return simulated(function* () {
    const limiter = new RateLimiter(options);
    const times: number[] = [];
    yield* scope(function* (own) {
      for (const [index, n] of wanted.entries()) {
        own.spawn(function* () {
          yield* limiter.acquire(n);
          times[index] = now();
        });
      }
    });
    return times;
  });
}

const ones = (count: number): number[] => Array.from({ length: count }, () => 1);

describe("RateLimiter", () => {
  test("gives a burst at once, then permits at the rate", () => {
    expect(served({ limit: 10, burst: 3 }, ones(6))).toEqual([0, 0, 0, 100, 200, 300]);
    expect(served({ limit: 2, perMs: 60_000 }, ones(4))).toEqual([0, 0, 30_000, 60_000]);
    expect(served({ limit: 0.5 }, ones(3))).toEqual([0, 2_000, 4_000]);
  });

  test("saves up no more than the burst", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 2 });
        const times: number[] = [];
        for (let round = 0; round < 2; round++) {
          for (let i = 0; i < 3; i++) {
            yield* limiter.acquire();
            times.push(now());
          }
          yield* sleep(10_000);
        }
        return times;
      }),
    ).toEqual([0, 0, 100, 10_100, 10_100, 10_200]);
  });

  test("does not drift: the time of a permit comes from its number", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 3, burst: 1 });
        yield* limiter.acquire();
        for (let n = 1; n <= 10_000; n++) {
          yield* limiter.acquire();
          if (now() !== (n * 1_000) / 3) return n;
        }
        return "exact";
      }),
    ).toBe("exact");
  });

  test("serves in the order of asking: small wishes wait behind a large one, nobody barges", () => {
    expect(served({ limit: 10, burst: 4 }, [3, 4, 1, 1])).toEqual([0, 300, 400, 500]);
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 4 });
        yield* limiter.acquire(2);
        const waiting = spawn(() => limiter.acquire(4));
        yield* sleep(150);
        const refused = limiter.tryAcquire(); // there would be three
        yield* waiting;
        return [refused, now(), limiter.tryAcquire()];
      }),
    ).toEqual([false, 200, false]);
  });

  test("one that comes when a permit is due does not pass those who wait", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 1 });
        const log: string[] = [];
        function* taker(name: string): Coroutine<void> {
          yield* limiter.acquire();
          log.push(`${name} at ${now()}`);
        }
        spawn(function* () {
          yield* sleep(100); // set before the limiter's timer, so it runs first
          yield* taker("late");
        });
        yield* yieldNow();
        yield* limiter.acquire();
        yield* taker("early");
        yield* sleep(200);
        return log;
      }),
    ).toEqual(["early at 100", "late at 200"]);
  });

  test("a cancelled waiter takes nothing, and those behind it move up at once", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 5 });
        const times: unknown[] = [];
        yield* limiter.acquire(4);
        const large = spawn(() => limiter.acquire(5));
        const small = spawn(function* () {
          yield* limiter.acquire(1);
          times.push(now());
        });
        yield* sleep(10);
        expect([large.waitingFor, small.waitingFor]).toEqual([
          '5 permits of rate limiter "rate limiter"',
          'a permit of rate limiter "rate limiter"',
        ]);
        yield* large.cancel();
        yield* small;
        return [times, limiter.statistics().given, EventLoop.current().statistics().timers];
      }),
    ).toEqual([[10], 5, 0]);
  });

  test("has one timer for the whole line", () => {
    simulated(function* () {
      const limiter = new RateLimiter({ limit: 10, burst: 1 });
      const tasks = Array.from({ length: 50 }, () => spawn(() => limiter.acquire()));
      yield* sleep(10);
      expect(EventLoop.current().statistics().timers).toBe(1);
      for (const task of tasks.toReversed()) yield* task.cancel();
      expect(EventLoop.current().statistics().timers).toBe(0);
    });
  });

  test("a permit that was given to a task is not lost when it is cancelled in the same turn", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 1 });
        yield* limiter.acquire();
        const log: string[] = [];
        const task = spawn(function* () {
          yield* limiter.acquire();
          log.push("has it");
          yield* sleep(1);
          log.push("not reached");
        });
        yield* sleep(50);
        EventLoop.current().callAt(100, () => void task.cancel()); // inserted after the timer of the limiter
        yield* sleep(100);
        return log;
      }),
    ).toEqual(["has it"]);
  });

  test("use takes a permit first; cancelled in line, the body does not begin", () => {
    const log: unknown[] = [];
    simulated(function* () {
      const limiter = new RateLimiter({ limit: 1, burst: 1 });
      function* job(): Coroutine<string> {
        log.push(now());
        return "done";
      }
      log.push(yield* limiter.use(job));
      yield* moveOnAfter(500, limiter.use(job));
      log.push(yield* limiter.use(job));
    });
    expect(log).toEqual([0, "done", 1_000, "done"]);
  });

  test("pauseFor: nobody is served meanwhile, and the bucket does not fill", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 5 });
        const times: number[] = [];
        yield* limiter.acquire(4);
        yield* sleep(50);
        limiter.pauseFor(1_000);
        limiter.pauseFor(10); // shorter: no effect
        expect([limiter.tryAcquire(), limiter.statistics().pausedForMs, limiter.statistics().available]).toEqual([
          false,
          1_000,
          0,
        ]);
        for (let i = 0; i < 3; i++) {
          yield* limiter.acquire();
          times.push(now());
        }
        return times;
      }),
      // 1.5 were there at the pause, so 1.5 are there after it.
    ).toEqual([1_050, 1_100, 1_200]);
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 2 });
        limiter.pauseFor(100);
        yield* sleep(50);
        limiter.pauseFor(100);
        yield* limiter.acquire();
        return [now(), limiter.tryAcquire(), limiter.tryAcquire()];
      }),
    ).toEqual([150, true, false]);
  });

  test("pauseFor delays those who wait already", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 1 });
        yield* limiter.acquire();
        const waiting = spawn(() => limiter.acquire());
        yield* sleep(50);
        limiter.pauseFor(500);
        yield* waiting;
        return now();
      }),
    ).toBe(600); // 50 ms of filling were missing
  });

  test("limit may be changed: what was taken stays taken, those who wait get the new rate", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 1, burst: 1 });
        const times: number[] = [];
        limiter.limit = 2; // nothing taken yet, no clock needed
        limiter.limit = 1;
        yield* limiter.acquire();
        const tasks = [1, 2].map(() =>
          spawn(function* () {
            yield* limiter.acquire();
            times.push(now());
          }),
        );
        yield* sleep(500);
        limiter.limit = 10; // half a permit is missing: 50 ms
        for (const task of tasks) yield* task;
        limiter.limit = 1;
        yield* limiter.acquire();
        times.push(now());
        return times;
      }),
    ).toEqual([550, 650, 1_650]);
  });

  test("limit may be changed during a pause", () => {
    expect(
      simulated(function* () {
        const limiter = new RateLimiter({ limit: 10, burst: 1 });
        yield* limiter.acquire();
        limiter.pauseFor(1_000);
        limiter.limit = 1;
        yield* limiter.acquire();
        return now();
      }),
    ).toBe(2_000);
  });

  test("statistics are plain, frozen and true", () => {
    simulated(function* () {
      const limiter = new RateLimiter({ limit: 10, burst: 3, name: "api" });
      expect(limiter.statistics().available).toBe(3);
      yield* limiter.acquire(2);
      yield* sleep(199);
      expect(limiter.statistics().available).toBe(2);
      yield* sleep(1);
      expect(limiter.statistics().available).toBe(3);
      yield* limiter.acquire(3);
      const tasks = ["a", "b"].map((name) => spawn({ name }, () => limiter.acquire()));
      yield* yieldNow();
      const statistics = limiter.statistics();
      expect(statistics).toEqual({
        limit: 10,
        perMs: 1_000,
        burst: 3,
        available: 0,
        given: 5,
        waiting: ["a", "b"],
        pausedForMs: 0,
      });
      expect(Object.isFrozen(statistics)).toBe(true);
      for (const task of tasks) yield* task.cancel();
    });
  });

  test("may be made anywhere, asked from plain code, and serve one loop after another", async () => {
    const limiter = new RateLimiter({ limit: 1_000_000 });
    expect(limiter.statistics()).toMatchObject({ available: 1_000_000, pausedForMs: 0 });
    expect(thrownBy(() => limiter.pauseFor(1))).toMatchObject({ code: "NO_LOOP" });
    await run(() => limiter.acquire());
    limiter.pauseFor(0);
    await run(() => limiter.acquire(5));
    expect(limiter.statistics().given).toBe(6);
  });

  test("wishes that can never be met are refused at once, and it stays usable", () => {
    simulated(function* () {
      const limiter = new RateLimiter({ limit: 10, burst: 3 });
      for (const n of [4, 0, -1, 1.5, NaN, Infinity, "1"]) {
        expect(thrownBy(() => limiter.acquire(n as number))).toMatchObject({ code: "USAGE" });
        expect(thrownBy(() => limiter.tryAcquire(n as number))).toMatchObject({ code: "USAGE" });
      }
      expect(thrownBy(() => (limiter.limit = 0))).toMatchObject({ code: "USAGE" });
      expect(thrownBy(() => limiter.pauseFor(-1))).toMatchObject({ code: "USAGE" });
      yield* limiter.acquire(3);
      expect(limiter.statistics().given).toBe(3);
    });
    expect(thrownBy(() => new RateLimiter({ limit: 1 }).tryAcquire())).toMatchObject({ code: "NO_LOOP" });
  });

  test.each([
    { limit: 0 },
    { limit: NaN },
    { limit: Infinity },
    { limit: 1, perMs: 0 },
    { limit: 1, burst: 0 },
    { limit: 1, burst: 1.5 },
    {},
  ])("refuses the options %o", (options) => {
    expect(thrownBy(() => new RateLimiter(options as RateLimiterOptions))).toMatchObject({ code: "USAGE" });
  });

  test("one wait is for one task", () => {
    expect(
      failureOf(function* () {
        const limiter = new RateLimiter({ limit: 1, burst: 1 });
        yield* limiter.acquire();
        const wait = limiter.acquire();
        spawn(() => wait);
        yield* wait;
      }),
    ).toMatchObject({ code: "SHARED_WAIT" });
  });

  test.each(["main", "stepped"] as const)("cancelled at any step it leaves nothing (%s)", (target) => {
    for (const seed of [undefined, 1, 2, 3]) {
      cancelSweep(
        () => {
          const limiter = new RateLimiter({ limit: 100, burst: 2 });
          let used = 0;
          return {
            main: () =>
              scope(function* (own) {
                for (const n of [2, 1, 2, 1]) {
                  own.spawn(function* () {
                    yield* limiter.acquire(n);
                    used += n;
                  });
                }
                yield* moveOnAfter(15, function* () {
                  yield* limiter.acquire(2);
                  used += 2;
                });
              }),
            check: () => expect([limiter.statistics().waiting, limiter.statistics().given - used]).toEqual([[], 0]),
          };
        },
        { target, ...(seed === undefined ? {} : { seed }) },
      );
    }
  });
});
