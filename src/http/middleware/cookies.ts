/**
 * Cookies for requests: off by default, one jar for a session, or one that the caller brings and saves.
 *
 * It stands below the redirects, so each hop gets the cookies of its own host, and what a redirecting response sets is there
 * for the next hop.
 */
import { describeValue, UsageError, until } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";
import type { HttpResponse } from "../response.ts";
import type { HandshakePolicy } from "../websocket/open.ts";
import { CookieJar } from "./cookies-jar.ts";
import { importToughCookie } from "./cookies-package.ts";
import type { Layer, Middleware, Next } from "./middleware.ts";

/** Options of a session and of a request. */
export interface CookieOptions {
  /**
   * Keeps cookies: `true` in a jar of the session's own, or in yours. A `cookie` header of yours is sent as well, and wins over a
   * cookie of the same name. Needs the package tough-cookie. Default: `false`.
   */
  readonly cookies?: boolean | CookieJar;
}

/** @package */
export interface CookieLayer extends Layer<CookieOptions> {
  /** For WebSockets; `null` when the session keeps no cookies. */
  readonly handshake: HandshakePolicy | null;
}

/** @package */
export function cookieLayer(session: CookieOptions): CookieLayer {
  const own = new LazyJar();
  const jarFor = (cookies: boolean | CookieJar | undefined): LazyJar | null => {
    if (cookies === undefined || cookies === false) return null;
    if (cookies === true) return own;
    if (cookies instanceof CookieJar) return new LazyJar(cookies);
    throw new UsageError(`the option \`cookies\` must be true, false or a CookieJar, got ${describeValue(cookies)}`);
  };
  const shared = jarFor(session.cookies);
  return {
    middleware({ cookies }) {
      const jar = cookies === undefined || cookies === true ? (shared ?? jarFor(cookies)) : jarFor(cookies);
      return jar === null ? null : cookieMiddleware(jar);
    },
    handshake: shared === null ? null : cookieHandshake(shared),
  };
}

/** A jar that is made when it is first needed, since the package has to be loaded. */
class LazyJar {
  #jar: CookieJar | null;

  constructor(jar: CookieJar | null = null) {
    this.#jar = jar;
  }

  /** There when `get` has ended once. */
  get made(): CookieJar | null {
    return this.#jar;
  }

  *get(): Coroutine<CookieJar> {
    if (this.#jar !== null) return this.#jar;
    const toughCookie = yield* until(importToughCookie());
    return (this.#jar ??= new CookieJar(toughCookie)); // another request may have made it meanwhile
  }
}

function cookieMiddleware(lazy: LazyJar): Middleware {
  return function* cookies(request: HttpRequest, next: Next): Coroutine<HttpResponse> {
    const jar = lazy.made ?? (yield* lazy.get());
    const header = mergeCookies(request.header("cookie"), jar.header(request.url));
    const response = yield* next(header === undefined ? request : request.with({ headers: { cookie: header } }));
    const setCookie = response.headers.getAll("set-cookie");
    if (setCookie.length > 0) jar.take(request.url, setCookie);
    return response;
  };
}

/** The caller's own come first and win. */
export function mergeCookies(own: string | undefined, kept: string): string | undefined {
  if (kept === "") return own;
  if (own === undefined || own === "") return kept;
  const names = new Set(own.split(";").map(nameOf));
  const others = kept.split("; ").filter((pair) => !names.has(nameOf(pair)));
  return [own, ...others].join("; ");
}

function nameOf(pair: string): string {
  const end = pair.indexOf("=");
  return (end === -1 ? pair : pair.slice(0, end)).trim();
}

function cookieHandshake(lazy: LazyJar): HandshakePolicy {
  return {
    *headersFor(url: string): Coroutine<Readonly<Record<string, string>>> {
      const header = (yield* lazy.get()).header(url);
      return header === "" ? {} : { cookie: header };
    },
    answered(url, headers) {
      const setCookie = headers["set-cookie"];
      if (setCookie !== undefined) lazy.made!.take(url, setCookie);
    },
  };
}
