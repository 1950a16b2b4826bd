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
import { randomUUID } from "node:crypto";
import type { Job, Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { QueuedWait, taskOf, until, WaitQueue } from "../../core/index.ts";
import type { Coroutine, EventLoop, Operation, Waiter } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import { checkMs, checkOptions, checkWhole } from "../checks.ts";
import { importBull } from "./bull-packages.ts";
import type { BullPackages } from "./bull-packages.ts";
import { FINISH, SETTLE } from "./bull-scripts.ts";
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
  SubmitterListener,
} from "./engine.ts";
import { LEASE_MS, MAX_STALLED } from "./engine.ts";
import { EngineClosedError } from "./errors.ts";

export interface BullEngineOptions {
  /** `redis://user:password@host:port/db`, or `rediss://…` for TLS. Default: `redis://127.0.0.1:6379`. */
  readonly url?: string;
  /** The name of the queue in Redis. Default: `"fibril"`. */
  readonly queue?: string;
  /** How long a worker may be silent before its jobs are given to others, in milliseconds. All workers of a queue should agree. Default: 30,000. */
  readonly leaseMs?: number;
  /** How often a worker looks for jobs whose worker is gone, in milliseconds. It takes up to two looks. Default: a third of `leaseMs`. */
  readonly stalledCheckMs?: number;
  /** How often a job may lose its worker and be run again. Default: 3. */
  readonly maxStalled?: number;
}

/** What lies in a job of BullMQ. */
interface Kept {
  readonly address: string;
  readonly payload: string;
  readonly priority: number;
  readonly replyTo: string;
  readonly ttl: number;
}

/** A job of ours that BullMQ keeps. */
type BullJob = Job<Kept, unknown>;

interface Token {
  readonly job: BullJob;
  /** The value of its lock. */
  readonly lock: string;
}

interface Connected {
  readonly packages: BullPackages;
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly queue: Queue;
}

const URL_DEFAULT = "redis://127.0.0.1:6379";
const CONNECT_RETRY_MS = 250;
const LONGEST_CONNECT_RETRY_MS = 2_000;
const RETRY_MS = 200;
const COUNTERS_TTL_MS = 7 * 24 * 3_600_000;
const CANCEL_TTL_MS = 24 * 3_600_000;
/** How long it blocks for a job: BullMQ wakes a waiting worker by a marker, which `moveToWait` does not set. */
const BLOCK_SECONDS = 1;
/** BullMQ counts from 0, highest, to 2 ** 21; ours are centred, higher first. */
const MIDDLE_PRIORITY = 2 ** 20;

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
  readonly #url: string;
  readonly #stalledCheckMs: number;
  readonly #maxStalled: number;
  #connecting: Promise<Connected> | null = null;
  #connected: Connected | null = null;
  #worker: Promise<Worker> | null = null;
  #isClosed = false;
  #isFetching = false;
  /** What the worker fetches at this moment. */
  #inFlight: Promise<JobLease | null> | null = null;
  #loop: EventLoop | null = null;
  readonly #claims = new WaitQueue<JobLease, Claim>();
  readonly #submitters = new Map<string, Set<SubmitterListener>>();
  readonly #cancelListeners = new Set<(id: string, reason: string) => void>();

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
    this.#url = url;
    this.#maxStalled = maxStalled;
    this.#stalledCheckMs = options.stalledCheckMs ?? Math.max(100, leaseMs / 3);
    checkMs("stalledCheckMs", this.#stalledCheckMs);
  }

  enqueue(orders: readonly JobOrder[]): Operation<void> {
    return this.#ask(async ({ queue }) => {
      await queue.addBulk(
        orders.map((order) => ({
          name: order.address,
          data: {
            address: order.address,
            payload: order.payload,
            priority: order.priority,
            replyTo: order.replyTo,
            ttl: order.resultTtlMs,
          } satisfies Kept,
          opts: {
            jobId: keyOf(order.id),
            priority: bullPriority(order.priority),
            removeOnComplete: true,
            removeOnFail: true,
            ...(order.delayMs > 0 ? { delay: order.delayMs } : {}),
          },
        })),
      );
    });
  }

  claim(worker: string): Operation<JobLease> {
    return new Claim(this.#claims as never, this.name, (loop) => this.#fetch(loop, worker));
  }

  renew(leases: readonly JobLease[]): Operation<readonly Renewal[]> {
    return this.#ask(async ({ redis }) => {
      const tokens = leases.map((lease) => lease.token as Token);
      const worker = await this.#worker!;
      const ids = tokens.map((token) => token.job.id!);
      const lost = new Set(
        await worker.extendJobLocks(
          ids,
          tokens.map((token) => token.lock),
          this.leaseMs,
        ),
      );
      const cancels = await redis.mget(leases.map((lease) => this.#key("cancel", lease.order.id)));
      return leases.map((_, index) => {
        const reason = cancels[index] ?? null;
        return { isHeld: !lost.has(ids[index]!), cancel: reason === null ? null : { reason } };
      });
    });
  }

  finish(lease: JobLease, record: OutcomeRecord): Operation<boolean> {
    return this.#ask(async (connected) => {
      const { order } = lease;
      const { job, lock } = lease.token as Token;
      const isRecorded = await this.#record(connected, order, record, lock);
      if (isRecorded) await job.moveToCompleted(null, lock, false).catch(ignoreLostLock);
      return isRecorded;
    });
  }

  release(lease: JobLease, delayMs: number, reason: ReleaseReason): Operation<void> {
    return this.#ask(async ({ redis }) => {
      const { job, lock } = lease.token as Token;
      if (reason !== "nothing") {
        const counters = this.#key("counters", lease.order.id);
        await redis.multi().hincrby(counters, reason, 1).pexpire(counters, COUNTERS_TTL_MS).exec();
      }
      if (delayMs <= 0) {
        await job.moveToWait(lock).catch(ignoreLostLock);
        return;
      }
      // A retry of BullMQ's takes the delay, and the clock, from one place; moveToDelayed wants the time of day.
      job.opts.attempts = Number.MAX_SAFE_INTEGER;
      job.opts.backoff = { type: "fixed", delay: Math.ceil(delayMs) };
      await job.moveToFailed(new Error(`put back after a ${reason}`), lock).catch(ignoreLostLock);
    });
  }

  tell(lease: JobLease, tidings: JobTidings): void {
    const { id, replyTo } = lease.order;
    this.#connected?.redis.publish(this.#channel("reply", replyTo), JSON.stringify({ id, tidings })).catch(() => {});
  }

  requestCancel(id: string, reason: string): Operation<CancelAnswer> {
    return this.#ask(async (connected): Promise<CancelAnswer> => {
      const { redis, queue } = connected;
      const key = keyOf(id);
      const job = (await queue.getJob(key)) as BullJob | undefined;
      if (job === undefined) return (await redis.exists(this.#key("record", id))) === 1 ? "settled" : "unknown";
      await redis.set(this.#key("cancel", id), reason, "PX", CANCEL_TTL_MS); // first: it may be claimed at this moment
      if ((await queue.remove(key).catch(() => 0)) === 1) {
        const record: OutcomeRecord = { status: "cancelled", delivery: 0, worker: "", runMs: 0, body: reason };
        await this.#record(connected, orderOf(id, job.data), record, null);
        return "removed";
      }
      await redis.publish(this.#channel("cancel", ""), JSON.stringify({ id, reason }));
      return (await redis.exists(this.#key("record", id))) === 1 ? "settled" : "requested";
    });
  }

  states(ids: readonly string[]): Operation<readonly JobStanding[]> {
    return this.#ask(async ({ redis, queue }) => {
      if (ids.length === 0) return [];
      // Jobs first: one that ends between the two questions has a record by the second.
      const pipeline = redis.pipeline();
      for (const id of ids) pipeline.exists(queue.toKey(keyOf(id))).exists(`${queue.toKey(keyOf(id))}:lock`);
      const found = (await pipeline.exec()) ?? [];
      const records = await redis.mget(ids.map((id) => this.#key("record", id)));
      return ids.map((_, index): JobStanding => {
        const record = records[index] ?? null;
        if (record !== null) return { state: "settled", record: JSON.parse(record) as OutcomeRecord };
        const [failure, isKept] = found[index * 2] ?? [null, 1];
        if (failure !== null || isKept !== 1) return { state: failure === null ? "unknown" : "waiting" };
        return { state: found[index * 2 + 1]?.[1] === 1 ? "running" : "waiting" };
      });
    });
  }

  counts(): Operation<QueueCounts> {
    return this.#ask(async ({ queue }) => {
      const counts = await queue.getJobCounts("wait", "prioritized", "delayed", "active");
      const { wait = 0, prioritized = 0, delayed = 0, active = 0 } = counts;
      return Object.freeze({ waiting: wait + prioritized, delayed, running: active });
    });
  }

  subscribe(replyTo: string, listener: SubmitterListener): Operation<() => void> {
    return this.#ask(async ({ subscriber }) => {
      const channel = this.#channel("reply", replyTo);
      let listeners = this.#submitters.get(channel);
      if (listeners === undefined) this.#submitters.set(channel, (listeners = new Set()));
      listeners.add(listener);
      await subscriber.subscribe(channel);
      listener.connected(true);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0 && !this.#isClosed) subscriber.unsubscribe(channel).catch(() => {});
      };
    });
  }

  watchCancels(listener: (id: string, reason: string) => void): Operation<() => void> {
    return this.#ask(async ({ subscriber }) => {
      this.#cancelListeners.add(listener);
      await subscriber.subscribe(this.#channel("cancel", ""));
      return () => void this.#cancelListeners.delete(listener);
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (let claim = this.#claims.shift(); claim !== null; claim = this.#claims.shift()) {
      claim.fail(new EngineClosedError(this.name));
    }
    await this.#giveBackInFlight();
    const connected = await this.#connecting?.catch(() => null);
    const worker = await this.#worker?.catch(() => null);
    await worker?.close(true).catch(() => {});
    if (connected === undefined || connected === null) return;
    await connected.queue.close().catch(() => {});
    connected.redis.disconnect();
    connected.subscriber.disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What is claimed at this moment would stay with a worker that is gone, until its lease has run out. */
  async #giveBackInFlight(): Promise<void> {
    const inFlight = this.#inFlight;
    const loop = this.#loop;
    if (inFlight === null || loop === null) return;
    let isLate = (): void => {};
    const late = new Promise<null>((resolve) => (isLate = () => resolve(null)));
    const timer = loop.callLater(2_000 * BLOCK_SECONDS, isLate); // Redis may be out of reach
    const lease = await Promise.race([inFlight.catch(() => null), late]);
    timer.cancel();
    if (lease === null) return;
    const { job, lock } = lease.token as Token;
    await job.moveToWait(lock).catch(() => {}); // or it was given to somebody, or given back, before
  }

  #ask<T>(act: (connected: Connected) => Promise<T>): Operation<T> {
    return until(async () => await act(await this.#connect()));
  }

  #connect(): Promise<Connected> {
    if (this.#isClosed) return Promise.reject(new EngineClosedError(this.name));
    this.#connecting ??= this.#open().catch((error: unknown) => {
      this.#connecting = null;
      throw error;
    });
    return this.#connecting;
  }

  async #open(): Promise<Connected> {
    const packages = await importBull();
    // Commands wait while the connection is lost and are sent again when it is back: all of ours may be carried out twice.
    const redis = new packages.ioredis.Redis(this.#url, {
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(LONGEST_CONNECT_RETRY_MS, CONNECT_RETRY_MS * times),
    });
    const subscriber = redis.duplicate();
    // Without a listener an error ends the process; what is wrong shows in `connected`, and in calls that wait.
    redis.on("error", () => {});
    subscriber.on("error", () => this.#tellAll(false));
    subscriber.on("close", () => this.#tellAll(false));
    // Again ready, it subscribes again by itself.
    subscriber.on("ready", () => this.#tellAll(true));
    subscriber.on("message", (channel: string, message: string) => this.#heard(channel, message));
    const queue = new packages.bullmq.Queue(this.name, { connection: redis as never, skipVersionCheck: true });
    queue.on("error", () => {});
    this.#connected = { packages, redis, subscriber, queue };
    return this.#connected;
  }

  async #openWorker(name: string): Promise<Worker> {
    const { packages, redis } = await this.#connect();
    const worker = new packages.bullmq.Worker(this.name, null, {
      connection: redis as never,
      name,
      autorun: false,
      lockDuration: this.leaseMs,
      stalledInterval: this.#stalledCheckMs,
      maxStalledCount: this.#maxStalled,
      drainDelay: BLOCK_SECONDS,
      skipVersionCheck: true,
    });
    worker.on("error", () => {});
    await worker.waitUntilReady();
    await worker.startStalledCheckTimer();
    return worker;
  }

  #heard(channel: string, message: string): void {
    const said = JSON.parse(message) as { id: string; reason: string; record?: OutcomeRecord; tidings?: JobTidings };
    if (channel === this.#channel("cancel", "")) {
      for (const listener of this.#cancelListeners) listener(said.id, said.reason);
      return;
    }
    for (const listener of this.#submitters.get(channel) ?? []) {
      if (said.record !== undefined) listener.settled(said.id, said.record);
      else if (said.tidings !== undefined) listener.told(said.id, said.tidings);
    }
  }

  #tellAll(isConnected: boolean): void {
    for (const listeners of this.#submitters.values()) {
      for (const listener of listeners) listener.connected(isConnected);
    }
  }

  /** Fetches jobs while somebody waits for one, one after the other: BullMQ blocks for one at a time. */
  #fetch(loop: EventLoop, worker: string): void {
    if (this.#isFetching || this.#isClosed) return;
    this.#isFetching = true;
    this.#loop = loop;
    loop.spawn({ name: `fetch from ${this.name}` }, () => this.#fetchAll(worker));
  }

  *#fetchAll(name: string): Coroutine<void> {
    try {
      while (this.#claims.first !== null && !this.#isClosed) {
        try {
          this.#inFlight = this.#fetchOne(name);
          const lease = yield* until(this.#inFlight);
          if (this.#isClosed) return; // close() gives it back
          this.#inFlight = null;
          if (lease === null) continue;
          const claim = this.#claims.shift();
          if (claim !== null) claim.end(lease);
          else yield* this.release(lease, 0, "nothing"); // nobody wants it any more
        } catch (error) {
          if (!(error instanceof Error)) throw error;
          if ((error as { code?: unknown }).code === "EXECUTOR_ENGINE_MISSING") {
            for (let claim = this.#claims.shift(); claim !== null; claim = this.#claims.shift()) claim.fail(error);
            return;
          }
          yield* sleep(RETRY_MS);
        }
      }
    } finally {
      this.#isFetching = false;
    }
  }

  async #fetchOne(name: string): Promise<JobLease | null> {
    this.#worker ??= this.#openWorker(name).catch((error: unknown) => {
      this.#worker = null;
      throw error;
    });
    const worker = await this.#worker;
    const connected = await this.#connect(); // before the claim: once closed there is none, and close() waits for the lease to give it back
    const lock = randomUUID();
    const job = (await worker.getNextJob(lock)) as BullJob | undefined;
    if (job === undefined || job === null) return null;
    try {
      return await this.#leaseOf(job, lock, connected);
    } catch (error) {
      await job.moveToWait(lock).catch(() => {}); // what nobody hears of must not stay claimed
      throw error;
    }
  }

  /** `null`: it has its outcome already. */
  async #leaseOf(job: BullJob, lock: string, connected: Connected): Promise<JobLease | null> {
    const { redis } = connected;
    const order = orderOf(idOf(job.id!), job.data);
    const [record, reason] = await redis.mget(this.#key("record", order.id), this.#key("cancel", order.id));
    if (typeof record === "string") {
      await job.moveToCompleted(null, lock, false).catch(ignoreLostLock); // it has ended; its worker could not say so
      return null;
    }
    if (job.deferredFailure !== undefined) {
      const lost: OutcomeRecord = { status: "lost", delivery: job.attemptsStarted - 1, worker: "", runMs: 0, body: "" };
      await this.#record(connected, order, lost, lock);
      await job.moveToCompleted(null, lock, false).catch(ignoreLostLock);
      return null;
    }
    const [failures, refusals] = await redis.hmget(this.#key("counters", order.id), "failure", "refusal");
    return {
      order,
      delivery: job.attemptsStarted,
      failures: Number(failures ?? 0),
      refusals: Number(refusals ?? 0),
      stalls: job.stalledCounter,
      waitedMs: Math.max(0, (job.processedOn ?? job.timestamp) - job.timestamp),
      cancel: typeof reason === "string" ? { reason } : null,
      token: { job, lock } satisfies Token,
    };
  }

  /** @param lock `null`: nobody has it. */
  async #record(
    { redis, queue }: Connected,
    order: JobOrder,
    record: OutcomeRecord,
    lock: string | null,
  ): Promise<boolean> {
    const text = JSON.stringify(record);
    const channel = this.#channel("reply", order.replyTo);
    const message = JSON.stringify({ id: order.id, record });
    const key = this.#key("record", order.id);
    const ttl = Math.max(1, Math.ceil(order.resultTtlMs));
    if (lock === null) return (await redis.eval(SETTLE, 1, key, text, ttl, channel, message)) === 1;
    const lockKey = `${queue.toKey(keyOf(order.id))}:lock`;
    return (await redis.eval(FINISH, 2, key, lockKey, text, ttl, channel, message, lock)) === 1;
  }

  #key(kind: "record" | "cancel" | "counters", id: string): string {
    return `fibril:${this.name}:${kind}:${id}`;
  }

  #channel(kind: "reply" | "cancel", to: string): string {
    return `fibril:${this.name}:${kind}:${to}`;
  }
}

class Claim extends QueuedWait<JobLease> {
  readonly reason: string;
  readonly #fetch: (loop: EventLoop) => void;

  constructor(line: WaitQueue<JobLease, never>, queue: string, fetch: (loop: EventLoop) => void) {
    super(line);
    this.reason = `a job in queue ${queue}`;
    this.#fetch = fetch;
  }

  override get external(): boolean {
    return true;
  }

  protected attempt(waiter: Waiter): null {
    const loop = taskOf(waiter).loop as EventLoop;
    loop.callSoon(() => this.#fetch(loop)); // when it stands in line
    return null;
  }
}

/** BullMQ refuses colons in ids, and ids that are numbers. */
function keyOf(id: string): string {
  return `j${encodeURIComponent(id)}`;
}

function idOf(key: string): string {
  return decodeURIComponent(key.slice(1));
}

function orderOf(id: string, kept: Kept): JobOrder {
  const { address, payload, priority, replyTo, ttl } = kept;
  return { id, address, payload, priority, replyTo, resultTtlMs: ttl, delayMs: 0 };
}

function bullPriority(priority: number): number {
  return Math.max(1, Math.min(2 * MIDDLE_PRIORITY, MIDDLE_PRIORITY - Math.round(priority)));
}

/** Somebody else has the job by now, or it is gone: then there is nothing to do. What else went wrong is the caller's affair. */
function ignoreLostLock(error: unknown): void {
  const { code } = error as { readonly code?: unknown };
  const { message } = error as Error;
  if (typeof code === "number" && code < 0) return;
  if (/Missing lock|Missing key|Lock mismatch|is not in the active state|not in the state/i.test(message)) return;
  throw error;
}
