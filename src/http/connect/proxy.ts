/**
 * Which proxy a request goes through: what users write, made into one answer for a scheme, a host and a port.
 *
 * `http:` targets are sent to an HTTP proxy as they are (absolute-form, RFC 9112 §3.2.2), `https:` ones through a tunnel (CONNECT). Tunnels for
 * `http:` were rejected: proxies allow CONNECT to port 443 only, in the usual configuration.
 *
 * User name and password are taken out of the URL here and appear in no message.
 */
import { BlockList, isIP } from "node:net";
import { UsageError } from "../../core/index.ts";
import type { OutgoingHeaders } from "../headers.ts";
import { proxyEnvironment } from "./environment.ts";

export interface ProxyOptions {
  /** As the string form of the option. */
  readonly url: string | URL;
  /** Sent to an HTTP proxy, with CONNECT or with each request that it passes on. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Hosts to reach directly: names (with all below them), addresses, networks (`10.0.0.0/8`), each with or without `:port`; `*` for all.
   * A list, or a string with commas.
   */
  readonly noProxy?: string | readonly string[];
  /** Handed to `tls.connect` of Node for an `https:` proxy. */
  readonly tls?: Readonly<Record<string, unknown>>;
}

export type ProxyKind = "http" | "https" | "socks4" | "socks5";

export interface Proxy {
  readonly kind: ProxyKind;
  readonly hostname: string;
  readonly port: number;
  /** Without user name and password. */
  readonly label: string;
  readonly username: string;
  readonly password: string;
  /** Whether it gets names, not addresses (`socks4a`, `socks5h`, and all HTTP proxies). */
  readonly resolves: boolean;
  /** For an HTTP proxy, with the authorization: name, value, name, value. */
  readonly headers: readonly string[];
  readonly tls: Readonly<Record<string, unknown>>;
}

export interface ProxyRoutes {
  /** `null`: directly. @param hostname In lower case, an IPv6 address without brackets. */
  route(protocol: string, hostname: string, port: number): Proxy | null;
}

/** @throws {UsageError} */
export function parseProxy(setting: string | URL | ProxyOptions): ProxyRoutes {
  if (setting === "environment") {
    const { http, https, noProxy } = proxyEnvironment();
    return routes(
      http === undefined ? null : parseUrl(withScheme(http), {}),
      https === undefined ? null : parseUrl(withScheme(https), {}),
      noProxy,
    );
  }
  const options = typeof setting === "string" || setting instanceof URL ? { url: setting } : setting;
  const proxy = parseUrl(String(options.url), options);
  return routes(proxy, proxy, options.noProxy ?? "");
}

function withScheme(url: string): string {
  return url.includes("://") ? url : `http://${url}`;
}

function routes(http: Proxy | null, https: Proxy | null, noProxy: string | readonly string[]): ProxyRoutes {
  const exceptions = new Exceptions(typeof noProxy === "string" ? noProxy.split(/[\s,]+/) : noProxy);
  return {
    route(protocol, hostname, port) {
      const proxy = protocol === "https:" ? https : http;
      return proxy === null || exceptions.has(hostname, port) ? null : proxy;
    },
  };
}

const SCHEMES: Readonly<Record<string, readonly [kind: ProxyKind, port: number, resolves: boolean]>> = {
  "http:": ["http", 80, true],
  "https:": ["https", 443, true],
  "socks4:": ["socks4", 1080, false],
  "socks4a:": ["socks4", 1080, true],
  "socks5:": ["socks5", 1080, false],
  "socks5h:": ["socks5", 1080, true],
  "socks:": ["socks5", 1080, true],
};

function parseUrl(text: string, options: Partial<ProxyOptions>): Proxy {
  let url: URL;
  let username: string;
  let password: string;
  try {
    url = new URL(text);
    username = decodeURIComponent(url.username);
    password = decodeURIComponent(url.password);
  } catch {
    // Without the text, which may hold a password.
    throw new UsageError('the proxy is not a valid URL; write "http://host:port" or "socks5://host:port"');
  }
  const scheme = SCHEMES[url.protocol];
  if (scheme === undefined || url.hostname === "") {
    throw new UsageError(
      `a proxy of scheme "${url.protocol}" cannot be used; there are ${Object.keys(SCHEMES).join(" ")} and "environment"`,
    );
  }
  const [kind, defaultPort, resolves] = scheme;
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? defaultPort : Number(url.port);
  const headers = Object.entries(options.headers ?? {}).flat();
  if (kind === "http" || kind === "https") {
    if (username !== "" || password !== "") {
      const credentials = Buffer.from(`${username}:${password}`, "utf8").toString("base64");
      headers.push("proxy-authorization", `Basic ${credentials}`);
    }
  } else {
    if (headers.length > 0) throw new UsageError("a SOCKS proxy takes no headers");
    checkSocksCredentials(username, password);
  }
  const label = `${url.protocol}//${url.hostname}:${port}`;
  return { kind, hostname, port, label, username, password, resolves, headers, tls: options.tls ?? {} };
}

/** The package `socks` would throw out of an event of the socket, which ends the process. */
function checkSocksCredentials(...credentials: readonly string[]): void {
  if (credentials.every((text) => Buffer.byteLength(text) <= 255 && !text.includes("\0"))) return;
  throw new UsageError("user name and password of a SOCKS proxy have at most 255 bytes each, and no zero byte");
}

/** Hosts that are reached directly, by the rules that curl and Go share. */
class Exceptions {
  #isAll = false;
  readonly #networks = new BlockList();
  /** Names, without the dot in front; a port of 0 means any. */
  readonly #names: (readonly [name: string, port: number])[] = [];

  constructor(entries: readonly string[]) {
    for (const entry of entries) this.#add(entry.trim().toLowerCase());
  }

  #add(entry: string): void {
    if (entry === "") return;
    if (entry === "*") {
      this.#isAll = true;
      return;
    }
    const [, network, bits] = /^([^/]+)\/(\d+)$/.exec(entry) ?? [];
    if (network !== undefined) {
      const family = isIP(network);
      if (family === 0 || Number(bits) > (family === 4 ? 32 : 128)) return; // as curl: what cannot match is no error
      this.#networks.addSubnet(network, Number(bits), family === 4 ? "ipv4" : "ipv6");
      return;
    }
    const [, name, port] = /^(.*?)(?::(\d+))?$/.exec(isIP(entry) === 6 ? `[${entry}]` : entry)!;
    this.#names.push([name!.replace(/^\*?\.|^\[|\]$/g, ""), Number(port ?? 0)]);
  }

  has(hostname: string, port: number): boolean {
    if (this.#isAll) return true;
    const family = isIP(hostname);
    if (family !== 0 && this.#networks.check(hostname, family === 4 ? "ipv4" : "ipv6")) return true;
    for (const [name, onlyPort] of this.#names) {
      if (onlyPort !== 0 && onlyPort !== port) continue;
      if (hostname === name || (family === 0 && hostname.endsWith(`.${name}`))) return true;
    }
    return false;
  }
}

/** The headers of a request that an HTTP proxy passes on. Those of the request itself go over the proxy's. */
export function forwardedHeaders(headers: OutgoingHeaders, proxy: Proxy): OutgoingHeaders {
  const all = [...headers];
  for (let i = 0; i < proxy.headers.length; i += 2) {
    const name = proxy.headers[i]!.toLowerCase();
    if (!headers.some((item, index) => index % 2 === 0 && item === name)) all.push(name, proxy.headers[i + 1]!);
  }
  return all;
}
