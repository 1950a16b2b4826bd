/**
 * Host names to addresses, for one session: a cache, and one look-up for all who ask for the same name at the same time.
 *
 * A look-up belongs to nobody: whoever is cancelled leaves, and the others still get their answer. When the last one has left, a
 * look-up of the user's own is told so by its signal and forgotten. Node's cannot be stopped and keeps one of four threads busy, so it is
 * left to end: whoever asks again meanwhile joins it instead of taking another thread, and its answer is kept.
 *
 * Failures are not kept: the next request asks again.
 */
import { lookup as systemLookup } from "node:dns";
import { isIP } from "node:net";
import type { LoopPort } from "../../lowlevel.ts";

export interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

export interface DnsOptions {
  /**
   * Resolves a name, best address first. Default: `dns.lookup` of Node, which asks the system.
   * The signal is aborted when nobody waits for the answer any more.
   */
  readonly lookup?: (
    hostname: string,
    options: { readonly family: 0 | 4 | 6; readonly signal: AbortSignal },
  ) => Promise<readonly ResolvedAddress[]>;
  /** How long an answer is used. Default: 10 s; 0 keeps none. */
  readonly ttlMs?: number;
  /** How many names are kept; the oldest one goes first. Default: 1,000. */
  readonly maxEntries?: number;
  /** 4 or 6: only such addresses. Default: 0, both. */
  readonly family?: 0 | 4 | 6;
  /**
   * With several addresses of both families, how long each one may take before the next one is tried beside it (happy eyeballs; Node's
   * `autoSelectFamily`). Default: 250 ms.
   */
  readonly attemptTimeoutMs?: number;
}

/** Who waits for a name. Exactly one of the two is called, once, unless it leaves; never inside `resolve`. */
export interface AddressWaiter {
  resolved(addresses: readonly ResolvedAddress[]): void;
  notResolved(error: unknown): void;
}

interface Answer {
  readonly addresses: readonly ResolvedAddress[];
  readonly expiresAt: number;
}

interface Lookup {
  readonly waiters: Set<AddressWaiter>;
  /** `null` for Node's, which cannot be stopped. */
  readonly controller: AbortController | null;
}

const DEFAULT_TTL_MS = 10_000; // as aiohttp: long enough for a burst, short enough for a failover
const DEFAULT_MAX_ENTRIES = 1000;

export class Resolver {
  readonly #loop: LoopPort;
  readonly #options: DnsOptions;
  readonly #family: 0 | 4 | 6;
  readonly #ttlMs: number;
  readonly #maxEntries: number;
  readonly #answers: Map<string, Answer> = new Map();
  readonly #lookups: Map<string, Lookup> = new Map();

  constructor(loop: LoopPort, options: DnsOptions) {
    this.#loop = loop;
    this.#options = options;
    this.#family = options.family ?? 0;
    this.#ttlMs = options.ttlMs ?? DEFAULT_TTL_MS;
    this.#maxEntries = options.maxEntries ?? DEFAULT_MAX_ENTRIES;
  }

  /** The addresses if they are known; else `null`, and `waiter` is called. */
  resolve(hostname: string, waiter: AddressWaiter): readonly ResolvedAddress[] | null {
    const answer = this.#answers.get(hostname);
    if (answer !== undefined && this.#loop.now() < answer.expiresAt) return answer.addresses;
    const lookup = this.#lookups.get(hostname) ?? this.#begin(hostname);
    lookup.waiters.add(waiter);
    return null;
  }

  /** Gives up waiting. Without effect when it does not wait. */
  leave(hostname: string, waiter: AddressWaiter): void {
    const lookup = this.#lookups.get(hostname);
    if (lookup?.waiters.delete(waiter) !== true) return;
    if (lookup.waiters.size > 0 || lookup.controller === null) return;
    this.#lookups.delete(hostname);
    lookup.controller.abort();
  }

  /** None of its addresses can be reached: the next one asks again. */
  forget(hostname: string): void {
    this.#answers.delete(hostname);
  }

  #begin(hostname: string): Lookup {
    const ask = this.#options.lookup;
    const lookup: Lookup = { waiters: new Set(), controller: ask === undefined ? null : new AbortController() };
    this.#lookups.set(hostname, lookup);
    if (ask === undefined) {
      systemLookup(hostname, { all: true, family: this.#family }, (error, addresses) => {
        this.#end(hostname, lookup, error, addresses as readonly ResolvedAddress[] | undefined);
      });
    } else void this.#ask(ask, hostname, lookup);
    return lookup;
  }

  async #ask(ask: NonNullable<DnsOptions["lookup"]>, hostname: string, lookup: Lookup): Promise<void> {
    let addresses: readonly ResolvedAddress[] | undefined;
    let error: unknown = null;
    await Promise.resolve(); // a look-up that fails at once must not do so before its first waiter is in
    try {
      const { signal } = lookup.controller!;
      addresses = checkAddresses(hostname, await ask(hostname, { family: this.#family, signal }), this.#family);
    } catch (reason) {
      error = reason ?? new Error("dns.lookup failed without an error");
    }
    this.#end(hostname, lookup, error, addresses);
  }

  #end(hostname: string, lookup: Lookup, error: unknown, addresses: readonly ResolvedAddress[] | undefined): void {
    if (this.#lookups.get(hostname) !== lookup) return; // all have left
    this.#lookups.delete(hostname);
    if (addresses !== undefined && error === null) this.#keep(hostname, addresses);
    for (const waiter of lookup.waiters) {
      if (addresses !== undefined && error === null) waiter.resolved(addresses);
      else waiter.notResolved(error);
    }
  }

  #keep(hostname: string, addresses: readonly ResolvedAddress[]): void {
    if (this.#ttlMs === 0 || this.#maxEntries === 0) return;
    this.#answers.delete(hostname); // to the end of the order
    this.#answers.set(hostname, { addresses, expiresAt: this.#loop.now() + this.#ttlMs });
    if (this.#answers.size <= this.#maxEntries) return;
    for (const oldest of this.#answers.keys()) {
      this.#answers.delete(oldest);
      break;
    }
  }
}

function checkAddresses(
  hostname: string,
  addresses: readonly ResolvedAddress[],
  family: 0 | 4 | 6,
): readonly ResolvedAddress[] {
  // What is no address would be looked up once more, by the system.
  if (
    !Array.isArray(addresses) ||
    addresses.some((item) => isIP((item as ResolvedAddress | null)?.address ?? "") === 0)
  ) {
    throw new TypeError(`dns.lookup must give a list of { address, family } for ${hostname}`);
  }
  const all = addresses.map(({ address }): ResolvedAddress => ({ address, family: isIP(address) as 4 | 6 }));
  const fitting = family === 0 ? all : all.filter((item) => item.family === family);
  if (fitting.length > 0) return fitting;
  throw Object.assign(new Error(`dns.lookup gave no address for ${hostname}`), { code: "ENOTFOUND" });
}
