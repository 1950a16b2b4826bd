/**
 * A program that stands at known lines. Loaded by Node itself and not through the test runner, which rewrites sources and
 * so moves their lines. Each comment `at …` marks a line that has to be found.
 */
import { all, coroutine, scope, sleep, spawn, timeout } from "fibril";
import type { Coroutine, Operation, StackFrame } from "fibril";
import { simulateSync } from "fibril/testing";

function* leaf(): Coroutine<void> {
  yield* sleep(100); // at leaf
}
function* plain(): Coroutine<void> {
  yield* leaf(); // at plain
}
const framed = coroutine(function* framed(): Coroutine<void> {
  yield* plain(); // at framed
});
const named = coroutine("load a page", function* (): Coroutine<void> {
  yield* framed(); // at load a page
});
function* outer(): Coroutine<void> {
  yield* named(); // at outer
}
function* throughScopes(): Coroutine<void> {
  yield* scope(function* body() {
    yield* timeout(1000, function* limited() {
      yield* named(); // at limited
    }); // the call above is at body
  }); // and that one at throughScopes
}
function* cleaning(): Coroutine<void> {
  try {
    yield* all([]);
    throw new Error("go to the cleanup");
  } finally {
    yield* leaf(); // at cleaning
  }
}

export const programs: Readonly<Record<string, () => Operation<void>>> = { outer, throughScopes, cleaning };

/** The stack of a task that runs the program, while it waits. */
export function stackOf(name: string): readonly StackFrame[] {
  const { outcome } = simulateSync(function* (): Coroutine<readonly StackFrame[]> {
    const task = spawn(programs[name]!);
    yield* sleep(1);
    const stack = task.awaitStack();
    yield* task.cancel();
    return stack;
  });
  return outcome.status === "succeeded" ? outcome.value : [];
}
