/**
 * The wait for a response: from the options of a call to status and headers, through redirects.
 *
 * It is one wait, not a coroutine, because this is the hot path: no generator, no promise, no `AbortController`. What the
 * task waits for shows in its reason, which names the phase.
 */
import { sharedWait, UsageError } from "../core/index.ts";
import { Wait } from "../lowlevel.ts";
import type { LoopPort, Started, Waiter } from "../lowlevel.ts";
import { Drain } from "./body/drain.ts";
import { BodyConsumedError, describeRequest, ResponseError, TooManyRedirects, withoutCredentials } from "./errors.ts";
import type { HttpTimeouts, Redirect, RequestSubject } from "./errors.ts";
import { mergeHeaders, withDefaultHeader, withoutHeaders } from "./headers.ts";
import type { HeadersInit, OutgoingHeaders } from "./headers.ts";
import type { Holdings } from "./holdings.ts";
import { encodeBody, isReplayable, NO_BODY } from "./body/outgoing.ts";
import type { BodyOptions, OutgoingBody } from "./body/outgoing.ts";
import type { ConnectionPool } from "./connect/pool.ts";
import { HttpResponse } from "./response.ts";
import type { ResponseOrigin } from "./response.ts";
import {
  CONTENT_HEADERS,
  CROSS_ORIGIN_HEADERS,
  isRedirect,
  redirectMethod,
  redirectTarget,
  resolveTarget,
} from "./target.ts";
import type { BaseUrl, Query, Target } from "./target.ts";
import { checkCount, checkTimeouts } from "./limits.ts";
import { Transfer } from "./transfer.ts";
import type { TransferOwner } from "./transfer.ts";

/** Options of one request. What is not given comes from the session. */
export interface RequestOptions extends BodyOptions {
  /** Added to the session's, name by name; `undefined` takes one away. */
  readonly headers?: HeadersInit;
  /** Appended to the URL. */
  readonly query?: Query;
  /** Limits in milliseconds, each one on its own. */
  readonly timeout?: Partial<HttpTimeouts>;
  /** Throws `ResponseError` when the status is 400 or more. */
  readonly raiseForStatus?: boolean;
  /** How many redirects to follow. Default: 10. */
  readonly maxRedirects?: number;
  /** `"manual"` gives the redirecting response itself. Default: `"follow"`. */
  readonly redirect?: "follow" | "manual";
  /** Limit of the response body. Default: 64 MiB for text, json and bytes; none for chunks. */
  readonly maxBodyBytes?: number;
}

/** What all requests of a session share. @internal */
export interface SessionContext {
  readonly loop: LoopPort;
  readonly pool: ConnectionPool;
  readonly holdings: Holdings;
  readonly sessionName: string;
  readonly base: BaseUrl | undefined;
  readonly headers: OutgoingHeaders;
  readonly timeouts: HttpTimeouts;
  readonly raiseForStatus: boolean;
  readonly maxRedirects: number;
  readonly maxBodyBytes: number | undefined;
}

const DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024; // no API answer is larger, and ten of them still fit into memory
const EXCERPT_BYTES = 1024;

/** One request to one target: the first one, or what a redirect makes of it. */
interface Hop {
  readonly subject: RequestSubject;
  readonly target: Target;
  readonly headers: OutgoingHeaders;
  readonly body: OutgoingBody;
}

type Settlement = { readonly response: HttpResponse } | { readonly error: unknown };

export class RequestWait extends Wait<HttpResponse> implements TransferOwner {
  readonly #context: SessionContext;
  readonly #method: string;
  readonly #url: string | URL;
  readonly #options: RequestOptions;
  #waiter: Waiter | null = null;
  #isStarting = false;
  /** Set when it ends before it is parked. */
  #settlement: Settlement | null = null;
  #hop: Hop | null = null;
  #transfer: Transfer | null = null;
  #drain: Drain | null = null;
  #startedAt = 0;
  #timeouts: HttpTimeouts;
  #redirects: Redirect[] = [];
  #earlier: ResponseOrigin["earlier"] = NOTHING_EARLIER;

  constructor(context: SessionContext, method: string, url: string | URL, options: RequestOptions) {
    super();
    this.#context = context;
    this.#method = method;
    this.#url = url;
    this.#options = options;
    this.#timeouts = context.timeouts;
  }

  get reason(): string {
    const transfer = this.#transfer;
    if (transfer === null) return describeRequest({ method: this.#method, url: withoutCredentials(String(this.#url)) });
    return `${describeRequest(transfer.subject)}, ${this.#drain === null ? transfer.phase : "body"}`;
  }

  protected start(task: Waiter): Started<HttpResponse> {
    const { loop } = this.#context;
    if (task.loop !== loop) {
      throw new UsageError(
        `session "${this.#context.sessionName}" belongs to loop "${loop.name}" and cannot be used in loop "${task.loop.name}"`,
      );
    }
    if (this.#waiter !== null) throw sharedWait(this.reason);
    let first: Hop;
    try {
      this.#timeouts = checkTimeouts(this.#options.timeout, this.#context.timeouts);
      first = this.#firstHop();
    } catch (error) {
      return task.fail(this, error);
    }
    this.#waiter = task;
    this.#settlement = null;
    this.#redirects = [];
    this.#earlier = NOTHING_EARLIER;
    this.#startedAt = loop.now();
    this.#isStarting = true;
    this.#send(first, 0, this.#startedAt);
    this.#isStarting = false;
    return this.#settlement === null ? task.park(this) : this.#endAtOnce(task, this.#settlement);
  }

  withdraw(): boolean {
    this.#drain?.stop();
    this.#transfer!.cancel();
    this.#forget();
    return true;
  }

  /** A response whose body is still coming belongs to somebody from the step in which it is handed over. */
  override next(): Started<HttpResponse> {
    const result = super.next();
    if (result.done === true) result.value.adopt();
    return result;
  }

  #endAtOnce(task: Waiter, settlement: Settlement): Started<HttpResponse> {
    this.#settlement = null;
    return "error" in settlement ? task.fail(this, settlement.error) : task.complete(this, settlement.response);
  }

  #firstHop(): Hop {
    const { base, pool } = this.#context;
    const { headers: changes, query, maxRedirects, maxBodyBytes } = this.#options;
    if (maxRedirects !== undefined) checkCount("maxRedirects", maxRedirects, 0);
    if (maxBodyBytes !== undefined) checkCount("maxBodyBytes", maxBodyBytes, 0);
    const method = this.#method;
    const target = resolveTarget(method, this.#url, base, query, pool.canonicalOrigin);
    const subject: RequestSubject = { method, url: target.url };
    let { headers } = this.#context;
    if (changes !== undefined) headers = mergeHeaders(headers, changes, subject);
    if (target.authorization !== undefined) headers = withDefaultHeader(headers, "authorization", target.authorization);
    const encoded = encodeBody(this.#options, headers, subject);
    return { subject, target, headers: encoded.headers, body: encoded.body };
  }

  #send(hop: Hop, ticket: number, now: number): void {
    this.#hop = hop;
    const { subject, target, headers, body } = hop;
    const timeouts = this.#timeouts;
    const totalDeadline = this.#startedAt + timeouts.totalMs;
    const { maxBodyBytes = this.#context.maxBodyBytes ?? Infinity } = this.#options;
    const plan = { subject, target, headers, body, timeouts, totalDeadline, maxBodyBytes };
    this.#transfer = new Transfer(this.#context, this, plan, ticket);
    this.#transfer.begin(now);
  }

  // From the transfer

  headArrived(transfer: Transfer): void {
    const { redirect, raiseForStatus = this.#context.raiseForStatus } = this.#options;
    if (
      isRedirect(transfer.status) &&
      redirect !== "manual" &&
      typeof transfer.responseHeaders["location"] === "string"
    ) {
      this.#redirect(transfer, transfer.responseHeaders["location"]);
    } else if (transfer.status >= 400 && raiseForStatus) this.#raise(transfer);
    else {
      const { maxBodyBytes = this.#context.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES } = this.#options;
      const origin = {
        loop: this.#context.loop,
        holdings: this.#context.holdings,
        startedAt: this.#startedAt,
        redirects: this.#redirects,
        earlier: this.#earlier,
        maxBodyBytes,
      };
      this.#settle({ response: new HttpResponse(transfer, origin) });
    }
  }

  transferFailed(_transfer: Transfer, error: unknown): void {
    this.#settle({ error });
  }

  #settle(settlement: Settlement): void {
    const waiter = this.#waiter!;
    this.#forget();
    if (this.#isStarting) this.#settlement = settlement;
    else if ("error" in settlement) waiter.wakeError(this, settlement.error);
    else waiter.wake(this, settlement.response);
  }

  #forget(): void {
    this.#waiter = null;
    this.#transfer = null;
    this.#drain = null;
    this.#hop = null;
  }

  #raise(transfer: Transfer): void {
    this.#drainBody(transfer, EXCERPT_BYTES, (kept) => {
      const bytes = Buffer.concat(kept).subarray(0, EXCERPT_BYTES);
      this.#settle({ error: new ResponseError(transfer.subject, transfer.status, bytes.toString("utf8")) });
    });
  }

  #redirect(transfer: Transfer, location: string): void {
    let next: Hop;
    try {
      next = this.#nextHop(transfer, location);
    } catch (error) {
      this.#settle({ error });
      transfer.cancel();
      return;
    }
    this.#drainBody(transfer, 0, () => {
      const { queueMs, connectMs, headersMs, since } = transfer;
      const earlier = this.#earlier;
      const now = this.#context.loop.now();
      this.#earlier = {
        queueMs: earlier.queueMs + queueMs,
        connectMs: earlier.connectMs + connectMs,
        headersMs: earlier.headersMs + headersMs,
        bodyMs: earlier.bodyMs + (now - since),
      };
      // It keeps its ticket: whoever was sent on does not go to the end of the line.
      this.#send(next, transfer.ticket, now);
    });
  }

  #drainBody(transfer: Transfer, keepBytes: number, done: (kept: readonly Uint8Array[]) => void): void {
    this.#drain = new Drain(this.#context.loop, transfer, keepBytes, (kept) => {
      this.#drain = null;
      done(kept);
    });
    this.#drain.begin();
  }

  #nextHop(transfer: Transfer, location: string): Hop {
    const { status, subject } = transfer;
    const { target: from, body } = this.#hop!;
    let { headers } = this.#hop!;
    const { maxRedirects = this.#context.maxRedirects } = this.#options;
    const target = redirectTarget(subject.method, from, location);
    this.#redirects.push({ status, url: from.url, location: target.url });
    if (this.#redirects.length > maxRedirects) throw new TooManyRedirects(subject, this.#redirects);
    const method = redirectMethod(subject.method, status);
    if (target.origin !== from.origin) headers = withoutHeaders(headers, CROSS_ORIGIN_HEADERS);
    const keepsBody = method === subject.method;
    if (!keepsBody) headers = withoutHeaders(headers, CONTENT_HEADERS);
    else if (body.stream !== undefined && !isReplayable(body.stream)) throw new BodyConsumedError(subject, status);
    return { subject: { method, url: target.url }, target, headers, body: keepsBody ? body : NO_BODY };
  }
}

const NOTHING_EARLIER: ResponseOrigin["earlier"] = Object.freeze({ queueMs: 0, connectMs: 0, headersMs: 0, bodyMs: 0 });
