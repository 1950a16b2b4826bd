/**
 * From an `AbortSignal` into coroutines: wait for it, or let it cancel what runs. The other way is `scope-signal.ts`.
 */
import { Scope, toOperation } from "../core/index.ts";
import type { Body, Coroutine, Operation } from "../core/index.ts";
import { Listening } from "./listening.ts";
import { checkSignal, unwatchSignal, watchSignal } from "./signal-watch.ts";
import type { SignalWatcher } from "./signal-watch.ts";

export interface AbortedOptions {
  /** Whether something outside the loop will abort it, so that waiting for it is no deadlock. Default: `true`. */
  readonly external?: boolean;
}

/**
 * Waits until the signal aborts and gives its reason; at once when it has. Cancelling stops listening.
 *
 * Any number of tasks may wait for one signal: it has one listener of ours while somebody does, none afterwards.
 * @example
 * yield* race([aborted(request.signal), work()]);
 */
export function aborted(signal: AbortSignal, options: AbortedOptions = {}): Operation<unknown> {
  checkSignal("aborted()", signal);
  return new Aborted(signal, options.external ?? true);
}

class Aborted extends Listening<unknown> implements SignalWatcher {
  readonly #signal: AbortSignal;
  readonly #external: boolean;

  constructor(signal: AbortSignal, external: boolean) {
    super();
    this.#signal = signal;
    this.#external = external;
  }

  override get external(): boolean {
    return this.#external;
  }

  get reason(): string {
    return "abort of a signal";
  }

  protected attach(): void {
    if (this.#signal.aborted) this.succeed(this.#signal.reason);
    else watchSignal(this.#signal, this);
  }

  protected detach(): void {
    unwatchSignal(this.#signal, this);
  }

  signalAborted(reason: unknown): void {
    this.succeed(reason);
  }
}

/**
 * Runs `body`; cancels it when the signal aborts, waits for its cleanup, and throws the signal's reason, the very value, as
 * `fetch` and `signal.throwIfAborted()` do.
 *
 * With a signal that has aborted already the body runs up to its first wait, like every cancelled task. A value that is
 * there when the signal aborts is returned; an error that the cleanup throws wins over the reason. Whatever ends it, no
 * listener is left.
 * @throws the reason of the signal: an `AbortError` (`DOMException`) unless `abort(reason)` was given another one.
 * @throws {CancelledError} when the body cancelled its own scope.
 * @example
 * app.get("/report", (request) => run(() => withSignal(request.signal, report)));
 */
export function* withSignal<T>(signal: AbortSignal, body: Body<T>): Coroutine<T> {
  checkSignal("withSignal()", signal);
  const scope = Scope.enter({ name: "withSignal" });
  const watcher: SignalWatcher = { signalAborted: (reason) => scope.request("abort-signal", reason) };
  if (signal.aborted) watcher.signalAborted(signal.reason);
  else watchSignal(signal, watcher);
  let value: T | undefined;
  try {
    value = yield* scope.run(toOperation(body));
  } finally {
    unwatchSignal(signal, watcher);
  }
  if (!scope.isCaught) return value as T;
  if (scope.cancelled?.source === "abort-signal") throw scope.cancelled.reason;
  throw scope.asError();
}
