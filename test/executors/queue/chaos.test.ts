/**
 * Real Redis, real processes, real kills. `FIBRIL_LONG=1`: 10,000 jobs, 4 workers, a kill every second, and Redis crashes once. Else 120 jobs and two
 * kills, in two seconds.
 *
 * One job ends only when it has been begun twice, and the first kill is of the process that has begun it: so a kill meets a job that runs, however
 * the machine is loaded.
 */
import { spawn as spawnProcess } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { EventLoop, run, sleep, spawn, use } from "fibril";
import type { Coroutine } from "fibril";
import { seededRandom } from "fibril/testing";
import { expect, test } from "vitest";
import { BullEngine, QueueExecutor } from "../../../src/executors/index.ts";
import type { JobHandle, OutcomeRecord, QueueStatistics } from "../../../src/executors/index.ts";
import { double, runnersOf, UNTIL_RUN_AGAIN } from "./programs/chaos-jobs.ts";
import { RedisServer } from "./redis-server.ts";

interface Plan {
  readonly jobs: number;
  readonly workers: number;
  readonly concurrency: number;
  readonly killEveryMs: number;
  readonly kills: number;
  readonly crashesRedis: boolean;
  readonly longestJobMs: number;
  readonly leaseMs: number;
  readonly seed: number;
}

const isLong = process.env["FIBRIL_LONG"] === "1";
const QUICK: Plan = {
  jobs: 120,
  workers: 2,
  concurrency: 8,
  killEveryMs: 150,
  kills: 2,
  crashesRedis: false,
  longestJobMs: 100,
  leaseMs: 600,
  seed: 1,
};
const LONG: Plan = {
  jobs: 10_000,
  workers: 4,
  concurrency: 8,
  killEveryMs: 1_000,
  kills: Infinity,
  crashesRedis: true,
  longestJobMs: 200,
  leaseMs: 1_500,
  seed: 2,
};

const worker = fileURLToPath(new URL("programs/chaos-worker.ts", import.meta.url));

/** Worker processes; one that is killed is replaced. */
class Crew {
  killed = 0;
  readonly #args: readonly string[];
  readonly #processes = new Set<ChildProcess>();

  constructor(size: number, args: readonly string[]) {
    this.#args = args;
    for (let i = 0; i < size; i++) this.#start();
  }

  /** @param which Between 0 and 1, or the id of a process. */
  kill(which: number): void {
    const all = [...this.#processes];
    const victim = which < 1 ? all[Math.floor(which * all.length)]! : all.find(({ pid }) => pid === which)!;
    this.#processes.delete(victim);
    this.killed++;
    victim.kill("SIGKILL");
    this.#start();
  }

  /** In good order. */
  async end(): Promise<void> {
    const left = [...this.#processes].filter((it) => it.exitCode === null && it.signalCode === null);
    const gone = left.map((it) => new Promise((resolve) => it.once("exit", resolve)));
    for (const it of left) it.kill("SIGTERM");
    await Promise.all(gone);
  }

  #start(): void {
    const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];
    this.#processes.add(spawnProcess(process.execPath, [...flags, worker, ...this.#args], { stdio: "ignore" }));
  }
}

test(
  "workers are killed: every job has one outcome, none is lost, and what ran twice was delivered twice",
  async () => {
    const plan = isLong ? LONG : QUICK;
    const redis = await RedisServer.start({ isDurable: plan.crashesRedis });
    const folder = mkdtempSync(join(tmpdir(), "fibril-chaos-"));
    const log = join(folder, "runs");
    const crew = new Crew(plan.workers, [redis.url, "chaos", `${plan.concurrency}`, `${plan.leaseMs}`]);
    try {
      const { statistics, seconds } = await run(() => submitAll(plan, redis, crew, log));
      await crew.end();

      const records = await recordsIn(redis.url);
      expect(records.size).toBe(plan.jobs);
      for (const record of records.values()) expect(record.status).toBe("succeeded");

      const runs = runsIn(log);
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
    } finally {
      await crew.end();
      await redis.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
  isLong ? 400_000 : 60_000,
);

function* submitAll(
  plan: Plan,
  redis: RedisServer,
  crew: Crew,
  log: string,
): Coroutine<{ statistics: QueueStatistics; seconds: number }> {
  const startedAt = EventLoop.current().now();
  const random = seededRandom(plan.seed);
  const engine = yield* use(new BullEngine({ url: redis.url, queue: "chaos", leaseMs: plan.leaseMs }));
  const executor = yield* use(new QueueExecutor(engine, { name: "chaos", sweepMs: 1_000, maxPending: 4_000 }));
  const troubles = spawn(function* troubles() {
    while (runnersOf(log, 0).length === 0) yield* sleep(10);
    for (let i = 0; i < plan.kills; i++) {
      yield* sleep(plan.killEveryMs);
      crew.kill(i === 0 ? runnersOf(log, 0)[0]! : random());
    }
  });
  const crash = plan.crashesRedis ? spawn(crashOnce, redis) : null;
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

/** Every outcome that Redis has. */
async function recordsIn(url: string): Promise<Map<string, OutcomeRecord>> {
  const client = new Redis(url);
  const records = new Map<string, OutcomeRecord>();
  const prefix = "fibril:chaos:record:";
  for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1_000 }) as AsyncIterable<string[]>) {
    for (const key of keys)
      records.set(key.slice(prefix.length), JSON.parse((await client.get(key))!) as OutcomeRecord);
  }
  client.disconnect();
  return records;
}

/** How often each job was begun. */
function runsIn(log: string): Map<string, number> {
  const runs = new Map<string, number>();
  for (const line of readFileSync(log, "utf8").trimEnd().split("\n")) {
    const id = line.split(" ")[1]!;
    runs.set(id, (runs.get(id) ?? 0) + 1);
  }
  return runs;
}
