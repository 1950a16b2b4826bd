/**
 * The inner end of the pipeline: the wait for the response to one request on one connection.
 *
 * Unlike `RequestWait` it follows no redirect and judges no status, since the pipeline around it does both. It is a class of its own, so
 * that the short way of a plain request does not pay for what only the pipeline needs.
 */
import { sharedWait } from "../core/index.ts";
import type { Started, Waiter } from "../lowlevel.ts";
import { openBody } from "./body/reading.ts";
import { describeRequest } from "./errors.ts";
import type { HttpRequest, RequestCall } from "./http-request.ts";
import { HttpResponse } from "./response.ts";
import { ResponseOrigin } from "./response-carrier.ts";
import { ResponseWait } from "./response-wait.ts";
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

export class ExchangeWait extends ResponseWait implements TransferOwner {
  readonly #context: SessionContext;
  readonly #request: HttpRequest;
  #earlier: EarlierTimes | null = null;

  constructor(context: SessionContext, request: HttpRequest) {
    super();
    this.#context = context;
    this.#request = request;
  }

  get reason(): string {
    const { attempt } = this.#request;
    const phase = this.transfer === null ? "" : `, ${this.transfer.state}`;
    return `${describeRequest(this.#request)}${phase}${attempt === 1 ? "" : ` (attempt ${attempt})`}`;
  }

  protected start(task: Waiter): Started<HttpResponse> {
    checkLoop(this.#context, task.loop);
    if (this.waiter !== null) throw sharedWait(this.reason);
    const { parts, attempt } = this.#request;
    const call = this.#request.call as SendingCall;
    const { method, target, headers, body } = parts;
    const { timeouts, deadline, maxChunkedBytes } = call;
    const plan = new TransferPlan(method, target, headers, body, timeouts, deadline, maxChunkedBytes);
    if (call.trace !== null) plan.trace = call.trace.exchange(plan, attempt);
    return this.launch(task, plan);
  }

  protected send(plan: TransferPlan): void {
    const call = this.#request.call as SendingCall;
    const transfer = new Transfer(this.#context, this, plan, call.ticket);
    this.transfer = transfer;
    this.#earlier = call.timeBefore(transfer);
    transfer.begin(this.#context.loop.now());
  }

  override next(): Started<HttpResponse> {
    const result = super.next();
    if (result.done === true) this.#request.call.opened(result.value);
    return result;
  }

  headArrived(transfer: Transfer): void {
    const { call, redirects } = this.#request;
    (call as SendingCall).ticket = transfer.ticket;
    const { startedAt, maxBodyBytes } = call;
    const origin = new ResponseOrigin(this.#context, startedAt, redirects, this.#earlier!, maxBodyBytes);
    const { options } = this.#request;
    const body = openBody(transfer, this.#context, options);
    this.arrived(transfer, new HttpResponse(transfer, origin, body, call), options);
  }

  transferFailed(transfer: Transfer, error: unknown): void {
    (this.#request.call as SendingCall).ticket = transfer.ticket; // another attempt is as old as this one
    this.settle({ error });
  }
}
