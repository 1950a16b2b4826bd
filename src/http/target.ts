/**
 * Where a request goes: base URL, query and credentials put together once, and the rules of redirects.
 *
 * Source of the redirect rules: RFC 9110 §15.4 and the Fetch standard, as aiohttp and browsers follow them.
 */
import { InvalidUrlError } from "./errors.ts";

type QueryValue = string | number | boolean | null | undefined;

/** Parameters to append to the URL. A list gives the name several times; `null` and `undefined` leave it out. */
export type Query =
  | Readonly<Record<string, QueryValue | readonly QueryValue[]>>
  | Iterable<readonly [string, QueryValue]>;

export interface Target {
  /** Without credentials and fragment. */
  readonly url: string;
  /** Scheme, host and port: what a connection belongs to. */
  readonly origin: string;
  /** Path and query, as the request line has them. */
  readonly path: string;
  /** `Basic …` when the URL had user and password. */
  readonly authorization: string | undefined;
}

/**
 * @throws {InvalidUrlError} when the base cannot serve as one. It has to end in "/", since URL resolution replaces
 * whatever stands after the last one.
 */
export function parseBaseUrl(base: string | URL): URL {
  const url = parse("GET", String(base), undefined);
  if (!url.pathname.endsWith("/")) {
    throw new InvalidUrlError(
      "GET",
      String(base),
      'a baseUrl must end in "/", or its last part would be lost; add the slash',
    );
  }
  return url;
}

/**
 * @param canonical Gives back an origin that was resolved before, or `undefined`. It allows a short cut: parsing a URL costs
 * 2 µs, which is a twentieth of a whole request on loopback.
 * @throws {InvalidUrlError}
 */
export function resolveTarget(
  method: string,
  url: string | URL,
  base: URL | undefined,
  query: Query | undefined,
  canonical?: (origin: string) => string | undefined,
): Target {
  if (typeof url === "string" && query === undefined && canonical !== undefined) {
    const target = plainTarget(url, base, canonical);
    if (target !== null) return target;
  }
  // A URL object may be changed by its owner later, so it is never kept.
  const parsed = parse(method, typeof url === "string" ? url : String(url), base);
  if (query !== undefined) appendQuery(parsed, query);
  return toTarget(method, parsed);
}

// Path and query that URL parsing leaves as they are: nothing to escape, no fragment, no segment "." or "..".
const PLAIN = /^(?:\/(?!\.|%2e)[\w\-.~!$&()*+,;=:@%]*)+(?:\?[\w\-.~!$&()*+,;=:@%/?]*)?$/i;

function plainTarget(
  url: string,
  base: URL | undefined,
  canonical: (origin: string) => string | undefined,
): Target | null {
  const isAbsolute = url.charCodeAt(0) !== SLASH;
  if (!isAbsolute && (base === undefined || url.charCodeAt(1) === SLASH)) return null;
  const pathAt = isAbsolute ? url.indexOf("/", "https://".length) : 0;
  if (pathAt === -1) return null;
  const origin = canonical(isAbsolute ? url.slice(0, pathAt) : base!.origin);
  if (origin === undefined) return null;
  const path = isAbsolute ? url.slice(pathAt) : url;
  if (!PLAIN.test(path)) return null;
  return { url: isAbsolute ? url : origin + url, origin, path, authorization: undefined };
}

const SLASH = 47;

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
  return { url: href, origin, path: href.slice(origin.length), authorization };
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
export function redirectTarget(method: string, from: Target, location: string): Target {
  // Location headers are bytes; undici hands them over as Latin-1, and servers that do not escape write UTF-8.
  const text = /[\u0080-\u00ff]/.test(location) ? Buffer.from(location, "latin1").toString("utf8") : location;
  const target = resolveTarget(method, text, new URL(from.url), undefined);
  // Credentials that a server puts into a Location are not the caller's: they are not used.
  return { ...target, authorization: undefined };
}

/** 303 is "go and look there"; for 301 and 302 every client turns POST, and only POST, into GET. */
export function redirectMethod(method: string, status: number): string {
  if (status === 303) return method === "HEAD" ? "HEAD" : "GET";
  return (status === 301 || status === 302) && method === "POST" ? "GET" : method;
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
