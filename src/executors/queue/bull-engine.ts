/**
 * The engine on BullMQ 6 with Redis or Valkey.
 *
 * BullMQ keeps the queue: priorities, delays, locks, and the check that finds jobs whose worker is gone. Around it are three things of ours:
 *
 * - The record of an outcome is a key of its own with a time to live, since `removeOnComplete: { age }` is only looked at when another job ends.
 *   One script writes it, if the lock is still ours and no record is there, and publishes it. Then the job is completed and removed. A worker that dies between the two
 *   leaves a job that is claimed again, found to have a record, and not run.
 * - Outcomes and progress are published on a channel of the submitter, with the record. `QueueEvents` would tell every submitter of every job, and
 *   its stream is trimmed, so it would be no surer: the sweep is what makes it sure.
 * - A request to cancel is a key and a message: whoever claims the job later, or misses the message, sees the key.
 *
 * Failures are not BullMQ's affair: an attempt that failed is put back by the worker, and counted in a hash of ours. `attempts` of BullMQ are not used.
 *
 * Durability is that of Redis: with `appendonly yes` what it has acknowledged outlives its process; the machine's power, too, with
 * `appendfsync always`, or all but the last second with `everysec`. A job that Redis has lost is sent again by its submitter, if that still waits.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import type { Operation } from "../../core/index.ts";
import { checkMs, checkOptions, checkWhole } from "../checks.ts";
import { BullClaims } from "./bull-claims.ts";
import { BullConnection } from "./bull-connection.ts";
import type { Connected } from "./bull-connection.ts";
import { bullPriority, complete, ignoreLostLock, keptOf, keyOf, orderOf, putBack } from "./bull-orders.ts";
import type { BullJob, Token } from "./bull-orders.ts";
import { BullSchedules } from "./bull-schedules.ts";
import type {
  CancelAnswer,
  JobLease,
  JobOrder,
  JobStanding,
  JobTidings,
  OutcomeRecord,
  QueueCounts,
  QueueEngine,
  ReleaseReason,
  Renewal,
  ScheduleOrder,
  ScheduleStanding,
  SubmitterListener,
} from "./engine.ts";
import { LEASE_MS, MAX_STALLED } from "./engine.ts";
import { readRecordText } from "./envelope.ts";
import { readFiringId } from "./firing-id.ts";

export interface BullEngineOptions {
  /** `redis://user:password@host:port/db`, or `rediss://…` for TLS. Default: `redis://127.0.0.1:6379`. */
  readonly url?: string;
  /** The name of the queue in Redis. Default: `"fibril"`. */
  readonly queue?: string;
  /** Begins every key in Redis, so that applications can share one. All sides of a queue must agree. Default: BullMQ's keys begin with `bull`, ours with `fibril`. */
  readonly prefix?: string;
  /** How long a worker may be silent before its jobs are given to others, in milliseconds. All workers of a queue should agree. Default: 30,000. */
  readonly leaseMs?: number;
  /** How often a worker looks for jobs whose worker is gone, in milliseconds. It takes up to two looks. Default: a third of `leaseMs`. */
  readonly stalledCheckMs?: number;
  /** How often a job may lose its worker and be run again. Default: 3. */
  readonly maxStalled?: number;
}

const URL_DEFAULT = "redis://127.0.0.1:6379";
const COUNTERS_TTL_MS = 7 * 24 * 3_600_000;
const CANCEL_TTL_MS = 24 * 3_600_000;
const STALLED_CHECKS_PER_LEASE = 3;
const SHORTEST_STALLED_CHECK_MS = 100;

/**
 * Connections are made when first needed: one for commands, one for what is pushed, and one more for a worker that waits for jobs.
 *
 * @example
 * const engine = new BullEngine({ url: "redis://queue.internal", queue: "images" });
 */
export class BullEngine implements QueueEngine {
  readonly name: string;
  readonly isOutside = true;
  readonly leaseMs: number;
  readonly #connection: BullConnection;
  readonly #claims: BullClaims;
  readonly #schedules: BullSchedules;

  /** @throws {UsageError} when an option is wrong. */
  constructor(options: BullEngineOptions = {}) {
    const {
      url = URL_DEFAULT,
      queue = "fibril",
      leaseMs = LEASE_MS,
      maxStalled = MAX_STALLED,
    } = checkOptions("BullEngine", options);
    checkMs("leaseMs", leaseMs);
    checkWhole("maxStalled", maxStalled, 0);
    this.name = queue;
    this.leaseMs = leaseMs;
    const { stalledCheckMs = Math.max(SHORTEST_STALLED_CHECK_MS, leaseMs / STALLED_CHECKS_PER_LEASE), prefix } =
      options;
    checkMs("stalledCheckMs", stalledCheckMs);
    if (prefix !== undefined && (typeof prefix !== "string" || prefix === "")) {
      throw new UsageError(`prefix must be a text, got ${describeValue(prefix)}`);
    }
    this.#connection = new BullConnection({ url, queue, prefix: prefix ?? null });
    this.#claims = new BullClaims(this.#connection, { leaseMs, stalledCheckMs, maxStalled });
    this.#schedules = new BullSchedules(this.#connection);
  }

  enqueue(orders: readonly JobOrder[]): Operation<void> {
    return this.#connection.ask("enqueue jobs", async (connected, loop) => {
      const timestamp = await this.#connection.redisNow(connected, loop);
      const jobs = orders.map((order) => ({
        name: order.address,
        data: keptOf(order, order.replyTo),
        opts: {
          jobId: keyOf(order.id),
          timestamp,
          priority: bullPriority(order.priority),
          removeOnComplete: true,
          removeOnFail: true,
          ...(order.delayMs > 0 ? { delay: order.delayMs } : {}),
        },
      }));
      await connected.queue.addBulk(jobs);
    });
  }

  claim(worker: string): Operation<JobLease> {
    return this.#claims.claim(worker);
  }

  renew(leases: readonly JobLease[]): Operation<readonly Renewal[]> {
    return this.#connection.ask("renew leases", async ({ redis }) => {
      // Of two leases of one job the later one may hold; BullMQ would answer for both with the id.
      const latest = new Map<string, Token>();
      for (const lease of leases.toSorted((a, b) => a.delivery - b.delivery)) {
        latest.set(lease.order.id, lease.token as Token);
      }
      const asked = [...latest.values()];
      const lost = new Set(
        await this.#claims.extendLocks(
          asked.map(({ job }) => job.id!),
          asked.map(({ lock }) => lock),
          this.leaseMs,
        ),
      );
      const cancels = await redis.mget(leases.map((lease) => this.#connection.key("cancel", lease.order.id)));
      return leases.map(({ order, token }, index) => {
        const reason = cancels[index] ?? null;
        const isHeld = latest.get(order.id) === token && !lost.has((token as Token).job.id!);
        return { isHeld, cancel: reason === null ? null : { reason } };
      });
    });
  }

  finish(lease: JobLease, record: OutcomeRecord): Operation<boolean> {
    return this.#connection.ask("record an outcome", async (connected) => {
      const token = lease.token as Token;
      // Sent together: Redis carries them out in order, and without a record the second one does nothing.
      const [isRecorded, isOut] = await Promise.all([
        this.#connection.record(connected, lease.order, record, token.lock),
        complete(token, "recorded"),
      ]);
      // It had an outcome, and is still ours; or Redis had forgotten the script, and recorded it when the second one had come in vain.
      if (!isOut) await complete(token, isRecorded ? "recorded" : "not recorded");
      return isRecorded;
    });
  }

  release(lease: JobLease, delayMs: number, reason: ReleaseReason): Operation<void> {
    return this.#connection.ask("give a job back", async (connected) => {
      const { redis, queue } = connected;
      const { job, lock } = lease.token as Token;
      if (reason !== "nothing") {
        const counters = this.#connection.key("counters", lease.order.id);
        const lockKey = `${queue.toKey(job.id!)}:lock`;
        if ((await redis.fibrilCount(counters, lockKey, reason, COUNTERS_TTL_MS, lock)) === 0) return;
      }
      if (delayMs <= 0) {
        await putBack(connected, lease.token as Token);
        return;
      }
      // A retry of BullMQ's takes the delay, and the clock, from one place; moveToDelayed wants the time of day.
      job.opts.attempts = Number.MAX_SAFE_INTEGER;
      job.opts.backoff = { type: "fixed", delay: Math.ceil(delayMs) };
      await job.moveToFailed(new Error(`put back after a ${reason}`), lock).catch(ignoreLostLock);
    });
  }

  tell(lease: JobLease, tidings: JobTidings): void {
    this.#connection.tell(lease.order, tidings);
  }

  requestCancel(id: string, reason: string): Operation<CancelAnswer> {
    return this.#connection.ask("cancel a job", async (connected, loop): Promise<CancelAnswer> => {
      const { redis, queue } = connected;
      const job = (await queue.getJob(keyOf(id))) as BullJob | undefined;
      const hasEnded = async (): Promise<boolean> => (await redis.exists(this.#connection.key("record", id))) === 1;
      if (job === undefined) return (await hasEnded()) ? "settled" : "unknown";
      const firing = readFiringId(id);
      const dueInMs = firing === null ? 0 : firing.dueMs - (await this.#connection.redisNow(connected, loop));
      // First: it may be claimed at this moment.
      await redis.set(
        this.#connection.key("cancel", id),
        reason,
        "PX",
        CANCEL_TTL_MS + Math.max(0, Math.ceil(dueInMs)),
      );
      if (await this.#isRemoved(connected, job, firing !== null)) {
        const record: OutcomeRecord = { status: "cancelled", delivery: 0, worker: "", runMs: 0, body: reason };
        await this.#connection.record(connected, orderOf(id, job.data), record, null);
        return "removed";
      }
      await this.#connection.tellCancel(connected, id, reason);
      return (await hasEnded()) ? "settled" : "requested";
    });
  }

  states(ids: readonly string[]): Operation<readonly JobStanding[]> {
    return this.#connection.ask("the states of jobs", async ({ redis, queue }, loop) => {
      if (ids.length === 0) return [];
      // Jobs first: one that ends between the two questions has a record by the second.
      const pipeline = redis.pipeline();
      for (const id of ids) pipeline.exists(queue.toKey(keyOf(id))).exists(`${queue.toKey(keyOf(id))}:lock`);
      const found = (await pipeline.exec()) ?? [];
      const records = await redis.mget(ids.map((id) => this.#connection.key("record", id)));
      if (records.some((record) => record !== null)) await this.#connection.pushes.hear(loop);
      return ids.map((_, index): JobStanding => {
        const record = records[index] ?? null;
        if (record !== null) return { state: "settled", record: readRecordText(record) };
        const [failure, isKept] = found[index * 2] ?? [null, 1];
        if (failure !== null || isKept !== 1) return { state: failure === null ? "unknown" : "waiting" };
        return { state: found[index * 2 + 1]?.[1] === 1 ? "running" : "waiting" };
      });
    });
  }

  counts(): Operation<QueueCounts> {
    return this.#connection.ask("count jobs", async ({ queue }) => {
      const counts = await queue.getJobCounts("wait", "prioritized", "delayed", "active");
      const { wait = 0, prioritized = 0, delayed = 0, active = 0 } = counts;
      return Object.freeze({ waiting: wait + prioritized, delayed, running: active });
    });
  }

  putSchedule(schedule: ScheduleOrder): Operation<ScheduleStanding> {
    return this.#schedules.put(schedule);
  }

  removeSchedule(id: string): Operation<boolean> {
    return this.#schedules.remove(id);
  }

  schedules(): Operation<readonly ScheduleStanding[]> {
    return this.#schedules.list();
  }

  subscribe(replyTo: string, listener: SubmitterListener): Operation<() => void> {
    return { [Symbol.iterator]: () => this.#connection.pushes.subscribe(replyTo, listener) };
  }

  watchCancels(listener: (id: string, reason: string) => void): Operation<() => void> {
    return { [Symbol.iterator]: () => this.#connection.pushes.watchCancels(listener) };
  }

  async close(): Promise<void> {
    if (this.#connection.isClosed) return;
    this.#connection.isClosed = true;
    await this.#claims.close();
    await this.#connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Whether it had not begun, and now will not. */
  async #isRemoved({ queue }: Connected, job: BullJob, isFiring: boolean): Promise<boolean> {
    // Without its next job a scheduler of BullMQ stands still: that one stays, and is found to be cancelled when it is claimed.
    if (isFiring) return (await job.getState()) !== "active";
    return (await queue.remove(job.id!).catch(() => 0)) === 1;
  }
}
