/**
 * What can go wrong at the borders to promises, events and streams.
 */
import { FibrilError } from "../core/index.ts";

/** More events came than the sequence may hold, and its policy was `"error"`. Code: `EVENT_OVERFLOW`. */
export class EventOverflowError extends FibrilError {
  /** How many events the sequence may hold. */
  readonly capacity: number;

  constructor(name: string, capacity: number) {
    super(
      "EVENT_OVERFLOW",
      `${name}: ${capacity} are waiting and one more came, so the subscription has ended; ` +
        'take them faster, raise `capacity`, or choose `overflow: "dropOldest"` or `"dropNewest"`',
    );
    this.capacity = capacity;
  }
}
