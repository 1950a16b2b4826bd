/** What plain JavaScript gets wrong, and a type that was cast away: told with the name of what was called, never by an engine's TypeError. */
import * as fibril from "fibril";
import { isOperation } from "fibril/lowlevel";
import { simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";

const WRONG: readonly unknown[] = [undefined, null, 5, "x", {}, [1], Promise.resolve(1), async () => 1, () => 1];

// Everything of the main entry that is called with something to run or to wait for.
const CALLS = Object.entries(fibril).filter(
  ([name, value]) => typeof value === "function" && /^[a-z]/.test(name) && !["run", "formatFrame"].includes(name),
) as [string, (...args: unknown[]) => unknown][];

describe.each(CALLS)("%s", (_, call) => {
  test("wrong arguments give an error of ours, or are right", () => {
    const foreign: unknown[] = [];
    for (const first of WRONG) {
      for (const rest of [[], [{}], [() => 1], [undefined, {}]]) {
        const { outcome } = simulateSync(function* () {
          const made = call(first, ...rest);
          if (isOperation(made)) yield* fibril.moveOnAfter(20, made);
        });
        if (outcome?.status === "failed" && !(outcome.error instanceof fibril.FibrilError)) foreign.push(outcome.error);
      }
    }
    expect(foreign).toEqual([]);
  });
});
