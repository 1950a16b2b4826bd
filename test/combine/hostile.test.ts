/** What nobody should write and somebody will: how the combinators answer to it. */
import {
  all,
  any,
  asCompleted,
  CancelledError,
  currentTask,
  EventLoop,
  forEach,
  hedge,
  mapConcurrent,
  mapStream,
  moveOnAfter,
  race,
  scope,
  settle,
  shield,
  sleep,
  spawn,
  UsageError,
} from "fibril";
import type { Coroutine, Operation, Sequence } from "fibril";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { Supervisor } from "../../src/combine/index.ts";
import { failureOf, simulated, thrownBy } from "../core/simulated.ts";
import { after } from "./operands.ts";

function* cancelOwner(): Coroutine<number> {
  currentTask().owner.cancel("enough");
  yield* sleep(1);
  return 1;
}

function* take(results: Sequence<unknown>): Coroutine<void> {
  yield* forEach(results, () => sleep(0));
}

describe("an operand that cancels the scope around it ends the combinator with CancelledError, not with half a result", () => {
  const programs: Record<string, () => Operation<unknown>> = {
    all: () => all([cancelOwner, sleep(2)]),
    any: () => any([cancelOwner, sleep(2)]),
    race: () => race([cancelOwner, sleep(2)]),
    settle: () => settle([cancelOwner, sleep(2)]),
    hedge: () => hedge([cancelOwner, sleep(2)], { delayMs: 5 }),
    asCompleted: () => asCompleted([cancelOwner, sleep(2)], take),
    mapConcurrent: () => mapConcurrent([1, 2, 3], cancelOwner),
    mapStream: () => mapStream([1, 2, 3], cancelOwner, take),
  };
  test.each(Object.keys(programs))("%s", (name) => {
    const error = failureOf(programs[name]!);
    expect(error).toBeInstanceOf(CancelledError);
    expect(error).toMatchObject({ reason: "enough" });
  });
});

type ItemTaker = (source: never, fn: () => Operation<void>) => Operation<unknown>;

describe("what is no list or record is refused, never taken for an empty one", () => {
  const wrong: readonly unknown[] = [new Set([sleep(1)]), new Map(), sleep(1), () => sleep(1), null, Promise.resolve()];
  const takers = { all, settle, asCompleted } as unknown as Record<string, (operands: unknown) => Operation<unknown>>;
  test.each(Object.keys(takers))("%s: at once", (name) => {
    for (const operands of wrong) {
      const error = thrownBy(() => takers[name]!(operands));
      expect(error).toBeInstanceOf(UsageError);
      expect(String(error)).toContain(`${name}([a, b])`);
    }
  });

  const listTakers = { any, race, hedge } as unknown as Record<
    string,
    (operands: unknown, options: unknown) => Operation<unknown>
  >;
  test.each(Object.keys(listTakers))("%s: no record either", (name) => {
    for (const operands of [new Set([sleep(1)]), null, { a: sleep(1) }]) {
      const error = failureOf(() => listTakers[name]!(operands, { delayMs: 1 }));
      expect(error).toBeInstanceOf(UsageError);
      expect(String(error)).toContain(`${name}() takes one list`);
    }
  });

  test("an operation is no source of items: the star was forgotten", () => {
    function* load(): Coroutine<number[]> {
      yield* sleep(5);
      return [1, 2];
    }
    for (const source of [load, () => sleep(5), () => spawn(load)] as readonly (() => unknown)[]) {
      for (const taker of [forEach, mapConcurrent] as readonly ItemTaker[]) {
        const error = failureOf(() => scope(() => taker(source() as never, () => sleep(0))));
        expect(error).toBeInstanceOf(UsageError);
        expect(String(error)).toContain("write yield* to get its value");
      }
    }
  });

  test("a missing function is named", () => {
    expect(String(failureOf(() => mapConcurrent([1], undefined as never)))).toContain("mapConcurrent() takes");
  });
});

describe("a failure of a joined task that nobody spawned in a scope is never swallowed", () => {
  function* failLater(): Coroutine<never> {
    yield* sleep(5);
    throw new Error("root failed");
  }

  test.each(["race", "any"] as const)("when it comes after the decision of %s", (name) => {
    const { outcome, reports } = simulateSync(function* () {
      const root = EventLoop.current().spawn(failLater);
      function* slow(): Coroutine<void> {
        try {
          yield* sleep(100);
        } finally {
          yield* sleep(50);
        }
      }
      return yield* { race, any }[name]([root, after(1, "won"), slow]);
    });
    expect(outcome).toMatchObject({ status: "succeeded", value: "won" });
    expect(reports.map((it) => it.kind)).toEqual(["unobserved-failure"]);
  });

  test("when asCompleted is closed before it was taken", () => {
    const { reports } = simulateSync(function* () {
      const tasks = asCompleted([EventLoop.current().spawn(failLater)]);
      yield* sleep(10);
      tasks.close!();
    });
    expect(reports.map((it) => it.kind)).toEqual(["lost-error"]);
  });

  test("when the joiner of all was cancelled by somebody who heard of it first", () => {
    const { reports } = simulateSync(function* () {
      const root = EventLoop.current().spawn(failLater);
      yield* moveOnAfter(100, function* (limit) {
        root.watch({ before: null, after: null, taskSettled: () => void limit.cancel() });
        spawn(() => all([root]));
        yield* sleep(50);
      });
    });
    expect(reports.map((it) => it.kind)).toEqual(["unobserved-failure"]);
  });
});

test("closing asCompleted works by the call, and tells who waits", () => {
  const seen = simulated(function* () {
    const task = spawn(sleep, 10);
    const completions = asCompleted([task]);
    const waiting = spawn(() => completions.next());
    yield* sleep(1);
    completions.close!();
    return [yield* waiting, yield* completions.next()];
  });
  expect(seen).toEqual([
    { done: true, value: undefined },
    { done: true, value: undefined },
  ]);
});

test("a task outside that has got hold of the results of mapStream hears of the end", () => {
  const seen = simulated(() =>
    scope(function* (outside) {
      const log: unknown[] = [];
      yield* mapStream(
        [1, 2, 3],
        (n) => after(n * 10, n),
        function* (results) {
          outside.spawn(() => forEach(results, (it) => sleep(log.push(it))));
          yield* sleep(15);
        },
      );
      return log;
    }),
  );
  expect(seen).toEqual([1]);
});

test("a supervisor whose child outlasted the cleanup says that it has ended, and runs again", () => {
  const { outcome } = simulateSync(function* () {
    const supervisor = new Supervisor({
      *stubborn() {
        try {
          yield* sleep(1e6);
        } finally {
          yield* shield(sleep(20_000));
        }
      },
      plain: () => sleep(1e6),
    });
    const states: unknown[] = [];
    for (let run = 0; run < 2; run++) {
      yield* moveOnAfter(10, () => supervisor.run());
      states.push(...supervisor.statistics().children.map((it) => `${it.name} ${it.state} ${it.starts}`));
    }
    return states;
  });
  expect(outcome).toMatchObject({
    value: ["stubborn ended 1", "plain ended 1", "stubborn ended 2", "plain ended 2"],
  });
});
