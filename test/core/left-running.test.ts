/**
 * What a body has left running is part of what was asked for, unless the body itself said that it has no more use for it.
 */
import { currentScope, run, scope, sleep, spawn, timeout } from "fibril";
import { simulateSync } from "fibril/testing";
import { expect, test } from "vitest";

test("a run that is cancelled while it waits for what main has spawned is cancelled, though main has returned", async () => {
  const controller = new AbortController();
  const result = run(
    function* main() {
      spawn(() => sleep(60_000));
      spawn(function* () {
        controller.abort("enough");
      });
      return "main has returned";
    },
    { signal: controller.signal },
  );
  await expect(result).rejects.toBe("enough");
});

test("so is a task that is cancelled from outside", () => {
  const { outcome } = simulateSync(function* () {
    const task = spawn(function* () {
      spawn(() => sleep(60_000));
      return 1;
    });
    yield* sleep(5);
    yield* task.cancel();
    return task.outcome?.status;
  });
  expect(outcome).toEqual({ status: "succeeded", value: "cancelled" });
});

test("a scope whose deadline ends what its body has left is out of time", () => {
  const late = simulateSync(() =>
    scope(
      function* () {
        spawn(() => sleep(100));
        return 1;
      },
      { timeoutMs: 10 },
    ),
  );
  expect(late.outcome).toMatchObject({ status: "failed", error: { code: "CANCELLED" } });
  const timedOut = simulateSync(() =>
    timeout(10, function* () {
      spawn(() => sleep(100));
      return 1;
    }),
  );
  expect(timedOut.outcome).toMatchObject({ status: "failed", error: { code: "TIMEOUT" } });
});

test("a body that cancels what it has left running, and returns, has its value", () => {
  const { outcome } = simulateSync(() =>
    scope(function* () {
      spawn(() => sleep(60_000));
      yield* sleep(1);
      currentScope().cancel("no more use for it");
      return 1;
    }),
  );
  expect(outcome).toEqual({ status: "succeeded", value: 1 });
});
