/**
 * The hand-over between the one who reads the input and those who fetch: bounded, and it knows hosts.
 *
 * Whoever fetches gets the first item of the host whose turn it is. Hosts take turns, and one that is at its limit, or has
 * asked to be left alone for a while, is passed over. So N workers are N requests under way, and one slow host does not
 * keep the others waiting, as long as there are others within the `capacity` items read ahead.
 *
 * Invariants: at most `capacity` items wait here, and at most `perHost` of one host are taken and not finished; an item is
 * waiting, taken, or away until its next try; `take` ends when the input has ended and no item is waiting or away.
 *
 * Rejected: waiting for the host's turn inside the request (the session could do that): the workers would all stand in
 * line for one host, and the time in line would count as time of the request.
 */
import { WaitQueue } from "fibril/lowlevel";
import type { Coroutine } from "fibril";

/** What the queue has to know of an item. */
export interface Queued {
  readonly origin: string;
}

interface Host<Item> {
  readonly origin: string;
  readonly waiting: Item[];
  taken: number;
  held: number;
}

export class JobQueue<Item extends Queued> {
  readonly #capacity: number;
  readonly #perHost: number;
  readonly #hosts = new Map<string, Host<Item>>();
  /** Hosts that have an item which may be taken, in order of turn. */
  readonly #turns = new Set<Host<Item>>();
  readonly #givers = new WaitQueue();
  readonly #takers = new WaitQueue();
  #waiting = 0;
  #away = 0;
  #heldHosts = 0;
  #hasEnded = false;

  constructor(options: { readonly capacity: number; readonly perHost: number }) {
    this.#capacity = options.capacity;
    this.#perHost = options.perHost;
  }

  /** Items that nobody has taken yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Items that come back for another try. */
  get away(): number {
    return this.#away;
  }

  /** Hosts that are left alone. */
  get heldHosts(): number {
    return this.#heldHosts;
  }

  /** Adds an item at the end of its host's line; waits while the queue is full. Cancelling adds nothing. */
  *put(item: Item): Coroutine<void> {
    while (this.#waiting >= this.#capacity)
      yield* this.#givers.park(`room among the ${this.#capacity} URLs read ahead`);
    this.#add(item);
  }

  /** No further item will be put. */
  end(): void {
    this.#hasEnded = true;
    this.#wakeIfOver();
  }

  /** Takes the next item that may be fetched now; `undefined` when there will be none any more. Cancelling takes nothing. */
  *take(): Coroutine<Item | undefined> {
    while (true) {
      const item = this.#next();
      if (item !== undefined) return item;
      if (this.#isOver) return undefined;
      yield* this.#takers.park("a URL to fetch");
    }
  }

  /** Gives the place at its host back. Every item that was taken is finished once for each time. */
  finished(item: Item): void {
    const host = this.#hosts.get(item.origin)!;
    host.taken--;
    this.#reconsider(host);
  }

  /** Announces that a taken item will come back. */
  leave(): void {
    this.#away++;
  }

  /** An item is back for another try. It does not wait for room: it was counted when it came first. */
  comeBack(item: Item): void {
    this.#away--;
    this.#add(item);
  }

  /** Gives no item of this host any more until `release` was called as often. */
  hold(origin: string): void {
    const host = this.#hostOf(origin);
    if (host.held++ === 0) this.#heldHosts++;
    this.#reconsider(host);
  }

  release(origin: string): void {
    const host = this.#hosts.get(origin)!;
    if (--host.held === 0) this.#heldHosts--;
    this.#reconsider(host);
  }

  get #isOver(): boolean {
    return this.#hasEnded && this.#waiting === 0 && this.#away === 0;
  }

  #add(item: Item): void {
    const host = this.#hostOf(item.origin);
    host.waiting.push(item);
    this.#waiting++;
    this.#reconsider(host);
  }

  #next(): Item | undefined {
    for (const host of this.#turns) {
      const item = host.waiting.shift()!;
      this.#waiting--;
      host.taken++;
      this.#turns.delete(host); // the next turn is at the end of the line
      this.#reconsider(host);
      this.#givers.unpark(1);
      this.#wakeIfOver();
      return item;
    }
    return undefined;
  }

  #hostOf(origin: string): Host<Item> {
    let host = this.#hosts.get(origin);
    if (host === undefined) this.#hosts.set(origin, (host = { origin, waiting: [], taken: 0, held: 0 }));
    return host;
  }

  #reconsider(host: Host<Item>): void {
    const { waiting, taken, held } = host;
    if (waiting.length > 0 && taken < this.#perHost && held === 0) {
      this.#turns.add(host);
      this.#takers.unpark(1);
    } else {
      this.#turns.delete(host);
      // A program may visit a million hosts.
      if (waiting.length === 0 && taken === 0 && held === 0) this.#hosts.delete(host.origin);
    }
  }

  #wakeIfOver(): void {
    if (this.#isOver) this.#takers.unpark(Infinity);
  }
}
