/** What tests with real threads share: a program that ends by itself, and a count of the threads before and after. */
import { readdirSync, readFileSync } from "node:fs";
import { run, sleep, timeout } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { expect, vi } from "vitest";

const LONGEST_MS = 50_000; // ends what hangs, with the names of the waits, before the test runner does

/** Runs it on the real clock; fails when it takes long, or reports anything that was not expected. */
export async function really<T>(main: () => Operation<T>, expectedReports: readonly string[] = []): Promise<T> {
  const reports: string[] = [];
  const value = await run(() => timeout(LONGEST_MS, main), {
    onReport: (report) => reports.push(`${report.kind}: ${report.message}`),
  });
  expect(reports).toEqual(expectedReports.map((each) => expect.stringContaining(each)));
  return value;
}

/** Waits until it holds; the world outside gives no event for it. */
export function* eventually(holds: () => boolean): Coroutine<void> {
  while (!holds()) yield* sleep(1);
}

const PF_EXITING = 0x4; // linux/sched.h

/**
 * How many threads of this process have a name that begins like this; the system keeps 15 letters of it. It lists a thread for a moment more
 * after it has been joined, as one that is exiting: that is none.
 */
export function threadsNamed(prefix: string): number {
  const living = readdirSync("/proc/self/task").filter((id) => {
    try {
      const text = readFileSync(`/proc/self/task/${id}/stat`, "utf8"); // id (name) state ppid pgrp session tty tpgid flags …
      const end = text.lastIndexOf(")");
      const flags = Number(text.slice(end + 2).split(" ")[6]);
      return text.slice(text.indexOf("(") + 1, end).startsWith(prefix) && (flags & PF_EXITING) === 0;
    } catch {
      return false; // it has ended meanwhile
    }
  });
  return living.length;
}

/** Until no thread has such a name. Fails when there is one that stays. */
export function noThreadNamed(prefix: string): Promise<unknown> {
  return vi.waitUntil(() => threadsNamed(prefix) === 0, { timeout: LONGEST_MS, interval: 5 });
}

/** Shared memory for flags. */
export function flags(count = 2): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * count));
}

/** Lets go what waits at the gate, see `hold` and `block` in `jobs.ts`. */
export function openGate(gate: Int32Array): void {
  Atomics.store(gate, 1, 1);
  Atomics.notify(gate, 1);
}

export function* thrownIn(body: () => Operation<unknown>): Coroutine<unknown> {
  try {
    yield* body();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
