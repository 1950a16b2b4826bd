/**
 * How one contestant is measured inside its own process.
 *
 * Time: the work grows until one sample lasts long enough for the clock and the collector to even out, then it is
 * repeated until the code has been hot for a while, then samples are taken and the fastest is the process's answer: on a
 * shared machine noise only ever adds. A sample is long enough to contain its share of garbage collection.
 * Source of the rule: Chen and Revels, "Robust benchmarking in noisy environments", 2016.
 *
 * Memory: the process does the work once and the system says how much it has held at most.
 */
import { Sleepers } from "./meter.ts";
import type { SleepProgram, TimedProgram } from "./row.ts";

const SAMPLE_MS = 40; // some scavenges long
const WARM_MS = 200; // optimized code is there after about 50 ms; the rest lets the heap find its size
const WARM_SIZE = 1_000; // with more tasks a warm-up takes longer and warms nothing else
const SAMPLES_MS = 300; // work that takes longer than this is sampled once
const SLOWEST_GROWTH = 2;
const FASTEST_GROWTH = 10;

/** What a child process hands to its parent. */
export type Measured =
  | { readonly kind: "time"; readonly nsPerOp: number; readonly samples: number }
  | {
      readonly kind: "memory";
      /** Most that the process has ever held, whole life. */
      readonly peakBytes: number;
      /** What it held before the first task, with its library loaded. */
      readonly beforeBytes: number;
      /** What it held when the last task went to sleep. */
      readonly parkedBytes: number;
      readonly lifeMs: number;
    };

export async function measureTime(program: TimedProgram, n: number): Promise<Measured> {
  const ops = await warmUp(program, Math.min(n, WARM_SIZE));
  const figures: number[] = [];
  const until = performance.now() + SAMPLES_MS;
  do {
    const sample = await program(n, Math.max(n, ops));
    figures.push(sample.ns / sample.ops);
  } while (performance.now() < until);
  return { kind: "time", nsPerOp: Math.min(...figures), samples: figures.length };
}

/** Runs the work until its code is hot; gives back how many operations make a sample. */
async function warmUp(program: TimedProgram, n: number): Promise<number> {
  let ops = Math.max(n, 1_000);
  const until = performance.now() + WARM_MS;
  for (;;) {
    const sample = await program(n, ops);
    const ms = sample.ns / 1e6;
    if (ms >= SAMPLE_MS) {
      if (performance.now() >= until) return ops;
    } else {
      const growth = (SAMPLE_MS / Math.max(ms, 0.001)) * 1.2;
      ops = Math.ceil(ops * Math.min(FASTEST_GROWTH, Math.max(SLOWEST_GROWTH, growth)));
    }
  }
}

/** `undefined` when the first tasks woke before the last one slept: then they must sleep longer. */
export async function measureMemory(
  program: SleepProgram,
  count: number,
  sleepMs: number,
): Promise<Measured | undefined> {
  const beforeBytes = process.memoryUsage.rss();
  const startedAt = performance.now();
  const sleepers = new Sleepers(count, sleepMs);
  await program(sleepers);
  const lifeMs = performance.now() - startedAt;
  const parkedBytes = sleepers.result();
  if (!sleepers.overlapped) return undefined;
  return { kind: "memory", peakBytes: process.resourceUsage().maxRSS * 1024, beforeBytes, parkedBytes, lifeMs };
}
