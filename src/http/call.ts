/**
 * One call of the composed path, from the verb to the end of the response's body: its limits, its signals, its responses.
 *
 * It keeps three promises. The total limit goes over everything. An aborted signal ends the call in whatever state it is, and no
 * listener is left when the call has ended. And a response that a middleware has dropped is closed when the call has its
 * answer, so that no connection leaks; only what the answer is, or is made from, stays open.
 */
import type { Scope } from "../core/index.ts";
import { checkSignal, unwatchSignal, watchSignal } from "../interop/signal-watch.ts";
import type { SignalWatcher } from "../interop/signal-watch.ts";
import type { LoopPort } from "../lowlevel.ts";
import type { FailedAttempt } from "./attempts.ts";
import { RequestAbortedError } from "./errors.ts";
import type { HttpTimeouts, RequestSubject } from "./errors.ts";
import type { RequestTrace } from "./events.ts";
import { mergeHeaders } from "./headers.ts";
import type { Holdings } from "./holdings.ts";
import { HttpRequest, requestParts } from "./http-request.ts";
import { checkCount, checkStatusCheck, checkTimeouts, DEFAULT_MAX_BODY_BYTES } from "./limits.ts";
import type { StatusCheck } from "./limits.ts";
import type { RequestOptions } from "./options.ts";
import type { HttpResponse } from "./response.ts";
import type { BodyEnding, EarlierTimes } from "./response-carrier.ts";
import { NO_TIME } from "./response-parts.ts";
import type { SendingCall } from "./send.ts";
import type { SessionContext } from "./session-context.ts";
import { resolveTarget } from "./target.ts";
import type { Transfer } from "./transfer.ts";

export class ComposedCall implements SendingCall, SignalWatcher {
  readonly loop: LoopPort;
  readonly options: RequestOptions;
  readonly startedAt: number;
  readonly deadline: number;
  readonly timeouts: HttpTimeouts;
  readonly maxBodyBytes: number;
  readonly maxChunkedBytes: number;
  readonly holdings: Holdings;
  readonly trace: RequestTrace | null;
  readonly maxRedirects: number;
  readonly raiseForStatus: StatusCheck;
  readonly first: HttpRequest;
  readonly failedAttempts: FailedAttempt[] = [];
  ticket = 0;
  readonly #context: SessionContext;
  readonly #signals: readonly AbortSignal[];
  readonly #opened: Set<HttpResponse> = new Set();
  #earlier: EarlierTimes = NO_TIME;
  #last: Transfer | null = null;
  /** What an abort ends now. */
  #scope: Scope | null = null;
  #ending: BodyEnding | null = null;
  #subject: RequestSubject;

  /** @throws {UsageError} {InvalidUrlError} {InvalidRequestError} {RequestAbortedError} when a signal has aborted already. */
  constructor(
    context: SessionContext,
    sessionSignal: AbortSignal | undefined,
    method: string,
    url: string | URL,
    options: RequestOptions,
  ) {
    const { maxRedirects = context.maxRedirects, raiseForStatus = context.raiseForStatus } = options;
    const { maxBodyBytes = context.maxBodyBytes } = options;
    checkCount("maxRedirects", maxRedirects, 0);
    checkStatusCheck(raiseForStatus);
    if (maxBodyBytes !== undefined) checkCount("maxBodyBytes", maxBodyBytes, 0);
    this.#context = context;
    this.loop = context.loop;
    this.options = options;
    this.timeouts = checkTimeouts(options.timeout, context.timeouts);
    this.startedAt = context.loop.now();
    this.deadline = this.startedAt + this.timeouts.totalMs;
    this.maxBodyBytes = maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.maxChunkedBytes = maxBodyBytes ?? Infinity;
    this.maxRedirects = maxRedirects;
    this.raiseForStatus = raiseForStatus;
    this.holdings = context.holdings;
    const target = resolveTarget(method, url, context.base, options.query, context.pool.canonicalOrigin);
    const subject = { method, url: target.url };
    const { headers: changes } = options;
    const headers = changes === undefined ? context.headers : mergeHeaders(context.headers, changes, subject);
    this.#subject = subject;
    this.#signals = signalsOf(sessionSignal, options.signal, subject);
    this.trace = context.observers.begin(options.observer);
    this.first = new HttpRequest(this, requestParts(subject, target, headers, options), 1, []);
  }

  pauseHost(origin: string, ms: number): void {
    this.#context.pool.pause(origin, ms);
  }

  timeBefore(transfer: Transfer): EarlierTimes {
    const last = this.#last;
    this.#last = transfer;
    if (last === null) return NO_TIME;
    const { queueMs, connectMs, headersMs, bodyMs } = this.#earlier;
    this.#earlier = {
      queueMs: queueMs + last.queueMs,
      connectMs: connectMs + last.connectMs,
      headersMs: headersMs + last.headersMs,
      bodyMs: bodyMs + (last.phase === "body" ? this.loop.now() - last.since : last.bodyMs),
    };
    return this.#earlier;
  }

  opened(response: HttpResponse): void {
    this.#opened.add(response);
  }

  /** From now on an abort cancels `scope`. */
  begin(scope: Scope): void {
    this.#scope = scope;
    for (const signal of this.#signals) watchSignal(signal, this);
  }

  /** There is an answer, and it goes to the caller: whatever it does not stand for is closed. */
  answered(response: HttpResponse): void {
    for (const other of this.#opened) {
      if (!response.standsFor(other) && !other.standsFor(response)) other.close();
    }
    this.#opened.clear();
    this.#scope = null;
    this.#last = null;
    if (this.#signals.length === 0) return;
    if (response.isComplete) return this.#unwatch();
    this.#subject = { method: response.method, url: response.url };
    this.#ending = response.ending;
    this.#ending.onEnd = () => this.#unwatch();
  }

  /** It ends without an answer. */
  failed(): void {
    for (const response of this.#opened) response.close();
    this.#opened.clear();
    this.#scope = null;
    this.#last = null;
    this.#unwatch();
  }

  /** A signal has aborted. */
  signalAborted(reason: unknown): void {
    if (this.#scope !== null) return this.#scope.request("abort-signal", reason);
    const ending = this.#ending;
    this.#unwatch();
    ending?.fail(new RequestAbortedError(this.#subject, reason));
  }

  #unwatch(): void {
    this.#ending = null;
    for (const signal of this.#signals) unwatchSignal(signal, this);
  }
}

const NO_SIGNALS: readonly AbortSignal[] = [];

function signalsOf(
  first: AbortSignal | undefined,
  second: AbortSignal | undefined,
  subject: RequestSubject,
): readonly AbortSignal[] {
  if (first === undefined && second === undefined) return NO_SIGNALS;
  const signals = [first, second].filter((signal) => signal !== undefined);
  for (const signal of signals) {
    checkSignal("the option `signal` of a request", signal);
    if (signal.aborted) throw new RequestAbortedError(subject, signal.reason);
  }
  return signals;
}
