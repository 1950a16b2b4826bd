/**
 * Failures that nobody has looked at yet.
 *
 * CPython reports one when its future is collected. A collector's time is not ours to choose, so what is left when the loop
 * is closed is reported then, in the order of failing. Of the future only a weak reference is kept: a loop that runs for
 * months must not hold on to everything that ever failed.
 *
 * Most failures are looked at in the next iteration, and weak references are dear; so one is kept as it is until the loop goes
 * to sleep, or until there are many.
 */
import type { ExceptionContext, Future, UnseenFailure } from "./future.ts";

interface Reporter {
  callExceptionHandler(context: ExceptionContext): void;
}

const MOST_KEPT = 256;

class Unseen implements UnseenFailure {
  future: Future<unknown> | WeakRef<Future<unknown>>;
  readonly exception: unknown;
  readonly message: string;
  readonly #owner: UnseenFailures;

  constructor(owner: UnseenFailures, future: Future<unknown>, exception: unknown) {
    this.#owner = owner;
    this.future = future;
    this.exception = exception;
    this.message = `${future.constructor.name} exception was never retrieved`;
  }

  seen(): void {
    this.#owner.drop(this);
  }
}

/** @package */
export class UnseenFailures {
  readonly #reporter: Reporter;
  readonly #kept = new Set<Unseen>();
  readonly #letGo = new Set<Unseen>();
  #registry: FinalizationRegistry<Unseen> | null = null;

  constructor(reporter: Reporter) {
    this.#reporter = reporter;
  }

  note(future: Future<unknown>, exception: unknown): UnseenFailure {
    const unseen = new Unseen(this, future, exception);
    this.#kept.add(unseen);
    if (this.#kept.size > MOST_KEPT) this.letGo();
    return unseen;
  }

  drop(unseen: Unseen): void {
    if (this.#kept.delete(unseen)) return;
    this.#letGo.delete(unseen);
    this.#registry?.unregister(unseen);
  }

  /** From now on the futures may be collected, and are reported when they are. */
  letGo(): void {
    if (this.#kept.size === 0) return;
    this.#registry ??= new FinalizationRegistry((unseen) => this.#report(unseen));
    for (const unseen of this.#kept) {
      const future = unseen.future as Future<unknown>;
      unseen.future = new WeakRef(future);
      this.#registry.register(future, unseen, unseen);
      this.#letGo.add(unseen);
    }
    this.#kept.clear();
  }

  reportAll(): void {
    this.letGo();
    for (const unseen of this.#letGo) this.#report(unseen);
  }

  #report(unseen: Unseen): void {
    if (!this.#letGo.has(unseen)) return;
    this.drop(unseen);
    const future = (unseen.future as WeakRef<Future<unknown>>).deref();
    this.#reporter.callExceptionHandler({
      message: unseen.message,
      exception: unseen.exception,
      ...(future === undefined ? {} : { future }),
      ...(future?.sourceTraceback === undefined ? {} : { sourceTraceback: future.sourceTraceback }),
    });
  }
}
