/** What tests with real threads share: a program that ends by itself, and a count of the threads before and after. */
import { readdirSync, readFileSync } from "node:fs";
import { run, sleep, timeout } from "fibril";
import type { Coroutine, Operation } from "fibril";
import { expect } from "vitest";

const LONGEST_MS = 10_000;

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

/** How many threads of this process have a name that begins like this; the system keeps 15 letters of it. */
export function threadsNamed(prefix: string): number {
  const names = readdirSync("/proc/self/task").map((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim();
    } catch {
      return ""; // it has ended meanwhile
    }
  });
  return names.filter((name) => name.startsWith(prefix)).length;
}

/** Shared memory for flags. */
export function flags(count = 2): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * count));
}

export function* thrownIn(body: () => Operation<unknown>): Coroutine<unknown> {
  try {
    yield* body();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
