/**
 * One request on its way through a server: its task, its connection, and what is said about it at the end.
 *
 * Two things end on their own: the task (settled) and the response (its `"close"`). A response that closes although nobody has ended it
 * means that the client has gone; then the task is cancelled, unless the handler wants otherwise. The request is over, gives its
 * place back and is logged, when both have ended; or when the system has all of an answer whose handler has not waited.
 *
 * This is on the path of every request, so: one object, one listener, and that a function which all requests share. The task is found
 * by a symbol on the response. `"close"` of the request would not do (it comes after every body); `writableFinished` would not
 * either (HTTP/2 counts a cancelled stream as finished); an `AbortController` for each request costs a third of the CPU.
 *
 * How the outcome gets to the client differs between node:http, fastify and hono: that is what the subclasses know.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Cancelled, EventLoop, Operation, Scope, Task } from "../../core/index.ts";
import type { Timer } from "../../lowlevel.ts";
import type { Watcher } from "../../core/index.ts";
import { ClientGone, HttpFailure, outOfTime, RequestAborted, shuttingDown, wasCancelled } from "./failure.ts";
import type { ResponseWait } from "./response-waits.ts";
import type { RequestEnd, RequestOutcome } from "./request-end.ts";
import { cutResponse } from "./problem-response.ts";
import { dropRest } from "./request-body.ts";
import { isHttp2, sendingOf } from "./sending.ts";
import type { Sending } from "./sending.ts";

/**
 * What happens to a handler whose client goes away before the response is complete.
 * - `cancel`: it is cancelled; `shield` protects what must not be torn.
 * - `detach`: it runs on in the background. The request is over: it is logged and counts against no limit.
 * - `ignore`: it runs on as if nothing had happened.
 */
export type OnDisconnect = "cancel" | "detach" | "ignore";

/** What holds for a handler. */
export interface HandlerSettings {
  readonly onDisconnect: OnDisconnect;
  readonly timeoutMs: number;
}

/** What a request needs of the one that admits requests. */
export interface Admission {
  readonly loop: EventLoop;
  /** What a client is told for whom there is no place. */
  refusal(): HttpFailure;
  /** Handlers are being cancelled because the server ends. */
  readonly isClosing: boolean;
  /** No further request is admitted: connections are not to be kept. */
  readonly isDraining: boolean;
  /** Whether anybody reads the ends of requests; if not, nothing is measured. */
  readonly isLogging: boolean;
  readonly locals: ReadonlyMap<object, unknown> | null;
  /** How long a client may take nothing of its response. */
  readonly sendTimeoutMs: number;
  /** A client took nothing for that long; its connection, or stream, is cut. */
  countStalled(): void;
  /** Calls its `lookAgain` in a moment. */
  lookLater(exchange: Exchange): void;
  /** Its task has settled. */
  settled(): void;
  /** It gives back its place. */
  released(exchange: Exchange): void;
  /** The client left while it stood in line, or it stood there too long. */
  leaveLine(exchange: Exchange): boolean;
  /** An error that the client is not told. */
  reportError(error: unknown, exchange: Exchange): void;
}

const EXCHANGE = Symbol("fibril.exchange");

type Keyed = ServerResponse & { [EXCHANGE]?: Exchange };

const SETTLED = 1;
const CLOSED = 2;
const GONE = 4; // the client left before the response was complete
const RELEASED = 8;
const DRAINS = 16; // listens to "drain"
const STALLED = 32; // the client took nothing of the response for too long
const LISTENS = 64; // to "close"

export abstract class Exchange implements Watcher, Timer {
  before: Watcher | null = null;
  after: Watcher | null = null;
  heapIndex = -1;
  readonly admission: Admission;
  readonly settings: HandlerSettings;
  readonly request: IncomingMessage | null;
  readonly response: ServerResponse | null;
  task: Task<unknown> | null = null;
  onDisconnect: OnDisconnect;
  route: string | undefined = undefined;
  outcome: RequestOutcome = "completed";
  waiting: ResponseWait | null = null;
  /** Whether it counts against the limit. Kept by who admits. */
  hasPlace = false;
  private flags = 0;
  private startedAt = 0;
  private bytesBefore = 0;
  private sending: Sending | null = null;

  constructor(
    admission: Admission,
    settings: HandlerSettings,
    request: IncomingMessage | null,
    response: ServerResponse | null,
  ) {
    this.admission = admission;
    this.settings = settings;
    this.onDisconnect = settings.onDisconnect;
    this.request = request;
    this.response = response;
    if (response === null) this.flags = CLOSED;
    // A hook in front may have waited while the client went away: then no event comes any more.
    else if (hasClosed(response)) this.flags = response.writableEnded ? CLOSED : CLOSED | GONE;
    if (admission.isLogging) {
      this.startedAt = admission.loop.now();
      if (request !== null && request.httpVersionMajor === 1) this.bytesBefore = request.socket.bytesWritten;
    }
  }

  /** Of the task: `GET /users/:id`. Made when somebody looks. */
  get name(): string {
    return `${this.method} ${this.route ?? this.path}`;
  }

  get method(): string {
    return this.request?.method ?? "GET";
  }

  get path(): string {
    const url = this.request?.url ?? "/";
    const end = url.indexOf("?");
    return end === -1 ? url : url.slice(0, end);
  }

  /** What was sent. */
  get status(): number {
    return this.response?.statusCode ?? 200;
  }

  /** Whether a framework with an error handler of its own stands around the handler. */
  protected get isFramed(): boolean {
    return false;
  }

  /** Whether the response has closed. Then nobody can be told anything. */
  get isClosed(): boolean {
    return (this.flags & CLOSED) !== 0 && this.response !== null;
  }

  /** Whether the client went away before the response was complete. */
  get isGone(): boolean {
    return (this.flags & GONE) !== 0;
  }

  /** What the task runs. */
  protected abstract body(): Operation<unknown>;
  /** The task has ended well. May throw: then it has failed. */
  protected abstract succeeded(value: unknown): void;
  /** Tells the client. @param error What was thrown, or an `HttpFailure` that says why it was cancelled. */
  protected abstract failed(error: unknown): void;

  /** Makes its task. */
  begin(scope: Scope): void {
    const { admission } = this;
    const task = scope.launch(this.body(), this, true);
    this.task = task;
    if (admission.locals !== null) task.locals = admission.locals;
    const { timeoutMs } = this.settings;
    if (timeoutMs !== Infinity) (task.ownScope() as Scope).deadline = admission.loop.now() + timeoutMs;
    task.watch(this);
    if (this.isGone && this.onDisconnect === "detach") this.release();
    task.schedule(true); // as an async handler would
    this.listen();
  }

  /**
   * From now on the response tells when it closes, unless all is over. Not before the handler has first come to a wait: until then nothing
   * can close, and one that does not wait is spared the listener.
   */
  listen(): void {
    if ((this.flags & (LISTENS | CLOSED)) !== 0) return;
    const response = this.response!;
    if (hasClosed(response)) this.closed();
    else {
      this.flags |= LISTENS;
      (response as Keyed)[EXCHANGE] = this;
      response.on("close", responseClosed);
    }
  }

  /** It gets no task, and nobody is left who could be told. */
  drop(): void {
    this.flags |= SETTLED;
    this.dropped();
    this.releaseIfOver();
  }

  /** Called by `drop`, for whoever waits for an answer all the same. */
  protected dropped(): void {}

  /** It gets no task; the client is told why. */
  refuse(error: unknown, outcome: RequestOutcome): void {
    this.outcome = outcome;
    this.tell(error);
    this.flags |= SETTLED;
    this.releaseIfOver();
    this.listen();
  }

  taskSettled(task: Task<unknown>): void {
    this.flags |= SETTLED;
    const outcome = task.outcome!;
    if (outcome.status === "succeeded") {
      try {
        this.succeeded(outcome.value);
      } catch (error) {
        this.failedWith(error);
      }
    } else if (outcome.status === "failed") this.failedWith(outcome.error);
    else this.cancelledBy(outcome.cancelled);
    this.admission.settled();
    this.releaseIfOver();
  }

  /** Stood in line for too long; or it is time to see whether the client takes what was written. */
  fire(): void {
    if (this.admission.leaveLine(this)) this.refuse(this.admission.refusal(), "timeout");
    else this.checkSending();
  }

  /** Its response is closed: all of it was sent, or the client has gone. */
  closed(): void {
    if (this.isClosed) return;
    this.flags |= CLOSED;
    if (this.heapIndex !== -1) this.admission.loop.removeTimer(this);
    if (!this.response!.writableEnded && (this.flags & SETTLED) === 0) this.clientLeft();
    this.waiting?.responseClosed();
    this.releaseIfOver();
  }

  /** Counts the request as over, whatever its task does. */
  protected release(): void {
    if ((this.flags & RELEASED) !== 0) return;
    this.flags |= RELEASED;
    if (this.request !== null && !this.request.complete) dropRest(this.request);
    this.admission.released(this);
  }

  /** Listens for room in the connection, once for each response. */
  listenToDrain(): void {
    if ((this.flags & DRAINS) !== 0) return;
    this.flags |= DRAINS;
    this.listen();
    if ((this.flags & CLOSED) === 0) this.response!.on("drain", responseDrained);
  }

  /**
   * From now on the client has to take something every `sendTimeoutMs`. Called when an answer has not gone out at once; most have, so
   * there is no timer for each request.
   */
  watchSending(): void {
    const { request, response } = this;
    if (this.heapIndex !== -1 || this.admission.sendTimeoutMs === Infinity || request === null) return;
    this.listen(); // that ends the watching
    if ((this.flags & CLOSED) !== 0) return;
    this.sending = sendingOf(request, response!);
    if (this.sending === null || this.sending.isOver()) return;
    if (isHttp2(request) && !response!.writableEnded) this.listenToDrain();
    this.lookAtSendingLater();
  }

  private lookAtSendingLater(): void {
    const { sendTimeoutMs, loop } = this.admission;
    loop.addTimer(this, loop.now() + sendTimeoutMs);
  }

  /** The line for the log. */
  toEnd(): RequestEnd {
    const isStalled = (this.flags & STALLED) !== 0;
    const isGone = !isStalled && (this.flags & GONE) !== 0;
    const { request } = this;
    const isCounted = request !== null && request.httpVersionMajor === 1;
    return {
      method: this.method,
      path: this.path,
      route: this.route,
      status: isGone ? 499 : this.status,
      // What the answer before this one has left in a connection that was cut was counted then, and is not now.
      bytes: isCounted ? Math.max(0, request.socket.bytesWritten - this.bytesBefore) : undefined,
      durationMs: this.admission.loop.now() - this.startedAt,
      outcome: isStalled ? "stalled" : isGone ? "disconnected" : this.outcome,
    };
  }

  private clientLeft(): void {
    this.flags |= GONE;
    const { task } = this;
    if (task === null) {
      if (this.admission.leaveLine(this)) this.drop();
    } else if (this.onDisconnect === "cancel") task.cancel((this.flags & STALLED) === 0 ? CLIENT_GONE : CLIENT_STALLED);
    else if (this.onDisconnect === "detach") this.release();
  }

  private failedWith(error: unknown): void {
    this.outcome = "failed";
    const isGone = (this.flags & GONE) !== 0;
    // What comes of the client's leaving is no news; everything else is somebody's fault and must be heard of.
    if (isGone && (error instanceof ClientGone || error instanceof RequestAborted)) return;
    // A framework that is told decides itself what is worth reporting. A failure on purpose is none, but what caused one of ours is.
    if (
      (isGone || !this.isFramed) &&
      (!(error instanceof HttpFailure) || (error.status >= 500 && error.cause !== undefined))
    ) {
      this.admission.reportError(error, this);
    }
    if (!isGone) this.tell(error);
  }

  private cancelledBy(cancelled: Cancelled): void {
    if ((this.flags & GONE) !== 0 && this.onDisconnect === "cancel") return;
    if (cancelled.source === "deadline") {
      this.outcome = "timeout";
      this.tell(outOfTime());
    } else if (this.admission.isClosing) {
      this.outcome = "shutdown";
      this.tell(shuttingDown());
    } else {
      this.outcome = "cancelled";
      this.tell(wasCancelled());
    }
  }

  private tell(error: unknown): void {
    try {
      this.failed(error);
    } catch (problem) {
      this.admission.reportError(problem, this);
      if (this.response !== null) cutResponse(this.response);
    }
  }

  private releaseIfOver(): void {
    const over = this.flags & (SETTLED | CLOSED);
    if (over === (SETTLED | CLOSED)) this.release();
    else if (over === SETTLED) {
      if (!isHandedOver(this.response!)) this.handOver();
      else if ((this.flags & LISTENS) === 0) {
        this.flags |= CLOSED; // as good as: nothing is left to come, and nobody would say when
        this.release();
      } else if (isHttp2(this.request)) this.handOver(); // the client may keep even the end of a stream from going out
    }
  }

  /** Its task has ended, and the system does not have all of the answer. */
  protected handOver(): void {
    // Over HTTP/2 none has gone out yet. Without a place it would not be looked at when the last place becomes free.
    if (this.hasPlace && isHttp2(this.request)) this.admission.lookLater(this);
    else this.watchSending();
  }

  lookAgain(): void {
    if (this.isClosed || (!isHttp2(this.request) && isHandedOver(this.response!))) return;
    this.watchSending();
  }

  private checkSending(): void {
    const sending = this.sending!;
    if (sending.isOver()) return;
    if (sending.hasStalled()) {
      this.flags |= STALLED;
      this.admission.countStalled();
      sending.cut();
    } else this.lookAtSendingLater();
  }

  /** There is room in the response again. */
  drained(): void {
    this.sending?.drained();
    this.waiting?.drained();
  }
}

/** The reason that a cancelled handler finds in its `Cancelled`. */
export const CLIENT_GONE = "the client has closed the connection";
const CLIENT_STALLED = "the client has taken nothing of the response for too long";

/** Whether the system has all of it. */
function isHandedOver(response: ServerResponse): boolean {
  return response.writableEnded && response.writableLength === 0;
}

function hasClosed(response: ServerResponse): boolean {
  // The one of HTTP/2 has no such property.
  return response.closed ?? (response as unknown as { readonly stream: { readonly closed: boolean } }).stream.closed;
}

function responseClosed(this: ServerResponse): void {
  (this as Keyed)[EXCHANGE]!.closed();
}

function responseDrained(this: ServerResponse): void {
  (this as Keyed)[EXCHANGE]!.drained();
}
