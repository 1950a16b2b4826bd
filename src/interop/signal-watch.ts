/**
 * One listener on each `AbortSignal`, however many tasks wait for it.
 *
 * A signal may live as long as the program while thousands of operations come and go. A listener for each of them is what
 * `MaxListenersExceededWarning` and nodejs/node#52635 are about, and removing one is a walk along all of them. So the
 * signal sees one listener, there while somebody watches, and the watchers are a set.
 */
import { describeValue, UsageError } from "../core/index.ts";

/** Told once, when the signal aborts. Must not throw. */
export interface SignalWatcher {
  signalAborted(reason: unknown): void;
}

const watched = new WeakMap<AbortSignal, Watched>();

class Watched {
  readonly watchers = new Set<SignalWatcher>();
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#aborted, { once: true });
    watched.set(signal, this);
  }

  stop(): void {
    this.#signal.removeEventListener("abort", this.#aborted);
    watched.delete(this.#signal);
  }

  readonly #aborted = (): void => {
    watched.delete(this.#signal);
    for (const watcher of this.watchers) {
      this.watchers.delete(watcher);
      watcher.signalAborted(this.#signal.reason);
    }
  };
}

/** The signal must not be aborted yet. */
export function watchSignal(signal: AbortSignal, watcher: SignalWatcher): void {
  (watched.get(signal) ?? new Watched(signal)).watchers.add(watcher);
}

/** Without effect when the watcher has been told. */
export function unwatchSignal(signal: AbortSignal, watcher: SignalWatcher): void {
  const entry = watched.get(signal);
  if (entry !== undefined && entry.watchers.delete(watcher) && entry.watchers.size === 0) entry.stop();
}

/** @throws {UsageError} when it is none. */
export function checkSignal(what: string, signal: unknown): void {
  const it = signal as Partial<AbortSignal> | null | undefined;
  if (typeof it?.addEventListener !== "function" || typeof it.aborted !== "boolean") {
    throw new UsageError(`${what} takes an AbortSignal, got ${describeValue(signal)}`);
  }
}
