import { EventLoop, Future, run, sleep, spawn, until, yieldNow } from "fibril";
import type { Coroutine, Operation, Task } from "fibril";
import { Wait, WaitQueue } from "fibril/lowlevel";
import type { Started, Waiter } from "fibril/lowlevel";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { Channel } from "../../src/channels/index.ts";
import { select, trySelect } from "../../src/channels/select.ts";
import { Barrier, Event, Semaphore } from "../../src/sync/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";

/** Counts what starts and what is withdrawn. */
class Watched extends Wait<string> {
  static log: string[] = [];
  readonly #name: string;
  readonly #canBeWithdrawn: boolean;
  #waiter: Waiter | null = null;

  constructor(name: string, canBeWithdrawn = true) {
    super();
    this.#name = name;
    this.#canBeWithdrawn = canBeWithdrawn;
  }

  get reason(): string {
    return this.#name;
  }

  protected start(task: Waiter): Started<string> {
    Watched.log.push(`start ${this.#name}`);
    this.#waiter = task;
    return task.park(this);
  }

  withdraw(): boolean {
    Watched.log.push(`withdraw ${this.#name}`);
    return this.#canBeWithdrawn;
  }

  end(): boolean {
    return this.#waiter!.wake(this, this.#name);
  }
}

function watched<T>(body: () => Operation<T>): { readonly value: T; readonly log: readonly string[] } {
  Watched.log = [];
  const value = simulated(body);
  return { value, log: Watched.log };
}

describe("select", () => {
  test("gives the key and the value of the one that happens first, and the others do not happen", () => {
    const { value, log } = watched(function* () {
      const queue = new WaitQueue<string>();
      const never = new Watched("never");
      const future = new Future<number>();
      spawn(function* () {
        yield* sleep(5);
        future.resolve(42);
      });
      const chosen = yield* select({ parked: queue.park("a word"), future, never, slow: sleep(10) });
      return { chosen, parked: queue.size, at: now(), timers: EventLoop.current().statistics().timers };
    });
    expect(value).toEqual({ chosen: { key: "future", value: 42 }, parked: 0, at: 5, timers: 0 });
    expect(log).toEqual(["start never", "withdraw never"]);
  });

  test("of a list, the key is the index", () => {
    const chosen = simulated(function* () {
      return yield* select([sleep(2), sleep(1)]);
    });
    expect(chosen).toEqual({ key: 1, value: undefined });
  });

  test("takes the first in the list of those that can happen at once, and does not begin those behind it", () => {
    const { value, log } = watched(function* () {
      const ready = new Future<string>();
      ready.resolve("ready");
      const first = yield* select({ before: new Watched("before"), ready, behind: new Watched("behind") });
      const steps = EventLoop.current().tasks({ awaitStacks: false })[0]!.steps;
      return { first, steps };
    });
    expect(value).toEqual({ first: { key: "ready", value: "ready" }, steps: 1 });
    expect(log).toEqual(["start before", "withdraw before"]);
  });

  test("with fair, each of those that can happen at once is taken sometimes", () => {
    const counts = simulated(function* () {
      const ready = ["a", "b", "c"].map((name) => {
        const future = new Future<string>();
        future.resolve(name);
        return future;
      });
      const counts: Record<string, number> = {};
      for (let i = 0; i < 300; i++) {
        const { value } = yield* select(ready, { fair: true });
        counts[value] = (counts[value] ?? 0) + 1;
      }
      return counts;
    });
    for (const name of ["a", "b", "c"]) expect(counts[name]).toBeGreaterThan(50);
  });

  test("throws what the first one throws, and withdraws the others", () => {
    const { value, log } = watched(function* () {
      const failing = new Future<never>();
      const task = spawn(function* () {
        yield* sleep(1);
        failing.reject(new Error("broken"));
      });
      try {
        yield* select({ failing, other: new Watched("other") });
        return "nothing was thrown";
      } catch (error) {
        yield* task;
        return String(error);
      }
    });
    expect(value).toBe("Error: broken");
    expect(log).toEqual(["start other", "withdraw other"]);
  });

  test("an operand that throws as it begins leaves nothing of those before it", () => {
    const { value, log } = watched(function* () {
      const rejected = new Future<never>();
      rejected.reject(new TypeError("at once"));
      try {
        yield* select({ other: new Watched("other"), rejected });
        return "nothing was thrown";
      } catch (error) {
        return String(error);
      }
    });
    expect(value).toBe("TypeError: at once");
    expect(log).toEqual(["start other", "withdraw other"]);
  });

  test("two that are woken in the same turn: only the first is taken, the other is still there", () => {
    const result = simulated(function* () {
      const queue = new WaitQueue<string>();
      const other = new WaitQueue<string>();
      const selecting = spawn(function* () {
        return yield* select({ one: queue.park("one"), two: other.park("two") });
      });
      yield* yieldNow();
      const woken = [queue.unpark(1, "first"), other.unpark(1, "second")];
      return { woken, chosen: yield* selecting };
    });
    expect(result).toEqual({ woken: [1, 0], chosen: { key: "one", value: "first" } });
  });

  test("withdrawing one operand may serve others who stand in line, never another operand of the same select", () => {
    const result = simulated(function* () {
      const served: string[] = [];
      const queue = new WaitQueue<string>();
      class PassesOn extends Wait<string> {
        readonly reason = "the turn of the next in line";
        protected start(task: Waiter): Started<string> {
          return task.park(this);
        }
        withdraw(): boolean {
          queue.unpark(1, "passed on");
          return true;
        }
      }
      const behind = spawn(function* () {
        yield* sleep(1);
        served.push(yield* queue.park("behind"));
      });
      const done = new Future<string>();
      const selecting = spawn(function* () {
        const nested = select([queue.park("a word"), queue.park("another")]);
        return yield* select({ passes: new PassesOn(), parked: queue.park("a word"), nested, done });
      });
      yield* sleep(2);
      done.resolve("done");
      const chosen = yield* selecting;
      yield* behind;
      return { chosen, served };
    });
    expect(result).toEqual({ chosen: { key: "done", value: "done" }, served: ["passed on"] });
  });

  test("joins tasks, and leaves the ones that lose alone", () => {
    const result = simulated(function* () {
      const quick = spawn(answer, "quick", 1);
      const slow = spawn(answer, "slow", 5);
      const first = yield* select({ quick, slow });
      return { first, slow: yield* slow };
    });
    expect(result).toEqual({ first: { key: "quick", value: "quick" }, slow: "slow" });
  });

  test("a task that has settled is an operand like any other, and happens at once", () => {
    const result = simulated(function* () {
      const [one, two] = [spawn(answer, "one", 1), spawn(answer, "two", 1)];
      yield* sleep(2);
      return [yield* select({ never: sleep(Infinity), two, one }), trySelect([one, two])];
    });
    expect(result).toEqual([
      { key: "two", value: "two" },
      { key: 0, value: "one" },
    ]);
  });

  test("a task cannot select its own end", () => {
    const error = failureOf(function* () {
      const task: Task<void> = spawn(function* (): Coroutine<void> {
        yield* sleep(1);
        yield* select([task, sleep(5)]);
      });
      yield* task;
    });
    expect(error).toMatchObject({ code: "SELF_JOIN" });
  });

  test("selects nest, and giving way is an operand like any other", () => {
    const chosen = simulated(function* () {
      const outer = yield* select({ inner: select({ late: sleep(5), soon: yieldNow() }), never: sleep(Infinity) });
      return { outer, at: now() };
    });
    expect(chosen).toEqual({ outer: { key: "inner", value: { key: "soon", value: undefined } }, at: 0 });
  });

  test("the same select can be used again once it is over", () => {
    const result = simulated(function* () {
      const again = select({ tick: sleep(3), turn: yieldNow() });
      const first = yield* again;
      const second = yield* again;
      return [first.key, second.key, now()];
    });
    expect(result).toEqual(["turn", "turn", 0]);
  });

  test("says what it waits for, and shortens long lists", () => {
    const reasons = simulated(function* () {
      const short = spawn(() => select({ a: sleep(1), b: sleep(2) }));
      const long = spawn(() => select(Array.from({ length: 20 }, (_, i) => sleep(i + 1))));
      yield* yieldNow();
      return [short.waitingFor, long.waitingFor];
    });
    expect(reasons[0]).toBe("one of: sleep 1 ms | sleep 2 ms");
    expect(reasons[1]).toMatch(/sleep 8 ms \| 12 more$/);
  });

  test("an operand that cannot be withdrawn is waited for, and changes nothing", () => {
    const { value, log } = watched(function* () {
      const stubborn = new Watched("stubborn", false);
      const done = new Future<number>();
      const selecting = spawn(() => select({ stubborn, done }));
      yield* yieldNow();
      done.resolve(1);
      yield* sleep(3);
      const early = selecting.isSettled;
      const taken = stubborn.end();
      return { early, taken, chosen: yield* selecting };
    });
    expect(value).toEqual({ early: false, taken: true, chosen: { key: "done", value: 1 } });
    expect(log).toEqual(["start stubborn", "withdraw stubborn"]);
  });

  test("refuses to select from nothing", () => {
    expect(() => select([])).toThrow(/of nothing would never end/);
    expect(() => select({})).toThrow(/pass at least one/);
    expect(() => trySelect([])).toThrow(/trySelect of nothing/);
  });

  test("with a promise among the operands a stall is no deadlock, and none is left outside", async () => {
    const result = await run(function* () {
      const chosen = yield* select({
        promise: until((signal) => new Promise<string>((_, reject) => (signal.onabort = () => reject(signal.reason)))),
        soon: until(Promise.resolve("soon")),
      });
      return { chosen, outside: EventLoop.current().statistics().outside };
    });
    expect(result).toEqual({ chosen: { key: "soon", value: "soon" }, outside: 0 });
  });
});

describe("select with coroutines among its operands", () => {
  test("a coroutine that wins gives its value; one that loses is cancelled, and its cleanup has ended", () => {
    const log: string[] = [];
    const result = simulated(function* () {
      const first = yield* select({ quick: () => answer("quick", 1), slow: careful("slow", log), never: sleep(100) });
      log.push(`over at ${now()}`);
      return first;
    });
    expect(result).toEqual({ key: "quick", value: "quick" });
    expect(log).toEqual(["slow cleans up", "over at 3"]);
  });

  test("a value that a loser gives all the same goes to onUnused", () => {
    const unused: unknown[] = [];
    const result = simulated(function* () {
      return yield* select(
        { now: yieldNow(), stubborn: () => ignoresCancellation() },
        { onUnused: (value, key) => unused.push([key, value]) },
      );
    });
    expect(result.key).toBe("now");
    expect(unused).toEqual([["stubborn", "precious"]]);
  });

  test("a coroutine that fails decides, and its error is thrown as it is", () => {
    const error = failureOf(function* () {
      yield* select([sleep(5), failing]);
    });
    expect(String(error)).toBe("RangeError: failing");
  });

  test("a coroutine that has been used already is refused", () => {
    const error = failureOf(function* () {
      const once = answer("once", 1);
      yield* select([once, sleep(5)]);
      yield* select([once, sleep(5)]);
    });
    expect(error).toMatchObject({ code: "REUSED" });
  });
});

describe("trySelect", () => {
  test("takes what can happen at once, else nothing happens", () => {
    const { value, log } = watched(function* () {
      const ready = new Future<number>();
      const nothing = trySelect({ waits: new Watched("waits"), ready });
      ready.resolve(7);
      return [nothing, trySelect({ waits: new Watched("again"), ready }), now()];
    });
    expect(value).toEqual([undefined, { key: "ready", value: 7 }, 0]);
    expect(log).toEqual(["start waits", "withdraw waits", "start again", "withdraw again"]);
  });

  test("takes what an operand ends with in the very call that began it, an error too", () => {
    class AtOnce extends Wait<string> {
      readonly #error: Error | null;
      readonly reason = "what comes at once";

      constructor(error: Error | null) {
        super();
        this.#error = error;
      }

      protected start(task: Waiter): Started<string> {
        const parked = task.park(this);
        if (this.#error === null) task.wake(this, "now");
        else task.wakeError(this, this.#error);
        return parked;
      }

      withdraw(): boolean {
        return true;
      }
    }
    const result = simulated(function* () {
      yield* sleep(1);
      return [trySelect([new AtOnce(null)]), thrownBy(() => trySelect([new AtOnce(new RangeError("no"))]))];
    });
    expect(result).toEqual([{ key: 0, value: "now" }, new RangeError("no")]);
  });

  test("is for coroutines: outside it is a usage error, and nothing has begun", () => {
    Watched.log = [];
    expect(thrownBy(() => trySelect([new Watched("early")]))).toMatchObject({ code: "OUTSIDE_TASK" });
    expect(Watched.log).toEqual([]);
  });

  test("throws at once what an operand throws, and leaves nothing behind", () => {
    const { value, log } = watched(function* () {
      const failed = new Future<number>();
      failed.reject(new RangeError("no"));
      const closed = new Channel<number>(0, { name: "jobs" });
      closed.close();
      const thrown = [
        thrownBy(() => trySelect({ waits: new Watched("waits"), failed, other: new Watched("other") })),
        thrownBy(() => trySelect([closed.receive()])),
      ];
      return [thrown.map(String), EventLoop.current().statistics().outside];
    });
    expect(value).toEqual([["RangeError: no", expect.stringContaining("ChannelClosedError")], 0]);
    expect(log).toEqual(["start waits", "withdraw waits"]);
  });

  test("begins one operand after the other, and none behind the one that happens", () => {
    const { value, log } = watched(function* () {
      const full = new Channel<string>(1);
      full.trySend("a");
      const chosen = trySelect([full.send("b"), full.receive(), full.receive(), new Watched("behind")]);
      return [chosen, full.statistics().buffered, full.statistics().waitingSenders];
    });
    expect(value).toEqual([{ key: 1, value: "a" }, 0, 0]);
    expect(log).toEqual([]);
  });

  test("takes from a nested select, whose other arms are withdrawn", () => {
    simulated(function* () {
      const [jobs, permits] = [new Channel<number>(1), new Semaphore(1)];
      const try1 = (): unknown => trySelect({ inner: select({ job: jobs.receive(), large: jobs.receive() }) });
      expect(try1()).toBeUndefined();
      yield* jobs.send(1);
      expect(try1()).toEqual({ key: "inner", value: { key: "job", value: 1 } });
      expect(trySelect([select([jobs.receive(), permits.acquire()])])?.value.key).toBe(1);
      expect([jobs.statistics().waitingReceivers, permits.statistics().waiting]).toEqual([0, 0]);
    });
  });

  test("an operand that cannot be withdrawn is refused, and its end disturbs nobody", () => {
    const { log } = watched(function* () {
      const stubborn = new Watched("stubborn", false);
      expect(String(thrownBy(() => trySelect([stubborn, sleep(1)])))).toContain(
        'operand "0" of trySelect (stubborn) has begun and cannot be withdrawn; use select',
      );
      stubborn.end();
      yield* sleep(1);
      yield* sleep(1);
    });
    expect(log).toEqual(["start stubborn", "withdraw stubborn"]);
  });

  test("fair begins at a random operand", () => {
    const keys = new Set<number>();
    simulated(function* () {
      for (let i = 0; i < 40; i++) {
        const jobs = new Channel<number>(1);
        jobs.trySend(i);
        keys.add(trySelect([jobs.receive(), jobs.receive(), jobs.receive()], { fair: true })!.key);
      }
    });
    expect(keys).toEqual(new Set([0, 1, 2]));
  });

  test("refuses coroutines", () => {
    expect(() => trySelect([sleep(1), (() => answer("a", 1)) as never])).toThrow(/operand "1" is a coroutine/);
  });
});

describe("cancelling a select", () => {
  for (const seed of [undefined, 1, 2, 3]) {
    test(`at any step withdraws every operand and takes nothing (order ${seed ?? "of the loop"})`, () => {
      const sweep = cancelSweep(
        () => {
          const queue = new WaitQueue<string>();
          const future = new Future<string>({ name: "an answer" });
          const taken: string[] = [];
          let unparked = 0;
          return {
            main: function* (): Coroutine<void> {
              const feeding = spawn(function* () {
                yield* sleep(3);
                unparked += queue.unpark(1, "word");
                future.tryResolve("answer");
              });
              const { key } = yield* select({
                parked: queue.park("a word"),
                future,
                sleeping: sleep(10),
                slow: slowly,
              });
              taken.push(key);
              yield* feeding;
            },
            check: () => {
              expect(queue.size).toBe(0);
              expect(taken.filter((key) => key === "parked").length).toBe(unparked); // handed over means received
            },
          };
        },
        { ...(seed === undefined ? {} : { seed }), target: "stepped" },
      );
      expect(sweep.runs).toBeGreaterThan(5);
    });
  }

  test("aborts what its promises were started with", async () => {
    let aborted: unknown;
    const outcome = await run(function* () {
      const task = spawn(() =>
        select({
          never: until((signal) => {
            signal.addEventListener("abort", () => (aborted = signal.reason));
            return new Promise<never>(() => {});
          }),
          long: sleep(60_000),
        }),
      );
      yield* yieldNow();
      yield* task.cancel("enough");
      return [task.outcome?.status, EventLoop.current().statistics()] as const;
    });
    expect(outcome[0]).toBe("cancelled");
    expect(outcome[1]).toMatchObject({ timers: 0, outside: 0 });
    expect(aborted).toMatchObject({ name: "CancelledError" });
  });
});

describe("when the withdrawal of an arm serves another arm", () => {
  /** A large request stands before a small one; it is an arm of a select that also waits for `meeting`. */
  function* crowded(meeting: Operation<unknown>): Coroutine<{ permits: Semaphore; other: Task<{ key: string }> }> {
    const permits = new Semaphore(2, { max: 3 });
    const other = spawn(() => select({ large: permits.acquire(3), meeting }));
    yield* sleep(1);
    return { permits, other };
  }

  test("a select that begins takes one thing: a value that is sent to it is not lost to a permit", () => {
    simulated(function* () {
      const channel = new Channel<string>();
      const { permits, other } = yield* crowded(channel.send("v"));
      const chosen = yield* select({ permit: permits.acquire(1), value: channel.receive() });
      expect(chosen).toEqual({ key: "value", value: "v" });
      expect((yield* other).key).toBe("meeting");
      expect(permits.statistics()).toEqual({ name: "semaphore", available: 2, max: 3, waiting: 0 });
    });
  });

  test("a select that begins sends, receives from a full buffer and meets in the same way", () => {
    simulated(function* () {
      const channel = new Channel<string>();
      let { permits, other } = yield* crowded(channel.receive());
      expect((yield* select([permits.acquire(1), channel.send("v")])).key).toBe(1);
      expect(yield* other).toEqual({ key: "meeting", value: "v" });

      const full = new Channel<number>(1);
      full.trySend(1);
      ({ permits, other } = yield* crowded(full.send(2)));
      expect(yield* select([permits.acquire(1), full.receive()])).toEqual({ key: 1, value: 1 });
      expect((yield* other).key).toBe("meeting");
      expect(full.drain()).toEqual([2]);

      const barrier = new Barrier(2);
      ({ permits, other } = yield* crowded(barrier.wait()));
      expect(yield* select([permits.acquire(1), barrier.wait()])).toEqual({ key: 1, value: 1 });
      expect((yield* other).key).toBe("meeting");
      expect(permits.available).toBe(2);
    });
  });

  test("trySelect takes one thing too", () => {
    simulated(function* () {
      const channel = new Channel<string>();
      const { permits, other } = yield* crowded(channel.send("v"));
      expect(trySelect([permits.acquire(1), channel.receive()])).toEqual({ key: 1, value: "v" });
      expect((yield* other).key).toBe("meeting");
      expect(permits.available).toBe(2);
    });
  });

  test("what happens in a nested select keeps the operands around it from happening", () => {
    simulated(function* () {
      const permits = new Semaphore(2, { max: 3 });
      const jobs = new Channel<number>();
      const task = spawn(() =>
        select({ inner: select({ large: permits.acquire(3), job: jobs.receive() }), small: permits.acquire(1) }),
      );
      yield* sleep(1);
      expect(permits.statistics().waiting).toBe(2);
      yield* jobs.send(9);
      expect(yield* task).toEqual({ key: "inner", value: { key: "job", value: 9 } });
      expect(permits.statistics()).toEqual({ name: "semaphore", available: 2, max: 3, waiting: 0 });
    });
  });

  test("a chain of thousands of selects, each of which frees the next, needs no stack", () => {
    simulated(function* () {
      const permits = Array.from({ length: 5_000 }, () => new Semaphore(1, { max: 2 }));
      const go = new Event();
      const first = spawn(() => select([permits[0]!.acquire(2), go.wait()]));
      const tasks = permits
        .slice(1)
        .map((own, index) => spawn(() => select([own.acquire(2), permits[index]!.acquire()])));
      yield* sleep(1);
      go.set();
      expect((yield* first).key).toBe(1);
      for (const task of tasks) expect((yield* task).key).toBe(1);
    });
  });

  test("a task that is cancelled by what is withdrawn keeps what has happened", () => {
    simulated(function* () {
      const channel = new Channel<number>();
      let got: unknown;
      const task: Task<void> = spawn(function* () {
        got = yield* select([channel.receive(), new Aborting(() => void task.cancel())]);
        yield* sleep(1);
      });
      yield* sleep(1);
      expect(channel.trySend(5)).toBe(true);
      yield* sleep(5);
      expect(got).toEqual({ key: 0, value: 5 });
      expect(task.outcome?.status).toBe("cancelled");
    });
  });

  test("an operand that throws while it is withdrawn, and cannot say what it is, is reported; selects go on", () => {
    const { outcome, reports } = simulateSync(function* () {
      const failing = new Aborting(() => {
        throw new RangeError("no abort");
      });
      Object.defineProperty(failing, "reason", {
        get() {
          throw new RangeError("no reason");
        },
      });
      yield* select([failing, sleep(1)]);
      return (yield* select([sleep(1), new Channel().receive()])).key;
    });
    expect(outcome).toEqual({ status: "succeeded", value: 0 });
    expect(reports.map(({ kind }) => kind)).toEqual(["lost-error"]);
  });
});

describe("misuse and loss", () => {
  test("what had happened goes to onUnused when the cleanup of a loser fails", () => {
    simulated(function* () {
      const jobs = new Channel<number>();
      const unused: unknown[] = [];
      function* fragile(): Coroutine<void> {
        try {
          yield* sleep(9);
        } finally {
          yield* sleep(0);
          throw new RangeError("fragile"); // oxlint-disable-line no-unsafe-finally -- what a failing cleanup is
        }
      }
      const options = { onUnused: (value: unknown, key: string | number) => void unused.push([key, value]) };
      spawn(function* () {
        yield* sleep(1);
        yield* jobs.send(8);
      });
      let thrown: unknown;
      try {
        yield* select({ fragile, job: jobs.receive() }, options);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(RangeError);
      expect(unused).toEqual([["job", 8]]);
    });
  });

  test.each([undefined, null, 5, "text", Promise.resolve(1)])(
    "an operand that is no operation (%s) is named",
    (bad) => {
      const error = thrownBy(() => select({ bad: bad as never }));
      expect(error).toMatchObject({ code: "NOT_AN_OPERATION" });
      expect(String(error)).toContain('operand "bad" of select is no operation');
      expect(thrownBy(() => trySelect({ bad: bad as never }))).toMatchObject({ code: "NOT_AN_OPERATION" });
    },
  );

  test.each([undefined, sleep(1), new Set([sleep(1)]), Promise.resolve(), () => sleep(1)])(
    "%s is no list of operands",
    (bad) => {
      expect(String(thrownBy(() => select(bad as never)))).toContain(
        "select takes one list or record of operations, got",
      );
      expect(thrownBy(() => trySelect(bad as never))).toMatchObject({ name: "UsageError", code: "USAGE" });
    },
  );
});

/** Calls back while it is withdrawn, as what aborts something may do. */
class Aborting extends Wait<void> {
  readonly #onWithdraw: () => void;

  constructor(onWithdraw: () => void) {
    super();
    this.#onWithdraw = onWithdraw;
  }

  get reason(): string {
    return "aborting";
  }

  protected start(task: Waiter): Started<void> {
    return task.park(this);
  }

  withdraw(): boolean {
    this.#onWithdraw();
    return true;
  }
}

function* answer(value: string, ms: number): Coroutine<string> {
  yield* sleep(ms);
  return value;
}

function* slowly(): Coroutine<string> {
  yield* sleep(50);
  return "slow";
}

function* careful(name: string, log: string[]): Coroutine<string> {
  try {
    yield* sleep(50);
    return name;
  } finally {
    yield* sleep(2);
    log.push(`${name} cleans up`);
  }
}

function* ignoresCancellation(): Coroutine<string> {
  try {
    yield* sleep(50);
  } catch {
    // a cancelled body may still give what it has
  }
  return "precious";
}

function* failing(): Coroutine<never> {
  yield* sleep(1);
  throw new RangeError("failing");
}
