/**
 * `EventTarget`: one event as an operation, all of them as a sequence. For Node's emitters see `node/emitter.ts`.
 */
import { describeValue, UsageError } from "../core/index.ts";
import type { Operation } from "../core/index.ts";
import { EventSequence } from "./event-sequence.ts";
import type { EventSequenceOptions } from "./event-sequence.ts";
import { Listening } from "./listening.ts";
import { checkSignal, unwatchSignal, watchSignal } from "./signal-watch.ts";
import type { SignalWatcher } from "./signal-watch.ts";

export interface OnceOptions<E> {
  /** Which events count. What it throws is thrown at the wait. Default: the first one. */
  readonly filter?: (event: E) => boolean;
  /** Throws its reason when it aborts. Cancelling needs none: it is for a signal that comes from elsewhere. */
  readonly signal?: AbortSignal;
  /** Whether something outside the loop makes the event, so that waiting for it is no deadlock. Default: `true`. */
  readonly external?: boolean;
}

/**
 * Waits for the next event of that type. It listens from the `yield*` on, not from the call: an event that comes earlier is
 * missed; subscribe with `on` where that may happen. Cancelling removes the listener and takes nothing.
 *
 * @throws the reason of `signal` when that aborts.
 * @example
 * yield* once(socket, "open");
 */
export function once<E extends Event = Event>(
  target: EventTarget,
  type: string,
  options: OnceOptions<E> = {},
): Operation<E> {
  checkTarget("once()", target);
  if (options.signal !== undefined) checkSignal("the option `signal` of once()", options.signal);
  return new EventOnce<E>(target, type, options);
}

class EventOnce<E extends Event> extends Listening<E> implements SignalWatcher {
  readonly #target: EventTarget;
  readonly #type: string;
  readonly #options: OnceOptions<E>;

  constructor(target: EventTarget, type: string, options: OnceOptions<E>) {
    super();
    this.#target = target;
    this.#type = type;
    this.#options = options;
  }

  get reason(): string {
    return `event "${this.#type}"`;
  }

  override get external(): boolean {
    return this.#options.external ?? true;
  }

  protected attach(): void {
    const { signal } = this.#options;
    if (signal?.aborted === true) {
      this.failWith(signal.reason);
      return;
    }
    this.#target.addEventListener(this.#type, this.#happened);
    if (signal !== undefined) watchSignal(signal, this);
  }

  protected detach(): void {
    this.#target.removeEventListener(this.#type, this.#happened);
    if (this.#options.signal !== undefined) unwatchSignal(this.#options.signal, this);
  }

  signalAborted(reason: unknown): void {
    this.failWith(reason);
  }

  readonly #happened = (event: Event): void => {
    const { filter } = this.#options;
    try {
      if (filter !== undefined && !filter(event as E)) return;
    } catch (error) {
      this.failWith(error);
      return;
    }
    this.succeed(event as E);
  };
}

/**
 * All events of that type from now on, as a bounded sequence. It belongs to the current scope: the listener is removed when
 * that ends, when the sequence is closed, and when it overflows.
 *
 * @throws {UsageError} outside a coroutine, or for wrong options.
 * @example
 * const messages = on<MessageEvent>(port, "message", { capacity: 100, overflow: "dropOldest" });
 * for (;;) {
 *   const { done, value } = yield* messages.next();
 *   if (done) break;
 *   handle(value.data);
 * }
 */
export function on<E extends Event = Event>(
  target: EventTarget,
  type: string,
  options: EventSequenceOptions = {},
): EventSequence<E> {
  checkTarget("on()", target);
  return new EventSequence<E>(
    `events "${type}"`,
    (intake) => {
      const listener = (event: Event): void => intake.push(event as E);
      target.addEventListener(type, listener);
      return () => target.removeEventListener(type, listener);
    },
    options,
  );
}

function checkTarget(what: string, target: unknown): void {
  if (typeof (target as Partial<EventTarget> | null | undefined)?.addEventListener === "function") return;
  const isEmitter = typeof (target as { on?: unknown } | null | undefined)?.on === "function";
  throw new UsageError(
    `${what} takes an EventTarget, got ${describeValue(target)}` +
      (isEmitter ? "; for Node's emitters import it from fibril/interop/node" : ""),
  );
}
