/** What Redis, a lost lease or a slow start can do to an engine. */
import { spawn as spawnProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { sleep, until, use } from "fibril";
import { afterAll, expect, test } from "vitest";
import { job, startJobServer } from "../../../src/executors/index.ts";
import type { Job } from "../../../src/executors/index.ts";
import { BullConnection } from "../../../src/executors/queue/bull-connection.ts";
import { really } from "../threads.ts";
import { opener } from "./opened.ts";
import { RedisServer } from "./redis-server.ts";

const redis = await RedisServer.start();
const client = new Redis(redis.url);
afterAll(async () => {
  client.disconnect();
  await redis.stop();
});

const nap: Job<[ms: number], string> = job(import.meta.url, function* nap(ms: number) {
  yield* sleep(ms);
  return `slept ${ms}`;
});

const open = opener(redis.url, "leases");

test("a late firing of cron is not lost when a program starts and puts the same again", () =>
  really(function* () {
    const { executor, engine } = yield* open();
    const made = yield* executor.schedule("s", { cron: "* * * * * *" }, nap, 1);
    yield* sleep(made.nextAt - new Date().getTime() + 50); // no worker yet
    expect(yield* executor.schedule("s", { cron: "* * * * * *" }, nap, 1)).toEqual(made);
    const other = yield* executor.schedule("s", { cron: "* * * * * *" }, nap, 2);
    expect(other.nextAt).toBeGreaterThan(made.nextAt);
    expect(yield* engine.counts()).toMatchObject({ delayed: 1 });
    yield* executor.unschedule("s");
  }));

test("a lease that was lost changes nothing of the one after it", () =>
  really(function* () {
    const { executor, engine, queue } = yield* open({}, { leaseMs: 30_000 });
    const { engine: brief } = yield* open({}, { queue, leaseMs: 200 });
    const handle = yield* executor.submit(nap, 1);
    const first = yield* brief.claim("one");
    const second = yield* engine.claim("two"); // when the first one has run out
    expect([first.delivery, second.delivery]).toEqual([1, 2]);
    expect((yield* engine.renew([first, second])).map(({ isHeld }) => isHeld)).toEqual([false, true]);
    expect((yield* engine.renew([second, first])).map(({ isHeld }) => isHeld)).toEqual([true, false]);
    yield* engine.release(first, 0, "failure");
    yield* engine.release(second, 0, "failure");
    const third = yield* engine.claim("three");
    expect(third).toMatchObject({ failures: 1, delivery: 3 });
    yield* engine.release(third, 0, "nothing");
    yield* handle.cancel();
  }));

test("Redis may forget its scripts", () =>
  really(function* () {
    const { executor, engine } = yield* open({ attempts: 2, backoffMs: 1 });
    yield* use(startJobServer(engine, [nap]));
    yield* executor.call(nap, 1);
    for (let i = 0; i < 3; i++) {
      void client.script("FLUSH");
      expect(yield* executor.call(nap, 2)).toBe("slept 2");
    }
  }));

test("an engine that never reached Redis holds up no process once it is closed", async () => {
  const source = `
    import { EventLoop, sleep } from "fibril";
    import { BullEngine } from "fibril/executors";
    const engine = new BullEngine({ url: "redis://127.0.0.1:1" });
    const loop = new EventLoop();
    const claim = loop.spawn({ name: "claim" }, () => engine.claim("w"));
    claim.then(() => {}, () => {});
    await loop.spawn({ name: "wait" }, () => sleep(100));
    await engine.close();
  `;
  const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", "--input-type=module"];
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const child = spawnProcess(process.execPath, [...flags, "-e", source], {
    stdio: "ignore",
    cwd: root,
    timeout: 50_000,
  });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  expect(code).toBe(0);
});

test("the clock of Redis is asked again when the answer is old", async () => {
  const connection = new BullConnection({ url: redis.url, queue: "clock", prefix: null });
  let [here, there] = [0, 1_000];
  const connected = { redis: { time: () => Promise.resolve([there, 0]) } } as never;
  const loop = { now: () => here } as never;
  expect(await connection.redisNow(connected, loop)).toBe(1_000_000);
  [here, there] = [5_000, 9_999];
  expect(await connection.redisNow(connected, loop)).toBe(1_005_000);
  here = 11_000;
  expect(await connection.redisNow(connected, loop)).toBe(9_999_000);
});

test("a firing that outlives its schedule leaves nothing of that behind", () =>
  really(function* () {
    const { executor, engine, queue } = yield* open({}, { leaseMs: 30_000 });
    yield* executor.schedule("s", { everyMs: 100, overlap: "skip" }, nap, 1);
    const begun = yield* engine.claim("one");
    expect(yield* until(client.exists(`fibril:${queue}:firing:s`))).toBe(1);
    yield* executor.unschedule("s");
    yield* engine.release(begun, 0, "nothing");
    const again = yield* engine.claim("two");
    expect(again.order.id).toBe(begun.order.id);
    expect(yield* until(client.exists(`fibril:${queue}:firing:s`))).toBe(0);
    yield* engine.finish(again, { status: "succeeded", delivery: 2, worker: "two", runMs: 1, body: "1" });
    expect(yield* engine.counts()).toEqual({ waiting: 0, delayed: 0, running: 0 });
  }));
