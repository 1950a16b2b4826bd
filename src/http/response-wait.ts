/**
 * What every wait for a response has in common: one task that waits, one transfer at a time, one end.
 *
 * A transfer may end while it is being begun (a session that is closing, a dispatch that fails at once). The task is not parked yet then, so the
 * end is kept until the transfer has been begun, and `start` completes with it.
 */
import { Wait } from "../lowlevel.ts";
import type { Started, Waiter } from "../lowlevel.ts";
import { rangeProblem } from "./body/ranges.ts";
import type { PlainRequestOptions } from "./plain-request.ts";
import type { HttpResponse } from "./response.ts";
import type { Transfer, TransferPlan } from "./transfer.ts";

type Settlement = { readonly response: HttpResponse } | { readonly error: unknown };

export abstract class ResponseWait extends Wait<HttpResponse> {
  /** The task that waits; `null` before the start and after the end. */
  protected waiter: Waiter | null = null;
  protected transfer: Transfer | null = null;
  #isStarting = false;
  /** Set when it ends before it is parked. */
  #settlement: Settlement | null = null;

  /** Makes the transfer for `plan` and begins it. */
  protected abstract send(plan: TransferPlan): void;

  /** Lets go of what belongs to one run, when that is over. */
  protected forget(): void {
    this.waiter = null;
    this.transfer = null;
  }

  /** The second half of `start`: `plan` is sent, and the task parked unless that has ended it. */
  protected launch(task: Waiter, plan: TransferPlan): Started<HttpResponse> {
    this.waiter = task;
    this.#settlement = null;
    this.#isStarting = true;
    this.send(plan);
    this.#isStarting = false;
    const settlement = this.#settlement as Settlement | null;
    if (settlement === null) return task.park(this);
    this.#settlement = null;
    return "error" in settlement ? task.fail(this, settlement.error) : task.complete(this, settlement.response);
  }

  withdraw(): boolean {
    const transfer = this.transfer!;
    this.forget();
    transfer.cancel();
    return true;
  }

  /** A response whose body is still coming belongs to somebody from the step in which it is handed over. */
  override next(): Started<HttpResponse> {
    const result = super.next();
    if (result.done === true) result.value.adopt();
    return result;
  }

  /** Ends with the response, or with what is wrong with its range. */
  protected arrived(transfer: Transfer, response: HttpResponse, { range }: Pick<PlainRequestOptions, "range">): void {
    const sent = response.headers;
    const problem =
      range === undefined ? null : rangeProblem(transfer.subject, range, transfer.status, sent.get("content-range"));
    if (problem === null) this.settle({ response });
    else this.failWith(transfer, problem);
  }

  /** Ends with an error that the transfer does not know of. */
  protected failWith(transfer: Transfer, error: unknown): void {
    this.settle({ error });
    transfer.cancel();
  }

  protected settle(settlement: Settlement): void {
    const waiter = this.waiter!;
    this.forget();
    if (this.#isStarting) this.#settlement = settlement;
    else if ("error" in settlement) waiter.wakeError(this, settlement.error);
    else waiter.wake(this, settlement.response);
  }
}
