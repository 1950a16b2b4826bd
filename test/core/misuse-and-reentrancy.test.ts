/**
 * What happens when a callback of somebody else acts on the kernel in the middle of something, or when a call makes no sense,
 * and what is let go of.
 */
import {
  all,
  CancelledError,
  currentScope,
  EventLoop,
  moveOnAfter,
  run,
  scope,
  shield,
  sleep,
  spawn,
  suppressedErrors,
  timeout,
  until,
  yieldNow,
} from "fibril";
import type { Coroutine } from "fibril";
import { systemHost, Wait } from "fibril/lowlevel";
import type { Started, Waiter } from "fibril/lowlevel";
import { simulateSync } from "fibril/testing";
import { expect, test } from "vitest";
import { failureOf, simulated } from "./simulated.ts";

test("an abort listener that cancels more, while a wait is being withdrawn, cancels more", async () => {
  const controller = new AbortController();
  const reports: unknown[] = [];
  const result = run(
    () =>
      moveOnAfter(60_000, function* () {
        const limited = currentScope();
        yield* until(
          (signal) =>
            new Promise<void>(() => {
              signal.addEventListener("abort", () => controller.abort("all of it"));
              limited.deadline = EventLoop.current().now() + 5; // from now on: the wait is not to come too late for it
            }),
        );
      }),
    { signal: controller.signal, onReport: (report) => void reports.push(report) },
  );
  await expect(result).rejects.toBe("all of it");
  expect(reports).toEqual([]);
});

test("the siblings of a task whose abort listener cancels their scope are all told", async () => {
  const ended: string[] = [];
  const result = run(() =>
    scope(function* (outer) {
      for (const name of ["a", "b", "c"]) {
        outer.spawn(function* () {
          try {
            yield* until(
              (signal) => new Promise<void>(() => signal.addEventListener("abort", () => void outer.cancel("again"))),
            );
          } finally {
            ended.push(name);
          }
        });
      }
      yield* yieldNow();
      outer.tasks[0]!.cancel();
      yield* until(new Promise<void>(() => {}));
    }),
  );
  await expect(result).rejects.toThrow(CancelledError);
  expect(ended.toSorted()).toEqual(["a", "b", "c"]);
});

test("a promise that is reached while the cancellation is pending may reject: nobody has to hear of it", async () => {
  const unhandled: unknown[] = [];
  const listen = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", listen);
  await run(() => moveOnAfter(0, () => until(Promise.reject(new Error("late")))));
  await new Promise<void>((resolve) => systemHost.afterIo(resolve)); // Node looks for unhandled rejections before this
  process.off("unhandledRejection", listen);
  expect(unhandled).toEqual([]);
});

test("an until() of no promise, reached while the cancellation is pending, is cancelled like any other wait", () => {
  const { outcome } = simulateSync(() => moveOnAfter(0, () => until(42 as never)));
  expect(outcome).toEqual({ status: "succeeded", value: undefined });
});

test("an until() that another task is at is refused, and the first one is unharmed", async () => {
  const seen = await run(function* () {
    let settle: (value: number) => void = () => {};
    const operation = until(new Promise<number>((resolve) => (settle = resolve)));
    const first = spawn(() => operation);
    const second = spawn(function* () {
      try {
        return yield* operation;
      } catch (error) {
        settle(1);
        return (error as { code: string }).code;
      }
    });
    return [yield* first, yield* second];
  });
  expect(seen).toEqual([1, "SHARED_WAIT"]);
});

test("waiting for the end of a task or scope of another loop is no deadlock", async () => {
  const other = new EventLoop({ name: "other" });
  const task = other.spawn(function* () {
    try {
      yield* sleep(10_000);
    } finally {
      yield* sleep(5);
    }
  });
  await new Promise<void>((resolve) => systemHost.afterIo(resolve));
  await expect(run(() => task.cancel())).resolves.toBe(undefined);
  expect(task.outcome?.status).toBe("cancelled");
});

test("a body that throws a Cancelled which it had kept, inside a shield, does not leave its tasks running", () => {
  const { elapsedMs, leaks } = simulateSync(() =>
    moveOnAfter(10, function* () {
      try {
        yield* sleep(100);
      } catch (kept) {
        yield* shield(
          scope(function* () {
            spawn(() => sleep(3_600_000));
            throw kept;
          }),
        );
      }
    }),
  );
  expect(leaks).toEqual([]);
  expect(elapsedMs).toBe(10);
});

test("a probe may ask for the await stack of a task that is just beginning to wait", () => {
  const { reports } = simulateSync(() => sleep(1), {
    probe: { waitStarted: (task) => expect(task.awaitStack()).toEqual([]) },
  });
  expect(reports).toEqual([]);
});

test("a cancellation by somebody else, while the body has its value and its tasks still run, is one", () => {
  const { outcome } = simulateSync(function* () {
    const task = spawn(function* () {
      spawn(() => sleep(1_000));
      yield* sleep(5);
      return 5;
    });
    spawn(function* () {
      yield* sleep(5); // wakes in the same turn, after it
      task.cancel("from outside");
    });
    yield* sleep(10);
    return task.outcome?.status;
  });
  expect(outcome).toEqual({ status: "succeeded", value: "cancelled" });
});

test("thousands of failures in one scope are kept in order, each once", () => {
  const many = 20_000;
  const { outcome } = simulateSync(() =>
    scope(function* () {
      for (let i = 0; i < many; i++) {
        spawn(function* () {
          throw new Error(String(i));
        });
      }
    }),
  );
  const error = outcome.status === "failed" ? outcome.error : undefined;
  const later = suppressedErrors(error) as Error[];
  expect(later.length).toBe(many - 1);
  expect(later.map((each) => Number(each.message))).toEqual(later.map((_, index) => index + 1));
});

test("a coroutine object that has run already is refused, instead of giving undefined", () => {
  function* one(): Coroutine<number> {
    yield* sleep(1);
    return 1;
  }
  const { outcome } = simulateSync(function* () {
    const used = one();
    return yield* all([used, used]);
  });
  expect(outcome).toMatchObject({ status: "failed", error: { code: "REUSED" } });
});

test("a body that is async, or no function at all, is refused with advice", async () => {
  const asyncBody = (async () => 1) as never;
  const refused = simulateSync(() => scope(asyncBody));
  expect(refused.outcome).toMatchObject({ status: "failed", error: { code: "NOT_AN_OPERATION" } });
  expect(simulateSync(() => all([asyncBody])).outcome).toMatchObject({
    status: "failed",
    error: { code: "NOT_AN_OPERATION" },
  });
  await expect(run(sleep(1) as never)).rejects.toThrow("run(() => job(1))");
});

test("printing a cancelled outcome does not print the kernel", () => {
  const { outcome } = simulateSync(function* () {
    const task = spawn(() => sleep(10));
    yield* task.cancel("why");
    return JSON.stringify(task.outcome);
  });
  expect(outcome).toMatchObject({ status: "succeeded", value: expect.not.stringContaining("isShield") as string });
});

test("a coroutine that has run already is refused by shield, which leaves no scope open", () => {
  const refusals = simulated(function* () {
    return yield* scope(function* () {
      const once = (function* () {
        yield* sleep(1);
      })();
      yield* shield(once);
      try {
        yield* shield(once);
        return "not refused";
      } catch (error) {
        return (error as { readonly code?: string }).code;
      }
    });
  });
  expect(refusals).toBe("REUSED");
});

test("an operation that cannot say what it waits for spoils neither a timeout nor who looks", () => {
  class Mute extends Wait<void> {
    get reason(): string {
      throw new TypeError("no words");
    }
    protected start(task: Waiter): Started<void> {
      return task.park(this);
    }
    withdraw(): boolean {
      return true;
    }
  }
  const error = failureOf(() => timeout(5, new Mute()));
  expect(error).toMatchObject({ code: "TIMEOUT", waitedFor: expect.stringContaining("TypeError: no words") });
});
