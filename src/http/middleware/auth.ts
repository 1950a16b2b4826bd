/**
 * Credentials for requests, bound to an origin: whatever else is asked, nobody else gets to see them.
 *
 * What is common to all schemes is here: to whom credentials go. They go to the origins that were named; else to that of the session's
 * `baseUrl`; else to that of the first request. A redirect, or a request, to another origin goes without. A request
 * that brings an `authorization` header of its own, or has user and password in its URL, is left as it is.
 */
import { describeValue, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";
import type { HttpResponse } from "../response.ts";
import type { HandshakePolicy } from "../websocket/open.ts";
import type { Layer, Middleware, Next } from "./middleware.ts";

/** A way to authenticate: Basic, Bearer, Digest, or one of your own. */
export interface AuthScheme {
  /** Sends a request to the right origin, with credentials, and deals with a 401. */
  send(request: HttpRequest, next: Next): Operation<HttpResponse>;
  /** The `authorization` header for the handshake of a WebSocket; `undefined` when the scheme needs to be asked first. */
  header?(): Operation<string | undefined>;
}

/** To whom credentials go. */
export interface AuthOrigins {
  /** Where the credentials may be sent: one origin or several. Default: the origin of `baseUrl`, else of the first request. */
  readonly origin?: string | URL | readonly (string | URL)[];
}

/** Options of a session and of a request. */
export interface AuthOptions {
  /** How requests authenticate: `basicAuth(…)`, `bearerAuth(…)`, `digestAuth(…)`. `false`: not at all. Default: not at all. */
  readonly auth?: Authentication | false;
}

/** A scheme and to whom it may speak. Made by `basicAuth`, `bearerAuth`, `digestAuth`. */
export class Authentication {
  readonly #scheme: AuthScheme;
  readonly #origins: readonly string[];

  constructor(scheme: AuthScheme, options: AuthOrigins = {}) {
    if (typeof (scheme as Partial<AuthScheme> | null)?.send !== "function") {
      throw new UsageError(`an authentication scheme has a method send(), got ${describeValue(scheme)}`);
    }
    this.#scheme = scheme;
    const { origin = [] } = options;
    this.#origins = (typeof origin === "string" || origin instanceof URL ? [origin] : origin).map(originOf);
  }

  /** For the list of middlewares. It is bound by itself: to the origins that were named, else to that of its first request. */
  get middleware(): Middleware {
    return this.bind(null).middleware;
  }

  /** @param origin What it is bound to when no origins were named; `null`: to that of the first request. @internal */
  bind(origin: string | null): BoundAuthentication {
    const origins = new Set(this.#origins);
    if (origins.size === 0 && origin !== null) origins.add(origin);
    return new BoundAuthentication(this.#scheme, origins);
  }
}

/** @package */
export class BoundAuthentication implements HandshakePolicy {
  readonly #scheme: AuthScheme;
  readonly #origins: Set<string>;
  readonly middleware: Middleware;

  constructor(scheme: AuthScheme, origins: Set<string>) {
    this.#scheme = scheme;
    this.#origins = origins;
    this.middleware = (request, next) => {
      const isMeant = request.header("authorization") === undefined && this.#isFor(request.origin);
      return isMeant ? scheme.send(request, next) : next(request);
    };
  }

  *headersFor(url: string): Coroutine<Readonly<Record<string, string>>> {
    if (this.#scheme.header === undefined || !this.#isFor(new URL(url).origin)) return {};
    const authorization = yield* this.#scheme.header();
    return authorization === undefined ? {} : { authorization };
  }

  #isFor(origin: string): boolean {
    if (this.#origins.size === 0) this.#origins.add(origin);
    return this.#origins.has(origin);
  }
}

/** @package */
export interface AuthLayer extends Layer<AuthOptions> {
  /** For WebSockets; `null` when the session has no credentials. */
  readonly handshake: HandshakePolicy | null;
}

/** @package */
export function authLayer(session: AuthOptions & { readonly baseUrl?: string | URL }): AuthLayer {
  const { auth, baseUrl } = session;
  const base = baseUrl === undefined ? null : originOf(baseUrl);
  const shared = check(auth)?.bind(base) ?? null;
  return {
    middleware(options) {
      if (options.auth === undefined) return shared?.middleware ?? null;
      return check(options.auth)?.bind(null).middleware ?? null;
    },
    handshake: shared,
  };
}

function check(auth: AuthOptions["auth"]): Authentication | null {
  if (auth === undefined || auth === false) return null;
  if (auth instanceof Authentication) return auth;
  throw new UsageError(
    `the option \`auth\` must be made by basicAuth(), bearerAuth() or digestAuth(), got ${describeValue(auth)}`,
  );
}

function originOf(url: string | URL): string {
  const text = String(url);
  if (URL.canParse(text)) {
    const { origin, protocol } = new URL(text.replace(/^ws(s?):/i, "http$1:"));
    if (protocol === "http:" || protocol === "https:") return origin;
  }
  throw new UsageError(
    `the origin of credentials must be an http URL such as "https://api.example.org", got ${describeValue(text)}`,
  );
}

/**
 * Basic authentication (RFC 7617), in UTF-8, with each request from the first on. Anybody on the way can read it unless the URL is https.
 *
 * @throws {UsageError} when the user name has a colon, or either has control characters.
 * @example
 * const session = yield* Session.open({ baseUrl: "https://example.org/", auth: basicAuth("ada", password) });
 */
export function basicAuth(user: string, password: string, options: AuthOrigins = {}): Authentication {
  checkCredential("user name", user);
  checkCredential("password", password);
  if (user.includes(":")) throw new UsageError("the user name of basic authentication cannot have a colon");
  const authorization = `Basic ${Buffer.from(`${user}:${password}`, "utf8").toString("base64")}`;
  return new Authentication(
    {
      send: (request, next) => next(request.with({ headers: { authorization } })),
      *header(): Coroutine<string> {
        return authorization;
      },
    },
    options,
  );
}

/** @throws {UsageError} without the value: it is a secret. @package */
export function checkCredential(what: string, value: unknown): asserts value is string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  if (typeof value !== "string" || /[\u0000-\u001f\u007f]/.test(value)) {
    throw new UsageError(`the ${what} must be a text without control characters`);
  }
}
