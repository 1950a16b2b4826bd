/**
 * All options of a request and of a session: their own and those of the features, each of which says beside its code what it offers.
 */
import type { ConnectOptions } from "./connect/options.ts";
import type { UndiciModule } from "./connect/undici.ts";
import type { AuthOptions } from "./middleware/auth.ts";
import type { CacheOptions } from "./middleware/cache.ts";
import type { CircuitBreakingOptions } from "./middleware/circuit-breaker.ts";
import type { CookieOptions } from "./middleware/cookies.ts";
import type { MiddlewareOptions, Transport } from "./middleware/middleware.ts";
import type { RetryingOptions } from "./middleware/retry.ts";
import type { PlainRequestOptions } from "./plain-request.ts";
import type { QueueOptions } from "./queue/options.ts";
import type { DefaultOptions } from "./session-context.ts";
import type { ObserverOptions } from "./events.ts";

/** Options of one request. What is not given comes from the session. */
export interface RequestOptions
  extends
    PlainRequestOptions,
    MiddlewareOptions,
    RetryingOptions,
    CookieOptions,
    AuthOptions,
    CacheOptions,
    CircuitBreakingOptions {
  /**
   * Cancels the request when it aborts, and the reading of its body, with a `RequestAbortedError`. In coroutines scopes and `timeout` do
   * this already; it is for signals that come from promise code.
   */
  readonly signal?: AbortSignal;
}

/** What `session.with` can change. */
export interface SessionDefaults
  extends
    DefaultOptions,
    MiddlewareOptions,
    RetryingOptions,
    CookieOptions,
    AuthOptions,
    CacheOptions,
    CircuitBreakingOptions {
  /** Answers in place of the network: a mock, a recording. Default: the network. */
  readonly transport?: Transport;
  /** Cancels every request, as the option of requests does. */
  readonly signal?: AbortSignal;
}

export interface SessionOptions extends SessionDefaults, ConnectOptions, QueueOptions, ObserverOptions {
  /** Shown in messages. Default: `"http"`. */
  readonly name?: string;
  /** The undici to use, `^7.30 || ^8`. Default: the one that is installed. */
  readonly undici?: UndiciModule;
}
