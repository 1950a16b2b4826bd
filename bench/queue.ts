/**
 * `npm run bench -- queue`: `QueueExecutor` on `BullEngine` against bare BullMQ (`queue.add`, `job.waitUntilFinished`), on one Redis.
 *
 * Redis is started here, without persistence, so that what is measured is not the disk. Each of the two has one worker process with the same
 * concurrency; both stay up, and the rounds take turns. Figures are medians over the rounds, the ratio is taken inside a round. CPU is that of
 * submitter and worker together, per job; Redis' own is not in it.
 *
 *   one by one   one job after the other, each awaited: round trips a second
 *   64 in flight 64 jobs at any time: jobs a second, CPU microseconds a job
 *   10,000 kept  what 10,000 jobs that wait take in Redis, and here
 */
import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Queue, QueueEvents, Worker } from "bullmq";
import { Redis } from "ioredis";
import { EventLoop, run } from "fibril";
import { BullEngine, job, QueueExecutor, serveJobs } from "fibril/executors";
import type { Job } from "fibril/executors";
import { spread } from "./stats.ts";

const USAGE = `npm run bench -- queue [options]

  --rounds N     default 5; none begins 40 s after the first
  --jobs N       jobs in flight of a round; default 3,000
  --json         print JSON and nothing else
`;

const IN_FLIGHT = 64;
const CONCURRENCY = 64;
const WAITING = 10_000;
/** No round begins later than that after the first one, so that a slow machine has fewer. */
const ENOUGH_MS = 40_000;
const SELF = fileURLToPath(import.meta.url);

const add: Job<[a: number, b: number], number> = job(import.meta.url, (a: number, b: number) => a + b, {
  name: "add",
  inMain: true,
});

interface Submitter {
  readonly one: (n: number) => Promise<number>;
  /** Puts so many into the queue, and waits until they are there. */
  readonly keep: (count: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

interface Round {
  readonly sequentialRate: number;
  readonly inFlightRate: number;
  readonly cpuUs: number;
}

const role = process.argv[2];
if (role === "--worker") await work(process.argv[3]!, process.argv[4]!);
else {
  try {
    await bench();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
  process.exit(); // the jobs that are kept are waited for
}

async function bench(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      jobs: { type: "string", default: "3000" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const [rounds, jobs] = [Number(values.rounds), Number(values.jobs)];
  const redis = await startRedis();
  const sides = ["fibril", "bullmq"] as const;
  const workers = sides.map((side) => fork(SELF, ["--worker", side, redis.url], { execArgv: process.execArgv }));
  const opened: Submitter[] = [];
  try {
    await Promise.all(workers.map((worker) => once(worker, "message")));
    for (const side of sides) opened.push(await open(side, redis.url));
    for (const { one } of opened) await lanes(1_000, IN_FLIGHT, one); // warm
    const results: Record<(typeof sides)[number], Round[]> = { fibril: [], bullmq: [] };
    const startedAt = performance.now();
    for (let round = 0; round < rounds && (round === 0 || performance.now() - startedAt < ENOUGH_MS); round++) {
      for (let at = 0; at < 2; at++) {
        const index = (at + round) % 2;
        results[sides[index]!].push(await measure(opened[index]!, workers[index]!, jobs));
      }
    }
    for (const worker of workers) worker.kill("SIGTERM");
    await Promise.all(workers.map(gone));
    const kept = [await memoryOf(opened[0]!, redis.url), await memoryOf(opened[1]!, redis.url)];
    report(results, kept, values.json);
  } finally {
    for (const worker of workers) worker.kill("SIGKILL");
    await Promise.all(workers.map(gone));
    for (const { close } of opened) await close();
    await redis.stop();
  }
}

async function measure({ one }: Submitter, worker: ChildProcess, jobs: number): Promise<Round> {
  const sequential = Math.ceil(jobs / 6);
  const startedAt = performance.now();
  for (let n = 0; n < sequential; n++) await checked(one, n);
  const sequentialRate = (sequential / (performance.now() - startedAt)) * 1_000;
  const before = process.cpuUsage();
  const workerBefore = await cpuOf(worker);
  const inFlightRate = await lanes(jobs, IN_FLIGHT, one);
  const own = process.cpuUsage(before);
  const cpuUs = (own.user + own.system + (await cpuOf(worker)) - workerBefore) / jobs;
  return { sequentialRate, inFlightRate, cpuUs };
}

/** Jobs a second. */
async function lanes(count: number, width: number, one: (n: number) => Promise<number>): Promise<number> {
  const startedAt = performance.now();
  let begun = 0;
  const lane = async (): Promise<void> => {
    while (begun < count) await checked(one, begun++);
  };
  await Promise.all(Array.from({ length: width }, lane));
  return (count / (performance.now() - startedAt)) * 1_000;
}

async function checked(one: (n: number) => Promise<number>, n: number): Promise<void> {
  const sum = await one(n);
  if (sum !== n + 1) throw new Error(`${n} + 1 came back as ${sum}`);
}

async function open(side: string, url: string): Promise<Submitter> {
  if (side === "fibril") {
    const engine = new BullEngine({ url, queue: "bench-fibril" });
    const loop = new EventLoop({ name: "bench" });
    const executor = await loop.spawn({ name: "open" }, function* () {
      return new QueueExecutor(engine, { maxPending: WAITING + IN_FLIGHT, bufferSize: WAITING });
    });
    const one = async (n: number): Promise<number> => await loop.spawn({ name: "one" }, () => executor.call(add, n, 1));
    return {
      one,
      async keep(count) {
        for (let n = 0; n < count; n++) void one(n).catch(() => {});
        while (executor.queueStatistics().pending < count || executor.queueStatistics().outbox > 0) await delay(5);
      },
      close: () => engine.close(),
    };
  }
  const connection = { url, maxRetriesPerRequest: null } as never;
  const queue = new Queue("bench-bullmq", { connection });
  const events = new QueueEvents("bench-bullmq", { connection });
  queue.setMaxListeners(0);
  events.setMaxListeners(0); // it adds listeners for each job that is waited for
  await events.waitUntilReady();
  // Kept for ten minutes, as ours are. Removed at once, `waitUntilFinished` fails now and then: "Missing key for job".
  const options = { removeOnComplete: { age: 600 } };
  return {
    async one(n) {
      const added = await queue.add("add", { a: n, b: 1 }, options);
      return (await added.waitUntilFinished(events)) as number;
    },
    async keep(count) {
      for (let from = 0; from < count; from += 200) {
        await queue.addBulk(
          Array.from({ length: 200 }, (_, n) => ({ name: "add", data: { a: n, b: 1 }, opts: options })),
        );
      }
    },
    async close() {
      await events.close();
      await queue.close();
    },
  };
}

/** Of Redis, and of this process, in bytes a job. */
async function memoryOf({ keep }: Submitter, url: string): Promise<{ redis: number; here: number }> {
  const client = new Redis(url);
  const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await client.info("memory"))![1]);
  (globalThis as { gc?: () => void }).gc?.();
  const [redisBefore, hereBefore] = [await used(), process.memoryUsage().heapUsed];
  await keep(WAITING);
  (globalThis as { gc?: () => void }).gc?.();
  const sizes = {
    redis: ((await used()) - redisBefore) / WAITING,
    here: (process.memoryUsage().heapUsed - hereBefore) / WAITING,
  };
  client.disconnect();
  return sizes;
}

async function work(side: string, url: string): Promise<void> {
  process.on("message", () => process.send!(cpu()));
  const ready = (): void => void process.send!(0);
  if (side === "fibril") {
    const engine = new BullEngine({ url, queue: "bench-fibril" });
    const options = { concurrency: CONCURRENCY, drainMs: 0, onStart: ready };
    await run(() => serveJobs(engine, [add], options), { handleSignals: true }).catch(() => {});
    await engine.close();
    process.exit();
  }
  const handler = async ({ data }: { data: { a: number; b: number } }): Promise<number> => data.a + data.b;
  const connection = { url, maxRetriesPerRequest: null } as never;
  const worker = new Worker("bench-bullmq", handler, { connection, concurrency: CONCURRENCY });
  await worker.waitUntilReady();
  ready();
}

async function cpuOf(worker: ChildProcess): Promise<number> {
  const answer = once(worker, "message");
  worker.send("cpu");
  return ((await answer) as [number])[0];
}

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function report(
  results: Record<"fibril" | "bullmq", Round[]>,
  kept: readonly { redis: number; here: number }[],
  asJson: boolean,
): void {
  const median = (of: "fibril" | "bullmq", key: keyof Round): number => spread(results[of].map((it) => it[key])).median;
  const ratio = (key: keyof Round): number =>
    spread(results.fibril.map((it, index) => it[key] / results.bullmq[index]![key])).median;
  const keys = ["sequentialRate", "inFlightRate", "cpuUs"] as const;
  if (asJson) {
    process.stdout.write(`${JSON.stringify({ results, kept })}\n`);
    return;
  }
  const names = { sequentialRate: "one by one, jobs/s", inFlightRate: "64 in flight, jobs/s", cpuUs: "CPU us/job" };
  process.stdout.write(`${"".padEnd(24)}${"fibril".padStart(10)}${"bullmq".padStart(10)}${"ratio".padStart(8)}\n`);
  for (const key of keys) line(names[key], median("fibril", key), median("bullmq", key), ratio(key));
  line("kept in Redis, bytes/job", kept[0]!.redis, kept[1]!.redis, kept[0]!.redis / kept[1]!.redis);
  process.stdout.write(
    `kept here, bytes/job      ${Math.round(kept[0]!.here)} (fibril waits for its jobs; bullmq was not asked to)\n`,
  );
}

function line(name: string, ours: number, theirs: number, ratio: number): void {
  const whole = (value: number): string => Math.round(value).toLocaleString("en-US").padStart(10);
  process.stdout.write(`${name.padEnd(24)}${whole(ours)}${whole(theirs)}${ratio.toFixed(2).padStart(8)}\n`);
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

async function startRedis(): Promise<{ readonly url: string; stop: () => Promise<void> }> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  const folder = mkdtempSync(join(tmpdir(), "fibril-bench-queue-"));
  const place = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder];
  const child = spawn("redis-server", [...place, "--save", "", "--appendonly", "no"], { stdio: "ignore" });
  let problem = "";
  child.once("error", (error) => (problem = error.message));
  for (let tries = 0; ; tries++) {
    await delay(10);
    if (await answers(port)) break;
    if (problem === "" && child.exitCode === null && tries < 500) continue;
    rmSync(folder, { recursive: true, force: true });
    throw new Error(
      `cannot measure the queue: redis-server does not start (${problem === "" ? "it does not answer" : problem}); ` +
        "install it (apt-get install redis-server, brew install redis) and put it on PATH",
    );
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      child.kill("SIGKILL");
      await gone(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.on("data", (data) => end(data.toString().startsWith("+PONG")));
    socket.on("error", () => end(false));
  });
}
