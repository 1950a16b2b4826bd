/**
 * A circuit breaker for each origin: a host that is down is not asked again and again, and each caller is told at once.
 *
 * The breaker itself is that of src/time. Here is said what a failure of the *server* is: no connection, a broken
 * exchange, an answer that does not come in time, a status of 500 or more. A status below 500 is a success, for the server
 * works. What the caller has done (a cancellation, a wrong header, a stream that fails) and what the session has done (a wait in line
 * that was too long) says nothing about the server and counts as neither, so a trial that ends so is simply repeated.
 *
 * It stands last before the network: an answer from the cache asks nobody, and each retry counts. What it refuses is not
 * retried.
 */
import { Cancelled, describeValue, UsageError } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import { CircuitBreaker, CircuitOpenError } from "../../time/index.ts";
import type { CircuitBreakerOptions, CircuitBreakerStatistics, CircuitStateChange } from "../../time/index.ts";
import { CertificatePinError, ProxyError } from "../connect/errors.ts";
import { ConnectError, describeRequest, HttpError, HttpTimeoutError, ProtocolError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import type { HttpRequest } from "../http-request.ts";
import { checkCount } from "../limits.ts";
import type { HttpResponse } from "../response.ts";
import type { Layer, Middleware, Next } from "./middleware.ts";
import { OriginMap } from "./origin-map.ts";

/** The request was not made, since its host has failed too often. Code: `HTTP_CIRCUIT_OPEN`. */
export class HttpCircuitOpenError extends HttpError {
  readonly origin: string;
  /** When it may be tried again, in milliseconds of the loop's clock; `Infinity` until `reset()`. */
  readonly retryAt: number;
  /** The same from now on. */
  readonly retryAfterMs: number;

  constructor(subject: RequestSubject, origin: string, open: CircuitOpenError) {
    const { retryAt, retryAfterMs } = open;
    const advice =
      retryAfterMs === Infinity
        ? "reset the breaker to close it"
        : retryAfterMs > 0
          ? `the next one is tried in ${Math.ceil(retryAfterMs)} ms`
          : "another one is finding out whether it has recovered";
    super(
      "HTTP_CIRCUIT_OPEN",
      `${describeRequest(subject)} was not sent: requests to ${origin} have failed too often; ${advice}`,
      subject,
      { cause: open },
    );
    this.origin = origin;
    this.retryAt = retryAt;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a breaker of an origin has to judge. */
export interface ExchangeOutcome {
  readonly request: HttpRequest;
  readonly response: HttpResponse | undefined;
  readonly error: unknown;
}

export interface OriginCircuitChange extends CircuitStateChange {
  readonly origin: string;
}

export interface CircuitBreakersOptions extends Omit<CircuitBreakerOptions, "isFailure" | "onStateChange" | "name"> {
  /**
   * Whether the server has failed; `undefined` leaves it to the default: no connection, a broken exchange, a timeout, a status of 500
   * or more.
   */
  readonly isFailure?: (outcome: ExchangeOutcome) => boolean | undefined;
  /** Called after each change of a breaker. What it throws is reported by the loop. */
  readonly onStateChange?: (change: OriginCircuitChange) => void;
  /** How many origins are kept; then the one that was not asked for longest is forgotten. Default: 1,000. */
  readonly maxOrigins?: number;
}

export interface OriginCircuitStatistics extends CircuitBreakerStatistics {
  readonly origin: string;
}

/**
 * The circuit breakers of many origins, made when they are needed.
 *
 * @throws {UsageError} when an option is not as described.
 * @example
 * const breakers = new CircuitBreakers({ failures: 5, openMs: 10_000 });
 * const session = yield* Session.open({ circuitBreaker: breakers });
 * for (const { origin, state } of breakers.statistics()) console.log(origin, state);
 */
export class CircuitBreakers {
  readonly #options: CircuitBreakersOptions;
  readonly #breakers: OriginMap<CircuitBreaker>;

  constructor(options: CircuitBreakersOptions = {}) {
    const { maxOrigins = 1_000 } = options;
    checkCount("circuitBreaker.maxOrigins", maxOrigins, 1);
    this.#options = options;
    this.#breakers = new OriginMap(maxOrigins);
    this.#make(""); // a wrong option is told where it was written
  }

  /** The breaker of an origin (`https://example.org`), to `trip` or `reset` it by hand. */
  of(origin: string): CircuitBreaker {
    return this.#breakers.get(origin, () => this.#make(origin));
  }

  /** Those that are kept, the one that was asked last at the end. */
  statistics(): readonly OriginCircuitStatistics[] {
    const all = Array.from(this.#breakers.entries(), ([origin, it]) => Object.freeze({ origin, ...it.statistics() }));
    return Object.freeze(all);
  }

  readonly middleware: Middleware = (request, next) => this.#run(request, next);

  *#run(request: HttpRequest, next: Next): Coroutine<HttpResponse> {
    const { origin } = request;
    try {
      return yield* this.of(origin).use(() => this.#judged(request, next));
    } catch (error) {
      if (error instanceof Failure) {
        if (error.outcome.response !== undefined) return error.outcome.response;
        throw error.outcome.error;
      }
      if (error instanceof CircuitOpenError) throw new HttpCircuitOpenError(request, origin, error);
      throw error;
    }
  }

  /** The breaker knows failures by their being thrown, and not what was asked: so both are thrown with what they were about. */
  *#judged(request: HttpRequest, next: Next): Coroutine<HttpResponse> {
    let response: HttpResponse;
    try {
      response = yield* next(request);
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      const outcome = { request, response: undefined, error };
      throw new Failure(outcome, this.#options.isFailure?.(outcome) ?? isServerFailure(error));
    }
    const outcome = { request, response, error: undefined };
    const isFailure = this.#options.isFailure?.(outcome) ?? response.status >= 500;
    if (isFailure) throw new Failure(outcome, true);
    return response;
  }

  #make(origin: string): CircuitBreaker {
    const { failures, ratio, windowMs, openMs, halfOpenMax, onStateChange } = this.#options;
    const options = { failures, ratio, windowMs, openMs, halfOpenMax } as CircuitBreakerOptions;
    return new CircuitBreaker({
      ...options,
      name: origin,
      // What is no `Failure` was thrown by the caller's own `isFailure`.
      isFailure: (error) => (error instanceof Failure ? error.isOfServer : undefined),
      onStateChange: (change) => onStateChange?.({ ...change, origin }),
    });
  }
}

/** Carries what came out past the breaker. */
class Failure {
  readonly outcome: ExchangeOutcome;
  readonly isOfServer: boolean | undefined;

  constructor(outcome: ExchangeOutcome, isOfServer: boolean | undefined) {
    this.outcome = outcome;
    this.isOfServer = isOfServer;
  }
}

/** `undefined`: it says nothing about the server. */
function isServerFailure(error: unknown): boolean | undefined {
  if (error instanceof ConnectError || error instanceof ProtocolError) return true;
  if (error instanceof ProxyError || error instanceof CertificatePinError) return true;
  return error instanceof HttpTimeoutError && error.phase !== "queue" ? true : undefined;
}

/** An option of sessions and requests. */
export interface CircuitBreakingOptions {
  /**
   * Refuses requests to an origin that has failed too often: `true`, options, or breakers that several sessions share. For a request:
   * `false` to go without. Default: none.
   */
  readonly circuitBreaker?: boolean | CircuitBreakersOptions | CircuitBreakers;
}

/** @throws {UsageError} when an option is not as described. @package */
export function circuitBreakerLayer(options: CircuitBreakingOptions): Layer<CircuitBreakingOptions> {
  let ofSession = toBreakers(options.circuitBreaker);
  return {
    middleware({ circuitBreaker }) {
      if (circuitBreaker === undefined) return ofSession?.middleware ?? null;
      // What a request turns on has to last longer than the request.
      if (circuitBreaker === true) return (ofSession ??= new CircuitBreakers()).middleware;
      return toBreakers(circuitBreaker)?.middleware ?? null;
    },
  };
}

function toBreakers(option: CircuitBreakingOptions["circuitBreaker"]): CircuitBreakers | null {
  if (option === undefined || option === false) return null;
  if (option === true) return new CircuitBreakers();
  if (option instanceof CircuitBreakers) return option;
  if (typeof option === "object" && option !== null) return new CircuitBreakers(option);
  throw new UsageError(`circuitBreaker must be true, false, options or CircuitBreakers, got ${describeValue(option)}`);
}
