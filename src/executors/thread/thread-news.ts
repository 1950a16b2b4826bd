/**
 * What a job tells, on its way to the executor: bounded, whatever the job does and however busy the other side is.
 *
 * A message port takes all it is given, so a job that tells its progress in a loop, while the loop of its submitter is busy, would fill the
 * memory. So both sides count in shared memory what is on its way. When that is `MOST_NEWS`, the rest is held here: of progress
 * the latest value, since whoever watches wants to know how far it is; of the log the latest entries, and how many were left out between.
 * They go as soon as the executor says that there is room, or the job tells more and there is, and at the latest with its outcome.
 *
 * Rejected: to let the job wait. A plain one would block its thread, which a handle that nobody looks at must not do.
 */
import { HELD, MOST_NEWS, NEWS, ROOM_AGAIN } from "./protocol.ts";
import { port, words } from "./worker-link.ts";

export interface LogEntry {
  readonly message: string;
  readonly data: unknown;
}

const LOGS_HELD = 255; // with the one that says how many were left out, as many as a handle keeps
const holders = new Set<ThreadNews>();

/** The news of one job. All throw what `postMessage` and `structuredClone` throw when a value cannot be cloned. */
export class ThreadNews {
  readonly #slot: number;
  #progress: { readonly value: unknown } | null = null;
  #logs: LogEntry[] = [];
  #leftOut = 0;

  constructor(slot: number) {
    this.#slot = slot;
  }

  progress(value: unknown): void {
    if (this.#hasRoom()) this.#post("progress", value);
    else {
      this.#progress = { value: structuredClone(value) };
      this.#hold();
    }
  }

  log(entry: LogEntry): void {
    if (this.#hasRoom()) {
      this.#post("log", entry);
      return;
    }
    this.#logs.push(structuredClone(entry));
    if (this.#logs.length > LOGS_HELD) {
      this.#logs.shift();
      this.#leftOut++;
    }
    this.#hold();
  }

  /** All that is held; it is bounded, so the count of what is on its way may be passed by it. */
  flush(): void {
    if (!holders.delete(this)) return;
    if (this.#leftOut > 0) {
      const message = `${this.#leftOut} log entries were left out here: they came faster than they were taken`;
      this.#post("log", { message, data: { leftOut: this.#leftOut } });
    }
    for (const entry of this.#logs) this.#post("log", entry);
    if (this.#progress !== null) this.#post("progress", this.#progress.value);
    this.#logs = [];
    this.#leftOut = 0;
    this.#progress = null;
  }

  #hasRoom(): boolean {
    if (Atomics.load(words, NEWS) >= MOST_NEWS) return false;
    this.flush(); // what came before goes before
    return true;
  }

  #hold(): void {
    holders.add(this);
    Atomics.store(words, HELD, 1);
    // The other side looks at this word after it has counted down, so one of the two sees what the other has done.
    if (Atomics.load(words, NEWS) <= ROOM_AGAIN) flushNews();
  }

  #post(kind: "progress" | "log", value: unknown): void {
    Atomics.add(words, NEWS, 1); // before: what has arrived was counted
    try {
      port.postMessage([kind, this.#slot, value]);
    } catch (error) {
      Atomics.sub(words, NEWS, 1);
      throw error;
    }
  }
}

/** There is room again. */
export function flushNews(): void {
  for (const news of [...holders]) news.flush();
}
