/**
 * Redis crashes while jobs lie in it that are to come: delayed ones, and the next firing of an interval and of a cron expression. `FIBRIL_LONG=1`:
 * workers are killed as well, and it goes on for 30 seconds.
 *
 * What is declared (docs/guide/queue-executor.md): one firing at most waits, and is late rather than lost; those that were due meanwhile are not made
 * up for; a job runs again when its worker was lost, and its record says how often it was delivered.
 */
import { EventLoop, run, sleep, spawn, until, use } from "fibril";
import type { Coroutine } from "fibril";
import { seededRandom } from "fibril/testing";
import { expect, test } from "vitest";
import { BullEngine, QueueExecutor } from "../../../src/executors/index.ts";
import type { ScheduleStanding } from "../../../src/executors/index.ts";
import { Crew } from "./crew.ts";
import type { CrewPlan } from "./crew.ts";
import { double } from "./programs/chaos-jobs.ts";

const isLong = process.env["FIBRIL_LONG"] === "1";
/** Without kills nothing may run twice, however slow the machine is: no lease ends. */
const LEASE_MS = isLong ? 1_500 : 20_000;
const PLAN: CrewPlan = { queue: "timed", workers: 0, concurrency: 4, leaseMs: LEASE_MS, isDurable: true };
const RESULT_TTL_MS = 3_600_000;
const EVERY_MS = 300;
const AT_ONCE = 5;

function* opened(crew: Crew): Coroutine<QueueExecutor> {
  const engine = yield* use(new BullEngine({ url: crew.redis.url, queue: PLAN.queue, leaseMs: PLAN.leaseMs }));
  return yield* use(new QueueExecutor(engine, { sweepMs: 200, resultTtlMs: RESULT_TTL_MS }));
}

/** What was promised before the crash. */
interface Promised {
  readonly made: readonly ScheduleStanding[];
  readonly ids: readonly string[];
}

function* promise(crew: Crew, ms: number): Coroutine<Promised> {
  const executor = yield* opened(crew);
  const delayed = [];
  for (let n = 0; n < 20; n++) {
    const options = { delayMs: 200 + 20 * n, idempotencyKey: `delayed-${n}` };
    delayed.push(yield* executor.submit(options, double, crew.log, n, 1));
  }
  while (executor.queueStatistics().outbox > 0) yield* sleep(5);
  const interval = yield* executor.schedule("interval", { everyMs: EVERY_MS }, double, crew.log, 100, ms);
  const cron = yield* executor.schedule("cron", { cron: "* * * * * *" }, double, crew.log, 200, ms);
  yield* until(crew.redis.crashAndRestart());
  expect(yield* executor.schedules()).toHaveLength(2);
  const made = [interval, cron];
  const ids = [...delayed.map((_, n) => `delayed-${n}`), ...made.map(({ nextJobId }) => nextJobId!)];
  for (let i = 0; i < AT_ONCE; i++) crew.add();
  for (const [n, handle] of delayed.entries()) expect(yield* handle).toBe(2 * n);
  for (const { nextJobId } of made) yield* executor.attach(nextJobId!, double);
  return { made, ids };
}

test("Redis crashes with jobs to come: none is lost, none runs twice, and schedules go on", async () => {
  const crew = await Crew.start(PLAN);
  await run(function* () {
    const { ids } = yield* promise(crew, 1);
    const firings = (): string[] => [...crew.runs().keys()].filter((id) => id.startsWith("schedule:"));
    while (firings().length < 6) yield* sleep(20);
    const executor = yield* opened(crew);
    expect([yield* executor.unschedule("interval"), yield* executor.unschedule("cron")]).toEqual([true, true]);
    let counts = yield* executor.engine.counts();
    while (counts.running + counts.waiting > 0) {
      yield* sleep(5); // one that has begun would be given back
      counts = yield* executor.engine.counts();
    }
    yield* until(crew.end());
    const runs = crew.runs();
    for (const id of ids) expect([id, runs.get(id)]).toEqual([id, 1]);
    for (const [id, times] of runs) expect([id, times]).toEqual([id, 1]);
    const records = yield* until(crew.records());
    for (const id of runs.keys())
      expect([id, records.get(id)]).toMatchObject([id, { status: "succeeded", delivery: 1 }]);
    expect(records.size).toBe(runs.size);
  });
}, 60_000);

if (isLong) {
  test("Redis crashes and workers are killed while schedules fire: each firing has one outcome, and runs as often as it was delivered", async () => {
    const crew = await Crew.start(PLAN);
    await run(function* () {
      yield* promise(crew, 200); // so long that a kill meets some
      const executor = yield* opened(crew);
      const random = seededRandom(3);
      const kills = spawn(function* () {
        for (;;) {
          yield* sleep(1_500);
          crew.kill(random());
        }
      });
      yield* sleep(10_000);
      yield* until(crew.redis.crashAndRestart());
      const crashedAt = EventLoop.current().now();
      yield* sleep(20_000);
      yield* kills.cancel();
      const before = crew.runs().size;
      while (crew.runs().size < before + 4) yield* sleep(50); // they still fire
      yield* executor.unschedule("interval");
      yield* executor.unschedule("cron");
      let counts = yield* executor.engine.counts();
      while (counts.running + counts.waiting > 0) {
        yield* sleep(100);
        counts = yield* executor.engine.counts();
      }
      yield* until(crew.end());
      const runs = crew.runs();
      const records = yield* until(crew.records());
      expect(new Set(records.keys())).toEqual(new Set(runs.keys()));
      let repeats = 0;
      for (const [id, times] of runs) {
        const record = records.get(id)!;
        expect([id, record.status]).toEqual([id, "succeeded"]);
        expect(times).toBeLessThanOrEqual(record.delivery);
        repeats += times - 1;
      }
      const firings = [...runs.keys()].filter((id) => id.startsWith("schedule:")).length;
      const seconds = (EventLoop.current().now() - crashedAt) / 1_000 + 10;
      console.log(
        `schedules: ${firings} firings in ${seconds.toFixed(0)} s, ${crew.killed} kills, ${repeats} run again`,
      );
    });
  }, 300_000);
}
