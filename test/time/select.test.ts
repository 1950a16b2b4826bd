/**
 * The waits of this folder as arms of a `select`: exactly one is taken, the others leave no trace.
 */
import { EventLoop, sleep } from "fibril";
import { cancelSweep } from "fibril/testing";
import { expect, test } from "vitest";
import { select, trySelect } from "../../src/channels/select.ts";
import { interval, RateLimiter, sleepUntil } from "../../src/time/index.ts";
import { now, simulated } from "../core/simulated.ts";

test("of two permits of one limiter, one is taken", () => {
  simulated(function* () {
    const limiter = new RateLimiter({ limit: 10, burst: 1 });
    yield* select([limiter.acquire(), limiter.acquire()]); // at once
    yield* select([limiter.acquire(), limiter.acquire()]); // by the timer
    expect([now(), limiter.statistics().given, limiter.statistics().waiting]).toEqual([100, 2, []]);
    expect(EventLoop.current().statistics().timers).toBe(0);
    expect(trySelect([limiter.acquire()])).toBeUndefined();
    expect([limiter.statistics().given, EventLoop.current().statistics().timers]).toEqual([2, 0]);
  });
});

test("the arm that loses takes no permit and no tick", () => {
  const log = simulated(function* () {
    const limiter = new RateLimiter({ limit: 100, burst: 1 });
    const ticks = interval(25);
    const keys: string[] = [];
    for (let i = 0; i < 6; i++) {
      const { key } = yield* select({
        tick: ticks.next(),
        permit: limiter.acquire(),
        time: sleepUntil(now() < 18 ? 18 : 1_000),
      });
      keys.push(`${key} at ${now()}`);
      if (key === "time") yield* sleep(3);
    }
    expect([limiter.statistics().given, ticks.statistics().ticks]).toEqual([4, 1]);
    return keys;
  });
  expect(log).toEqual(["permit at 0", "permit at 10", "time at 18", "permit at 21", "tick at 25", "permit at 31"]);
});

test("cancelled at any step it leaves nothing", () => {
  for (const seed of [undefined, 1, 2]) {
    cancelSweep(
      () => {
        const limiter = new RateLimiter({ limit: 100, burst: 2 });
        const ticks = interval(7);
        return {
          main: function* () {
            for (let i = 0; i < 5; i++) yield* select([limiter.acquire(2), ticks.next(), sleepUntil(30)]);
          },
          check: ({ outcome }) => {
            expect(outcome.status).not.toBe("failed");
            expect([limiter.statistics().waiting, ticks.statistics().waiting]).toEqual([[], 0]);
          },
        };
      },
      seed === undefined ? {} : { seed },
    );
  }
});
