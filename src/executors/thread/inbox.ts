/**
 * Replies on their way from a worker: all that have arrived are read in one go, and what cannot be read leaves nobody waiting.
 *
 * Of a message that cannot be read Node says only that there was one. It may have been an outcome, whose waiter would wait for ever; a value of a stream, which
 * must not be passed over; or news, which may be lost but has taken up room. So the inbox finds out by counting:
 *   1. The word of a job says that it has ended, then its outcome is posted, then that is counted. A worker does this for one job at a time, so of all that
 *      have ended at most the last one is still without an outcome.
 *   2. All that has arrived is read. When as many counted outcomes have not come as there are jobs that have ended and not been heard of, theirs are the ones
 *      that could not be read. When fewer, one is still to be posted, and a large one takes its time: so nobody is judged, and it looks again.
 *   3. What is left was news, or a value. Which one cannot be told, so all streams that had begun by then are torn at once: they give no more values, and fail.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { systemHost } from "../../core/index.ts";
import type { PoolJob } from "../pool.ts";
import { HELD, MOST_NEWS, NEWS, OUTCOMES, ROOM_AGAIN } from "./protocol.ts";
import type { Reply } from "./protocol.ts";
import type { ThreadSlots } from "./thread-slots.ts";

export interface InboxSetup {
  readonly port: MessagePort;
  readonly slots: ThreadSlots;
  readonly handle: (reply: Reply) => void;
  /** Whether no more is expected. */
  readonly isIdle: () => boolean;
  /** The outcome of the job in this slot has come, and could not be read. */
  readonly missed: (slot: number, job: PoolJob, cause: unknown) => void;
  /** A value of this stream may have been missed. */
  readonly torn: (job: PoolJob) => void;
  /** The worker holds news back, and there is room again. */
  readonly hasRoom: () => void;
}

const LOOK_MS = 1;
/** As many as there can be of news, and then some; of what a job goes on to tell meanwhile there may be no end. */
const MOST_AT_ONCE: number = 2 * MOST_NEWS;

export class Inbox {
  /** How many outcomes came together the last time: so many submitters were woken at once. */
  outcomesAtOnce = 0;
  readonly #setup: InboxSetup;
  /** Outcomes that have come, or were given up. */
  #outcomes = 0;
  /** Messages that could not be read, and it is not known yet what they were. */
  #unread = 0;
  #cause: unknown = undefined;
  #isSearching = false;
  /** Streams of which a value may have been missed, by slot. */
  readonly #torn = new Map<number, unknown>();
  #isClosed = false;

  constructor(setup: InboxSetup) {
    this.#setup = setup;
  }

  /**
   * All replies that have arrived, in one go: those who are woken then run in one slice of their loop. Not so for what jobs tell: of that there is no end,
   * and Node gives other events their turn after a thousand messages.
   */
  receive(first: Reply): void {
    const before = this.#outcomes;
    this.#deliver(first);
    for (let last = first, count = 1; !this.#isClosed && !isNews(last); count++) {
      if (count === 1 && this.#setup.isIdle()) break; // it had one job
      const next = this.#take();
      if (next === null) break;
      last = next;
      this.#deliver(last);
    }
    this.outcomesAtOnce = (this.#outcomes - before) | 0;
  }

  unreadable(error: unknown): void {
    this.#unread++;
    this.#cause = error;
    this.#tearStreams(error);
    if (this.#isSearching) return;
    this.#isSearching = true;
    systemHost.afterIo(this.#search);
  }

  /** Why the stream that was in this slot has failed; `undefined` when all its values have come. The slot is for another job now. */
  tearOf(slot: number): unknown {
    const tear = this.#torn.get(slot);
    if (tear !== undefined) this.#torn.delete(slot);
    return tear;
  }

  /** The worker is gone. What it said last is heard. */
  close(): void {
    for (let said = this.#take(); said !== null; said = this.#take()) this.#deliver(said);
    this.#isClosed = true;
  }

  #take(): Reply | null {
    for (;;) {
      try {
        const next = receiveMessageOnPort(this.#setup.port) as { readonly message: Reply } | undefined;
        return next === undefined ? null : next.message;
      } catch (error) {
        this.unreadable(error);
      }
    }
  }

  #deliver(reply: Reply): void {
    if (isOutcome(reply)) this.#noteOutcome();
    else if (isNews(reply)) this.#noteNews();
    else if (reply[0] === "item" && this.#torn.has(reply[1])) return;
    this.#setup.handle(reply);
  }

  /** Also one that has ended: its outcome comes after its values. */
  #tearStreams(error: unknown): void {
    const { slots, torn } = this.#setup;
    for (const [slot, job] of slots.jobs()) {
      if (job.shape !== "stream" || this.#torn.has(slot) || !slots.hasBegun(slot)) continue;
      this.#torn.set(slot, error);
      torn(job);
    }
  }

  /** Finds out what could not be read. */
  readonly #search = (): void => {
    if (this.#isClosed) return;
    const { slots, missed } = this.#setup;
    const before = this.#unread;
    const ended = [...slots.jobs()].filter(([slot]) => slots.hasEnded(slot));
    const posted = slots.word(OUTCOMES); // after the look at who has ended, and before all that was posted is read
    const isEmpty = this.#drain();
    const left = ended.filter(([slot, job]) => slots.jobIn(slot) === job);
    const missing = (posted - this.#outcomes) | 0;
    if (left.length > 0 && (!isEmpty || missing < left.length)) {
      systemHost.after(LOOK_MS, false, this.#search);
      return;
    }
    const isMore = this.#unread > before;
    for (const [slot, job] of left) {
      this.#unread--;
      this.#noteOutcome();
      missed(slot, job, this.#cause);
    }
    if (isMore) {
      systemHost.afterIo(this.#search);
      return;
    }
    this.#isSearching = false;
    // A value of a stream takes up no room.
    for (; this.#unread > 0; this.#unread--) if (slots.word(NEWS) > 0) this.#noteNews();
  };

  /** `false`: there may be more. */
  #drain(): boolean {
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      const next = this.#take();
      if (next === null) return true;
      this.#deliver(next);
    }
    return false;
  }

  #noteOutcome(): void {
    this.#outcomes = (this.#outcomes + 1) | 0; // as the word wraps
  }

  /** One message less of what jobs tell is on its way. */
  #noteNews(): void {
    const { words } = this.#setup.slots;
    if (Atomics.sub(words, NEWS, 1) - 1 > ROOM_AGAIN) return;
    if (Atomics.compareExchange(words, HELD, 1, 0) === 1) this.#setup.hasRoom();
  }
}

function isOutcome(reply: Reply): boolean {
  return reply[0] === "value" || reply[0] === "error" || reply[0] === "cancelled";
}

function isNews(reply: Reply): boolean {
  return reply[0] === "progress" || reply[0] === "log";
}
