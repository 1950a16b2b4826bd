/**
 * The inner end of the pipeline: the wait for the response to one request on one connection.
 *
 * Unlike `RequestWait` it follows no redirect and judges no status, since the pipeline around it does both. It is a class of its own, so
 * that the short way of a plain request does not pay for what only the pipeline needs.
 */
import { sharedWait } from "../core/index.ts";
import { Wait } from "../lowlevel.ts";
import type { Started, Waiter } from "../lowlevel.ts";
import { rangeProblem } from "./body/ranges.ts";
import { openBody } from "./body/reading.ts";
import { describeRequest } from "./errors.ts";
import type { HttpRequest, RequestCall } from "./http-request.ts";
import { HttpResponse } from "./response.ts";
import { ResponseOrigin } from "./response-carrier.ts";
import type { EarlierTimes } from "./response-carrier.ts";
import { checkLoop } from "./session-context.ts";
import type { SessionContext } from "./session-context.ts";
import { Transfer, TransferPlan } from "./transfer.ts";
import type { TransferOwner } from "./transfer.ts";

/** The call, as far as it counts what its exchanges took. */
export interface SendingCall extends RequestCall {
  /** The time that the exchanges before this one took, in phases. Begins a new one. */
  timeBefore(transfer: Transfer): EarlierTimes;
  /** The place in line that the call has had; 0 for none yet. Whoever was sent on does not go to the end of the line. */
  ticket: number;
}

type Settlement = { readonly response: HttpResponse } | { readonly error: unknown };

export class ExchangeWait extends Wait<HttpResponse> implements TransferOwner {
  readonly #context: SessionContext;
  readonly #request: HttpRequest;
  #waiter: Waiter | null = null;
  #transfer: Transfer | null = null;
  #earlier: EarlierTimes | null = null;
  #isStarting = false;
  /** Set when it ends before it is parked. */
  #settlement: Settlement | null = null;

  constructor(context: SessionContext, request: HttpRequest) {
    super();
    this.#context = context;
    this.#request = request;
  }

  get reason(): string {
    const { attempt } = this.#request;
    const phase = this.#transfer === null ? "" : `, ${this.#transfer.state}`;
    return `${describeRequest(this.#request)}${phase}${attempt === 1 ? "" : ` (attempt ${attempt})`}`;
  }

  protected start(task: Waiter): Started<HttpResponse> {
    checkLoop(this.#context, task.loop);
    if (this.#waiter !== null) throw sharedWait(this.reason);
    const { parts, attempt } = this.#request;
    const call = this.#request.call as SendingCall;
    const { method, target, headers, body } = parts;
    const { timeouts, deadline, maxChunkedBytes } = call;
    const plan = new TransferPlan(method, target, headers, body, timeouts, deadline, maxChunkedBytes);
    if (call.trace !== null) plan.trace = call.trace.exchange(plan, attempt);
    const transfer = new Transfer(this.#context, this, plan, call.ticket);
    this.#waiter = task;
    this.#transfer = transfer;
    this.#earlier = call.timeBefore(transfer);
    this.#isStarting = true;
    transfer.begin(this.#context.loop.now());
    this.#isStarting = false;
    const settlement = this.#settlement;
    if (settlement === null) return task.park(this);
    this.#settlement = null;
    return "error" in settlement ? task.fail(this, settlement.error) : task.complete(this, settlement.response);
  }

  withdraw(): boolean {
    const transfer = this.#transfer!;
    this.#forget();
    transfer.cancel();
    return true;
  }

  /** A response whose body is still coming belongs to somebody from the step in which it is handed over. */
  override next(): Started<HttpResponse> {
    const result = super.next();
    if (result.done !== true) return result;
    this.#request.call.opened(result.value);
    result.value.adopt();
    return result;
  }

  headArrived(transfer: Transfer): void {
    const { call, redirects } = this.#request;
    (call as SendingCall).ticket = transfer.ticket;
    const { startedAt, maxBodyBytes } = call;
    const origin = new ResponseOrigin(this.#context, startedAt, redirects, this.#earlier!, maxBodyBytes);
    const { options } = this.#request;
    const body = openBody(transfer, this.#context, options);
    const response = new HttpResponse(transfer, origin, body, call);
    const problem =
      options.range === undefined
        ? null
        : rangeProblem(transfer.subject, options.range, transfer.status, response.headers.get("content-range"));
    if (problem === null) return this.#settle({ response });
    this.#settle({ error: problem });
    transfer.cancel();
  }

  transferFailed(transfer: Transfer, error: unknown): void {
    (this.#request.call as SendingCall).ticket = transfer.ticket; // another attempt is as old as this one
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
  }
}
