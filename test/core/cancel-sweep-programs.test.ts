/**
 * Programs as people write them, cancelled at every step they have: main, or whichever task has just run; in the order of
 * the loop and in twenty others. Nothing leaks (the sweep checks that), and each program's own books balance.
 */
import {
  all,
  coroutine,
  currentScope,
  defer,
  Future,
  moveOnAfter,
  race,
  scope,
  shield,
  sleep,
  spawn,
  TaskLocal,
  timeout,
  TimeoutError,
  use,
  yieldNow,
} from "fibril";
import type { Coroutine } from "fibril";
import { cancelSweep } from "fibril/testing";
import type { Simulation, SweepProgram } from "fibril/testing";
import { describe, expect, test } from "vitest";

const SEEDS = [undefined, ...Array(20).keys()];

/** Something that is opened and closed; counts what is open, and whether anything was closed twice. */
class Counter {
  open = 0;
  opened = 0;
  twice = 0;

  *acquire(ms = 1): Coroutine<Disposable> {
    yield* sleep(ms);
    this.open++;
    this.opened++;
    let isOpen = true;
    return {
      [Symbol.dispose]: () => {
        if (!isOpen) this.twice++;
        isOpen = false;
        this.open--;
      },
    };
  }

  /** What is wrong; empty is right. */
  get left(): string {
    return this.open === 0 && this.twice === 0 ? "" : `${this.open} open, ${this.twice} closed twice`;
  }
}

const programs: Record<string, () => SweepProgram> = {
  "a pipeline of futures": () => {
    const stages = Array.from({ length: 4 }, (_, i) => new Future<number>({ name: `stage ${i}` }));
    let received = 0;
    function* stage(i: number): Coroutine<void> {
      try {
        const value = yield* stages[i]!;
        yield* sleep(1);
        stages[i + 1]!.resolve(value + 1);
      } finally {
        stages[i + 1]!.tryReject(new Error(`stage ${i} gave up`));
      }
    }
    return {
      main: () =>
        scope(function* (own) {
          for (let i = 0; i < 3; i++) own.spawn(stage, i);
          yield* yieldNow();
          stages[0]!.resolve(1);
          received = yield* stages[3]!;
        }),
      check: ({ outcome }) => {
        if (outcome.status === "succeeded") expect(received).toBe(4);
      },
    };
  },

  "nested scopes with timeouts": () => {
    const counter = new Counter();
    function* level(depth: number): Coroutine<void> {
      try {
        yield* timeout(
          depth * 2 + 1,
          scope(function* () {
            yield* use(counter.acquire());
            if (depth > 0) {
              spawn(level, depth - 1);
              yield* level(depth - 1);
            }
            yield* sleep(depth * 3);
          }),
        );
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
      }
    }
    return { main: () => level(2), check: () => expect(counter.left).toBe("") };
  },

  "races inside all": () => {
    const counter = new Counter();
    function* contender(ms: number): Coroutine<number> {
      return yield* scope(function* () {
        yield* use(counter.acquire(0));
        yield* sleep(ms);
        return ms;
      });
    }
    return {
      main: () => all([1, 2].map((ms) => () => race([() => contender(ms), () => contender(ms + 1), sleep(ms + 2)]))),
      check: ({ outcome }) => {
        expect(counter.left).toBe("");
        // A contender that was cancelled alone has lost; then the next one wins.
        if (outcome.status === "succeeded")
          for (const value of outcome.value as unknown[]) expect([1, 2, 3, undefined]).toContain(value);
      },
    };
  },

  "resources, released last in first out with waits": () => {
    const counter = new Counter();
    const order: number[] = [];
    return {
      main: () =>
        scope(function* () {
          for (let i = 0; i < 3; i++) {
            yield* use(counter.acquire());
            defer(function* () {
              yield* sleep(1);
              order.push(i);
            });
          }
          yield* moveOnAfter(2, function* () {
            yield* use(counter.acquire());
            yield* sleep(5);
          });
        }),
      check: () => {
        expect(counter.left).toBe("");
        expect(order).toEqual(order.toSorted((a, b) => b - a));
      },
    };
  },

  "deep frames with cleanup in each": () => {
    let entered = 0;
    let left = 0;
    const deep = coroutine(function* deep(n: number): Coroutine<number> {
      entered++;
      try {
        if (n === 0) yield* sleep(1);
        else yield* deep(n - 1);
        yield* yieldNow();
        return n;
      } finally {
        left++;
        yield* shield(sleep(n % 2));
      }
    });
    return {
      main: () => all({ a: deep(3), b: deep(2), c: timeout(9, deep(1)) }),
      check: ({ outcome }) => {
        expect(left).toBe(entered);
        if (outcome.status === "succeeded") expect(outcome.value).toEqual({ a: 3, b: 2, c: 1 });
      },
    };
  },

  "a shielded commit: all or nothing": () => {
    let begun = 0;
    let ended = 0;
    function* commit(): Coroutine<void> {
      begun++;
      yield* sleep(1);
      yield* moveOnAfter(1, sleep(2));
      ended++;
    }
    function* worker(ms: number): Coroutine<void> {
      yield* sleep(ms);
      yield* shield(commit);
      yield* sleep(ms);
    }
    return {
      main: () => all([1, 2, 3].map((ms) => () => timeout(5, worker(ms)))),
      check: () => expect(ended).toBe(begun),
    };
  },

  "task-locals that are set and put back": () => {
    const user = new TaskLocal("user", "nobody");
    const wrong: string[] = [];
    function* as(name: string, depth: number): Coroutine<void> {
      const before = user.get();
      try {
        yield* user.with(name, function* () {
          if (depth > 0) {
            spawn(as, `${name}.${depth}`, depth - 1);
            yield* as(`${name}/${depth}`, depth - 1);
          }
          yield* sleep(1);
          if (user.get() !== name) wrong.push(`${user.get()} instead of ${name}`);
        });
      } finally {
        if (user.get() !== before) wrong.push(`${user.get()} is left over`);
      }
    }
    return { main: () => all([as("a", 2), as("b", 1)]), check: () => expect(wrong).toEqual([]) };
  },

  "servers that say when they are ready": () => {
    const counter = new Counter();
    let ended = 0;
    let begun = 0;
    function* serve(ready: (port: number) => void, port: number): Coroutine<void> {
      begun++;
      defer(function* () {
        yield* sleep(1);
        ended++;
      });
      yield* use(counter.acquire());
      ready(port);
      yield* sleep(3);
    }
    return {
      main: () =>
        scope(function* (own) {
          const first = yield* own.start(serve, 1);
          const second = yield* moveOnAfter(0.5, own.start(serve, 2));
          const third = yield* own.start(serve, 3);
          expect([first, second, third]).toEqual([1, undefined, 3]);
        }),
      check: () => {
        expect(counter.left).toBe("");
        expect(ended).toBe(begun);
      },
    };
  },

  "workers that survive each other's failures": () => {
    const counter = new Counter();
    const seen: string[] = [];
    function* worker(i: number): Coroutine<void> {
      try {
        yield* scope(function* (own) {
          yield* use(counter.acquire(i));
          own.spawn(function* () {
            yield* sleep(1);
            if (i % 2 === 1) throw new Error(`worker ${i}`);
          });
          yield* sleep(2);
        });
        seen.push(`${i} ended`);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        seen.push(`${i} failed`);
      }
    }
    return {
      main: () =>
        scope(function* () {
          for (let i = 0; i < 4; i++) spawn(worker, i);
          currentScope().defer(() => void seen.push("done"));
        }),
      check: ({ outcome }: Simulation<unknown>) => {
        expect(counter.left).toBe("");
        if (outcome.status !== "succeeded") return;
        expect(seen.at(-1)).toBe("done");
      },
    };
  },
};

describe.each(Object.entries(programs))("%s", (_, program) => {
  test.each(["main", "stepped"] as const)("leaves nothing behind, wherever it is cancelled (%s)", (target) => {
    let cancelled = 0;
    for (const seed of SEEDS) {
      const sweep = cancelSweep(program, { target, mayFail: true, ...(seed === undefined ? {} : { seed }) });
      expect(sweep.runs).toBeGreaterThan(5);
      cancelled += sweep.cancelled;
    }
    expect(cancelled).toBeGreaterThan(SEEDS.length);
  });
});
