import { currentScope, EventLoop, moveOnAfter, scope, sleep, spawn } from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { debounce, throttle } from "../../src/time/index.ts";
import type { DebounceOptions, PacedFunction, ThrottleOptions } from "../../src/time/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";

type Pacer = (fn: (value: number) => Coroutine<void>) => PacedFunction<[number]>;

/** Calls at these times, each with its time; what runs when. A run takes `takesMs`. */
function runsOf(make: Pacer, calls: readonly number[], takesMs = 0): string[] {
  const log: string[] = [];
  simulated(() =>
    scope(function* () {
      const call = make(function* (value) {
        log.push(`${value} at ${now()}`);
        if (takesMs === 0) return;
        try {
          yield* sleep(takesMs);
          log.push(`${value} done at ${now()}`);
        } catch (error) {
          log.push(`${value} cancelled at ${now()}`);
          throw error;
        }
      });
      for (const at of calls) {
        if (at > now()) yield* sleep(at - now());
        call(at);
      }
    }),
  );
  return log;
}

const debounced = (calls: readonly number[], options: DebounceOptions = {}, takesMs = 0): string[] =>
  runsOf((fn) => debounce(10, fn, options), calls, takesMs);
const throttled = (calls: readonly number[], options: ThrottleOptions = {}, takesMs = 0): string[] =>
  runsOf((fn) => throttle(10, fn, options), calls, takesMs);

describe("debounce", () => {
  test("runs once the calls have stopped, with the latest arguments", () => {
    expect(debounced([0, 3, 12, 30])).toEqual(["12 at 22", "30 at 40"]);
    expect(debounced([0])).toEqual(["0 at 10"]);
  });

  test("leading: the first call of a burst at once, the latest one in the end", () => {
    expect(debounced([0, 3, 12, 30], { leading: true })).toEqual(["0 at 0", "12 at 22", "30 at 30"]);
    expect(debounced([0, 3, 12, 22, 31], { leading: true, trailing: false })).toEqual(["0 at 0", "22 at 22"]);
  });

  test("leading: two calls in one step are a first and a latest", () => {
    expect(debounced([0, 0, 0], { leading: true })).toEqual(["0 at 0", "0 at 10"]);
  });

  test("maxWaitMs: a call waits no longer, however many follow", () => {
    expect(debounced([0, 8, 16, 24, 32, 40], { maxWaitMs: 25 })).toEqual(["24 at 25", "40 at 50"]);
    expect(debounced([0, 1], { maxWaitMs: 0 })).toEqual(["0 at 0", "1 at 1"]);
  });

  test("of 0 ms runs in the next turn, once for the calls of one step", () => {
    expect(runsOf((fn) => debounce(0, fn), [0, 0, 5])).toEqual(["0 at 0", "5 at 5"]);
  });

  test("runs never overlap: a run waits for the one before", () => {
    expect(debounced([0, 12], {}, 30)).toEqual(["0 at 10", "0 done at 40", "12 at 40", "12 done at 70"]);
    // Calls that come meanwhile are that one run.
    expect(debounced([0, 12, 25, 38], {}, 35)).toEqual(["0 at 10", "0 done at 45", "38 at 45", "38 done at 80"]);
    expect(debounced([0, 15], { leading: true }, 30)).toEqual(["0 at 0", "0 done at 30", "15 at 30", "15 done at 60"]);
  });

  test("or cancels the one before", () => {
    expect(debounced([0, 12], { previous: "cancel" }, 30)).toEqual([
      "0 at 10",
      "0 cancelled at 22",
      "12 at 22",
      "12 done at 52",
    ]);
  });
});

describe("throttle", () => {
  test("runs at once, then at most once in that time, with the latest arguments", () => {
    expect(throttled([0, 3, 6, 12, 40])).toEqual(["0 at 0", "6 at 10", "12 at 20", "40 at 40"]);
  });

  test("without trailing, calls that come too early are left out", () => {
    expect(throttled([0, 3, 10, 12, 25], { trailing: false })).toEqual(["0 at 0", "10 at 10", "25 at 25"]);
  });

  test("without leading, the first one waits, too", () => {
    expect(throttled([0, 3, 6, 12, 40], { leading: false })).toEqual(["6 at 10", "12 at 20", "40 at 50"]);
  });

  test("two calls in one step are a first and a latest", () => {
    expect(throttled([0, 0, 0])).toEqual(["0 at 0", "0 at 10"]);
  });

  test("runs never overlap; the time counts from begin to begin", () => {
    expect(throttled([0, 5], {}, 25)).toEqual(["0 at 0", "0 done at 25", "5 at 25", "5 done at 50"]);
    expect(throttled([0, 5, 26], {}, 25)).toEqual([
      "0 at 0",
      "0 done at 25",
      "5 at 25",
      "5 done at 50",
      "26 at 50",
      "26 done at 75",
    ]);
    expect(throttled([0, 5], { previous: "cancel" }, 25)).toEqual([
      "0 at 0",
      "0 cancelled at 10",
      "5 at 10",
      "5 done at 35",
    ]);
  });
});

describe.each([
  ["debounce", debounce],
  ["throttle", (ms: number, fn: never, options: object) => throttle(ms, fn, { leading: false, ...options })],
] as [string, typeof debounce][])("%s", (name, make) => {
  test("its scope ends after the pending call has run", () => {
    expect(
      simulated(function* () {
        const log: string[] = [];
        yield* scope(function* () {
          make(10, function* () {
            yield* sleep(5);
            log.push(`ran until ${now()}`);
          })();
        });
        return [...log, now()];
      }),
    ).toEqual(["ran until 15", 15]);
  });

  test("cancelling its scope drops the pending call and its timer, and cancels the run", () => {
    const log: unknown[] = [];
    simulated(function* () {
      yield* moveOnAfter(12, function* () {
        const call = make(10, function* (value: string) {
          log.push(value);
          yield* sleep(100);
          log.push("not reached");
        });
        call("runs");
        yield* sleep(11);
        call("pending");
        yield* sleep(100);
      });
      expect(EventLoop.current().statistics().timers).toBe(0);
      yield* sleep(500);
    });
    expect(log).toEqual(["runs"]);
  });

  test("a failure of the function fails its scope", () => {
    const error = new Error("own");
    expect(
      failureOf(() =>
        scope(function* () {
          make(1, function* () {
            throw error;
          })();
          yield* sleep(100);
        }),
      ),
    ).toBe(error);
  });

  test("may be called from plain code, with a scope that is given", () => {
    const log: unknown[] = [];
    simulated(() =>
      scope(function* (own) {
        const call = make(10, function* (value: string) {
          log.push([value, now()]);
        });
        const other = yield* scope(function* () {
          return make(
            10,
            function* (value: string) {
              log.push([value, now()]);
            },
            { scope: own },
          );
        });
        EventLoop.current().callLater(5, () => {
          call("plain");
          other("given");
        });
        yield* sleep(20);
      }),
    );
    expect(log).toEqual([
      ["plain", 15],
      ["given", 15],
    ]);
  });

  test("after its scope has ended it says so", () => {
    simulated(function* () {
      const call = yield* scope(function* () {
        return make(10, function* () {});
      });
      expect(thrownBy(() => call())).toMatchObject({ code: "SCOPE_CLOSED" });
      expect(call.isPending).toBe(false);
    });
  });

  test("flush runs the pending call now and waits for it", () => {
    const log: unknown[] = [];
    simulated(() =>
      scope(function* () {
        const call = make(10, function* (value: number) {
          yield* sleep(3);
          log.push([value, now()]);
        });
        call(1);
        yield* sleep(2);
        call(2);
        expect([call.isPending, EventLoop.current().statistics().timers]).toEqual([true, 1]);
        yield* call.flush();
        log.push(now(), call.isPending);
        yield* call.flush(); // nothing to do
        call(3);
        call.flush(); // is a request at once, waited for or not
        yield* sleep(4);
        log.push(now(), EventLoop.current().statistics().timers);
      }),
    );
    expect(log).toEqual([[2, 5], 5, false, [3, 8], 9, 0]);
  });

  test("flush waits for a run that goes on, too", () => {
    simulated(() =>
      scope(function* () {
        const call = make(10, () => sleep(20));
        call();
        yield* sleep(15);
        yield* call.flush();
        expect(now()).toBe(30);
        yield* moveOnAfter(1, call.flush());
      }),
    );
  });

  test("cancel forgets the pending call at once; a run goes on", () => {
    const log: unknown[] = [];
    simulated(() =>
      scope(function* () {
        const call = make(10, function* (value: number) {
          log.push(`begin ${value}`);
          yield* sleep(20);
          log.push(`end ${value} at ${now()}`);
        });
        call.cancel(); // nothing to do
        call(1);
        yield* sleep(15);
        call(2);
        call.cancel();
        expect(call.isPending).toBe(false);
        yield* sleep(1);
        expect(EventLoop.current().statistics().timers).toBe(1); // that of the run
      }),
    );
    expect(log).toEqual(["begin 1", "end 1 at 30"]);
  });

  test("cancel forgets even what was flushed in the same step", () => {
    const log: unknown[] = [];
    simulated(() =>
      scope(function* () {
        const call = make(10, function* (value: number) {
          log.push(value);
        });
        for (const waitMs of [0, 1]) {
          call(1);
          if (waitMs > 0) yield* sleep(waitMs);
          call.flush();
          call.cancel();
          yield* sleep(20);
        }
        call(2);
      }),
    );
    expect(log).toEqual([2]);
  });

  test("a call from inside its own run is a call like any other", () => {
    const log: unknown[] = [];
    simulated(() =>
      scope(function* () {
        const call: PacedFunction<[number]> = make(10, function* (value: number) {
          log.push([value, now()]);
          if (value < 3) call(value + 1);
        });
        call(1);
      }),
    );
    expect(log).toEqual([
      [1, 10],
      [2, 20],
      [3, 30],
    ]);
  });

  test("can be seen: name, wait, statistics", () => {
    simulated(() =>
      scope(function* () {
        const call = make(10, function* save() {
          yield* sleep(5);
        });
        expect(call.name).toBe("save");
        expect(call.statistics()).toEqual({ calls: 0, runs: 0, isPending: false, isRunning: false });
        call();
        call();
        yield* sleep(1);
        const [task] = currentScope().tasks;
        expect([task!.name, task!.waitingFor]).toEqual(["save", 'the time of the pending call of "save"']);
        expect(call.statistics()).toEqual({ calls: 2, runs: 0, isPending: true, isRunning: false });
        yield* sleep(10);
        expect(call.statistics()).toEqual({ calls: 2, runs: 1, isPending: false, isRunning: true });
        expect(make(10, () => sleep(1)).name).toBe(name);
      }),
    );
  });

  test.each(["main", "stepped"] as const)(
    "cancelled at any step it leaves nothing, and runs never overlap (%s)",
    (target) => {
      for (const previous of ["await", "cancel"] as const) {
        for (const seed of [undefined, 1, 2, 3]) {
          cancelSweep(
            () => {
              let going = 0;
              let most = 0;
              return {
                main: () =>
                  scope(function* () {
                    const call = make(
                      3,
                      function* () {
                        most = Math.max(most, ++going);
                        try {
                          yield* sleep(4);
                        } finally {
                          going--;
                          yield* sleep(1);
                        }
                      },
                      { previous },
                    );
                    for (const ms of [1, 2, 5, 4]) {
                      call();
                      yield* sleep(ms);
                    }
                    spawn(() => call.flush());
                    yield* call.flush();
                  }),
                check: () => {
                  expect(going).toBe(0);
                  expect(most).toBeLessThanOrEqual(1);
                },
              };
            },
            { target, ...(seed === undefined ? {} : { seed }) },
          );
        }
      }
    },
  );

  test("refuses what does not fit, at once", () => {
    simulated(function* () {
      const refused: (() => unknown)[] = [
        () => make(-1, function* () {}),
        () => make(NaN, function* () {}),
        () => make(1, sleep(1) as never),
        () => make(1, function* () {}, { leading: false, trailing: false }),
        () => make(1, function* () {}, { previous: "kill" as never }),
      ];
      for (const call of refused) expect(thrownBy(call)).toMatchObject({ code: "USAGE" });
    });
    expect(thrownBy(() => make(1, function* () {}))).toMatchObject({ code: "OUTSIDE_TASK" });
  });
});

test("debounce refuses a wrong maxWaitMs", () => {
  expect(thrownBy(() => debounce(1, function* () {}, { maxWaitMs: -1 }))).toMatchObject({ code: "USAGE" });
});
