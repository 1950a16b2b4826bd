import { all, EventLoop, moveOnAfter, run, scope, sleep, spawn, timeout, yieldNow } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { CIRCUIT_TRANSITIONS, CircuitBreaker, CircuitOpenError } from "../../src/time/index.ts";
import type { CircuitBreakerOptions, CircuitState } from "../../src/time/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";

const down = new Error("down");

function* fail(): Coroutine<never> {
  throw down;
}

function* succeed(): Coroutine<string> {
  return "value";
}

/** How a call ends: "ok", "refused", or "failed". */
function* outcomeOf(breaker: CircuitBreaker, body: () => Operation<unknown>): Coroutine<string> {
  try {
    yield* breaker.use(body);
    return "ok";
  } catch (error) {
    if (error instanceof CircuitOpenError) return "refused";
    if (error === down) return "failed";
    throw error;
  }
}

function* times(breaker: CircuitBreaker, count: number, body: () => Operation<unknown>): Coroutine<string[]> {
  const ends: string[] = [];
  for (let i = 0; i < count; i++) ends.push(yield* outcomeOf(breaker, body));
  return ends;
}

describe("CircuitBreaker", () => {
  test("closed, it lets values and errors through as they are", () => {
    const breaker = new CircuitBreaker();
    expect(simulated(() => breaker.use(succeed))).toBe("value");
    expect(failureOf(() => breaker.use(fail))).toBe(down);
    expect(breaker.state).toBe("closed");
  });

  test("an error without a verdict counts neither as a failure nor as a success", () => {
    const breaker = new CircuitBreaker({ failures: 2, isFailure: () => undefined });
    const seen = simulated(() => times(breaker, 5, fail));
    expect([seen, breaker.state]).toEqual([["failed", "failed", "failed", "failed", "failed"], "closed"]);
    expect(breaker.statistics()).toMatchObject({ failed: 0, succeeded: 0 });
  });

  test("opens after so many failures, and then calls nothing", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 3, openMs: 100, name: "stock" });
      expect(yield* times(breaker, 5, fail)).toEqual(["failed", "failed", "failed", "refused", "refused"]);
      yield* sleep(40);
      let error: unknown;
      try {
        yield* breaker.use(succeed);
      } catch (it) {
        error = it;
      }
      expect(error).toMatchObject({ code: "CIRCUIT_OPEN", retryAt: 100, retryAfterMs: 60, name: "CircuitOpenError" });
      expect((error as Error).message).toContain('"stock" is open, the call was not made; try again in 60 ms');
      expect(breaker.state).toBe("open");
    });
  });

  test("tries one call when its time has passed: a success closes it, a failure opens it again", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1, openMs: 100 });
      yield* times(breaker, 1, fail);
      yield* sleep(99);
      expect(yield* times(breaker, 1, succeed)).toEqual(["refused"]);
      yield* sleep(1);
      expect(breaker.state).toBe("open"); // until somebody comes
      expect(yield* times(breaker, 2, fail)).toEqual(["failed", "refused"]);
      yield* sleep(100);
      expect(yield* times(breaker, 2, succeed)).toEqual(["ok", "ok"]);
      expect([breaker.state, now()]).toEqual(["closed", 200]);
    });
  });

  test("half-open, so many trials go on at the same time and no more", () => {
    simulated(function* () {
      const seen: unknown[] = [];
      const breaker = new CircuitBreaker({ failures: 1, openMs: 10, halfOpenMax: 2 });
      yield* times(breaker, 1, fail);
      yield* sleep(10);
      const ends = yield* all(
        [1, 2, 3].map(
          () => () =>
            outcomeOf(breaker, function* () {
              yield* sleep(5);
              seen.push([breaker.state, breaker.statistics().trials]);
            }),
        ),
      );
      expect(seen).toEqual([
        ["half-open", 2],
        ["closed", 0],
      ]);
      expect(ends).toEqual(["ok", "ok", "refused"]);
      expect([breaker.state, breaker.statistics().trials]).toEqual(["closed", 0]);
    });
  });

  test("the error of a call that is refused beside a trial says when to come: when that has ended", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1, openMs: 10 });
      yield* times(breaker, 1, fail);
      yield* sleep(10);
      const trial = spawn(() => breaker.use(() => sleep(5)));
      yield* yieldNow();
      yield* yieldNow();
      try {
        yield* breaker.use(succeed);
      } catch (error) {
        expect(error).toMatchObject({ retryAfterMs: 0, message: expect.stringContaining("a trial call is going on") });
      }
      yield* trial;
      expect(breaker.statistics().refused).toBe(1);
    });
  });

  test("a cancelled call counts as nothing, and a trial gives its place back", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1, openMs: 10 });
      for (let i = 0; i < 3; i++)
        yield* moveOnAfter(
          1,
          breaker.use(() => sleep(50)),
        );
      expect(breaker.state).toBe("closed");
      yield* times(breaker, 1, fail);
      yield* sleep(10);
      yield* moveOnAfter(
        1,
        breaker.use(() => sleep(50)),
      );
      expect([breaker.state, breaker.statistics().trials]).toEqual(["half-open", 0]);
      expect(yield* times(breaker, 1, succeed)).toEqual(["ok"]);
      expect(breaker.statistics()).toMatchObject({ cancelled: 4, failed: 1, succeeded: 1, state: "closed" });
    });
  });

  test("a time-out inside is a failure", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1 });
      try {
        yield* breaker.use(() => timeout(1, sleep(50)));
      } catch {}
      expect(breaker.state).toBe("open");
    });
  });

  test("a call that began before the state changed does not count", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1, openMs: 10 });
      yield* scope(function* (own) {
        own.spawn(outcomeOf, breaker, function* () {
          yield* sleep(30);
          throw down;
        });
        own.spawn(outcomeOf, breaker, () => sleep(15));
        yield* sleep(1);
        yield* times(breaker, 1, fail); // opens it, at 1
        yield* sleep(12); // 13
        const trial = own.spawn(outcomeOf, breaker, () => sleep(10));
        yield* sleep(5); // 18: the straggler has succeeded at 15, the trial goes on
        expect(breaker.state).toBe("half-open");
        expect(yield* trial).toBe("ok"); // 23
        expect(breaker.state).toBe("closed");
      });
      expect([now(), breaker.state]).toEqual([30, "closed"]); // the other one has failed
    });
  });

  test("failures count for a window, which moves in tenths", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 2, windowMs: 1_000 });
      yield* sleep(50);
      yield* times(breaker, 1, fail);
      yield* sleep(949); // 999: the tenth slice
      expect(breaker.statistics()).toMatchObject({ callsInWindow: 1, failuresInWindow: 1 });
      yield* sleep(1);
      expect(breaker.statistics()).toMatchObject({ callsInWindow: 0, failuresInWindow: 0 });
      yield* times(breaker, 1, fail);
      expect(breaker.state).toBe("closed");
      yield* sleep(500);
      yield* times(breaker, 1, fail);
      expect(breaker.state).toBe("open");
    });
  });

  test("the number alone does not open it where most calls succeed", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 3, ratio: 0.5 });
      yield* times(breaker, 4, succeed);
      yield* times(breaker, 3, fail); // 3 of 7
      expect(breaker.state).toBe("closed");
      yield* times(breaker, 1, fail); // 4 of 8
      expect(breaker.state).toBe("open");
      const strict = new CircuitBreaker({ failures: 3, ratio: 0 });
      yield* times(strict, 100, succeed);
      expect(yield* times(strict, 4, fail)).toEqual(["failed", "failed", "failed", "refused"]);
      const exact = new CircuitBreaker({ failures: 7, ratio: 0.07 }); // 0.07 * 100 is more than 7
      yield* times(exact, 93, succeed);
      yield* times(exact, 7, fail);
      expect(exact.state).toBe("open");
    });
  });

  test("an error that is no failure counts as success", () => {
    const missing = new Error("404");
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1, openMs: 10, isFailure: (error) => error !== missing });
      const ask = (): Coroutine<void> =>
        breaker.use(function* () {
          throw missing;
        });
      for (let i = 0; i < 3; i++) {
        try {
          yield* ask();
        } catch (error) {
          expect(error).toBe(missing);
        }
      }
      expect(breaker.state).toBe("closed");
      yield* times(breaker, 1, fail);
      yield* sleep(10);
      try {
        yield* ask();
      } catch {}
      expect(breaker.state).toBe("closed");
    });
  });

  test("an isFailure that throws: the call has failed, and a trial gives its place back", () => {
    const wrong = new Error("isFailure");
    simulated(function* () {
      const breaker = new CircuitBreaker({
        failures: 1,
        openMs: 10,
        isFailure: () => {
          throw wrong;
        },
      });
      for (let i = 0; i < 2; i++) {
        try {
          yield* breaker.use(fail);
        } catch (error) {
          expect(error).toBe(wrong);
        }
        expect([breaker.state, breaker.statistics().trials]).toEqual(["open", 0]);
        yield* sleep(10);
      }
    });
  });

  test("trip and reset, by hand and from plain code", async () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 2, openMs: 10 });
      breaker.trip();
      expect(yield* times(breaker, 1, succeed)).toEqual(["refused"]);
      yield* sleep(5);
      breaker.trip(20); // from now on
      yield* sleep(19);
      expect(yield* times(breaker, 1, succeed)).toEqual(["refused"]);
      breaker.reset();
      expect(yield* times(breaker, 1, fail)).toEqual(["failed"]);
      breaker.reset(); // forgets the failure
      expect(yield* times(breaker, 2, fail)).toEqual(["failed", "failed"]);
      breaker.trip(Infinity);
      yield* sleep(1e9);
      const error = yield* thrownIn(breaker.use(succeed));
      expect(error).toMatchObject({ retryAt: Infinity, message: expect.stringContaining("call reset() to close it") });
    });
    const breaker = new CircuitBreaker();
    expect(thrownBy(() => breaker.trip())).toMatchObject({ code: "NO_LOOP" });
    breaker.reset();
    expect(breaker.statistics().callsInWindow).toBe(0);
    await run(() => breaker.use(succeed));
    breaker.trip();
    expect(breaker.state).toBe("open");
    breaker.reset();
    expect([breaker.state, breaker.statistics().opened]).toEqual(["closed", 1]);
    for (const ms of [-1, NaN]) expect(thrownBy(() => breaker.trip(ms))).toMatchObject({ code: "USAGE" });
  });

  test("reset: calls that go on do not count any more", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1 });
      const call = spawn(outcomeOf, breaker, function* () {
        yield* sleep(5);
        throw down;
      });
      yield* sleep(1);
      breaker.reset();
      yield* call;
      expect(breaker.state).toBe("closed");
    });
  });

  test("tells of every change; what the listener throws is reported and harms no call", () => {
    const changes: unknown[] = [];
    const bug = new Error("listener");
    const { outcome, reports } = simulateSync(function* () {
      const breaker = new CircuitBreaker({
        failures: 1,
        openMs: 10,
        onStateChange: ({ from, to, at }) => {
          changes.push(`${from} → ${to} at ${at}`);
          throw bug;
        },
      });
      yield* times(breaker, 1, fail);
      yield* sleep(10);
      return yield* times(breaker, 1, succeed);
    });
    expect(outcome).toEqual({ status: "succeeded", value: ["ok"] });
    expect(changes).toEqual(["closed → open at 0", "open → half-open at 10", "half-open → closed at 10"]);
    expect(reports.map((it) => [it.kind, it.error])).toEqual(Array.from({ length: 3 }, () => ["callback-failed", bug]));
  });

  test("counts what happens", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 2 });
      yield* times(breaker, 1, succeed);
      yield* times(breaker, 1, fail);
      const statistics = breaker.statistics();
      expect(statistics).toEqual({
        state: "closed",
        succeeded: 1,
        failed: 1,
        cancelled: 0,
        refused: 0,
        opened: 0,
        trials: 0,
        callsInWindow: 2,
        failuresInWindow: 1,
      });
      expect(Object.isFrozen(statistics)).toBe(true);
      yield* times(breaker, 2, fail);
      expect(breaker.statistics()).toMatchObject({ failed: 2, refused: 1, opened: 1 });
    });
  });

  test("keeps no timer, so an open one keeps no process alive", () => {
    simulated(function* () {
      const breaker = new CircuitBreaker({ failures: 1 });
      yield* times(breaker, 1, fail);
      expect(EventLoop.current().statistics().timers).toBe(0);
    });
  });

  test("its transitions lead to states that there are, and every state can be left", () => {
    const states = Object.keys(CIRCUIT_TRANSITIONS) as CircuitState[];
    for (const next of Object.values(CIRCUIT_TRANSITIONS)) {
      expect(next.length).toBeGreaterThan(0);
      for (const state of next) expect(states).toContain(state);
    }
  });

  test.each([
    ["failures", 0],
    ["failures", 1.5],
    ["ratio", 2],
    ["windowMs", 0],
    ["openMs", -1],
    ["openMs", NaN],
    ["halfOpenMax", 0],
  ])("refuses %s of %s", (option, value) => {
    const options = { [option]: value } as CircuitBreakerOptions;
    expect(thrownBy(() => new CircuitBreaker(options))).toMatchObject({ code: "USAGE" });
  });

  test.each(["main", "stepped"] as const)("cancelled at any step, no place of a trial is lost (%s)", (target) => {
    for (const seed of [undefined, 1, 2, 3]) {
      cancelSweep(
        () => {
          const breaker = new CircuitBreaker({ failures: 1, openMs: 5, halfOpenMax: 2 });
          return {
            main: () =>
              scope(function* (own) {
                breaker.trip();
                yield* sleep(5);
                for (const ms of [3, 0, 2]) {
                  own.spawn(outcomeOf, breaker, function* () {
                    yield* sleep(ms);
                    throw down;
                  });
                }
                yield* sleep(6);
                yield* times(breaker, 1, fail);
              }),
            check: () => expect(breaker.statistics().trials).toBe(0),
          };
        },
        { target, ...(seed === undefined ? {} : { seed }) },
      );
    }
  });
});

function* thrownIn(call: Coroutine<unknown>): Coroutine<unknown> {
  try {
    yield* call;
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
