/**
 * The values of a streaming job, as a sequence.
 *
 * The job is placed when the stream is made, if there is room; else by whoever takes first, who waits for room like a submitter.
 * The window is held by credits: the worker starts with as many as the window has places, and gets back what was taken here.
 */
import type { Coroutine, Operation, Sequence } from "../core/index.ts";
import { Feed } from "./feed.ts";
import type { PendingJob } from "./pending-job.ts";

type Step = IteratorResult<unknown, undefined>;

/** The executor as a stream needs it. */
export interface StreamHost {
  readonly isOutside: boolean;
  tryAdmit(pending: PendingJob): boolean;
  admit(pending: PendingJob): Operation<void>;
  grant(pending: PendingJob, count: number): void;
  /** Its job has settled, or it was closed. */
  left(): void;
}

export class JobStream implements Sequence<unknown> {
  readonly #host: StreamHost;
  readonly #pending: PendingJob;
  readonly #feed: Feed<unknown>;

  constructor(host: StreamHost, pending: PendingJob, window: number) {
    this.#host = host;
    this.#pending = pending;
    let taken = 0;
    const feed = new Feed<unknown>({
      reason: `the next value of job "${pending.name}"`,
      isOutside: host.isOutside,
      capacity: Infinity, // the credits bound it
      onTaken: () => {
        // In halves, so that a message of ours is paid once for many items.
        if (++taken * 2 < window || pending.state !== "taken") return;
        host.grant(pending, taken);
        taken = 0;
      },
    });
    this.#feed = feed;
    pending.onNews = ({ kind, value }) => {
      if (kind === "item") feed.put(value);
    };
    pending.onSettled = (end) => {
      host.left();
      if (end.status === "failed") feed.fail(end.error);
      else feed.finish();
    };
    host.tryAdmit(pending);
  }

  /** Waits for the next value, or for the end. Cancelling takes none. */
  next(): Operation<Step> {
    return this.#pending.state === "new"
      ? { [Symbol.iterator]: () => this.#first()[Symbol.iterator]() }
      : this.#feed.next();
  }

  /** Cancels the job and waits until it has ended. What was not taken is dropped. */
  close(): Operation<void> {
    this.#feed.close();
    if (this.#pending.end === null) this.#pending.cancel("nobody takes its values any more");
    return { [Symbol.iterator]: () => ended(this.#pending)[Symbol.iterator]() };
  }

  *#first(): Coroutine<Step> {
    if (this.#pending.state === "new") yield* this.#host.admit(this.#pending);
    return yield* this.#feed.next();
  }
}

function* ended(pending: PendingJob): Coroutine<void> {
  while (pending.end === null) yield* pending;
}
