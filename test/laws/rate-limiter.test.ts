/**
 * The rate limiter against a bucket that fills drop by drop, and its promise on any window of time.
 */
import { EventLoop, moveOnAfter, scope } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { RateLimiter, sleepUntil } from "../../src/time/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

/** What one task does, once, at a whole millisecond. Patience ends at halves, so that no two timers meet. */
type Wish =
  | { readonly do: "acquire"; readonly at: number; readonly n: number; readonly patienceMs: number }
  | { readonly do: "try"; readonly at: number; readonly n: number }
  | { readonly do: "pause"; readonly at: number; readonly ms: number };

interface Bucket {
  readonly everyMs: number;
  readonly burst: number;
}

const bucket: fc.Arbitrary<Bucket> = fc.record({
  everyMs: fc.integer({ min: 1, max: 9 }),
  burst: fc.integer({ min: 1, max: 4 }),
});
const at = fc.nat(40);
const n = fc.integer({ min: 1, max: 4 });
const patienceMs = fc.oneof(
  fc.constant(Infinity),
  fc.nat(30).map((ms) => ms + 0.5),
);
const wish: fc.Arbitrary<Wish> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("acquire" as const), at, n, patienceMs }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("try" as const), at, n }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pause" as const), at, ms: fc.nat(20) }) },
);
const wishes = fc.array(wish, { minLength: 1, maxLength: 12 });
const seeds = fc.option(fc.nat(), { nil: undefined });

interface Given {
  readonly n: number;
  readonly at: number;
}

interface Observed {
  /** The wishes in the order in which they were made, which a seed shuffles. */
  readonly order: number[];
  /** When each was met; `null`: never. */
  readonly metAt: (number | null)[];
  readonly limiter: RateLimiter;
  readonly given: Given[];
}

function observe(
  { everyMs, burst }: Bucket,
  all: readonly Wish[],
  seed: number | undefined,
  cancelAt: number | null = null,
): Observed {
  const limiter = new RateLimiter({ limit: 1, perMs: everyMs, burst });
  const order: number[] = [];
  const metAt: (number | null)[] = all.map(() => null);
  const given: Given[] = [];
  const { leaks, reports } = simulateSync(
    () =>
      scope(function* (own) {
        const met = (index: number, count: number): void => {
          const now = EventLoop.current().now();
          metAt[index] = now;
          given.push({ n: count, at: now });
        };
        for (const [index, it] of all.entries()) {
          own.spawn(function* () {
            yield* sleepUntil(it.at);
            if (it.do === "pause") {
              order.push(index);
              limiter.pauseFor(it.ms);
              return;
            }
            const count = Math.min(it.n, burst);
            if (it.do === "try") {
              order.push(index);
              if (limiter.tryAcquire(count)) met(index, count);
              return;
            }
            yield* moveOnAfter(it.patienceMs, function* () {
              order.push(index);
              yield* limiter.acquire(count);
              met(index, count);
            });
          });
        }
      }),
    seed === undefined ? {} : { seed },
    (_, stepped, steps) => void (steps === cancelAt && stepped?.cancel()),
  );
  expect([leaks, reports, limiter.statistics().waiting]).toEqual([[], [], []]);
  return { order, metAt, limiter, given };
}

/** A bucket that fills by half a millisecond at a time; `credit` is in milliseconds of filling. */
function model({ everyMs, burst }: Bucket, all: readonly Wish[], order: readonly number[]): (number | null)[] {
  const metAt: (number | null)[] = all.map(() => null);
  const line: { readonly index: number; readonly n: number; readonly until: number }[] = [];
  let credit = burst * everyMs;
  let pausedUntil = -Infinity;
  const take = (index: number, count: number, now: number): boolean => {
    if (now < pausedUntil || credit < count * everyMs) return false;
    credit -= count * everyMs;
    metAt[index] = now;
    return true;
  };
  const serve = (now: number): void => {
    while (line.length > 0 && take(line[0]!.index, line[0]!.n, now)) line.shift();
  };
  for (let now = 0; now <= 40 || line.length > 0; now += 0.5) {
    if (now > 0 && now - 0.5 >= pausedUntil) credit = Math.min(burst * everyMs, credit + 0.5);
    serve(now);
    for (const it of line.filter((waiting) => waiting.until === now)) {
      if (!line.includes(it)) continue; // served because the one before has given up
      line.splice(line.indexOf(it), 1);
      serve(now);
    }
    for (const index of order) {
      const it = all[index]!;
      if (it.at !== now) continue;
      if (it.do === "pause") pausedUntil = Math.max(pausedUntil, now + it.ms);
      else if (line.length > 0 || !take(index, Math.min(it.n, burst), now)) {
        if (it.do === "acquire") line.push({ index, n: Math.min(it.n, burst), until: now + it.patienceMs });
      }
    }
  }
  return metAt;
}

function expectWithinRate(given: readonly Given[], burst: number, perMs: number): void {
  const sorted = given.toSorted((a, b) => a.at - b.at);
  let excess = 0;
  for (const [i, first] of sorted.entries()) {
    let permits = 0;
    for (const last of sorted.slice(i)) {
      permits += last.n;
      excess = Math.max(excess, permits - burst - (last.at - first.at) * perMs);
    }
  }
  expect(excess).toBeLessThan(1e-6);
}

test(
  "serves everybody exactly when a bucket that fills drop by drop would, in the order of asking",
  () => {
    fc.assert(
      fc.property(bucket, wishes, seeds, (how, all, seed) => {
        const { order, metAt, limiter, given } = observe(how, all, seed);
        expect(metAt).toEqual(model(how, all, order));
        expect(limiter.statistics().given).toBe(given.reduce((sum, it) => sum + it.n, 0));
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "any window of t ms has at most burst + t * rate permits, whatever is cancelled at whichever step; none is lost",
  () => {
    fc.assert(
      fc.property(bucket, wishes, seeds, fc.nat(60), (how, all, seed, cancelAt) => {
        const { limiter, given } = observe(how, all, seed, cancelAt);
        expectWithinRate(given, how.burst, 1 / how.everyMs);
        expect(limiter.statistics().given).toBe(given.reduce((sum, it) => sum + it.n, 0));
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "that holds for rates that no number can hold, and while the limit changes: within the highest of them",
  () => {
    const rate = fc.double({ min: 0.1, max: 50, noNaN: true });
    const perMs = fc.double({ min: 1, max: 5_000, noNaN: true });
    fc.assert(
      fc.property(
        rate,
        perMs,
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.tuple(rate, fc.nat(200)), { maxLength: 3 }),
        (limit, per, burst, changes) => {
          const given: Given[] = [];
          const limiter = new RateLimiter({ limit, perMs: per, burst });
          simulateSync(() =>
            scope(function* (own) {
              for (let i = 0; i < 25; i++) {
                own.spawn(function* () {
                  yield* limiter.acquire();
                  given.push({ n: 1, at: EventLoop.current().now() });
                });
              }
              for (const [next, ms] of changes) {
                yield* sleepUntil(EventLoop.current().now() + ms);
                limiter.limit = next;
              }
            }),
          );
          expect(given.length).toBe(25);
          expectWithinRate(given, burst, Math.max(limit, ...changes.map(([next]) => next)) / per);
          // And they are not late: 25 - burst permits at the lowest rate.
          const lowest = Math.min(limit, ...changes.map(([next]) => next)) / per;
          expect(given.at(-1)!.at).toBeLessThanOrEqual((25 - burst) / lowest + 1e-6 * per);
        },
      ),
      runs(100),
    );
  },
  LAW_TIMEOUT_MS,
);
