/**
 * A flag that tasks can wait for. Whoever waits when it is set goes on, also if it is cleared at once afterwards.
 */
import { QueuedWait, WaitQueue } from "../core/index.ts";
import type { Operation, Started, Waiter } from "../core/index.ts";
import { isExternal, nameIn, titleOf } from "./naming.ts";
import type { SignalOptions } from "./naming.ts";

export interface EventStatistics {
  readonly name: string;
  readonly isSet: boolean;
  /** How many tasks wait for it. */
  readonly waiting: number;
}

/**
 * @example
 * const ready = new Event({ name: "server ready" });
 * spawn(function* () { yield* ready.wait(); yield* ping() });
 * ready.set();
 */
export class Event {
  readonly name: string;
  /** Whether something outside the loop will set it. */
  readonly external: boolean;
  readonly #line: WaitQueue<void, EventWait> = new WaitQueue();
  #isSet = false;

  /** @throws {UsageError} when the options are none. */
  constructor(options: SignalOptions = {}) {
    this.name = nameIn("event", options);
    this.external = isExternal("event", options);
  }

  get isSet(): boolean {
    return this.#isSet;
  }

  /** Sets the flag and wakes all who wait; they run in the next turn, in the order in which they came. */
  set(): void {
    this.#isSet = true;
    this.#line.unpark(Infinity);
  }

  /** Takes the flag back. Who waits from now on waits for the next `set()`. */
  clear(): void {
    this.#isSet = false;
  }

  /**
   * Waits until it is set; goes on at once when it is. It may have been cleared again by the time that the task runs.
   * Cancelling leaves the event as it is.
   * @example
   * yield* event.wait();
   */
  wait(): Operation<void> {
    return new EventWait(this, this.#line);
  }

  statistics(): EventStatistics {
    return Object.freeze({ name: this.name, isSet: this.#isSet, waiting: this.#line.size });
  }
}

class EventWait extends QueuedWait<void> {
  private readonly event: Event;

  constructor(event: Event, line: WaitQueue<void, EventWait>) {
    super(line);
    this.event = event;
  }

  get reason(): string {
    return titleOf("event", this.event.name);
  }

  override get external(): boolean {
    return this.event.external;
  }

  protected attempt(task: Waiter): Started<void> | null {
    return this.event.isSet ? task.complete(this, undefined) : null;
  }
}
