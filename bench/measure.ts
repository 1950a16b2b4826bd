/**
 * How one contestant is measured inside its own process.
 *
 * Time: the work grows until one sample lasts long enough for the clock and the collector to even out, then it is
 * repeated until the code has been hot for a while, then samples are taken and the fastest is the process's answer: on a
 * shared machine noise only ever adds. A sample is long enough to contain its share of garbage collection.
 * Source of the rule: Chen and Revels, "Robust benchmarking in noisy environments", 2016.
 *
 * Memory: the process does the work once and the system says how much it has held at most.
 *
 * Lag: the process is busy for a while and a timer of the host says how late it was each time.
 */
import { readFileSync } from "node:fs";
import { LagMeter, Sleepers } from "./meter.ts";
import type { BusyProgram, SleepProgram, TimedProgram } from "./row.ts";

/** Samples are taken for so long. Work that takes longer is sampled once. `--quick` takes less. */
export const WINDOW_MS = 300;
const SAMPLE_SHARE = 2 / 15; // of the window: 40 ms, some scavenges long
const WARM_SHARE = 2 / 3; // 200 ms: optimized code is there after about 50 ms; the rest lets the heap find its size
const WARM_SIZE = 1_000; // with more tasks a warm-up takes longer and warms nothing else
const SLOWEST_GROWTH = 2;
const FASTEST_GROWTH = 10;
const LAG_WINDOWS = 4; // 1.2 s: enough timers of 1 ms for a 99th percentile

/** What a child process hands to its parent, or what the parent measured itself. */
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
    }
  | {
      readonly kind: "lag";
      readonly p50Ms: number;
      readonly p99Ms: number;
      readonly maxMs: number;
      /** How often the timer came. */
      readonly fired: number;
      readonly nsPerSwitch: number;
    }
  | { readonly kind: "start"; readonly ms: number }
  | { readonly kind: "size"; readonly minifiedBytes: number; readonly gzippedBytes: number };

export async function measureTime(program: TimedProgram, n: number, windowMs: number): Promise<Measured> {
  const ops = await warmUp(program, Math.min(n, WARM_SIZE), windowMs);
  const figures: number[] = [];
  const until = performance.now() + windowMs;
  do {
    const sample = await program(n, Math.max(n, ops));
    figures.push(sample.ns / sample.ops);
  } while (performance.now() < until);
  return { kind: "time", nsPerOp: Math.min(...figures), samples: figures.length };
}

/** Runs the work until its code is hot; gives back how many operations make a sample. */
async function warmUp(program: TimedProgram, n: number, windowMs: number): Promise<number> {
  let ops = Math.max(n, 1_000);
  const until = performance.now() + windowMs * WARM_SHARE;
  for (;;) {
    const sample = await program(n, ops);
    const ms = sample.ns / 1e6;
    // Some work ends at its size, however many operations are asked for: without that test this would never end.
    const grows = sample.ops >= ops;
    if (performance.now() >= until && (ms >= windowMs * SAMPLE_SHARE || !grows)) return ops;
    if (ms >= windowMs * SAMPLE_SHARE || !grows) continue;
    const growth = ((windowMs * SAMPLE_SHARE) / Math.max(ms, 0.001)) * 1.2;
    ops = Math.ceil(ops * Math.min(FASTEST_GROWTH, Math.max(SLOWEST_GROWTH, growth)));
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
  return { kind: "memory", peakBytes: peakBytes(), beforeBytes, parkedBytes, lifeMs };
}

export async function measureLag(program: BusyProgram, tasks: number, windowMs: number): Promise<Measured> {
  await program(new LagMeter(tasks, windowMs * WARM_SHARE));
  const meter = new LagMeter(tasks, windowMs * LAG_WINDOWS);
  await program(meter);
  return { kind: "lag", ...meter.result() };
}

/** On Linux `maxRSS` begins with the peak of the parent process; the peak in /proc is the process's own. */
function peakBytes(): number {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  } catch {
    // no /proc: another system
  }
  return process.resourceUsage().maxRSS * 1024;
}
