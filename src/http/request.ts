/**
 * The wait for a response: from the options of a call to status and headers, through redirects.
 *
 * It is one wait, not a coroutine, because this is the hot path: no generator, no promise, no `AbortController`. What the
 * task waits for shows in its reason, which names the phase.
 */
import { sharedWait } from "../core/index.ts";
import type { Started, Waiter } from "../lowlevel.ts";
import { Drain } from "./body/drain.ts";
import { BodyConsumedError, describeRequest, ResponseError, TooManyRedirects, withoutCredentials } from "./errors.ts";
import type { HttpTimeouts, Redirect } from "./errors.ts";
import type { RequestTrace } from "./events.ts";
import { mergeHeaders, ResponseHeaders, withDefaultHeader } from "./headers.ts";
import type { OutgoingHeaders } from "./headers.ts";
import { encodeBody, NO_BODY } from "./body/outgoing.ts";
import { isReplayable } from "./body/sources.ts";
import type { OutgoingBody } from "./body/outgoing.ts";
import { decodeExcerpt } from "./body/encodings.ts";
import { openBody } from "./body/reading.ts";
import type { PlainRequestOptions } from "./plain-request.ts";
import { HttpResponse } from "./response.ts";
import { EXCERPT_BYTES, excerptOf } from "./response-excerpt.ts";
import { ResponseOrigin } from "./response-carrier.ts";
import type { EarlierTimes } from "./response-carrier.ts";
import { NO_TIME } from "./response-parts.ts";
import { ResponseWait } from "./response-wait.ts";
import { isRedirect, redirectHeaders, redirectMethod, redirectTarget, resolveTarget } from "./target.ts";
import type { Target } from "./target.ts";
import { checkCount, checkStatusCheck, checkTimeouts, DEFAULT_MAX_BODY_BYTES, isRaised } from "./limits.ts";
import type { StatusCheck } from "./limits.ts";
import { checkLoop } from "./session-context.ts";
import type { SessionContext } from "./session-context.ts";
import { Transfer, TransferPlan } from "./transfer.ts";
import type { TransferOwner } from "./transfer.ts";

const NO_REDIRECTS: readonly Redirect[] = Object.freeze([]);

export class RequestWait extends ResponseWait implements TransferOwner {
  readonly #context: SessionContext;
  readonly #method: string;
  readonly #url: string | URL;
  readonly #options: PlainRequestOptions;
  #drain: Drain | null = null;
  #startedAt = 0;
  #timeouts: HttpTimeouts;
  /** `null` when nobody listens. */
  #trace: RequestTrace | null = null;
  #redirects = NO_REDIRECTS;
  #earlier: EarlierTimes = NO_TIME;

  constructor(context: SessionContext, method: string, url: string | URL, options: PlainRequestOptions) {
    super();
    this.#context = context;
    this.#method = method;
    this.#url = url;
    this.#options = options;
    this.#timeouts = context.timeouts;
  }

  get reason(): string {
    const transfer = this.transfer;
    if (transfer === null) return describeRequest({ method: this.#method, url: withoutCredentials(String(this.#url)) });
    return `${describeRequest(transfer.subject)}, ${this.#drain === null ? transfer.state : "body"}`;
  }

  protected start(task: Waiter): Started<HttpResponse> {
    const { loop } = this.#context;
    checkLoop(this.#context, task.loop);
    if (this.waiter !== null) throw sharedWait(this.reason);
    let first: TransferPlan;
    this.#startedAt = loop.now();
    try {
      this.#timeouts = checkTimeouts(this.#options.timeout, this.#context.timeouts);
      first = this.#firstPlan();
      this.#trace = this.#context.observers.begin(this.#options.observer);
    } catch (error) {
      return task.fail(this, error);
    }
    this.#redirects = NO_REDIRECTS;
    this.#earlier = NO_TIME;
    return this.launch(task, first);
  }

  protected send(plan: TransferPlan): void {
    this.#send(plan, 0, this.#startedAt);
  }

  protected override forget(): void {
    super.forget();
    this.#drain?.stop();
    this.#drain = null;
  }

  #firstPlan(): TransferPlan {
    const { base, pool } = this.#context;
    const { headers: changes, query, maxRedirects, maxBodyBytes } = this.#options;
    if (maxRedirects !== undefined) checkCount("maxRedirects", maxRedirects, 0);
    if (this.#options.raiseForStatus !== undefined) checkStatusCheck(this.#options.raiseForStatus);
    if (maxBodyBytes !== undefined) checkCount("maxBodyBytes", maxBodyBytes, 0);
    const method = this.#method;
    const target = resolveTarget(method, this.#url, base, query, pool.canonicalOrigin);
    let { headers } = this.#context;
    const subject = { method, url: target.url };
    if (changes !== undefined) headers = mergeHeaders(headers, changes, subject);
    if (target.authorization !== undefined) headers = withDefaultHeader(headers, "authorization", target.authorization);
    const encoded = encodeBody(this.#options, headers, subject);
    return this.#plan(method, target, encoded.headers, encoded.body);
  }

  #plan(method: string, target: Target, headers: OutgoingHeaders, body: OutgoingBody): TransferPlan {
    const timeouts = this.#timeouts;
    const { maxBodyBytes = this.#context.maxBodyBytes ?? Infinity } = this.#options;
    return new TransferPlan(method, target, headers, body, timeouts, this.#startedAt + timeouts.totalMs, maxBodyBytes);
  }

  #send(plan: TransferPlan, ticket: number, now: number): void {
    if (this.#trace !== null) plan.trace = this.#trace.exchange(plan, 1);
    this.transfer = new Transfer(this.#context, this, plan, ticket);
    this.transfer.begin(now);
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
    } else if (raiseForStatus !== false && this.#isRaised(raiseForStatus, transfer)) this.#raise(transfer);
    else if (this.waiter !== null) {
      const { maxBodyBytes = this.#context.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES } = this.#options;
      const origin = new ResponseOrigin(this.#context, this.#startedAt, this.#redirects, this.#earlier, maxBodyBytes);
      const response = new HttpResponse(transfer, origin, openBody(transfer, this.#context, this.#options));
      this.arrived(transfer, response, this.#options);
    }
  }

  /** A function of the caller's may throw; that ends the request. */
  #isRaised(check: StatusCheck, transfer: Transfer): boolean {
    try {
      return isRaised(check, transfer.status);
    } catch (error) {
      this.failWith(transfer, error);
      return false;
    }
  }

  transferFailed(_transfer: Transfer, error: unknown): void {
    this.settle({ error });
  }

  #raise(transfer: Transfer): void {
    const { subject, status, responseHeaders } = transfer;
    this.#drainBody(transfer, EXCERPT_BYTES, (kept) => {
      const encoding = this.#context.decoding === null ? undefined : transfer.responseHeaders["content-encoding"];
      const excerpt = excerptOf([decodeExcerpt(Buffer.concat(kept), encoding)]);
      this.settle({ error: new ResponseError(subject, status, excerpt, new ResponseHeaders(responseHeaders)) });
    });
  }

  #redirect(transfer: Transfer, location: string): void {
    let next: TransferPlan;
    try {
      next = this.#nextPlan(transfer, location);
    } catch (error) {
      this.failWith(transfer, error);
      return;
    }
    this.#trace?.redirect(transfer.subject, 1, transfer.status, next.url);
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

  #nextPlan({ status, plan }: Transfer, location: string): TransferPlan {
    const { target: from, headers: sent, body } = plan;
    const { maxRedirects = this.#context.maxRedirects } = this.#options;
    const target = redirectTarget(plan.method, from.url, location);
    this.#redirects = [...this.#redirects, { status, url: from.url, location: target.url }];
    if (this.#redirects.length > maxRedirects) throw new TooManyRedirects(plan, this.#redirects);
    const method = redirectMethod(plan.method, status);
    const keepsBody = method === plan.method;
    const headers = redirectHeaders(sent, from.origin, target.origin, keepsBody);
    if (keepsBody && body.stream !== undefined && !isReplayable(body.stream)) throw new BodyConsumedError(plan, status);
    return this.#plan(method, target, headers, keepsBody ? body : NO_BODY);
  }
}
