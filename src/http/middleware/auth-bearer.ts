/**
 * Bearer tokens (RFC 6750) that are fetched when they are needed, and again when the server does not accept them any more.
 *
 * However many requests need a token at the same moment, one of them fetches it and the others wait. That one runs the fetch in
 * its own task, so it obeys the deadlines of that task and shows in its await stack; when it is cancelled in the middle, one
 * of those who wait takes over, so nobody suffers from the cancellation of somebody else.
 */
import { describeValue, Future, isOperation, TaskLocal, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";
import type { HttpResponse } from "../response.ts";
import { Authentication } from "./auth.ts";
import type { AuthOrigins, AuthScheme } from "./auth.ts";
import type { Next } from "./middleware.ts";

/**
 * Sends `authorization: Bearer …`.
 *
 * With a function the token is fetched for the first request, and once more when an answer has status 401; then that request is sent
 * again, if its body can be. Requests that get a 401 together cause one fetch. A second 401 is what the caller gets.
 * The function may use the same session: what it requests, and the tasks that it spawns, goes without a token.
 * @throws what the function throws, for all requests that waited for it; the next one tries anew.
 * @example
 * const auth = bearerAuth(function* () {
 *   const response = yield* session.post("https://login.example.org/token", { form: { grant_type: "client_credentials" } });
 *   return (yield* response.json<{ access_token: string }>()).access_token;
 * });
 */
export function bearerAuth(token: string | (() => Operation<string>), options: AuthOrigins = {}): Authentication {
  if (typeof token === "string") checkToken(token);
  else if (typeof token !== "function") {
    throw new UsageError(
      `bearerAuth() takes a token or a coroutine function that gets one, got ${describeValue(token)}`,
    );
  }
  return new Authentication(new BearerScheme(token), options);
}

class BearerScheme implements AuthScheme {
  readonly #fetch: (() => Operation<string>) | null;
  #token: string | null;
  /** Set while somebody fetches; resolved when that has ended in whatever way. */
  #fetching: Future<FetchResult> | null = null;
  /** Whether the running task gets the token, or was spawned for that: its requests must not wait for themselves. */
  readonly #isFetcher: TaskLocal<boolean> = new TaskLocal("fetches a token", false);

  constructor(token: string | (() => Operation<string>)) {
    this.#fetch = typeof token === "function" ? token : null;
    this.#token = typeof token === "function" ? null : token;
  }

  *send(request: HttpRequest, next: Next): Coroutine<HttpResponse> {
    if (this.#fetching !== null && this.#isFetcher.get()) return yield* next(request); // the request for the token itself
    const token = this.#token ?? (yield* this.#refresh(null));
    const response = yield* next(withToken(request, token));
    if (response.status !== 401 || this.#fetch === null || !request.isReplayable) return response;
    yield* response.discard();
    return yield* next(withToken(request, yield* this.#refresh(token)));
  }

  *header(): Coroutine<string> {
    return `Bearer ${this.#token ?? (yield* this.#refresh(null))}`;
  }

  /** A token other than `refused`, which the server does not accept; the one that somebody has got meanwhile will do. */
  *#refresh(refused: string | null): Coroutine<string> {
    for (;;) {
      if (this.#token !== null && this.#token !== refused) return this.#token;
      if (this.#fetching === null) return yield* this.#fetchNow();
      const result = yield* this.#fetching;
      if ("error" in result) throw result.error;
      if ("token" in result) return result.token;
      // Who fetched was cancelled: the first of those who waited goes on.
    }
  }

  *#fetchNow(): Coroutine<string> {
    const fetching = new Future<FetchResult>({ name: "the token that another request fetches" });
    this.#fetching = fetching;
    this.#token = null;
    let result: FetchResult = GIVEN_UP;
    try {
      const token = yield* this.#isFetcher.with(true, () => checkOperation(this.#fetch!()));
      checkToken(token);
      this.#token = token;
      result = { token };
      return token;
    } catch (error) {
      if (error instanceof Error) result = { error }; // `Cancelled` is none
      throw error;
    } finally {
      this.#fetching = null;
      fetching.resolve(result);
    }
  }
}

type FetchResult = { readonly token: string } | { readonly error: unknown } | Readonly<Record<never, never>>;

const GIVEN_UP: FetchResult = Object.freeze({});

function withToken(request: HttpRequest, token: string): HttpRequest {
  return request.with({ headers: { authorization: `Bearer ${token}` } });
}

/** Without the value in the message: it is a secret. */
function checkToken(token: unknown): asserts token is string {
  if (typeof token === "string" && /^[\w\-.~+/]+=*$/.test(token)) return;
  throw new UsageError("a bearer token must be a text of letters, digits and -._~+/, with = at its end only");
}

function checkOperation(operation: Operation<string>): Operation<string> {
  if (isOperation(operation)) return operation;
  throw new UsageError(
    `the function that bearerAuth() was given must be a coroutine function (function*), but gave ${describeValue(operation)}`,
  );
}
