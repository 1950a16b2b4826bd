/**
 * What holds for every executor. A new one passes this file before it has tests of its own.
 */
import {
  all,
  any,
  asCompleted,
  currentTask,
  forEach,
  moveOnAfter,
  race,
  run,
  scope,
  sleep,
  spawn,
  TimeoutError,
  use,
  wait,
  yieldNow,
} from "fibril";
import type { Coroutine, EventLoop, Sequence } from "fibril";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { ExecutorShutdownError, JobCloneError, JobError, QueueFullError } from "../../src/executors/index.ts";
import type { Executor, ExecutorOptions } from "../../src/executors/index.ts";
import * as jobs from "./jobs.ts";
import { eventually, flags, openGate, really, thrownIn } from "./threads.ts";

/** @param width How many jobs it runs at a time. */
export type MakeExecutor = (
  width: number,
  options?: ExecutorOptions,
) => Executor & { [Symbol.asyncDispose](): Promise<void> };

/** What is different by nature in an executor of other machines. */
export interface ExecutorTraits {
  /** Streams are refused with this code. Default: they work. */
  readonly streamsRefused?: string;
  /** Whether the key of a job is unique among all machines, beyond `executor/id`. Default: `false`. */
  readonly hasUniqueKeys?: boolean;
}

export function describeExecutor(name: string, make: MakeExecutor, traits: ExecutorTraits = {}): void {
  // Threads take their time to start, so what needs no executor of its own shares one; whatever a test leaves, the next one meets.
  const shared = make(2);
  // A sequence that has failed does not wait for what was under way behind the failure, so that may end a moment later.
  afterEach(() =>
    vi.waitFor(() => expect(shared.statistics()).toMatchObject({ running: 0, queue: { size: 0, waiting: 0 } }), {
      timeout: 50_000,
      interval: 5,
    }),
  );
  afterAll(() => shared[Symbol.asyncDispose]());

  function* open(width?: number, options: ExecutorOptions = {}): Coroutine<Executor> {
    return width === undefined ? shared : yield* use(make(width, options));
  }

  function* listOf<T>(values: Sequence<T>): Coroutine<T[]> {
    const list: T[] = [];
    yield* forEach(values, function* (value) {
      list.push(value);
    });
    return list;
  }

  describe(`${name}: results`, () => {
    test("plain, async and coroutine functions give their values", () =>
      really(function* () {
        const executor = yield* open();
        expect(yield* executor.call(jobs.add, 1, 2)).toBe(3);
        expect(yield* executor.call(jobs.addLater, 1, 2)).toBe(3);
        expect(yield* executor.call(jobs.nap, 1)).toBe("slept 1");
        const handle = yield* executor.submit(jobs.add, 20, 22);
        expect(yield* handle).toBe(42);
        expect(yield* handle).toBe(42); // again
        expect(handle.outcome).toEqual({ status: "succeeded", value: 42 });
      }));

    test("promise code awaits a handle", async () => {
      await really(function* () {
        const executor = yield* open();
        const handle = yield* executor.submit(jobs.add, 1, 1);
        const seen: unknown[] = [];
        void handle.then((value) => seen.push(value));
        yield* eventually(() => seen.length > 0);
        expect(seen).toEqual([2]);
      });
    });

    test("wait, asCompleted, all, any and race take handles", () =>
      really(function* () {
        const executor = yield* open(3);
        const slow = yield* executor.submit(jobs.nap, 60_000);
        const quick = yield* executor.submit(jobs.add, 1, 2);
        const { done, pending } = yield* wait([slow, quick], { returnWhen: "first" });
        expect([done.length, pending.length, done[0] === quick, pending[0] === slow]).toEqual([1, 1, true, true]);
        const failing = yield* executor.submit(jobs.fail, "range");
        const completed = asCompleted({ quick, failing });
        expect((yield* completed.next()).value).toMatchObject({ key: "quick", outcome: { value: 3 } });
        expect((yield* completed.next()).value).toMatchObject({ key: "failing", outcome: { status: "failed" } });
        expect(yield* all([quick, yield* executor.submit(jobs.nap, 1)])).toEqual([3, "slept 1"]);
        expect(yield* race([slow, quick])).toBe(3);
        expect(yield* any([failing, quick])).toBe(3);
        expect(slow.isSettled).toBe(false);
        yield* slow.cancel();
      }));

    test("a handle goes from pending by running to settled", () =>
      really(function* () {
        const executor = yield* open(1);
        const gate = flags();
        const first = yield* executor.submit({ name: "a job" }, jobs.hold, gate);
        const second = yield* executor.submit(jobs.nap, 20);
        expect([first.name, second.name, second.state]).toEqual(["a job", "nap", "pending"]);
        yield* eventually(() => first.state === "running");
        expect(second.state).toBe("pending");
        openGate(gate);
        yield* second;
        expect([first.state, second.state]).toEqual(["settled", "settled"]);
        expect(first.id).not.toBe(second.id);
      }));

    test("what it is given is cloned, what is shared is shared, what is transferred is gone", () =>
      really(function* () {
        const executor = yield* open();
        const shared = flags();
        yield* executor.call(jobs.raise, shared);
        expect(shared[0]).toBe(1);
        const buffer = new ArrayBuffer(8);
        expect(yield* executor.call({ transfer: [buffer] }, jobs.lengthOf, buffer)).toBe(8);
        expect(buffer.byteLength).toBe(0);
      }));

    test("the context names the job, and its key is stable", () =>
      really(function* () {
        const executor = yield* open(1, { name: "e" });
        const handle = yield* executor.submit({ name: "mine", idempotencyKey: "order 7" }, jobs.whoAmI);
        expect(yield* handle).toEqual({ name: "mine", id: handle.id, idempotencyKey: "order 7" });
        const other = yield* executor.submit(jobs.whoAmI);
        const key = traits.hasUniqueKeys === true ? expect.stringMatching(/^e\..+\/\d+$/) : `e/${other.id}`;
        expect(yield* other).toEqual({ name: "whoAmI", id: other.id, idempotencyKey: key });
      }));

    test("task-locals go along only when they were said to", () =>
      really(function* () {
        const executor = yield* open();
        jobs.secret.set("42");
        expect(yield* executor.call(jobs.whoIsUser)).toEqual(["nobody", "none"]);
        jobs.user.set("ada");
        expect(yield* executor.call(jobs.whoIsUser)).toEqual(["ada", "none"]);
      }));

    test("progress and log entries stream back and end with the job", () =>
      really(function* () {
        const executor = yield* open();
        const handle = yield* executor.submit(jobs.report, 3);
        expect(yield* listOf(handle.progress)).toEqual([1, 2, 3]);
        expect((yield* listOf(handle.logs)).map((it) => [it.message, it.data])).toEqual([
          ["step 1", { i: 1 }],
          ["step 2", { i: 2 }],
          ["step 3", { i: 3 }],
        ]);
        expect(yield* handle).toBe("reported");
        const late = yield* executor.submit(jobs.report, 2);
        yield* late;
        expect(yield* listOf(late.progress)).toEqual([1, 2]); // also when nobody had looked
      }));
  });

  describe(`${name}: failures`, () => {
    test("what a job throws comes as a JobError with class, code, cause and stack", () =>
      really(function* () {
        const executor = yield* open();
        const range = (yield* thrownIn(() => executor.call(jobs.fail, "range"))) as JobError;
        expect(range).toBeInstanceOf(JobError);
        expect(range).toMatchObject({ code: "JOB_FAILED", className: "RangeError", job: "fail" });
        expect(range.message).toBe('job "fail" failed: RangeError: out of range');
        expect(range.cause).toBeInstanceOf(RangeError);
        expect((range.cause as Error).cause).toBeInstanceOf(TypeError);
        expect(range.stack).toMatch(/--- in .*---[^]*jobs\.ts/);
        const own = (yield* thrownIn(() => executor.call(jobs.fail, "own"))) as JobError;
        expect(own).toMatchObject({ className: "TeapotError", remoteCode: "E_TEAPOT", cause: { brewing: true } });
        const both = (yield* thrownIn(() => executor.call(jobs.fail, "aggregate"))) as JobError;
        expect((both.cause as AggregateError).errors).toMatchObject([{ message: "one" }, { message: "two" }]);
        expect((both.cause as AggregateError).errors[1]).toBeInstanceOf(RangeError);
        expect((yield* thrownIn(() => executor.call(jobs.fail, "string")) as Coroutine<JobError>).cause).toBe(
          "a string",
        );
        expect(yield* thrownIn(() => executor.call(jobs.failLater))).toMatchObject({ className: "SyntaxError" });
        expect(yield* executor.call(jobs.add, 1, 1)).toBe(2); // and it goes on
      }));

    test("a failure stays with the handle: the scope goes on", () =>
      really(function* () {
        const executor = yield* open();
        const failing = yield* executor.submit(jobs.fail, "range");
        yield* wait([failing]);
        yield* yieldNow();
        expect(yield* thrownIn(() => failing)).toBeInstanceOf(JobError);
        expect(yield* thrownIn(() => failing)).toBeInstanceOf(JobError);
      }));

    test("a failure that nobody has looked at is reported when the scope ends", () =>
      really(
        function* () {
          const executor = yield* open();
          yield* scope(function* () {
            yield* executor.submit(jobs.fail, "range");
          });
        },
        ['job "fail" failed and nobody looked at its handle'],
      ));

    test("an argument that cannot be cloned is named, and harms no other job", () =>
      really(function* () {
        const executor = yield* open();
        const good = yield* executor.submit(jobs.add, 1, 1);
        const bad = yield* executor.submit(jobs.take, 1, { list: [0, () => 1] });
        const error = (yield* thrownIn(() => bad)) as JobCloneError;
        expect(error).toBeInstanceOf(JobCloneError);
        expect(error).toMatchObject({ code: "JOB_NOT_CLONEABLE", what: "argument 2 (at .list[1])" });
        expect((error.cause as Error).name).toBe("DataCloneError");
        expect(yield* good).toBe(2);
      }));

    test("a result that cannot be cloned is an error", () =>
      really(function* () {
        const executor = yield* open();
        expect(yield* thrownIn(() => executor.call(jobs.giveFunction))).toMatchObject({
          code: "JOB_NOT_CLONEABLE",
          what: "the result",
        });
      }));

    test("what is no job, and wrong options, are refused at once", () =>
      really(function* () {
        const executor = yield* open();
        const wrong = executor as unknown as Record<string, (...args: unknown[]) => unknown>;
        expect(() => wrong["submit"]!(() => 1)).toThrow(/takes a job, got function/);
        expect(() => wrong["call"]!({ deadlineMs: Number.NaN }, jobs.add, 1, 2)).toThrow(/deadlineMs must be/);
        expect(() => wrong["submit"]!({ priority: "high" }, jobs.add, 1, 2)).toThrow(/priority must be a number/);
        expect(() => executor.map(jobs.square, [1], { chunkSize: 0 })).toThrow(/chunkSize must be/);
        expect(() => wrong["submit"]!(jobs.countTo, 1)).toThrow(/run it with stream/);
        expect(() => wrong["stream"]!(jobs.add, 1, 2)).toThrow(/run it with submit/);
        expect(yield* executor.call(jobs.add, 1, 2)).toBe(3);
      }));
  });

  describe(`${name}: cancellation`, () => {
    test("a job that has not begun is gone at once, in time", () =>
      really(function* () {
        const executor = yield* open(1);
        const gate = flags();
        const first = yield* executor.submit(jobs.hold, gate);
        const shared = flags();
        const second = yield* executor.submit(jobs.raise, shared);
        expect(yield* second.cancel("no need")).toBe(true);
        expect(first.isSettled).toBe(false);
        expect(second.outcome).toMatchObject({ status: "cancelled" });
        expect(yield* thrownIn(() => second)).toMatchObject({ code: "CANCELLED", reason: "no need" });
        openGate(gate);
        yield* first;
        yield* executor.call(jobs.nap, 1);
        expect(shared[0]).toBe(0);
      }));

    test("a coroutine sees Cancelled at its wait; its cleanup has ended when cancel() has", () =>
      really(function* () {
        const executor = yield* open();
        const ended = flags();
        const handle = yield* executor.submit(jobs.napWithCleanup, ended);
        yield* eventually(() => ended[1] === 1); // one that runs may not have made its first step
        yield* eventually(() => handle.state === "running");
        expect(yield* handle.cancel()).toBe(true);
        expect(ended[0]).toBe(1);
      }));

    test("a job that ends on its own in spite of the request keeps its value, and cancel() says so", () =>
      really(function* () {
        const executor = yield* open();
        const started = flags();
        const handle = yield* executor.submit(jobs.stubborn, "kept", started);
        yield* eventually(() => started[0] === 1);
        yield* eventually(() => handle.state === "running");
        expect(yield* handle.cancel()).toBe(false);
        expect(yield* handle).toBe("kept");
        expect(yield* handle.cancel()).toBe(false); // too late
      }));

    test("an async function hears of it by its signal", () =>
      really(function* () {
        const executor = yield* open();
        const started = flags();
        const handle = yield* executor.submit(jobs.waitForSignal, started);
        yield* eventually(() => started[0] === 1);
        expect(yield* handle.cancel()).toBe(true);
      }));

    test("cancelling the scope, or the call, cancels the job and waits for it", () =>
      really(function* () {
        const executor = yield* open();
        const ended = flags();
        yield* scope(function* (own) {
          own.spawn(() => executor.call(jobs.napWithCleanup, ended));
          yield* eventually(() => ended[1] === 1);
          void own.cancel();
        });
        expect(ended[0]).toBe(1);
        yield* scope(function* (own) {
          yield* executor.submit(jobs.napWithCleanup, ended);
          yield* eventually(() => ended[1] === 2);
          void own.cancel();
        });
        expect(ended[0]).toBe(2);
        expect(executor.statistics()).toMatchObject({ running: 0, queue: { size: 0 } });
      }));

    test("a task that is cancelled before it begins to wait leaves no job behind", () =>
      really(function* () {
        const executor = yield* open(1);
        const ended = flags();
        yield* scope(function* (own) {
          const handle = yield* executor.submit(jobs.napWithCleanup, ended);
          void own.cancel(); // in the step in which it was submitted
          expect(handle.isSettled).toBe(false);
        });
        expect(executor.statistics()).toMatchObject({ running: 0, queue: { size: 0 } });
        expect(yield* executor.call(jobs.add, 1, 1)).toBe(2);
      }));

    test("a deadline of its own is a TimeoutError, that of the scope is the scope's", () =>
      really(function* () {
        const executor = yield* open();
        const handle = yield* executor.submit({ deadlineMs: 20 }, jobs.nap, 60_000);
        expect(yield* thrownIn(() => handle)).toBeInstanceOf(TimeoutError);
        expect(yield* thrownIn(() => executor.call({ deadlineMs: 20 }, jobs.nap, 60_000))).toMatchObject({
          code: "TIMEOUT",
          limitMs: 20,
        });
        expect(yield* executor.call({ deadlineMs: 30_000 }, jobs.timeLeft)).toBeLessThan(30_100);
        const left = yield* moveOnAfter(40_000, () => executor.call(jobs.timeLeft));
        expect(left).toBeGreaterThan(1_000);
        expect(left).toBeLessThan(40_100);
      }));

    test("cancelling one who joins leaves the job alone", () =>
      really(function* () {
        const executor = yield* open();
        const gate = flags();
        const handle = yield* executor.submit(jobs.hold, gate);
        expect(yield* moveOnAfter(1, handle)).toBe(undefined);
        openGate(gate);
        expect(yield* handle).toBe("let go");
      }));
  });

  describe(`${name}: the line`, () => {
    test("submit waits for room, in order; trySubmit does not", () =>
      really(function* () {
        const executor = yield* open(1, { queueSize: 1 });
        const gate = flags();
        const first = yield* executor.submit(jobs.hold, gate);
        yield* eventually(() => first.state === "running");
        yield* executor.submit(jobs.nap, 1);
        expect(() => executor.trySubmit(jobs.nap, 1)).toThrow(QueueFullError);
        const order: string[] = [];
        for (const name of ["a", "b"]) {
          spawn(function* () {
            const handle = yield* executor.submit({ name }, jobs.nap, 1);
            order.push(`${handle.name} in`);
            yield* handle;
          });
        }
        yield* eventually(() => executor.statistics().queue.waiting === 2);
        expect(executor.statistics().queue).toEqual({ size: 1, capacity: 1, waiting: 2 });
        openGate(gate);
        yield* executor.call(jobs.nap, 1);
        expect(order).toEqual(["a in", "b in"]);
      }));

    test("a submit that is cancelled while it waits submits nothing", () =>
      really(function* () {
        const executor = yield* open(1, { queueSize: 1 });
        const gate = flags();
        const first = yield* executor.submit(jobs.hold, gate);
        yield* executor.submit(jobs.nap, 1);
        const shared = flags();
        expect(yield* moveOnAfter(5, () => executor.submit(jobs.raise, shared))).toBe(undefined);
        openGate(gate);
        yield* first;
        yield* executor.call(jobs.nap, 1);
        expect(shared[0]).toBe(0);
      }));

    test("higher priorities are begun first, the first come first within one", () =>
      really(function* () {
        const executor = yield* open(1);
        const [gate, order] = [flags(), flags(5)];
        const blocker = yield* executor.submit(jobs.hold, gate);
        const handles = [];
        for (const [index, priority] of [-1, 0, 5, 0].entries()) {
          handles.push(yield* executor.submit({ priority }, jobs.noteOrder, order, index));
        }
        openGate(gate);
        yield* wait(handles);
        expect([...order]).toEqual([4, 2, 1, 3, 0]);
        expect(yield* blocker).toBe("let go");
      }));

    test("statistics count jobs and time", () =>
      really(function* () {
        const executor = yield* open(1, { name: "counted" });
        yield* executor.call(jobs.nap, 5);
        yield* thrownIn(() => executor.call(jobs.fail, "range"));
        const cancelled = yield* executor.submit(jobs.nap, 60_000);
        yield* cancelled.cancel();
        const statistics = executor.statistics();
        expect(statistics).toMatchObject({ name: "counted", running: 0, succeeded: 1, failed: 1, cancelled: 1 });
        expect(statistics.run.maxMs).toBeGreaterThan(3);
        expect(statistics.run.p50Ms).toBeLessThanOrEqual(statistics.run.p99Ms);
        expect(Object.isFrozen(statistics)).toBe(true);
      }));
  });

  describe(`${name}: map`, () => {
    const numbers = Array.from({ length: 50 }, (_, i) => i);
    const squares = numbers.map((it) => it * it);

    test.each([{ chunkSize: 1 }, { chunkSize: 7 }, { chunkSize: 100 }, { chunkSize: 3, bufferSize: 4 }])(
      "gives the results in order with %o",
      (options) =>
        really(function* () {
          const executor = yield* open();
          expect(yield* listOf(executor.map(jobs.square, numbers, options))).toEqual(squares);
          expect(yield* listOf(executor.map(jobs.slowSquare, numbers, options))).toEqual(squares);
        }),
    );

    test("without order it gives each result once", () =>
      really(function* () {
        const executor = yield* open(3);
        const results = yield* listOf(executor.map(jobs.slowSquare, numbers, { ordered: false, chunkSize: 2 }));
        expect(results.toSorted((a, b) => a - b)).toEqual(squares);
      }));

    test("it takes from its source only as results are taken, and closes it", () =>
      really(function* () {
        const executor = yield* open();
        let taken = 0;
        let isClosed = false;
        function* endless(): Generator<number> {
          try {
            for (;;) yield taken++;
          } finally {
            isClosed = true;
          }
        }
        yield* scope(function* () {
          const results = executor.map(jobs.square, endless(), { bufferSize: 5 });
          expect(taken).toBe(0);
          for (let i = 0; i < 20; i++) {
            expect(yield* results.next()).toEqual({ done: false, value: i * i });
            expect(taken).toBeLessThanOrEqual(i + 1 + 5);
          }
          expect(isClosed).toBe(false);
        });
        expect(isClosed).toBe(true);
        expect(executor.statistics()).toMatchObject({ running: 0, queue: { size: 0 } });
      }));

    test("a source that waits is taken from as it gives", () =>
      really(function* () {
        const executor = yield* open();
        async function* slowly(): AsyncGenerator<number> {
          for (const number of [1, 2, 3]) {
            await Promise.resolve();
            yield number;
          }
        }
        expect(yield* listOf(executor.map(jobs.square, slowly(), { chunkSize: 2 }))).toEqual([1, 4, 9]);
        expect(yield* listOf(executor.map(jobs.square, slowly(), { bufferSize: 1 }))).toEqual([1, 4, 9]);
      }));

    test("a failure comes in its place with its number, and ends the sequence", () =>
      really(function* () {
        const executor = yield* open();
        for (const chunkSize of [1, 2, 10]) {
          const results = executor.map(jobs.square, [1, 2, 3, -4, 5, 6], { chunkSize });
          for (const value of [1, 4, 9]) expect((yield* results.next()).value).toBe(value);
          const error = yield* thrownIn(() => results.next());
          expect(error).toMatchObject({ code: "JOB_FAILED", className: "RangeError" });
          if (chunkSize > 1) expect(error).toMatchObject({ index: 3 });
          expect(yield* results.next()).toEqual({ done: true, value: undefined });
        }
      }));

    test("it goes on when the executor's line is full", () =>
      really(function* () {
        const executor = yield* open(1, { queueSize: 1 });
        expect(yield* listOf(executor.map(jobs.slowSquare, [1, 2, 3, 4, 5, 6], { bufferSize: 6 }))).toEqual([
          1, 4, 9, 16, 25, 36,
        ]);
      }));

    test("an item that cannot be cloned is named", () =>
      really(function* () {
        const executor = yield* open();
        const results = executor.map(jobs.take as never, [1, () => 2], { chunkSize: 2 });
        expect(yield* thrownIn(() => results.next())).toMatchObject({ what: "item 2" });
      }));
  });

  if (traits.streamsRefused !== undefined) {
    test(`${name}: streams are refused at once`, () =>
      really(function* () {
        const executor = yield* open();
        yield* yieldNow();
        expect(() => executor.stream(jobs.countTo, 3)).toThrow(
          expect.objectContaining({ code: traits.streamsRefused }) as Error,
        );
      }));
  }

  const describeStreams = traits.streamsRefused === undefined ? describe : (): void => undefined;
  describeStreams(`${name}: streams`, () => {
    test("a streaming job gives its values in order, more than the window", () =>
      really(function* () {
        const executor = yield* open();
        const values = yield* listOf(executor.stream({ bufferSize: 4 }, jobs.countTo, 100));
        expect(values).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
      }));

    test("its failure comes after its values", () =>
      really(function* () {
        const executor = yield* open();
        const values = executor.stream(jobs.countThenFail, 2);
        expect([(yield* values.next()).value, (yield* values.next()).value]).toEqual([1, 2]);
        expect(yield* thrownIn(() => values.next())).toMatchObject({ className: "RangeError" });
      }));

    test("it goes no further ahead than the window, and ends with the scope", () =>
      really(function* () {
        const executor = yield* open();
        const given = flags();
        yield* scope(function* () {
          const values = executor.stream({ bufferSize: 8 }, jobs.countForEver, given);
          for (let i = 1; i <= 10; i++) expect((yield* values.next()).value).toBe(i);
          yield* sleep(5);
          expect(given[0]).toBeLessThanOrEqual(10 + 8 + 1);
        });
        expect(given[1]).toBe(1);
        expect(executor.statistics().running).toBe(0);
      }));
  });

  describe(`${name}: the end`, () => {
    test("after shutdown nothing comes in; what was submitted is run", () =>
      really(function* () {
        const executor = make(1);
        const first = yield* executor.submit(jobs.nap, 5);
        const second = yield* executor.submit(jobs.add, 1, 1);
        const end = executor.shutdown();
        expect(yield* thrownIn(() => executor.submit(jobs.add, 1, 1))).toBeInstanceOf(ExecutorShutdownError);
        yield* end;
        expect([first.state, second.state]).toEqual(["settled", "settled"]);
        expect([yield* first, yield* second]).toEqual(["slept 5", 2]);
        yield* executor.shutdown();
      }));

    test("cancelPending drops what has not begun, cancelRunning what has", () =>
      really(function* () {
        const executor = make(1);
        const gate = flags();
        const running = yield* executor.submit(jobs.hold, gate);
        yield* eventually(() => running.state === "running");
        const pending = yield* executor.submit(jobs.nap, 60_000);
        const end = executor.shutdown({ cancelPending: true });
        openGate(gate);
        yield* end;
        expect(yield* running).toBe("let go");
        expect(pending.state).toBe("settled");
        yield* wait([pending]); // the task behind the handle has a step or two to go when the loop is late
        expect(pending.outcome).toMatchObject({ status: "cancelled" });

        const other = make(1);
        const endless = yield* other.submit(jobs.nap, 60_000);
        yield* eventually(() => endless.state === "running");
        yield* other.shutdown({ cancelRunning: true });
        expect(endless.outcome).toMatchObject({ status: "cancelled" });
      }));

    test("without wait it ends later", () =>
      really(function* () {
        const executor = make(1);
        const gate = flags();
        const handle = yield* executor.submit(jobs.hold, gate);
        yield* executor.shutdown({ wait: false });
        expect(handle.isSettled).toBe(false);
        openGate(gate);
        yield* executor.shutdown();
        expect(handle.state).toBe("settled");
      }));

    test("who waits for room is told of the shutdown", () =>
      really(function* () {
        const executor = make(1, { queueSize: 1 });
        const gate = flags();
        yield* executor.submit(jobs.hold, gate);
        yield* executor.submit(jobs.nap, 1);
        const waiting = spawn(() => thrownIn(() => executor.submit(jobs.add, 1, 1)));
        yield* sleep(1);
        const end = executor.shutdown();
        openGate(gate);
        yield* end;
        expect(yield* waiting).toBeInstanceOf(ExecutorShutdownError);
      }));

    test("several loops of a thread share one", async () => {
      const executor = make(2);
      const results = await Promise.all([1, 2, 3].map((it) => run(() => executor.call(jobs.slowSquare, it))));
      expect(results).toEqual([1, 4, 9]);
      await executor[Symbol.asyncDispose]();
    });

    test("outside a coroutine there is no submitting", () => {
      const executor = make(1);
      expect(() => executor.trySubmit(jobs.add, 1, 1)).toThrow(/inside a coroutine/);
      return executor[Symbol.asyncDispose]();
    });

    test("a job is seen as a wait of its task", () =>
      really(function* () {
        const executor = yield* open(1, { name: "seen" });
        const handle = yield* executor.submit(jobs.nap, 60_000);
        yield* eventually(() => handle.state === "running");
        const mine = (currentTask().loop as EventLoop).tasks().find((it) => it.id === handle.task.id);
        expect(mine).toMatchObject({ name: "nap", waitingFor: 'job "nap" #1 (running in seen)' });
        yield* handle.cancel();
      }));
  });
}
