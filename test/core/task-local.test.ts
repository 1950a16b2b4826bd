import { all, coroutine, EventLoop, run, scope, sleep, spawn, TaskLocal, timeout, yieldNow } from "fibril";
import type { Coroutine } from "fibril";
import { describe, expect, test } from "vitest";
import { simulated, thrownBy } from "./simulated.ts";

describe("a task-local value", () => {
  test("a child sees what was set when it was spawned; its own changes stay its own (1, 2, 5)", () => {
    const local = new TaskLocal("n", 0);
    const seen = simulated(function* () {
      const log: unknown[] = [];
      local.set(1);
      const child = spawn(function* () {
        log.push(["child", local.get()]);
        local.set(2);
        yield* sleep(1);
        log.push(["child", local.get()]);
      });
      local.set(5);
      yield* child;
      log.push(["parent", local.get()]);
      return log;
    });
    expect(seen).toEqual([
      ["child", 1],
      ["child", 2],
      ["parent", 5],
    ]);
  });

  test("follows the task through waits, plain and framed calls, scopes and combinators", () => {
    const local = new TaskLocal("user", "nobody");
    const framed = coroutine(function* framed(): Coroutine<string> {
      yield* sleep(1);
      return local.get();
    });
    const seen = simulated(function* () {
      local.set("ada");
      return [
        yield* framed(),
        yield* scope(() => framed()),
        yield* timeout(9, framed),
        ...(yield* all([framed, framed])),
      ];
    });
    expect(seen).toEqual(["ada", "ada", "ada", "ada", "ada"]);
  });

  test("tasks that take turns do not see each other's values", () => {
    const local = new TaskLocal("n", -1);
    const seen = simulated(function* () {
      return yield* all([0, 1, 2].map((n) => () => keep(local, n)));
    });
    expect(seen).toEqual([0, 1, 2]);
  });

  function* keep(local: TaskLocal<number>, n: number): Coroutine<number> {
    local.set(n);
    for (let i = 0; i < 5; i++) yield* yieldNow();
    return local.get();
  }

  test("with() sets it for the body and what the body spawns, and puts back what was there, also after an error", () => {
    const local = new TaskLocal("n", 0);
    const seen = simulated(function* () {
      const log: unknown[] = [];
      local.set(1);
      log.push(
        yield* local.with(2, function* () {
          yield* sleep(1);
          return [
            local.get(),
            yield* spawn(function* () {
              return local.get();
            }),
          ];
        }),
      );
      log.push(local.get());
      try {
        yield* local.with(3, function* () {
          yield* sleep(1);
          throw new Error("out");
        });
      } catch {
        log.push(local.get());
      }
      return log;
    });
    expect(seen).toEqual([[2, 2], 1, 1]);
  });

  test("with() puts back only its own value: another one that was set meanwhile stays", () => {
    const [a, b] = [new TaskLocal("a", 0), new TaskLocal("b", 0)];
    const seen = simulated(function* () {
      yield* a.with(1, function* () {
        b.set(2);
        a.set(9);
      });
      return [a.get(), b.get()];
    });
    expect(seen).toEqual([0, 2]);
  });

  test("is put back when the body is cancelled", () => {
    const local = new TaskLocal("n", 0);
    const seen: unknown[] = [];
    simulated(function* () {
      const task = spawn(function* () {
        try {
          yield* local.with(1, sleep(100));
        } finally {
          seen.push(local.get());
        }
      });
      yield* sleep(1);
      yield* task.cancel();
    });
    expect(seen).toEqual([0]);
  });

  test("outside tasks it has its initial value, and cannot be set", async () => {
    const local = new TaskLocal("n", "initial");
    expect(local.get()).toBe("initial");
    expect(thrownBy(() => local.set("x"))).toMatchObject({ code: "OUTSIDE_TASK" });
    const seen: string[] = [];
    await run(function* () {
      local.set("inside");
      EventLoop.current().callSoon(() => seen.push(local.get()));
      yield* sleep(1);
    });
    expect(seen).toEqual(["initial"]);
  });
});
