/**
 * Real Redis, real processes, real kills. `FIBRIL_LONG=1`: 10,000 jobs, 4 workers, a kill every second, and Redis crashes once. Else 120 jobs and two
 * kills, in two seconds.
 *
 * One job ends only when it has been begun twice, and the first kill is of the process that has begun it: so a kill meets a job that runs, however
 * the machine is loaded.
 */
import { EventLoop, run, sleep, spawn, use } from "fibril";
import type { Coroutine } from "fibril";
import { seededRandom } from "fibril/testing";
import { expect, test } from "vitest";
import { BullEngine, QueueExecutor } from "../../../src/executors/index.ts";
import type { JobHandle, QueueStatistics } from "../../../src/executors/index.ts";
import { Crew } from "./crew.ts";
import type { CrewPlan } from "./crew.ts";
import { double, runnersOf, UNTIL_RUN_AGAIN } from "./programs/chaos-jobs.ts";
import type { RedisServer } from "./redis-server.ts";

interface Plan extends CrewPlan {
  readonly jobs: number;
  readonly killEveryMs: number;
  readonly kills: number;
  readonly longestJobMs: number;
  readonly seed: number;
}

const isLong = process.env["FIBRIL_LONG"] === "1";
const QUICK: Plan = {
  queue: "chaos",
  jobs: 120,
  workers: 2,
  concurrency: 8,
  killEveryMs: 150,
  kills: 2,
  isDurable: false,
  longestJobMs: 100,
  leaseMs: 600,
  seed: 1,
};
const LONG: Plan = {
  queue: "chaos",
  jobs: 10_000,
  workers: 4,
  concurrency: 8,
  killEveryMs: 1_000,
  kills: Infinity,
  isDurable: true,
  longestJobMs: 200,
  leaseMs: 1_500,
  seed: 2,
};
/** Longer than any run, so that all of them can be counted at its end. */
const RESULT_TTL_MS = 3_600_000;

test(
  "workers are killed: every job has one outcome, none is lost, and what ran twice was delivered twice",
  async () => {
    const plan = isLong ? LONG : QUICK;
    const crew = await Crew.start(plan);
    const { statistics, seconds } = await run(() => submitAll(plan, crew));
    await crew.end();

    const records = await crew.records();
    expect(records.size).toBe(plan.jobs);
    for (const record of records.values()) expect(record.status).toBe("succeeded");

    const runs = crew.runs();
    const redelivered = [...records].filter(([, record]) => record.delivery > 1).length;
    let repeats = 0;
    for (const [id, times] of runs) {
      repeats += times - 1;
      expect(times).toBeLessThanOrEqual(records.get(id)!.delivery); // declared: each run was a delivery
    }
    expect(runs.size).toBe(plan.jobs);
    expect(statistics.redelivered).toBe(redelivered);
    expect(redelivered).toBeGreaterThan(0); // else nothing was tried
    expect(crew.killed).toBeGreaterThanOrEqual(Math.min(plan.kills, 2));
    const { duplicates, outcomesPushed, outcomesSwept, resent } = statistics;
    console.log(
      `chaos: ${plan.jobs} jobs in ${seconds.toFixed(1)} s, ${crew.killed} kills, ${redelivered} redelivered, ` +
        `${repeats} run again; outcomes pushed ${outcomesPushed}, swept ${outcomesSwept}, told twice ${duplicates}, resent ${resent}`,
    );
  },
  isLong ? 1_200_000 : 60_000,
);

function* submitAll(plan: Plan, crew: Crew): Coroutine<{ statistics: QueueStatistics; seconds: number }> {
  const { log, redis } = crew;
  const startedAt = EventLoop.current().now();
  const random = seededRandom(plan.seed);
  const engine = yield* use(new BullEngine({ url: redis.url, queue: plan.queue, leaseMs: plan.leaseMs }));
  const executor = yield* use(
    new QueueExecutor(engine, { name: "chaos", sweepMs: 1_000, maxPending: 4_000, resultTtlMs: RESULT_TTL_MS }),
  );
  const troubles = spawn(function* troubles() {
    while (runnersOf(log, 0).length === 0) yield* sleep(10);
    for (let i = 0; i < plan.kills; i++) {
      yield* sleep(plan.killEveryMs);
      crew.kill(i === 0 ? runnersOf(log, 0)[0]! : random());
    }
  });
  const crash = plan.isDurable ? spawn(crashOnce, redis) : null;
  const handles: JobHandle<number>[] = [];
  for (let n = 0; n < plan.jobs; n++) {
    const ms = n === 0 ? UNTIL_RUN_AGAIN : Math.ceil(random() * plan.longestJobMs);
    handles.push(yield* executor.submit(double, log, n, ms));
  }
  for (const [n, handle] of handles.entries()) expect(yield* handle).toBe(n * 2);
  if (plan.kills === Infinity) yield* troubles.cancel();
  else yield* troubles;
  if (crash !== null) yield* crash;
  return { statistics: executor.queueStatistics(), seconds: (EventLoop.current().now() - startedAt) / 1_000 };
}

function* crashOnce(redis: RedisServer): Coroutine<void> {
  yield* sleep(6_000);
  const restarted = redis.crashAndRestart();
  let isBack = false;
  void restarted.then(() => (isBack = true));
  while (!isBack) yield* sleep(10);
}
