/**
 * A number of permits; who finds too few waits in line.
 *
 * Strict FIFO: a request for many that stands first is not overtaken by smaller ones behind it, also where those could be
 * served at once; otherwise a steady flow of small ones would starve it. When it is cancelled, those behind it are served.
 *
 * Permits belong to nobody: a task that ends without giving its own back has used them up. `use` gives back however the body
 * ends. By default there are never more permits than at the start, so a release too many is found where it happens.
 */
import { QueuedWait, UsageError, WaitQueue } from "../core/index.ts";
import type { Body, Coroutine, Operation, Started, Waiter } from "../core/index.ts";
import { checkCount, checkLimit, nameIn, titleOf } from "./naming.ts";
import type { NameOptions } from "./naming.ts";
import { holding } from "./permit.ts";
import type { Permit } from "./permit.ts";

export interface SemaphoreOptions extends NameOptions {
  /** How many permits there may be at most; `Infinity` is allowed. Default: as many as at the start. */
  readonly max?: number;
}

export interface SemaphoreStatistics {
  readonly name: string;
  /** How many permits are free. */
  readonly available: number;
  /** How many there may be at most. */
  readonly max: number;
  /** How many tasks stand in line. */
  readonly waiting: number;
}

/**
 * @example
 * const connections = new Semaphore(10, { name: "connections" });
 * const page = yield* connections.use(() => download(url));
 */
export class Semaphore {
  readonly name: string;
  /** How many permits there may be at most. */
  readonly max: number;
  private readonly line: WaitQueue<Permit, SemaphoreAcquire> = new WaitQueue();
  private free: number;

  /**
   * @param permits How many are free at the start; 0 needs a `max`.
   * @throws {UsageError} when a number is not whole or negative, or `max` is smaller than `permits`.
   */
  constructor(permits: number, options: SemaphoreOptions = {}) {
    this.name = nameIn("semaphore", options);
    checkCount(`the permits of ${this.title}`, permits, 0);
    this.max = options.max ?? permits;
    if (this.max === 0) {
      throw new UsageError(`${this.title} could never have a permit; pass { max } to release permits that it had not`);
    }
    checkLimit(`the max of ${this.title}`, this.max, Math.max(permits, 1));
    this.free = permits;
  }

  /** How many permits are free. While somebody stands in line that is less than the first one asks for. */
  get available(): number {
    return this.free;
  }

  /**
   * Takes `count` permits at once, all or none, waiting in line while there are too few.
   *
   * Cancelling gives up the place in line and takes none; those behind are served, if there are enough for them.
   * @throws {UsageError} when `count` is not a whole number from 1 to `max`: more could never be served.
   * @example
   * using permit = yield* semaphore.acquire();
   */
  acquire(count = 1): Operation<Permit> {
    this.checkRequest(count);
    return new SemaphoreAcquire(this, this.line, count);
  }

  /** `count` permits, if they are free and nobody stands in line; else `undefined`. */
  tryAcquire(count = 1): Permit | undefined {
    this.checkRequest(count);
    return this.canServe(count) ? this.grant(count) : undefined;
  }

  /**
   * Runs `body` with a permit, or with `count` of them, and gives back however the body ends.
   * @example
   * yield* semaphore.use(function* () { yield* download(url) });
   */
  use<T>(body: Body<T>): Coroutine<T>;
  use<T>(count: number, body: Body<T>): Coroutine<T>;
  use<T>(first: number | Body<T>, body?: Body<T>): Coroutine<T> {
    if (typeof first !== "number") return holding(this.acquire(), first);
    return holding(this.acquire(first), body!);
  }

  /**
   * Gives back `count` permits, or adds them where `max` allows. Not for permits of `acquire` that release themselves.
   * @throws {UsageError} when there would be more than `max` (`SEMAPHORE_OVER_RELEASE`); then none is added.
   */
  release(count = 1): void {
    checkCount("release takes a number of permits: it", count, 1);
    if (this.free + count > this.max) {
      throw new UsageError(
        `${this.title} has ${this.free} of at most ${this.max} permits, ${count} more were released than acquired; ` +
          "release each one once, or raise `max`",
        "SEMAPHORE_OVER_RELEASE",
      );
    }
    this.free += count;
    this.serve();
  }

  statistics(): SemaphoreStatistics {
    return Object.freeze({ name: this.name, available: this.free, max: this.max, waiting: this.line.size });
  }

  /** @internal */
  get title(): string {
    return titleOf("semaphore", this.name);
  }

  /** @internal */
  canServe(count: number): boolean {
    return this.line.size === 0 && count <= this.free;
  }

  /** @internal */
  grant(count: number): Permit {
    this.free -= count;
    return new SemaphorePermit(this, count);
  }

  /** Serves from the front as many as there are permits for. @internal */
  serve(): void {
    const { line } = this;
    for (let next = line.first; next !== null && next.count <= this.free; next = line.first) {
      line.shift();
      next.end(this.grant(next.count));
    }
  }

  private checkRequest(count: number): void {
    checkCount(`a request to ${this.title}`, count, 1);
    if (count > this.max) {
      throw new UsageError(
        `${this.title} has at most ${this.max} permits, a request for ${count} could never be served`,
      );
    }
  }
}

class SemaphorePermit implements Permit {
  private readonly semaphore: Semaphore;
  /** How many it stands for; 0 once they were given back. */
  private count: number;

  constructor(semaphore: Semaphore, count: number) {
    this.semaphore = semaphore;
    this.count = count;
  }

  release(): void {
    const { count } = this;
    if (count === 0) return;
    this.count = 0;
    this.semaphore.release(count);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

class SemaphoreAcquire extends QueuedWait<Permit> {
  readonly count: number;
  private readonly semaphore: Semaphore;

  constructor(semaphore: Semaphore, line: WaitQueue<Permit, SemaphoreAcquire>, count: number) {
    super(line);
    this.semaphore = semaphore;
    this.count = count;
  }

  get reason(): string {
    return this.count === 1 ? this.semaphore.title : `${this.count} permits of ${this.semaphore.title}`;
  }

  protected attempt(task: Waiter): Started<Permit> | null {
    const { semaphore, count } = this;
    return semaphore.canServe(count) ? task.complete(this, semaphore.grant(count)) : null;
  }

  protected override left(): void {
    this.semaphore.serve();
  }
}
