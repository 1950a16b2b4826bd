/**
 * What a task can wait for at a response: that there is room in it, or that it is over.
 *
 * One at a time for each response, and it stands in the request's `waiting`: so the listeners, which all requests share, find it
 * without an object for each wait.
 */
import { Wait } from "../../lowlevel.ts";
import type { Started, Waiter } from "../../lowlevel.ts";
import { ClientGone } from "./failure.ts";

/** The request, as its waits see it. */
export interface AwaitedResponse {
  readonly name: string;
  readonly isClosed: boolean;
  waiting: ResponseWait | null;
  listenToDrain(): void;
  watchSending(): void;
}

/** A wait for the response: for room in it, or for its end. */
export abstract class ResponseWait extends Wait<void> {
  protected readonly exchange: AwaitedResponse;
  private waiter: Waiter | null = null;

  constructor(exchange: AwaitedResponse) {
    super();
    this.exchange = exchange;
  }

  override get external(): boolean {
    return true;
  }

  abstract drained(): void;
  abstract responseClosed(): void;

  protected parkFor(task: Waiter): Started<never> {
    this.exchange.waiting = this;
    this.waiter = task;
    return task.park(this);
  }

  protected leave(): Waiter | null {
    const { waiter } = this;
    this.waiter = null;
    this.exchange.waiting = null;
    return waiter;
  }

  withdraw(): boolean {
    this.leave();
    return true;
  }
}

/** Waits until the client has read enough of what was written. Cancelling leaves what was written on its way. */
export class DrainWait extends ResponseWait {
  get reason(): string {
    return `client of ${this.exchange.name} to read`;
  }

  protected start(task: Waiter): Started<void> {
    if (this.exchange.isClosed) return task.fail(this, new ClientGone(this.exchange.name));
    this.exchange.listenToDrain();
    // Only now has it been looked at whether the handler's first slice has closed it by itself.
    if (this.exchange.isClosed) return task.fail(this, new ClientGone(this.exchange.name));
    this.exchange.watchSending();
    return this.parkFor(task);
  }

  drained(): void {
    this.leave()?.wake(this, undefined);
  }

  responseClosed(): void {
    this.leave()?.wakeError(this, new ClientGone(this.exchange.name));
  }
}

/** Waits until the response is closed, by whichever side. */
export class CloseWait extends ResponseWait {
  get reason(): string {
    return `end of the response to ${this.exchange.name}`;
  }

  protected start(task: Waiter): Started<void> {
    if (this.exchange.isClosed) return task.complete(this, undefined);
    this.exchange.watchSending();
    if (this.exchange.isClosed) return task.complete(this, undefined); // by the handler's first slice, see above
    return this.parkFor(task);
  }

  drained(): void {}

  responseClosed(): void {
    this.leave()?.wake(this, undefined);
  }
}
