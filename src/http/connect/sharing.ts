/**
 * The connections to one https host that may speak HTTP/2, and the way to find out whether it does.
 *
 *     unknown, being made → HTTP/2: shared by all → … (closed, made again)
 *                         → HTTP/1.1: this object is given up, and the pool goes on as ever
 *
 * While a connection is being made, everybody waits for it, since it may serve them all; one that nobody waits for any more is given
 * up. A connection that has as many exchanges as it takes is joined by a further one (as in Go): the session's `limit` bounds both.
 * It takes none before the server has said how many it allows.
 */
import { closeSocket, Connection } from "./connection.ts";
import type { ConnectionOwner, Host, HostSharing, Lessee, StandingSocket } from "./connection.ts";
import type { Dial } from "./dial.ts";
import { Http2Client } from "./http2.ts";

/** What the connections of a host need of the pool. */
export interface SharingPool extends ConnectionOwner {
  /** A connection is going to be made: closes an idle one if there are too many. */
  opening(): void;
  /** It stands, or has failed. */
  opened(): void;
  /** Keeps a connection that many share. */
  add(connection: Connection): void;
  /** The host does not speak HTTP/2. @returns a connection of its own for the lessee. */
  leaseOwn(lessee: Lessee, host: Host, socket: StandingSocket | null): Connection;
  /** Waits for it when the session closes. */
  untilGone(gone: Promise<void>): void;
  becameBusy(connection: Connection): void;
  becameIdle(connection: Connection): void;
}

export class Sharing implements HostSharing {
  readonly #host: Host;
  readonly #pool: SharingPool;
  readonly #connections: Connection[] = [];
  readonly waiters: Set<Lessee> = new Set();
  /** Ends the attempt that goes on. */
  #cancelOpening: (() => Promise<void>) | null = null;

  constructor(host: Host, pool: SharingPool) {
    this.#host = host;
    this.#pool = pool;
  }

  get isEmpty(): boolean {
    return this.#connections.length === 0 && this.#cancelOpening === null;
  }

  lease(lessee: Lessee): Connection | null {
    const connection = this.#withRoom();
    if (connection !== null) return this.#join(connection, lessee);
    this.waiters.add(lessee);
    if (this.#cancelOpening === null) this.#open();
    return null;
  }

  left(connection: Connection | null, lessee: Lessee): void {
    if (connection === null) this.waiters.delete(lessee);
    else if (connection.lessees!.delete(lessee) && connection.lessees!.size === 0) this.#becameIdle(connection);
    if (this.waiters.size > 0) this.#serve();
    if (this.waiters.size === 0) this.close();
  }

  retire(connection: Connection): void {
    const index = this.#connections.indexOf(connection);
    if (index !== -1) this.#connections.splice(index, 1);
  }

  /** Gives up the connection that is being made. */
  close(): void {
    const cancel = this.#cancelOpening;
    if (cancel === null) return;
    this.#opened();
    this.#pool.untilGone(cancel());
  }

  #withRoom(): Connection | null {
    for (let i = 0; i < this.#connections.length;) {
      const connection = this.#connections[i]!;
      if (connection.lessees!.size < connection.http2!.capacity) return connection;
      if (this.#connections[i] === connection) i++; // else it was found dead, and has left the list
    }
    return null;
  }

  #join(connection: Connection, lessee: Lessee): Connection {
    const { lessees, http2 } = connection;
    if (lessees!.size === 0) {
      this.#pool.becameBusy(connection);
      http2!.keepOpen();
    }
    lessees!.add(lessee);
    connection.served = connection.givenTo++;
    if (connection.givenTo >= this.#pool.dialer.settings.maxRequests) this.retire(connection);
    return connection;
  }

  #becameIdle(connection: Connection): void {
    const isKept = this.#connections.includes(connection);
    if (isKept) this.#pool.becameIdle(connection);
    else this.#pool.discard(connection);
  }

  // A new one

  #open(): void {
    const { dialer } = this.#pool;
    this.#pool.opening();
    const order = { target: this.#host.target, servername: null, offersHttp2: true };
    const dial: Dial = dialer.dial(order, (error, socket, facts) => {
      if (socket === null) this.#failed(error);
      else if (facts!.protocol === "h2") this.#share({ socket, facts: facts! });
      else this.#doNotShare({ socket, facts: facts! });
    });
    this.#cancelOpening = () => dial.cancel();
  }

  #opened(): void {
    this.#cancelOpening = null;
    this.#pool.opened();
  }

  #failed(error: unknown): void {
    this.#opened();
    const waiters = [...this.waiters];
    this.waiters.clear();
    for (const lessee of waiters) lessee.leaseFailed(error);
  }

  #share({ socket, facts }: StandingSocket): void {
    const { loop, settings } = this.#pool.dialer;
    let connection: Connection | null = null;
    const client: Http2Client = new Http2Client(loop, socket, this.#host.origin, settings.maxConcurrentStreams, {
      ready: () => {
        this.#opened();
        connection = new Connection(this.#host, this.#pool, { socket, facts }, client);
        connection.sharing = this;
        this.#connections.push(connection);
        this.#pool.add(connection);
        this.#serve();
      },
      closing: () => {
        if (connection === null) return;
        this.retire(connection);
        // Its peer may take for ever to close its side.
        if (connection.isIdle) this.#pool.discard(connection);
      },
      gone: (error) => {
        if (connection === null) this.#failed(error ?? new Error("the server closed the HTTP/2 connection at once"));
        else if (connection.isIdle) this.#pool.discard(connection);
      },
    });
    this.#cancelOpening = () => client.destroy(GIVEN_UP);
  }

  #doNotShare(standing: StandingSocket): void {
    this.#opened();
    this.#host.sharing = null;
    for (const connection of this.#connections.splice(0)) if (connection.isIdle) this.#pool.discard(connection);
    let socket: StandingSocket | null = standing;
    for (const lessee of this.waiters) {
      this.waiters.delete(lessee);
      lessee.leaseReady(this.#pool.leaseOwn(lessee, this.#host, socket));
      socket = null;
    }
    if (socket !== null) this.#pool.untilGone(closeSocket(socket.socket));
  }

  #serve(): void {
    for (const lessee of this.waiters) {
      const connection = this.#withRoom();
      if (connection === null) break;
      this.waiters.delete(lessee);
      lessee.leaseReady(this.#join(connection, lessee));
    }
    if (this.waiters.size > 0 && this.#cancelOpening === null) this.#open();
  }
}

const GIVEN_UP = new Error("nobody waits for the connection any more");
