/**
 * What can go wrong with channels. A channel, a broadcast and a watch close; a queue is shut down.
 */
import { FibrilError } from "../core/index.ts";

/** It was closed, or the last one on the other side was: nothing more can be sent or received. Code: `CHANNEL_CLOSED`. */
export class ChannelClosedError extends FibrilError {
  /** @param what What was tried: `receive from channel "jobs"`. */
  constructor(what: string, why: string) {
    super("CHANNEL_CLOSED", `cannot ${what}: ${why}`);
  }
}

/** The queue was shut down, and for a getter it is empty. Code: `QUEUE_SHUT_DOWN`. */
export class QueueShutDownError extends FibrilError {
  constructor(what: string, why: string) {
    super("QUEUE_SHUT_DOWN", `cannot ${what}: ${why}`);
  }
}

/** A subscription was too slow and has missed values; the next receive goes on with the oldest one left. Code: `LAGGED`. */
export class LaggedError extends FibrilError {
  /** How many values it has missed since it received the last one. */
  readonly missed: number;

  constructor(subscription: string, missed: number, capacity: number) {
    super(
      "LAGGED",
      `${subscription} has missed ${missed} value(s): it was more than ${capacity} behind. Receive again to go on with the ` +
        'oldest one left; receive faster, raise the capacity, or choose `onLag: "dropOldest"` or `"wait"`',
    );
    this.missed = missed;
  }
}
