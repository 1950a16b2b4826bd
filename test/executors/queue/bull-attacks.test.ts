/** What a real Redis, and who else uses it, can do to a queue. */
import { spawn as spawnProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { EventLoop, sleep, spawn, until, use } from "fibril";
import type { Coroutine } from "fibril";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { currentJob, job, startJobServer } from "../../../src/executors/index.ts";
import type { Job, ScheduleStanding } from "../../../src/executors/index.ts";
import { BullConnection } from "../../../src/executors/queue/bull-connection.ts";
import type { Token } from "../../../src/executors/queue/bull-orders.ts";
import { putBackUnbegun } from "../../../src/executors/queue/bull-returned.ts";
import { eventually, really, thrownIn } from "../threads.ts";
import { double, runnersOf, UNTIL_RUN_AGAIN } from "./programs/chaos-jobs.ts";
import { opener } from "./opened.ts";
import { RedisServer } from "./redis-server.ts";

const redis = await RedisServer.start();
const client = new Redis(redis.url);
afterAll(async () => {
  client.disconnect();
  await redis.stop();
});

let runs: string[] = [];
let isHeld = true;
beforeEach(() => {
  runs = [];
  isHeld = true;
});
const held: Job<[], void> = job(import.meta.url, function* held() {
  runs.push(currentJob()!.idempotencyKey);
  while (isHeld) yield* sleep(2);
});
const nap: Job<[ms: number, size?: number], string> = job(import.meta.url, function* nap(ms: number, size = 0) {
  runs.push(currentJob()!.idempotencyKey);
  yield* sleep(ms);
  return size === 0 ? `slept ${ms}` : "x".repeat(size);
});

const torn: Job<[], never> = job(import.meta.url, function torn() {
  runs.push(currentJob()!.idempotencyKey);
  throw new RangeError("torn");
});

const open = opener(redis.url, "attack");

test("what is known of a job is asked with its claim, not after it; whatever its id is", () =>
  really(function* () {
    const { executor, engine } = yield* open({ sweepMs: 60_000 }, { leaseMs: 60_000 });
    yield* use(startJobServer(engine, [nap, torn]));
    yield* executor.call(nap, 0);
    const asked = function* (): Coroutine<number> {
      const calls = /cmdstat_mget:calls=(\d+)/.exec(yield* until(client.info("commandstats")))![1];
      return Number(calls);
    };
    const before = yield* asked();
    for (let n = 0; n < 50; n++) yield* executor.call(nap, 0);
    expect((yield* asked()) - before).toBeLessThan(60); // once for each job, and hardly ever a second time
    for (const idempotencyKey of ["ä/b:c d%41'", "%", "50%25", "日本"]) {
      runs = [];
      const failing = executor.call({ idempotencyKey, attempts: 3, backoffMs: 1 }, torn);
      expect(yield* thrownIn(() => failing)).toMatchObject({ code: "JOB_FAILED" });
      expect(runs).toEqual([idempotencyKey, idempotencyKey, idempotencyKey]); // its failures were found, and counted
    }
  }));

test("a schedule fires once each, whoever puts it and whoever works; then it is gone", () =>
  really(function* () {
    const one = yield* open();
    const other = yield* open({}, { queue: one.queue });
    yield* use(startJobServer(one.engine, [nap]));
    yield* use(startJobServer(other.engine, [nap]));
    const made = yield* one.executor.schedule("a:b", { everyMs: 200, priority: 2 }, nap, 1);
    expect(made.nextAt % 200).toBe(0);
    const again = yield* other.executor.schedule("a:b", { everyMs: 200, priority: 2 }, nap, 1);
    expect(again.nextAt).toBeGreaterThanOrEqual(made.nextAt);
    expect(again.nextAt % 200).toBe(0);
    expect(again.nextAt).toBeLessThanOrEqual(new Date().getTime() + 200);
    expect(yield* other.executor.schedules()).toMatchObject([
      { id: "a:b", times: { everyMs: 200 }, overlap: "allow", address: "nap@1" },
    ]);
    yield* eventually(() => runs.length >= 4);
    expect(yield* other.executor.unschedule("a:b")).toBe(true);
    expect(yield* other.executor.unschedule("a:b")).toBe(false);
    const goneAt = new Date().getTime();
    yield* sleep(250);
    expect(new Set(runs).size).toBe(runs.length);
    for (const id of runs) expect(id).toMatch(/^schedule:a%3Ab:\d+00$/);
    const dues = runs.map((id) => Number(id.split(":")[2]));
    expect(dues).toEqual(dues.toSorted((a, b) => a - b));
    expect(dues.at(-1)).toBeLessThanOrEqual(goneAt); // one that was due may have been begun
    expect(yield* one.executor.attach(runs[0]!, nap)).toBe("slept 1");
    expect(yield* one.executor.schedules()).toEqual([]);
    expect(yield* one.engine.counts()).toMatchObject({ delayed: 0 });
  }));

test("firings that overlap are left out; one can be cancelled; cron and its errors", () =>
  really(function* () {
    const { executor, engine } = yield* open();
    yield* use(startJobServer(engine, [nap, held], { concurrency: 8, drainMs: 0 }));
    yield* executor.schedule("slow", { everyMs: 100, overlap: "skip" }, held);
    yield* eventually(() => runs.length > 0);
    const first = Number(runs[0]!.split(":")[2]);
    const [{ nextJobId: betweenId }] = (yield* executor.schedules()) as [ScheduleStanding];
    expect(Number(betweenId!.split(":")[2]) - first).toBeGreaterThanOrEqual(100);
    const between = yield* thrownIn(() => executor.attach(betweenId!, held));
    expect(between).toMatchObject({ code: "CANCELLED", reason: /has not ended/ });
    expect(runs).toHaveLength(1);
    isHeld = false;
    yield* eventually(() => runs.length >= 2);
    expect(Number(runs[1]!.split(":")[2]) - first).toBeGreaterThanOrEqual(200);
    yield* executor.unschedule("slow");
    const idle = yield* open();
    const { nextJobId } = yield* idle.executor.schedule("once", { everyMs: 400 }, nap, 1);
    expect(yield* idle.executor.attach(nextJobId!, nap).cancel("holiday")).toBe(true);
    runs = [];
    yield* use(startJobServer(idle.engine, [nap])); // not before, since the next firing may be only a moment away
    yield* eventually(() => runs.length > 0);
    expect(runs).not.toContain(nextJobId); // and the next one came
    yield* idle.executor.unschedule("once");
    const cron = yield* executor.schedule("cron", { cron: "0 3 * * *", timeZone: "Europe/Paris" }, nap, 1);
    expect(new Date(cron.nextAt).toLocaleTimeString("en-GB", { timeZone: "Europe/Paris" })).toBe("03:00:00");
    expect(yield* executor.schedules()).toEqual([cron]);
    for (const wrong of ["61 * * * *", "0 0 30 2 *"]) {
      const error = yield* thrownIn(() => executor.schedule("cron", { cron: wrong }, nap, 1));
      expect([wrong, error]).toMatchObject([wrong, { code: "USAGE" }]);
    }
  }));

test("while no worker is there one firing waits, and is gone with its schedule", () =>
  really(function* () {
    const { executor, engine } = yield* open();
    yield* executor.schedule("s", { everyMs: 100 }, nap, 1);
    yield* sleep(350);
    expect((yield* executor.schedules())[0]!.nextAt).toBeLessThan(new Date().getTime());
    const server = startJobServer(engine, [nap]);
    yield* eventually(() => runs.length >= 2);
    const [late, next] = runs.map((id) => Number(id.split(":")[2])) as [number, number];
    expect(next - late).toBeGreaterThanOrEqual(300);
    yield* server.stop();
    yield* sleep(150);
    yield* executor.unschedule("s");
    const { waiting, delayed } = yield* engine.counts();
    expect([waiting, delayed]).toEqual([0, 0]);
  }));

test.for(["first", "after it", "put anew"])("a firing that comes back unbegun is gone with its schedule (%s)", (end) =>
  really(function* () {
    const { executor, engine, queue } = yield* open({}, { leaseMs: 20_000 });
    const connection = new BullConnection({ url: redis.url, queue, prefix: null });
    yield* executor.schedule("s", { everyMs: 200 }, nap, 1);
    const { token, order } = yield* engine.claim("nobody");
    expect(order.id).toMatch(/^schedule:s:/);
    if (end === "after it") yield* executor.unschedule("s");
    yield* connection.ask("put it back", (connected) => putBackUnbegun(connection, connected, token as Token));
    if (end === "first") {
      expect((yield* engine.counts()).waiting).toBeGreaterThan(0);
      yield* executor.unschedule("s");
    }
    if (end === "put anew") yield* executor.schedule("s", { everyMs: 3_600_000 }, nap, 2);
    const left = yield* engine.counts();
    expect(left).toEqual({ waiting: 0, delayed: end === "put anew" ? 1 : 0, running: 0 });
    yield* until(connection.close());
  }),
);

test("what others put into the queue, the channels and the records ends no worker and no submitter", () =>
  really(function* () {
    const { executor, engine, queue } = yield* open();
    const server = yield* use(startJobServer(engine, [nap]));
    expect(yield* executor.call(nap, 1)).toBe("slept 1");
    const foreign = new Queue(queue, { connection: { url: redis.url } as never });
    let isDone = false;
    const poison = async (): Promise<void> => {
      const payload = { address: "nap@1", payload: "{", priority: 0, replyTo: "", ttl: 60_000 };
      await foreign.add("strange", { hello: 1 }, { attempts: 5 });
      await foreign.add("strange", null, { jobId: "j%E0%A4%A" });
      await foreign.add("broken", payload, { jobId: "jbroken", removeOnComplete: true });
      for (const text of ["{", "null", "1", '{"id":1}', '{"id":"x","record":5}', '{"id":"x","tidings":null}']) {
        const [channels] = [(await client.pubsub("CHANNELS", `fibril:${queue}:*`)) as string[]];
        for (const channel of channels) await client.publish(channel, text);
      }
      await client.set(`fibril:${queue}:record:damaged`, "{", "PX", 60_000);
      isDone = true;
    };
    void poison();
    yield* eventually(() => isDone);
    expect(yield* thrownIn(() => executor.attach("damaged", nap))).toMatchObject({ code: "JOB_UNREADABLE" });
    expect(yield* thrownIn(() => executor.attach("broken", nap))).toMatchObject({ code: "JOB_UNREADABLE" });
    expect(yield* executor.call(nap, 2)).toBe("slept 2");
    while ((yield* until(foreign.getFailedCount())) < 2) yield* sleep(5);
    yield* sleep(100);
    expect(server.statistics()).toMatchObject({ unreadable: 1, claimed: 3 });
    expect(yield* until(foreign.getFailedCount())).toBe(2); // kept for whoever has put them there
    void foreign.close();
  }));

test("the clocks of submitter and worker may differ: a deadline is how long, not when", () =>
  really(function* () {
    const { executor, engine } = yield* open();
    const skewed = vi.spyOn(Date, "now").mockImplementation(() => new Date().getTime() - 3_600_000); // here it is an hour earlier
    const handle = yield* executor.submit({ deadlineMs: 60_000 }, nap, 1);
    let counts = yield* engine.counts();
    while (counts.waiting === 0) counts = yield* engine.counts();
    skewed.mockRestore();
    yield* use(startJobServer(engine, [nap]));
    expect(yield* handle).toBe("slept 1");
  }));

test("intervals count from 1970, also when this machine is ahead of Redis", () =>
  really(function* () {
    const { executor } = yield* open();
    const skewed = vi.spyOn(Date, "now").mockImplementation(() => new Date().getTime() + 1_234);
    const made = yield* executor.schedule("s", { everyMs: 1_000 }, nap, 1);
    skewed.mockRestore();
    expect(made.nextAt % 1_000).toBe(0);
  }));

test("two prefixes are two queues", () =>
  really(function* () {
    const one = yield* open({}, { queue: "same", prefix: "one" });
    const two = yield* open({}, { queue: "same", prefix: "two" });
    yield* use(startJobServer(two.engine, [nap]));
    const handle = yield* one.executor.submit({ idempotencyKey: "k" }, nap, 1);
    expect(yield* two.executor.call({ idempotencyKey: "k" }, nap, 2)).toBe("slept 2");
    expect(handle.isSettled).toBe(false);
    yield* handle.cancel();
    let keys: string[] = [];
    void client.keys("*same*").then((found) => (keys = found));
    yield* eventually(() => keys.length > 0);
    expect(keys.filter((key) => !/^(one|two):same:/.test(key))).toEqual([]);
  }));

test("results above the limit, delayed jobs that are cancelled, outcomes that were kept long enough", () =>
  really(function* () {
    const { executor, engine } = yield* open({ payloadLimit: 1_000 });
    yield* use(startJobServer(engine, [nap]));
    expect(yield* thrownIn(() => executor.call(nap, 1, 5_000))).toMatchObject({ code: "JOB_PAYLOAD_TOO_LARGE" });
    const delayed = yield* executor.submit({ delayMs: 60_000, idempotencyKey: "delayed" }, nap, 1);
    while ((yield* engine.counts()).delayed === 0) yield* sleep(2);
    expect(yield* delayed.cancel("no need")).toBe(true);
    expect(yield* engine.counts()).toEqual({ waiting: 0, delayed: 0, running: 0 });
    expect(yield* executor.call({ idempotencyKey: "long" }, nap, 1)).toBe("slept 1");
    expect(yield* executor.attach("long", nap)).toBe("slept 1");
    expect(yield* executor.call({ idempotencyKey: "short", resultTtlMs: 1_000 }, nap, 1)).toBe("slept 1");
    yield* sleep(1_100);
    expect(yield* thrownIn(() => executor.attach("short", nap))).toMatchObject({ code: "JOB_NOT_KEPT" });
  }));

test("delays and retries are on time: a worker that blocks is woken", () =>
  really(function* () {
    const { executor, engine } = yield* open();
    yield* use(startJobServer(engine, [nap], { concurrency: 1 }));
    yield* executor.call(nap, 1);
    yield* sleep(100); // it blocks by now
    const startedAt = EventLoop.current().now();
    yield* executor.call({ delayMs: 100 }, nap, 1);
    expect(EventLoop.current().now() - startedAt).toBeLessThan(4_000); // who is not woken looks after 5 s
  }));

test("a worker that stood still for longer than its lease does not overwrite the outcome", () =>
  really(function* () {
    const folder = mkdtempSync(join(tmpdir(), "fibril-stopped-"));
    const log = join(folder, "runs");
    const worker = fileURLToPath(new URL("programs/chaos-worker.ts", import.meta.url));
    const { executor, engine, queue } = yield* open({}, { leaseMs: 20_000 }); // that of the worker is short
    const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", worker];
    const child = spawnProcess(process.execPath, [...flags, redis.url, queue, "1", "600"], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    try {
      const handle = yield* executor.submit({ idempotencyKey: "contested" }, double, log, 21, UNTIL_RUN_AGAIN);
      yield* eventually(() => runnersOf(log, 21).length > 0); // not only made: written
      child.kill("SIGSTOP");
      const rescue = spawn(function* () {
        yield* use(startJobServer(engine, [double], { name: "rescue" }));
        expect(yield* handle).toBe(42);
      });
      yield* rescue;
      const before = yield* engine.states(["contested"]);
      expect(before).toMatchObject([{ state: "settled", record: { worker: "rescue", delivery: 2 } }]);
      child.kill("SIGCONT"); // it finds the job run again, so it tries to say what came of it before it takes another one
      expect(yield* executor.call(double, log, 22, 1)).toBe(44);
      expect(yield* engine.states(["contested"])).toEqual(before);
      expect(runnersOf(log, 21)).toHaveLength(2);
      expect(runnersOf(log, 22)[0]).toBe(child.pid);
    } finally {
      child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    }
  }));
