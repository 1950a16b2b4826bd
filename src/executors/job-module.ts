/**
 * What a module that defines jobs needs: the job, and what it can ask and tell. Nothing here needs the loop.
 *
 * A worker imports the module of a job, and with it all that this imports. `fibril/executors` has executors, channels and queues, each with
 * the kernel; a thread that loads them, to call a plain function, costs three times the CPU to start (measured).
 */
export { job } from "./job.ts";
export type { Job, JobOptions, StreamJob } from "./job.ts";
export { currentJob, isCancelled, log, progress, throwIfCancelled } from "./job-context.ts";
export type { JobContext } from "./job-context.ts";
