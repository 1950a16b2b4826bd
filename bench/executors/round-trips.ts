/**
 * One job after the other, in all pools in turn, in one process.
 *
 * A round trip is mostly the system's time to wake a thread, twice, so what else the machine does at that moment counts for more than the pool. Pools in
 * processes of their own, seconds apart, gave ratios from 0.7 to 3.7. So all are opened here, each has short slices in an order that
 * changes, and every slice is compared with those of the same round: noise hits all alike.
 *
 * Ours is `call`, which like theirs gives the result and nothing else. A handle (`submit`) costs 2 µs more.
 */
import { run, until, use } from "fibril";
import { ThreadPool } from "fibril/executors";
import { add } from "./jobs.ts";
import { standApart } from "./placement.ts";

/** One job, to its result. */
export type One = (a: number, b: number) => PromiseLike<number>;

export interface RoundTrips {
  /** Microseconds, the median of the slices' medians. */
  readonly us: Readonly<Record<string, number>>;
  /** The median over the rounds of ours divided by theirs. */
  readonly ratios: Readonly<Record<string, number>>;
  /** The median over the rounds of ours divided by the best of theirs in that round. */
  readonly toBest: number;
}

export interface RoundTripPlan {
  /** In each of them every pool has one slice. */
  readonly rounds: number;
  /** Round trips. */
  readonly slice: number;
  /** Whether the main thread has a core to itself and all others share another one. */
  readonly isApart: boolean;
}

const WARM_UP = 3; // rounds
const OURS = "fibril";

export function roundTrips(
  peers: Readonly<Record<string, One>>,
  threads: number,
  { rounds, slice, isApart }: RoundTripPlan,
): Promise<RoundTrips> {
  const names = [OURS, ...Object.keys(peers)];
  const slices = new Map<string, number[]>(names.map((name) => [name, []]));
  return run(function* () {
    const pool = yield* use(new ThreadPool({ maxWorkers: threads }));
    function* ours() {
      const times: number[] = [];
      for (let i = 0; i < slice; i++) {
        const startedAt = performance.now();
        check(yield* pool.call(add, { a: i, b: 1 }), i + 1);
        times.push(performance.now() - startedAt);
      }
      return median(times);
    }
    for (let round = -WARM_UP; round < rounds; round++) {
      if (isApart && round === 0) standApart(); // now that all threads are there
      for (const name of shuffled(names)) {
        const middle = name === OURS ? yield* ours() : yield* until(theirs(peers[name]!, slice));
        if (round >= 0) slices.get(name)!.push(middle);
      }
    }
    return summary(slices, rounds);
  });
}

async function theirs(one: One, slice: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < slice; i++) {
    const startedAt = performance.now();
    check(await one(i, 1), i + 1);
    times.push(performance.now() - startedAt);
  }
  return median(times);
}

function summary(slices: ReadonlyMap<string, readonly number[]>, rounds: number): RoundTrips {
  const us: Record<string, number> = {};
  const ratios: Record<string, number> = {};
  const ours = slices.get(OURS)!;
  const others = [...slices].filter(([name]) => name !== OURS);
  for (const [name, times] of slices) us[name] = median(times) * 1e3;
  for (const [name, times] of others) ratios[name] = median(ours.map((each, i) => each / times[i]!));
  const best = Array.from({ length: rounds }, (_, i) => Math.min(...others.map(([, times]) => times[i]!)));
  return { us, ratios, toBest: median(ours.map((each, i) => each / best[i]!)) };
}

function shuffled(names: readonly string[]): string[] {
  return names
    .map((name) => ({ name, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}

function check(got: number, expected: number): void {
  if (got !== expected) throw new Error(`a job gave ${got} instead of ${expected}`);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
