/**
 * One connection, the host that it leads to, and who uses it.
 *
 * Over HTTP/1.1 a connection has one lessee at a time, and is an undici client with at most one socket: the client asks for the socket when
 * it has something to send. Over HTTP/2 it is shared by many lessees, and stands from the beginning (see `sharing.ts`).
 */
import type { Socket } from "node:net";
import { LineHost } from "../queue/line.ts";
import type { Place } from "../queue/line.ts";
import type { ConnectionFacts, Dial, DialTarget } from "./dial.ts";
import type { Dialer } from "./dialer.ts";
import type { ExchangeClient, ExchangeHandler } from "./exchange.ts";
import type { Http2Client } from "./http2.ts";
import type { Proxy } from "./proxy.ts";
import { createClient } from "./undici.ts";
import type { ConnectCallback, UndiciModule } from "./undici.ts";

/** Who uses a connection. */
export interface Lessee extends ExchangeHandler, Place {
  /** What `lease` could not give at once. Called once of the two, unless the lease is abandoned. */
  leaseReady(connection: Connection): void;
  /** @param error What the attempt to connect failed with. */
  leaseFailed(error: unknown): void;
  /** The session closes: end, and free what is held. */
  sessionClosed(): void;
}

/** The connections to a host that many share, if it speaks HTTP/2. */
export interface HostSharing {
  /** Those who wait for a connection that is being made. */
  readonly waiters: ReadonlySet<Lessee>;
  /** No connection, and none being made. */
  readonly isEmpty: boolean;
  lease(lessee: Lessee): Connection | null;
  /** The lessee has left the connection, or the line for one. */
  left(connection: Connection | null, lessee: Lessee): void;
  /** The connection takes no further lessee. */
  retire(connection: Connection): void;
}

export class Host extends LineHost {
  readonly origin: string;
  /** Longest idle first; only those that are not shared. */
  readonly idle: Connection[] = [];
  /** How many hold a connection, or wait for one that is being made. */
  leased = 0;
  /** The proxy that requests are sent to as they are, with absolute URLs. */
  forward: Proxy | null = null;
  /** `null` when the host does not speak HTTP/2, or nobody asked for that. */
  sharing: HostSharing | null = null;
  #target: DialTarget | null = null;

  constructor(origin: string) {
    super();
    this.origin = origin;
  }

  get target(): DialTarget {
    return (this.#target ??= targetOf(this.origin));
  }
}

function targetOf(origin: string): DialTarget {
  const { protocol, hostname, port } = new URL(origin);
  const isEncrypted = protocol === "https:";
  return {
    isEncrypted,
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (isEncrypted ? 443 : 80) : Number(port),
  };
}

/** A socket that stands, and was made before it was known who gets it. */
export interface StandingSocket {
  readonly socket: Socket;
  readonly facts: ConnectionFacts;
}

/** What a connection needs of its pool. */
export interface ConnectionOwner {
  readonly undici: UndiciModule;
  readonly dialer: Dialer;
  discard(connection: Connection): void;
}

export class Connection {
  readonly host: Host;
  readonly client: ExchangeClient;
  /** The one who uses it; always `null` when it is shared. */
  lessee: Lessee | null = null;
  /** Those who use it, when it is shared. */
  readonly lessees: Set<Lessee> | null;
  /** Where it is one of those that many share. */
  sharing: HostSharing | null = null;
  /** HTTP/2. */
  readonly http2: Http2Client | null;
  /** How many requests its present socket has served; when it is shared, has taken before this one. */
  served = 0;
  /** How many requests it was given to, when it is shared. */
  givenTo = 0;
  /** Grows with each one that is given back: the lowest has been idle longest. 0: it never was. */
  givenBack = 0;
  /** Kept by the pool, for one that is shared. */
  isCountedIdle = false;
  /** Why the last attempt to connect failed. */
  connectError: unknown = null;
  /** How its present socket came about; `null` before it stands. */
  facts: ConnectionFacts | null = null;
  /** When, on the loop's clock. */
  connectedAt: number = Infinity;
  readonly #dialer: Dialer;
  #dial: Dial | null = null;
  #standing: StandingSocket | null = null;
  #isClosed = false;

  /** @param standing The socket to use, when there is one already. */
  constructor(
    host: Host,
    owner: ConnectionOwner,
    standing: StandingSocket | null = null,
    http2: Http2Client | null = null,
  ) {
    this.host = host;
    this.http2 = http2;
    this.#dialer = owner.dialer;
    if (standing !== null) this.#stands(standing.facts);
    if (http2 !== null) {
      this.client = http2;
      this.lessees = new Set();
      return;
    }
    this.lessees = null;
    this.#standing = standing;
    const { keepAliveMs } = owner.dialer.settings;
    const client = createClient(owner.undici, host.origin, keepAliveMs, (options, callback) =>
      this.#connect(options.servername, callback),
    );
    client.on("disconnect", () => {
      // Undici would connect again for the next request; a new client is as cheap, and nothing dead stays in the list.
      if (this.lessee === null) owner.discard(this);
    });
    client.on("error", ((error: unknown) => this.lessee?.onResponseError(null, error as Error)) as never);
    this.client = client;
  }

  get isConnecting(): boolean {
    return this.#dial !== null;
  }

  get isIdle(): boolean {
    return this.lessee === null && (this.lessees === null || this.lessees.size === 0);
  }

  /** @param servername From a `host` header of the request. */
  #connect(servername: string | null, callback: ConnectCallback): void {
    this.connectError = null;
    this.served = 0;
    if (this.#standing !== null && !servername) {
      void this.#handOver(callback);
      return;
    }
    this.#standing?.socket.destroy(); // it was made for another name
    this.#standing = null;
    this.facts = null;
    const order = { target: this.host.target, servername: servername || null, offersHttp2: false };
    this.#dial = this.#dialer.dial(order, (error, socket, facts) => {
      this.#dial = null;
      this.connectError = error;
      if (facts !== null) this.#stands(facts);
      callback(error, socket);
    });
  }

  /** In the next microtask, because undici does not expect it inside the call; no event of the socket can come before that. */
  async #handOver(callback: ConnectCallback): Promise<void> {
    await Promise.resolve();
    const standing = this.#standing;
    if (standing === null || this.#isClosed) return;
    this.#standing = null;
    callback(null, standing.socket);
  }

  #stands(facts: ConnectionFacts): void {
    this.facts = facts;
    this.connectedAt = this.#dialer.loop.now();
  }

  /** Closes it in whatever state; resolves when its socket is gone. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const isGone = this.client.destroy(CLOSED);
    // Undici does not know these yet.
    if (this.#dial !== null) await this.#dial.cancel();
    this.#dial = null;
    if (this.#standing !== null) await closeSocket(this.#standing.socket);
    await isGone;
  }
}

// One object for all: making an error costs 5 µs, and nobody gets to see this one.
const CLOSED = new Error("the connection was closed by its session");

/** Resolves when the socket is gone. */
export function closeSocket(socket: Socket): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.destroy();
  });
}
