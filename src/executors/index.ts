/**
 * `fibril/executors`: work that leaves the loop. Jobs in threads, loops in threads, and the same in this process.
 */

// Jobs: a function that another thread can find.
export { job } from "./job.ts";
export type { Job, JobOptions, StreamJob } from "./job.ts";
export { carried } from "./carried.ts";

// Inside a job.
export { currentJob, isCancelled, log, progress, throwIfCancelled } from "./job-context.ts";
export type { JobContext } from "./job-context.ts";

// Executors.
export type {
  Executor,
  ExecutorShutdownOptions,
  ExecutorStatistics,
  MapOptions,
  StreamOptions,
  SubmitOptions,
} from "./executor.ts";
export type { ExecutorOptions } from "./job-executor.ts";
export type { DurationStatistics } from "./durations.ts";
export { JobHandle } from "./job-handle.ts";
export type { JobLog, JobState } from "./job-handle.ts";
export { InlineExecutor } from "./inline-executor.ts";
export type { InlineExecutorOptions } from "./inline-executor.ts";
export { ThreadPool } from "./thread-pool.ts";
export type { Initializer, ThreadPoolOptions } from "./thread-pool.ts";
export { toThread } from "./to-thread.ts";

// Loops in threads, and what connects them.
export { LoopThread } from "./loop-thread.ts";
export type { LoopThreadOptions } from "./loop-thread.ts";
export { ThreadChannel, ThreadReceiver, ThreadSender } from "./thread/thread-channel.ts";
export type { ThreadChannelOptions } from "./thread/thread-channel.ts";

// Executors across machines: the same interface on a queue, and the workers that serve it.
export { QueueExecutor } from "./queue/queue-executor.ts";
export type {
  QueueExecutorOptions,
  QueueJobOptions,
  QueueSubmitOptions,
  ScheduleJobOptions,
  ScheduleOptions,
} from "./queue/options.ts";
export type { QueueStatistics } from "./queue/queue-pool.ts";
export { serveJobs, startJobServer } from "./queue/serve-jobs.ts";
export type { JobServerHandle, Served } from "./queue/serve-jobs.ts";
export type { ServeOptions, ServerStatistics, ServerView, StopOptions } from "./queue/serve-options.ts";
export { MemoryEngine } from "./queue/memory-engine.ts";
export type { MemoryEngineOptions, MemoryEngineStatistics } from "./queue/memory-engine.ts";
export type { EngineFaults } from "./queue/faults.ts";
export { BullEngine } from "./queue/bull-engine.ts";
export type { BullEngineOptions } from "./queue/bull-engine.ts";
export { engineAt, executorFromEnvironment, openExecutor } from "./queue/open-executor.ts";
export type { OpenExecutorOptions } from "./queue/open-executor.ts";
export { jsonCodec, structuredCloneCodec } from "./queue/codec.ts";
export type { JobCodec } from "./queue/codec.ts";
export {
  CodecError,
  CronPackageMissingError,
  EngineClosedError,
  EngineMissingError,
  EngineRefusedError,
  ExecutorUnavailableError,
  JobNotKeptError,
  JobUnreadableError,
  PayloadTooLargeError,
  StreamUnsupportedError,
  UnknownJobError,
  WorkerLostError,
} from "./queue/errors.ts";
export type {
  CancelAnswer,
  JobLease,
  JobOrder,
  JobStanding,
  JobTidings,
  OutcomeRecord,
  OutcomeStatus,
  QueueCounts,
  QueueEngine,
  ReleaseReason,
  Renewal,
  ScheduleOrder,
  ScheduleStanding,
  ScheduleTimes,
  SubmitterListener,
} from "./queue/engine.ts";

// For executors of others: the front, and the seam behind it.
export { JobExecutor } from "./job-executor.ts";
export type { CarriedValue, JobEnd, JobNews, JobShape, Pool, PoolJob, PoolListener, PoolStatistics } from "./pool.ts";

// What can go wrong.
export {
  ExecutorBrokenError,
  ExecutorShutdownError,
  JobCloneError,
  JobError,
  JobFailure,
  JobNotFoundError,
  QueueFullError,
  ThreadStartError,
  WorkerCrashedError,
} from "./errors.ts";
export type { JobSubject } from "./errors.ts";
