/**
 * What the ends of one channel share: the hand-over, and how many ends are open on each side.
 *
 * The counts only fall to zero once: a clone is made from an open end. A channel whose last sender was closed has ended; one
 * whose last receiver was closed refuses.
 */
import { titleOf } from "./capacity.ts";
import type { FeedOptions } from "./capacity.ts";
import { Handover } from "./handover.ts";
import { FifoStore } from "./fifo-store.ts";
import { refuseAll } from "./put.ts";
import type { Sink } from "./put.ts";
import { finishAll } from "./take.ts";
import type { Source } from "./take.ts";

/** A snapshot. */
export interface ChannelStatistics {
  readonly name: string;
  readonly capacity: number;
  /** Values that were sent and not received yet. */
  readonly buffered: number;
  /** Values that were sent, ever. */
  readonly sent: number;
  readonly openSenders: number;
  readonly openReceivers: number;
  /** Tasks that wait to send. */
  readonly waitingSenders: number;
  /** Tasks that wait to receive. */
  readonly waitingReceivers: number;
}

export class ChannelState<T> extends Handover<T> {
  readonly name: string;
  readonly label: string;
  readonly external: boolean;
  openSenders = 1;
  openReceivers = 1;
  private readonly onUndelivered: ((values: T[]) => void) | undefined;

  constructor(
    { name, external }: Required<FeedOptions>,
    capacity: number,
    onUndelivered: ((values: T[]) => void) | undefined,
  ) {
    super(capacity, new FifoStore<T>());
    this.name = name;
    this.external = external;
    this.label = titleOf("channel", name);
    this.onUndelivered = onUndelivered;
  }

  senderClosed(sender: Sink<T>): void {
    if (this.openSenders === 0) return; // the whole channel was closed before
    refuseAll(this.putters, sender);
    this.openSenders--;
    if (this.openSenders === 0) finishAll(this.takers, null);
  }

  /** Closes every sender there is. */
  close(): void {
    if (this.openSenders === 0) return;
    this.openSenders = 0;
    refuseAll(this.putters, null);
    finishAll(this.takers, null);
  }

  receiverClosed(receiver: Source<T>): void {
    finishAll(this.takers, receiver);
    this.openReceivers--;
    if (this.openReceivers > 0) return;
    refuseAll(this.putters, null);
    // User code, so last: whatever it does or throws, the channel is closed.
    if (this.onUndelivered !== undefined && this.store.size > 0) this.onUndelivered(this.empty());
  }

  statistics(): ChannelStatistics {
    return Object.freeze({
      name: this.name,
      capacity: this.capacity,
      buffered: this.store.size,
      sent: this.accepted,
      openSenders: this.openSenders,
      openReceivers: this.openReceivers,
      waitingSenders: this.putters.size,
      waitingReceivers: this.takers.size,
    });
  }
}
