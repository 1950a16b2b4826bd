/**
 * What operations of a `MemoryEngine` are to the loop: waits that end at once, or as soon as the engine can be reached, or has a job.
 */
import { QueuedWait, Wait } from "../../core/index.ts";
import type { Coroutine, Operation, Started, Waiter, WaitQueue } from "../../core/index.ts";
import type { JobLease } from "./engine.ts";

/** The engine as its waits need it. */
export interface WaitHost {
  readonly name: string;
  readonly isOutside: boolean;
  readonly isDown: boolean;
  /** Those who wait until it can be reached. */
  readonly up: WaitQueue<void>;
  /** The next job for a worker; `null`: none now. */
  take(worker: string): JobLease | null;
}

export class Claim extends QueuedWait<JobLease> {
  readonly worker: string;
  readonly #host: WaitHost;

  constructor(host: WaitHost, line: WaitQueue<JobLease, never>, worker: string) {
    super(line);
    this.#host = host;
    this.worker = worker;
  }

  get reason(): string {
    return `a job in engine ${this.#host.name}`;
  }

  override get external(): boolean {
    return this.#host.isOutside;
  }

  protected attempt(task: Waiter): Started<JobLease> | null {
    const lease = this.#host.take(this.worker);
    return lease === null ? null : task.complete(this, lease);
  }
}

/** Answers at once, or when the engine can be reached again. */
export class Reply<T> implements Operation<T> {
  readonly #host: WaitHost;
  readonly #reason: string;
  readonly #act: () => T;

  constructor(host: WaitHost, what: string, act: () => T) {
    this.#host = host;
    this.#reason = `${what} (engine ${host.name})`;
    this.#act = act;
  }

  *[Symbol.iterator](): Coroutine<T> {
    while (this.#host.isDown) yield* this.#host.up.park(this.#reason);
    return yield* new Answer(this.#reason, this.#act, this.#host.isOutside);
  }
}

/** Of its own, since the answer is given to a task that is there: one that was cancelled asks for nothing. */
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
