/** What the tests of combinators run: values and failures after some time, and operands that tell of their end. */
import { sleep } from "fibril";
import type { Coroutine } from "fibril";
import { now } from "../core/simulated.ts";

export function* after<T>(ms: number, value: T): Coroutine<T> {
  yield* sleep(ms);
  return value;
}

export function* fail(ms: number, error: unknown): Coroutine<never> {
  yield* sleep(ms);
  throw error;
}

/** Takes `ms`, and `cleanupMs` more when it is cancelled; says in `log` what happened. */
export function* told<T>(log: string[], name: string, ms: number, value: T, cleanupMs = 0): Coroutine<T> {
  let isDone = false;
  try {
    yield* sleep(ms);
    isDone = true;
    return value;
  } finally {
    if (!isDone && cleanupMs > 0) yield* sleep(cleanupMs);
    log.push(`${name} ${isDone ? "done" : "stopped"} at ${now()}`);
  }
}
