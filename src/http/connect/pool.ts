/**
 * The connections of one session.
 *
 * A connection is leased to one transfer, idle, or closed, and never two of these. The line in front (see `line.ts`)
 * decides who may have one; each place inside the line has exactly one lease. So `leased + idle <= limit`: when a new
 * connection is needed and idle ones to other hosts use up the limit, the one that has been idle longest is closed.
 *
 * The idle connection that was used last goes first: it is the least likely to have been closed by the server.
 */
import type { LoopPort, Runnable } from "../../lowlevel.ts";
import { LineAlarm } from "../queue/line-alarm.ts";
import { Line } from "../queue/line.ts";
import type { LineLimits, QueueCause } from "../queue/line.ts";
import type { PausedHost, QueueStatistics } from "../queue/options.ts";
import { Connection, Host } from "./connection.ts";
import type { Lessee, StandingSocket } from "./connection.ts";
import { Dialer } from "./dialer.ts";
import type { ConnectSettings } from "./options.ts";
import { Sharing } from "./sharing.ts";
import type { UndiciModule } from "./undici.ts";

const FORGET_AT = 256;

export interface PoolStatistics extends QueueStatistics {
  readonly active: number;
  readonly queued: number;
  readonly connecting: number;
  readonly idle: number;
  readonly hosts: number;
}

const DEFAULT_KEEP_ALIVE_MS = 4000; // as undici

export class ConnectionPool {
  readonly undici: UndiciModule;
  readonly line: Line;
  readonly dialer: Dialer;
  readonly #loop: LoopPort;
  readonly #settings: ConnectSettings;
  /** Whether connections are closed for other reasons than that they were idle. */
  readonly #ends: boolean;
  readonly #hosts: Map<string, Host> = new Map();
  /** All that are not closed yet. */
  readonly #connections: Set<Connection> = new Set();
  /** How many more are being made, to be shared. */
  #opening = 0;
  #idle = 0;
  #givenBack = 0;
  /** Being closed. */
  readonly #closing: Set<Promise<void>> = new Set();
  readonly #admission: Runnable = { run: () => this.#admitNow() };
  #isAdmissionSet = false;
  /** How many hosts there may be before it looks for those that can be forgotten. */
  #forgetAt = FORGET_AT;
  #isClosed = false;

  constructor(loop: LoopPort, undici: UndiciModule, settings: ConnectSettings, limits: LineLimits) {
    this.#loop = loop;
    this.undici = undici;
    this.line = new Line(limits, new LineAlarm(loop, () => this.line.timeCame()));
    this.dialer = new Dialer(loop, settings);
    this.#settings = settings;
    const { keepAliveMs, maxIdle, maxIdlePerHost, maxAgeMs, maxRequests } = settings;
    this.#ends = keepAliveMs === 0 || Math.min(maxIdle, maxIdlePerHost, maxAgeMs, maxRequests) < Infinity;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  statistics(): PoolStatistics {
    let connecting = 0;
    for (const connection of this.#connections) if (connection.isConnecting) connecting++;
    if (this.#settings.http2) for (const { sharing } of this.#hosts.values()) connecting += sharing?.waiters.size ?? 0;
    return {
      active: this.line.inside,
      queued: this.line.waiting,
      connecting,
      idle: this.#idle,
      hosts: this.#hosts.size,
      ...this.#queueStatistics(),
    };
  }

  #queueStatistics(): QueueStatistics {
    const { line } = this;
    const now = this.#loop.now();
    const paused: PausedHost[] = [];
    const queuedBy: Record<QueueCause, number> = { limit: 0, limitPerHost: 0, rate: 0, ratePerHost: 0, paused: 0 };
    for (const host of this.#hosts.values()) {
      const { origin, waiting, pausedUntil, pauseCause: cause } = host;
      if (waiting > 0) queuedBy[line.causeFor(host)] += waiting;
      if (pausedUntil > now) paused.push(Object.freeze({ origin, remainingMs: pausedUntil - now, cause, waiting }));
    }
    const { limit, limitPerHost } = line;
    return { limit, limitPerHost, paused: Object.freeze(paused), queuedBy: Object.freeze(queuedBy) };
  }

  /** Lets no request go to the host for `ms` milliseconds from now; those that wait stay in line. */
  pause(origin: string, ms: number, cause = "by Retry-After"): void {
    if (this.#isClosed || ms <= 0) return;
    this.line.pause(this.hostOf(origin), this.#loop.now() + ms, cause);
  }

  /** Ends a pause. */
  unpause(origin: string): void {
    const host = this.#hosts.get(origin);
    if (host === undefined) return;
    this.line.resume(host);
    this.admitSoon();
    this.forget(host);
  }

  setLimits(limits: LineLimits): void {
    this.line.setLimits(limits, this.#hosts.values());
    while (this.#connections.size > limits.limit && this.#idle > 0) this.#closeLongestIdle();
    this.admitSoon();
  }

  /** The origin of a host that is known, as it was resolved. */
  readonly canonicalOrigin = (origin: string): string | undefined => this.#hosts.get(origin)?.origin;

  hostOf(origin: string): Host {
    let host = this.#hosts.get(origin);
    if (host === undefined) {
      if (this.#hosts.size >= this.#forgetAt) this.#forgetAll();
      host = this.#newHost(origin);
      this.#hosts.set(origin, host);
    }
    return host;
  }

  #newHost(origin: string): Host {
    const host = new Host(origin);
    const { proxy, http2 } = this.#settings;
    if (http2 && origin.startsWith("https:")) host.sharing = new Sharing(host, this);
    if (proxy !== null && origin.startsWith("http:")) {
      const used = this.dialer.proxyFor(host.target);
      if (used?.kind === "http" || used?.kind === "https") host.forward = used;
    }
    return host;
  }

  /** Forgets a host that nothing is left of: a program may visit a million of them. */
  forget(host: Host): void {
    if (host.idle.length > 0 || host.leased > 0 || host.sharing?.isEmpty === false || !this.line.isBlank(host)) return;
    if (this.#hosts.get(host.origin) === host) this.#hosts.delete(host.origin);
  }

  /** A pause or a rate keeps a host in mind for a while after its last request; nobody calls when that is over. */
  #forgetAll(): void {
    for (const host of [...this.#hosts.values()]) this.forget(host);
    this.#forgetAt = Math.max(FORGET_AT, this.#hosts.size * 2); // so that it costs O(1) for each new host
  }

  /** Lets others in, in the next turn: whoever is being cancelled together with the one who left has left by then, too. */
  admitSoon(): void {
    if (this.#isAdmissionSet || this.line.waiting === 0) return;
    this.#isAdmissionSet = true;
    this.#loop.enqueue(this.#admission);
  }

  #admitNow(): void {
    this.#isAdmissionSet = false;
    this.line.admit();
  }

  /**
   * A connection to the host: the one that was used last, or a new one, whose socket is made when it is needed. `null`: one is being made
   * that may be shared, and the lessee is called. Whoever has leased gives back or abandons, once.
   */
  lease(lessee: Lessee, host: Host): Connection | null {
    if (host.sharing !== null) {
      host.leased++;
      return host.sharing.lease(lessee);
    }
    let idle = host.idle.pop();
    while (idle !== undefined && this.#ends && this.#isTooOld(idle)) {
      this.#close(idle);
      this.#idle--;
      idle = host.idle.pop();
    }
    if (idle === undefined) return this.leaseNew(lessee, host);
    this.#idle--;
    idle.lessee = lessee;
    host.leased++;
    return idle;
  }

  leaseNew(lessee: Lessee, host: Host): Connection {
    host.leased++;
    return this.leaseOwn(lessee, host, null);
  }

  /** @internal */
  leaseOwn(lessee: Lessee, host: Host, standing: StandingSocket | null): Connection {
    this.#makeRoom();
    const connection = new Connection(host, this, standing);
    this.#connections.add(connection);
    connection.lessee = lessee;
    return connection;
  }

  /** Takes back a connection whose exchange is complete. */
  giveBack(connection: Connection, lessee: Lessee): void {
    const { host } = connection;
    if (connection.lessees !== null) return this.abandon(connection, lessee, host);
    connection.lessee = null;
    connection.served++;
    host.leased--;
    const isOver = this.#isClosed || this.#connections.size > this.line.limit; // after a limit was lowered
    if (isOver || (this.#ends && !this.#isWorthKeeping(connection))) return this.discard(connection);
    connection.givenBack = ++this.#givenBack;
    host.idle.push(connection);
    this.#idle++;
    if (this.#ends) this.#trim(host);
  }

  /**
   * Ends a lease whose exchange is not complete: the connection cannot be used again, unless others share it.
   * @param connection `null` when the lessee still waits for it.
   */
  abandon(connection: Connection | null, lessee: Lessee, host: Host): void {
    if (connection === null || connection.lessees !== null) {
      host.leased--;
      (connection === null ? host : connection).sharing?.left(connection, lessee);
    } else if (connection.lessee === lessee) this.discard(connection);
  }

  /** Closes a connection, leased or idle. */
  discard(connection: Connection): void {
    if (!this.#connections.has(connection)) return;
    const { host } = connection;
    if (connection.lessee !== null) {
      connection.lessee = null;
      host.leased--;
    } else if (connection.lessees !== null) {
      connection.sharing!.retire(connection);
      if (connection.isCountedIdle) this.#idle--;
    } else {
      const index = host.idle.indexOf(connection);
      if (index !== -1) {
        host.idle.splice(index, 1);
        this.#idle--;
      }
    }
    this.#close(connection);
    this.forget(host);
  }

  #close(connection: Connection): void {
    this.#connections.delete(connection);
    this.untilGone(connection.close());
  }

  // What ends a connection

  #isWorthKeeping(connection: Connection): boolean {
    const { keepAliveMs, maxRequests, maxIdle, maxIdlePerHost } = this.#settings;
    if (keepAliveMs === 0 || maxIdle === 0 || maxIdlePerHost === 0) return false;
    return connection.served < maxRequests && !this.#isTooOld(connection);
  }

  #isTooOld(connection: Connection): boolean {
    const { maxAgeMs } = this.#settings;
    return maxAgeMs !== Infinity && this.#loop.now() - connection.connectedAt >= maxAgeMs;
  }

  #trim(host: Host): void {
    const { maxIdle, maxIdlePerHost } = this.#settings;
    if (host.idle.length > maxIdlePerHost) this.discard(host.idle[0]!);
    if (this.#idle > maxIdle) this.#closeLongestIdle();
  }

  #makeRoom(): void {
    if (this.#connections.size + this.#opening >= this.line.limit) this.#closeLongestIdle();
  }

  /** Looks through all, which is nothing against the new connection that it makes room for. */
  #closeLongestIdle(): void {
    let longest: Connection | null = null;
    for (const connection of this.#connections) {
      if (connection.isIdle && (longest === null || connection.givenBack < longest.givenBack)) longest = connection;
    }
    if (longest !== null) this.discard(longest);
  }

  // Connections that many share

  /** @internal */
  opening(): void {
    this.#makeRoom();
    this.#opening++;
  }

  /** @internal */
  opened(): void {
    this.#opening--;
  }

  /** @internal */
  add(connection: Connection): void {
    this.#connections.add(connection);
  }

  /** @internal */
  becameBusy(connection: Connection): void {
    if (!connection.isCountedIdle) return;
    connection.isCountedIdle = false;
    this.#idle--;
  }

  /** @internal */
  becameIdle(connection: Connection): void {
    const { keepAliveMs = DEFAULT_KEEP_ALIVE_MS } = this.#settings;
    if (this.#isClosed || (this.#ends && !this.#isWorthKeeping(connection))) return this.discard(connection);
    connection.givenBack = ++this.#givenBack;
    connection.isCountedIdle = true;
    this.#idle++;
    connection.http2!.closeAfter(keepAliveMs);
    if (this.#ends) this.#trim(connection.host);
  }

  /** @internal */
  untilGone(gone: Promise<void>): void {
    const closing = gone.then(() => void this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Ends every transfer and closes every connection; resolves when the last socket is gone. May be called again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const host of [...this.#hosts.values()]) {
      for (let place = host.first; place !== null; place = host.first) (place as Lessee).sessionClosed();
    }
    for (const { sharing } of [...this.#hosts.values()]) {
      if (sharing !== null) for (const lessee of [...sharing.waiters]) lessee.sessionClosed();
    }
    for (const connection of [...this.#connections]) {
      connection.lessee?.sessionClosed();
      if (connection.lessees !== null) for (const lessee of [...connection.lessees]) lessee.sessionClosed();
      this.discard(connection);
    }
    this.#hosts.clear();
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }
}
