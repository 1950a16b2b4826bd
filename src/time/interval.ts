/**
 * Ticks at fixed times, as a sequence.
 *
 * Tick n is due at `start + n * periodMs`, computed from the start each time: neither the lateness of a timer nor the work
 * between two ticks nor rounding adds up. When the consumer was busy past a due time, the policy says what becomes of the ticks it missed.
 *
 * Invariants: a tick goes to one consumer, the one that has waited longest; one timer stands for all who wait, and none
 * is set while nobody does; a cancelled `next()` takes no tick.
 *
 * Source: Tokio's `Interval` and `MissedTickBehavior`, same names and semantics. Two things differ: the default is "skip", since
 * catching up is rarely what a periodic job wants, and Tokio's tolerance of 5 ms serves "delay" only, where it is needed.
 */
import { QueuedWait, WaitQueue } from "../core/index.ts";
import type { LoopPort, Operation, Sequence, Started, Waiter } from "../core/index.ts";
import { Alarm } from "./alarm.ts";
import { checkChoice, checkNumber } from "./limits.ts";

/** What becomes of ticks that nobody took in time: see `IntervalOptions.missed`. */
export type MissedTicks = "skip" | "burst" | "delay";

export interface IntervalOptions {
  /**
   * What happens once a tick was taken late. `"skip"` (default): the ticks that are due by then are left out, the next one
   * comes at the next multiple of the period. `"burst"`: all of them come, one after another, until it has caught up.
   * `"delay"`: the next one comes a period after the late one, if that was more than 5 ms late; the schedule shifts.
   */
  readonly missed?: MissedTicks;
  /** Whether the first tick is due at the start, instead of one period later. Default: `false`. */
  readonly immediate?: boolean;
  /** Shown to those who wait. Default: `"interval"`. */
  readonly name?: string;
}

export interface Tick {
  /** How many ticks came before this one. */
  readonly index: number;
  /** When it was due, in milliseconds of the loop's clock. It may have come later. */
  readonly scheduledAt: number;
  /** How many due times the policy passed over just after this one. Always 0 for `"burst"`. */
  readonly missed: number;
}

/** Counts of one interval, at one moment. */
export interface IntervalStatistics {
  /** Ticks that were taken. */
  readonly ticks: number;
  /** Due times that were passed over. */
  readonly missed: number;
  /** Tasks that wait for a tick. */
  readonly waiting: number;
}

const POLICIES: readonly MissedTicks[] = ["skip", "burst", "delay"];
const DELAY_TOLERANCE_MS = 5; // a host timer is late by a millisecond or two; shifting by that each time would drift
const NO_MORE: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

type NextTickResult = IteratorResult<Tick, undefined>;

/**
 * A sequence of ticks, `periodMs` milliseconds apart. The schedule starts with the first `next()`; it ends with `close()`.
 *
 * Cancelling `next()` takes no tick and removes the timer. Two tasks may take ticks from one interval, in turn.
 * @throws {UsageError} when `periodMs` is not a positive number.
 * @example
 * const ticks = interval(1_000);
 * for (;;) {
 *   const { value: tick } = yield* ticks.next();
 *   yield* measure(tick!.scheduledAt);
 * }
 */
export function interval(periodMs: number, options: IntervalOptions = {}): Interval {
  return new Interval(periodMs, options);
}

/** See `interval`. */
export class Interval implements Sequence<Tick> {
  readonly name: string;
  readonly periodMs: number;
  readonly #policy: MissedTicks;
  readonly #queue = new WaitQueue<NextTickResult, NextTick>();
  readonly #alarm = new Alarm(() => this.#serve());
  /** Where the schedule starts; `null` until somebody waits. */
  #start: number | null = null;
  /** The next due time is this many periods after the start. */
  #position: number;
  #ticks = 0;
  #missed = 0;
  #isClosed = false;

  /** Use `interval()`. @internal */
  constructor(periodMs: number, options: IntervalOptions) {
    const { name = "interval", missed = "skip", immediate = false } = options;
    checkNumber(`the period of interval "${name}"`, periodMs, { least: 0, above: true });
    checkChoice(`\`missed\` of interval "${name}"`, missed, POLICIES);
    this.name = name;
    this.periodMs = periodMs;
    this.#policy = missed;
    this.#position = immediate ? 0 : 1;
  }

  /** When the next tick is due, in milliseconds of the loop's clock; `undefined` before the first `next()`. */
  get dueAt(): number | undefined {
    return this.#start === null ? undefined : this.#due;
  }

  /** Waits for the next tick; gives one that is due at once. Cancelling takes none. */
  next(): Operation<NextTickResult> {
    return new NextTick(this, this.#queue);
  }

  /** Ends the sequence: those who wait, and those who come later, are told that there is no more. */
  close(): void {
    this.#isClosed = true;
    this.#alarm.clear();
    for (let entry = this.#queue.shift(); entry !== null; entry = this.#queue.shift()) entry.end(NO_MORE);
  }

  statistics(): IntervalStatistics {
    return Object.freeze({ ticks: this.#ticks, missed: this.#missed, waiting: this.#queue.size });
  }

  /** What a `next()` that begins now gets, or `null`: then it stands in line. @internal */
  begin(loop: LoopPort): NextTickResult | null {
    if (this.#isClosed) return NO_MORE;
    const now = loop.now();
    this.#start ??= now;
    if (this.#queue.size > 0) return null;
    if (this.#due <= now) return this.#take(now);
    this.#alarm.set(loop, this.#due);
    return null;
  }

  /** One has left the line. @internal */
  waiterLeft(): void {
    this.#serve();
  }

  get #due(): number {
    return this.#dueAt(this.#position);
  }

  #dueAt(position: number): number {
    return this.#start! + position * this.periodMs;
  }

  #serve(): void {
    for (let first = this.#queue.first; first !== null; first = this.#queue.first) {
      const loop = first.loop!;
      const now = loop.now();
      if (this.#due > now) {
        this.#alarm.set(loop, this.#due);
        return;
      }
      this.#queue.shift()!.end(this.#take(now));
    }
    this.#alarm.clear();
  }

  #take(now: number): NextTickResult {
    const scheduledAt = this.#due;
    const missed = this.#advance(now);
    this.#missed += missed;
    return { done: false, value: Object.freeze({ index: this.#ticks++, scheduledAt, missed }) };
  }

  /** Moves on to the next due time; returns how many were passed over. */
  #advance(now: number): number {
    const { periodMs } = this;
    const late = now - this.#due;
    const before = this.#position;
    switch (this.#policy) {
      case "burst":
        this.#position++;
        return 0;
      case "skip":
        this.#position = Math.max(before + 1, Math.floor((now - this.#start!) / periodMs) + 1);
        // The division may round to the wrong side of a due time.
        if (this.#due <= now) this.#position++;
        else if (this.#position > before + 1 && this.#dueAt(this.#position - 1) > now) this.#position--;
        return this.#position - before - 1;
      case "delay":
        this.#position++;
        if (late <= DELAY_TOLERANCE_MS) return 0;
        this.#start = now;
        this.#position = 1;
        return Math.floor(late / periodMs);
    }
  }
}

class NextTick extends QueuedWait<NextTickResult> {
  readonly #interval: Interval;

  constructor(source: Interval, queue: WaitQueue<NextTickResult, NextTick>) {
    super(queue);
    this.#interval = source;
  }

  get loop(): LoopPort | undefined {
    return this.waiter?.loop;
  }

  get reason(): string {
    return `tick of interval "${this.#interval.name}"`;
  }

  protected attempt(task: Waiter): Started<NextTickResult> | null {
    const result = this.#interval.begin(task.loop);
    return result === null ? null : task.complete(this, result);
  }

  protected override left(): void {
    this.#interval.waiterLeft();
  }
}
