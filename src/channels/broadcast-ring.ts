/**
 * The last values of a broadcast, and how many subscriptions still have to read each of them.
 *
 * A position is the number of a value since the broadcast was made; a subscription is one position. A value is let go of
 * when its last reader has read it, so a ring that everybody has read keeps nothing alive.
 */
export class BroadcastRing<T> {
  readonly capacity: number;
  /** The position that the next value gets. */
  head = 0;
  // They grow up to the capacity as values come, so a large capacity that is never used costs nothing.
  private readonly values: (T | undefined)[] = [];
  private readonly unread: number[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** The first position that is still there. */
  get oldest(): number {
    return this.head > this.capacity ? this.head - this.capacity : 0;
  }

  /** Whether the next value overwrites none that somebody has to read. */
  get hasRoom(): boolean {
    return this.head < this.capacity || this.unread[this.head % this.capacity] === 0;
  }

  push(value: T, readers: number): void {
    const index = this.head % this.capacity;
    this.values[index] = readers > 0 ? value : undefined;
    this.unread[index] = readers;
    this.head++;
  }

  /** Reads for one of its readers. The position must be there. */
  read(position: number): T {
    const index = position % this.capacity;
    const value = this.values[index] as T;
    if (--this.unread[index]! === 0) this.values[index] = undefined;
    return value;
  }

  /** A reader that stood at `position` reads no more. */
  leave(position: number): void {
    for (let at = Math.max(position, this.oldest); at < this.head; at++) this.read(at);
  }
}
