/**
 * The jobs of a `MemoryEngine`: which one is ready, delayed, running or settled, and what moves it on.
 *
 * Invariants: a job is in one of the four states; a record is written once; only the latest delivery of a job holds it. It knows nothing of who
 * waits for jobs, of schedules and of pushes: the engine does, and is told.
 */
import type { EventLoop } from "../../core/index.ts";
import type { JobLease, JobOrder, OutcomeRecord, QueueCounts } from "./engine.ts";
import type { Dice } from "./faults.ts";
import { readFiringId } from "./firing-id.ts";
import { newEntry, ReadyLine } from "./memory-line.ts";
import type { Entry } from "./memory-line.ts";

/** The engine as its jobs need it. */
export interface JobsHost {
  readonly leaseMs: number;
  readonly maxStalled: number;
  /** Jobs are ready; somebody may wait for them. */
  ready(): void;
  settled(order: JobOrder, record: OutcomeRecord): void;
}

/** What happened so far. */
export interface JobsTally {
  enqueued: number;
  repeated: number;
  delivered: number;
  redelivered: number;
  stalled: number;
  fenced: number;
  recorded: number;
}

const FORGET_EVERY_MS = 1_000;

export class MemoryJobs {
  readonly tally: JobsTally = {
    enqueued: 0,
    repeated: 0,
    delivered: 0,
    redelivered: 0,
    stalled: 0,
    fenced: 0,
    recorded: 0,
  };
  readonly #host: JobsHost;
  readonly #loop: EventLoop;
  readonly #dice: Dice;
  readonly #entries = new Map<string, Entry>();
  readonly #ready = new ReadyLine();
  #numbers = 0;
  #nextForgetAt = 0;

  constructor(host: JobsHost, loop: EventLoop, dice: Dice) {
    this.#host = host;
    this.#loop = loop;
    this.#dice = dice;
  }

  /** How many jobs and outcomes are kept. */
  get size(): number {
    return this.#entries.size;
  }

  add(order: JobOrder): void {
    this.#forgetOld();
    if (this.entryOf(order.id) !== undefined) {
      this.tally.repeated++;
      return;
    }
    this.tally.enqueued++;
    // The deadline of a firing begins when it is due, that of a delayed job when it was submitted.
    const waitsSince = this.#loop.now() + (readFiringId(order.id) === null ? 0 : order.delayMs);
    const entry = newEntry(order, ++this.#numbers, waitsSince);
    this.#entries.set(order.id, entry);
    this.putInLine(entry, order.delayMs);
  }

  /** Takes the next one out of the line, to lease it or to settle it; `null`: none is ready. */
  next(): Entry | null {
    if (this.#ready.size === 0) return null;
    return this.#ready.take(this.#dice.throws("reorder") ? Math.floor(this.#dice.upTo(this.#ready.size)) : 0);
  }

  lease(entry: Entry, worker: string): JobLease {
    this.tally.delivered++;
    if (entry.delivery > 0) this.tally.redelivered++;
    entry.state = "running";
    entry.isDoubled = false;
    entry.delivery++;
    entry.worker = worker;
    entry.leasedUntil = this.#loop.now() + this.#host.leaseMs;
    if (entry.timer === null) this.#watchLease(entry);
    if (this.#dice.throws("duplicate")) {
      entry.isDoubled = true;
      this.#ready.insert(entry);
      this.#loop.callSoon(() => this.#host.ready());
    }
    const { order, delivery, failures, refusals, stalls, cancel } = entry;
    const waitedMs = Math.max(0, this.#loop.now() - entry.waitsSince);
    return { order, delivery, failures, refusals, stalls, waitedMs, cancel, token: worker };
  }

  putInLine(entry: Entry, delayMs: number): void {
    entry.timer?.cancel();
    entry.timer = null;
    const lateMs = delayMs + this.#dice.upTo(this.#dice.faults.delayJobMs);
    if (lateMs <= 0) {
      entry.state = "ready";
      if (!entry.isDoubled) this.#ready.insert(entry);
      this.#host.ready();
      return;
    }
    entry.state = "delayed";
    this.#withdraw(entry);
    entry.timer = this.#loop.callLater(lateMs, () => {
      entry.timer = null;
      entry.state = "ready";
      this.#ready.insert(entry);
      this.#host.ready();
    });
  }

  withdrawUnbegun(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.delivery === 0 && entry.state !== "settled") this.#drop(entry);
  }

  /** Forgets one; tells whether it was there. */
  lose(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#drop(entry);
    return entry !== undefined;
  }

  /** What a lease stands for, if it is the latest one. */
  heldBy(lease: JobLease): Entry | null {
    const entry = this.#entries.get(lease.order.id);
    const isHeld = entry !== undefined && entry.state === "running" && entry.delivery === lease.delivery;
    return isHeld ? entry : null;
  }

  renew(entry: Entry): void {
    entry.leasedUntil = this.#loop.now() + this.#host.leaseMs;
  }

  settle(entry: Entry, record: OutcomeRecord): void {
    entry.timer?.cancel();
    entry.timer = null;
    this.#withdraw(entry);
    entry.state = "settled";
    entry.record = record;
    entry.forgetAt = this.#loop.now() + entry.order.resultTtlMs;
    this.tally.recorded++;
    this.#host.settled(entry.order, record);
  }

  /** A job whose record is too old is unknown, also before it is swept out. */
  entryOf(id: string): Entry | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.forgetAt > this.#loop.now()) return entry;
    this.#entries.delete(id);
    return undefined;
  }

  counts(): QueueCounts {
    const counts = { ready: 0, delayed: 0, running: 0, settled: 0 };
    for (const { state } of this.#entries.values()) counts[state]++;
    return Object.freeze({ waiting: counts.ready, delayed: counts.delayed, running: counts.running });
  }

  #drop(entry: Entry): void {
    entry.timer?.cancel();
    this.#withdraw(entry);
    this.#entries.delete(entry.order.id);
  }

  /** From the line, where it may stand although it runs. */
  #withdraw(entry: Entry): void {
    entry.isDoubled = false;
    this.#ready.remove(entry);
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
    this.tally.stalled++;
    entry.stalls++;
    if (entry.stalls <= this.#host.maxStalled) {
      this.putInLine(entry, 0);
      return;
    }
    this.settle(entry, { status: "lost", delivery: entry.delivery, worker: entry.worker, runMs: 0, body: "" });
  }

  #forgetOld(): void {
    const now = this.#loop.now();
    if (now < this.#nextForgetAt) return;
    this.#nextForgetAt = now + FORGET_EVERY_MS; // it walks over all of them
    for (const [id, entry] of this.#entries) if (entry.forgetAt <= now) this.#entries.delete(id);
  }
}
