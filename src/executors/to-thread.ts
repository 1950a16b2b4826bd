/**
 * One call in another thread, on a pool that the whole program shares.
 */
import type { Operation } from "../core/index.ts";
import type { Job } from "./job.ts";
import { ThreadPool } from "./thread-pool.ts";

let shared: ThreadPool | null = null;

/**
 * Runs a job in a thread and waits for its value. Cancelling cancels the job. The threads are started when first needed, at most as
 * many as the machine can run at a time, and end when they are idle.
 *
 * @example
 * const digest = yield* toThread(hashPassword, password);
 */
export function toThread<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Operation<T> {
  shared ??= new ThreadPool({ name: "shared threads" });
  return shared.call(job, ...args);
}
