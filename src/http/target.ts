/**
 * Where a request goes: base URL, query and credentials put together once, and the rules of redirects.
 *
 * Source of the redirect rules: RFC 9110 §15.4 and the Fetch standard, as aiohttp and browsers follow them.
 */
import { InvalidUrlError } from "./errors.ts";
import { withoutHeaders } from "./headers.ts";
import type { OutgoingHeaders } from "./headers.ts";

type QueryValue = string | number | boolean | null | undefined;

/** Parameters to append to the URL. A list gives the name several times; `null` and `undefined` leave it out. */
export type Query =
  | Readonly<Record<string, QueryValue | readonly QueryValue[]>>
  | Iterable<readonly [string, QueryValue]>;

export class Target {
  /** Without credentials and fragment. */
  readonly url: string;
  /** Scheme, host and port: what a connection belongs to. */
  readonly origin: string;
  /** Path and query, as the request line has them. */
  readonly path: string;
  /** `Basic …` when the URL had user and password. */
  readonly authorization: string | undefined;

  constructor(url: string, origin: string, path: string, authorization?: string) {
    this.url = url;
    this.origin = origin;
    this.path = path;
    this.authorization = authorization;
  }
}

/** What relative URLs are relative to, taken apart once. */
export interface BaseUrl {
  readonly url: URL;
  readonly origin: string;
  /** Ends in "/". */
  readonly path: string;
}

/**
 * @throws {InvalidUrlError} when the base cannot serve as one. It has to end in "/", since URL resolution replaces
 * whatever stands after the last one.
 */
export function parseBaseUrl(base: string | URL): BaseUrl {
  const url = parse("GET", String(base), undefined);
  const { origin, pathname } = url;
  if (!pathname.endsWith("/")) {
    const problem = 'a baseUrl must end in "/", or its last part would be lost; add the slash';
    throw new InvalidUrlError("GET", String(base), problem);
  }
  return { url, origin, path: pathname };
}

/**
 * @param canonical Gives back an origin that was resolved before, or `undefined`. It allows a short cut: parsing a URL costs
 * 2 µs, which is a twentieth of a whole request on loopback.
 * @throws {InvalidUrlError}
 */
export function resolveTarget(
  method: string,
  url: string | URL,
  base: BaseUrl | undefined,
  query: Query | undefined,
  canonical?: (origin: string) => string | undefined,
): Target {
  if (typeof url === "string" && query === undefined && canonical !== undefined) {
    const target = plainTarget(url, base, canonical);
    if (target !== null) return target;
  }
  // A URL object may be changed by its owner later, so it is never kept.
  const parsed = parse(method, typeof url === "string" ? url : String(url), base?.url);
  if (query !== undefined) appendQuery(parsed, query);
  return toTarget(method, parsed);
}

/** Where `url` leads, seen from an absolute one. @throws {InvalidUrlError} */
export function relativeTarget(method: string, from: string, url: string | URL): Target {
  return toTarget(method, parse(method, String(url), new URL(from)));
}

// Path and query that URL parsing leaves as they are: nothing to escape, no fragment, no segment "." or "..".
const PLAIN = /^(?:\/(?!\.|%2e)[\w\-.~!$&()*+,;=:@%]*)+(?:\?[\w\-.~!$&()*+,;=:@%/?]*)?$/i;

/** The same as parsing the URL, for one that needs no parsing; else `null`. */
function plainTarget(
  url: string,
  base: BaseUrl | undefined,
  canonical: (origin: string) => string | undefined,
): Target | null {
  if (base !== undefined && !url.includes(":")) {
    if (url === "" || url.startsWith("//")) return null;
    const origin = canonical(base.origin);
    const path = url.startsWith("/") ? url : base.path + url;
    if (origin === undefined || !PLAIN.test(path)) return null;
    return new Target(origin + path, origin, path);
  }
  const pathAt = url.indexOf("/", "https://".length);
  if (pathAt === -1) return null;
  const origin = canonical(url.slice(0, pathAt));
  if (origin === undefined) return null;
  const path = url.slice(pathAt);
  return PLAIN.test(path) ? new Target(url, origin, path) : null;
}

function parse(method: string, url: string, base: URL | undefined): URL {
  let parsed: URL;
  try {
    parsed = base === undefined ? new URL(url) : new URL(url, base);
  } catch (cause) {
    const advice =
      base === undefined
        ? "it is not an absolute URL; write it whole or give the session a baseUrl"
        : "it is not a valid URL";
    throw new InvalidUrlError(method, url, advice, { cause });
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new InvalidUrlError(method, url, `only http: and https: can be requested, not ${parsed.protocol}`);
  }
  return parsed;
}

function appendQuery(url: URL, query: Query): void {
  const entries =
    typeof (query as Iterable<unknown>)[Symbol.iterator] === "function"
      ? (query as Iterable<readonly [string, QueryValue]>)
      : Object.entries(query as Readonly<Record<string, QueryValue | readonly QueryValue[]>>);
  for (const [name, value] of entries) {
    for (const item of Array.isArray(value) ? (value as readonly QueryValue[]) : [value as QueryValue]) {
      if (item !== null && item !== undefined) url.searchParams.append(name, String(item));
    }
  }
}

function toTarget(method: string, url: URL): Target {
  let authorization: string | undefined;
  if (url.username !== "" || url.password !== "") {
    authorization = basicAuthorization(method, url);
    url.username = "";
    url.password = "";
  }
  url.hash = ""; // also when it is only the sign
  const { href, origin } = url;
  return new Target(href, origin, href.slice(origin.length), authorization);
}

function basicAuthorization(method: string, url: URL): string {
  try {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return `Basic ${Buffer.from(pair, "utf8").toString("base64")}`;
  } catch (cause) {
    throw new InvalidUrlError(method, url.href, "its user name or password is not correctly percent-encoded", {
      cause,
    });
  }
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export function isRedirect(status: number): boolean {
  return status >= 301 && REDIRECTS.has(status);
}

/** @throws {InvalidUrlError} when the server points to something that is no http URL. */
export function redirectTarget(method: string, from: string, location: string): Target {
  // Location headers are bytes; undici hands them over as Latin-1, and servers that do not escape write UTF-8.
  const text = /[\u0080-\u00ff]/.test(location) ? Buffer.from(location, "latin1").toString("utf8") : location;
  const { url, origin, path } = toTarget(method, parse(method, text, new URL(from)));
  // Credentials that a server puts into a Location are not the caller's: they are not used.
  return new Target(url, origin, path);
}

/** 303 is "go and look there"; for 301 and 302 every client turns POST, and only POST, into GET. */
export function redirectMethod(method: string, status: number): string {
  if (status === 303) return method === "HEAD" ? "HEAD" : "GET";
  return (status === 301 || status === 302) && method === "POST" ? "GET" : method;
}

/** What goes along to the next place: no credentials to another origin, and nothing about a body that is not sent. */
export function redirectHeaders(
  headers: OutgoingHeaders,
  fromOrigin: string,
  toOrigin: string,
  keepsBody: boolean,
): OutgoingHeaders {
  let kept = headers;
  if (fromOrigin !== toOrigin) kept = withoutHeaders(kept, CROSS_ORIGIN_HEADERS);
  if (fromOrigin.startsWith("https:") && toOrigin.startsWith("http:")) kept = withoutHeaders(kept, SECURE_HEADERS);
  return keepsBody ? kept : withoutHeaders(kept, CONTENT_HEADERS);
}

/** What describes a body, and goes when the body goes. */
export const CONTENT_HEADERS: ReadonlySet<string> = new Set([
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-type",
]);

/** What must not follow a request to another origin: credentials, and the name of the first host. */
export const CROSS_ORIGIN_HEADERS: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "host",
  "proxy-authorization",
]);

/** What tells of a page that was reached over TLS; the Fetch standard's default policy, "no-referrer-when-downgrade" at least. */
const SECURE_HEADERS: ReadonlySet<string> = new Set(["referer"]);
