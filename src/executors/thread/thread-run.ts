/**
 * A job on this thread: what it can ask and tell, and how its end is told, once.
 *
 * Its slot belongs to the next job as soon as it has ended, while its context may live on, in a timer that it has left behind. So a context
 * that is over says nothing and hears nothing.
 */
import { CancelledError, describeValue, systemClock } from "../../core/loopless.ts";
import type { Task } from "../../core/index.ts";
import { JobCloneError } from "../errors.ts";
import type { Feed } from "../feed.ts";
import { setThreadJob } from "../job-context.ts";
import type { JobContext } from "../job-context.ts";
import { encodeError } from "../remote-error.ts";
import { BatchFailure, isCancellation } from "../returned.ts";
import { CANCEL, ENDED } from "./protocol.ts";
import type { Extras, Order, ReportedError } from "./protocol.ts";
import { ThreadNews } from "./thread-news.ts";
import type { ThreadEnd } from "./thread-channel.ts";
import { post, postOutcome, setup, words } from "./worker-link.ts";

export type RunOrder = Extract<Order, readonly ["run", ...unknown[]]>;

export class ThreadRun implements JobContext {
  readonly slot: number;
  readonly id: number;
  readonly startedAt: number;
  task: Task<unknown> | null = null;
  reason: unknown = undefined;
  /** Whether `cancel` was called: the word in shared memory may say it before the order, which has the reason, is here. */
  isTold = false;
  credits = 0;
  granted: Feed<void> | null = null;
  /** Ends of channels that it was given. They are closed with it. */
  ends: readonly ThreadEnd[] | null = null;
  #isOver = false;
  readonly #extras: Extras | null;
  readonly #jobName: string;
  #controller: AbortController | null = null;
  #news: ThreadNews | null = null;

  constructor(order: RunOrder, jobName: string) {
    this.slot = order[1];
    this.id = order[5];
    this.#extras = order[6];
    this.#jobName = jobName;
    this.startedAt = systemClock.now();
  }

  get name(): string {
    return this.#extras?.name ?? this.#jobName;
  }

  get idempotencyKey(): string {
    return this.#extras?.idempotencyKey ?? `${setup.executor}/${this.id}`;
  }

  get isCancelled(): boolean {
    return !this.#isOver && Atomics.load(words, this.slot) === CANCEL;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.isCancelled) this.#abort();
    return this.#controller.signal;
  }

  progress(value: unknown): void {
    this.#tell("the progress", () => (this.#news ??= new ThreadNews(this.slot)).progress(value));
  }

  log(message: string, data?: unknown): void {
    this.#tell("the log entry", () => (this.#news ??= new ThreadNews(this.slot)).log({ message, data }));
  }

  /** Of a stream. Gives whether more may be sent. */
  emit(value: unknown): boolean {
    this.#tell("a value", () => post(["item", this.slot, value]));
    return --this.credits > 0;
  }

  cancel(reason: unknown): void {
    this.isTold = true;
    this.reason = reason;
    this.#abort();
    this.task?.cancel(reason);
  }

  endByValue(value: unknown): void {
    const runMs = this.#close();
    try {
      postOutcome(["value", this.slot, value, runMs]);
    } catch (error) {
      postOutcome(["error", this.slot, uncloneable(error, "the result"), runMs]);
    }
  }

  endByError(thrown: unknown): void {
    const isBatch = thrown instanceof BatchFailure;
    const error: unknown = isBatch ? thrown.error : thrown;
    if (this.isCancelled && isCancellation(error)) {
      this.endByCancellation(this.reason);
      return;
    }
    const isOwn = error instanceof JobCloneError && error.jobId === this.id;
    const reported: ReportedError = {
      ...(isOwn ? uncloneable(error.cause, error.what) : { reason: "threw", error: encodeError(error), text: "" }),
      done: isBatch ? thrown.done : null,
      index: isBatch ? thrown.index : null,
    };
    const runMs = this.#close();
    try {
      postOutcome(["error", this.slot, reported, runMs]);
    } catch {
      postOutcome(["error", this.slot, { ...reported, done: null }, runMs]); // the results before it cannot be cloned
    }
  }

  /** A reason that the executor has sent need not go back, and another one may be anything. */
  endByCancellation(reason: unknown): void {
    const other = typeof reason === "string" ? reason : describeValue(reason);
    postOutcome(["cancelled", this.slot, reason === this.reason ? undefined : other, this.#close()]);
  }

  #close(): number {
    this.#isOver = true;
    this.#news?.flush();
    setThreadJob(null);
    if (this.ends !== null) for (const end of this.ends) end.close();
    Atomics.store(words, this.slot, ENDED);
    return systemClock.now() - this.startedAt;
  }

  #tell(what: string, tell: () => void): void {
    if (this.#isOver) return;
    try {
      tell();
    } catch (error) {
      throw new JobCloneError(this, what, error);
    }
  }

  #abort(): void {
    const controller = this.#controller;
    if (controller === null || controller.signal.aborted) return;
    controller.abort(new CancelledError(`job "${this.name}"`, this.reason));
  }
}

function uncloneable(cause: unknown, what: string): ReportedError {
  return { reason: "not-cloneable", error: encodeError(cause), text: what, done: null, index: null };
}
