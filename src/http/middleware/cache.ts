/**
 * The cache of a session, opt-in: RFC 9111 as undici's interceptor knows it, as a middleware of ours.
 *
 * An answer from the cache needs no connection and no place in line. One that has become old is asked for again with
 * `if-none-match` and `if-modified-since`; a request that changes something (`POST`, `PUT`, `DELETE`) takes what it concerns out.
 * It stands below cookies and credentials, so it sees what the server sees.
 *
 * Freshness goes by the clock on the wall, which is undici's affair, not by the clock of the loop.
 */
import { createHash } from "node:crypto";
import { describeValue, UsageError, until } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import { ACCEPT_ENCODING } from "../body/encodings.ts";
import { importUndici } from "../connect/undici.ts";
import type { HttpRequest } from "../http-request.ts";
import type { HttpResponse } from "../response.ts";
import { CacheExchange } from "./cache-exchange.ts";
import { checkCaching } from "./cache-package.ts";
import type { CacheDispatch, CacheDispatchOptions, CacheHeaders } from "./cache-package.ts";
import { checkCacheSettings, makeStore } from "./cache-store.ts";
import type { CacheSettings } from "./cache-store.ts";
import type { Layer, Middleware, Next } from "./middleware.ts";

/** Options of a session. */
export interface CacheOptions {
  /**
   * Keeps answers as their headers say and gives them again: `true`, or with settings. `false` for a request that must go without; one
   * that wants a fresh answer sends `cache-control: no-cache`. Default: `false`.
   */
  readonly cache?: boolean | CacheSettings;
}

interface Dispatching extends CacheDispatchOptions {
  readonly exchange: CacheExchange;
}

/** @package */
export function cacheLayer(session: CacheOptions & { readonly undici?: object }): Layer<CacheOptions> {
  const shared = cacheFor(session.cache, session.undici);
  let own: Middleware | null = null;
  return {
    middleware({ cache }) {
      if (cache === undefined) return shared;
      if (cache === false) return null;
      if (cache === true) return shared ?? (own ??= cacheFor(true, session.undici));
      throw new UsageError("the option `cache` of a request is true or false; its settings belong to the session");
    },
  };
}

function cacheFor(cache: CacheOptions["cache"], undici: object | undefined): Middleware | null {
  if (cache === undefined || cache === false) return null;
  if (cache !== true && (typeof cache !== "object" || cache === null)) {
    throw new UsageError(`the option \`cache\` must be true, false or an object, got ${describeValue(cache)}`);
  }
  return cacheMiddleware(cache === true ? {} : cache, undici);
}

/** @param undici Whose cache it is. Default: the one that is installed. */
function cacheMiddleware(settings: CacheSettings, undici: object | undefined): Middleware {
  checkCacheSettings(settings);
  let dispatch = undici === undefined ? null : dispatchFor(undici, settings);
  return function* cache(request: HttpRequest, next: Next): Coroutine<HttpResponse> {
    if (dispatch === null) {
      const installed = yield* until(importUndici());
      dispatch ??= dispatchFor(installed, settings); // another request may have made it meanwhile
    }
    // Parts of a body are the affair of whoever asks for them.
    if (request.header("range") !== undefined) return yield* next(request);
    const exchange = new CacheExchange(request);
    dispatch({ ...cacheKeyOf(request, settings.type !== "shared"), exchange }, exchange);
    return yield* exchange.answer(next);
  };
}

function dispatchFor(undici: object, settings: CacheSettings): CacheDispatch<Dispatching> {
  const { type = "private", keepByDefaultMs, origins } = settings;
  const intercept = checkCaching(undici).interceptors.cache({
    store: makeStore(undici, settings),
    type,
    ...(keepByDefaultMs === undefined ? {} : { cacheByDefault: keepByDefaultMs }),
    ...(origins === undefined ? {} : { origins: [...origins] }),
  });
  return intercept<Dispatching>((options, handler) => {
    options.exchange.ask(options, handler);
    return true;
  });
}

/**
 * What tells one answer from another beside the URL, and is not in undici's key.
 *
 * For a private cache that is who asks: two jars of cookies, or two tokens, in one session are two users, and most servers do not say
 * `vary: cookie`. A cookie that changes costs a miss, which is the better side to err on. For every cache it is the host that was
 * asked for in the header, and the encodings: a request that wants the bytes as they are must not feed one that wants them unpacked.
 */
const PRIVATE_PARTS: readonly string[] = ["authorization", "cookie", "host"];
const SHARED_PARTS: readonly string[] = ["host"];

/**
 * Undici keeps no answer to an `authorization` unless it is public, which is right for a shared cache only (RFC 9111, 3.5). So a
 * private cache does not see that header. What parts the answers goes into the path, as a hash.
 */
function cacheKeyOf(request: HttpRequest, isPrivate: boolean): CacheDispatchOptions {
  const { method, origin, parts } = request;
  const { path } = parts.target;
  const headers = headersOf(request);
  const { authorization: _hidden, ...others } = headers;
  const visible = isPrivate ? others : headers;
  const encodings = headers["accept-encoding"];
  const values = (isPrivate ? PRIVATE_PARTS : SHARED_PARTS).map((name) => headers[name] ?? null);
  const isRaw = request.options.decompress === false;
  if (!isRaw && encodings === ACCEPT_ENCODING && values.every((value) => value === null)) {
    return { origin, method, path, headers: visible }; // as most are
  }
  const hash = createHash("sha256")
    .update(JSON.stringify([isRaw, encodings, ...values]))
    .digest("base64url");
  return { origin, method, path: `${path}#${hash}`, headers: visible }; // a path has no "#" of its own
}

function headersOf(request: HttpRequest): CacheHeaders {
  const record: Record<string, string | string[]> = {};
  const { headers } = request.parts;
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1]!;
    record[headers[i] as string] = typeof value === "string" ? value : [...value];
  }
  return record;
}
