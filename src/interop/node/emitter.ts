/**
 * `EventEmitter`: one event as an operation, all of them as a sequence; like `once` and `on` of `node:events`, bounded.
 */
import type { EventEmitter } from "node:events";
import { describeValue, UsageError } from "../../core/index.ts";
import type { Operation } from "../../core/index.ts";
import { EventSequence } from "../event-sequence.ts";
import type { EventSequenceOptions } from "../event-sequence.ts";
import { Listening } from "../listening.ts";
import { checkSignal, unwatchSignal, watchSignal } from "../signal-watch.ts";
import type { SignalWatcher } from "../signal-watch.ts";

export interface OnceOptions<Args extends readonly unknown[]> {
  /** Which events count. What it throws is thrown at the wait. Default: the first one. */
  readonly filter?: (...args: Args) => boolean;
  /** Throws its reason when it aborts. Cancelling needs none: it is for a signal that comes from elsewhere. */
  readonly signal?: AbortSignal;
  /** Whether something outside the loop makes the event, so that waiting for it is no deadlock. Default: `true`. */
  readonly external?: boolean;
}

export interface OnOptions extends EventSequenceOptions {
  /** Events that end the sequence: `["close"]`. Default: none. */
  readonly close?: readonly (string | symbol)[];
}

/**
 * Waits for the next event and gives its arguments. It listens from the `yield*` on, not from the call: an event that comes
 * earlier is missed; subscribe with `on` where that may happen. Cancelling removes the listeners and takes nothing.
 *
 * @throws the error, when the emitter emits `"error"` meanwhile (unless that is the event waited for).
 * @throws the reason of `signal` when that aborts.
 * @example
 * const [code] = yield* once<[number]>(child, "exit");
 */
export function once<Args extends readonly unknown[] = unknown[]>(
  emitter: EventEmitter,
  event: string | symbol,
  options: OnceOptions<Args> = {},
): Operation<Args> {
  checkEmitter("once()", emitter);
  if (options.signal !== undefined) checkSignal("the option `signal` of once()", options.signal);
  return new EmitterOnce<Args>(emitter, event, options);
}

class EmitterOnce<Args extends readonly unknown[]> extends Listening<Args> implements SignalWatcher {
  readonly #emitter: EventEmitter;
  readonly #event: string | symbol;
  readonly #options: OnceOptions<Args>;

  constructor(emitter: EventEmitter, event: string | symbol, options: OnceOptions<Args>) {
    super();
    this.#emitter = emitter;
    this.#event = event;
    this.#options = options;
  }

  get reason(): string {
    return `event ${nameOf(this.#event)}`;
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
    this.#emitter.on(this.#event, this.#happened);
    if (this.#event !== "error") this.#emitter.on("error", this.#failed);
    if (signal !== undefined) watchSignal(signal, this);
  }

  protected detach(): void {
    this.#emitter.off(this.#event, this.#happened);
    if (this.#event !== "error") this.#emitter.off("error", this.#failed);
    if (this.#options.signal !== undefined) unwatchSignal(this.#options.signal, this);
  }

  signalAborted(reason: unknown): void {
    this.failWith(reason);
  }

  readonly #happened = (...args: unknown[]): void => {
    const { filter } = this.#options;
    try {
      if (filter !== undefined && !filter(...(args as unknown as Args))) return;
    } catch (error) {
      this.failWith(error);
      return;
    }
    this.succeed(args as unknown as Args);
  };

  readonly #failed = (error: unknown): void => this.failWith(error);
}

/**
 * All such events from now on, the arguments of each, as a bounded sequence. It belongs to the current scope: the listeners
 * are removed when that ends, when the sequence is closed, and when it ends or overflows.
 *
 * `"error"` of the emitter fails the sequence: who takes gets what was kept, then the error. One of `close` ends it likewise.
 * @throws {UsageError} outside a coroutine, or for wrong options.
 * @example
 * const connections = on<[Socket]>(server, "connection", { close: ["close"] });
 * yield* forEachConcurrent(connections, ([socket]) => serve(socket));
 */
export function on<Args extends readonly unknown[] = unknown[]>(
  emitter: EventEmitter,
  event: string | symbol,
  options: OnOptions = {},
): EventSequence<Args> {
  checkEmitter("on()", emitter);
  const { close = [] } = options;
  if (!Array.isArray(close)) {
    throw new UsageError(`the option \`close\` of on() takes a list of events, got ${describeValue(close)}`);
  }
  return new EventSequence<Args>(
    `events ${nameOf(event)}`,
    (intake) => {
      const happened = (...args: unknown[]): void => intake.push(args as unknown as Args);
      const failed = (error: unknown): void => intake.fail(error);
      const ended = (): void => intake.end();
      const remove = (): void => {
        emitter.off(event, happened);
        if (event !== "error") emitter.off("error", failed);
        for (const end of close) emitter.off(end, ended);
      };
      try {
        emitter.on(event, happened);
        if (event !== "error") emitter.on("error", failed);
        for (const end of close) emitter.on(end, ended);
      } catch (error) {
        remove(); // an emitter may refuse: `newListener` handlers can throw
        throw error;
      }
      return remove;
    },
    options,
  );
}

function nameOf(event: string | symbol): string {
  return typeof event === "string" ? `"${event}"` : String(event);
}

function checkEmitter(what: string, emitter: unknown): void {
  const it = emitter as { on?: unknown; off?: unknown; addEventListener?: unknown } | null | undefined;
  if (typeof it?.on === "function" && typeof it.off === "function") return;
  const isTarget = typeof it?.addEventListener === "function";
  throw new UsageError(
    `${what} takes an EventEmitter, got ${describeValue(emitter)}` +
      (isTarget ? "; for an EventTarget import it from fibril/interop" : ""),
  );
}
