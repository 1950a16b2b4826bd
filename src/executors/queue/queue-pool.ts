/**
 * The submitter's side of a queue: sends jobs, hears of their outcomes, and asks for those that it has not heard of.
 *
 * How a job goes:
 *   1. `offer` encodes it and puts it into the outbox; the courier sends it (`queue-courier.ts`).
 *   2. Its outcome is pushed. Or the push is lost, and the sweep asks for it (`queue-sweep.ts`). So an outcome is late at worst.
 *
 * Invariants: an id that is tracked has an outcome to come; the first outcome counts, a second one is only counted.
 */
import { EventLoop, running } from "../../core/index.ts";
import type { Coroutine, Task } from "../../core/index.ts";
import { JobCloneError } from "../errors.ts";
import type { AnyJob } from "../job.ts";
import type { JobEnd, Pool, PoolJob, PoolListener, PoolStatistics } from "../pool.ts";
import type { JobOrder, JobTidings, OutcomeRecord, QueueEngine, SubmitterListener } from "./engine.ts";
import { decodeEnd, reasonText } from "./envelope.ts";
import { ExecutorUnavailableError, PayloadTooLargeError, StreamUnsupportedError } from "./errors.ts";
import type { QueueSettings } from "./options.ts";
import { QueueCourier } from "./queue-courier.ts";
import { QueueSweep } from "./queue-sweep.ts";
import { newTrack, orderOf } from "./queue-track.ts";
import type { Errand, QueuePlace, Track, TrackHost } from "./queue-track.ts";

/** Plain, frozen data. */
export interface QueueStatistics {
  /** Jobs whose outcome is to come. */
  readonly pending: number;
  /** Those of them that have not reached the engine. */
  readonly outbox: number;
  readonly isConnected: boolean;
  readonly outcomesPushed: number;
  /** Outcomes that no push had told of. */
  readonly outcomesSwept: number;
  /** Outcomes that came once more, and were ignored. */
  readonly duplicates: number;
  /** Jobs whose outcome is of a second or later delivery: they were run, or begun, more than once. */
  readonly redelivered: number;
  /** Jobs that were sent again, since the engine had lost them. */
  readonly resent: number;
  readonly sweeps: number;
}

const REMEMBERED = 4_096;

export class QueuePool implements Pool, SubmitterListener, TrackHost {
  readonly isOutside: boolean;
  readonly parallelism: number;
  readonly engine: QueueEngine;
  readonly settings: QueueSettings;
  /** Unique among all submitters: the channel that outcomes come back on, and the beginning of ids. */
  readonly address: string;
  isClosed = false;
  readonly #name: string;
  readonly #ownsEngine: boolean;
  readonly #loop: EventLoop;
  #listener: PoolListener | null = null;
  readonly #tracks = new Map<string, Track>();
  readonly #courier: QueueCourier;
  readonly #sweep: QueueSweep;
  /** Outcomes that were told lately, so that a second one is known for what it is. */
  readonly #told = new Set<string>();
  #isWaitingForRoom = false;
  #isConnected = true;
  #onIdle: (() => void) | null = null;
  /** What runs beside whoever calls, by what it does. */
  readonly #errands = new Map<Task<void>, Errand>();
  readonly #counts = { outcomesPushed: 0, duplicates: 0, redelivered: 0 };

  constructor(engine: QueueEngine, name: string, address: string, settings: QueueSettings, ownsEngine: boolean) {
    this.engine = engine;
    this.isOutside = engine.isOutside;
    this.parallelism = settings.parallelism;
    this.settings = settings;
    this.#name = name;
    this.address = address;
    this.#ownsEngine = ownsEngine;
    this.#loop = running.loop === null ? new EventLoop({ name: `executor ${name}` }) : EventLoop.current();
    this.#courier = new QueueCourier(this, this);
    this.#sweep = new QueueSweep(this, this.#loop, (track) => this.#courier.send(track));
  }

  listen(listener: PoolListener): void {
    this.#listener = listener;
  }

  check(job: AnyJob): void {
    if (job.isStream) throw new StreamUnsupportedError(this.#name, job.name);
    if (!this.#isConnected && this.#courier.size >= this.settings.bufferSize) {
      throw new ExecutorUnavailableError(this.#name, this.#courier.size);
    }
  }

  offer(job: PoolJob): boolean {
    const place = job.place as QueuePlace;
    const known = place.attachTo ?? (job.hasOwnKey ? job.idempotencyKey : null);
    const id = known ?? `${this.address}/${job.id}`;
    const track = this.#tracks.get(id);
    if (track === undefined && this.#tracks.size >= this.settings.maxPending) {
      this.#isWaitingForRoom = true;
      return false;
    }
    place.id = id;
    if (track !== undefined) {
      place.track = track;
      track.jobs.add(job);
      return true;
    }
    let order: JobOrder | null = null;
    try {
      if (place.attachTo === null) order = orderOf(job, place, id, this.address, this.settings);
    } catch (error) {
      if (!(error instanceof JobCloneError) && !(error instanceof PayloadTooLargeError)) throw error;
      this.#listener!.settled(job, { status: "failed", error, done: null, runMs: 0 });
      return true;
    }
    this.#begin(job, place, order);
    // It may have ended long ago, and then nobody pushes anything.
    if (known !== null) this.#sweep.soon(0);
    return true;
  }

  cancel(job: PoolJob, reason: unknown): "withdrawn" | "requested" {
    const place = job.place as QueuePlace;
    const { track } = place;
    if (track === null || !track.jobs.has(job)) return "requested";
    if (place.isDetached || track.jobs.size > 1) {
      track.jobs.delete(job);
      if (track.jobs.size === 0) this.#forget(track);
      return "withdrawn";
    }
    if (track.stage === "outbox") {
      this.#forget(track);
      return "withdrawn";
    }
    track.cancelReason ??= reasonText(reason);
    this.#sweep.requestCancel(track);
    return "requested";
  }

  hasBegun(job: PoolJob): boolean {
    return (job.place as QueuePlace).track?.hasBegun ?? false;
  }

  grant(): void {} // no streams

  statistics(): PoolStatistics {
    let begun = 0;
    for (const track of this.#tracks.values()) if (track.hasBegun) begun++;
    return {
      workers: this.parallelism,
      idle: Math.max(0, this.parallelism - begun),
      jobs: begun,
      crashes: this.#counts.redelivered,
    };
  }

  queueStatistics(): QueueStatistics {
    return Object.freeze({
      pending: this.#tracks.size,
      outbox: this.#courier.size,
      isConnected: this.#isConnected,
      ...this.#counts,
      outcomesSwept: this.#sweep.found,
      resent: this.#sweep.resent,
      sweeps: this.#sweep.sweeps,
    });
  }

  /** All jobs have ended for whoever submitted them. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.#sweep.rest();
    if (this.#ownsEngine) await this.engine.close();
    this.#endErrands();
    if (this.#errands.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    this.#courier.close();
  }

  /** They ask for what nobody needs any more, of an engine that may never answer. Only what is being handed to it gets there, as long as it can. */
  #endErrands(): void {
    const isHandingOver = this.#isConnected && this.#courier.isHandingOver;
    for (const [task, errand] of this.#errands) {
      if (errand !== "courier" || !isHandingOver) task.cancel(`executor "${this.#name}" is closed`);
    }
  }

  settled(id: string, record: OutcomeRecord): void {
    if (this.isClosed) return;
    const track = this.#tracks.get(id);
    if (track === undefined) {
      if (this.#told.has(id)) this.#counts.duplicates++;
      return;
    }
    this.#counts.outcomesPushed++;
    this.settle(track, record);
  }

  told(id: string, tidings: JobTidings): void {
    const track = this.#tracks.get(id);
    if (track === undefined) return;
    if (tidings.kind === "started") {
      track.hasBegun = true;
      return;
    }
    let value: unknown;
    try {
      value = this.settings.codec.decode(tidings.body);
    } catch {
      return; // of another codec, or damaged; no reason for a job to fail
    }
    for (const job of track.jobs) this.#listener!.news(job, { kind: tidings.kind, value });
  }

  connected(isConnected: boolean): void {
    const isNew = isConnected && !this.#isConnected;
    this.#isConnected = isConnected;
    if (this.isClosed) this.#endErrands();
    else if (isNew && this.#tracks.size > 0) this.#sweep.soon(0);
  }

  isTracked(track: Track): boolean {
    return this.#tracks.get(track.id) === track;
  }

  hasTracks(): boolean {
    return this.#tracks.size > 0;
  }

  sent(): Track[] {
    return [...this.#tracks.values()].filter((track) => track.stage === "sent");
  }

  settle(track: Track, record: OutcomeRecord): void {
    if (record.delivery > 1) this.#counts.redelivered++;
    for (const job of track.jobs) this.#end(job, decodeEnd(job, record, this.settings.codec));
    this.#told.add(track.id);
    if (this.#told.size > REMEMBERED) this.#told.delete(this.#told.values().next().value!);
    this.#forget(track);
  }

  fail(track: Track, errorFor: (job: PoolJob) => unknown): void {
    for (const job of track.jobs) this.#end(job, { status: "failed", error: errorFor(job), done: null, runMs: 0 });
    this.#forget(track);
  }

  launch(errand: Errand, body: () => Coroutine<void>): void {
    const task = this.#loop.spawn({ name: `${errand} of ${this.#name}` }, body);
    this.#errands.set(task, errand);
    const taskSettled = (): void => {
      this.#errands.delete(task);
      if (this.#errands.size === 0) this.#onIdle?.();
    };
    task.watch({ before: null, after: null, taskSettled });
  }

  #begin(job: PoolJob, place: QueuePlace, order: JobOrder | null): void {
    const track = newTrack(place.id, order, job);
    place.track = track;
    this.#tracks.set(track.id, track);
    this.#told.delete(track.id);
    this.#courier.send(order === null ? null : track);
    this.#sweep.soon(this.settings.sweepMs);
  }

  /** Its outcome is of no interest any more. */
  #forget(track: Track): void {
    this.#tracks.delete(track.id);
    this.#courier.forget(track);
    if (this.#tracks.size === 0) this.#sweep.rest();
    if (!this.#isWaitingForRoom) return;
    this.#isWaitingForRoom = false;
    this.#loop.callSoon(() => this.#listener!.roomFreed());
  }

  #end(job: PoolJob, end: JobEnd): void {
    this.#listener!.settled(job, end);
  }
}
