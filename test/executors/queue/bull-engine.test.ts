import { all, EventLoop, run, sleep, spawn, until, use } from "fibril";
import type { Coroutine } from "fibril";
import { afterAll, beforeEach, expect, test } from "vitest";
import {
  BullEngine,
  currentJob,
  EngineMissingError,
  executorFromEnvironment,
  InlineExecutor,
  job,
  openExecutor,
  QueueExecutor,
  serveJobs,
  ThreadPool,
} from "../../../src/executors/index.ts";
import type { Job, JobHandle, QueueExecutorOptions, ServeOptions } from "../../../src/executors/index.ts";
import { importBull } from "../../../src/executors/queue/bull-packages.ts";
import { eventually, really, thrownIn } from "../threads.ts";
import { RedisServer } from "./redis-server.ts";

const redis = await RedisServer.start();
afterAll(() => redis.stop());

const { url } = import.meta;
let order: string[] = [];
let failuresLeft = 0;
let isHeld = true;
beforeEach(() => {
  order = [];
  isHeld = true;
});

const nap: Job<[ms: number], string> = job(url, function* nap(ms: number) {
  order.push(currentJob()!.idempotencyKey);
  yield* sleep(ms);
  return `slept ${ms}`;
});
const held: Job<[], string> = job(url, function* held() {
  yield* eventually(() => !isHeld);
  return "let go";
});
const flaky: Job<[], number> = job(url, function flaky() {
  if (failuresLeft-- > 0) throw new RangeError("not yet");
  return failuresLeft;
});
const unserved: Job<[], void> = job(url, function unserved() {});

let queues = 0;
interface Opened {
  readonly engine: BullEngine;
  readonly executor: QueueExecutor;
  readonly queue: string;
}

/** Its lease is longer than a busy machine stands still: who wants one to end says so. */
function* open(options: QueueExecutorOptions = {}, leaseMs = 30_000): Coroutine<Opened> {
  const queue = `bull-${++queues}`;
  const engine = yield* use(new BullEngine({ url: redis.url, queue, leaseMs, stalledCheckMs: 150, maxStalled: 1 }));
  return { engine, queue, executor: yield* use(new QueueExecutor(engine, { sweepMs: 200, ...options })) };
}

function* serving<T>(engine: BullEngine, body: () => Coroutine<T>, options: ServeOptions = {}): Coroutine<T> {
  const server = spawn(() => serveJobs(engine, [nap, held, flaky], { drainMs: 0, ...options }));
  const value = yield* body();
  yield* server.cancel();
  return value;
}

test("another process can attach, before the end and after it", () =>
  really(function* () {
    const { engine, executor, queue } = yield* open();
    const id = executor.idOf(yield* executor.submit({ idempotencyKey: "order:7 ü" }, nap, 50));
    expect(id).toBe("order:7 ü");
    const other = yield* use(new BullEngine({ url: redis.url, queue }));
    const later = yield* use(new QueueExecutor(other, { sweepMs: 20 }));
    while ((yield* engine.counts()).waiting === 0) yield* sleep(5); // now it is there
    const early = later.attach(id, nap);
    yield* serving(engine, function* () {
      expect(yield* early).toBe("slept 50");
      expect(yield* later.attach(id, nap)).toBe("slept 50");
      expect(yield* executor.call({ idempotencyKey: id }, nap, 70)).toBe("slept 50"); // not run again
      expect(yield* thrownIn(() => later.attach("nobody", nap))).toMatchObject({ code: "JOB_NOT_KEPT" });
    });
    expect(order).toEqual([id]);
  }));

test("priorities, delays and attempts", () =>
  really(function* () {
    const { engine, executor } = yield* open();
    const handles: JobHandle<string>[] = [];
    for (const [key, priority] of [
      ["low", -1],
      ["normal", 0],
      ["high", 5],
      ["normal 2", 0],
    ] as const) {
      handles.push(yield* executor.submit({ idempotencyKey: key, priority }, nap, 1));
    }
    const delayed = yield* executor.submit({ idempotencyKey: "delayed", delayMs: 60_000, priority: 9 }, nap, 1);
    while ((yield* engine.counts()).delayed === 0) yield* sleep(5);
    expect(yield* engine.counts()).toEqual({ waiting: 4, delayed: 1, running: 0 });
    yield* serving(
      engine,
      function* () {
        yield* all(handles);
        expect(order).toEqual(["high", "normal", "normal 2", "low"]);
        expect(yield* delayed.cancel()).toBe(true);
        const startedAt = EventLoop.current().now();
        expect(yield* executor.call({ delayMs: 300 }, nap, 1)).toBe("slept 1");
        expect(EventLoop.current().now() - startedAt).toBeGreaterThan(290); // other clocks count it
        failuresLeft = 2;
        expect(yield* executor.call({ attempts: 3, backoffMs: 20 }, flaky)).toBe(-1);
        failuresLeft = 2;
        expect(yield* thrownIn(() => executor.call({ attempts: 2, backoffMs: 1 }, flaky))).toMatchObject({
          className: "RangeError",
        });
      },
      { concurrency: 1 },
    );
    expect(yield* engine.counts()).toEqual({ waiting: 0, delayed: 0, running: 0 });
  }));

test("what no worker knows fails, what runs is given back at the end, what loses its workers is given up", () =>
  really(function* () {
    const { engine, executor, queue } = yield* open();
    yield* serving(
      engine,
      function* () {
        expect(yield* thrownIn(() => executor.call(unserved))).toMatchObject({ code: "JOB_UNKNOWN", refusals: 3 });
      },
      { refusals: 2, refuseMs: 10 },
    );
    const handle = yield* executor.submit(held);
    yield* serving(engine, function* () {
      while (handle.state !== "running") yield* sleep(5);
    });
    expect(handle.isSettled).toBe(false);
    isHeld = false;
    yield* serving(engine, function* () {
      expect(yield* handle).toBe("let go");
    });
    // A worker that claims and is never heard of again.
    const doomed = yield* executor.submit(nap, 1);
    for (let i = 0; i < 2; i++) {
      const ghost = new BullEngine({ url: redis.url, queue, leaseMs: 200, stalledCheckMs: 50, maxStalled: 1 });
      yield* ghost.claim(`ghost ${i}`);
      yield* use(ghost);
    }
    yield* serving(engine, function* () {
      expect(yield* thrownIn(() => doomed)).toMatchObject({ code: "JOB_WORKER_LOST" });
    });
  }));

test("a request to cancel reaches a job that runs elsewhere, and one that waits", () =>
  really(function* () {
    const { engine, executor, queue } = yield* open();
    const waiting = yield* executor.submit(nap, 1);
    while ((yield* engine.counts()).waiting === 0) yield* sleep(5);
    expect(yield* waiting.cancel("no need")).toBe(true);
    const elsewhere = yield* use(new BullEngine({ url: redis.url, queue }));
    yield* serving(elsewhere, function* () {
      const handle = yield* executor.submit(nap, 60_000);
      while (handle.state !== "running") yield* sleep(5);
      expect(yield* handle.cancel()).toBe(true);
    });
    expect(order).toHaveLength(1);
    expect(yield* engine.counts()).toEqual({ waiting: 0, delayed: 0, running: 0 });
  }));

test("Redis goes away and comes back: submits wait, workers go on, nothing is lost", () =>
  really(function* () {
    const { engine, executor } = yield* open();
    yield* serving(engine, function* () {
      const before = yield* executor.submit(held);
      while (before.state !== "running") yield* sleep(5);
      yield* until(redis.crash());
      isHeld = false;
      const during = yield* executor.submit(nap, 2);
      yield* sleep(20);
      expect([before.isSettled, during.isSettled]).toEqual([false, false]);
      yield* until(redis.restart());
      expect([yield* before, yield* during]).toEqual(["let go", "slept 2"]);
    });
    expect(executor.statistics().succeeded).toBe(2);
  }));

test("a package that is missing is named, at the job that needs it", async () => {
  const missing = (): Promise<never> => Promise.reject(new Error("Cannot find package"));
  await expect(importBull({ bullmq: missing, ioredis: missing })).rejects.toThrow(EngineMissingError);
  await expect(importBull({ bullmq: () => import("bullmq"), ioredis: missing })).rejects.toThrow(/npm install/);
});

test("one text chooses the executor", async () => {
  expect(openExecutor("threads")).toBeInstanceOf(ThreadPool);
  expect(openExecutor("inline", { maxWorkers: 3, name: "mine" })).toBeInstanceOf(InlineExecutor);
  expect(() => openExecutor("postgres://localhost")).toThrow(/redis:\/\/host/);
  expect(executorFromEnvironment()).toBeInstanceOf(ThreadPool);
  process.env["FIBRIL_EXECUTOR"] = `${redis.url}/?queue=from-environment`;
  const engine = new BullEngine({ url: redis.url, queue: "from-environment" });
  try {
    await run(function* () {
      const executor = yield* use(executorFromEnvironment());
      expect(executor).toBeInstanceOf(QueueExecutor);
      yield* serving(engine, function* () {
        expect(yield* executor.call(nap, 1)).toBe("slept 1");
      });
    });
  } finally {
    delete process.env["FIBRIL_EXECUTOR"];
    await engine.close();
  }
});
