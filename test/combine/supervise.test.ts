import {
  CancelledError,
  currentTask,
  EventLoop,
  Future,
  moveOnAfter,
  sleep,
  spawn,
  suppressedErrors,
  TaskLocal,
  UsageError,
} from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import type { Simulation } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { RestartLimitError, supervise, Supervisor } from "../../src/combine/index.ts";
import type { Restart, SuperviseOptions } from "../../src/combine/index.ts";
import { failureOf, now, simulated, thrownBy } from "../core/simulated.ts";
import { fail } from "./operands.ts";

/** A child that runs for so long each time, then fails; the last time for ever. Tells of its starts and stops. */
function child(log: string[], name: string, ...lives: number[]): () => Coroutine<void> {
  let started = 0;
  return function* () {
    const ms = lives[started++];
    log.push(`${name}+${now()}`);
    try {
      yield* sleep(ms ?? 1_000_000);
    } finally {
      log.push(`${name}-${now()}`);
    }
    throw new Error(`${name} ${started}`);
  };
}

/** What happened within 100 ms. */
function watched(
  children: (log: string[]) => Parameters<typeof supervise>[0],
  options: SuperviseOptions = {},
): { readonly log: string[]; readonly run: Simulation<unknown> } {
  const log: string[] = [];
  const run = simulateSync(() => moveOnAfter(100, supervise(children(log), { onRestart: () => {}, ...options })));
  expect(run.leaks).toEqual([]);
  return { log, run };
}

describe("supervise", () => {
  test("one for one: only the child that failed is started again", () => {
    const { log } = watched((it) => ({ a: child(it, "a"), b: child(it, "b", 5, 10), c: child(it, "c") }));
    expect(log).toEqual(["a+0", "b+0", "c+0", "b-5", "b+5", "b-15", "b+15", "c-100", "b-100", "a-100"]);
  });

  test("one for all: the others are stopped, the last one first, and all are started in order", () => {
    const { log } = watched((it) => ({ a: child(it, "a"), b: child(it, "b", 5), c: child(it, "c") }), {
      strategy: "oneForAll",
    });
    expect(log.slice(3, 9)).toEqual(["b-5", "c-5", "a-5", "a+5", "b+5", "c+5"]);
  });

  test("rest for one: those after it too", () => {
    const { log } = watched((it) => ({ a: child(it, "a"), b: child(it, "b", 5), c: child(it, "c") }), {
      strategy: "restForOne",
    });
    expect(log.slice(3, 7)).toEqual(["b-5", "c-5", "b+5", "c+5"]);
  });

  test("a group is started again when all of it has stopped, cleanup included", () => {
    const { log } = watched(
      (it) => ({
        *slow() {
          it.push(`slow+${now()}`);
          try {
            yield* sleep(1_000);
          } finally {
            yield* sleep(3);
            it.push(`slow-${now()}`);
          }
        },
        b: child(it, "b", 5),
      }),
      { strategy: "oneForAll" },
    );
    expect(log.slice(0, 6)).toEqual(["slow+0", "b+0", "b-5", "slow-8", "slow+8", "b+8"]);
  });

  test("cancelling stops the children one by one, the last one first, and waits for each", () => {
    const log: string[] = [];
    const slow = (name: string, ms: number) =>
      function* () {
        try {
          yield* sleep(1_000);
        } finally {
          yield* sleep(ms);
          log.push(`${name} at ${now()}`);
        }
      };
    const elapsed = simulated(function* () {
      yield* moveOnAfter(10, supervise({ a: slow("a", 1), b: slow("b", 2), c: slow("c", 3) }));
      return now();
    });
    expect([log, elapsed]).toEqual([["c at 13", "b at 15", "a at 16"], 16]);
  });

  test("when the time for cleanup is over the rest is cancelled together", () => {
    const log: string[] = [];
    const stubborn = (name: string) =>
      function* () {
        try {
          yield* sleep(1_000);
        } finally {
          try {
            yield* sleep(500);
          } finally {
            log.push(`${name} at ${now()}`);
          }
        }
      };
    const { leaks } = simulateSync(() => moveOnAfter(10, supervise({ a: stubborn("a"), b: stubborn("b") })), {
      cleanupMs: 50,
    });
    expect(leaks).toEqual([]);
    expect(log).toEqual(["b at 60", "a at 110"]);
  });

  test("which ends lead to a restart is the policy's, of each child", () => {
    const log: string[] = [];
    const ends = (name: string) =>
      function* () {
        log.push(`${name}+${now()}`);
        yield* sleep(10);
        if (name === "cancelled") currentTask().cancel("myself");
        yield* sleep(5);
        if (name === "failed") throw new Error("failed");
      };
    const { reports } = simulateSync(() =>
      moveOnAfter(
        40,
        supervise(
          {
            returned: ends("returned"),
            always: { run: ends("always"), restart: "always" },
            cancelled: ends("cancelled"),
            failed: { run: ends("failed"), restart: "never" },
          },
          { onRestart: () => {} },
        ),
      ),
    );
    expect(log).toEqual(["returned+0", "always+0", "cancelled+0", "failed+0", "always+15", "always+30"]);
    expect(reports.map((it) => it.message)).toEqual(['child "failed" of supervisor "supervisor" failed for good:']);
  });

  test("it is over when all children have ended for good", () => {
    const elapsed = simulated(function* () {
      yield* supervise({ a: () => sleep(3), b: () => sleep(7) });
      yield* supervise({});
      return now();
    });
    expect(elapsed).toBe(7);
  });

  test("what is no record of children is refused, instead of supervising nothing", () => {
    for (const wrong of [() => sleep(1), new Map(), [() => sleep(1)], undefined]) {
      expect(() => supervise(wrong as never)).toThrow(/takes a record of children, got/);
    }
  });

  test("too many restarts within the time end it, with the last cause; the others are stopped first", () => {
    const log: string[] = [];
    const error = failureOf(() =>
      supervise({ a: child(log, "a"), b: child(log, "b", 1, 1, 1, 1, 1) }, { onRestart: () => {}, maxRestarts: 2 }),
    );
    expect(error).toBeInstanceOf(RestartLimitError);
    expect(error).toMatchObject({ code: "RESTART_LIMIT", child: "b", cause: new Error("b 3") });
    expect((error as Error).message).toContain('child "b" failed and would need restart 3 within 5000 ms');
    expect(log.slice(-2)).toEqual(["b-3", "a-3"]);
  });

  test("restarts that are far enough apart are allowed for ever", () => {
    const lives = Array.from({ length: 9 }, () => 10);
    const { log } = watched((it) => ({ a: child(it, "a", ...lives) }), { maxRestarts: 2, withinMs: 20 });
    expect(log.filter((it) => it.startsWith("a+"))).toHaveLength(10);
    const short = watched((it) => ({ a: child(it, "a", ...lives) }), { maxRestarts: 2, withinMs: 21 });
    expect(short.run.outcome.status).toBe("failed");
  });

  test("a restart may be delayed, by the number of restarts; meanwhile the others go on and may fail too", () => {
    const restarts: Restart[] = [];
    const { log } = watched((it) => ({ a: child(it, "a", 5, 5), b: child(it, "b", 8) }), {
      delayMs: (n) => 10 * n,
      onRestart: (it) => void restarts.push(it),
    });
    expect(log.slice(0, 9)).toEqual(["a+0", "b+0", "a-5", "b-8", "a+15", "a-20", "b+28", "a+50", "b-100"]);
    expect(restarts.map(({ child: name, restart, delayMs }) => [name, restart, delayMs])).toEqual([
      ["a", 1, 10],
      ["b", 2, 20],
      ["a", 3, 30],
    ]);
  });

  test("failures that lead to a restart are reported unless somebody hears of restarts", () => {
    const { reports } = simulateSync(() => moveOnAfter(20, supervise({ a: child([], "a", 5) })));
    expect(reports.map((it) => [it.kind, it.message, (it.error as Error).message])).toEqual([
      [
        "unobserved-failure",
        'child "a" of supervisor "supervisor" failed and is restarted, restart 1 of 3 within 5000 ms:',
        "a 1",
      ],
    ]);
  });

  test("what cleanups throw when it is cancelled is thrown, the later ones kept; after a limit it is kept with that", () => {
    const dirty = (name: string) =>
      function* () {
        try {
          yield* sleep(1_000);
        } finally {
          yield* fail(1, new Error(name));
        }
      };
    const cancelled = failureOf(() => moveOnAfter(5, supervise({ a: dirty("a"), b: dirty("b") }))) as Error;
    expect([cancelled.message, suppressedErrors(cancelled)]).toEqual(["b", [new Error("a")]]);
    const limit = failureOf(() => supervise({ a: dirty("a"), b: child([], "b", 5) }, { maxRestarts: 0 }));
    expect(limit).toBeInstanceOf(RestartLimitError);
    expect(suppressedErrors(limit)).toEqual([new Error("a")]);
  });

  test("its children are tasks with their names, below the supervisor; each inherits the task-locals", () => {
    const user = new TaskLocal("user", "nobody");
    const seen = simulated(function* () {
      user.set("ada");
      const users: string[] = [];
      const supervisor = new Supervisor(
        {
          *reader() {
            users.push(user.get());
            yield* sleep(users.length === 1 ? 1 : 50);
            throw new Error("x");
          },
          writer: () => sleep(60),
        },
        { name: "io", onRestart: () => {}, delayMs: 4 },
      );
      const running = spawn(() => supervisor.run());
      const states: unknown[] = [];
      for (const ms of [0.5, 2, 5]) {
        yield* sleep(ms);
        states.push(supervisor.statistics().children.map((it) => `${it.name} ${it.state} ${it.starts}`));
      }
      const tasks = EventLoop.current().tasks({ awaitStacks: false });
      const byName = (name: string) => tasks.find((it) => it.name === name)!;
      const isBelow = byName("reader").parentId === byName("io").id;
      const waiting = running.waitingFor;
      const writer = supervisor.child("writer")!.name;
      const again = [supervisor.child("nobody"), supervisor.statistics().restarts];
      yield* running.cancel();
      return [states, isBelow, waiting, writer, again, users, supervisor.child("writer")];
    });
    expect(seen).toEqual([
      [
        ["reader running 1", "writer running 1"],
        ["reader delayed 1", "writer running 1"],
        ["reader running 2", "writer running 1"],
      ],
      true,
      'the children of supervisor "io"',
      "writer",
      [null, 1],
      ["ada", "ada"],
      null,
    ]);
  });

  test("a child that throws before it makes an operation has failed like any other", () => {
    let calls = 0;
    const error = failureOf(() =>
      supervise(
        {
          a: () => {
            calls++;
            throw new Error("at once");
          },
        },
        { onRestart: () => {}, delayMs: 1 },
      ),
    );
    expect([calls, (error as RestartLimitError).cause]).toEqual([4, new Error("at once")]);
  });

  test("wrong options and children are refused at once; running twice is, too", () => {
    const options: SuperviseOptions[] = [
      { strategy: "x" as never },
      { restart: "sometimes" as never },
      { maxRestarts: -1 },
      { withinMs: Number.NaN },
      { delayMs: -5 },
    ];
    for (const it of options) expect(thrownBy(() => supervise({ a: () => sleep(1) }, it))).toBeInstanceOf(UsageError);
    expect(thrownBy(() => supervise({ a: sleep(1) as never }))).toBeInstanceOf(UsageError);
    const twice = failureOf(function* () {
      const supervisor = new Supervisor({ a: () => sleep(5) });
      spawn(() => supervisor.run());
      yield* sleep(1);
      yield* supervisor.run();
    });
    expect(twice).toBeInstanceOf(UsageError);
  });

  test("cancelled at any step it leaves nothing behind, and no child runs on", () => {
    for (const strategy of ["oneForOne", "oneForAll", "restForOne"] as const) {
      for (const target of ["main", "stepped"] as const) {
        for (const seed of [1, 2]) {
          const sweep = cancelSweep(
            () => {
              const log: string[] = [];
              const gate = new Future<void>();
              return {
                *main() {
                  spawn(function* () {
                    yield* sleep(30);
                    gate.tryResolve();
                  });
                  const lives = [2, 3];
                  yield* moveOnAfter(
                    40,
                    supervise(
                      {
                        a: child(log, "a", ...lives),
                        *b() {
                          yield* gate;
                        },
                        c: child(log, "c", 4),
                      },
                      { strategy, onRestart: () => {}, delayMs: 1, maxRestarts: 2 },
                    ),
                  );
                },
                check: ({ outcome }) => {
                  const starts = log.filter((it) => it.includes("+")).length;
                  expect(starts * 2).toBe(log.length);
                  if (outcome.status === "failed" && !(outcome.error instanceof CancelledError))
                    expect(outcome.error).toBeInstanceOf(RestartLimitError);
                },
              };
            },
            { seed, target, mayFail: true },
          );
          expect(sweep.runs).toBeGreaterThan(15);
        }
      }
    }
  });
});
