/**
 * The hand-over between the one who reads the input and those who fetch: bounded, and it knows hosts.
 *
 * Whoever fetches gets the first item of the host whose turn it is. Hosts take turns, and one that is at its limit, whose pace
 * does not allow another one yet, or that has asked to be left alone for a while, is passed over. So N workers are N requests
 * under way, and one slow host does not keep the others waiting, as long as there are others within the `capacity` items read ahead.
 *
 * Invariants: at most `capacity` items wait here, retries and what was found on the way apart; at most `perHost` of one host and
 * `limit` in all are taken and not finished; an item is waiting, taken, or away until its next try; `take` ends when the input has
 * ended and no item is waiting or away.
 *
 * Rejected: waiting for the host's turn or pace inside the request (the session could do that): the workers would all stand in
 * line for one host, and the time in line would count as time of the request.
 */
import { EventLoop } from "fibril";
import type { Coroutine, Handle } from "fibril";
import { WaitQueue } from "fibril/lowlevel";
import { AdaptiveLimit } from "./limits/adaptive-limit.ts";
import { HostLine } from "./limits/host-line.ts";
import { Pace } from "./limits/pace.ts";

/** What the queue has to know of an item. */
export interface Queued {
  readonly origin: string;
}

export interface JobQueueOptions {
  /** Items read ahead. */
  readonly capacity: number;
  /** Items of one host that are taken at once. */
  readonly perHost: number;
  /** Items taken at once. Default: as many as there are takers. */
  readonly limit?: number;
  /** Items a second. Default: no limit. */
  readonly rate?: number;
  /** Items of one host a second. Default: no limit. */
  readonly ratePerHost?: number;
  /** Finds the limit of each host by its answers, up to `perHost` and this number. */
  readonly adaptive?: number | undefined;
}

/** What an item that is finished says about its host. */
export interface HostSign {
  /** Until the head of the answer; `null` when there was none. */
  readonly ms: number | null;
  /** When it was taken, on the loop's clock. */
  readonly startedAt: number;
  /** Whether the host was asked too much of. */
  readonly isOverload: boolean;
}

/** Idle hosts whose pace, strikes and limits are remembered. */
const MOST_IDLE_HOSTS = 5_000;

export class JobQueue<Item extends Queued> {
  readonly #options: JobQueueOptions;
  readonly #pace: Pace | null;
  readonly #hosts = new Map<string, HostLine<Item>>();
  readonly #idle = new Map<string, HostLine<Item>>();
  /** Hosts that have an item which may be taken, in order of turn. */
  readonly #turns = new Set<HostLine<Item>>();
  readonly #givers = new WaitQueue();
  readonly #takers = new WaitQueue();
  #nap: Handle | null = null;
  #limit: number;
  #isPaused = false;
  #taken = 0;
  #waiting = 0;
  #away = 0;
  #heldHosts = 0;
  #hasEnded = false;

  constructor(options: JobQueueOptions) {
    this.#options = options;
    this.#limit = options.limit ?? Infinity;
    this.#pace = options.rate === undefined || options.rate === Infinity ? null : new Pace(options.rate);
  }

  /** Items that nobody has taken yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Items that come back for another try. */
  get away(): number {
    return this.#away;
  }

  /** Items that are taken and not finished. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether somebody waits for an item. */
  get hasIdleTaker(): boolean {
    return this.#takers.size > 0;
  }

  /** Hosts that are left alone. */
  get heldHosts(): number {
    return this.#heldHosts;
  }

  /** Items that may be taken at once. */
  get limit(): number {
    return this.#limit;
  }

  set limit(limit: number) {
    this.#limit = limit;
    this.#wakeTakers();
  }

  /** While it is set nothing is given out; what was taken goes on. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    this.#wakeTakers();
  }

  /** The limits that were found for hosts that are known now, for the live view. */
  *foundLimits(): Generator<readonly [string, number], void> {
    for (const { origin, adaptive } of this.#hosts.values()) if (adaptive !== null) yield [origin, adaptive.limit];
    for (const { origin, adaptive } of this.#idle.values()) if (adaptive !== null) yield [origin, adaptive.limit];
  }

  /** Adds an item at the end of its host's line; waits while the queue is full. Cancelling adds nothing. */
  *put(item: Item): Coroutine<void> {
    while (this.#waiting >= this.#options.capacity)
      yield* this.#givers.park(`room among the ${this.#options.capacity} URLs read ahead`);
    this.#add(item);
  }

  /** As `put`, where there is room. */
  tryPut(item: Item): boolean {
    if (this.#waiting >= this.#options.capacity) return false;
    this.#add(item);
    return true;
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
      yield* this.#takers.park(this.#isPaused ? "the end of the pause" : "a URL to fetch");
    }
  }

  /** Gives the place at its host back. Every item that was taken is finished once for each time. */
  finished(item: Item, sign?: HostSign): void {
    const host = this.#hosts.get(item.origin)!;
    if (sign !== undefined) this.#learn(host, sign);
    host.taken--;
    this.#taken--;
    this.#reconsider(host);
    this.#wakeTakers();
  }

  /** Announces that a taken item will come back, or bring others. */
  leave(): void {
    this.#away++;
  }

  /** An item is back for another try. It does not wait for room: it was counted when it came first. */
  comeBack(item: Item): void {
    this.#away--;
    this.#add(item);
  }

  /** Who had left does not come back. */
  stayAway(): void {
    this.#away--;
    this.#wakeIfOver();
  }

  /** Adds what was found on the way, however full the queue is: who found it must not wait for others who wait as well. */
  add(item: Item): void {
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

  /**
   * The host of an item that is still taken asked for less: from now on it is tried carefully.
   * @returns how many times in a row it has; 0 when the request began before it last did, so that nothing new is known.
   */
  strike(origin: string, startedAt: number): number {
    const host = this.#hostOf(origin);
    if (startedAt < host.struckAt) return 0;
    host.struckAt = EventLoop.current().now();
    host.careful = Math.max(1, Math.floor(Math.min(host.careful, host.taken) / 2));
    return ++host.strikes;
  }

  /** Asks this host more slowly, if that is slower than it would be asked. */
  slowDown(origin: string, ratePerSecond: number): void {
    if (ratePerSecond < (this.#options.ratePerHost ?? Infinity)) this.#hostOf(origin).pace = new Pace(ratePerSecond);
  }

  /** Takes its timers away. What waits here waits for ever. */
  close(): void {
    this.#nap?.cancel();
    this.#nap = null;
    for (const host of this.#hosts.values()) host.nap?.cancel();
  }

  get #isOver(): boolean {
    return this.#hasEnded && this.#waiting === 0 && this.#away === 0;
  }

  #learn(host: HostLine<Item>, { ms, startedAt, isOverload }: HostSign): void {
    const now = EventLoop.current().now();
    if (isOverload) return host.adaptive?.overloaded(startedAt, now);
    if (ms === null) return;
    host.adaptive?.answered(ms, startedAt, host.taken, now);
    if (host.careful === Infinity || startedAt < host.struckAt) return;
    host.strikes = 0;
    host.careful += 1;
    if (host.careful >= Math.min(this.#options.perHost, this.#limit)) host.careful = Infinity;
  }

  #add(item: Item): void {
    const host = this.#hostOf(item.origin);
    host.push(item);
    this.#waiting++;
    this.#reconsider(host);
  }

  #next(): Item | undefined {
    if (this.#turns.size === 0 || !this.#mayGive()) return undefined;
    for (const host of this.#turns) {
      const item = host.shift();
      this.#waiting--;
      host.taken++;
      this.#taken++;
      this.#turns.delete(host); // the next turn is at the end of the line
      if (host.pace !== null) host.pace.take(EventLoop.current().now());
      this.#pace?.take(EventLoop.current().now());
      this.#reconsider(host);
      this.#givers.unpark(1);
      this.#wakeIfOver();
      this.#wakeTakers(); // each who takes wakes the next one, or sees to it that the pace does
      return item;
    }
    return undefined;
  }

  /** Whether anything may be given out at all; if only the pace forbids it, somebody is woken when it no longer does. */
  #mayGive(): boolean {
    if (this.#isPaused || this.#taken >= this.#limit) return false;
    if (this.#pace === null) return true;
    const loop = EventLoop.current();
    const restMs = this.#pace.nextAt - loop.now();
    if (restMs <= 0) return true;
    this.#nap ??= loop.callLater(restMs, () => {
      this.#nap = null;
      this.#wakeTakers();
    });
    return false;
  }

  #hostOf(origin: string): HostLine<Item> {
    let host = this.#hosts.get(origin);
    if (host !== undefined) return host;
    host = this.#idle.get(origin);
    if (host === undefined) {
      const { adaptive, perHost, ratePerHost = Infinity } = this.#options;
      const limit = adaptive === undefined ? null : new AdaptiveLimit(Math.min(adaptive, perHost));
      host = new HostLine(origin, ratePerHost, limit);
    } else this.#idle.delete(origin);
    this.#hosts.set(origin, host);
    return host;
  }

  #reconsider(host: HostLine<Item>): void {
    const mayTake = host.waiting > 0 && host.held === 0 && host.taken < Math.min(this.#options.perHost, host.limit);
    if (mayTake && this.#isRested(host)) {
      this.#turns.add(host);
      this.#takers.unpark(1);
      return;
    }
    this.#turns.delete(host);
    if (host.isIdle) this.#putAside(host);
  }

  /** Whether the host's pace allows another one; if not, it is looked at again when it does. */
  #isRested(host: HostLine<Item>): boolean {
    if (host.pace === null) return true;
    const loop = EventLoop.current();
    const restMs = host.pace.nextAt - loop.now();
    if (restMs <= 0) return true;
    host.nap ??= loop.callLater(restMs, () => {
      host.nap = null;
      this.#reconsider(host);
    });
    return false;
  }

  /** A program may visit a million hosts. */
  #putAside(host: HostLine<Item>): void {
    host.nap?.cancel();
    host.nap = null;
    this.#hosts.delete(host.origin);
    if (host.pace === null && host.adaptive === null && host.strikes === 0) return;
    if (host.isForgettable(EventLoop.current().now())) return;
    this.#idle.set(host.origin, host);
    if (this.#idle.size <= MOST_IDLE_HOSTS) return;
    for (const [oldest] of this.#idle) {
      this.#idle.delete(oldest);
      return;
    }
  }

  #wakeTakers(): void {
    if (this.#turns.size > 0 && this.#mayGive()) this.#takers.unpark(1);
  }

  #wakeIfOver(): void {
    if (this.#isOver) this.#takers.unpark(Infinity);
  }
}
