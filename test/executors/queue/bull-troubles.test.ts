/** A Redis in trouble: full, read-only, slow, behind a wrong password, cut off. Nothing is lost, nothing runs twice, and it goes on by itself. */
import { isDeepStrictEqual } from "node:util";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { forEach, sleep, spawn, timeout, until, use } from "fibril";
import type { Coroutine } from "fibril";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { job, progress, serveJobs, startJobServer } from "../../../src/executors/index.ts";
import type { BullEngine, Job, SubmitterListener } from "../../../src/executors/index.ts";
import { eventually, really, thrownIn } from "../threads.ts";
import { CutLine } from "./cut-line.ts";
import { opener } from "./opened.ts";
import { RedisServer } from "./redis-server.ts";

const redis = await RedisServer.start();
const client = new Redis(redis.url);
afterAll(async () => {
  client.disconnect();
  await redis.stop();
});

let runs: number[] = [];
let endsNow = false;
beforeEach(() => {
  runs = [];
  endsNow = false;
});
afterEach(async () => {
  await client.replicaof("NO", "ONE");
  await client.config("SET", "maxmemory", "0");
});

/** Ends when the test says so. */
const held: Job<[n: number], number> = job(import.meta.url, function* held(n: number) {
  runs.push(n);
  yield* eventually(() => endsNow);
  return n * 2;
});
const quick: Job<[n: number], number> = job(import.meta.url, function* quick(n: number) {
  runs.push(n);
  yield* sleep(n % 5);
  return n * 2;
});

const reporting: Job<[], string> = job(import.meta.url, function* reporting() {
  for (let i = 1; i <= 3; i++) {
    progress(i);
    yield* sleep(1);
  }
  return "reported";
});

const open = opener(redis.url, "trouble");
const LEASE = { leaseMs: 20_000 } as const; // none is lost, so what runs twice does so for another reason

/** A job runs; then Redis takes no writes for a while, and the job ends meanwhile. */
function* endsWhile(begin: () => Promise<unknown>, end: () => Promise<unknown>): Coroutine<void> {
  const { executor, engine } = yield* open({ sweepMs: 50 }, LEASE);
  const server = yield* use(startJobServer(engine, [held, quick]));
  const running = yield* executor.submit(held, 1);
  yield* eventually(() => runs.length === 1);
  yield* until(begin());
  endsNow = true;
  const waiting = yield* executor.submit(quick, 2);
  yield* sleep(600);
  expect([running.isSettled, waiting.isSettled]).toEqual([false, false]);
  yield* until(end());
  expect([yield* running, yield* waiting]).toEqual([2, 4]);
  expect(runs).toEqual([1, 2]);
  yield* eventually(() => server.statistics().succeeded === 2); // outcomes are pushed before the worker has heard that they were recorded
  expect(server.statistics().leasesLost).toBe(0);
  expect(executor.queueStatistics()).toMatchObject({ resent: 0, redelivered: 0 });
  yield* isEmptySoon(engine);
}

/** Long before a lease has ended. */
function* isEmptySoon(engine: BullEngine): Coroutine<void> {
  const empty = { waiting: 0, delayed: 0, running: 0 };
  yield* timeout(LEASE.leaseMs / 2, function* () {
    for (let counts = yield* engine.counts(); !isDeepStrictEqual(counts, empty); counts = yield* engine.counts()) {
      yield* sleep(5);
    }
  });
}

test("Redis is full when a job ends: its outcome is recorded when there is room", () =>
  really(() =>
    endsWhile(
      () => client.config("SET", "maxmemory", "1"),
      () => client.config("SET", "maxmemory", "0"),
    ),
  ));

test("Redis is read-only when a job ends: its outcome is recorded when it is not", () =>
  really(() =>
    endsWhile(
      () => client.replicaof("127.0.0.1", "1"),
      () => client.replicaof("NO", "ONE"),
    ),
  ));

test("Redis is slow: it is late, and that is all", () =>
  really(function* () {
    const { executor, engine } = yield* open({ sweepMs: 50 }, LEASE);
    yield* use(startJobServer(engine, [quick], { concurrency: 8 }));
    const handles = [];
    for (let n = 0; n < 100; n++) {
      if (n % 25 === 0) void client.call("CLIENT", "PAUSE", "120", "ALL");
      handles.push(yield* executor.submit(quick, n));
      yield* sleep(2);
    }
    for (const [n, handle] of handles.entries()) expect(yield* handle).toBe(2 * n);
    expect(runs.toSorted((a, b) => a - b)).toEqual(handles.map((_, n) => n));
  }));

test("connections are cut again and again: each job has its outcome, and one that ran twice was delivered twice", () =>
  really(function* () {
    const { executor, engine } = yield* open({ sweepMs: 50, maxPending: 50 }, { leaseMs: 1_500 });
    yield* use(startJobServer(engine, [quick], { concurrency: 8 }));
    const handles = [];
    for (let n = 0; n < 150; n++) {
      if (n % 40 === 20) {
        void client.call("CLIENT", "KILL", "TYPE", n % 80 === 20 ? "normal" : "pubsub", "SKIPME", "yes");
      }
      handles.push(yield* executor.submit({ idempotencyKey: `cut-${n}` }, quick, n));
    }
    for (const [n, handle] of handles.entries()) expect(yield* handle).toBe(2 * n);
    const standings = yield* engine.states(handles.map((_, n) => `cut-${n}`));
    for (const [n, standing] of standings.entries()) {
      const times = runs.filter((each) => each === n).length;
      if (standing.state !== "settled") throw new Error(`job ${n} is ${standing.state}`);
      expect(times).toBeGreaterThan(0);
      expect(times).toBeLessThanOrEqual(standing.record.delivery);
    }
  }));

test("Redis has forgotten its scripts when a job ends: the job is recorded, and out of the queue", () =>
  really(function* () {
    const { executor, engine } = yield* open({}, LEASE);
    yield* use(startJobServer(engine, [held, quick]));
    expect(yield* executor.call(quick, 1)).toBe(2); // now the connection takes them for known
    const running = yield* executor.submit(held, 2);
    yield* eventually(() => runs.length === 2);
    yield* until(client.script("FLUSH"));
    // Those of BullMQ come back with anybody who uses it, ours do not.
    const theirs = { connection: { url: redis.url } as never };
    const [other, worker] = [new Queue("other", theirs), new Worker("other", async () => 1, theirs)];
    const completed = new Promise((resolve) => worker.once("completed", resolve));
    yield* until(other.add("any", {}));
    yield* until(completed);
    yield* until(Promise.all([worker.close(), other.close()]));
    endsNow = true;
    expect(yield* running).toBe(4);
    yield* isEmptySoon(engine);
  }));

test("a claim that is made twice, since its answer was lost: what is known of the first job is not taken for the second one's", () =>
  really(function* () {
    const { executor, engine, queue } = yield* open({}, LEASE);
    const { nextJobId } = yield* executor.schedule("due", { everyMs: 100 }, quick, 1);
    yield* sleep(150);
    const first = { id: "first", address: "quick@1", payload: "77777", replyTo: "nobody" };
    yield* engine.enqueue([{ ...first, priority: 9, resultTtlMs: 60_000, delayMs: 0 }]);
    yield* until(client.set(`fibril:${queue}:cancel:first`, "of the first one"));
    const line = yield* use(yield* until(CutLine.open(redis.url, "77777")));
    const behind = yield* open({}, { ...LEASE, queue, url: line.url });
    const lease = yield* behind.engine.claim("worker");
    expect(line.isCut).toBe(true);
    expect(lease.order.id).toBe(nextJobId);
    expect(lease.cancel).toBe(null);
  }));

const NOBODY: SubmitterListener = { settled() {}, told() {}, connected() {} };

/** Ends the connections that listen; they are there again a quarter of a second later. */
function* cutSubscribers(): Coroutine<void> {
  yield* until(client.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"));
}

test("an engine that is closed while it subscribes again leaves no promise that is rejected unheard", () =>
  really(function* () {
    const unheard = yield* use(rejectionsUnheard());
    const line = yield* use(yield* until(CutLine.open(redis.url, "no such answer")));
    const { engine } = yield* open({}, { url: line.url });
    yield* engine.subscribe("me", NOBODY);
    yield* engine.watchCancels(() => {});
    line.holds = "subscribe";
    yield* cutSubscribers();
    yield* eventually(() => line.isHolding);
    yield* until(engine.close());
    yield* eventually(() => line.connections === 0);
    yield* sleep(20); // what is unheard is told of a turn later
    expect(unheard.reasons).toEqual([]);
  }));

test("Redis refuses when an engine subscribes again: it goes on without, and hears again when it may", () =>
  really(function* () {
    const unheard = yield* use(rejectionsUnheard());
    const { engine } = yield* open();
    const heard: boolean[] = [];
    yield* engine.subscribe("me", { ...NOBODY, connected: (isConnected) => heard.push(isConnected) });
    const refusals = (): Promise<unknown[]> => client.call("ACL", "LOG") as Promise<unknown[]>;
    try {
      yield* until(client.call("ACL", "SETUSER", "default", "resetchannels"));
      yield* cutSubscribers();
      while ((yield* until(refusals())).length === 0) yield* sleep(1);
      yield* engine.counts();
      yield* sleep(1);
      expect(heard.at(-1)).toBe(false);
    } finally {
      yield* until(client.call("ACL", "SETUSER", "default", "allchannels"));
    }
    yield* until(client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")); // it listens to nothing
    yield* eventually(() => heard.at(-1) === true);
    expect(unheard.reasons).toEqual([]);
  }));

test("an outcome that is swept does not overtake the progress that was told before it", () =>
  really(function* () {
    const line = yield* use(yield* until(CutLine.open(redis.url, "no such answer")));
    const { executor, engine } = yield* open({ sweepMs: 10 }, { url: line.url });
    const { engine: theirs } = yield* open({}, { queue: engine.name });
    yield* use(startJobServer(theirs, [reporting, quick]));
    expect(yield* executor.call(quick, 1)).toBe(2); // now it listens
    line.holds = '"progress"';
    const handle = yield* executor.submit(reporting);
    yield* eventually(() => line.isHolding);
    const isRecorded = function* (): Coroutine<boolean> {
      return (yield* theirs.states([executor.idOf(handle)]))[0]!.state === "settled";
    };
    while (!(yield* isRecorded())) yield* sleep(1);
    yield* sleep(30); // it sweeps meanwhile
    expect(handle.isSettled).toBe(false);
    line.release();
    expect(yield* handle).toBe("reported");
    const told: unknown[] = [];
    yield* forEach(handle.progress, function* (value) {
      told.push(value);
    });
    expect(told).toEqual([1, 2, 3]);
    // One that is never released holds nothing up for long.
    line.holds = '"progress"';
    expect(yield* executor.call(reporting)).toBe("reported");
    expect(executor.queueStatistics().outcomesSwept).toBe(1);
  }));

test("a connection for pushes that has died in silence holds up one answer, and is asked once", () =>
  really(function* () {
    const line = yield* use(yield* until(CutLine.open(redis.url, "no such answer")));
    const { executor, engine } = yield* open({ sweepMs: 60_000 }, { url: line.url }); // only the test asks
    const { engine: theirs } = yield* open({}, { queue: engine.name });
    yield* use(startJobServer(theirs, [quick]));
    const handle = yield* executor.submit(quick, 1);
    expect(yield* handle).toBe(2);
    const isSettled = function* (): Coroutine<boolean> {
      return (yield* engine.states([executor.idOf(handle)]))[0]!.state === "settled";
    };
    const before = yield* until(pings());
    line.holds = "PONG";
    for (let i = 0; i < 3; i++) expect(yield* isSettled()).toBe(true);
    expect((yield* until(pings())) - before).toBe(1);
    line.release();
    while ((yield* until(pings())) - before < 2) expect(yield* isSettled()).toBe(true); // it is asked again
  }));

async function pings(): Promise<number> {
  return Number(/cmdstat_ping:calls=(\d+)/.exec(await client.info("commandstats"))?.[1] ?? 0);
}

/** What would end the process if the test runner did not listen. */
function rejectionsUnheard(): Disposable & { readonly reasons: unknown[] } {
  const reasons: unknown[] = [];
  const note = (reason: unknown): void => void reasons.push(reason);
  process.on("unhandledRejection", note);
  return { reasons, [Symbol.dispose]: () => void process.off("unhandledRejection", note) };
}

test("a wrong password is an error that says so, for who submits and who serves; not the password itself", () =>
  really(function* () {
    const locked = yield* until(RedisServer.start());
    const admin = new Redis(locked.url);
    try {
      yield* until(admin.config("SET", "requirepass", "right"));
      for (const url of [locked.url, locked.url.replace("//", "//:wrong@")]) {
        const { executor, engine } = yield* open({}, { url });
        const refused = { code: "EXECUTOR_ENGINE_REFUSED", message: expect.not.stringContaining("wrong@") as string };
        expect(yield* thrownIn(() => executor.call(quick, 1))).toMatchObject(refused);
        expect(yield* thrownIn(() => engine.counts())).toMatchObject(refused);
        expect(yield* thrownIn(() => serveJobs(engine, [quick]))).toMatchObject(refused);
      }
      const { executor, engine } = yield* open({}, { url: locked.url.replace("//", "//:right@") });
      yield* use(startJobServer(engine, [quick]));
      expect(yield* executor.call(quick, 1)).toBe(2);
      // Changed while it works: a trouble like others.
      yield* until(admin.config("SET", "requirepass", "other"));
      yield* until(admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"));
      const handle = yield* executor.submit(quick, 2);
      yield* sleep(300);
      expect(handle.isSettled).toBe(false);
      yield* until(admin.config("SET", "requirepass", "right"));
      expect(yield* handle).toBe(4);
    } finally {
      admin.disconnect();
      yield* until(locked.stop());
    }
  }));

test("an engine is closed under an executor: what waits for outcomes fails and says so, also what was told to end", () =>
  really(function* () {
    const { executor, engine } = yield* open();
    const closed = { code: "EXECUTOR_ENGINE_CLOSED" };
    const [sent, told] = [yield* executor.submit(quick, 1), yield* executor.submit(quick, 2)];
    while ((yield* engine.counts()).waiting < 2) yield* sleep(1);
    yield* until(engine.close());
    const ending = spawn(() => told.cancel());
    expect(yield* thrownIn(() => sent)).toMatchObject(closed);
    yield* ending;
    expect(told.isSettled).toBe(true);
    expect(yield* thrownIn(() => executor.attach("known", quick))).toMatchObject(closed);
  }));

test("a wait for Redis says what was asked", () =>
  really(function* () {
    const { engine } = yield* open({}, { url: "redis://127.0.0.1:1", queue: "nowhere" });
    const counting = spawn(() => engine.counts());
    yield* eventually(() => counting.waitingFor?.startsWith("count") === true); // the packages are loaded first
    expect(counting.waitingFor).toBe("count jobs (queue nowhere)");
    yield* counting.cancel();
  }));

test("an executor is closed though Redis never answers", () =>
  really(function* () {
    const { executor } = yield* open({}, { url: "redis://127.0.0.1:1", queue: "nowhere" });
    const handle = yield* executor.submit(quick, 1);
    yield* sleep(20);
    expect(yield* handle.cancel()).toBe(true);
    yield* until(executor[Symbol.asyncDispose]());
    expect(runs).toEqual([]);
  }));
