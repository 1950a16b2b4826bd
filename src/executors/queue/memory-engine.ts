/**
 * The engine in memory: for tests, with virtual time and faults, and as the proof that the interface is one.
 *
 * Everything happens on the clock of one loop, the one it was made in. In a simulated run a lease of 30 seconds runs out at once, and the
 * same seed gives the same faults. Made outside of a loop it has one of its own, on the real clock.
 * Its jobs are in `memory-jobs.ts`, what it tells by itself in `memory-pushes.ts`, and schedules in `memory-schedules.ts`.
 */
import { EventLoop, running, until, WaitQueue } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { checkMs, checkOptions, checkWhole } from "../checks.ts";
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
import { importCron } from "./cron.ts";
import { LEASE_MS, MAX_STALLED, OVERLAP } from "./engine.ts";
import { Dice } from "./faults.ts";
import type { EngineFaults } from "./faults.ts";
import { MemoryJobs } from "./memory-jobs.ts";
import type { Entry } from "./memory-line.ts";
import { MemoryPushes } from "./memory-pushes.ts";
import { MemorySchedules } from "./memory-schedules.ts";
import { Claim, Reply } from "./memory-waits.ts";

export interface MemoryEngineOptions {
  /** Shown in messages. Default: `"memory"`. */
  readonly name?: string;
  /** How long a worker may be silent before its jobs are given to others, in milliseconds. Default: 30,000. */
  readonly leaseMs?: number;
  /** How often a job may lose its worker and be run again. Default: 3. */
  readonly maxStalled?: number;
  /** What goes wrong. Default: nothing. */
  readonly faults?: EngineFaults;
  /** The time of day for schedules, in milliseconds since 1970. Default: the clock of the loop, so a simulated run begins in 1970. For real times: `Date.now`. */
  readonly timeOfDay?: () => number;
}

/** What happened so far. Plain, frozen data. */
export interface MemoryEngineStatistics {
  readonly enqueued: number;
  /** Orders that were there already. */
  readonly repeated: number;
  readonly delivered: number;
  /** Deliveries of a job that had been delivered before. */
  readonly redelivered: number;
  readonly stalled: number;
  /** Outcomes that were refused, since the lease was lost or an outcome was there. */
  readonly fenced: number;
  readonly recorded: number;
  readonly pushesDropped: number;
  /** Jobs and outcomes that it keeps. */
  readonly kept: number;
}

/**
 * @example
 * const engine = new MemoryEngine({ faults: { duplicate: 0.1, dropPush: 0.2 } });
 * yield* spawnServer(() => serveJobs(engine, [thumbnail]));
 */
export class MemoryEngine implements QueueEngine {
  readonly name: string;
  readonly leaseMs: number;
  readonly isOutside: boolean;
  readonly #loop: EventLoop;
  readonly #jobs: MemoryJobs;
  readonly #schedules: MemorySchedules;
  readonly #claims = new WaitQueue<JobLease, Claim>();
  readonly #pushes: MemoryPushes;
  readonly #dead = new Set<string>();
  /** @internal */
  readonly up: WaitQueue<void> = new WaitQueue<void>();

  /** @throws {UsageError} when an option is wrong. */
  constructor(options: MemoryEngineOptions = {}) {
    const {
      name = "memory",
      leaseMs = LEASE_MS,
      maxStalled = MAX_STALLED,
      faults = {},
    } = checkOptions("MemoryEngine", options);
    checkMs("leaseMs", leaseMs);
    checkWhole("maxStalled", maxStalled, 0, true);
    this.name = name;
    this.leaseMs = leaseMs;
    this.isOutside = running.loop === null;
    this.#loop = this.isOutside ? new EventLoop({ name: `engine ${name}` }) : EventLoop.current();
    const dice = new Dice(faults, () => this.#loop.random());
    const pushes = new MemoryPushes(this.#loop, dice);
    this.#pushes = pushes;
    const jobs = new MemoryJobs(
      {
        leaseMs,
        maxStalled,
        ready: () => this.#serve(),
        settled: ({ replyTo, id }, record) => pushes.settled(replyTo, id, record),
      },
      this.#loop,
      dice,
    );
    this.#jobs = jobs;
    this.#schedules = new MemorySchedules({
      timeOfDay: options.timeOfDay ?? (() => this.#loop.now()),
      add: (order) => jobs.add(order),
      withdraw: (id) => jobs.withdrawUnbegun(id),
      isOpen: (id) => (jobs.entryOf(id)?.state ?? "settled") !== "settled",
      isWaiting: (id) => ["ready", "delayed"].includes(jobs.entryOf(id)?.state ?? ""),
      isKnown: (id) => jobs.entryOf(id) !== undefined,
    });
  }

  enqueue(orders: readonly JobOrder[]): Operation<void> {
    return this.#reply("enqueue jobs", () => {
      for (const order of orders) this.#jobs.add(order);
    });
  }

  claim(worker: string): Operation<JobLease> {
    return new Claim(this, this.#claims as never, worker);
  }

  renew(leases: readonly JobLease[]): Operation<readonly Renewal[]> {
    return this.#reply("renew leases", () =>
      leases.map((lease) => {
        const entry = this.#holding(lease);
        if (entry === null) return { isHeld: false, cancel: null };
        this.#jobs.renew(entry);
        return { isHeld: true, cancel: entry.cancel };
      }),
    );
  }

  finish(lease: JobLease, record: OutcomeRecord): Operation<boolean> {
    return this.#reply("record an outcome", () => {
      const entry = this.#holding(lease);
      if (entry === null) {
        this.#jobs.tally.fenced++;
        return false;
      }
      this.#jobs.settle(entry, record);
      return true;
    });
  }

  release(lease: JobLease, delayMs: number, reason: ReleaseReason): Operation<void> {
    return this.#reply("give a job back", () => {
      const entry = this.#holding(lease);
      if (entry === null) return;
      if (reason === "failure") entry.failures++;
      else if (reason === "refusal") entry.refusals++;
      this.#jobs.putInLine(entry, delayMs);
    });
  }

  tell(lease: JobLease, tidings: JobTidings): void {
    const { id, replyTo } = lease.order;
    if (this.#holding(lease) !== null) this.#pushes.told(replyTo, id, tidings);
  }

  requestCancel(id: string, reason: string): Operation<CancelAnswer> {
    return this.#reply("cancel a job", () => {
      const entry = this.#jobs.entryOf(id);
      if (entry === undefined) return "unknown";
      if (entry.state === "settled") return "settled";
      entry.cancel ??= { reason };
      if (entry.state !== "running") {
        this.#jobs.settle(entry, { status: "cancelled", delivery: entry.delivery, worker: "", runMs: 0, body: reason });
        this.#schedules.leaves(id);
        return "removed";
      }
      this.#pushes.cancelRequested(id, reason);
      return "requested";
    });
  }

  states(ids: readonly string[]): Operation<readonly JobStanding[]> {
    return this.#reply("the states of jobs", () =>
      ids.map((id): JobStanding => {
        const entry = this.#jobs.entryOf(id);
        if (entry === undefined) return { state: "unknown" };
        if (entry.record !== null) return { state: "settled", record: entry.record };
        return { state: entry.state === "running" ? "running" : "waiting" };
      }),
    );
  }

  counts(): Operation<QueueCounts> {
    return this.#reply("count jobs", () => this.#jobs.counts());
  }

  putSchedule(schedule: ScheduleOrder): Operation<ScheduleStanding> {
    return { [Symbol.iterator]: () => this.#putSchedule(schedule) };
  }

  *#putSchedule(schedule: ScheduleOrder): Coroutine<ScheduleStanding> {
    const cron = "cron" in schedule.times ? yield* until(importCron()) : null;
    return yield* this.#reply("put a schedule", () => this.#schedules.put(schedule, cron));
  }

  removeSchedule(id: string): Operation<boolean> {
    return this.#reply("remove a schedule", () => this.#schedules.remove(id));
  }

  schedules(): Operation<readonly ScheduleStanding[]> {
    return this.#reply("list schedules", () => this.#schedules.list());
  }

  subscribe(replyTo: string, listener: SubmitterListener): Operation<() => void> {
    return this.#reply("subscribe", () => this.#pushes.subscribe(replyTo, listener));
  }

  watchCancels(listener: (id: string, reason: string) => void): Operation<() => void> {
    return this.#reply("subscribe", () => this.#pushes.watchCancels(listener));
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  /**
   * As if the machine of a worker was gone: it gets no job any more, what it finishes is refused, and its jobs are given to others when
   * their leases have run out.
   */
  killWorker(worker: string): void {
    this.#dead.add(worker);
  }

  /** As if the connection was lost: every call waits, and nothing is pushed, until `reconnect`. Leases run out meanwhile. */
  disconnect(): void {
    this.#pushes.connected(false);
  }

  reconnect(): void {
    this.#pushes.isDown = false; // first: who is woken may ask for something at once
    this.up.unpark(Infinity);
    this.#pushes.connected(true);
    this.#serve();
  }

  /** Forgets everything about a job, as an engine without persistence does when it is restarted. */
  lose(id: string): void {
    if (this.#jobs.lose(id)) this.#schedules.leaves(id);
  }

  statistics(): MemoryEngineStatistics {
    return Object.freeze({ ...this.#jobs.tally, pushesDropped: this.#pushes.dropped, kept: this.#jobs.size });
  }

  /** @internal */
  get isDown(): boolean {
    return this.#pushes.isDown;
  }

  /** @internal */
  take(worker: string): JobLease | null {
    if (this.isDown || this.#dead.has(worker)) return null;
    for (let entry = this.#jobs.next(); entry !== null; entry = this.#jobs.next()) {
      if (this.#schedules.begins(entry.order.id) === "run") return this.#jobs.lease(entry, worker);
      this.#jobs.settle(entry, { status: "cancelled", delivery: 0, worker: "", runMs: 0, body: OVERLAP });
    }
    return null;
  }

  #serve(): void {
    for (const claim of [...this.#claims]) {
      const lease = this.take(claim.worker);
      if (lease === null) continue;
      this.#claims.remove(claim);
      claim.end(lease);
    }
  }

  /** What a lease stands for, if it is the latest one, and its worker is there. */
  #holding(lease: JobLease): Entry | null {
    return this.#dead.has(lease.token as string) ? null : this.#jobs.heldBy(lease);
  }

  #reply<T>(what: string, act: () => T): Operation<T> {
    return new Reply(this, what, act);
  }
}
