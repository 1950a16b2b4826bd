/**
 * Retries of a session's requests: opt-in, bounded, and never hidden.
 *
 * A retry is a promise to the caller and a burden to the server, so it happens only where it is safe (idempotent methods, a body that can
 * be sent again), where it can help (the errors and statuses of a bad moment), and within four limits: the attempts, the delays, the
 * time that is left, and a budget that all requests to one origin share.
 *
 * `Retry-After` speaks for the host and not for the one request that happens to hear it: all requests of the session to that
 * origin are held back.
 *
 * The last attempt has no say in what comes out: its response is returned and its error thrown, as they would be without
 * retries. `response.attempts` and `failedAttempts(error)` tell of those before, and each of them is an event.
 * Source: RFC 9110 §9.2.2 for what may be repeated; Brooker, "Exponential Backoff And Jitter"; Finagle's `RetryBudget`.
 */
import { Cancelled, currentTask, describeValue, UsageError, Wait } from "../../core/index.ts";
import type { Coroutine, Started, Waiter } from "../../core/index.ts";
import { Backoff, remainingMs, RetryBudget } from "../../time/index.ts";
import type { BackoffOptions, RetryBudgetOptions } from "../../time/index.ts";
import { noteFailedAttempts } from "../attempts.ts";
import { ConnectError, describeRequest, HttpTimeoutError, ProtocolError } from "../errors.ts";
import type { HttpRequest } from "../http-request.ts";
import { checkCount } from "../limits.ts";
import type { HttpResponse } from "../response.ts";
import { ProxyError } from "../connect/errors.ts";
import type { Layer, Middleware, Next } from "./middleware.ts";
import { OriginMap } from "./origin-map.ts";
import { retryAfterMs } from "./retry-after.ts";

/** How one attempt has ended: with a response or with an error. */
export interface AttemptOutcome {
  readonly request: HttpRequest;
  /** Counted from 1. */
  readonly attempt: number;
  /** Its body has not been read; whoever reads it takes it from the caller. */
  readonly response: HttpResponse | undefined;
  readonly error: unknown;
}

export interface RetryPolicy extends BackoffOptions {
  /** How many attempts are made at most, the first one counted. Default: 3. */
  readonly attempts?: number;
  /** The methods that are tried again. Default: the idempotent ones, GET, HEAD, OPTIONS, TRACE, PUT, DELETE. */
  readonly methods?: readonly string[];
  /** The statuses after which it is tried again. Default: 408, 425, 429, 500, 502, 503, 504. */
  readonly statuses?: readonly number[];
  /** When `Retry-After` asks for more, in milliseconds, it gives up. Default: 60,000. */
  readonly maxRetryAfterMs?: number;
  /** Whether `Retry-After` holds back all requests of the session to that origin, for at most `maxRetryAfterMs`. Default: `true`. */
  readonly pauseHost?: boolean;
  /**
   * What the retries to one origin may add to its load: options of a budget for each origin, one budget for all, or `false` for no
   * such limit. Default: one retry for ten requests, and ten in reserve, for each origin.
   */
  readonly budget?: RetryBudgetOptions | RetryBudget | false;
  /**
   * Has the last word on what is worth another attempt: `undefined` leaves it to `methods`, `statuses` and the rules for errors. The
   * limits hold all the same, and a body that cannot be sent again is not. What it throws is thrown to the caller.
   */
  readonly shouldRetry?: (outcome: AttemptOutcome) => boolean | undefined;
}

/** An option of sessions and requests. */
export interface RetryingOptions {
  /**
   * Tries again what failed: how many times, or a policy. That of a request replaces that of its session; 0 and `false` are none.
   * Default: none.
   */
  readonly retry?: number | false | RetryPolicy;
}

const IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
const TEMPORARY = [408, 425, 429, 500, 502, 503, 504];
const MOST_ORIGINS = 1_000; // a budget is 100 bytes; a crawler that visits more forgets those it has not seen for longest

/**
 * Made once for a session; its requests share the budgets.
 * @throws {UsageError} when an option is not as described.
 * @package
 */
export function retryLayer(options: RetryingOptions): Layer<RetryingOptions> {
  const budgets = new OriginMap<RetryBudget>(MOST_ORIGINS);
  const ofSession = new Retrying(options.retry, budgets);
  return {
    middleware({ retry }) {
      const retrying = retry === undefined ? ofSession : new Retrying(retry, budgets);
      return retrying.attempts > 1 ? retrying.middleware : null;
    },
  };
}

class Retrying {
  readonly attempts: number;
  readonly #methods: ReadonlySet<string>;
  readonly #statuses: ReadonlySet<number>;
  readonly #maxRetryAfterMs: number;
  readonly #pausesHost: boolean;
  readonly #backoff: BackoffOptions;
  readonly #budgetFor: (origin: string) => RetryBudget | null;
  readonly #shouldRetry: RetryPolicy["shouldRetry"];

  constructor(retry: RetryingOptions["retry"], budgets: OriginMap<RetryBudget>) {
    const policy = toPolicy(retry);
    const { attempts = 3, methods = IDEMPOTENT, statuses = TEMPORARY, maxRetryAfterMs = 60_000 } = policy;
    checkCount("retry.attempts", attempts, 1);
    if (typeof maxRetryAfterMs !== "number" || !(maxRetryAfterMs >= 0)) {
      throw new UsageError(`retry.maxRetryAfterMs must be a number from 0 on, got ${describeValue(maxRetryAfterMs)}`);
    }
    this.attempts = attempts;
    this.#methods = new Set(methods.map((method) => method.toUpperCase()));
    this.#statuses = new Set(statuses);
    this.#maxRetryAfterMs = maxRetryAfterMs;
    this.#pausesHost = policy.pauseHost ?? true;
    this.#backoff = policy;
    new Backoff(policy); // a wrong option is told where it was written
    this.#shouldRetry = policy.shouldRetry;
    const { budget = {} } = policy;
    if (budget === false) this.#budgetFor = (): null => null;
    else if (budget instanceof RetryBudget) this.#budgetFor = (): RetryBudget => budget;
    else {
      new RetryBudget(budget); // the same
      this.#budgetFor = (origin) => budgets.get(origin, () => new RetryBudget({ name: origin, ...budget }));
    }
  }

  readonly middleware: Middleware = (request, next) => this.#run(request, next);

  *#run(first: HttpRequest, next: Next): Coroutine<HttpResponse> {
    const task = currentTask();
    const held = task.unwinding; // of the cleanup that asks for it
    const { call } = first;
    const backoff = new Backoff(this.#backoff);
    const budget = this.#budgetFor(first.origin);
    budget?.deposit();
    let hasRenewed = false; // a broken kept connection was replaced
    for (let request = first; ; request = request.nextAttempt()) {
      let response: HttpResponse | undefined;
      let error: unknown;
      try {
        response = yield* next(request);
      } catch (thrown) {
        // Also when the cleanup of a cancelled attempt has thrown an error of its own: nobody wants another one.
        if (thrown instanceof Cancelled || task.unwinding !== held) throw thrown;
        error = thrown;
      }
      const { attempt } = request;
      const outcome = { request, attempt, response, error };
      const asked = this.#heed(outcome);
      const isRenewal: boolean = !hasRenewed && isStaleConnection(error);
      // A cancellation that came in the same turn has not been thrown yet. It is no deadline, and the pause is where it will be.
      const isEnding = held === null && task.isCancelling;
      const leftMs = isEnding ? Infinity : Math.min(request.remainingMs(), remainingMs());
      const delayMs = this.#delayAfter(outcome, asked, isRenewal, leftMs, backoff, budget);
      if (delayMs === null) {
        if (response !== undefined) return response;
        noteFailedAttempts(error, call.failedAttempts);
        throw error;
      }
      hasRenewed ||= isRenewal;
      const status = response?.status;
      call.failedAttempts.push({ attempt, method: request.method, url: request.url, status, error, delayMs });
      if (response !== undefined) yield* response.discard();
      call.trace?.retry(request, attempt, { delayMs, status, error });
      yield* new RetryPause(request, attempt, this.attempts, delayMs, status);
    }
  }

  /** What the server asks for, in milliseconds; holds back the host. */
  #heed({ request, response }: AttemptOutcome): number {
    if (response === undefined || !this.#statuses.has(response.status)) return 0;
    const asked = retryAfterMs(response.headers);
    if (asked === undefined) return 0;
    if (this.#pausesHost) request.call.pauseHost(request.origin, Math.min(asked, this.#maxRetryAfterMs));
    return asked;
  }

  /** `null` to leave it at that. */
  #delayAfter(
    outcome: AttemptOutcome,
    asked: number,
    isRenewal: boolean,
    leftMs: number,
    backoff: Backoff,
    budget: RetryBudget | null,
  ): number | null {
    const { request, attempt } = outcome;
    if (attempt >= this.attempts || !request.isReplayable) return null;
    if (!(this.#shouldRetry?.(outcome) ?? this.#mayHeal(outcome))) return null;
    if (isRenewal) return 0; // it is no sign of trouble, so it costs no budget either
    if (asked > this.#maxRetryAfterMs) return null;
    const delayMs = Math.max(asked, backoff.delayMs(attempt, request.call.loop.random()));
    // A wait that cannot end in time would only hide the failure behind a timeout.
    if (delayMs >= leftMs) return null;
    return budget === null || budget.tryWithdraw() ? delayMs : null; // last: what is taken is spent
  }

  #mayHeal({ request, response, error }: AttemptOutcome): boolean {
    if (!this.#methods.has(request.method)) return false;
    return response === undefined ? mayHeal(error) : this.#statuses.has(response.status);
  }
}

function toPolicy(retry: RetryingOptions["retry"]): RetryPolicy {
  if (retry === undefined || retry === false) return { attempts: 1 };
  if (typeof retry === "number") {
    checkCount("retry", retry, 0);
    return { attempts: retry + 1 };
  }
  if (typeof retry === "object" && retry !== null) return retry;
  throw new UsageError(`retry must be how many times to try again, a policy or false, got ${describeValue(retry)}`);
}

/** Whether an error is that of a bad moment. */
function mayHeal(error: unknown): boolean {
  if (error instanceof ConnectError) return !LASTING.test(error.systemCode ?? "");
  if (error instanceof ProxyError) return error.phase === "connect";
  if (error instanceof ProtocolError) return error.problem === "closed" || error.problem === "reset";
  return error instanceof HttpTimeoutError && (error.phase === "connect" || error.phase === "headers");
}

// An unknown host, or a certificate that is wrong: neither is better a second later. EAI_AGAIN is.
const LASTING = /^ENOTFOUND$|^EPROTO$|CERT|SELF_SIGNED|UNABLE_TO_|CRL_|HOSTNAME_MISMATCH|^ERR_TLS|^ERR_SSL/;

/** A kept connection that the server closed just when it was used again: the request was most likely not even read. */
function isStaleConnection(error: unknown): boolean {
  return error instanceof ProtocolError && error.reusedConnection && !error.afterHeaders;
}

/** The time between two attempts. Its state lives in the task, which is its own timer. */
class RetryPause extends Wait<void> {
  readonly #request: HttpRequest;
  readonly #attempt: number;
  readonly #attempts: number;
  readonly #delayMs: number;
  readonly #status: number | undefined;

  constructor(request: HttpRequest, attempt: number, attempts: number, delayMs: number, status: number | undefined) {
    super();
    this.#request = request;
    this.#attempt = attempt;
    this.#attempts = attempts;
    this.#delayMs = delayMs;
    this.#status = status;
  }

  get reason(): string {
    const most = this.#attempts === Infinity ? "" : ` of ${this.#attempts - 1}`;
    const cause = this.#status === undefined ? "" : ` after status ${this.#status}`;
    return `${describeRequest(this.#request)}, retry ${this.#attempt}${most} in ${Math.round(this.#delayMs)} ms${cause}`;
  }

  protected start(task: Waiter): Started<void> {
    if (this.#delayMs <= 0) return task.pass(this, undefined);
    task.loop.addTimer(task, task.loop.now() + this.#delayMs);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    task.loop.removeTimer(task);
    return true;
  }
}
