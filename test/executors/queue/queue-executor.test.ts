import { Future, moveOnAfter, sleep, spawn, TimeoutError, until, wait, yieldNow } from "fibril";
import type { Operation } from "fibril";
import { simulate } from "fibril/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  currentJob,
  ExecutorUnavailableError,
  InlineExecutor,
  job,
  JobError,
  JobNotKeptError,
  log,
  MemoryEngine,
  PayloadTooLargeError,
  progress,
  QueueExecutor,
  serveJobs,
  structuredCloneCodec,
  UnknownJobError,
  WorkerLostError,
} from "../../../src/executors/index.ts";
import type { Job, JobLease } from "../../../src/executors/index.ts";
import { now } from "../../core/simulated.ts";
import { thrownIn } from "../threads.ts";
import { queued } from "./simulated-queue.ts";

const { url } = import.meta;
let runs: string[] = [];
let failuresLeft = 0;
beforeEach(() => {
  runs = [];
  failuresLeft = 0;
});

const nap: Job<[ms: number], string> = job(url, function* nap(ms: number) {
  runs.push(currentJob()!.idempotencyKey);
  try {
    yield* sleep(ms);
  } finally {
    runs.push("ended");
  }
  return `slept ${ms}`;
});
const stubborn: Job<[ms: number], string> = job(url, function* stubborn(ms: number) {
  try {
    yield* sleep(ms);
  } catch {
    // takes no notice
  }
  return "finished anyway";
});
const flaky: Job<[], number> = job(url, function flaky() {
  runs.push("flaky");
  if (failuresLeft-- > 0) throw new RangeError("not yet");
  return runs.length;
});
const give: Job<[value: unknown], unknown> = job(url, function give(value: unknown) {
  return value;
});
const old: Job<[], string> = job(url, () => "old", { name: "versioned", version: 1 });
const young: Job<[], string> = job(url, () => "young", { name: "versioned", version: 2 });
const all = [nap, stubborn, flaky, give];

/** What is claimed takes its time to arrive. */
class SlowEngine extends MemoryEngine {
  override claim(worker: string): Operation<JobLease> {
    const claim = super.claim(worker);
    return {
      *[Symbol.iterator]() {
        const lease = yield* claim;
        yield* sleep(5);
        return lease;
      },
    };
  }
}

/** Where a job stands, it never says. */
class MuteEngine extends MemoryEngine {
  override states(): Operation<never> {
    return new Future<never>();
  }
}

describe("results", () => {
  test("an outcome whose push was lost comes by the sweep", () =>
    queued(
      function* ({ executor, serve }) {
        serve(all);
        const startedAt = now();
        expect(yield* executor.call(nap, 100)).toBe("slept 100");
        expect(now() - startedAt).toBeLessThanOrEqual(3_000);
        expect(executor.queueStatistics()).toMatchObject({ outcomesSwept: 1, outcomesPushed: 0 });
      },
      { engine: { faults: { dropPush: 1 } }, executor: { sweepMs: 3_000 } },
    ));

  test("an outcome that is told twice counts once", () =>
    queued(
      function* ({ executor, serve }) {
        serve(all);
        expect(yield* executor.call(nap, 1)).toBe("slept 1");
        yield* sleep(10);
        expect(executor.queueStatistics()).toMatchObject({ outcomesPushed: 1, duplicates: 1 });
        expect(executor.statistics()).toMatchObject({ succeeded: 1 });
      },
      { engine: { faults: { repeatPush: 1 } } },
    ));

  test("a job that is delivered twice has the outcome of the later delivery alone", () =>
    queued(
      function* ({ executor, engine, serve }) {
        serve(all);
        expect(yield* executor.call(nap, 100)).toBe("slept 100");
        yield* sleep(500);
        expect(engine.statistics()).toMatchObject({ recorded: 1 });
        expect(engine.statistics().redelivered).toBeGreaterThan(0);
        expect(engine.statistics().fenced + runs.filter((it) => it === "ended").length).toBeGreaterThan(1);
        expect(executor.queueStatistics().redelivered).toBe(1);
      },
      { engine: { faults: { duplicate: 0.9 }, leaseMs: 1_000 }, seed: 4 },
    ));

  test("attach gives the outcome to a submitter that came back, also of a job that has ended", () =>
    queued(function* ({ executor, engine, serve }) {
      serve(all);
      const handle = yield* executor.submit(nap, 1_000);
      yield* sleep(100);
      const id = executor.idOf(handle);
      const later = new QueueExecutor(engine, { name: "later" });
      const attached = later.attach(id, nap);
      expect(yield* attached).toBe("slept 1000");
      expect(yield* later.attach(id, nap)).toBe("slept 1000");
      yield* later.shutdown();
      expect(runs).toEqual([id, "ended"]);
    }));

  test("attach to what nobody knows is an error", () =>
    queued(function* ({ executor }) {
      expect(yield* thrownIn(() => executor.attach("no such job", nap))).toBeInstanceOf(JobNotKeptError);
    }));

  test("an outcome is kept for its time and no longer", () =>
    queued(function* ({ executor, serve }) {
      serve(all);
      const options = { idempotencyKey: "once", resultTtlMs: 5_000 };
      yield* executor.call(options, nap, 1);
      yield* sleep(4_000);
      expect(yield* executor.attach("once", nap)).toBe("slept 1");
      yield* sleep(2_000);
      expect(yield* thrownIn(() => executor.attach("once", nap))).toMatchObject({ code: "JOB_NOT_KEPT" });
    }));

  test("a key that was submitted before gives the outcome of then", () =>
    queued(function* ({ executor, serve }) {
      serve(all);
      const options = { idempotencyKey: "order 7" };
      const [first, second] = [yield* executor.submit(options, nap, 50), yield* executor.submit(options, nap, 70)];
      expect([yield* first, yield* second]).toEqual(["slept 50", "slept 50"]);
      expect(yield* executor.call(options, nap, 90)).toBe("slept 50");
      expect(runs).toEqual(["order 7", "ended"]);
    }));

  test("a job that the engine has lost is sent again", () =>
    queued(
      function* ({ executor, engine, serve }) {
        const handle = yield* executor.submit(nap, 5);
        yield* sleep(1);
        engine.lose(executor.idOf(handle));
        serve(all);
        expect(yield* handle).toBe("slept 5");
        expect(executor.queueStatistics()).toMatchObject({ resent: 1 });
      },
      { executor: { sweepMs: 100 } },
    ));
});

describe("attempts", () => {
  test("a failure is tried once by default, and as often as asked for, later each time", () =>
    queued(function* ({ executor, serve }) {
      serve(all);
      failuresLeft = 1;
      expect(yield* thrownIn(() => executor.call(flaky))).toMatchObject({ className: "RangeError" });
      runs = [];
      failuresLeft = 2;
      const startedAt = now();
      expect(yield* executor.call({ attempts: 3, backoffMs: 100 }, flaky)).toBe(3);
      expect(now() - startedAt).toBe(300);
      failuresLeft = 9;
      expect(yield* thrownIn(() => executor.call({ attempts: 2, backoffMs: 1 }, flaky))).toBeInstanceOf(JobError);
    }));

  test("a job whose worker is gone is run by another one", () =>
    queued(
      function* ({ executor, engine, serve }) {
        const doomed = serve(all, { name: "doomed" });
        const handle = yield* executor.submit(nap, 500);
        yield* sleep(100);
        engine.killWorker("doomed");
        void doomed.task.cancel();
        serve(all);
        expect(yield* handle).toBe("slept 500");
        expect(engine.statistics()).toMatchObject({ stalled: 1, redelivered: 1, recorded: 1 });
      },
      { engine: { leaseMs: 1_000 } },
    ));

  test("a job that loses its worker too often is given up", () =>
    queued(
      function* ({ executor, engine, serve }) {
        for (let i = 0; i < 3; i++) {
          serve(all, { name: `doomed ${i}`, drainMs: 0 });
          engine.killWorker(`alive? ${i}`);
        }
        const handle = yield* executor.submit(nap, 60_000);
        for (let i = 0; i < 3; i++) {
          yield* sleep(400);
          for (let each = 0; each < 3; each++) if (i === each) engine.killWorker(`doomed ${each}`);
        }
        const error = yield* thrownIn(() => handle);
        expect(error).toBeInstanceOf(WorkerLostError);
        expect(error).toMatchObject({ code: "JOB_WORKER_LOST", deliveries: 3 });
      },
      { engine: { leaseMs: 300, maxStalled: 2 } },
    ));

  test("a worker leaves what it does not know to others, in the right version", () =>
    queued(function* ({ executor, serve }) {
      const first = serve([old, nap]);
      const handle = yield* executor.submit(young);
      yield* sleep(1_100);
      expect(first.view.statistics().refused).toBeGreaterThan(1);
      serve([young]);
      expect(yield* handle).toBe("young");
      expect(yield* executor.call(old)).toBe("old");
    }));

  test("what no worker knows fails after a while", () =>
    queued(function* ({ executor, serve }) {
      serve([old], { refusals: 3, refuseMs: 100 });
      const error = yield* thrownIn(() => executor.call(young));
      expect(error).toBeInstanceOf(UnknownJobError);
      expect(error).toMatchObject({ address: "versioned@2", refusals: 4 });
    }));
});

describe("cancellation", () => {
  test("what has not begun is removed, what runs is told, what takes no notice has finished anyway", () =>
    queued(function* ({ executor, engine, serve }) {
      const waiting = yield* executor.submit(nap, 10);
      yield* sleep(1);
      expect(yield* waiting.cancel("no need")).toBe(true);
      serve(all);
      const running = yield* executor.submit(nap, 60_000);
      yield* sleep(10);
      expect(running.state).toBe("running");
      expect(yield* running.cancel()).toBe(true);
      expect(runs).toEqual([executor.idOf(running), "ended"]);
      const deaf = yield* executor.submit(stubborn, 60_000);
      yield* sleep(10);
      expect(yield* deaf.cancel()).toBe(false);
      expect(yield* deaf).toBe("finished anyway");
      expect(engine.statistics().recorded).toBe(3);
    }));

  test("a request whose push is lost reaches the worker by its heartbeat", () =>
    queued(
      function* ({ executor, serve }) {
        serve(all);
        const running = yield* executor.submit(nap, 600_000);
        yield* sleep(10);
        const startedAt = now();
        expect(yield* running.cancel()).toBe(true);
        expect(now() - startedAt).toBeLessThanOrEqual(1_000 + 100);
      },
      { engine: { leaseMs: 3_000, faults: { dropPush: 1 } }, executor: { sweepMs: 100 } },
    ));

  test("when its scope is cancelled, a job is cancelled, or goes on when it is to be detached", async () => {
    for (const policy of ["cancel", "detach"] as const) {
      runs = [];
      await queued(
        function* ({ executor, serve }) {
          serve(all);
          let id = "";
          yield* moveOnAfter(100, function* () {
            const handle = yield* executor.submit(nap, 1_000);
            yield* sleep(1);
            id = executor.idOf(handle);
            yield* handle;
          });
          expect(now()).toBe(100);
          const attached = executor.attach(id, nap);
          yield* wait([attached]);
          const cancelled = { status: "failed", error: { code: "CANCELLED" } };
          expect(attached.outcome).toMatchObject(policy === "cancel" ? cancelled : { value: "slept 1000" });
          const own = yield* executor.submit(nap, 1_000);
          yield* sleep(10);
          expect(yield* own.cancel()).toBe(true); // the handle itself: the job, in any case
          expect(now()).toBeLessThan(1_500);
        },
        { executor: { onScopeCancelled: policy } },
      );
    }
  });

  test("a request is never too early: whichever step the job is at, it is heard of at once", async () => {
    for (let steps = 0; steps < 25; steps++) {
      await queued(
        function* ({ executor, serve }) {
          serve(all);
          yield* sleep(1);
          const handle = yield* executor.submit(nap, 3_600_000);
          for (let i = 0; i < steps; i++) yield* yieldNow();
          expect(yield* handle.cancel()).toBe(true);
          expect(now()).toBeLessThan(10);
        },
        { engine: { leaseMs: 600_000 } },
      );
    }
  });

  test("a request that overtakes the lease on its way to the worker is remembered", () =>
    simulate(function* () {
      const engine = new SlowEngine({ leaseMs: 600_000 });
      const executor = new QueueExecutor(engine);
      const server = spawn(() => serveJobs(engine, all));
      const handle = yield* executor.submit(nap, 3_600_000);
      yield* sleep(2); // claimed, and not there yet
      expect(yield* handle.cancel()).toBe(true);
      expect(now()).toBeLessThan(100);
      yield* executor.shutdown();
      yield* server.cancel();
    }));

  test("an executor is closed though its engine never answers what it was asked", () =>
    simulate(function* () {
      const engine = new MuteEngine();
      const executor = new QueueExecutor(engine, { sweepMs: 10 });
      const server = spawn(() => serveJobs(engine, all));
      expect(yield* executor.call(nap, 50)).toBe("slept 50");
      expect(executor.queueStatistics()).toMatchObject({ pending: 0, sweeps: 1 });
      yield* until(executor[Symbol.asyncDispose]());
      yield* server.cancel();
    }));

  test("a deadline counts the time in the queue, and reaches the worker", () =>
    queued(function* ({ executor, serve }) {
      const handle = yield* executor.submit({ deadlineMs: 500 }, nap, 60_000);
      yield* sleep(300);
      serve(all);
      expect(yield* thrownIn(() => handle)).toBeInstanceOf(TimeoutError);
      expect(now()).toBe(500);
      expect(runs.at(-1)).toBe("ended");
    }));

  test("a delayed job is begun after its delay", () =>
    queued(function* ({ executor, serve }) {
      serve(all);
      expect(yield* executor.call({ delayMs: 86_400_000 }, nap, 1)).toBe("slept 1");
      expect(now()).toBe(86_400_001);
    }));
});

describe("bounds", () => {
  test("arguments and results above the limit are refused, with their size", () =>
    queued(
      function* ({ executor, serve }) {
        serve(all);
        const error = yield* thrownIn(() => executor.call(give, "x".repeat(2_000)));
        expect(error).toBeInstanceOf(PayloadTooLargeError);
        expect(error).toMatchObject({ limit: 1_000, jobId: 1 });
        const repeat: Job<[count: number], string> = job(url, (count: number) => "é".repeat(count), { name: "repeat" });
        serve([repeat]);
        const large = yield* thrownIn(() => executor.call(repeat, 600));
        expect(large).toMatchObject({ code: "JOB_PAYLOAD_TOO_LARGE", bytes: 1_202 });
        expect(yield* executor.call(repeat, 400)).toHaveLength(400);
      },
      { executor: { payloadLimit: 1_000 } },
    ));

  test("what JSON cannot carry is refused with its place", () =>
    queued(function* ({ executor, serve }) {
      serve(all);
      for (const [value, what] of [
        [{ a: [1, new Date(0)] }, "argument 1 (at .a[1])"],
        [new Map(), "argument 1"],
        [Number.NaN, "argument 1"],
        [10n, "argument 1"],
        [{ f: () => 1 }, "argument 1 (at .f)"],
      ] as const) {
        expect(yield* thrownIn(() => executor.call(give, value))).toMatchObject({ code: "JOB_NOT_CLONEABLE", what });
      }
      for (const value of [undefined, null, "é", [undefined, 1], { a: undefined, b: [{}] }, -1.5, true, ""]) {
        expect(yield* executor.call(give, value)).toStrictEqual(value);
      }
    }));

  test("structured clone carries more", () =>
    queued(
      function* ({ executor, serve }) {
        serve(all);
        const value = { when: new Date(0), map: new Map([[1, new Uint8Array([1, 2])]]), big: 10n };
        expect(yield* executor.call(give, value)).toStrictEqual(value);
      },
      { executor: { codec: structuredCloneCodec } },
    ));

  test("submit waits while maxPending jobs are pending", () =>
    queued(
      function* ({ executor, engine, serve }) {
        const order: number[] = [];
        for (let i = 0; i < 5; i++) {
          spawn(function* () {
            const handle = yield* executor.submit(nap, 10);
            order.push(i);
            yield* handle;
          });
        }
        yield* sleep(100);
        expect(order).toEqual([0, 1]);
        expect(executor.statistics().queue.waiting).toBe(3);
        expect(engine.statistics().enqueued).toBe(2);
        serve(all, { concurrency: 1 });
        yield* sleep(100);
        expect(order).toEqual([0, 1, 2, 3, 4]);
      },
      { executor: { maxPending: 2 } },
    ));

  test("without connection jobs wait here up to a bound, then submit fails; afterwards all are run", () =>
    queued(
      function* ({ executor, engine, serve }) {
        serve(all);
        yield* executor.call(nap, 1);
        engine.disconnect();
        const kept = [yield* executor.submit(nap, 1), yield* executor.submit(nap, 2)];
        yield* sleep(1_000);
        expect(yield* thrownIn(() => executor.submit(nap, 3))).toBeInstanceOf(ExecutorUnavailableError);
        expect(executor.queueStatistics()).toMatchObject({ isConnected: false, outbox: 2 });
        engine.reconnect();
        expect([yield* kept[0]!, yield* kept[1]!]).toEqual(["slept 1", "slept 2"]);
        expect(yield* executor.call(nap, 3)).toBe("slept 3");
      },
      { executor: { bufferSize: 2 } },
    ));

  test("outcomes that fell into an outage come as soon as it is over", () =>
    queued(
      function* ({ executor, engine, serve }) {
        serve(all);
        const handle = yield* executor.submit(nap, 1_000);
        yield* sleep(500);
        engine.disconnect();
        yield* sleep(1_000);
        expect(handle.isSettled).toBe(false);
        engine.reconnect();
        yield* yieldNow();
        expect(yield* handle).toBe("slept 1000");
        expect(now()).toBeLessThan(1_600);
      },
      { executor: { sweepMs: 600_000 } },
    ));

  test("wrong options are refused at once", () =>
    queued(function* ({ executor, engine }) {
      yield* yieldNow();
      expect(() => executor.submit({ attempts: 0 }, nap, 1)).not.toThrow(); // made when somebody waits
      expect(yield* thrownIn(() => executor.submit({ attempts: 0 }, nap, 1))).toMatchObject({ code: "USAGE" });
      expect(() => new QueueExecutor(engine, { maxPending: 0 })).toThrow(/maxPending/);
      expect(() => new QueueExecutor(engine, { onScopeCancelled: "keep" as never })).toThrow(/"cancel" or "detach"/);
      expect(() => new MemoryEngine({ faults: { dropPush: 2 } })).toThrow(/probability/);
      expect(() => serveJobs(engine, [() => 1] as never)).toThrow(/takes a job/);
      const twin: Job<[], string> = job("test:other", () => "", { name: "nap" });
      expect(() => serveJobs(engine, [nap, twin])).toThrow(/two jobs "nap@1"/);
    }));
});

describe("fencing", () => {
  test("only the latest delivery may finish, renew or give back; the first outcome stays", () =>
    queued(
      function* ({ executor, engine }) {
        const handle = yield* executor.submit(nap, 1);
        yield* sleep(1);
        const first = yield* engine.claim("a");
        const second = yield* engine.claim("b");
        expect([first.delivery, second.delivery]).toEqual([1, 2]);
        const record = { status: "succeeded", worker: "", runMs: 0 } as const;
        yield* engine.release(first, 0, "failure");
        expect(yield* engine.renew([first, second])).toMatchObject([{ isHeld: false }, { isHeld: true }]);
        expect(yield* engine.finish(first, { ...record, delivery: 1, body: '"first"' })).toBe(false);
        expect(yield* engine.finish(second, { ...record, delivery: 2, body: '"second"' })).toBe(true);
        expect(yield* engine.finish(second, { ...record, delivery: 2, body: '"again"' })).toBe(false);
        expect(yield* handle).toBe("second");
        expect(engine.statistics()).toMatchObject({ fenced: 2, recorded: 1 });
      },
      { engine: { faults: { duplicate: 0.999_999 } } },
    ));
});

describe("workers", () => {
  test("stopping lets jobs end; those that take longer are given back and run elsewhere", () =>
    queued(function* ({ executor, engine, serve }) {
      const first = serve(all, { drainMs: 1_000, concurrency: 2 });
      const short = yield* executor.submit(nap, 500);
      const long = yield* executor.submit(nap, 5_000);
      yield* sleep(100);
      const startedAt = now();
      const ended = first.task.cancel();
      yield* sleep(1);
      const late = yield* executor.submit(nap, 1);
      yield* ended;
      expect(now() - startedAt).toBe(1_000);
      expect(short.outcome).toMatchObject({ status: "succeeded" });
      expect([long.isSettled, late.isSettled]).toEqual([false, false]);
      expect(first.view.statistics()).toMatchObject({ succeeded: 1, givenBack: 1, running: 0, claimed: 2 });
      serve(all);
      expect([yield* long, yield* late]).toEqual(["slept 5000", "slept 1"]);
      expect(engine.statistics()).toMatchObject({ stalled: 0, recorded: 3 });
    }));

  test("a job may take much longer than a lease", () =>
    queued(
      function* ({ executor, engine, serve }) {
        serve(all);
        expect(yield* executor.call(nap, 3_600_000)).toBe("slept 3600000");
        expect(engine.statistics()).toMatchObject({ stalled: 0, delivered: 1 });
      },
      { engine: { leaseMs: 1_000 } },
    ));

  test("a worker that has lost its lease stops the job and records nothing", () =>
    queued(
      function* ({ executor, engine, serve }) {
        const lonely = serve(all, { name: "lonely" });
        const handle = yield* executor.submit(nap, 10_000);
        yield* sleep(10);
        engine.killWorker("lonely"); // it lives, but nobody hears it
        yield* sleep(1_100);
        expect(runs.filter((it) => it === "ended")).toHaveLength(1);
        expect(lonely.view.statistics()).toMatchObject({ leasesLost: 1, succeeded: 0, running: 0 });
        serve(all);
        expect(yield* handle).toBe("slept 10000");
      },
      { engine: { leaseMs: 1_000 } },
    ));

  test("jobs run on an executor of the worker's, with progress and log", () =>
    queued(function* ({ executor, serve }) {
      const inner = new InlineExecutor({ concurrency: 1, queueSize: 0 });
      const talk: Job<[], void> = job(
        url,
        function* talk() {
          progress({ half: true });
          log("done", [1]);
          progress(new Date(0)); // no codec of ours carries it: said, and no reason to fail
          yield* sleep(10);
        },
        { name: "talk" },
      );
      serve([talk, nap], { runOn: inner, concurrency: 3 });
      const handle = yield* executor.submit(talk);
      const others = [yield* executor.submit(nap, 10), yield* executor.submit(nap, 10)];
      expect((yield* handle.progress.next()).value).toEqual({ half: true });
      expect((yield* handle.logs.next()).value).toEqual({ message: "done", data: [1] });
      expect((yield* handle.progress.next()).value).toMatch(/cannot be carried/);
      for (const other of others) expect(yield* other).toBe("slept 10");
      yield* handle;
      yield* inner.shutdown();
    }));

  test("an executor stands for its engine", () =>
    queued(function* ({ executor }) {
      const server = spawn(() => serveJobs(executor, all));
      expect(yield* executor.call(nap, 1)).toBe("slept 1");
      yield* server.cancel();
    }));
});
