/**
 * What has happened so far, in a space that does not grow with the number of URLs.
 */
import type { Failure } from "./failure.ts";
import { Histogram } from "./histogram.ts";

/** Failures are counted for this many hosts; a list of dead links may name a million. */
const MOST_HOSTS = 1_000;
const WEIGHT_OF_LAST = 0.2;
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
  /** Failures that count for the exit code. */
  fatal = 0;
  /** Finished by an earlier run, or known to be good: nothing was asked. */
  skipped = 0;
  /** Answered with 304: what is there is what there is. */
  unchanged = 0;
  /** Links and pages that were not in the input. */
  found = 0;
  /** Requests that wait for the head of an answer, a connection included, and those whose body comes. */
  inHeaders = 0;
  inBody = 0;
  readonly #byLabel = new Map<string, number>();
  readonly #byHost = new Map<string, number>();
  readonly #byStatus = new Map<number, number>();
  /** Moving averages of the time of an answer. */
  readonly #slowness = new Map<string, number>();

  get done(): number {
    return this.succeeded + this.failed + this.skipped;
  }

  /** @param isFatal Whether it counts for the exit code. */
  addFailure(failure: Failure, host: string | undefined, isFatal = true): void {
    this.failed++;
    if (isFatal) this.fatal++;
    increment(this.#byLabel, failure.label);
    if (host === undefined) return;
    increment(this.#byHost, this.#byHost.has(host) || this.#byHost.size < MOST_HOSTS ? host : OTHER_HOSTS);
  }

  addStatus(status: number): void {
    this.#byStatus.set(status, (this.#byStatus.get(status) ?? 0) + 1);
  }

  /** The time of a last try that was answered. */
  addDuration(ms: number, host: string): void {
    this.durations.add(ms);
    const before = this.#slowness.get(host);
    if (before === undefined && this.#slowness.size >= MOST_HOSTS) return;
    this.#slowness.set(host, before === undefined ? ms : before + (ms - before) * WEIGHT_OF_LAST);
  }

  /** Statuses with their number, smallest first. */
  get statuses(): readonly (readonly [number, number])[] {
    return [...this.#byStatus].sort(([one], [other]) => one - other);
  }

  /** Hosts with the time that their answers take of late, slowest first. */
  slowestHosts(count: number): readonly (readonly [string, number])[] {
    return [...this.#slowness].sort(([, one], [, other]) => other - one).slice(0, count);
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
