/**
 * Jobs on other machines: the same interface as `ThreadPool`, on an engine that keeps the jobs between here and there.
 *
 * At least once. A job is run again when its worker was lost, so one that must not have its effect twice uses
 * `currentJob().idempotencyKey`. Its outcome is recorded once: the first one counts, and is what every handle gets.
 *
 * What other machines cannot do: arguments are text on their way (`codec`), nothing is shared, and values do not stream.
 */
import { randomUUID } from "node:crypto";
import { describeValue, running, UsageError } from "../../core/index.ts";
import type { Operation, Scope, Task } from "../../core/index.ts";
import { JobExecutor } from "../job-executor.ts";
import type { JobHandle } from "../job-handle.ts";
import { checkJob } from "../job.ts";
import type { AnyJob, Job } from "../job.ts";
import type { PendingJob } from "../pending-job.ts";
import type { JobShape } from "../pool.ts";
import type { SubmitOptions } from "../executor.ts";
import type { QueueEngine, ScheduleStanding } from "./engine.ts";
import { checkJobOptions, queueSettings, scheduleSettings } from "./options.ts";
import type { QueueExecutorOptions, QueueSettings, QueueSubmitOptions, ScheduleOptions } from "./options.ts";
import { QueuePool } from "./queue-pool.ts";
import type { QueueStatistics } from "./queue-pool.ts";
import { scheduleOrderOf } from "./queue-track.ts";
import type { QueuePlace } from "./queue-track.ts";

/** Whom the engine belongs to. @package */
export interface EngineOwnership {
  readonly ownsEngine?: boolean;
}

/**
 * @example
 * const engine = yield* use(new BullEngine({ url: "redis://localhost" }));
 * const executor = yield* use(new QueueExecutor(engine));
 * const small = yield* executor.call({ attempts: 3 }, thumbnail, image, 200);
 */
export class QueueExecutor extends JobExecutor {
  readonly #pool: QueuePool;
  readonly #settings: QueueSettings;
  readonly #jobs = new WeakMap<JobHandle<unknown>, PendingJob>();
  readonly #handles = new WeakMap<PendingJob, JobHandle<unknown>>();

  /**
   * @param engine Is not closed by `shutdown`: workers and other executors of the process may use it.
   * @throws {UsageError} when an option is wrong.
   */
  constructor(engine: QueueEngine, options: QueueExecutorOptions & EngineOwnership = {}) {
    const settings = queueSettings(options);
    const name = options.name ?? `queue ${engine.name}`;
    // From the loop where there is one, so that a simulated run repeats.
    const unique =
      engine.isOutside || running.loop === null
        ? randomUUID()
        : Math.floor(running.loop.random() * 2 ** 48).toString(36);
    const address = `${name}.${unique}`;
    const pool = new QueuePool(engine, name, address, settings, options.ownsEngine ?? false);
    super(pool, { queueSize: 0, ...options, name }, name);
    this.#pool = pool;
    this.#settings = settings;
  }

  override submit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Operation<JobHandle<T>>;
  override submit<Args extends readonly unknown[], T>(
    options: QueueSubmitOptions,
    job: Job<Args, T>,
    ...args: Args
  ): Operation<JobHandle<T>>;
  override submit(...call: unknown[]): Operation<JobHandle<never>> {
    return super.submit(...(call as [never]));
  }

  override trySubmit<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): JobHandle<T>;
  override trySubmit<Args extends readonly unknown[], T>(
    options: QueueSubmitOptions,
    job: Job<Args, T>,
    ...args: Args
  ): JobHandle<T>;
  override trySubmit(...call: unknown[]): JobHandle<never> {
    return super.trySubmit(...(call as [never]));
  }

  override call<Args extends readonly unknown[], T>(job: Job<Args, T>, ...args: Args): Operation<T>;
  override call<Args extends readonly unknown[], T>(
    options: QueueSubmitOptions,
    job: Job<Args, T>,
    ...args: Args
  ): Operation<T>;
  override call(...call: unknown[]): Operation<never> {
    return super.call(...(call as [never]));
  }

  /**
   * The handle of a job that was submitted before: by this process, by one that is gone, or by another one. It belongs to the current scope, like one
   * that was submitted here. Outcome and cancellation work as usual; progress is told to who has submitted it only.
   *
   * A job that the queue does not know fails with `JobNotKeptError`.
   * @param id From `idOf`, or the `idempotencyKey` it was submitted with.
   * @throws {QueueFullError} when `maxPending` jobs are pending.
   */
  attach<Args extends readonly unknown[], T>(id: string, job: Job<Args, T>): JobHandle<T> {
    if (typeof id !== "string" || id === "") throw new UsageError("attach() takes the id of a job, see idOf()");
    const options: AttachOptions = { [ATTACH]: id };
    return this.trySubmit(options, job as unknown as Job<[], T>);
  }

  /** The id of a job in the queue, for `attach`. */
  idOf(handle: JobHandle<unknown>): string {
    const place = this.#jobs.get(handle)?.place as QueuePlace | undefined;
    if (place !== undefined && place.id !== "") return place.id;
    throw new UsageError(
      `job "${handle.name}" has no id in executor "${this.name}": it was not submitted here, or still waits for room`,
    );
  }

  /**
   * Makes a job again and again, or changes the schedule with this id. It belongs to the queue, not to this process: it goes on until `unschedule`, and
   * whoever puts it again, at each start for example, puts the same one. What of a schedule has not begun is gone when another one takes its place.
   *
   * Each firing is an ordinary job, made once however many workers and submitters there are; its id, which names schedule and time, is its
   * idempotency key, and for `attach`. One firing at most waits for a worker: while none is there, that one is late and the others are left out.
   *
   * Cancelling may leave it made or not.
   * @returns The schedule, with the time of its next firing.
   * @throws {UsageError} when an option is wrong, or the times never come.
   * @throws {JobCloneError} {@link PayloadTooLargeError} when the arguments cannot be carried.
   * @example
   * yield* executor.schedule("nightly report", { cron: "0 3 * * *", timeZone: "Europe/Paris", overlap: "skip" }, report, "all");
   */
  schedule<Args extends readonly unknown[]>(
    id: string,
    options: ScheduleOptions,
    job: Job<Args, unknown>,
    ...args: Args
  ): Operation<ScheduleStanding> {
    checkScheduleId(id);
    checkJob("schedule", job);
    this.#pool.check(job as AnyJob);
    const settings = scheduleSettings(options, this.#settings);
    return this.#pool.engine.putSchedule(scheduleOrderOf(id, job as AnyJob, args, settings, this.#settings));
  }

  /** Ends a schedule. A firing that has begun goes on; one that has not is gone. `false`: there was none with this id. */
  unschedule(id: string): Operation<boolean> {
    checkScheduleId(id);
    return this.#pool.engine.removeSchedule(id);
  }

  /** All schedules of the queue. */
  schedules(): Operation<readonly ScheduleStanding[]> {
    return this.#pool.engine.schedules();
  }

  /** @internal */
  get engine(): QueueEngine {
    return this.#pool.engine;
  }

  /** What `statistics()` cannot say of a queue. */
  queueStatistics(): QueueStatistics {
    return this.#pool.queueStatistics();
  }

  /** @internal */
  override makeJob(
    job: AnyJob,
    shape: JobShape,
    args: readonly unknown[],
    options: SubmitOptions,
    task: Task<unknown>,
  ): PendingJob {
    checkJobOptions(options);
    const pending = super.makeJob(job, shape, args, options, task);
    const place: QueuePlace = {
      options: given(options),
      priority: options.priority ?? 0,
      attachTo: (options as AttachOptions)[ATTACH] ?? null,
      isDetached: false,
      id: "",
      track: null,
    };
    pending.place = place;
    return pending;
  }

  /** @internal */
  override handOut(pending: PendingJob, options: SubmitOptions, task: Task<unknown>): JobHandle<unknown> {
    const handle = super.handOut(pending, options, task);
    this.#jobs.set(handle, pending);
    if (this.#settings.onScopeCancelled === "detach") this.#handles.set(pending, handle);
    return handle;
  }

  /** @internal */
  override cancelJob(job: PendingJob, reason: unknown): "withdrawn" | "requested" {
    const handle = this.#handles.get(job);
    const { cancelled } = job;
    if (handle !== undefined && cancelled !== null && (cancelled.scope as Scope).host !== handle.task) {
      (job.place as QueuePlace).isDetached = true; // a scope around it was cancelled, not the handle
    }
    return super.cancelJob(job, reason);
  }
}

function checkScheduleId(id: unknown): void {
  if (typeof id !== "string" || id === "")
    throw new UsageError(`a schedule has a text for its id, got ${describeValue(id)}`);
}

const ATTACH: unique symbol = Symbol("attach");

interface AttachOptions extends QueueSubmitOptions {
  readonly [ATTACH]?: string;
}

/** Only what was said of this job: the rest is the executor's. */
function given({ attempts, backoffMs, resultTtlMs, delayMs, deadlineMs }: QueueSubmitOptions): QueueSubmitOptions {
  return {
    ...(attempts === undefined ? {} : { attempts }),
    ...(backoffMs === undefined ? {} : { backoffMs }),
    ...(resultTtlMs === undefined ? {} : { resultTtlMs }),
    ...(delayMs === undefined ? {} : { delayMs }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  };
}
