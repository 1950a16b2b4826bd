/**
 * Where a cache keeps its answers, and the bounds of that.
 */
import { UsageError } from "../../core/index.ts";
import { checkCount } from "../limits.ts";
import { MemoryStore } from "./cache-memory.ts";
import { checkCaching } from "./cache-package.ts";
import type { CacheStore } from "./cache-package.ts";

/** What a cache keeps, and where. */
export interface CacheSettings {
  /**
   * `"private"`: for one program; keeps what is `private` and answers to requests with credentials, apart for each authorization, cookie and host. `"shared"`:
   * as a proxy would. Default: `"private"`.
   */
  readonly type?: "private" | "shared";
  /** A store of undici's or of your own. Default: in memory, with the bounds below. */
  readonly store?: CacheStore;
  /** Keeps it in a SQLite file instead of in memory. Needs a Node that has `node:sqlite`. */
  readonly file?: string;
  /** Default: 1,000. */
  readonly maxEntries?: number;
  /** Of all bodies together; in memory only. Default: 64 MiB. */
  readonly maxBytes?: number;
  /** Of one body; what is larger is not kept. Default: 5 MiB. */
  readonly maxEntryBytes?: number;
  /** How long to keep answers that say nothing about it, in milliseconds. Default: not at all. */
  readonly keepByDefaultMs?: number;
  /** Only these origins are cached. Default: all. */
  readonly origins?: readonly (string | RegExp)[];
}

const DEFAULT_MAX_ENTRIES = 1_000;
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
const DEFAULT_MAX_ENTRY_BYTES = 5 * 1024 * 1024;

/** @throws {UsageError} */
export function checkCacheSettings(settings: CacheSettings): void {
  const { type = "private", maxEntries = 0, maxBytes = 0, maxEntryBytes = 0, keepByDefaultMs = 0 } = settings;
  if (type !== "private" && type !== "shared") throw new UsageError('cache.type must be "private" or "shared"');
  for (const [name, value] of Object.entries({ maxEntries, maxBytes, maxEntryBytes, keepByDefaultMs })) {
    checkCount(`cache.${name}`, value, 0);
    if (value === Infinity) throw new UsageError(`cache.${name} must be finite`);
  }
  if (settings.store !== undefined && settings.file !== undefined) {
    throw new UsageError("a cache has either a store or a file; leave one out");
  }
}

export function makeStore(undici: unknown, settings: CacheSettings): CacheStore {
  const { maxEntries = DEFAULT_MAX_ENTRIES, maxBytes = DEFAULT_MAX_BYTES } = settings;
  const { maxEntryBytes = DEFAULT_MAX_ENTRY_BYTES, store, file } = settings;
  if (store !== undefined) return store;
  if (file === undefined) return new MemoryStore({ maxEntries, maxBytes, maxEntryBytes });
  const { SqliteCacheStore } = checkCaching(undici).cacheStores;
  if (SqliteCacheStore === undefined) throw withoutSqlite(undefined);
  try {
    return new SqliteCacheStore({ location: file, maxCount: maxEntries, maxEntrySize: maxEntryBytes });
  } catch (cause) {
    throw withoutSqlite(cause);
  }
}

function withoutSqlite(cause: unknown): UsageError {
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  return new UsageError(`cannot open the cache's file${why}; it needs a Node that has node:sqlite`, "CACHE_FILE", {
    cause,
  });
}
