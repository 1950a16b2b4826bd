/** Jobs that behave badly. Many threads import this file, so it imports no more than it needs, as `jobs.ts`. */
import { setTimeout } from "node:timers/promises";
import { currentJob, isCancelled, job, progress } from "../../src/executors/thread/worker-entry.ts";
import type { Job, JobContext, StreamJob, ThreadReceiver } from "../../src/executors/index.ts";
import { sleep } from "../../src/time/sleep.ts";

const { url } = import.meta;

let kept: JobContext | null = null;
/** Leaves its context to the next one. */
export const keepContext: Job<[], void> = job(url, function keepContext(): void {
  kept = currentJob();
});
/** Uses what the one before it has left. */
export const useKept: Job<[], boolean> = job(url, function useKept(): boolean {
  kept!.progress("of a job that is over");
  kept!.log("of a job that is over");
  progress("mine");
  return kept!.isCancelled;
});
export const progressLater: Job<[], boolean> = job(url, async function progressLater(): Promise<boolean> {
  await setTimeout(1);
  progress("after an await");
  return currentJob() !== null;
});
export const badProgress: Job<[], void> = job(url, function badProgress(): void {
  progress({ deep: () => 1 });
});
export const badItem: StreamJob<[], unknown> = job.stream(url, function* badItem(): Iterable<unknown> {
  yield 1;
  yield () => 1;
});
export const throwTrap: Job<[], void> = job(url, function throwTrap(): void {
  throw Object.defineProperty(new Error("a trap"), "trap", {
    enumerable: true,
    get() {
      throw new Error("a getter that throws");
    },
  });
});
export const giveTrap: Job<[], unknown> = job(url, function giveTrap(): unknown {
  return Object.defineProperty({}, "trap", {
    enumerable: true,
    get() {
      throw new Error("a getter that throws");
    },
  });
});
/** Takes no notice of its cancellation, but leaves the loop alone. */
export const deaf: Job<[started: Int32Array], void> = job(url, function* deaf(started: Int32Array) {
  Atomics.add(started, 0, 1);
  for (;;) {
    try {
      yield* sleep(60_000);
    } catch {
      continue;
    }
  }
});
export const leaveReceiver: Job<[lines: ThreadReceiver<string>], void> = job(url, function* leaveReceiver(lines) {
  yield* lines.next();
  throw new RangeError("left it open");
});
/** Floods who submitted it until `stop[0]`. */
export const flood: Job<[stop: Int32Array], number> = job(url, function flood(stop: Int32Array): number {
  let sent = 0;
  Atomics.store(stop, 1, 1);
  while (Atomics.load(stop, 0) === 0 && !isCancelled()) progress(sent++);
  return sent;
});
/** Runs for a while without waiting. */
export const work: Job<[ms: number], string> = job(url, function work(ms: number): string {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(clock, 0, 0, ms);
  return `worked ${ms}`;
});
export const rejectLoosely: Job<[], void> = job(url, async function rejectLoosely(): Promise<void> {
  void Promise.reject(new RangeError("nobody handles this"));
  await setTimeout(1_000);
});
export const exitInInitializer: Job<[], void> = job(url, function exitInInitializer(): void {
  process.exit(9);
});
/** An initializer that hangs in one thread only. */
export const hangOnce: Job<[first: Int32Array], void> = job(url, function* hangOnce(first: Int32Array) {
  if (Atomics.add(first, 0, 1) === 0) yield* sleep(60_000);
});
/** Its thread ends with it; the flag is set when nothing of it is left to come but its exit. */
export const leave: Job<[flag: Int32Array], string> = job(url, function leave(flag: Int32Array): string {
  process.on("exit", () => {
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
  });
  process.nextTick(() => process.exit(0));
  return "done";
});
export const lengthOf: Job<[bytes: Uint8Array], number> = job(url, function lengthOf(bytes: Uint8Array): number {
  return bytes.length;
});
