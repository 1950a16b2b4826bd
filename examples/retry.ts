// A service that fails: retries with backoff, a budget for all callers, a circuit breaker, a rate limit. On virtual time, with a
// seed: the delays are random, and the same in every run.
import {
  Cancelled,
  CircuitBreaker,
  CircuitOpenError,
  EventLoop,
  RateLimiter,
  retry,
  RetryBudget,
  sleep,
  timeout,
} from "fibril";
import type { Coroutine } from "fibril";
import { simulate } from "fibril/testing";

let isDown = true;
const limiter = new RateLimiter({ limit: 10, name: "api" });
const breaker = new CircuitBreaker({ failures: 4, openMs: 5_000, name: "api" });
const budget = new RetryBudget({ ratio: 0.1, reserve: 5 });

function* call(order: number): Coroutine<string> {
  yield* sleep(20);
  if (isDown) throw new Error("503");
  return `order ${order} is paid`;
}

function* pay(order: number): Coroutine<string> {
  yield* limiter.acquire();
  return yield* breaker.use(() => timeout(1_000, call(order))); // the timeout inside: too slow is a failure, too
}

function* main(): Coroutine<void> {
  const seconds = (): string => `${(EventLoop.current().now() / 1_000).toFixed(1)} s`;
  for (const order of [1, 2, 3]) {
    try {
      yield* retry(() => pay(order), {
        budget,
        when: (error) => !(error instanceof CircuitOpenError),
        onRetry: ({ attempt, delayMs }) =>
          console.log(`  attempt ${attempt} failed, next in ${Math.round(delayMs)} ms`),
      });
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      console.log(`${seconds()}: ${String(error)}`);
    }
  }
  isDown = false;
  yield* sleep(5_000);
  console.log(`${seconds()}: ${yield* retry(() => pay(4), { budget })}; the circuit is ${breaker.state}`);
}

await simulate(main, { seed: 1 });

// prints:
//   attempt 1 failed, next in 63 ms
//   attempt 2 failed, next in 1 ms
// 0.1 s: Error: 503
//   attempt 1 failed, next in 53 ms
// 0.2 s: CircuitOpenError: circuit breaker "api" is open, the call was not made; try again in 4948 ms
// 0.2 s: CircuitOpenError: circuit breaker "api" is open, the call was not made; try again in 4948 ms
// 5.2 s: order 4 is paid; the circuit is closed
