/**
 * So many permits a second, in the order of asking.
 *
 * A token bucket: `burst` permits at most are saved up, and it fills at the rate of `limit` per `perMs`. The promise: in any
 * window of t ms at most `burst + t * limit / perMs` permits are given.
 *
 * There is no bucket that fills, only arithmetic on times, and it does not add up rounding errors: permits are counted from the
 * moment at which the bucket was last full, and the time at which the next ones are due is computed from that count. A wake-up
 * is for that very number, so the comparison when the timer rings cannot miss by a bit.
 *
 * The line is strict: while somebody waits for many permits, those who want few wait behind it, and nobody barges. Only the
 * head of the line has a timer.
 * Source: GCRA, the "virtual scheduling" form of the leaky bucket (ITU-T I.371); Go's `x/time/rate` for what it should feel like.
 */
import { EventLoop, QueuedWait, running, toOperation, UsageError, WaitQueue } from "../core/index.ts";
import type { Body, Coroutine, LoopPort, Operation, Started, Waiter } from "../core/index.ts";
import { Alarm } from "./alarm.ts";
import { checkNumber } from "./limits.ts";

export interface RateLimiterOptions {
  /** How many permits come in `perMs` milliseconds. Above 0, may be a fraction. */
  readonly limit: number;
  /** Default: 1,000, so that `limit` is per second. */
  readonly perMs?: number;
  /** How many permits may be saved up, and so taken at once. Default: `limit`, rounded down, at least 1. */
  readonly burst?: number;
  /** Shown to those who wait. Default: `"rate limiter"`. */
  readonly name?: string;
}

/** Counts of one rate limiter, at one moment. */
export interface RateLimiterStatistics {
  readonly limit: number;
  readonly perMs: number;
  readonly burst: number;
  /** Permits that could be taken at once, if nobody waited. */
  readonly available: number;
  /** Permits that were given. */
  readonly given: number;
  /** Names of the tasks that wait, longest first. */
  readonly waiting: readonly string[];
  /** For how long nobody is served, because of `pauseFor`. */
  readonly pausedForMs: number;
}

/**
 * Limits how often something is done. A permit is used up by being taken; there is nothing to release.
 *
 * It may be made anywhere and outlive its loop; loops that share one must share a clock.
 * @throws {UsageError} when an option is not a number as described.
 * @example
 * const limiter = new RateLimiter({ limit: 10, name: "api" });   // 10 per second
 * yield* limiter.acquire();
 * yield* session.get(url);
 */
export class RateLimiter {
  readonly name: string;
  readonly perMs: number;
  readonly burst: number;
  #limit: number;
  readonly #queue = new WaitQueue<void, Acquire>();
  readonly #alarm = new Alarm(() => this.#serve());
  /** When the bucket was last full; `-Infinity` until it is used. In the future while a pause keeps it from filling. */
  #fullAt = -Infinity;
  /** Permits that were given since. */
  #taken = 0;
  #pausedUntil = -Infinity;
  #given = 0;
  /** The loop that was last seen, for calls from plain code. */
  #loop: LoopPort | null = null;

  constructor(options: RateLimiterOptions) {
    const { limit, perMs = 1_000, name = "rate limiter" } = options;
    checkNumber(`the limit of "${name}"`, limit, { least: 0, above: true });
    checkNumber(`perMs of "${name}"`, perMs, { least: 0, above: true });
    const { burst = Math.max(1, Math.floor(limit)) } = options;
    checkNumber(`the burst of "${name}"`, burst, { least: 1, whole: true });
    this.name = name;
    this.perMs = perMs;
    this.burst = burst;
    this.#limit = limit;
  }

  /** Permits per `perMs`. Setting it keeps what has been taken: those who wait are served by the new rate from now on. */
  get limit(): number {
    return this.#limit;
  }

  set limit(limit: number) {
    checkNumber(`the limit of "${this.name}"`, limit, { least: 0, above: true });
    if (this.#taken > 0) {
      const from = Math.max(this.#clock().now(), this.#pausedUntil);
      this.#taken = Math.max(0, this.#taken - ((from - this.#fullAt) * this.#limit) / this.perMs);
      this.#fullAt = from;
    }
    this.#limit = limit;
    this.#serve();
  }

  /**
   * Takes `n` permits, waiting in line until they are there.
   *
   * Cancelling gives up the place in line and takes no permit; those behind move up.
   * @throws {UsageError} when `n` is not a whole number from 1 to `burst`: more can never be there at once.
   * @example
   * yield* limiter.acquire(3);
   */
  acquire(n = 1): Operation<void> {
    this.#check(n);
    return new Acquire(this, this.#queue, n);
  }

  /** Takes `n` permits if they are there and nobody waits. @throws {UsageError} outside a loop, or as `acquire` does. */
  tryAcquire(n = 1): boolean {
    this.#check(n);
    return this.begin(EventLoop.current(), n);
  }

  /**
   * Takes a permit, then runs `body`. Cancelled while it waits, it takes none and `body` does not begin.
   * @example
   * const page = yield* limiter.use(() => session.get(url));
   */
  *use<T>(body: Body<T>): Coroutine<T> {
    yield* new Acquire(this, this.#queue, 1);
    return yield* toOperation(body);
  }

  /**
   * Serves nobody for `ms` milliseconds from now, as a server asks with `Retry-After`. The bucket does not fill meanwhile, so no
   * burst follows. A pause that lasts longer already is kept.
   * @throws {UsageError} when `ms` is not a number from 0 on, or when no loop has used the limiter yet and none runs.
   */
  pauseFor(ms: number): void {
    checkNumber(`a pause of "${this.name}"`, ms, { least: 0 });
    const now = this.#clock().now();
    const until = now + ms;
    const from = Math.max(now, this.#pausedUntil);
    if (until <= from) return;
    if (this.#taken > 0) this.#fullAt += until - from;
    this.#pausedUntil = until;
    this.#serve();
  }

  statistics(): RateLimiterStatistics {
    const now = (running.loop ?? this.#loop)?.now();
    return Object.freeze({
      limit: this.#limit,
      perMs: this.perMs,
      burst: this.burst,
      available: now === undefined ? this.burst : this.#available(now),
      given: this.#given,
      waiting: Object.freeze(Array.from({ [Symbol.iterator]: () => this.#queue[Symbol.iterator]() }, nameOf)),
      pausedForMs: now === undefined ? 0 : Math.max(0, this.#pausedUntil - now),
    });
  }

  /** Takes `n` permits for a caller who comes now; `false`: it has to stand in line. @internal */
  begin(loop: LoopPort, n: number, willWait = false): boolean {
    this.#loop = loop;
    if (this.#queue.size > 0) return false;
    const now = loop.now();
    this.#fill(now);
    const dueAt = this.#dueAt(n);
    if (dueAt <= now) {
      this.#take(n);
      return true;
    }
    if (willWait) this.#alarm.set(loop, dueAt);
    return false;
  }

  /** One has left the line, perhaps the head. @internal */
  waiterLeft(): void {
    this.#serve();
  }

  /** Serves the head of the line as long as its permits are there, then sets the timer for the next one. */
  #serve(): void {
    for (let first = this.#queue.first; first !== null; first = this.#queue.first) {
      const loop = first.loop!;
      const now = loop.now();
      this.#fill(now);
      const dueAt = this.#dueAt(first.n);
      if (dueAt > now) {
        this.#alarm.set(loop, dueAt);
        return;
      }
      this.#queue.shift();
      this.#take(first.n);
      first.end(undefined);
    }
    this.#alarm.clear();
  }

  /** Starts the count anew when the bucket is full: that keeps it exact, and small. */
  #fill(now: number): void {
    if (now <= this.#fullAt + (this.#taken * this.perMs) / this.#limit) return; // just full: the old count is still exact
    this.#fullAt = now;
    this.#taken = 0;
  }

  /** When `n` more permits are there. */
  #dueAt(n: number): number {
    const missing = this.#taken + n - this.burst;
    const filledAt = missing <= 0 ? -Infinity : this.#fullAt + (missing * this.perMs) / this.#limit;
    return Math.max(filledAt, this.#pausedUntil);
  }

  #take(n: number): void {
    this.#taken += n;
    this.#given += n;
  }

  #available(now: number): number {
    if (now < this.#pausedUntil) return 0;
    this.#fill(now);
    let available = Math.min(
      this.burst,
      Math.max(0, Math.floor(this.burst - this.#taken + ((now - this.#fullAt) * this.#limit) / this.perMs)),
    );
    // By the very comparison that decides: the division may have rounded.
    if (available < this.burst && this.#dueAt(available + 1) <= now) available++;
    else if (available > 0 && this.#dueAt(available) > now) available--;
    return available;
  }

  #check(n: number): void {
    checkNumber(`the permits asked of "${this.name}"`, n, { least: 1, whole: true });
    if (n > this.burst) {
      throw new UsageError(
        `${n} permits of "${this.name}" are never there at once, its burst is ${this.burst}; ask for fewer, or raise the burst`,
      );
    }
  }

  #clock(): LoopPort {
    return running.loop ?? this.#loop ?? EventLoop.current();
  }
}

function nameOf(entry: Acquire): string {
  return entry.waitingTask?.name ?? "";
}

class Acquire extends QueuedWait<void> {
  readonly n: number;
  readonly #limiter: RateLimiter;

  constructor(limiter: RateLimiter, queue: WaitQueue<void, Acquire>, n: number) {
    super(queue as WaitQueue<void, never>);
    this.n = n;
    this.#limiter = limiter;
  }

  get loop(): LoopPort | undefined {
    return this.waiter?.loop;
  }

  get reason(): string {
    return `${this.n === 1 ? "a permit" : `${this.n} permits`} of rate limiter "${this.#limiter.name}"`;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.#limiter.begin(task.loop, this.n, true) ? task.complete(this, undefined) : null;
  }

  protected override left(): void {
    this.#limiter.waiterLeft();
  }
}
