/** Cancellation that a cleanup replaces by an error, primitives that are called back into, very long runs. */
import {
  CircuitBreaker,
  CircuitOpenError,
  debounce,
  EventLoop,
  every,
  interval,
  moveOnAfter,
  RateLimiter,
  retry,
  scope,
  sleep,
  UsageError,
} from "fibril";
import type { Coroutine } from "fibril";
import { simulateSync } from "fibril/testing";
import { expect, test } from "vitest";
import { failureOf, now, simulated } from "../core/simulated.ts";
import { LAW_TIMEOUT_MS, runs } from "../laws/runs.ts";

function* brokenCleanup(log: number[], error: Error): Coroutine<void> {
  log.push(now());
  try {
    yield* sleep(1_000);
  } finally {
    throw error; // oxlint-disable-line no-unsafe-finally -- that is the point
  }
}

test("a cancelled attempt whose cleanup throws is not retried", () => {
  const log: number[] = [];
  const error = new Error("cleanup");
  const thrown = failureOf(() => moveOnAfter(100, () => retry(() => brokenCleanup(log, error), { attempts: 10 })));
  expect([thrown, log]).toEqual([error, [0]]);
});

test("but a retry inside a cleanup makes its attempts", () => {
  let attempts = 0;
  simulated(function* () {
    yield* moveOnAfter(100, function* () {
      try {
        yield* sleep(1_000);
      } finally {
        yield* retry(
          function* () {
            yield* sleep(1);
            if (++attempts < 3) throw new Error("not yet");
          },
          { baseMs: 1 },
        );
      }
    });
  });
  expect(attempts).toBe(3);
});

test.each([1, 2])("a cancelled run of a job whose cleanup throws ends the job, onError or not (limit %i)", (limit) => {
  const log: number[] = [];
  const error = new Error("cleanup");
  const options = { limit, onError: () => void log.push(-1) };
  const thrown = failureOf(() => moveOnAfter(150, () => every(100, () => brokenCleanup(log, error), options)));
  expect([thrown, log]).toEqual([error, [100]]);
});

test("a cancelled call whose cleanup throws has no verdict", () => {
  const breaker = new CircuitBreaker({ failures: 1, ratio: 0 });
  failureOf(() => moveOnAfter(100, () => breaker.use(() => brokenCleanup([], new Error("cleanup")))));
  expect([breaker.state, breaker.statistics().failed, breaker.statistics().cancelled]).toEqual(["closed", 0, 1]);
});

test("a breaker that onStateChange trips while it becomes half-open lets nobody through", () => {
  let called = false;
  const breaker: CircuitBreaker = new CircuitBreaker({
    openMs: 10,
    onStateChange: ({ to }) => void (to === "half-open" && breaker.trip(1_000)),
  });
  const error = failureOf(function* () {
    breaker.trip();
    yield* sleep(20);
    yield* breaker.use(function* () {
      called = true;
    });
  });
  expect(error).toBeInstanceOf(CircuitOpenError);
  expect(called).toBe(false);
});

test.each([false, true])(
  "a run that flushes itself is refused instead of waiting for ever (pending: %s)",
  (pending) => {
    const error = failureOf(() =>
      scope(function* () {
        const save = debounce(10, function* (): Coroutine<void> {
          if (pending) save();
          yield* save.flush();
        });
        save();
      }),
    );
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ code: "SELF_JOIN" });
  },
);

// 10^6 virtual ticks of each period in the long run.
test("ticks do not drift, whatever the period", { timeout: LAW_TIMEOUT_MS }, () => {
  const count = runs(10_000).numRuns;
  for (const periodMs of [0.1, 1 / 3, 7.7]) {
    const drift = simulated(function* () {
      const ticks = interval(periodMs);
      let worst = 0;
      for (let n = 1; n <= count; n++) {
        const { value: tick } = yield* ticks.next();
        worst = Math.max(worst, Math.abs(tick!.scheduledAt - n * periodMs), tick!.missed, now() - tick!.scheduledAt);
      }
      return worst;
    });
    expect(drift).toBe(0);
  }
});

test("no window has more permits than promised, however odd the rate", () => {
  for (const [limit, perMs, burst] of [
    [3, 7, 2],
    [0.3, 1, 1],
    [10, 1_000 / 3, 5],
  ] as const) {
    const times = simulated(function* () {
      const limiter = new RateLimiter({ limit, perMs, burst });
      const given: number[] = [];
      for (let i = 0; i < 2_000; i++) {
        if (i % 97 === 0) yield* sleep(EventLoop.current().random() * 50);
        if (i % 301 === 0) limiter.pauseFor(13);
        yield* limiter.acquire();
        given.push(now());
      }
      return given;
    });
    for (let from = 0; from < times.length; from++) {
      for (let to = from; to < Math.min(times.length, from + 200); to++) {
        const promised = burst + ((times[to]! - times[from]!) * limit) / perMs;
        if (to - from + 1 > promised + 1e-6) expect([from, to, to - from + 1]).toEqual(promised);
      }
    }
  }
});

test("what a simulation of the above leaves behind is nothing", () => {
  const { leaks } = simulateSync(() => moveOnAfter(150, () => every(100, () => sleep(1_000), { limit: 3 })));
  expect(leaks).toEqual([]);
});
