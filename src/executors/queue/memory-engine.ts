/**
 * The engine in memory: for tests, with virtual time and faults, and as the proof that the interface is one.
 *
 * Everything happens on the clock of one loop, the one it was made in. In a simulated run a lease of 30 seconds runs out at once, and the
 * same seed gives the same faults. Made outside of a loop it has one of its own, on the real clock.
 *
 * Invariants: a job is ready, delayed, running or settled; a record is written once; only the latest delivery of a job may finish it.
 */
import { EventLoop, QueuedWait, running, Wait, WaitQueue } from "../../core/index.ts";
import type { Coroutine, Handle, Operation, Started, Waiter } from "../../core/index.ts";
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
  SubmitterListener,
} from "./engine.ts";
import { LEASE_MS, MAX_STALLED } from "./engine.ts";
import { Dice } from "./faults.ts";
import type { EngineFaults } from "./faults.ts";

export interface MemoryEngineOptions {
  /** Shown in messages. Default: `"memory"`. */
  readonly name?: string;
  /** How long a worker may be silent before its jobs are given to others, in milliseconds. Default: 30,000. */
  readonly leaseMs?: number;
  /** How often a job may lose its worker and be run again. Default: 3. */
  readonly maxStalled?: number;
  /** What goes wrong. Default: nothing. */
  readonly faults?: EngineFaults;
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
}

type EntryState = "ready" | "delayed" | "running" | "settled";

interface Entry {
  order: JobOrder;
  state: EntryState;
  readonly number: number;
  /** Since when it is there. */
  readonly enqueuedAt: number;
  /** Whether it is ready to be delivered once more although it runs. */
  isDoubled: boolean;
  delivery: number;
  failures: number;
  refusals: number;
  stalls: number;
  worker: string;
  leasedUntil: number;
  timer: Handle | null;
  cancel: { readonly reason: string } | null;
  record: OutcomeRecord | null;
  forgetAt: number;
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
  readonly #maxStalled: number;
  readonly #dice: Dice;
  readonly #entries = new Map<string, Entry>();
  /** In line, the first one first. */
  #ready: Entry[] = [];
  readonly #claims = new WaitQueue<JobLease, Claim>();
  readonly #submitters = new Map<string, Set<SubmitterListener>>();
  readonly #cancelListeners = new Set<(id: string, reason: string) => void>();
  readonly #dead = new Set<string>();
  #isDown = false;
  readonly #up = new WaitQueue<void>();
  #numbers = 0;
  #nextForgetAt = Infinity;
  readonly #counts = {
    enqueued: 0,
    repeated: 0,
    delivered: 0,
    redelivered: 0,
    stalled: 0,
    fenced: 0,
    recorded: 0,
    pushesDropped: 0,
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
  }

  enqueue(orders: readonly JobOrder[]): Operation<void> {
    return this.#reply("enqueue jobs", () => {
      this.#forgetOld();
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
    if (this.#holding(lease) !== null) this.#push(replyTo, (listener) => listener.told(id, tidings));
  }

  requestCancel(id: string, reason: string): Operation<CancelAnswer> {
    return this.#reply("cancel a job", () => {
      const entry = this.#entries.get(id);
      if (entry === undefined) return "unknown";
      if (entry.state === "settled") return "settled";
      entry.cancel ??= { reason };
      if (entry.state !== "running") {
        this.#settle(entry, { status: "cancelled", delivery: entry.delivery, worker: "", runMs: 0, body: reason });
        return "removed";
      }
      this.#later(() => {
        for (const listener of this.#cancelListeners) listener(id, reason);
      });
      return "requested";
    });
  }

  states(ids: readonly string[]): Operation<readonly JobStanding[]> {
    return this.#reply("the states of jobs", () => {
      this.#forgetOld();
      return ids.map((id): JobStanding => {
        const entry = this.#entries.get(id);
        if (entry === undefined) return { state: "unknown" };
        if (entry.record !== null) return { state: "settled", record: entry.record };
        return { state: entry.state === "running" ? "running" : "waiting" };
      });
    });
  }

  counts(): Operation<QueueCounts> {
    return this.#reply("count jobs", () => {
      const counts = { ready: 0, delayed: 0, running: 0, settled: 0 };
      for (const { state } of this.#entries.values()) counts[state]++;
      return Object.freeze({ waiting: counts.ready, delayed: counts.delayed, running: counts.running });
    });
  }

  subscribe(replyTo: string, listener: SubmitterListener): Operation<() => void> {
    return this.#reply("subscribe", () => {
      let listeners = this.#submitters.get(replyTo);
      if (listeners === undefined) this.#submitters.set(replyTo, (listeners = new Set()));
      listeners.add(listener);
      listener.connected(true);
      return () => void listeners.delete(listener);
    });
  }

  watchCancels(listener: (id: string, reason: string) => void): Operation<() => void> {
    return this.#reply("subscribe", () => {
      this.#cancelListeners.add(listener);
      return () => void this.#cancelListeners.delete(listener);
    });
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
    this.#isDown = true;
    this.#tellAll(false);
  }

  reconnect(): void {
    this.#isDown = false;
    this.#up.unpark(Infinity);
    this.#tellAll(true);
    this.#serve();
  }

  /** Forgets everything about a job, as an engine without persistence does when it is restarted. */
  lose(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.timer?.cancel();
    this.#entries.delete(id);
    this.#ready = this.#ready.filter((each) => each !== entry);
  }

  statistics(): MemoryEngineStatistics {
    return Object.freeze({ ...this.#counts });
  }

  /** @internal */
  take(worker: string): JobLease | null {
    if (this.#isDown || this.#dead.has(worker) || this.#ready.length === 0) return null;
    const at = this.#dice.throws("reorder") ? Math.floor(this.#dice.upTo(this.#ready.length)) : 0;
    const entry = this.#ready.splice(at, 1)[0]!;
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
      this.#insert(entry);
      this.#loop.callSoon(() => this.#serve());
    }
    const { order, delivery, failures, refusals, stalls, cancel } = entry;
    const waitedMs = this.#loop.now() - entry.enqueuedAt;
    return { order, delivery, failures, refusals, stalls, waitedMs, cancel, token: worker };
  }

  #add(order: JobOrder): void {
    const known = this.#entries.get(order.id);
    if (known !== undefined) {
      this.#counts.repeated++;
      return;
    }
    this.#counts.enqueued++;
    const entry: Entry = {
      order,
      state: "ready",
      number: ++this.#numbers,
      enqueuedAt: this.#loop.now(),
      isDoubled: false,
      delivery: 0,
      failures: 0,
      refusals: 0,
      stalls: 0,
      worker: "",
      leasedUntil: 0,
      timer: null,
      cancel: null,
      record: null,
      forgetAt: Infinity,
    };
    this.#entries.set(order.id, entry);
    this.#putInLine(entry, order.delayMs);
  }

  #putInLine(entry: Entry, delayMs: number): void {
    entry.timer?.cancel();
    entry.timer = null;
    const lateMs = delayMs + this.#dice.upTo(this.#dice.faults.delayJobMs);
    if (lateMs <= 0) {
      entry.state = "ready";
      if (!entry.isDoubled) this.#insert(entry);
      this.#serve();
      return;
    }
    entry.state = "delayed";
    this.#withdraw(entry);
    entry.timer = this.#loop.callLater(lateMs, () => {
      entry.timer = null;
      entry.state = "ready";
      this.#insert(entry);
      this.#serve();
    });
  }

  #insert(entry: Entry): void {
    const { priority } = entry.order;
    const isBehind = (it: Entry): boolean =>
      it.order.priority < priority || (it.order.priority === priority && it.number > entry.number);
    const at = this.#ready.findIndex(isBehind);
    this.#ready.splice(at === -1 ? this.#ready.length : at, 0, entry);
  }

  /** From the line, where it may stand although it runs. */
  #withdraw(entry: Entry): void {
    entry.isDoubled = false;
    const at = this.#ready.indexOf(entry);
    if (at !== -1) this.#ready.splice(at, 1);
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
    this.#nextForgetAt = Math.min(this.#nextForgetAt, entry.forgetAt);
    this.#counts.recorded++;
    if (this.#dice.throws("dropOutcome")) this.#counts.pushesDropped++;
    else this.#push(entry.order.replyTo, (listener) => listener.settled(entry.order.id, record));
  }

  #push(replyTo: string, tell: (listener: SubmitterListener) => void): void {
    this.#later(() => {
      for (const listener of this.#submitters.get(replyTo) ?? []) tell(listener);
    });
  }

  /** In a turn of its own, since whoever calls is in the middle of something; or later, twice or never. */
  #later(push: () => void): void {
    if (this.#dice.throws("dropPush")) {
      this.#counts.pushesDropped++;
      return;
    }
    const times = this.#dice.throws("repeatPush") ? 2 : 1;
    for (let i = 0; i < times; i++) {
      const lateMs = this.#dice.upTo(this.#dice.faults.delayPushMs);
      const tell = (): void => (this.#isDown ? undefined : push());
      if (lateMs === 0) this.#loop.callSoon(tell);
      else this.#loop.callLater(lateMs, tell);
    }
  }

  #tellAll(isConnected: boolean): void {
    for (const listeners of this.#submitters.values()) {
      for (const listener of listeners) listener.connected(isConnected);
    }
  }

  #forgetOld(): void {
    const now = this.#loop.now();
    if (now < this.#nextForgetAt) return;
    this.#nextForgetAt = Infinity;
    for (const [id, entry] of this.#entries) {
      if (entry.forgetAt <= now) this.#entries.delete(id);
      else this.#nextForgetAt = Math.min(this.#nextForgetAt, entry.forgetAt);
    }
  }

  #reply<T>(what: string, act: () => T): Operation<T> {
    return new Reply(`${what} (engine ${this.name})`, act, this.isOutside, () => this.#isDown, this.#up);
  }
}

class Claim extends QueuedWait<JobLease> {
  readonly worker: string;
  readonly #engine: MemoryEngine;

  constructor(engine: MemoryEngine, line: WaitQueue<JobLease, never>, worker: string) {
    super(line);
    this.#engine = engine;
    this.worker = worker;
  }

  get reason(): string {
    return `a job in engine ${this.#engine.name}`;
  }

  override get external(): boolean {
    return this.#engine.isOutside;
  }

  protected attempt(task: Waiter): Started<JobLease> | null {
    const lease = this.#engine.take(this.worker);
    return lease === null ? null : task.complete(this, lease);
  }
}

/** Answers at once, or when the engine can be reached again. */
class Reply<T> implements Operation<T> {
  readonly #reason: string;
  readonly #act: () => T;
  readonly #isOutside: boolean;
  readonly #isDown: () => boolean;
  readonly #up: WaitQueue<void>;

  constructor(reason: string, act: () => T, isOutside: boolean, isDown: () => boolean, up: WaitQueue<void>) {
    this.#reason = reason;
    this.#act = act;
    this.#isOutside = isOutside;
    this.#isDown = isDown;
    this.#up = up;
  }

  *[Symbol.iterator](): Coroutine<T> {
    while (this.#isDown()) yield* this.#up.park(this.#reason);
    return yield* new Answer(this.#reason, this.#act, this.#isOutside);
  }
}

class Answer<T> extends Wait<T> {
  readonly reason: string;
  readonly #act: () => T;
  readonly #isOutside: boolean;

  constructor(reason: string, act: () => T, isOutside: boolean) {
    super();
    this.reason = reason;
    this.#act = act;
    this.#isOutside = isOutside;
  }

  override get external(): boolean {
    return this.#isOutside;
  }

  protected start(task: Waiter): Started<T> {
    return task.complete(this, this.#act());
  }

  withdraw(): boolean {
    return true;
  }
}
