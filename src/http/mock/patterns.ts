/**
 * Which requests a route means: method, URL, headers, query, body. A matcher says what does not fit, so that the error for
 * a request that no route wants can say it too.
 */
import { describeValue, UsageError } from "../../core/index.ts";

/** A path with parameters (`"/users/:id"`, `"/files/*"`), a whole URL with them, an expression for the whole URL, or a function of it. */
export type UrlPattern = string | URL | RegExp | ((url: URL) => boolean);

export type TextPattern = string | RegExp | ((value: string) => boolean);

/** What else a request must have. */
export interface RequestPattern {
  /** By name; `null`: must not be there. */
  readonly headers?: Readonly<Record<string, TextPattern | null>>;
  /** By name; the first value counts. */
  readonly query?: Readonly<Record<string, TextPattern | null>>;
  /** A text, an expression, a function of the text, or a value that the JSON must equal. */
  readonly body?: TextPattern | object;
}

/** What of a URL stood at the parameters of a pattern; `null` when the URL does not fit. */
export type Params = Readonly<Record<string, string>>;

export type UrlMatcher = (url: URL) => Params | null;

const NONE: Params = Object.freeze({});

export function urlMatcher(pattern: UrlPattern): UrlMatcher {
  if (typeof pattern === "function") return (url) => (pattern(url) ? NONE : null);
  if (pattern instanceof RegExp) return (url) => regexpParams(pattern, url.href);
  if (typeof pattern !== "string" && !(pattern instanceof URL)) {
    throw new UsageError(`the URL of a route is a path, a URL, a RegExp or a function, got ${describeValue(pattern)}`);
  }
  const text = String(pattern);
  const isWhole = /^https?:\/\//.test(text);
  if (!isWhole && !text.startsWith("/")) {
    throw new UsageError(`the URL of a route begins with "/" or with http, got ${JSON.stringify(text)}`);
  }
  const [path = "", query] = text.split("?", 2);
  const expression = new RegExp(
    `^${isWhole && !/^https?:\/\/[^/]+\//.test(path) ? `${source(path)}/` : source(path)}$`,
  );
  return (url) => {
    if (query !== undefined && url.search !== `?${query}`) return null;
    return regexpParams(expression, isWhole ? url.origin + url.pathname : url.pathname);
  };
}

/** `:name` is one segment, `*` anything. A colon before a port is none. */
function source(path: string): string {
  return path
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\/:([A-Za-z_]\w*)/g, "/(?<$1>[^/]+)");
}

function regexpParams(expression: RegExp, text: string): Params | null {
  expression.lastIndex = 0;
  const match = expression.exec(text);
  if (match === null) return null;
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(match.groups ?? {})) params[name] = decode(value ?? "");
  return params;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What of the pattern a request does not have, or `null` when it has everything. */
export function misfit(
  pattern: RequestPattern,
  request: { readonly url: URL; header(name: string): string | undefined; readonly text: string },
): string | null {
  for (const [name, wanted] of Object.entries(pattern.headers ?? {})) {
    if (!fits(wanted, request.header(name))) return `header ${name.toLowerCase()} differs`;
  }
  for (const [name, wanted] of Object.entries(pattern.query ?? {})) {
    if (!fits(wanted, request.url.searchParams.get(name) ?? undefined)) return `query parameter ${name} differs`;
  }
  const { body } = pattern;
  if (body === undefined) return null;
  const isText = typeof body === "string" || typeof body === "function" || body instanceof RegExp;
  const isFit = isText ? fits(body as TextPattern, request.text) : sameJson(body, request.text);
  return isFit ? null : "the body differs";
}

function fits(wanted: TextPattern | null, value: string | undefined): boolean {
  if (wanted === null || value === undefined) return wanted === null && value === undefined;
  if (typeof wanted === "string") return wanted === value;
  if (typeof wanted === "function") return wanted(value);
  wanted.lastIndex = 0;
  return wanted.test(value);
}

function sameJson(wanted: object, text: string): boolean {
  try {
    return canonical(JSON.parse(text)) === canonical(JSON.parse(JSON.stringify(wanted)));
  } catch {
    return false;
  }
}

/** The same text for the same value, whatever the order of its keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, it: unknown) =>
    typeof it === "object" && it !== null && !Array.isArray(it)
      ? Object.fromEntries(Object.entries(it).sort(([a], [b]) => (a < b ? -1 : 1)))
      : it,
  );
}
