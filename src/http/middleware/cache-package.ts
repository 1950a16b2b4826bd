/**
 * What is used of undici's cache: the interceptor, which knows RFC 9111, and its stores.
 *
 * The interceptor is a function around a dispatch function, and asks nothing else of that function: it needs no dispatcher of
 * undici's, no connection and no agent. Its handlers have the new names in 8; 7 speaks the old ones in one place (a
 * request with `only-if-cached` that is not in the cache), so `CacheHandler` has both.
 */
import { UsageError } from "../../core/index.ts";

/** What the interceptor, and what it asks, tell about an answer. */
export interface CacheHandler {
  onRequestStart?(controller: CacheController, context: unknown): void;
  onResponseStart?(controller: CacheController, status: number, headers: CacheHeaders, statusText?: string): void;
  onResponseData?(controller: CacheController, chunk: Uint8Array): void;
  onResponseEnd?(controller: CacheController, trailers: object): void;
  onResponseError?(controller: CacheController, error: unknown): void;
}

export interface CacheController {
  abort(reason?: unknown): void;
  pause(): void;
  resume(): void;
}

export type CacheHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface CacheKey {
  readonly origin: string;
  readonly method: string;
  readonly path: string;
  readonly headers?: CacheHeaders;
}

/** A store as undici defines it: `MemoryCacheStore`, `SqliteCacheStore`, or one of your own. */
export interface CacheStore {
  get(key: CacheKey): unknown;
  createWriteStream(key: CacheKey, value: object): unknown;
  delete(key: CacheKey): unknown;
}

export interface CacheDispatchOptions extends CacheKey {
  readonly headers: CacheHeaders;
}

export type CacheDispatch<Options extends CacheDispatchOptions> = (options: Options, handler: CacheHandler) => unknown;

interface CachingUndici {
  readonly interceptors: {
    cache(
      options: object,
    ): <Options extends CacheDispatchOptions>(dispatch: CacheDispatch<Options>) => CacheDispatch<Options>;
  };
  readonly cacheStores: {
    readonly SqliteCacheStore?: new (options: object) => CacheStore;
  };
}

/** @throws {UsageError} when it has no cache. */
export function checkCaching(undici: unknown): CachingUndici {
  const { interceptors, cacheStores } = undici as Partial<CachingUndici>;
  if (typeof interceptors?.cache === "function" && typeof cacheStores === "object") {
    return undici as CachingUndici;
  }
  throw new UsageError("the undici that was given has no cache; install undici 7.30 or later");
}
