/**
 * The submitter's side of a queue: sends jobs, hears of their outcomes, and asks for those that it has not heard of.
 *
 * How a job goes:
 *   1. `offer` encodes it and puts it into the outbox. A courier, a task that lives while the outbox is not empty, sends all that lies there in one
 *      call. While the engine cannot be reached the outbox fills up, to its bound.
 *   2. Its outcome is pushed. Or the push is lost: every `sweepMs` the pool asks for the states of its jobs, and at once when the
 *      engine is there again. So an outcome is late at worst.
 *   3. A job that the engine does not know two sweeps long, although it was sent, was lost by the engine; it is sent again under the same id.
 *
 * Invariants: an id that is tracked has an outcome to come; the first outcome counts, a second one is only counted.
 */
import { EventLoop, running } from "../../core/index.ts";
import type { Coroutine, Handle } from "../../core/index.ts";
import { sleep } from "../../time/index.ts";
import { JobCloneError } from "../errors.ts";
import type { AnyJob } from "../job.ts";
import type { JobEnd, JobNews, Pool, PoolJob, PoolListener, PoolStatistics } from "../pool.ts";
import type { JobOrder, JobTidings, OutcomeRecord, QueueEngine, SubmitterListener } from "./engine.ts";
import { decodeEnd, encodeData, reasonText, sealEnvelope } from "./envelope.ts";
import { ExecutorUnavailableError, JobNotKeptError, PayloadTooLargeError, StreamUnsupportedError } from "./errors.ts";
import type { QueueSettings, QueueSubmitOptions } from "./options.ts";

/** What the executor has noted at a job (`PoolJob.place`). */
export interface QueuePlace {
  readonly options: QueueSubmitOptions;
  readonly priority: number;
  /** The id of a job that is there already. */
  readonly attachTo: string | null;
  /** Its handle lets go of it, the job goes on. */
  isDetached: boolean;
  id: string;
  track: Track | null;
}

/** A job of which an outcome is to come. */
interface Track {
  readonly id: string;
  /** `null`: attached. */
  readonly order: JobOrder | null;
  readonly jobs: Set<PoolJob>;
  /** `"sending"`: the engine may have it. */
  stage: "outbox" | "sending" | "sent";
  hasBegun: boolean;
  /** In how many sweeps in a row the engine did not know it. */
  missing: number;
  cancelReason: string | null;
  isCancelling: boolean;
}

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

const RETRY_MS = 500;
const SWEEP_AT_ONCE = 500;
const SEND_AT_ONCE = 200;
const REMEMBERED = 4_096;

export class QueuePool implements Pool, SubmitterListener {
  readonly isOutside: boolean;
  readonly parallelism: number;
  readonly engine: QueueEngine;
  readonly #settings: QueueSettings;
  readonly #name: string;
  /** Unique among all submitters: the channel that outcomes come back on, and the beginning of ids. */
  readonly #address: string;
  readonly #ownsEngine: boolean;
  readonly #loop: EventLoop;
  #listener: PoolListener | null = null;
  readonly #tracks = new Map<string, Track>();
  #outbox = new Set<Track>();
  /** Outcomes that were told lately, so that a second one is known for what it is. */
  readonly #told = new Set<string>();
  #isSending = false;
  #isSweeping = false;
  #isWaitingForRoom = false;
  #isConnected = true;
  #isClosed = false;
  #sweepTimer: Handle | null = null;
  #unsubscribe: (() => void) | null = null;
  #onIdle: (() => void) | null = null;
  #tasks = 0;
  readonly #counts = { outcomesPushed: 0, outcomesSwept: 0, duplicates: 0, redelivered: 0, resent: 0, sweeps: 0 };

  constructor(engine: QueueEngine, name: string, address: string, settings: QueueSettings, ownsEngine: boolean) {
    this.engine = engine;
    this.isOutside = engine.isOutside;
    this.parallelism = settings.parallelism;
    this.#settings = settings;
    this.#name = name;
    this.#address = address;
    this.#ownsEngine = ownsEngine;
    this.#loop = running.loop === null ? new EventLoop({ name: `executor ${name}` }) : EventLoop.current();
  }

  listen(listener: PoolListener): void {
    this.#listener = listener;
  }

  check(job: AnyJob): void {
    if (job.isStream) throw new StreamUnsupportedError(this.#name, job.name);
    if (!this.#isConnected && this.#outbox.size >= this.#settings.bufferSize) {
      throw new ExecutorUnavailableError(this.#name, this.#outbox.size);
    }
  }

  offer(job: PoolJob): boolean {
    const place = job.place as QueuePlace;
    const known = place.attachTo ?? (job.hasOwnKey ? job.idempotencyKey : null);
    const id = known ?? `${this.#address}/${job.id}`;
    const track = this.#tracks.get(id);
    if (track === undefined && this.#tracks.size >= this.#settings.maxPending) {
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
      if (place.attachTo === null) order = this.#orderOf(job, place, id);
    } catch (error) {
      if (!(error instanceof JobCloneError) && !(error instanceof PayloadTooLargeError)) throw error;
      this.#listener!.settled(job, { status: "failed", error, done: null, runMs: 0 });
      return true;
    }
    this.#begin(job, place, order);
    // It may have ended long ago, and then nobody pushes anything.
    if (known !== null) this.#sweepSoon(0);
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
    this.#requestCancel(track);
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
      outbox: this.#outbox.size,
      isConnected: this.#isConnected,
      ...this.#counts,
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#sweepTimer?.cancel();
    this.#sweepTimer = null;
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    if (this.#ownsEngine) await this.engine.close();
    if (this.#tasks > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  settled(id: string, record: OutcomeRecord): void {
    if (this.#isClosed) return;
    const track = this.#tracks.get(id);
    if (track === undefined) {
      if (this.#told.has(id)) this.#counts.duplicates++;
      return;
    }
    this.#counts.outcomesPushed++;
    this.#settle(track, record);
  }

  told(id: string, tidings: JobTidings): void {
    const track = this.#tracks.get(id);
    if (track === undefined) return;
    if (tidings.kind === "started") {
      track.hasBegun = true;
      return;
    }
    const news: JobNews = { kind: tidings.kind, value: this.#settings.codec.decode(tidings.body) };
    for (const job of track.jobs) this.#listener!.news(job, news);
  }

  connected(isConnected: boolean): void {
    const isNew = isConnected && !this.#isConnected;
    this.#isConnected = isConnected;
    if (isNew && this.#tracks.size > 0) this.#sweepSoon(0);
  }

  #orderOf(job: PoolJob, place: QueuePlace, id: string): JobOrder {
    const { codec, payloadLimit, ...settings } = this.#settings;
    const { attempts, backoffMs, resultTtlMs, delayMs = 0 } = { ...settings, ...place.options };
    // What goes on when its scope has ended is not bound by that scope's deadline.
    const isDetachable = this.#settings.onScopeCancelled === "detach";
    const remainingMs = isDetachable ? (place.options.deadlineMs ?? Infinity) : job.remainingMs();
    const payload = sealEnvelope(job, {
      number: job.id,
      name: job.name,
      shape: job.shape,
      codec: codec.name,
      data: encodeData(job, codec),
      remainingMs: remainingMs === Infinity ? null : Math.ceil(remainingMs),
      key: job.hasOwnKey ? job.idempotencyKey : id,
      attempts,
      backoffMs,
      payloadLimit,
    });
    moveAway(job);
    const address = `${job.job.name}@${job.job.version}`;
    return { id, address, payload, priority: place.priority, delayMs, replyTo: this.#address, resultTtlMs };
  }

  #begin(job: PoolJob, place: QueuePlace, order: JobOrder | null): void {
    const track: Track = {
      id: place.id,
      order,
      jobs: new Set([job]),
      stage: order === null ? "sent" : "outbox",
      hasBegun: false,
      missing: 0,
      cancelReason: null,
      isCancelling: false,
    };
    place.track = track;
    this.#tracks.set(track.id, track);
    this.#told.delete(track.id);
    if (order !== null) this.#outbox.add(track);
    this.#send();
    this.#sweepSoon(this.#settings.sweepMs);
  }

  /** Its outcome is of no interest any more. */
  #forget(track: Track): void {
    this.#tracks.delete(track.id);
    this.#outbox.delete(track);
    if (this.#tracks.size === 0) {
      this.#sweepTimer?.cancel();
      this.#sweepTimer = null;
    }
    if (!this.#isWaitingForRoom) return;
    this.#isWaitingForRoom = false;
    this.#loop.callSoon(() => this.#listener!.roomFreed());
  }

  #settle(track: Track, record: OutcomeRecord): void {
    if (record.delivery > 1) this.#counts.redelivered++;
    for (const job of track.jobs) this.#end(job, decodeEnd(job, record, this.#settings.codec));
    this.#told.add(track.id);
    if (this.#told.size > REMEMBERED) this.#told.delete(this.#told.values().next().value!);
    this.#forget(track);
  }

  #fail(track: Track, errorFor: (job: PoolJob) => unknown): void {
    for (const job of track.jobs) this.#end(job, { status: "failed", error: errorFor(job), done: null, runMs: 0 });
    this.#forget(track);
  }

  #end(job: PoolJob, end: JobEnd): void {
    this.#listener!.settled(job, end);
  }

  /** Runs something of ours beside whoever calls. It handles its own errors. */
  #launch(name: string, body: () => Coroutine<void>): void {
    this.#tasks++;
    const task = this.#loop.spawn({ name: `${name} of ${this.#name}` }, body);
    const taskSettled = (): void => {
      if (--this.#tasks === 0) this.#onIdle?.();
    };
    task.watch({ before: null, after: null, taskSettled });
  }

  #send(): void {
    if (this.#isSending || this.#isClosed) return;
    this.#isSending = true;
    this.#launch("courier", () => this.#carry());
  }

  *#carry(): Coroutine<void> {
    try {
      while ((this.#outbox.size > 0 || this.#unsubscribe === null) && !this.#isClosed) {
        let tracks: Track[] = [];
        try {
          // First: what is told before anybody listens is lost.
          this.#unsubscribe ??= yield* this.engine.subscribe(this.#address, this);
          tracks = [...this.#outbox].slice(0, SEND_AT_ONCE);
          if (tracks.length === 0) continue;
          // What lies in the outbox while the engine is down is counted against the bound, and can be withdrawn; so it stays until it is kept.
          for (const track of tracks) track.stage = "sending";
          yield* this.engine.enqueue(tracks.map((track) => track.order!));
          for (const track of tracks) {
            track.stage = "sent";
            this.#outbox.delete(track);
          }
        } catch (error) {
          if (!(error instanceof Error)) throw error;
          if (isFinal(error)) {
            for (const track of [...this.#outbox]) {
              this.#fail(track, () => error);
            }
            return;
          }
          for (const track of tracks) if (track.stage === "sending") track.missing = 0;
          yield* sleep(RETRY_MS);
        }
      }
    } finally {
      this.#isSending = false;
    }
  }

  #requestCancel(track: Track): void {
    if (track.isCancelling || this.#isClosed) return;
    track.isCancelling = true;
    this.#launch("cancellation", () => this.#carryCancel(track));
  }

  *#carryCancel(track: Track): Coroutine<void> {
    try {
      yield* this.#askForEnd(track);
    } finally {
      track.isCancelling = false;
    }
  }

  *#askForEnd(track: Track): Coroutine<void> {
    const reason = track.cancelReason ?? "";
    while (this.#tracks.get(track.id) === track && !this.#isClosed) {
      try {
        if (track.stage !== "sent") {
          yield* sleep(1); // it is on its way; the engine has to know it first
          continue;
        }
        const answer = yield* this.engine.requestCancel(track.id, reason);
        if (this.#tracks.get(track.id) !== track) return;
        if (answer === "removed" || (answer === "unknown" && track.missing > 0)) {
          this.#settle(track, { status: "cancelled", delivery: 0, worker: "", runMs: 0, body: reason });
        } else if (answer === "settled") this.#sweepSoon(0);
        if (answer !== "unknown") return;
        track.missing++;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
      }
      yield* sleep(RETRY_MS);
    }
  }

  #sweepSoon(delayMs: number): void {
    if (this.#isClosed || this.#isSweeping) return;
    if (this.#sweepTimer !== null) {
      if (delayMs > 0) return;
      this.#sweepTimer.cancel();
    }
    this.#sweepTimer = this.#loop.callLater(delayMs, () => {
      this.#sweepTimer = null;
      if (this.#isSweeping || this.#isClosed || this.#tracks.size === 0) return;
      this.#isSweeping = true;
      this.#launch("sweep", () => this.#sweep());
    });
  }

  *#sweep(): Coroutine<void> {
    try {
      this.#counts.sweeps++;
      const sent = [...this.#tracks.values()].filter((track) => track.stage === "sent");
      for (let from = 0; from < sent.length && !this.#isClosed; from += SWEEP_AT_ONCE) {
        const tracks = sent.slice(from, from + SWEEP_AT_ONCE);
        const standings = yield* this.engine.states(tracks.map((track) => track.id));
        for (const [index, track] of tracks.entries()) {
          if (this.#tracks.get(track.id) !== track || this.#isClosed) continue; // told meanwhile
          const standing = standings[index]!;
          if (standing.state === "settled") {
            this.#counts.outcomesSwept++;
            this.#settle(track, standing.record);
          } else this.#note(track, standing.state);
        }
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error; // unreachable: the next sweep asks again
    } finally {
      this.#isSweeping = false;
      if (this.#tracks.size > 0) this.#sweepSoon(this.#settings.sweepMs);
    }
  }

  #note(track: Track, state: "waiting" | "running" | "unknown"): void {
    if (state !== "unknown") {
      track.hasBegun ||= state === "running";
      track.missing = 0;
      // Its worker was told, and gave it back at that moment: now it can be removed.
      if (state === "waiting" && track.cancelReason !== null) this.#requestCancel(track);
      return;
    }
    if (track.order === null) {
      this.#fail(track, (job) => new JobNotKeptError(job, track.id));
      return;
    }
    if (++track.missing < 2) return; // it may have ended, or been sent, between two questions
    track.missing = 0;
    track.stage = "outbox";
    this.#counts.resent++;
    this.#outbox.add(track);
    this.#send();
  }
}

/** What no patience helps against. */
function isFinal(error: Error): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === "EXECUTOR_ENGINE_MISSING" || code === "EXECUTOR_ENGINE_CLOSED";
}

/** What was to be transferred is gone here, as with threads, so that a program does not work with one executor alone. */
function moveAway(job: PoolJob): void {
  if (job.transfer === null || job.transfer.length === 0) return;
  try {
    structuredClone(job.transfer, { transfer: job.transfer as ArrayBuffer[] });
  } catch (error) {
    throw new JobCloneError(job, "the transfer list", error);
  }
}
