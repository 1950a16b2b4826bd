/**
 * What has happened so far, in a space that does not grow with the number of URLs.
 */
import type { Failure } from "./failure.ts";
import { Histogram } from "./histogram.ts";

/** Failures are counted for this many hosts; a list of dead links may name a million. */
const MOST_HOSTS = 1_000;
const OTHER_HOSTS = "other hosts";

export class Tally {
  /** Lines and arguments read, bad ones included. */
  read = 0;
  succeeded = 0;
  /** With bad lines. */
  failed = 0;
  /** Requests that have begun and whose result is not there. */
  underWay = 0;
  retries = 0;
  /** Of bodies, also of those that broke off later. */
  receivedBytes = 0;
  /** Last tries that were answered, without the time in line. */
  readonly durations: Histogram = new Histogram();
  readonly #byLabel = new Map<string, number>();
  readonly #byHost = new Map<string, number>();

  get done(): number {
    return this.succeeded + this.failed;
  }

  addFailure(failure: Failure, host: string | undefined): void {
    this.failed++;
    increment(this.#byLabel, failure.label);
    if (host === undefined) return;
    increment(this.#byHost, this.#byHost.has(host) || this.#byHost.size < MOST_HOSTS ? host : OTHER_HOSTS);
  }

  /** Kinds of failures with their number, most frequent first. */
  get failuresByLabel(): readonly (readonly [string, number])[] {
    return sorted(this.#byLabel);
  }

  get failuresByHost(): readonly (readonly [string, number])[] {
    return sorted(this.#byHost);
  }
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
}
