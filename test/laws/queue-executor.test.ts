/**
 * Laws of a queue on an engine that misbehaves: jobs are delivered twice and out of order, pushes get lost, come late or twice, workers are
 * killed, connections are lost, the engine forgets jobs.
 *
 * 1. Every job has exactly one outcome, at its handle and in the engine.
 * 2. None is lost: each outcome is the job's value, or its failure, or the cancellation that was asked for.
 * 3. What was run more than once was delivered more than once, and that is counted.
 * 4. Nothing is left when executor and workers have ended.
 */
import fc from "fast-check";
import { sleep, spawn, wait } from "fibril";
import type { Task } from "fibril";
import { expect, test } from "vitest";
import { currentJob, job } from "../../src/executors/index.ts";
import type { EngineFaults, Job, JobHandle } from "../../src/executors/index.ts";
import { queued } from "../executors/queue/simulated-queue.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

let begun = new Map<string, number>();

const work: Job<[n: number, ms: number], number> = job(import.meta.url, function* work(n: number, ms: number) {
  const { idempotencyKey: key } = currentJob()!;
  begun.set(key, (begun.get(key) ?? 0) + 1);
  yield* sleep(ms);
  if (n % 7 === 3) throw new RangeError(`${n} is wrong`);
  return n * 2;
});

interface Planned {
  readonly ms: number;
  readonly gapMs: number;
  readonly cancelAfterMs: number | null;
}

const faults: fc.Arbitrary<EngineFaults> = fc.record({
  duplicate: fc.constantFrom(0, 0, 0.2, 0.5),
  reorder: fc.constantFrom(0, 0.5),
  dropPush: fc.constantFrom(0, 0.3, 1),
  repeatPush: fc.constantFrom(0, 0.5),
  delayPushMs: fc.constantFrom(0, 50, 1_000),
  delayJobMs: fc.constantFrom(0, 30),
});
const planned: fc.Arbitrary<Planned> = fc.record({
  ms: fc.integer({ min: 0, max: 400 }),
  gapMs: fc.integer({ min: 0, max: 30 }),
  cancelAfterMs: fc.option(fc.integer({ min: 0, max: 500 }), { freq: 4 }),
});
const troubles = fc.array(
  fc.record({ afterMs: fc.integer({ min: 0, max: 300 }), kind: fc.constantFrom("kill", "outage", "lose") }),
  { maxLength: 5 },
);

test(
  "every job has one outcome, none is lost, and what ran twice was delivered twice",
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ seed: fc.integer(), faults, jobs: fc.array(planned, { minLength: 1, maxLength: 20 }), troubles }),
        (plan) =>
          queued(
            function* ({ executor, engine, serve }) {
              begun = new Map();
              let killed = 0;
              serve([work], { name: "worker 0", concurrency: 3 });
              serve([work], { name: "worker 1", concurrency: 3 });
              const ids: string[] = [];
              const lost = new Set<string>();
              spawn(function* makeTrouble() {
                for (const { afterMs, kind } of plan.troubles) {
                  yield* sleep(afterMs);
                  if (kind === "kill") {
                    engine.killWorker(`worker ${killed++}`);
                    serve([work], { name: `worker ${killed + 1}`, concurrency: 3 });
                  } else if (kind === "lose") {
                    const id = ids.at(-1);
                    if (id === undefined) continue;
                    engine.lose(id);
                    lost.add(id);
                  } else {
                    engine.disconnect();
                    yield* sleep(100);
                    engine.reconnect();
                  }
                }
              });
              const handles: JobHandle<number>[] = [];
              const cancels: Task<boolean>[] = [];
              for (const [n, { ms, gapMs, cancelAfterMs }] of plan.jobs.entries()) {
                yield* sleep(gapMs);
                const handle = yield* executor.submit(work, n, ms);
                handles.push(handle);
                ids.push(executor.idOf(handle));
                if (cancelAfterMs === null) continue;
                cancels.push(
                  spawn(function* cancelLater() {
                    yield* sleep(cancelAfterMs);
                    return yield* handle.cancel("not wanted");
                  }),
                );
              }
              for (const [n, handle] of handles.entries()) {
                yield* wait([handle]);
                const outcome = handle.outcome!;
                if (outcome.status === "succeeded") expect(outcome.value).toBe(n * 2);
                else if (outcome.status === "failed") expect(outcome.error).toMatchObject({ className: "RangeError" });
                else expect(plan.jobs[n]!.cancelAfterMs).not.toBe(null);
                if (outcome.status !== "cancelled") expect(outcome.status === "failed").toBe(n % 7 === 3);
              }
              for (const cancel of cancels) yield* cancel;
              const { succeeded, failed, cancelled } = executor.statistics();
              expect(succeeded + failed + cancelled).toBe(handles.length);
              yield* sleep(10_000); // whatever comes late
              const { recorded, redelivered, enqueued } = engine.statistics();
              expect(recorded).toBeLessThanOrEqual(enqueued);
              if (lost.size === 0) expect(recorded).toBe(enqueued);
              const runsTooMany = [...begun.values()].reduce((sum, times) => sum + times - 1, 0);
              expect(runsTooMany).toBeLessThanOrEqual(redelivered + executor.queueStatistics().resent);
              expect(executor.queueStatistics()).toMatchObject({ pending: 0, outbox: 0 });
            },
            {
              seed: plan.seed,
              engine: { leaseMs: 300, maxStalled: 1_000, faults: plan.faults },
              executor: { sweepMs: 100, maxPending: 8 },
            },
          ),
      ),
      runs(40),
    );
  },
  LAW_TIMEOUT_MS,
);
