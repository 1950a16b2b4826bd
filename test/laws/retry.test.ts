/**
 * Delays of retries within their bounds, the number of attempts as computed by hand, and the shared budget.
 */
import { EventLoop, scope, sleep } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { earlierFailures, retry, RetryBudget } from "../../src/time/index.ts";
import type { Jitter, RetryOptions } from "../../src/time/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

interface Case {
  readonly jitter: Jitter;
  readonly baseMs: number;
  readonly factor: number;
  readonly maxDelayMs: number;
  readonly attempts: number;
  readonly totalMs: number;
  /** The attempts that fail: how long each takes, and what it asks for. The one after them succeeds. */
  readonly script: readonly { readonly ms: number; readonly asksMs: number | undefined }[];
}

const cases: fc.Arbitrary<Case> = fc.record({
  jitter: fc.constantFrom<Jitter>("full", "equal", "decorrelated", "none"),
  baseMs: fc.oneof(fc.nat(500), fc.double({ min: 0, max: 500, noNaN: true })),
  factor: fc.double({ min: 1, max: 10, noNaN: true }),
  maxDelayMs: fc.nat(5_000),
  attempts: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(Infinity)),
  totalMs: fc.oneof(fc.constant(Infinity), fc.nat(5_000)),
  script: fc.array(
    fc.record({
      ms: fc.nat(20),
      asksMs: fc.option(fc.nat(6_000), { nil: undefined, freq: 5 }),
    }),
    { minLength: 1, maxLength: 10 },
  ),
});

const near = 1e-6;

test(
  "every delay is within the bounds of its jitter, and it gives up exactly when it has to",
  () => {
    fc.assert(
      fc.property(cases, fc.nat(), (it, seed) => {
        const begins: number[] = [];
        const ends: number[] = [];
        const delays: number[] = [];
        const errors: { readonly asksMs: number | undefined }[] = [];
        const options: RetryOptions = {
          ...it,
          retryAfterMs: (error) => (error as { readonly asksMs: number | undefined }).asksMs,
          onRetry: ({ delayMs }) => void delays.push(delayMs),
        };
        const { outcome, leaks } = simulateSync(
          () =>
            retry(function* (attempt) {
              begins.push(EventLoop.current().now());
              const { ms, asksMs } = it.script[attempt - 1] ?? { ms: 0, asksMs: undefined };
              if (ms > 0) yield* sleep(ms);
              ends.push(EventLoop.current().now());
              if (attempt > it.script.length) return attempt;
              errors.push({ asksMs });
              throw errors.at(-1);
            }, options),
          { seed },
        );
        expect(leaks).toEqual([]);

        // The bounds, the ceiling by repeated multiplication.
        let ceiling = Math.min(it.baseMs, it.maxDelayMs);
        let before = it.baseMs;
        for (const [i, delay] of delays.entries()) {
          const asked = it.script[i]!.asksMs ?? 0;
          expect(begins[i + 1]! - ends[i]!).toBeCloseTo(delay, 5);
          expect(asked).toBeLessThanOrEqual(it.maxDelayMs);
          expect(delay).toBeGreaterThanOrEqual(asked);
          if (it.jitter === "decorrelated") {
            expect(delay).toBeGreaterThanOrEqual(Math.min(it.baseMs, it.maxDelayMs) - near);
            expect(delay).toBeLessThanOrEqual(
              Math.max(asked, Math.min(it.maxDelayMs, Math.max(it.baseMs, before * 3))) + near,
            );
            before = Math.max(delay, it.baseMs);
          } else {
            const least = it.jitter === "full" ? 0 : it.jitter === "equal" ? ceiling / 2 : ceiling;
            expect(delay).toBeGreaterThanOrEqual(least * (1 - near) - near);
            expect(delay).toBeLessThanOrEqual(Math.max(asked, ceiling) * (1 + near) + near);
          }
          expect(begins[i + 1]!).toBeLessThanOrEqual(it.totalMs + near);
          ceiling = Math.min(ceiling * it.factor, it.maxDelayMs);
        }

        // The number of attempts.
        expect(begins.length).toBe(delays.length + 1);
        expect(begins.length).toBeLessThanOrEqual(it.attempts);
        if (outcome.status === "succeeded") expect(outcome.value).toBe(it.script.length + 1);
        else {
          expect(outcome.status === "failed" && outcome.error).toBe(errors.at(-1));
          expect(earlierFailures(errors.at(-1))).toEqual(errors.slice(0, -1));
          const asksTooMuch = (errors.at(-1)!.asksMs ?? 0) > it.maxDelayMs;
          const most = Math.max(errors.at(-1)!.asksMs ?? 0, it.jitter === "decorrelated" ? it.maxDelayMs : ceiling);
          const tooLate = ends.at(-1)! + most > it.totalMs - near;
          expect(begins.length === it.attempts || asksTooMuch || tooLate).toBe(true);
        }
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "a budget answers as one that counts in thousandths by hand",
  () => {
    const ratio = fc.nat(1_000);
    fc.assert(
      fc.property(ratio, fc.nat(5), fc.array(fc.boolean(), { maxLength: 200 }), (thousandths, reserve, ops) => {
        const budget = new RetryBudget({ ratio: thousandths / 1_000, reserve });
        let balance = BigInt(reserve * 1_000);
        const most = BigInt(Math.max(1, reserve) * 1_000);
        let [requests, retries] = [0, 0];
        for (const isRetry of ops) {
          if (!isRetry) {
            requests++;
            balance += BigInt(thousandths);
            if (balance > most) balance = most;
            budget.deposit();
          } else {
            const has = balance >= 1_000n;
            if (has) {
              balance -= 1_000n;
              retries++;
            }
            expect(budget.tryWithdraw()).toBe(has);
          }
          expect(retries).toBeLessThanOrEqual(reserve + (thousandths * requests) / 1_000);
        }
        expect(budget.statistics()).toMatchObject({ requests, retries, available: Number(balance / 1_000n) });
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "callers that share a budget retry at most reserve + ratio * requests times, in any order, whoever is cancelled",
  () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 }),
        fc.nat(3),
        fc.nat(1_000),
        fc.array(fc.nat(3), { minLength: 1, maxLength: 10 }),
        fc.nat(),
        fc.nat(60),
        (attempts, reserve, thousandths, failures, seed, cancelAt) => {
          const budget = new RetryBudget({ ratio: thousandths / 1_000, reserve });
          let [requests, calls] = [0, 0];
          const { leaks } = simulateSync(
            () =>
              scope(function* (own) {
                for (const times of failures) {
                  own.spawn(function* () {
                    try {
                      yield* retry(
                        function* (attempt) {
                          calls++;
                          if (attempt === 1) requests++;
                          yield* sleep(1);
                          if (attempt <= times) throw new Error("again");
                        },
                        { attempts, budget, baseMs: 5 },
                      );
                    } catch (error) {
                      if (!(error instanceof Error)) throw error;
                    }
                  });
                }
              }),
            { seed },
            (_, stepped, steps) => void (steps === cancelAt && stepped?.cancel()),
          );
          expect(leaks).toEqual([]);
          const { retries } = budget.statistics();
          expect(calls - requests).toBeLessThanOrEqual(retries);
          expect(retries).toBeLessThanOrEqual(reserve + (thousandths * requests) / 1_000);
          expect(budget.statistics().requests).toBe(requests);
        },
      ),
      runs(100),
    );
  },
  LAW_TIMEOUT_MS,
);
