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
import { Line } from "../queue/line.ts";
import type { LineHost, Place } from "../queue/line.ts";
import { createClient, createConnector } from "./undici.ts";
import type {
  ConnectCallback,
  Connector,
  ConnectionSocket,
  ExchangeHandler,
  UndiciClient,
  UndiciModule,
} from "./undici.ts";

/** Who uses a connection. */
export interface Lessee extends ExchangeHandler, Place {
  /** The session closes: end, and free what is held. */
  sessionClosed(): void;
}

export interface Host extends LineHost {
  readonly origin: string;
  /** Longest idle first. */
  readonly idle: Connection[];
  leased: number;
}

/** One undici client with at most one socket and at most one request. */
export class Connection {
  readonly host: Host;
  readonly client: UndiciClient;
  lessee: Lessee | null = null;
  /** How many requests its present socket has served. */
  served = 0;
  /** Grows with each one that is given back: the lowest has been idle longest. */
  givenBack = 0;
  /** Why the last attempt to connect failed. */
  connectError: unknown = null;
  #connecting: ConnectionSocket | null = null;
  #isClosed = false;

  constructor(host: Host, pool: ConnectionPool, connector: Connector) {
    this.host = host;
    this.client = createClient(pool.undici, host.origin, (options, callback) =>
      this.#connect(connector, options, callback),
    );
    this.client.on("disconnect", () => {
      // Undici would connect again for the next request; a new client is as cheap, and nothing dead stays in the list.
      if (this.lessee === null) pool.discard(this);
    });
    this.client.on("error", ((error: unknown) => this.lessee?.onResponseError(null, error as Error)) as never);
  }

  get isConnecting(): boolean {
    return this.#connecting !== null;
  }

  #connect(connector: Connector, options: object, callback: ConnectCallback): void {
    this.connectError = null;
    this.served = 0;
    const connected: ConnectCallback = (error, socket) => {
      this.#connecting = null;
      this.connectError = error;
      callback(error, socket);
    };
    try {
      this.#connecting = connector(options, connected) as ConnectionSocket;
    } catch (error) {
      connected(error as Error, null); // TLS options that Node refuses
    }
  }

  /** Closes it in whatever state; resolves when its socket is gone. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const socket = this.#connecting;
    const isGone = this.client.destroy(CLOSED);
    if (socket !== null && socket.closed !== true) {
      // Undici does not know this socket yet, so it would let it connect first.
      const gone = new Promise<void>((resolve) => void socket.once("close", resolve));
      socket.destroy(CLOSED);
      await gone;
    }
    await isGone;
  }
}

// One object for all: making an error costs 5 µs, and nobody gets to see this one.
const CLOSED = new Error("the connection was closed by its session");

export interface PoolStatistics {
  readonly active: number;
  readonly queued: number;
  readonly connecting: number;
  readonly idle: number;
  readonly hosts: number;
}

export class ConnectionPool {
  readonly undici: UndiciModule;
  readonly line: Line;
  readonly #loop: LoopPort;
  readonly #connector: Connector;
  readonly #hosts: Map<string, Host> = new Map();
  /** All that are not closed yet. */
  readonly #connections: Set<Connection> = new Set();
  #idle = 0;
  #givenBack = 0;
  /** Being closed. */
  readonly #closing: Set<Promise<void>> = new Set();
  readonly #admission: Runnable = { run: () => this.#admitNow() };
  #isAdmissionSet = false;
  #isClosed = false;

  constructor(
    loop: LoopPort,
    undici: UndiciModule,
    tls: Readonly<Record<string, unknown>> | undefined,
    limit: number,
    limitPerHost: number,
  ) {
    this.#loop = loop;
    this.undici = undici;
    this.line = new Line(limit, limitPerHost);
    this.#connector = createConnector(undici, tls);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  statistics(): PoolStatistics {
    let connecting = 0;
    for (const connection of this.#connections) if (connection.isConnecting) connecting++;
    return {
      active: this.line.inside,
      queued: this.line.waiting,
      connecting,
      idle: this.#idle,
      hosts: this.#hosts.size,
    };
  }

  /** The origin of a host that is known, as it was resolved. */
  readonly canonicalOrigin = (origin: string): string | undefined => this.#hosts.get(origin)?.origin;

  hostOf(origin: string): Host {
    let host = this.#hosts.get(origin);
    if (host === undefined) {
      host = { origin, idle: [], leased: 0, inside: 0, first: null, last: null, heapIndex: -1 };
      this.#hosts.set(origin, host);
    }
    return host;
  }

  /** Forgets a host that nothing is left of: a program may visit a million of them. */
  forget(host: Host): void {
    if (host.inside === 0 && host.first === null && host.idle.length === 0 && host.leased === 0) {
      if (this.#hosts.get(host.origin) === host) this.#hosts.delete(host.origin);
    }
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

  /** A connection to the host: the one that was used last, or a new one, whose socket is made when it is needed. */
  lease(lessee: Lessee, host: Host): Connection {
    const idle = host.idle.pop();
    if (idle === undefined) return this.leaseNew(lessee, host);
    this.#idle--;
    idle.lessee = lessee;
    host.leased++;
    return idle;
  }

  leaseNew(lessee: Lessee, host: Host): Connection {
    if (this.#connections.size >= this.line.limit) this.#closeLongestIdle();
    const connection = new Connection(host, this, this.#connector);
    this.#connections.add(connection);
    connection.lessee = lessee;
    host.leased++;
    return connection;
  }

  /** Takes back a connection whose exchange is complete. */
  giveBack(connection: Connection): void {
    connection.lessee = null;
    connection.served++;
    connection.host.leased--;
    if (this.#isClosed) return this.discard(connection);
    connection.givenBack = ++this.#givenBack;
    connection.host.idle.push(connection);
    this.#idle++;
  }

  /** Closes a connection, leased or idle. */
  discard(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    const { host } = connection;
    if (connection.lessee !== null) {
      connection.lessee = null;
      host.leased--;
    } else {
      const index = host.idle.indexOf(connection);
      if (index !== -1) {
        host.idle.splice(index, 1);
        this.#idle--;
      }
    }
    const closing = connection.close().then(() => void this.#closing.delete(closing));
    this.#closing.add(closing);
    this.forget(host);
  }

  /** Looks through all, which is nothing against the new connection that it makes room for. */
  #closeLongestIdle(): void {
    let longest: Connection | null = null;
    for (const connection of this.#connections) {
      if (connection.lessee === null && (longest === null || connection.givenBack < longest.givenBack))
        longest = connection;
    }
    if (longest !== null) this.discard(longest);
  }

  /** Ends every transfer and closes every connection; resolves when the last socket is gone. May be called again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const host of [...this.#hosts.values()]) {
      for (let place = host.first; place !== null; place = host.first) (place as Lessee).sessionClosed();
    }
    for (const connection of [...this.#connections]) {
      connection.lessee?.sessionClosed();
      this.discard(connection);
    }
    this.#hosts.clear();
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }
}
