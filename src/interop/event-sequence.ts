/**
 * Events as a bounded sequence: what comes while nobody takes is kept, up to a capacity, and then a policy decides.
 *
 * An emitter cannot be told to wait, so there is no backpressure, and `events.on` of Node therefore buffers without limit.
 * Here losing events is a choice that somebody wrote down, and by default an error.
 *
 * Invariants: events leave in the order in which they came; the buffer holds at most `capacity`; somebody waits only while
 * the buffer is empty; the source is attached exactly while the sequence is open.
 */
import { describeValue, QueuedWait, UsageError, WaitQueue } from "../core/index.ts";
import type { Operation, Sequence, Started, Waiter } from "../core/index.ts";
import { EventOverflowError } from "./errors.ts";
import { closeWithScope, nothing } from "./scope-closing.ts";

/** What happens to an event that finds the buffer full. */
export type Overflow = "error" | "dropOldest" | "dropNewest";

export interface EventSequenceOptions {
  /** For people: `message events of port 1`. Default: what the source calls itself. */
  readonly name?: string;
  /** How many events may wait to be taken; at least 1, `Infinity` is allowed. Default: 1,024. */
  readonly capacity?: number;
  /**
   * `"error"` (default): the subscription ends; who takes gets what was kept, then an `EventOverflowError`.
   * `"dropOldest"`: the one that has waited longest goes. `"dropNewest"`: the one that came is not kept.
   */
  readonly overflow?: Overflow;
  /** Whether something outside the loop makes the events, so that waiting for one is no deadlock. Default: `true`. */
  readonly external?: boolean;
}

export interface EventStatistics {
  readonly capacity: number;
  /** Events that wait to be taken. */
  readonly buffered: number;
  /** Tasks that wait for an event. */
  readonly waiting: number;
  /** Events that came, dropped ones included. */
  readonly received: number;
  /** Events that the policy dropped. */
  readonly dropped: number;
}

/** The side of whoever makes the events. After the end none of it has an effect. */
export interface EventIntake<T> {
  push(event: T): void;
  /** No more will come: who takes gets what was kept, then the end. */
  end(): void;
  /** Like `end`, but with an error instead of the end. */
  fail(error: unknown): void;
}

/** Registers listeners that feed `intake`; returns the function that removes them. */
export type Attach<T> = (intake: EventIntake<T>) => () => void;

const DEFAULT_CAPACITY = 1024; // enough for a burst, small enough that a reader who never comes is noticed
const LEAST_TO_MOVE = 64; // a new array for less than that costs more than the empty places
const POLICIES: readonly unknown[] = ["error", "dropOldest", "dropNewest"] satisfies Overflow[];
const ENDED: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

/**
 * A subscription, as `on()` returns it. For a source of your own: `new EventSequence("ticks", attach, options)`.
 *
 * It belongs to the scope that made it and is closed when that ends.
 * @throws {UsageError} outside a coroutine.
 * @example
 * const resizes = new EventSequence<Size>("resizes", (intake) => {
 *   const observer = new ResizeObserver(([entry]) => intake.push(entry.contentRect));
 *   observer.observe(element);
 *   return () => observer.disconnect();
 * });
 */
export class EventSequence<T> implements Sequence<T> {
  readonly #buffer: EventBuffer<T>;

  constructor(what: string, attach: Attach<T>, options: EventSequenceOptions = {}) {
    const { capacity = DEFAULT_CAPACITY, overflow = "error", name = what, external = true } = options;
    if (capacity !== Infinity && !(Number.isInteger(capacity) && capacity > 0)) {
      throw new UsageError(`the capacity of ${what} must be a positive integer, got ${describeValue(capacity)}`);
    }
    if (!POLICIES.includes(overflow)) {
      throw new UsageError(
        `the overflow policy of ${what} must be one of ${POLICIES.join(", ")}, got ${describeValue(overflow)}`,
      );
    }
    this.#buffer = new EventBuffer<T>(name, capacity, overflow, external);
    const forget = closeWithScope(what, () => void this.close());
    try {
      this.#buffer.attachTo(attach, forget);
    } catch (error) {
      forget();
      throw error;
    }
  }

  /** Waits for the next event. Cancelling takes none. Ends when the sequence is closed or its source has no more. */
  next(): Operation<IteratorResult<T, undefined>> {
    return new NextEvent(this.#buffer);
  }

  /** Removes the listeners and drops what was kept; whoever waits gets the end. All by the call; the operation is done. */
  close(): Operation<void> {
    this.#buffer.close();
    return nothing();
  }

  [Symbol.dispose](): void {
    this.#buffer.close();
  }

  statistics(): EventStatistics {
    return this.#buffer.statistics();
  }
}

class EventBuffer<T> implements EventIntake<T> {
  readonly name: string;
  readonly external: boolean;
  readonly line = new WaitQueue<IteratorResult<T, undefined>, NextEvent<T>>();
  readonly #capacity: number;
  readonly #overflow: Overflow;
  #events: T[] = [];
  #taken = 0;
  #received = 0;
  #dropped = 0;
  #isOpen = true;
  #failure: { readonly error: unknown } | null = null;
  #detach: (() => void) | null = null;

  constructor(name: string, capacity: number, overflow: Overflow, external: boolean) {
    this.name = name;
    this.external = external;
    this.#capacity = capacity;
    this.#overflow = overflow;
  }

  get #size(): number {
    return this.#events.length - this.#taken;
  }

  attachTo(attach: Attach<T>, forget: () => void): void {
    const remove = attach(this);
    const detach = (): void => {
      forget();
      remove();
    };
    if (this.#isOpen) this.#detach = detach;
    else detach(); // it ended in the very call
  }

  push(event: T): void {
    if (!this.#isOpen) return;
    this.#received++;
    const waiting = this.line.shift();
    if (waiting !== null) {
      waiting.end({ done: false, value: event });
      return;
    }
    if (this.#size === this.#capacity) {
      if (this.#overflow === "error") {
        this.fail(new EventOverflowError(this.name, this.#capacity));
        return;
      }
      this.#dropped++;
      if (this.#overflow === "dropNewest") return;
      this.#shift();
    }
    this.#events.push(event);
  }

  // Also when a source cannot be left, its error goes to who made the call, and nobody waits for ever.
  end(): void {
    try {
      this.#stop();
    } finally {
      for (let waiting = this.line.shift(); waiting !== null; waiting = this.line.shift()) waiting.end(ENDED);
    }
  }

  fail(error: unknown): void {
    if (!this.#isOpen) return;
    this.#failure = { error };
    try {
      this.#stop();
    } finally {
      this.line.breakAll(error);
    }
  }

  close(): void {
    this.#events = [];
    this.#taken = 0;
    this.#failure = null;
    this.end();
  }

  /** Serves `wait` at once, or gives `null`. */
  serve(task: Waiter, wait: NextEvent<T>): Started<IteratorResult<T, undefined>> | null {
    if (this.#size > 0) return task.complete(wait, { done: false, value: this.#shift() });
    if (this.#failure !== null) return task.fail(wait, this.#failure.error);
    return this.#isOpen ? null : task.complete<IteratorResult<T, undefined>>(wait, ENDED);
  }

  statistics(): EventStatistics {
    return Object.freeze({
      capacity: this.#capacity,
      buffered: this.#size,
      waiting: this.line.size,
      received: this.#received,
      dropped: this.#dropped,
    });
  }

  #shift(): T {
    const events = this.#events;
    const event = events[this.#taken]!;
    events[this.#taken++] = undefined as T; // taken events must not be kept alive
    if (this.#taken === events.length) {
      events.length = 0;
      this.#taken = 0;
    } else if (this.#taken >= LEAST_TO_MOVE && this.#taken * 2 >= events.length) {
      this.#events = events.slice(this.#taken); // half of it is empty: one move for each event taken
      this.#taken = 0;
    }
    return event;
  }

  #stop(): void {
    this.#isOpen = false;
    const detach = this.#detach;
    this.#detach = null;
    detach?.();
  }
}

class NextEvent<T> extends QueuedWait<IteratorResult<T, undefined>> {
  readonly #buffer: EventBuffer<T>;

  constructor(buffer: EventBuffer<T>) {
    super(buffer.line);
    this.#buffer = buffer;
  }

  get reason(): string {
    return this.#buffer.name;
  }

  override get external(): boolean {
    return this.#buffer.external;
  }

  protected attempt(task: Waiter): Started<IteratorResult<T, undefined>> | null {
    return this.#buffer.serve(task, this);
  }
}
