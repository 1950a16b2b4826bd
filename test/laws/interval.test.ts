/**
 * Intervals against plain arithmetic, and the order in which several consumers get ticks.
 */
import { EventLoop, moveOnAfter, scope, sleep } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { interval } from "../../src/time/index.ts";
import type { IntervalOptions, MissedTicks } from "../../src/time/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

interface Step {
  /** What the consumer does first. */
  readonly busyMs: number;
  /** How long it then waits for a tick; `null`: as long as it takes. */
  readonly patienceMs: number | null;
}

const step: fc.Arbitrary<Step> = fc.record({
  busyMs: fc.oneof(fc.constant(0), fc.nat(8), fc.nat(60)),
  patienceMs: fc.option(fc.integer({ min: 1, max: 25 })),
});
const policy = fc.constantFrom<MissedTicks>("skip", "burst", "delay");
const options = fc.record({ missed: policy, immediate: fc.boolean() });

/** `arrival scheduledAt missed` of each step, or `"-"`. */
function observed(periodMs: number, how: IntervalOptions, steps: readonly Step[]): string[] {
  const log: string[] = [];
  const { outcome, leaks } = simulateSync(function* () {
    const ticks = interval(periodMs, how);
    for (const { busyMs, patienceMs } of steps) {
      if (busyMs > 0) yield* sleep(busyMs);
      const result = yield* moveOnAfter(patienceMs ?? Infinity, ticks.next());
      log.push(
        result === undefined
          ? "-"
          : `${EventLoop.current().now()} ${result.value!.scheduledAt} ${result.value!.missed}`,
      );
    }
  });
  expect([outcome.status, leaks]).toEqual(["succeeded", []]);
  return log;
}

/** The same with one due time that moves on by hand. */
function modelled(periodMs: number, how: IntervalOptions, steps: readonly Step[]): string[] {
  const log: string[] = [];
  let now = 0;
  let due: number | null = null;
  for (const { busyMs, patienceMs } of steps) {
    now += busyMs;
    due ??= how.immediate === true ? now : now + periodMs;
    if (due > now && patienceMs !== null && due >= now + patienceMs) {
      now += patienceMs;
      log.push("-");
      continue;
    }
    now = Math.max(now, due);
    const scheduledAt = due;
    let missed = 0;
    due += periodMs;
    if (how.missed === "skip") for (; due <= now; due += periodMs) missed++;
    if (how.missed === "delay" && now - scheduledAt > 5) {
      for (let it = scheduledAt + periodMs; it <= now; it += periodMs) missed++;
      due = now + periodMs;
    }
    log.push(`${now} ${scheduledAt} ${missed}`);
  }
  return log;
}

test(
  "any consumer gets the ticks that arithmetic says, whatever it gives up",
  () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        options,
        fc.array(step, { maxLength: 12 }),
        (periodMs, how, steps) => {
          expect(observed(periodMs, how, steps)).toEqual(modelled(periodMs, how, steps));
        },
      ),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "skip and burst: every tick is scheduled at start + n * period, never early, each n at most once; burst leaves out none",
  () => {
    const period = fc.double({ min: 0.01, max: 50, noNaN: true });
    const busy = fc.array(fc.double({ min: 0, max: 120, noNaN: true }), { maxLength: 15 });
    const start = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(
        period,
        start,
        fc.constantFrom<MissedTicks>("skip", "burst"),
        busy,
        (periodMs, startMs, missed, times) => {
          const seen: number[] = [];
          simulateSync(function* () {
            yield* sleep(startMs);
            const ticks = interval(periodMs, { missed });
            for (const ms of times) {
              const { value: tick } = yield* ticks.next();
              const now = EventLoop.current().now();
              expect(tick!.scheduledAt).toBeLessThanOrEqual(now);
              const n = Math.round((tick!.scheduledAt - startMs) / periodMs);
              expect(tick!.scheduledAt).toBe(startMs + n * periodMs);
              expect(n).toBeGreaterThan(seen.at(-1) ?? 0);
              if (missed === "burst") expect(n).toBe(seen.length + 1);
              else {
                // What comes next is the first one that is not due yet.
                expect(ticks.dueAt!).toBeGreaterThan(now);
                expect(startMs + (n + tick!.missed) * periodMs).toBeLessThanOrEqual(now);
              }
              seen.push(n);
              yield* sleep(ms);
            }
          });
          expect(seen.length).toBe(times.length);
        },
      ),
      runs(150),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "several consumers get the ticks in the order of asking, each tick once, also when some are cancelled",
  () => {
    const consumer = fc.array(step, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        policy,
        fc.array(consumer, { minLength: 2, maxLength: 5 }),
        fc.option(fc.nat(), { nil: undefined }),
        fc.option(fc.nat(80)),
        (periodMs, missed, consumers, seed, cancelAt) => {
          const ticks = interval(periodMs, { missed });
          const got: { readonly ask: number; readonly index: number }[] = [];
          let asks = 0;
          const { leaks } = simulateSync(
            () =>
              scope(function* (own) {
                for (const steps of consumers) {
                  own.spawn(function* () {
                    for (const { busyMs, patienceMs } of steps) {
                      if (busyMs > 0) yield* sleep(busyMs);
                      yield* moveOnAfter(patienceMs ?? Infinity, function* () {
                        const ask = ++asks;
                        got.push({ ask, index: (yield* ticks.next()).value!.index });
                      });
                    }
                  });
                }
              }),
            seed === undefined ? {} : { seed },
            (_, stepped, steps) => void (steps === cancelAt && stepped?.cancel()),
          );
          expect([leaks, ticks.statistics().waiting]).toEqual([[], 0]);
          const byIndex = got.toSorted((a, b) => a.index - b.index);
          expect(byIndex.map((it) => it.index)).toEqual(byIndex.map((_, index) => index));
          expect(byIndex.map((it) => it.ask)).toEqual(byIndex.map((it) => it.ask).toSorted((a, b) => a - b));
          expect(ticks.statistics().ticks).toBe(got.length);
        },
      ),
      runs(150),
    );
  },
  LAW_TIMEOUT_MS,
);
