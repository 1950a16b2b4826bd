/**
 * A body that survives its connections: when one breaks in the middle, the rest is asked for with `Range`.
 *
 * That is safe only if the rest belongs to the same bytes. So it is asked for under the condition that the resource still has the
 * validators of the first response, and when it has changed that is an error: what was handed out cannot be taken back.
 * Without a strong ETag or a date nothing is ever put together.
 */
import { Cancelled, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import { running } from "../../lowlevel.ts";
import { Backoff, sleep } from "../../time/index.ts";
import type { BackoffOptions } from "../../time/index.ts";
import { describeRequest, HttpError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import type { RequestOptions } from "../options.ts";
import type { HttpResponse } from "../response.ts";
import { ifRangeOf, validatorsOf } from "./conditional.ts";
import type { Validators } from "./conditional.ts";
import { RangeMismatchError } from "./ranges.ts";

/** A session, as far as it is needed here. */
export interface Getter {
  get(url: string | URL, options?: RequestOptions): Operation<HttpResponse>;
}

export interface ResumableOptions extends BackoffOptions {
  /** Options of each request; not of one that has a body, a range or a condition of its own. */
  readonly request?: Omit<RequestOptions, "range" | "unlessChanged" | "decompress" | "onProgress" | "raiseForStatus">;
  /** How often in a row to connect again without getting anything. Default: 5. */
  readonly attempts?: number;
  /** Where to begin, in bytes. Needs `ifUnchanged`, or else the answer begins at 0. Default: 0. */
  readonly start?: number;
  /** The validators of the bytes before `start`. If the resource has changed since, the body begins at 0: see `startedAt`. */
  readonly ifUnchanged?: Validators;
}

/** The rest of a body cannot be had, because the resource has changed since it began. Code: `HTTP_RESOURCE_CHANGED`. */
export class ResourceChangedError extends HttpError {
  /** How much had come of the earlier version. */
  readonly receivedBytes: number;

  constructor(subject: RequestSubject, receivedBytes: number, cause: unknown) {
    super(
      "HTTP_RESOURCE_CHANGED",
      `${describeRequest(subject)} broke off after ${receivedBytes} bytes and has changed since; begin again`,
      subject,
      { cause },
    );
    this.receivedBytes = receivedBytes;
  }
}

const DEFAULT_ATTEMPTS = 5;

/**
 * Asks for a resource, uncompressed, and gives its body as pieces that go on when a connection breaks.
 *
 * The first request is not repeated, and an answer that is no success throws `ResponseError`. After a break the wait between two attempts is that of `Backoff`,
 * by default up to 100 ms, 200 ms, 400 ms, … The response belongs to the scope that asks; see `Session` for what ends it.
 * @throws {ResponseError} and what the request throws.
 * @example
 * const body = yield* resumable(session, url);
 * for (let chunk = yield* body.chunk(); chunk !== undefined; chunk = yield* body.chunk()) hash.update(chunk);
 */
export function* resumable(
  session: Getter,
  url: string | URL,
  options: ResumableOptions = {},
): Coroutine<ResumableBody> {
  const { attempts = DEFAULT_ATTEMPTS, start = 0, ifUnchanged } = options;
  if (!(attempts === Infinity || (Number.isInteger(attempts) && attempts >= 0))) {
    throw new UsageError(`attempts must be a whole number, or Infinity; got ${String(attempts)}`);
  }
  if (start > 0 && ifUnchanged === undefined) {
    throw new UsageError("a body that begins in the middle needs ifUnchanged: the validators of what came before it");
  }
  const backoff = new Backoff(options);
  const request = requestOptions(options.request);
  const range = start > 0 ? { range: { start, ifUnchanged: ifUnchanged! } } : {};
  const response = yield* session.get(url, { ...request, ...range });
  yield* response.raiseForStatus(isNoSuccess);
  if (response.status === 206 && response.contentRange?.start !== start) {
    response.close(); // a part that nobody has asked for
    const answered = response.headers.get("content-range") ?? "none";
    throw new RangeMismatchError({ method: "GET", url: response.url }, { start }, answered);
  }
  return new ResumableBody(session, url, request, response, attempts, backoff);
}

const isNoSuccess = (status: number): boolean => status !== 200 && status !== 206 && status !== 203;

function requestOptions(request: ResumableOptions["request"] = {}): RequestOptions {
  const headers = { "accept-encoding": "identity" };
  const given = request.headers;
  const all = given === undefined ? headers : [...Object.entries(headers), ...entriesOf(given)];
  return { ...request, decompress: false, headers: all };
}

function entriesOf(
  headers: NonNullable<RequestOptions["headers"]>,
): [string, string | number | readonly string[] | undefined][] {
  return Symbol.iterator in headers
    ? [...(headers as Iterable<[string, string | number | readonly string[] | undefined]>)]
    : Object.entries(headers);
}

/** Pieces of a body, over as many connections as it takes. */
export class ResumableBody {
  /** The first response: status and headers. */
  readonly response: HttpResponse;
  /** Where the first piece belongs: 0, or the `start` that was asked for if nothing has changed. */
  readonly startedAt: number;
  /** The length of the whole, if the server says it. */
  readonly sizeBytes: number | undefined;
  readonly validators: Validators;
  /** Where the next piece belongs. */
  position: number;
  /** How often it had to connect again. */
  resumptions = 0;
  readonly #session: Getter;
  readonly #url: string | URL;
  readonly #request: RequestOptions;
  readonly #attempts: number;
  readonly #backoff: Backoff;
  #present: HttpResponse | null;
  /** Where the present response began. */
  #connectedAt: number;
  #failures = 0;
  #cause: unknown = undefined;
  #state: "open" | "ended" | "closed" = "open";

  /** Use `resumable()`. @internal */
  constructor(
    session: Getter,
    url: string | URL,
    request: RequestOptions,
    response: HttpResponse,
    attempts: number,
    backoff: Backoff,
  ) {
    const part = response.contentRange;
    const length = response.headers.get("content-length");
    this.response = response;
    this.startedAt = part?.start ?? 0;
    this.position = this.#connectedAt = this.startedAt;
    this.sizeBytes = part === undefined ? (length === undefined ? undefined : Number(length)) : part.sizeBytes;
    this.validators = validatorsOf(response);
    this.#session = session;
    this.#url = url;
    this.#request = request;
    this.#attempts = attempts;
    this.#backoff = backoff;
    this.#present = response;
  }

  /** Whether the rest can be asked for. */
  get isResumable(): boolean {
    return ifRangeOf(this.validators) !== undefined && this.response.headers.get("accept-ranges") !== "none";
  }

  /**
   * The next piece; `undefined` at the end. Cancelling takes nothing, also while it connects again: the next call goes on.
   *
   * @throws {ResourceChangedError} when the rest is that of another version.
   * @throws the error that broke the last connection, when no further attempt is left, or nothing to resume with.
   */
  *chunk(): Coroutine<Uint8Array | undefined> {
    while (this.#state === "open") {
      try {
        if (this.#present === null) {
          this.#connectedAt = this.position;
          this.#present = yield* this.#connect();
        }
        const chunk = yield* this.#present.chunk();
        if (chunk === undefined) {
          // A server may send less than was asked for (RFC 9110 §15.3.7), though each time a byte at least.
          if (this.#present.status === 206 && this.position < (this.sizeBytes ?? 0) && this.isResumable) {
            if (this.position === this.#connectedAt) throw this.#gaveNothing(this.#present);
            this.#present = null;
            continue;
          }
          this.#state = "ended";
          return undefined;
        }
        this.#failures = 0;
        this.position += chunk.byteLength;
        return chunk;
      } catch (error) {
        if (error instanceof Cancelled) throw error;
        this.#broke(error);
      }
    }
    return undefined;
  }

  /** Gives up the rest at once. */
  close(): void {
    this.#state = "closed";
    this.#present?.close();
    this.#present = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #gaveNothing({ url }: HttpResponse): RangeMismatchError {
    return new RangeMismatchError({ method: "GET", url }, { start: this.position }, "a part without bytes");
  }

  /** Throws the error unless it is one after which the rest can be asked for. */
  #broke(error: unknown): void {
    this.#present?.close();
    this.#present = null;
    const canGoOn = isBreak(error) && this.isResumable && this.#failures < this.#attempts;
    if (!canGoOn) {
      this.#state = "closed";
      throw error;
    }
    this.#failures++;
    this.#cause = error;
  }

  *#connect(): Coroutine<HttpResponse> {
    // The first failure after some progress is mostly the connection's alone, so it is not waited for.
    if (this.#failures > 1) yield* sleep(this.#backoff.delayMs(this.#failures - 1, running.loop!.random()));
    const range = { start: this.position, ifUnchanged: this.validators };
    const response = yield* this.#session.get(this.#url, { ...this.#request, range });
    if (response.status === 206) {
      const { sizeBytes } = response.contentRange!;
      if (this.sizeBytes === undefined || sizeBytes === undefined || sizeBytes === this.sizeBytes) {
        this.resumptions++;
        return response;
      }
    } else yield* response.raiseForStatus(isNoSuccess);
    response.close();
    this.#state = "closed";
    throw new ResourceChangedError({ method: "GET", url: response.url }, this.position, this.#cause);
  }
}

const BREAKS: ReadonlySet<unknown> = new Set(["HTTP_PROTOCOL", "HTTP_CONNECT", "HTTP_RESPONSE_CLOSED"]);
const SERVER_TROUBLE: ReadonlySet<unknown> = new Set([408, 429, 500, 502, 503, 504]);

/** Whether it is the connection that broke, or the server that is in trouble; everything else would come again. */
export function isBreak(error: unknown): boolean {
  const { code, phase, status } = error as {
    readonly code?: unknown;
    readonly phase?: unknown;
    readonly status?: unknown;
  };
  if (code === "HTTP_TIMEOUT") return phase !== "total";
  return BREAKS.has(code) || (code === "HTTP_STATUS" && SERVER_TROUBLE.has(status));
}
