/**
 * defer() and use(): what was taken is given back, in the reverse order, whatever happens.
 */
import { currentScope, defer, Future, moveOnAfter, scope, sleep, spawn, suppressedErrors, timeout, use } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { simulate } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { failureOf, now, simulated, thrownBy } from "./simulated.ts";

class Door {
  readonly log: string[];
  readonly name: string;

  constructor(log: string[], name: string) {
    this.log = log;
    this.name = name;
    log.push(`open ${name}`);
  }

  [Symbol.dispose](): void {
    this.log.push(`close ${this.name}`);
  }
}

function* open(log: string[], name: string): Coroutine<Door> {
  yield* sleep(1);
  return new Door(log, name);
}

describe("defer", () => {
  test("runs at the end of the current scope, last in first out, plain functions and operations alike", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* scope(function* () {
        defer(() => void log.push("a"));
        defer(function* () {
          yield* sleep(2);
          log.push(`b at ${now()}`);
        });
        defer(() => sleep(3));
        log.push("body");
        yield* sleep(1);
      });
      return [...log, now()];
    });
    expect(seen).toEqual(["body", "b at 6", "a", 6]);
  });

  test("runs after the tasks of the scope have ended", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* scope(function* () {
        defer(() => void log.push(`release at ${now()}`));
        spawn(function* () {
          yield* sleep(5);
          log.push(`task at ${now()}`);
        });
      });
      return log;
    });
    expect(seen).toEqual(["task at 5", "release at 5"]);
  });

  test("belongs to the task when it has opened no scope, and to the innermost one when it has", () => {
    const log: string[] = [];
    simulated(function* () {
      const task = spawn(function* () {
        defer(() => void log.push("of the task"));
        yield* scope(function* () {
          defer(() => void log.push("of the scope"));
        });
        yield* timeout(5, function* () {
          defer(() => void log.push("of the timeout"));
        });
        log.push("body ends");
      });
      yield* task;
      log.push("joined");
    });
    expect(log).toEqual(["of the scope", "of the timeout", "body ends", "of the task", "joined"]);
  });

  test.each<[string, (log: unknown[]) => Operation<unknown>]>([
    ["returns", () => sleep(1)],
    ["throws", () => scope(() => timeout(1, sleep(5)))],
    ["is cancelled", () => scope(cancelSelf)],
  ])("runs once when the body %s", (_, body) => {
    const log: unknown[] = [];
    simulated(function* () {
      try {
        yield* scope(function* () {
          defer(() => void log.push("released"));
          yield* body(log);
        });
      } catch {
        // Expected in two of three.
      }
    });
    expect(log).toEqual(["released"]);
  });

  function* cancelSelf(): Coroutine<void> {
    currentScope().cancel();
    yield* sleep(1);
  }

  test("is shielded: the cancellation that ends the scope does not reach it", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        defer(function* () {
          for (let i = 0; i < 3; i++) yield* sleep(1);
          log.push(`released at ${now()}`);
        });
        yield* sleep(100);
      });
      yield* sleep(1);
      yield* task.cancel();
      return log;
    });
    expect(seen).toEqual(["released at 4"]);
  });

  test("a cancellation that comes while it runs does not reach it either, and is thrown at the next wait", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      const task = spawn(function* () {
        yield* scope(function* () {
          defer(function* () {
            yield* sleep(5);
            log.push(`released at ${now()}`);
          });
        });
        log.push("after the scope");
        yield* sleep(1);
        log.push("not reached");
      });
      yield* sleep(1);
      yield* task.cancel();
      return log;
    });
    expect(seen).toEqual(["released at 5", "after the scope"]);
  });

  test("its errors are failures of the scope, and the others still run; none is lost", () => {
    const [a, b] = [new Error("a"), new Error("b")];
    const log: string[] = [];
    const error = failureOf(() =>
      scope(function* () {
        defer(() => void log.push("still runs"));
        defer(function* () {
          yield* sleep(1);
          throw b;
        });
        defer(() => {
          throw a;
        });
      }),
    );
    expect([error, suppressedErrors(error), log]).toEqual([a, [b], ["still runs"]]);
  });

  test("an error of the body comes first, those of releases follow", () => {
    const [body, release] = [new Error("body"), new Error("release")];
    const error = failureOf(() =>
      scope(function* () {
        defer(() => {
          throw release;
        });
        throw body;
      }),
    );
    expect(error).toBe(body);
    expect(suppressedErrors(error)).toEqual([release]);
  });

  test("a release may spawn and defer: that ends with it", () => {
    const seen = simulated(function* () {
      const log: string[] = [];
      yield* scope(function* () {
        defer(() => void log.push("outer"));
        defer(function* () {
          defer(() => void log.push(`inner at ${now()}`));
          spawn(function* () {
            yield* sleep(4);
          });
          yield* sleep(1);
        });
      });
      return log;
    });
    expect(seen).toEqual(["inner at 4", "outer"]);
  });

  test("waits for a future as for any operation", () => {
    const seen = simulated(function* () {
      yield* scope(function* (own) {
        const closed = new Future<void>();
        own.spawn(() => sleep(1));
        const resolver = scope(function* () {
          yield* sleep(5);
          closed.resolve();
        });
        defer(() => closed);
        defer(() => resolver);
      });
      return now();
    });
    expect(seen).toBe(6);
  });

  test("outside a coroutine is refused", () => {
    expect(thrownBy(() => defer(() => {}))).toMatchObject({ code: "OUTSIDE_TASK" });
  });
});

describe("use", () => {
  test("takes a resource and gives it back at the end of the scope, last in first out", () => {
    const log: string[] = [];
    simulated(() =>
      scope(function* () {
        const door = yield* use(new Door(log, "a"));
        yield* use(new Door(log, "b"));
        log.push(`use ${door.name}`);
        yield* sleep(1);
      }),
    );
    expect(log).toEqual(["open a", "open b", "use a", "close b", "close a"]);
  });

  test("awaits an operation that makes the resource, also a generator", () => {
    const log: string[] = [];
    simulated(() =>
      scope(function* () {
        const door = yield* use(open(log, "a"));
        expect(door).toBeInstanceOf(Door);
        const task = spawn(open, log, "b");
        expect((yield* use(task)).name).toBe("b");
        const future = new Future<Door>();
        future.resolve(new Door(log, "c"));
        expect((yield* use(future)).name).toBe("c");
      }),
    );
    expect(log.slice(-3)).toEqual(["close c", "close b", "close a"]);
  });

  test("when the operation is cancelled before it has the resource, there is nothing to give back", () => {
    const log: string[] = [];
    simulated(() =>
      scope(function* () {
        expect(yield* moveOnAfter(0.5, () => use(open(log, "a")))).toBeUndefined();
      }),
    );
    expect(log).toEqual([]);
  });

  test("Symbol.asyncDispose wins over Symbol.dispose, and is waited for", async () => {
    const log: string[] = [];
    await simulate(function* () {
      yield* scope(function* () {
        yield* use({
          [Symbol.dispose]: () => void log.push("dispose"),
          [Symbol.asyncDispose]: async () => {
            await Promise.resolve();
            await Promise.resolve();
            log.push("asyncDispose");
          },
        });
        log.push("body");
      });
      log.push("scope ended");
    });
    expect(log).toEqual(["body", "asyncDispose", "scope ended"]);
  });

  test("an asyncDispose that rejects is a failure of the scope", async () => {
    const error = new Error("cannot close");
    const main = simulate(() => scope(() => use({ [Symbol.asyncDispose]: () => Promise.reject(error) })));
    await expect(main).rejects.toBe(error);
  });

  test("a value that cannot be disposed of is refused with advice", () => {
    for (const value of [{}, 7, null, undefined, "text"]) {
      expect(failureOf(() => scope(() => use(value as never)))).toMatchObject({ code: "USAGE" });
    }
  });

  test("the dispose method that is called is the one at the time of taking", () => {
    const log: string[] = [];
    simulated(() =>
      scope(function* () {
        const resource = yield* use({ [Symbol.dispose]: () => void log.push("first") });
        resource[Symbol.dispose] = () => void log.push("second");
      }),
    );
    expect(log).toEqual(["first"]);
  });
});
