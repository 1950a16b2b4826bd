/**
 * One snapshot of several threads: this one at once, the others as they answer, and no longer than the limit.
 *
 * 1. This thread is recorded, and every thread that it has started is asked.
 * 2. Each of those does the same, with less time, so that it can answer even when one of its own does not.
 * 3. The snapshot is complete when all have answered, have ended, or when the time is up. What has not answered then is listed by what is
 *    known of it here: its jobs, and when it was last heard of.
 *
 * The time is real time, on a timer of the host: a thread is outside, whatever the clock of the loop is.
 */
import { systemHost, taskSources } from "../core/index.ts";
import type { RunningJob, TaskAnswer, TaskSource } from "../core/index.ts";
import { planOf, timeoutOf } from "./options.ts";
import type { GatherOptions } from "./options.ts";
import { recordHere, recordUnheard } from "./record-thread.ts";
import type { ThreadRecord } from "./records.ts";

/** What a thread is asked: cloned on its way. @package */
export interface Request {
  readonly stacks: boolean;
  readonly limit: number;
  readonly timeoutMs: number;
}

/** The module that a thread imports when it is first asked. */
const ANSWERING: string = (
  import.meta.url.endsWith(".ts") ? new URL("./answer.ts", import.meta.url) : new URL("./answer.js", import.meta.url)
).href;

const SHARE_OF_NESTED = 0.75; // of the time: the rest is for what one that has a silent thread below it needs to say so

/** @package */
export class Gathering {
  readonly #here: ThreadRecord;
  readonly #threads: (ThreadRecord | null)[] = [];
  readonly #sources: readonly TaskSource[];
  readonly #undo: (() => void)[] = [];
  readonly #onEnd: (thread: ThreadRecord) => void;
  #missing: number;
  #timer: unknown = undefined;
  #isOver = false;

  /** @throws {UsageError} when an option is wrong. */
  constructor(options: GatherOptions, jobs: readonly RunningJob[], onEnd: (thread: ThreadRecord) => void) {
    const plan = planOf(options);
    const timeoutMs = timeoutOf(options);
    this.#onEnd = onEnd;
    this.#here = recordHere(plan, jobs);
    this.#sources = [...taskSources];
    this.#missing = this.#sources.length;
    const { stacks, limit } = plan;
    const request: Request = { stacks, limit, timeoutMs: timeoutMs * SHARE_OF_NESTED };
    for (const [place, source] of this.#sources.entries()) {
      this.#threads.push(null);
      this.#undo.push(source.ask({ module: ANSWERING, request }, (answer) => this.#hear(place, answer)));
    }
    // An answer may lie in the port already when this thread itself was busy for so long: the host looks there first.
    if (this.#missing > 0) this.#timer = systemHost.after(timeoutMs, true, () => systemHost.afterIo(() => this.#end()));
  }

  /** All of it, when nobody has to be waited for. */
  get whole(): ThreadRecord | null {
    return this.#missing === 0 ? this.#put() : null;
  }

  /** How many have not answered. */
  get missing(): number {
    return this.#missing;
  }

  /** Waits for nothing any more; `onEnd` is not called. */
  stop(): void {
    this.#isOver = true;
    systemHost.clear(this.#timer);
    for (const undo of this.#undo) undo();
  }

  #hear(place: number, answer: TaskAnswer): void {
    if (this.#isOver || (this.#threads[place] ?? null) !== null) return;
    this.#threads[place] = recordAnswer(this.#sources[place]!, answer);
    this.#missing--;
    if (this.#missing === 0 && this.#timer !== undefined) this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.stop();
    this.#onEnd(this.#put());
  }

  #put(): ThreadRecord {
    const threads = this.#threads.map((thread, place) => thread ?? recordUnheard(this.#sources[place]!, "silent"));
    return { ...this.#here, threads };
  }
}

/** What the thread says of itself, together with what is known of it here. */
function recordAnswer(source: TaskSource, answer: TaskAnswer): ThreadRecord {
  if (answer.status === "ended") return recordUnheard(source, "ended");
  if (answer.status === "failed") return recordUnheard(source, "failed", answer.why);
  const known = recordUnheard(source, "answered");
  const { jobs, loops, threads } = answer.value as ThreadRecord;
  const running = new Map(jobs.map((job) => [job.id, job]));
  const merged = known.jobs.map((job) => {
    const there = running.get(job.id);
    running.delete(job.id);
    return there === undefined ? job : { ...job, runMs: there.runMs, task: there.task };
  });
  return { ...known, heardMs: null, jobs: [...merged, ...running.values()], loops, threads };
}
