/**
 * A store in memory for undici's cache, bounded by entries and bytes; what was not used for longest goes first.
 *
 * Undici has one, too, but up to version 7.30 that one does not hold its bounds: it drops half of the variants of each URL, rounded
 * down, which is nothing where a URL has one. Whether an entry is still good is decided by the interceptor, so no clock is needed.
 */
import { Writable } from "node:stream";
import type { CacheHeaders, CacheKey, CacheStore } from "./cache-package.ts";

/** What an entry is made of, as undici gives it. */
interface CacheValue {
  readonly vary?: CacheHeaders;
}

interface Entry {
  readonly key: CacheKey;
  readonly value: CacheValue;
  readonly body: readonly Uint8Array[];
  readonly bytes: number;
}

export interface MemoryBounds {
  readonly maxEntries: number;
  /** Of all bodies together. */
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
}

const ENTRY_BYTES = 1_024; // what headers and bookkeeping take, more or less

export class MemoryStore implements CacheStore {
  readonly #bounds: MemoryBounds;
  /** Least lately used first. */
  readonly #entries: Set<Entry> = new Set();
  readonly #byUrl: Map<string, Set<Entry>> = new Map();
  #bytes = 0;

  constructor(bounds: MemoryBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: CacheKey): object | undefined {
    const entry = this.#find(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(entry);
    this.#entries.add(entry);
    return { ...entry.value, body: entry.body };
  }

  /** The entry is there when the stream has ended; nothing of it when the stream is destroyed. */
  createWriteStream(key: CacheKey, value: CacheValue): Writable {
    const { maxEntryBytes } = this.#bounds;
    const body: Uint8Array[] = [];
    let bytes = ENTRY_BYTES;
    const add = (): void => this.#add({ key, value, body, bytes });
    return new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        bytes += chunk.byteLength;
        if (bytes - ENTRY_BYTES > maxEntryBytes) this.destroy();
        else body.push(chunk);
        done();
      },
      final(done) {
        add();
        done();
      },
    });
  }

  /** All variants of the URL, for whatever method. */
  delete(key: CacheKey): void {
    for (const entry of [...(this.#byUrl.get(urlOf(key)) ?? [])]) this.#remove(entry);
  }

  #add(entry: Entry): void {
    const before = this.#find(entry.key);
    if (before !== undefined) this.#remove(before);
    const url = urlOf(entry.key);
    const variants = this.#byUrl.get(url);
    if (variants === undefined) this.#byUrl.set(url, new Set([entry]));
    else variants.add(entry);
    this.#entries.add(entry);
    this.#bytes += entry.bytes;
    for (const oldest of this.#entries) {
      if (this.#entries.size <= this.#bounds.maxEntries && this.#bytes <= this.#bounds.maxBytes) return;
      this.#remove(oldest);
    }
  }

  #remove(entry: Entry): void {
    if (!this.#entries.delete(entry)) return;
    this.#bytes -= entry.bytes;
    const url = urlOf(entry.key);
    const variants = this.#byUrl.get(url)!;
    variants.delete(entry);
    if (variants.size === 0) this.#byUrl.delete(url);
  }

  #find(key: CacheKey): Entry | undefined {
    for (const entry of this.#byUrl.get(urlOf(key)) ?? []) {
      if (entry.key.method === key.method && isVariant(entry.value.vary, key.headers)) return entry;
    }
    return undefined;
  }
}

function urlOf({ origin, path }: CacheKey): string {
  return `${origin}${path}`;
}

/** Whether the headers that the answer depends on are those of its request. */
function isVariant(vary: CacheHeaders | undefined, headers: CacheHeaders | undefined): boolean {
  for (const [name, value] of Object.entries(vary ?? {})) {
    if (String(value ?? "") !== String(headers?.[name] ?? "")) return false;
  }
  return true;
}
