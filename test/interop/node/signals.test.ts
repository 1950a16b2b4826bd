/**
 * signals() and waitForSignal(): real signals to this process, and no handler left.
 */
import { moveOnAfter, run, scope, sleep, spawn, UsageError, yieldNow } from "fibril";
import { beforeEach, describe, expect, test } from "vitest";
import { signals, waitForSignal } from "../../../src/interop/node/index.ts";
import { failureOf, thrownBy } from "../../core/simulated.ts";

const allHandlers = (): unknown[] => [...process.rawListeners("SIGUSR2"), ...process.rawListeners("SIGHUP")];
/** Those that the test has added: packages that other files of this process have loaded may have some, too. */
const handlers = (): number => allHandlers().filter((each) => !foreign.has(each)).length;
let foreign: Set<unknown>;
beforeEach(() => void (foreign = new Set(allHandlers())));
const send = (signal: NodeJS.Signals): void => void process.kill(process.pid, signal);

describe("waitForSignal()", () => {
  test("gives the name of the first one, and removes its handlers", async () => {
    const seen = await run(function* () {
      const task = spawn(() => waitForSignal("SIGHUP", "SIGUSR2"));
      yield* yieldNow();
      yield* yieldNow();
      expect([task.waitingFor, handlers()]).toEqual(["signal SIGHUP or SIGUSR2", 2]);
      send("SIGUSR2");
      return yield* task;
    });
    expect([seen, handlers()]).toEqual(["SIGUSR2", 0]);
  });

  test("cancelled, it removes its handlers", async () => {
    expect(await run(() => moveOnAfter(1, waitForSignal("SIGUSR2", "SIGHUP")))).toBe(undefined);
    expect(handlers()).toBe(0);
  });
});

describe("signals()", () => {
  test("gives every one, also those that came while nobody waited; its scope ends it", async () => {
    const seen = await run(() =>
      scope(function* () {
        const received = signals("SIGUSR2", "SIGHUP");
        send("SIGUSR2");
        while (received.statistics().buffered < 1) yield* sleep(1);
        send("SIGHUP");
        return [(yield* received.next()).value, (yield* received.next()).value];
      }),
    );
    expect([seen, handlers()]).toEqual([["SIGUSR2", "SIGHUP"], 0]);
  });

  test("closing it gives the default action back", async () => {
    await run(function* () {
      const received = signals("SIGUSR2");
      expect(handlers()).toBe(1);
      yield* received.close();
      expect(handlers()).toBe(0);
    });
  });
});

test.each([
  ["no name", []],
  ["a name that is none", ["SIGNAL"]],
  ["one that cannot be handled", ["SIGKILL"]],
  ["a property that every object has", ["toString"]],
])("%s is refused", (_, names) => {
  expect(thrownBy(() => waitForSignal(...(names as NodeJS.Signals[])))).toBeInstanceOf(UsageError);
  expect(failureOf(function* () { signals(...(names as NodeJS.Signals[])); })).toBeInstanceOf(UsageError); // prettier-ignore
  expect(handlers()).toBe(0);
});
