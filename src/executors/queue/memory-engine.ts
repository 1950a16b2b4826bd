/**
 * The engine in memory: for tests, with virtual time and faults, and as the proof that the interface is one.
 *
 * Everything happens on the clock of one loop, the one it was made in. In a simulated run a lease of 30 seconds runs out at once, and the
 * same seed gives the same faults. Made outside of a loop it has one of its own, on the real clock.
 *
 * Invariants: a job is ready, delayed, running or settled; a record is written once; only the latest delivery of a job may finish it.
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
import { readFiringId } from "./firing-id.ts";
import { newEntry, ReadyLine } from "./memory-line.ts";
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

const FORGET_EVERY_MS = 1_000;

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
  readonly #maxStalled: number;
  readonly #dice: Dice;
  readonly #entries = new Map<string, Entry>();
  readonly #ready = new ReadyLine();
  readonly #schedules: MemorySchedules;
  readonly #claims = new WaitQueue<JobLease, Claim>();
  readonly #pushes: MemoryPushes;
  readonly #dead = new Set<string>();
  /** @internal */
  readonly up: WaitQueue<void> = new WaitQueue<void>();
  #numbers = 0;
  #nextForgetAt = 0;
  readonly #counts = {
    enqueued: 0,
    repeated: 0,
    delivered: 0,
    redelivered: 0,
    stalled: 0,
    fenced: 0,
    recorded: 0,
  };

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
    this.#maxStalled = maxStalled;
    this.isOutside = running.loop === null;
    this.#loop = this.isOutside ? new EventLoop({ name: `engine ${name}` }) : EventLoop.current();
    this.#dice = new Dice(faults, () => this.#loop.random());
    this.#pushes = new MemoryPushes(this.#loop, this.#dice);
    this.#schedules = new MemorySchedules({
      timeOfDay: options.timeOfDay ?? (() => this.#loop.now()),
      add: (order) => this.#add(order),
      withdraw: (id) => this.#withdrawUnbegun(id),
      isOpen: (id) => (this.#entries.get(id)?.state ?? "settled") !== "settled",
      isWaiting: (id) => ["ready", "delayed"].includes(this.#entries.get(id)?.state ?? ""),
      isKnown: (id) => this.#entryOf(id) !== undefined,
    });
  }

  enqueue(orders: readonly JobOrder[]): Operation<void> {
    return this.#reply("enqueue jobs", () => {
      for (const order of orders) this.#add(order);
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
        entry.leasedUntil = this.#loop.now() + this.leaseMs;
        return { isHeld: true, cancel: entry.cancel };
      }),
    );
  }

  finish(lease: JobLease, record: OutcomeRecord): Operation<boolean> {
    return this.#reply("record an outcome", () => {
      const entry = this.#holding(lease);
      if (entry === null) {
        this.#counts.fenced++;
        return false;
      }
      this.#settle(entry, record);
      return true;
    });
  }

  release(lease: JobLease, delayMs: number, reason: ReleaseReason): Operation<void> {
    return this.#reply("give a job back", () => {
      const entry = this.#holding(lease);
      if (entry === null) return;
      if (reason === "failure") entry.failures++;
      else if (reason === "refusal") entry.refusals++;
      this.#putInLine(entry, delayMs);
    });
  }

  tell(lease: JobLease, tidings: JobTidings): void {
    const { id, replyTo } = lease.order;
    if (this.#holding(lease) !== null) this.#pushes.told(replyTo, id, tidings);
  }

  requestCancel(id: string, reason: string): Operation<CancelAnswer> {
    return this.#reply("cancel a job", () => {
      const entry = this.#entryOf(id);
      if (entry === undefined) return "unknown";
      if (entry.state === "settled") return "settled";
      entry.cancel ??= { reason };
      if (entry.state !== "running") {
        this.#settle(entry, { status: "cancelled", delivery: entry.delivery, worker: "", runMs: 0, body: reason });
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
        const entry = this.#entryOf(id);
        if (entry === undefined) return { state: "unknown" };
        if (entry.record !== null) return { state: "settled", record: entry.record };
        return { state: entry.state === "running" ? "running" : "waiting" };
      }),
    );
  }

  counts(): Operation<QueueCounts> {
    return this.#reply("count jobs", () => {
      const counts = { ready: 0, delayed: 0, running: 0, settled: 0 };
      for (const { state } of this.#entries.values()) counts[state]++;
      return Object.freeze({ waiting: counts.ready, delayed: counts.delayed, running: counts.running });
    });
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
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#drop(entry);
    this.#schedules.leaves(id);
  }

  statistics(): MemoryEngineStatistics {
    return Object.freeze({ ...this.#counts, pushesDropped: this.#pushes.dropped, kept: this.#entries.size });
  }

  /** @internal */
  get isDown(): boolean {
    return this.#pushes.isDown;
  }

  /** @internal */
  take(worker: string): JobLease | null {
    if (this.isDown || this.#dead.has(worker)) return null;
    while (this.#ready.size > 0) {
      const at = this.#dice.throws("reorder") ? Math.floor(this.#dice.upTo(this.#ready.size)) : 0;
      const entry = this.#ready.take(at);
      if (this.#schedules.begins(entry.order.id) === "run") return this.#lease(entry, worker);
      this.#settle(entry, { status: "cancelled", delivery: 0, worker: "", runMs: 0, body: OVERLAP });
    }
    return null;
  }

  #lease(entry: Entry, worker: string): JobLease {
    this.#counts.delivered++;
    if (entry.delivery > 0) this.#counts.redelivered++;
    entry.state = "running";
    entry.isDoubled = false;
    entry.delivery++;
    entry.worker = worker;
    entry.leasedUntil = this.#loop.now() + this.leaseMs;
    if (entry.timer === null) this.#watchLease(entry);
    if (this.#dice.throws("duplicate")) {
      entry.isDoubled = true;
      this.#ready.insert(entry);
      this.#loop.callSoon(() => this.#serve());
    }
    const { order, delivery, failures, refusals, stalls, cancel } = entry;
    const waitedMs = Math.max(0, this.#loop.now() - entry.waitsSince);
    return { order, delivery, failures, refusals, stalls, waitedMs, cancel, token: worker };
  }

  #add(order: JobOrder): void {
    this.#forgetOld();
    if (this.#entryOf(order.id) !== undefined) {
      this.#counts.repeated++;
      return;
    }
    this.#counts.enqueued++;
    // The deadline of a firing begins when it is due, that of a delayed job when it was submitted.
    const waitsSince = this.#loop.now() + (readFiringId(order.id) === null ? 0 : order.delayMs);
    const entry = newEntry(order, ++this.#numbers, waitsSince);
    this.#entries.set(order.id, entry);
    this.#putInLine(entry, order.delayMs);
  }

  #putInLine(entry: Entry, delayMs: number): void {
    entry.timer?.cancel();
    entry.timer = null;
    const lateMs = delayMs + this.#dice.upTo(this.#dice.faults.delayJobMs);
    if (lateMs <= 0) {
      entry.state = "ready";
      if (!entry.isDoubled) this.#ready.insert(entry);
      this.#serve();
      return;
    }
    entry.state = "delayed";
    this.#withdraw(entry);
    entry.timer = this.#loop.callLater(lateMs, () => {
      entry.timer = null;
      entry.state = "ready";
      this.#ready.insert(entry);
      this.#serve();
    });
  }

  /** From the line, where it may stand although it runs. */
  #withdraw(entry: Entry): void {
    entry.isDoubled = false;
    this.#ready.remove(entry);
  }

  #withdrawUnbegun(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.delivery === 0 && entry.state !== "settled") this.#drop(entry);
  }

  #drop(entry: Entry): void {
    entry.timer?.cancel();
    this.#withdraw(entry);
    this.#entries.delete(entry.order.id);
  }

  #serve(): void {
    for (const claim of [...this.#claims]) {
      const lease = this.take(claim.worker);
      if (lease === null) continue;
      this.#claims.remove(claim);
      claim.end(lease);
    }
  }

  #watchLease(entry: Entry): void {
    entry.timer = this.#loop.callAt(entry.leasedUntil, () => {
      entry.timer = null;
      if (entry.state !== "running") return;
      if (entry.leasedUntil > this.#loop.now()) this.#watchLease(entry);
      else this.#stalled(entry);
    });
  }

  #stalled(entry: Entry): void {
    this.#counts.stalled++;
    entry.stalls++;
    if (entry.stalls <= this.#maxStalled) {
      this.#putInLine(entry, 0);
      return;
    }
    this.#settle(entry, { status: "lost", delivery: entry.delivery, worker: entry.worker, runMs: 0, body: "" });
  }

  /** What a lease stands for, if it is the latest one. */
  #holding(lease: JobLease): Entry | null {
    const entry = this.#entries.get(lease.order.id);
    if (entry === undefined || entry.state !== "running" || entry.delivery !== lease.delivery) return null;
    return this.#dead.has(lease.token as string) ? null : entry;
  }

  #settle(entry: Entry, record: OutcomeRecord): void {
    entry.timer?.cancel();
    entry.timer = null;
    this.#withdraw(entry);
    entry.state = "settled";
    entry.record = record;
    entry.forgetAt = this.#loop.now() + entry.order.resultTtlMs;
    this.#counts.recorded++;
    this.#pushes.settled(entry.order.replyTo, entry.order.id, record);
  }

  /** A job whose record is too old is unknown, also before it is swept out. */
  #entryOf(id: string): Entry | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.forgetAt > this.#loop.now()) return entry;
    this.#entries.delete(id);
    return undefined;
  }

  #forgetOld(): void {
    const now = this.#loop.now();
    if (now < this.#nextForgetAt) return;
    this.#nextForgetAt = now + FORGET_EVERY_MS; // it walks over all of them
    for (const [id, entry] of this.#entries) if (entry.forgetAt <= now) this.#entries.delete(id);
  }

  #reply<T>(what: string, act: () => T): Operation<T> {
    return new Reply(this, what, act);
  }
}
