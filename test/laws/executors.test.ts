/**
 * Laws of executors: whatever is submitted, cancelled, crashed and shut down, and when.
 *
 * On `InlineExecutor` in virtual time: a job runs at most once and has one outcome that is true to what it did, never more than `concurrency` run
 * at a time, begun by priority and then in order. On a pool that is nothing but a list, driven by hand: the same for every order
 * in which a pool may answer, with crashes, jobs it hands back, refusals, and its end.
 */
import { sleep, spawn, wait } from "fibril";
import type { Coroutine, Task } from "fibril";
import { simulateSync } from "fibril/testing";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { InlineExecutor, isCancelled, job, JobExecutor } from "../../src/executors/index.ts";
import type { Job, JobEnd, JobHandle, Pool, PoolJob, PoolListener, PoolStatistics } from "../../src/executors/index.ts";
import { simulated } from "../core/simulated.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

/** What the jobs of the running program did. They are in this process, so they can say so. */
const seen = { begun: [] as number[], ended: [] as number[], running: 0, most: 0 };

const work: Job<[number: number, ms: number, manner: string], number> = job(
  import.meta.url,
  function* work(number: number, ms: number, manner: string) {
    seen.begun.push(number);
    seen.most = Math.max(seen.most, ++seen.running);
    try {
      yield* sleep(ms);
      if (manner === "fails") throw new RangeError(`${number}`);
      return number;
    } catch (error) {
      if (manner === "stubborn" && isCancelled()) return number;
      throw error;
    } finally {
      try {
        if (manner === "cleans") yield* sleep(2); // a cancellation that comes late is thrown here
      } finally {
        seen.running--;
        seen.ended.push(number);
      }
    }
  },
);

interface Plan {
  readonly atMs: number;
  readonly ms: number;
  readonly manner: string;
  readonly priority: number;
  readonly deadlineMs: number | undefined;
  readonly cancelAtMs: number | undefined;
  readonly by: "submit" | "trySubmit" | "call";
}

const someMs = fc.integer({ min: 0, max: 12 });
const plan: fc.Arbitrary<Plan> = fc.record({
  atMs: someMs,
  ms: someMs,
  manner: fc.constantFrom("plain", "plain", "fails", "stubborn", "cleans"),
  priority: fc.constantFrom(0, 0, 0, 1, -1),
  deadlineMs: fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined, freq: 3 }),
  cancelAtMs: fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined, freq: 2 }),
  by: fc.constantFrom("submit", "submit", "trySubmit", "call"),
});
const program = fc.record({
  plans: fc.array(plan, { minLength: 1, maxLength: 14 }),
  concurrency: fc.integer({ min: 1, max: 3 }),
  queueSize: fc.constantFrom(0, 1, 3, 100),
  shutdown: fc.option(fc.record({ atMs: someMs, cancelPending: fc.boolean(), cancelRunning: fc.boolean() }), {
    nil: undefined,
  }),
  seed: fc.integer(),
});

type Ended = "succeeded" | "failed" | "cancelled" | "late" | "refused";

test(
  "inline: one outcome each, true to what the job did; never more at a time than allowed; the books agree",
  () => {
    fc.assert(
      fc.property(program, ({ plans, concurrency, queueSize, shutdown, seed }) => {
        Object.assign(seen, { begun: [], ended: [], running: 0, most: 0 });
        const outcomes = new Map<number, Ended>();
        const {
          outcome: end,
          leaks,
          reports,
        } = simulateSync(
          function* () {
            const executor = new InlineExecutor({ concurrency, queueSize });
            const tasks: Task<void>[] = plans.map((each, index) =>
              spawn(() => submitOne(executor, each, index, outcomes)),
            );
            for (const [index, { cancelAtMs }] of plans.entries()) {
              if (cancelAtMs === undefined) continue;
              spawn(function* () {
                yield* sleep(cancelAtMs);
                tasks[index]!.cancel();
              });
            }
            if (shutdown !== undefined) {
              yield* sleep(shutdown.atMs);
              yield* executor.shutdown(shutdown);
              expect(seen.running).toBe(0);
            }
            yield* wait(tasks);
            yield* executor.shutdown();
            const { running, queue, succeeded, failed, cancelled } = executor.statistics();
            expect({ running, size: queue.size, waiting: queue.waiting }).toEqual({ running: 0, size: 0, waiting: 0 });
            expect(succeeded).toBeGreaterThanOrEqual([...outcomes.values()].filter((it) => it === "succeeded").length);
            expect(succeeded + failed + cancelled).toBeGreaterThanOrEqual(seen.begun.length);
          },
          { seed },
        );
        // A task that is cancelled just when its job fails does not see the failure: that is reported.
        const others = reports.filter((it) => it.kind !== "unobserved-failure");
        expect({ end, leaks, others }).toEqual({
          end: { status: "succeeded", value: undefined },
          leaks: [],
          others: [],
        });
        expect(new Set(seen.begun).size).toBe(seen.begun.length); // at most once
        expect(new Set(seen.ended)).toEqual(new Set(seen.begun));
        expect(seen.most).toBeLessThanOrEqual(concurrency);
        for (const index of plans.keys()) {
          const outcome = outcomes.get(index);
          expect(outcome).toBeDefined();
          if (outcome === "succeeded" || outcome === "failed") expect(seen.ended).toContain(index);
          if (outcome === "refused") expect(seen.begun).not.toContain(index);
        }
      }),
      runs(150),
    );
  },
  LAW_TIMEOUT_MS,
);

function* submitOne(
  executor: InlineExecutor,
  { atMs, ms, manner, priority, deadlineMs, by }: Plan,
  index: number,
  outcomes: Map<number, Ended>,
): Coroutine<void> {
  const note = (ended: Ended): void => {
    expect(outcomes.has(index)).toBe(false);
    outcomes.set(index, ended);
  };
  const options = deadlineMs === undefined ? { priority } : { priority, deadlineMs };
  try {
    yield* sleep(atMs);
    let value: number;
    if (by === "call") value = yield* executor.call(options, work, index, ms, manner);
    else {
      const handle =
        by === "submit"
          ? yield* executor.submit(options, work, index, ms, manner)
          : executor.trySubmit(options, work, index, ms, manner);
      value = yield* handle;
      expect(handle.state).toBe("settled");
      expect(yield* handle.cancel()).toBe(false); // too late
    }
    expect(value).toBe(index);
    note("succeeded");
  } catch (error) {
    const code = (error as { readonly code?: string }).code;
    if (code === "JOB_FAILED") note("failed");
    else if (code === "TIMEOUT") note("late");
    else if (code === "EXECUTOR_QUEUE_FULL" || code === "EXECUTOR_SHUT_DOWN") note("refused");
    else if (code === "CANCELLED") note("cancelled");
    else {
      note("cancelled");
      throw error;
    }
  }
}

test(
  "inline: jobs begin by priority, first come first served within one",
  () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(-1, 0, 1), { maxLength: 20 }), fc.integer(), (priorities, seed) => {
        Object.assign(seen, { begun: [], ended: [], running: 0, most: 0 });
        simulated(
          function* () {
            const executor = new InlineExecutor({ concurrency: 1 });
            yield* executor.submit(work, -1, 5, "plain");
            yield* sleep(1);
            for (const [index, priority] of priorities.entries())
              yield* executor.submit({ priority }, work, index, 1, "plain");
            yield* executor.shutdown();
          },
          { seed },
        );
        const expected = [...priorities.keys()].sort((a, b) => priorities[b]! - priorities[a]! || a - b);
        expect(seen.begun).toEqual([-1, ...expected]);
      }),
      runs(100),
    );
  },
  LAW_TIMEOUT_MS,
);

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the pool was used in a wrong way: ${what}`);
}

/** A pool whose every answer the program chooses. It checks that it is asked as its interface says. */
class ListPool implements Pool {
  readonly isOutside = true;
  readonly parallelism: number;
  readonly jobs = new Map<PoolJob, "ready" | "running">();
  readonly offered = new Set<number>();
  closed = 0;
  most = 0;
  listener!: PoolListener;

  constructor(parallelism: number) {
    this.parallelism = parallelism;
  }

  listen(listener: PoolListener): void {
    this.listener = listener;
  }

  check(): void {}

  offer(poolJob: PoolJob): boolean {
    must(this.closed === 0, "it is closed");
    must(!this.offered.has(poolJob.id), "it was given twice");
    if (this.jobs.size >= this.parallelism) return false;
    this.offered.add(poolJob.id);
    if (poolJob.name === "cannot be sent")
      this.listener.settled(poolJob, { status: "failed", error: new TypeError("no"), done: null, runMs: 0 });
    else this.jobs.set(poolJob, "ready");
    this.most = Math.max(this.most, this.jobs.size);
    return true;
  }

  cancel(poolJob: PoolJob): "withdrawn" | "requested" {
    must(this.jobs.has(poolJob), "it is not there");
    if (this.jobs.get(poolJob) === "running") return "requested";
    this.jobs.delete(poolJob);
    return "withdrawn";
  }

  hasBegun(poolJob: PoolJob): boolean {
    return this.jobs.get(poolJob) === "running";
  }

  grant(): void {}

  statistics(): PoolStatistics {
    return { workers: this.parallelism, idle: 0, jobs: this.jobs.size, crashes: 0 };
  }

  close(): null {
    must(this.jobs.size === 0, "it is not empty");
    this.closed++;
    return null;
  }

  begin(which: number): void {
    const ready = [...this.jobs].filter(([, state]) => state === "ready");
    if (ready.length > 0) this.jobs.set(ready[which % ready.length]![0], "running");
  }

  end(which: number, status: "succeeded" | "failed" | "cancelled"): void {
    const all = [...this.jobs.keys()];
    if (all.length === 0) return;
    const poolJob = all[which % all.length]!;
    this.jobs.delete(poolJob);
    const end: JobEnd =
      status === "succeeded"
        ? { status, value: poolJob.id, runMs: 1 }
        : status === "failed"
          ? { status, error: new RangeError(`${poolJob.id}`), done: null, runMs: 1 }
          : { status, reason: "asked", runMs: 1 };
    this.listener.settled(poolJob, end);
    this.listener.settled(poolJob, end); // once is what counts
    this.listener.roomFreed();
  }
}

class ListExecutor extends JobExecutor {
  constructor(pool: ListPool, queueSize: number) {
    super(pool, { queueSize }, "list");
  }
}

const move = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("submit" as const), bad: fc.boolean(), priority: fc.constantFrom(0, 1) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("begin" as const), which: fc.nat(9) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      which: fc.nat(9),
      status: fc.constantFrom("succeeded" as const, "failed" as const, "cancelled" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const), which: fc.nat(30) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("step" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("shutdown" as const), cancelPending: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("break" as const) }) },
);

test(
  "any pool: every job settles once, nothing is given to it twice, and it is closed once, empty",
  () => {
    fc.assert(
      fc.property(
        fc.array(move, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(0, 2, 50),
        fc.integer(),
        (moves, width, queueSize, seed) => {
          const pool = new ListPool(width);
          const handles: JobHandle<number>[] = [];
          simulated(
            function* () {
              const executor = new ListExecutor(pool, queueSize);
              const submits: Task<void>[] = [];
              for (const each of moves) {
                if (each.kind === "submit") {
                  submits.push(
                    spawn(function* () {
                      const name = each.bad ? "cannot be sent" : "good";
                      try {
                        const handle = yield* executor.submit({ name, priority: each.priority }, work, 0, 0, "");
                        handles.push(handle);
                        yield* wait([handle]);
                        expect(handle.outcome).toBeDefined(); // looking is enough
                      } catch (error) {
                        expect(["EXECUTOR_SHUT_DOWN", "EXECUTOR_BROKEN"]).toContain((error as { code?: string }).code);
                      }
                    }),
                  );
                } else if (each.kind === "begin") pool.begin(each.which);
                else if (each.kind === "end") pool.end(each.which, each.status);
                else if (each.kind === "cancel") handles[each.which % handles.length]?.cancel();
                else if (each.kind === "step") yield* sleep(0);
                else if (each.kind === "shutdown") void executor.shutdown(each);
                else {
                  pool.jobs.clear();
                  pool.listener.broke(new Error("broken"));
                }
              }
              while (submits.some((task) => !task.isSettled) || handles.some((it) => !it.isSettled)) {
                pool.end(0, "succeeded");
                yield* sleep(0);
              }
              yield* executor.shutdown();
              const { running, queue, succeeded, failed, cancelled } = executor.statistics();
              expect([running, queue.size, queue.waiting]).toEqual([0, 0, 0]);
              expect(succeeded + failed + cancelled).toBe(handles.length);
            },
            { seed },
          );
          expect(pool.most).toBeLessThanOrEqual(width);
          expect(handles.every((it) => it.isSettled)).toBe(true);
          expect(pool.closed).toBe(1);
        },
      ),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);
