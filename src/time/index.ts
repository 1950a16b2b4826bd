export { Backoff } from "./backoff.ts";
export type { BackoffOptions, Jitter } from "./backoff.ts";
export { CIRCUIT_TRANSITIONS, CircuitBreaker } from "./circuit-breaker.ts";
export type {
  CircuitBreakerOptions,
  CircuitBreakerStatistics,
  CircuitState,
  CircuitStateChange,
} from "./circuit-breaker.ts";
export { currentDeadline, remainingMs } from "./deadline.ts";
export { debounce } from "./debounce.ts";
export type { DebounceOptions } from "./debounce.ts";
export { CircuitOpenError } from "./errors.ts";
export { every } from "./every.ts";
export type { EveryOptions } from "./every.ts";
export { interval } from "./interval.ts";
export type { Interval, IntervalOptions, IntervalStatistics, MissedTicks, Tick } from "./interval.ts";
export type { PacedFunction, PacedOptions, PacedStatistics } from "./paced-calls.ts";
export { RateLimiter } from "./rate-limiter.ts";
export type { RateLimiterOptions, RateLimiterStatistics } from "./rate-limiter.ts";
export { RetryBudget } from "./retry-budget.ts";
export type { RetryBudgetOptions, RetryBudgetStatistics } from "./retry-budget.ts";
export { earlierFailures, retry } from "./retry.ts";
export type { FailedAttempt, RetryOptions } from "./retry.ts";
export { sleepUntil } from "./sleep-until.ts";
export { sleep } from "./sleep.ts";
export { throttle } from "./throttle.ts";
export type { ThrottleOptions } from "./throttle.ts";
export { moveOnAfter, moveOnAt, timeout, timeoutAt } from "./timeout.ts";
export type { TimedBody } from "./timeout.ts";
