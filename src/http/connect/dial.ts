/**
 * Making one connection: name look-up, TCP (or a Unix socket), the proxy's handshake, TLS, pins. In this order, each when it applies.
 *
 * It may be cancelled in every phase: `cancel` leaves the look-up or destroys the socket, and its promise resolves when the socket is gone.
 * After that nothing is called any more. The result is never given inside `dial`.
 *
 * Undici's own connector is not used: it makes a TLS context for each connection (1 ms), holds TLS sessions weakly, offers no look-up of
 * addresses that were found before, and cannot say what took how long.
 */
import { connect as connectTcp, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { SecureContext, TLSSocket } from "node:tls";
import type { LoopPort } from "../../lowlevel.ts";
import { ProxyFailure, SocksMissingError } from "./errors.ts";
import type { ProxyPhase } from "./errors.ts";
import type { ConnectSettings, TlsOptions } from "./options.ts";
import { checkCertificate } from "./pins.ts";
import type { Proxy } from "./proxy.ts";
import type { AddressWaiter, ResolvedAddress, Resolver } from "./resolver.ts";
import { openHttpTunnel, openSocksTunnel } from "./tunnel.ts";

/** How a connection came about. Times in milliseconds; 0 for what there was nothing of. */
export interface ConnectionFacts {
  /** Address and port at the other end: the proxy's, if there is one; the path of a Unix socket. */
  readonly address: string | undefined;
  readonly port: number | undefined;
  readonly protocol: "http/1.1" | "h2";
  readonly isEncrypted: boolean;
  /** Scheme, host and port of the proxy. */
  readonly proxy: string | undefined;
  readonly dnsMs: number;
  readonly tcpMs: number;
  readonly proxyMs: number;
  readonly tlsMs: number;
}

export interface DialTarget {
  readonly isEncrypted: boolean;
  /** An IPv6 address without brackets. */
  readonly hostname: string;
  readonly port: number;
}

export interface DialOrder {
  readonly target: DialTarget;
  /** From a `host` header of the request, if it had one. */
  readonly servername: string | null;
  readonly offersHttp2: boolean;
  /** Asks an HTTP proxy for a tunnel also when the target is not encrypted: what follows is no plain HTTP. Default: `false`. */
  readonly tunnels?: boolean;
}

/** Called once, unless it was cancelled. */
export type DialCallback = (error: Error | null, socket: Socket | null, facts: ConnectionFacts | null) => void;

const DEFAULT_ATTEMPT_MS = 250; // as RFC 8305 recommends
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const PROBE_AFTER_MS = 60_000; // TCP keep-alive, as undici

/** What a dial shares with the others of its session. */
export interface DialContext {
  readonly loop: LoopPort;
  readonly settings: ConnectSettings;
  readonly resolver: Resolver;
  /** The last ticket of each server. */
  readonly tlsSessions: ReadonlyMap<string, Buffer>;
  /** @throws when Node refuses the options. */
  readonly tlsContext: SecureContext;
  keepTlsSession(key: string, session: Buffer): void;
  proxyFor(target: DialTarget): Proxy | null;
}

export class Dial implements AddressWaiter {
  readonly #dialer: DialContext;
  readonly #order: DialOrder;
  readonly #done: DialCallback;
  readonly #proxy: Proxy | null;
  /** What the proxy has to do now; `null` when there is none, or it has done its part. */
  #proxyPhase: ProxyPhase | null = null;
  /** The one that counts: the outermost. */
  #socket: Socket | null = null;
  #unwatch: () => void = ignore;
  #isOver = false;
  #isCancelled = false;
  /** The name that is being looked up, and what to do with its addresses. */
  #lookup: { readonly hostname: string; readonly then: (addresses: readonly ResolvedAddress[]) => void } | null = null;
  #phaseBegan = 0;
  #dnsMs = 0;
  #tcpMs = 0;
  #proxyMs = 0;
  #tlsMs = 0;
  #address: string | undefined;
  #port: number | undefined;

  constructor(dialer: DialContext, order: DialOrder, done: DialCallback) {
    this.#dialer = dialer;
    this.#order = order;
    this.#done = done;
    this.#proxy = dialer.proxyFor(order.target);
  }

  /** @internal */
  begin(): void {
    const { target } = this.#order;
    this.#phaseBegan = this.#dialer.loop.now();
    this.#try(() => {
      if (target.isEncrypted) void this.#dialer.tlsContext; // what Node refuses is refused before a connection is made
      const { socketPath } = this.#dialer.settings;
      if (socketPath !== undefined) return this.#connect({ path: socketPath });
      if (this.#proxy !== null) this.#proxyPhase = "connect";
      const { hostname, port } = this.#proxy ?? target;
      this.#resolve(hostname, (addresses) => this.#connectTo(hostname, addresses, port));
    });
  }

  /** Gives up; resolves when nothing is left of it. */
  cancel(): Promise<void> {
    this.#isCancelled = true;
    return this.#close();
  }

  async #close(): Promise<void> {
    this.#isOver = true;
    if (this.#lookup !== null) this.#dialer.resolver.leave(this.#lookup.hostname, this);
    this.#lookup = null;
    const socket = this.#socket;
    if (socket === null || socket.closed) return;
    await new Promise<void>((resolve) => {
      socket.once("close", () => resolve());
      socket.destroy();
    });
  }

  // Names

  #resolve(hostname: string, then: (addresses: readonly ResolvedAddress[]) => void): void {
    const family = isIP(hostname);
    if (family !== 0) return then([{ address: hostname, family: family as 4 | 6 }]);
    this.#lookup = { hostname, then };
    const known = this.#dialer.resolver.resolve(hostname, this);
    if (known !== null) this.resolved(known);
  }

  resolved(addresses: readonly ResolvedAddress[]): void {
    const { then } = this.#lookup!;
    this.#lookup = null;
    this.#dnsMs += this.#phaseMs();
    this.#try(() => then(addresses));
  }

  notResolved(error: unknown): void {
    this.#lookup = null;
    if (this.#proxyPhase === "handshake") this.#proxyPhase = null; // it is the target's name, not the proxy's
    this.#fail(error);
  }

  // TCP

  #connectTo(hostname: string, addresses: readonly ResolvedAddress[], port: number): void {
    const { attemptTimeoutMs = DEFAULT_ATTEMPT_MS } = this.#dialer.settings.dns;
    if (addresses.length === 1) return this.#connect({ host: addresses[0]!.address, port });
    this.#connect({
      host: hostname,
      port,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: Math.min(Math.max(Math.ceil(attemptTimeoutMs), 10), LONGEST_TIMER_MS), // Node's least
      lookup: (_name: string, _options: object, callback: (error: null, addresses: unknown) => void) =>
        callback(null, addresses),
    });
  }

  #connect(where: object): void {
    const socket = connectTcp({
      highWaterMark: 64 * 1024, // as streams of files
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_AFTER_MS,
      ...where,
    } as never);
    this.#watch(socket, "connect", () => {
      this.#tcpMs = this.#phaseMs();
      this.#address = this.#dialer.settings.socketPath ?? socket.remoteAddress;
      this.#port = socket.remotePort;
      if (this.#proxy !== null) this.#enterProxy(socket, this.#proxy);
      else this.#reachTarget(socket);
    });
  }

  #reachTarget(socket: Socket): void {
    if (this.#order.target.isEncrypted) this.#encrypt(socket);
    else this.#succeed(socket);
  }

  // The proxy

  #enterProxy(socket: Socket, proxy: Proxy): void {
    if (proxy.kind !== "https") return this.#askProxy(socket, proxy);
    const secure = connectTls({ ...proxy.tls, ...identity(proxy.hostname, proxy.tls), socket } as never);
    this.#watch(secure, "secureConnect", () => this.#askProxy(secure, proxy));
  }

  #askProxy(socket: Socket, proxy: Proxy): void {
    const { hostname, port, isEncrypted } = this.#order.target;
    const isHttp = proxy.kind === "http" || proxy.kind === "https";
    if (isHttp && !isEncrypted && this.#order.tunnels !== true) return this.#succeed(socket); // each request names its target
    this.#proxyPhase = "handshake";
    const opened = (error: Error | null): void => {
      if (this.#isOver) return;
      if (error !== null) return this.#fail(error);
      this.#proxyPhase = null;
      this.#proxyMs = this.#phaseMs();
      this.#try(() => this.#reachTarget(socket));
    };
    if (isHttp) return openHttpTunnel(socket, proxy, authorityOf(hostname, port), opened);
    const openSocks = (host: string): void =>
      void openSocksTunnel(socket, proxy, host, port).then(() => opened(null), opened);
    if (proxy.resolves) return openSocks(hostname);
    this.#resolve(hostname, (addresses) => {
      const fitting = proxy.kind === "socks5" ? addresses[0] : addresses.find(({ family }) => family === 4);
      if (fitting === undefined) throw new ProxyFailure(proxy.label, "handshake", "SOCKS 4 reaches no IPv6 address");
      openSocks(fitting.address);
    });
  }

  // TLS

  #encrypt(raw: Socket): void {
    const { settings, tlsSessions, tlsContext } = this.#dialer;
    const { target, servername, offersHttp2 } = this.#order;
    const { hostname, port } = target;
    const pins = settings.pins?.of(hostname.toLowerCase());
    const key = `${servername ?? ""} ${hostname}:${port}`;
    const session = pins === undefined ? tlsSessions.get(key) : undefined;
    const socket = connectTls({
      secureContext: tlsContext,
      highWaterMark: 16 * 1024, // a TLS record has no more
      ...(session === undefined ? {} : { session }),
      ...settings.tls,
      ...identity(hostname, settings.tls, servername),
      ALPNProtocols: offersHttp2 ? ["h2", "http/1.1"] : ["http/1.1"],
      socket: raw,
    } as never);
    if (pins === undefined) socket.on("session", (ticket: Buffer) => this.#dialer.keepTlsSession(key, ticket));
    this.#watch(socket, "secureConnect", () => {
      if (pins !== undefined) checkCertificate(hostname, socket, pins);
      this.#tlsMs = this.#phaseMs();
      this.#succeed(socket);
    });
  }

  // Endings

  /** Goes on at `event`; an error or an end before that is the failure of the whole. */
  #watch(socket: Socket, event: string, then: () => void): void {
    this.#unwatch();
    this.#socket?.on("error", ignore); // it carries the new one from here on, which tells about both
    this.#socket = socket;
    const onError = (error: Error): void => this.#fail(error);
    const onClose = (): void => this.#fail(closedEarly());
    socket.on("error", onError);
    socket.on("close", onClose);
    this.#unwatch = () => {
      socket.off("error", onError);
      socket.off("close", onClose);
    };
    socket.once(event, () => {
      if (!this.#isOver) this.#try(then);
    });
  }

  #try(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (this.#isOver) throw error; // it is from who was called, not from here
      this.#fail(error);
    }
  }

  #succeed(socket: Socket): void {
    this.#isOver = true;
    this.#unwatch();
    this.#done(null, socket, {
      address: this.#address,
      port: this.#port,
      protocol: (socket as TLSSocket).alpnProtocol === "h2" ? "h2" : "http/1.1",
      isEncrypted: this.#order.target.isEncrypted,
      proxy: this.#proxy?.label,
      dnsMs: this.#dnsMs,
      tcpMs: this.#tcpMs,
      proxyMs: this.#proxyMs,
      tlsMs: this.#tlsMs,
    });
  }

  #fail(reason: unknown): void {
    if (this.#isOver) return;
    if (this.#address === undefined) this.#dialer.resolver.forget((this.#proxy ?? this.#order.target).hostname);
    const error = this.#named(reason as Error);
    this.#socket?.on("error", ignore);
    // In a later microtask: it may be `begin` that has failed.
    void this.#close().then(() => {
      if (!this.#isCancelled) this.#done(error, null, null);
    });
  }

  #named(error: Error): Error {
    if (this.#proxyPhase === null || error instanceof ProxyFailure || error instanceof SocksMissingError) return error;
    return new ProxyFailure(this.#proxy!.label, this.#proxyPhase, problemOf(error), undefined, { cause: error });
  }

  #phaseMs(): number {
    const now = this.#dialer.loop.now();
    const passed = now - this.#phaseBegan;
    this.#phaseBegan = now;
    return passed;
  }
}

function ignore(): void {}

function closedEarly(): Error {
  return Object.assign(new Error("the connection was closed while it was made"), { code: "ECONNRESET" });
}

/** Who the certificate has to be for. */
function identity(hostname: string, tls: TlsOptions, servername: string | null = null): object {
  const name = servername ?? tls["servername"] ?? (isIP(hostname) === 0 ? hostname : undefined);
  return name === undefined ? { host: hostname } : { host: hostname, servername: name };
}

function authorityOf(hostname: string, port: number): string {
  return isIP(hostname) === 6 ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

function problemOf(error: Error): string {
  return error instanceof AggregateError
    ? error.errors.map((each) => (each as Error).message).join(", ")
    : error.message;
}
