/**
 * What may be said about connections: how they are made, how long they are kept, and what is refused at once.
 *
 * `ConnectOptions` is what users write; `ConnectSettings` is what the folder works with, checked and with all defaults.
 */
import { UsageError } from "../../core/index.ts";
import { checkCount } from "../limits.ts";
import { parsePins } from "./pins.ts";
import type { PinSettings, Pins } from "./pins.ts";
import { parseProxy } from "./proxy.ts";
import type { ProxyOptions, ProxyRoutes } from "./proxy.ts";
import type { DnsOptions } from "./resolver.ts";

/** Options for `tls.connect` of Node: `ca`, `cert`, `key`, `rejectUnauthorized`, `minVersion`, `servername`, … */
export type TlsOptions = Readonly<Record<string, unknown>>;

export interface ConnectOptions {
  /**
   * How long a connection may be idle before it is closed. Default: 4 s, or what the server says (`keep-alive: timeout=…`). When
   * it is given, the server can only shorten it. 0: every connection serves one request.
   */
  readonly keepAliveMs?: number;
  /** How many idle connections to keep in all. Default: as many as `limit` allows. */
  readonly maxIdle?: number;
  /** The same for one host. Default: none. */
  readonly maxIdlePerHost?: number;
  /** A connection older than this serves no further request. Default: none. */
  readonly maxConnectionAgeMs?: number;
  /** How many requests one connection may serve. Default: none. */
  readonly maxRequestsPerConnection?: number;
  /** Handed to `tls.connect` of Node. */
  readonly tls?: TlsOptions;
  /**
   * Certificates that are accepted: `sha256/…` with the base64 of the SHA-256 of a certificate or of its public key (SPKI), for all
   * hosts (a list) or by host name. Others fail with `CertificatePinError` before anything is sent. Only for https.
   */
  readonly pin?: PinSettings;
  /** A Unix socket (or Windows pipe) to connect to, whatever the URL's host is. */
  readonly socketPath?: string;
  readonly dns?: DnsOptions;
  /**
   * `http://user:password@host:port`, `https://…`, `socks4://…`, `socks4a://…`, `socks5://…`, `socks5h://…`, an object with more
   * options, or `"environment"`: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`. Default: none; the environment is not looked at.
   */
  readonly proxy?: string | URL | ProxyOptions;
  /** Offers HTTP/2 to https servers and uses it where they agree. Default: `false`. */
  readonly http2?: boolean;
  /** How many requests may share an HTTP/2 connection; servers may allow fewer. Default: 100. */
  readonly maxConcurrentStreams?: number;
}

/** @package */
export interface ConnectSettings {
  /** `undefined`: what the server says, else 4 s. */
  readonly keepAliveMs: number | undefined;
  readonly maxIdle: number;
  readonly maxIdlePerHost: number;
  readonly maxAgeMs: number;
  readonly maxRequests: number;
  readonly tls: TlsOptions;
  readonly pins: Pins | null;
  readonly socketPath: string | undefined;
  readonly dns: DnsOptions;
  readonly proxy: ProxyRoutes | null;
  readonly http2: boolean;
  readonly maxConcurrentStreams: number;
}

const DEFAULT_STREAMS = 100; // what RFC 9113 recommends as the least a server should allow, and what most allow

/** @throws {UsageError} */
export function checkConnectOptions(options: ConnectOptions): ConnectSettings {
  const { keepAliveMs, maxConnectionAgeMs = Infinity, socketPath, tls = {}, dns = {} } = options;
  if (keepAliveMs !== undefined) checkMs("keepAliveMs", keepAliveMs);
  checkMs("maxConnectionAgeMs", maxConnectionAgeMs);
  const counts = {
    maxIdle: options.maxIdle ?? Infinity,
    maxIdlePerHost: options.maxIdlePerHost ?? Infinity,
    maxRequestsPerConnection: options.maxRequestsPerConnection ?? Infinity,
    maxConcurrentStreams: options.maxConcurrentStreams ?? DEFAULT_STREAMS,
  };
  checkCount("maxIdle", counts.maxIdle, 0);
  checkCount("maxIdlePerHost", counts.maxIdlePerHost, 0);
  checkCount("maxRequestsPerConnection", counts.maxRequestsPerConnection, 1);
  checkCount("maxConcurrentStreams", counts.maxConcurrentStreams, 1);
  if (socketPath !== undefined && (typeof socketPath !== "string" || socketPath === "")) {
    throw new UsageError(`socketPath must be the path of a socket, got ${JSON.stringify(socketPath)}`);
  }
  if (socketPath !== undefined && options.proxy !== undefined) {
    throw new UsageError("a session has either a socketPath or a proxy; leave one out");
  }
  checkDns(dns);
  return {
    keepAliveMs,
    maxIdle: counts.maxIdle,
    maxIdlePerHost: counts.maxIdlePerHost,
    maxAgeMs: maxConnectionAgeMs,
    maxRequests: counts.maxRequestsPerConnection,
    tls,
    pins: options.pin === undefined ? null : parsePins(options.pin),
    socketPath,
    dns,
    proxy: options.proxy === undefined ? null : parseProxy(options.proxy),
    http2: options.http2 ?? false,
    maxConcurrentStreams: counts.maxConcurrentStreams,
  };
}

function checkDns(dns: DnsOptions): void {
  const { lookup, ttlMs = 0, maxEntries = 1, family = 0, attemptTimeoutMs = 1 } = dns;
  if (lookup !== undefined && typeof lookup !== "function") throw new UsageError("dns.lookup must be a function");
  checkMs("dns.ttlMs", ttlMs);
  checkMs("dns.attemptTimeoutMs", attemptTimeoutMs);
  checkCount("dns.maxEntries", maxEntries, 0);
  if (family !== 0 && family !== 4 && family !== 6) {
    throw new UsageError(`dns.family must be 0, 4 or 6, got ${String(family)}`);
  }
}

function checkMs(name: string, value: number): void {
  if (typeof value === "number" && value >= 0) return;
  throw new UsageError(`${name} must be a number of milliseconds (Infinity for none), got ${String(value)}`);
}
