/**
 * Debounced and throttled calls against models that look at every quarter of a millisecond.
 */
import { EventLoop, scope, sleep } from "fibril";
import type { Coroutine } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { debounce, sleepUntil, throttle } from "../../src/time/index.ts";
import type { DebounceOptions, PacedFunction, ThrottleOptions } from "../../src/time/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

// Calls come at whole milliseconds, time is up at fractions: so no two of them meet.
const calls = fc.array(fc.nat(60), { maxLength: 15 }).map((times) => times.toSorted((a, b) => a - b));
const ms = fc.nat(15).map((it) => it + 0.5);
const maxWaitMs = fc.oneof(
  fc.constant(Infinity),
  fc.nat(20).map((it) => it + 0.25),
);
const ends = fc.constantFrom(
  { leading: false, trailing: true },
  { leading: true, trailing: true },
  { leading: true, trailing: false },
);

type Run = readonly [value: number, at: number];
type Make = (fn: (value: number) => Coroutine<void>) => PacedFunction<[number]>;

/** Call number n, counted from 0, passes n. */
function observed(make: Make, times: readonly number[]): Run[] {
  const log: Run[] = [];
  const { outcome, leaks } = simulateSync(() =>
    scope(function* () {
      const call = make(function* (value) {
        log.push([value, EventLoop.current().now()]);
      });
      for (const [value, at] of times.entries()) {
        if (at > EventLoop.current().now()) yield* sleepUntil(at);
        call(value);
      }
    }),
  );
  expect([outcome.status, leaks]).toEqual(["succeeded", []]);
  return log;
}

function modelOfDebounce(quietMs: number, how: DebounceOptions, times: readonly number[]): Run[] {
  const log: Run[] = [];
  let latest = -Infinity;
  let pending: { value: number; readonly since: number } | null = null;
  for (let now = 0; now < 100; now += 0.25) {
    if (pending !== null && (now === latest + quietMs || now === pending.since + how.maxWaitMs!)) {
      log.push([pending.value, now]);
      pending = null;
    }
    for (const [value, at] of times.entries()) {
      if (at !== now) continue;
      const isNew = now > latest + quietMs;
      latest = now;
      if (pending !== null) pending.value = value;
      else if (isNew && how.leading) log.push([value, now]);
      else if (how.trailing) pending = { value, since: now };
    }
  }
  return log;
}

function modelOfThrottle(everyMs: number, how: ThrottleOptions, times: readonly number[]): Run[] {
  const log: Run[] = [];
  let latestRun = -Infinity;
  let pending: { value: number; readonly due: number } | null = null;
  const run = (value: number, now: number): void => {
    log.push([value, now]);
    latestRun = now;
  };
  for (let now = 0; now < 100; now += 1 / 64) {
    if (pending !== null && pending.due === now) {
      run(pending.value, now);
      pending = null;
    }
    if (!Number.isInteger(now)) continue;
    for (const [value, at] of times.entries()) {
      if (at !== now) continue;
      const isFree = now > latestRun + everyMs;
      if (pending !== null) pending.value = value;
      else if (isFree && how.leading) run(value, now);
      else if (isFree) pending = { value, due: now + everyMs };
      else if (how.trailing) pending = { value, due: latestRun + everyMs };
    }
  }
  return log;
}

test(
  "debounce runs when and with what the model says",
  () => {
    fc.assert(
      fc.property(ms, maxWaitMs, ends, calls, (quietMs, most, how, times) => {
        const options = { ...how, maxWaitMs: most };
        expect(observed((fn) => debounce(quietMs, fn, options), times)).toEqual(
          modelOfDebounce(quietMs, options, times),
        );
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "throttle runs when and with what the model says",
  () => {
    fc.assert(
      fc.property(fc.nat(15), ends, calls, (wholeMs, how, times) => {
        const everyMs = wholeMs + 1 / 64; // runs follow runs, so a half would add up to a whole
        const log = observed((fn) => throttle(everyMs, fn, how), times);
        expect(log).toEqual(modelOfThrottle(everyMs, how, times));
        for (const [i, [, at]] of log.entries()) if (i > 0) expect(at - log[i - 1]![1]).toBeGreaterThanOrEqual(everyMs);
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "runs never overlap, the latest call is never lost, nothing is left, whatever runs take, is flushed or cancelled",
  () => {
    const act = fc.record({
      do: fc.constantFrom("call", "call", "call", "flush", "flush and wait", "cancel"),
      afterMs: fc.oneof(fc.constant(0), fc.nat(20)),
    });
    fc.assert(
      fc.property(
        fc.constantFrom("debounce" as const, "throttle" as const),
        fc.nat(12),
        ends,
        fc.constantFrom("await" as const, "cancel" as const),
        fc.array(act, { maxLength: 15 }),
        fc.nat(15),
        fc.option(fc.nat(), { nil: undefined }),
        fc.option(fc.nat(80)),
        (kind, paceMs, how, previous, acts, takesMs, seed, cancelAt) => {
          let [going, most, asked, began, wrong] = [0, 0, 0, 0, ""];
          const make = kind === "debounce" ? debounce<[number]> : throttle<[number]>;
          const { leaks, reports, outcome } = simulateSync(
            () =>
              scope(function* () {
                const call = make(
                  paceMs,
                  function* (value) {
                    most = Math.max(most, ++going);
                    if (value <= began) wrong = `${value} began after ${began}`;
                    began = value;
                    try {
                      if (takesMs > 0) yield* sleep(takesMs);
                    } finally {
                      going--;
                    }
                  },
                  { ...how, previous },
                );
                for (const { do: what, afterMs } of acts) {
                  if (afterMs > 0) yield* sleep(afterMs);
                  if (what === "call") call(++asked);
                  else if (what === "cancel") call.cancel();
                  else if (what === "flush") call.flush();
                  else {
                    const waitedFor = call.isPending ? asked : 0;
                    yield* call.flush();
                    if (began < waitedFor) wrong = `flush left ${waitedFor} out`;
                    if (call.isPending) wrong = "flush left a call pending";
                  }
                  if (what === "cancel" && call.isPending) wrong = "cancel left a call pending";
                }
              }),
            seed === undefined ? {} : { seed },
            (main, _, steps) => void (steps === cancelAt && main.cancel()),
          );
          expect([leaks, reports, wrong, going]).toEqual([[], [], "", 0]);
          expect(most).toBeLessThanOrEqual(1);
          if (cancelAt !== null) return;
          expect(outcome.status).toBe("succeeded");
          if (how.trailing && acts.every((it) => it.do !== "cancel")) expect(began).toBe(asked);
        },
      ),
      runs(300),
    );
  },
  LAW_TIMEOUT_MS,
);
