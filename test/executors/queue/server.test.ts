/** Servers of jobs: how they are stopped, and what no job in the queue can do to them. On virtual time. */
import { EventLoop, run, sleep, spawn, use } from "fibril";
import type { Coroutine } from "fibril";
import { beforeEach, describe, expect, test } from "vitest";
import {
  BullEngine,
  InlineExecutor,
  job,
  MemoryEngine,
  progress,
  QueueExecutor,
  startJobServer,
} from "../../../src/executors/index.ts";
import type { Job, JobCodec, JobHandle, ServerView } from "../../../src/executors/index.ts";
import { now } from "../../core/simulated.ts";
import { eventually, thrownIn } from "../threads.ts";
import { queued } from "./simulated-queue.ts";

const { url } = import.meta;
let runs: string[] = [];
beforeEach(() => {
  runs = [];
});

const nap: Job<[ms: number], string> = job(url, function* nap(ms: number) {
  runs.push(`begun ${ms}`);
  try {
    yield* sleep(ms);
  } finally {
    runs.push(`ended ${ms}`);
  }
  return `slept ${ms}`;
});
const chatty: Job<[count: number, size: number], number> = job(url, function* chatty(count: number, size: number) {
  for (let i = 0; i < count; i++) progress(size === 0 ? i : "x".repeat(size));
  yield* sleep(10);
  return count;
});

describe("stopping", () => {
  test("stop claims nothing more, lets jobs end, and gives the rest back; serveJobs returns then", () =>
    queued(function* ({ executor, serve }) {
      const worker = serve([nap], { concurrency: 2, drainMs: 60_000 });
      const short = yield* executor.submit(nap, 500);
      const long = yield* executor.submit(nap, 5_000);
      yield* sleep(100);
      const stopped = worker.view.stop({ graceMs: 1_000 }); // begins with the call
      const late = yield* executor.submit(nap, 1);
      yield* sleep(600);
      expect([short.isSettled, late.isSettled, worker.task.isSettled]).toEqual([true, false, false]);
      yield* stopped;
      expect(now()).toBe(1_100);
      yield* worker.task; // not cancelled: it has returned
      expect(worker.view.statistics()).toMatchObject({ succeeded: 1, givenBack: 1, claimed: 2, running: 0 });
      yield* worker.view.stop();
      serve([nap]);
      expect([yield* long, yield* late]).toEqual(["slept 5000", "slept 1"]);
    }));

  test("a second stop may shorten the time, and does not lengthen it", () =>
    queued(function* ({ executor, serve }) {
      const worker = serve([nap], { drainMs: 60_000 });
      const handle = yield* executor.submit(nap, 3_600_000);
      yield* sleep(100);
      worker.view.stop();
      yield* sleep(100);
      worker.view.stop({ graceMs: 300 });
      yield* worker.view.stop({ graceMs: 500_000 });
      expect(now()).toBe(500);
      yield* handle.cancel();
      expect(yield* thrownIn(() => worker.view.stop({ graceMs: -1 }))).toMatchObject({ code: "USAGE" });
    }));

  test("one that is told to stop before it has started claims nothing", () =>
    queued(function* ({ executor, engine, serve }) {
      const handle = yield* executor.submit(nap, 1);
      yield* sleep(1);
      const server = startJobServer(engine, [nap]);
      yield* server.stop();
      expect([handle.isSettled, server.statistics().claimed]).toEqual([false, 0]);
      serve([nap]);
      expect(yield* handle).toBe("slept 1");
    }));

  test("a server in the background ends with what uses it, in good order", () =>
    queued(function* ({ executor, engine }) {
      let handle: JobHandle<string> | null = null;
      let server: ServerView | null = null;
      const user = spawn(function* user(): Coroutine<void> {
        server = yield* use(startJobServer(engine, [nap], { drainMs: 1_000 }));
        handle = yield* executor.submit({ attempts: 1 }, nap, 700);
        yield* sleep(100);
        runs.push("left");
        yield* handle;
      });
      yield* user;
      expect(runs).toEqual(["begun 700", "left", "ended 700"]);
      expect(server!.statistics()).toMatchObject({ succeeded: 1, running: 0 });
      expect(server!.name).toMatch(/^worker-/);
      const rest = yield* executor.submit(nap, 5);
      yield* sleep(100);
      expect(rest.isSettled).toBe(false);
      const next = startJobServer(engine, [nap]);
      expect(yield* rest).toBe("slept 5");
      yield* next.stop();
    }));

  test("one that cannot reach its engine is stopped all the same", () =>
    run(function* () {
      const engine = yield* use(new BullEngine({ url: "redis://127.0.0.1:1" }));
      const server = startJobServer(engine, [nap]);
      yield* sleep(10);
      yield* server.stop();
      expect(server.statistics().claimed).toBe(0);
    }));

  test("what the engine cannot be told of for as long as a lease holds does not hold up the end", () =>
    queued(
      function* ({ executor, engine, serve }) {
        const worker = serve([nap], { drainMs: 0 });
        const handle = yield* executor.submit(nap, 60_000);
        yield* sleep(100);
        engine.disconnect();
        yield* worker.view.stop();
        expect(now()).toBeLessThanOrEqual(100 + 2 * 1_000);
        engine.reconnect();
        serve([nap]);
        expect(yield* handle).toBe("slept 60000");
      },
      { engine: { leaseMs: 1_000 } },
    ));

  test("what it fails with is thrown by whoever stops it", async () => {
    const failing = async (stop: boolean): Promise<void> => {
      await run(
        function* () {
          const engine = new BullEngine({ url: "redis://127.0.0.1:1" });
          yield* use(engine);
          const server = startJobServer(engine, [nap]);
          yield* sleep(10);
          void engine.close();
          yield* eventually(
            () =>
              !EventLoop.current()
                .tasks()
                .some(({ name }) => name === `server ${server.name}`),
          );
          if (stop) yield* server.stop();
          else yield* use(server);
        },
        { onReport: () => {} },
      );
    };
    await expect(failing(true)).rejects.toMatchObject({ code: "EXECUTOR_ENGINE_CLOSED" });
    await expect(failing(false)).rejects.toMatchObject({ code: "EXECUTOR_ENGINE_CLOSED" });
  });

  test("when the executor it runs jobs on is shut down, it gives back what it has and fails", () =>
    queued(
      function* ({ executor, engine, serve }) {
        const inner = new InlineExecutor({ name: "inner" });
        const server = startJobServer(engine, [nap], { runOn: inner });
        expect(yield* executor.call(nap, 1)).toBe("slept 1");
        yield* inner.shutdown();
        const handle = yield* executor.submit(nap, 2);
        yield* sleep(100);
        expect(handle.isSettled).toBe(false);
        expect(yield* thrownIn(() => server.stop())).toMatchObject({ code: "EXECUTOR_SHUT_DOWN" });
        expect(server.statistics()).toMatchObject({ failed: 0, succeeded: 1 });
        serve([nap]);
        expect(yield* handle).toBe("slept 2");
      },
      { onReport: () => {} },
    )); // that nobody looked at its failure for a while
});

describe("what lies in the queue", () => {
  const good = { form: 1, number: 7, name: "nap", shape: "call", codec: "json", data: "[[1],null]" };
  const rest = { remainingMs: null, attempts: 3, backoffMs: 10, payloadLimit: 1_000 };
  const bad: readonly [what: string, payload: string][] = [
    ["payload", "{"],
    ["payload", "null"],
    ["payload", "[]"],
    ["payload", JSON.stringify({ ...good, ...rest, form: 2 })],
    ["payload", JSON.stringify({ ...good, form: 1 })],
    ["payload", JSON.stringify({ ...good, ...rest, shape: "stream" })],
    ["payload", JSON.stringify({ ...good, ...rest, attempts: "many" })],
    ["payload", JSON.stringify({ ...good, ...rest, data: 1 })],
    ["arguments", JSON.stringify({ ...good, ...rest, data: "{" })],
    ["arguments", JSON.stringify({ ...good, ...rest, data: "null" })],
    ["arguments", JSON.stringify({ ...good, ...rest, data: '["x",null]' })],
    ["arguments", JSON.stringify({ ...good, ...rest, codec: "v8", data: "AAAA" })],
  ];

  test("what cannot be read fails at once, by its name, and the worker goes on", () =>
    queued(
      function* ({ executor, engine, serve }) {
        const worker = serve([nap]);
        for (const [number, [what, payload]] of bad.entries()) {
          const id = `bad ${number}`;
          const order = { id, address: "nap@1", payload, priority: 0, delayMs: 0, replyTo: "", resultTtlMs: 60_000 };
          yield* engine.enqueue([order]);
          const error = yield* thrownIn(() => executor.attach(id, nap));
          expect([payload, error]).toMatchObject([payload, { code: "JOB_UNREADABLE", what: `the ${what}` }]);
        }
        expect(worker.view.statistics()).toMatchObject({ unreadable: bad.length, failed: bad.length, retried: 0 });
        expect(engine.statistics()).toMatchObject({ delivered: bad.length });
        expect(yield* executor.call(nap, 3)).toBe("slept 3");
      },
      { executor: { sweepMs: 10 } },
    ));

  test("a codec that no worker has is left to others, and named in the end", () => {
    const strange: JobCodec = {
      name: "strange",
      encode: (value) => JSON.stringify([value]),
      decode: (text) => JSON.parse(text)[0],
    };
    return queued(
      function* ({ executor, serve }) {
        const first = serve([nap], { refusals: 2, refuseMs: 10 });
        expect(yield* thrownIn(() => executor.call(nap, 1))).toMatchObject({
          code: "JOB_UNREADABLE",
          message: expect.stringContaining('codec "strange"') as string,
        });
        yield* first.view.stop();
        serve([nap], { codecs: [strange] });
        expect(yield* executor.call(nap, 1)).toBe("slept 1");
      },
      { executor: { codec: strange } },
    );
  });

  test("an outcome that cannot be read is a failure of that job alone, told of or swept", async () => {
    for (const dropOutcome of [0, 1]) {
      await queued(
        function* ({ executor, engine }) {
          for (const [status, body] of [
            ["succeeded", "{"],
            ["failed", "nonsense"],
          ] as const) {
            const handle = yield* executor.submit(nap, 1);
            const lease = yield* engine.claim("w");
            yield* engine.finish(lease, { status, delivery: 1, worker: "w", runMs: 0, body });
            expect(yield* thrownIn(() => handle)).toMatchObject({ code: "JOB_UNREADABLE", what: "the outcome" });
          }
        },
        { engine: { faults: { dropOutcome } }, executor: { sweepMs: 10 } },
      );
    }
  });

  test("tidings that cannot be read are left out", () =>
    queued(function* ({ executor, engine }) {
      const handle = yield* executor.submit(nap, 1);
      const lease = yield* engine.claim("w");
      engine.tell(lease, { kind: "progress", body: "{" });
      engine.tell(lease, { kind: "progress", body: "1" });
      expect((yield* handle.progress.next()).value).toBe(1);
      yield* engine.finish(lease, { status: "succeeded", delivery: 1, worker: "w", runMs: 0, body: "2" });
      yield* handle;
    }));

  test("progress is bounded: in number, and in size", () =>
    queued(
      function* ({ executor, engine, serve }) {
        serve([chatty]);
        let told = 0;
        const unsubscribe = yield* engine.subscribe("listener", { settled() {}, told: () => told++, connected() {} });
        const order = {
          id: "x",
          address: "chatty@1",
          priority: 0,
          delayMs: 0,
          replyTo: "listener",
          resultTtlMs: 1_000,
        };
        const data = JSON.stringify([[5_000, 0], null]);
        const payload = JSON.stringify({ ...good, ...rest, name: "chatty", data });
        yield* engine.enqueue([{ ...order, payload }]);
        yield* sleep(100);
        expect(told).toBeGreaterThan(900);
        expect(told).toBeLessThan(1_100);
        unsubscribe();
        const handle = yield* executor.submit(chatty, 1, 2_000);
        expect((yield* handle.progress.next()).value).toMatch(/more than the limit of 1000/);
        expect(yield* handle).toBe(1);
      },
      { executor: { payloadLimit: 1_000 } },
    ));

  test("no limit of the payload is no limit for the result", () =>
    queued(
      function* ({ executor, serve }) {
        const long: Job<[], string> = job(url, () => "x".repeat(500_000), { name: "long" });
        serve([long]);
        expect(yield* executor.call(long)).toHaveLength(500_000);
      },
      { executor: { payloadLimit: Infinity } },
    ));
});

test("100,000 jobs by map: no more of them are anywhere than the window allows", () =>
  queued(
    function* ({ executor, engine, serve }) {
      const add: Job<[n: number], number> = job(url, (n: number) => n + 1, { name: "add" });
      serve([add], { concurrency: 16 });
      let [made, sum, most] = [0, 0, 0];
      const inputs = {
        *[Symbol.iterator]() {
          for (; made < TOTAL; made++) yield made;
        },
      };
      const results = executor.map(add, inputs, { chunkSize: 10, ordered: false });
      for (let step = yield* results.next(); step.done !== true; step = yield* results.next()) {
        sum += step.value;
        most = Math.max(most, executor.queueStatistics().pending);
      }
      expect(sum).toBe((TOTAL * (TOTAL + 1)) / 2);
      expect(most).toBeLessThanOrEqual(64);
      expect(engine.statistics()).toMatchObject({ enqueued: TOTAL / 10, recorded: TOTAL / 10 });
    },
    { executor: { parallelism: 16, resultTtlMs: 1 } },
  ));
const TOTAL = process.env["FIBRIL_LONG"] === "1" ? 100_000 : 5_000;

test("an executor and a server may be made outside of a loop", async () => {
  const engine = new MemoryEngine({ leaseMs: 1_000 });
  const executor = new QueueExecutor(engine);
  await run(function* () {
    const server = yield* use(startJobServer(executor, [nap]));
    expect(yield* executor.call(nap, 1)).toBe("slept 1");
    yield* server.stop();
  });
  await executor[Symbol.asyncDispose]();
});
