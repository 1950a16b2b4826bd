/**
 * One request and its response on one connection: the state machine between undici and the waits of tasks.
 *
 *     queued → connecting → headers → body → ended
 *
 * Any phase may go straight to `ended`: by an error, a timeout, a cancellation, the end of the session. Ending is the one
 * place where everything is given back: place in line, connection, timer, the caller's stream, the hold on the loop.
 *
 * Undici calls in from the host's callbacks, so nothing here runs a task: it only wakes some. It may also call in while
 * it is being called (dispatch that fails at once, resume that delivers), so every method first looks at the phase.
 *
 * One timer serves all limits. It is set for the earliest of them; when a phase ends early the next, later limit is only
 * noted, and the timer finds it when it fires. A request that is answered in time sets and cancels one timer.
 *
 * While the peer has to do something the loop is told that something outside is pending. A body that is paused because
 * nobody reads it does not count: if everybody waits in line for connections that are held by such bodies, that is a
 * deadlock, and reported as one.
 */
import type { LoopPort, Runnable, Timer } from "../lowlevel.ts";
import {
  HttpTimeoutError,
  InvalidRequestError,
  ConnectError,
  PHASE_OPTIONS,
  ProtocolError,
  ResponseClosedError,
  SessionClosedError,
} from "./errors.ts";
import type { HttpPhase, HttpTimeouts, RequestSubject } from "./errors.ts";
import type { OutgoingHeaders } from "./headers.ts";
import type { Holder, Holding } from "./holdings.ts";
import { IncomingBody } from "./body/incoming.ts";
import type { BodyFlow } from "./body/incoming.ts";
import type { Place } from "./queue/line.ts";
import { OutgoingStream } from "./body/outgoing.ts";
import type { OutgoingBody, StreamObserver } from "./body/outgoing.ts";
import type { Connection, ConnectionPool, Host, Lessee } from "./connect/pool.ts";
import type { Target } from "./target.ts";
import { classifyError } from "./connect/undici.ts";
import type { ExchangeController, UndiciHeaders } from "./connect/undici.ts";

export type TransferPhase = "queued" | "connecting" | "headers" | "body" | "ended";

/** Where a transfer gets its connection and its time. */
export interface TransferContext {
  readonly loop: LoopPort;
  readonly pool: ConnectionPool;
  readonly sessionName: string;
}

/** What to send, and within which limits. */
export interface TransferPlan {
  readonly subject: RequestSubject;
  readonly target: Target;
  readonly headers: OutgoingHeaders;
  readonly body: OutgoingBody;
  readonly timeouts: HttpTimeouts;
  /** For the whole request, on the loop's clock. */
  readonly totalDeadline: number;
  readonly maxBodyBytes: number;
}

/** Who made the transfer. Called from the host's callbacks, at most one of the two, once. */
export interface TransferOwner {
  /** Status and headers are there; `incoming` is set. */
  headArrived(transfer: Transfer): void;
  /** It ended before that. */
  transferFailed(transfer: Transfer, error: unknown): void;
}

const PHASE_LIMITS: Readonly<Record<Exclude<TransferPhase, "ended">, HttpPhase>> = {
  queued: "queue",
  connecting: "connect",
  headers: "headers",
  body: "body",
};

// One object for all: whoever aborted has an error of its own, and making one costs 5 µs.
const ABORTED = new Error("the request was cancelled by its owner");

// The last resort for responses that nobody reads and no scope ends. Only those whose connection stands still are in it.
const forgotten = new FinalizationRegistry<Transfer>((transfer) => transfer.cancel());

/** Makes a resting loop look around again. */
const LOOK_AGAIN: Runnable = { run: () => undefined };

export class Transfer implements Lessee, Timer, BodyFlow, StreamObserver, Holding {
  readonly plan: TransferPlan;
  readonly subject: RequestSubject;
  phase: TransferPhase = "queued";
  status = 0;
  responseHeaders: UndiciHeaders = {};
  incoming: IncomingBody | null = null;
  /** Time spent in each phase so far; the running one is not in it. */
  queueMs = 0;
  connectMs = 0;
  headersMs = 0;
  bodyMs = 0;
  /** The response, while the transfer goes on by itself. */
  facade: object | null = null;
  heldBy: Holder | null = null;

  // Place
  readonly host: Host;
  ticket: number;
  standing: Place["standing"] = "outside";
  previous: Place | null = null;
  next: Place | null = null;

  // Timer
  heapIndex = -1;

  readonly #context: TransferContext;
  readonly #owner: TransferOwner;
  #since = 0;
  #phaseDeadline = Infinity;
  #timerDue = Infinity;
  #connection: Connection | null = null;
  #controller: ExchangeController | null = null;
  #stream: OutgoingStream | null = null;
  #streamError: { readonly error: unknown } | null = null;
  #isHolding = false;

  constructor(context: TransferContext, owner: TransferOwner, plan: TransferPlan, ticket: number) {
    this.#context = context;
    this.#owner = owner;
    this.plan = plan;
    this.subject = plan.subject;
    this.host = context.pool.hostOf(plan.target.origin);
    this.ticket = ticket;
  }

  /** When it entered its present phase, on the loop's clock. */
  get since(): number {
    return this.#since;
  }

  /** Gets in line, or starts at once. @param now The time on the loop's clock. */
  begin(now: number): void {
    const { pool } = this.#context;
    if (pool.isClosed) return this.sessionClosed();
    this.#since = now;
    if (pool.line.enter(this)) this.#connect(now);
    else this.#limitPhase(now + this.plan.timeouts.queueMs);
  }

  admitted(): void {
    if (this.#context.pool.isClosed) return this.sessionClosed();
    const now = this.#context.loop.now();
    this.queueMs = now - this.#since;
    this.#connect(now);
  }

  sessionClosed(): void {
    this.fail(new SessionClosedError(this.subject, this.#context.sessionName));
  }

  #connect(now: number): void {
    this.phase = "connecting";
    this.#since = now;
    this.#hold();
    this.#limitPhase(now + this.plan.timeouts.connectMs);
    this.#dispatch(this.#context.pool.lease(this, this.host));
  }

  #dispatch(connection: Connection): void {
    const { target, headers, body } = this.plan;
    this.#connection = connection;
    if (body.stream !== undefined) this.#stream ??= new OutgoingStream(body.stream, this);
    const data = this.#stream ?? body.data;
    connection.client.dispatch({ path: target.path, method: this.subject.method, headers, body: data }, this);
  }

  // From undici

  onRequestStart(controller: ExchangeController): void {
    if (this.phase !== "connecting") return controller.abort(ABORTED);
    this.#controller = controller;
    const now = this.#context.loop.now();
    this.connectMs = now - this.#since;
    this.phase = "headers";
    this.#since = now;
    this.#limitPhase(now + this.plan.timeouts.headersMs);
  }

  onResponseStart(_controller: ExchangeController, status: number, headers: UndiciHeaders): void {
    if (this.phase !== "headers") return;
    const now = this.#context.loop.now();
    const { timeouts, maxBodyBytes } = this.plan;
    if (status < 200) return this.#limitPhase(now + timeouts.headersMs); // a sign of life, not the answer
    this.headersMs = now - this.#since;
    this.phase = "body";
    this.#since = now;
    this.#limitPhase(now + timeouts.idleMs);
    this.status = status;
    this.responseHeaders = headers;
    this.incoming = new IncomingBody(this, this.#announcedBytes(status, headers), maxBodyBytes);
    this.#owner.headArrived(this);
  }

  onResponseData(_controller: ExchangeController, chunk: Uint8Array): void {
    if (this.phase !== "body") return;
    this.#limitPhase(this.#context.loop.now() + this.plan.timeouts.idleMs);
    this.incoming!.push(chunk);
  }

  onResponseEnd(): void {
    if (this.phase !== "body") return;
    const connection = this.#connection!;
    const isSent = this.#stream === null || this.#stream.isOver;
    this.#end();
    if (isSent) this.#context.pool.giveBack(connection);
    else this.#context.pool.discard(connection); // an answer that did not wait for the rest of the upload
    this.incoming!.ended();
    this.#leave();
    this.#context.pool.line.admit();
  }

  onResponseError(_controller: ExchangeController | null, error: Error): void {
    if (this.phase === "ended") return;
    const connection = this.#connection!;
    if (this.phase === "connecting" && connection.served > 0 && classifyError(error) !== null) {
      // An idle connection broke before anything was written to it. Nothing has happened yet, so take a new one.
      this.#context.pool.discard(connection);
      this.#dispatch(this.#context.pool.leaseNew(this, this.host));
      return;
    }
    this.fail(this.#translate(error, connection));
  }

  #translate(error: Error, connection: Connection): unknown {
    if (this.#streamError !== null) return this.#streamError.error;
    if (connection.connectError !== null) {
      return new ConnectError(this.subject, this.host.origin, connection.connectError);
    }
    const problem = classifyError(error);
    if (problem === null) return new InvalidRequestError(this.subject, error.message, { cause: error });
    return new ProtocolError(this.subject, problem, {
      afterHeaders: this.phase === "body",
      reusedConnection: connection.served > 0,
      cause: error,
    });
  }

  // Endings

  /** Ends it with an error: for the owner before the head has come, for the readers of the body afterwards. */
  fail(error: unknown): void {
    if (this.phase === "ended") return;
    const { incoming } = this;
    this.#abandon();
    if (incoming === null) this.#owner.transferFailed(this, error);
    else incoming.failed(error);
    this.#leave();
    this.#context.pool.admitSoon();
  }

  /** Ends it because nobody wants it any more. Who reads the body all the same is told. */
  cancel(): void {
    if (this.phase === "ended") return;
    const { incoming } = this;
    this.#abandon();
    incoming?.failed(new ResponseClosedError(this.subject));
    this.#leave();
    this.#context.pool.admitSoon();
  }

  #abandon(): void {
    const connection = this.#connection;
    this.#end();
    this.#controller?.abort(ABORTED);
    if (connection !== null) this.#context.pool.discard(connection);
  }

  #end(): void {
    const { loop } = this.#context;
    if (this.phase === "queued") this.queueMs = loop.now() - this.#since;
    if (this.phase === "body") this.bodyMs = loop.now() - this.#since;
    this.phase = "ended";
    this.#disarm();
    this.#connection = null;
    this.facade = null;
    this.heldBy?.holdings.delete(this);
    this.heldBy = null;
    this.#stream?.close();
    this.#release();
  }

  /** Last, because others may come in then: a redirect that gets in line again has done so by now. */
  #leave(): void {
    const { pool } = this.#context;
    pool.line.leave(this);
    pool.forget(this.host);
  }

  // The body

  pause(): void {
    this.#disarm(); // it is not the peer who is silent now
    this.#limitPhase(Infinity);
    this.#release();
    this.#controller!.pause();
    if (this.facade === null) return;
    forgotten.register(this.facade, this);
    this.facade = null; // from here on only its user keeps it
  }

  resume(): void {
    this.#hold();
    this.#limitPhase(this.#context.loop.now() + this.plan.timeouts.idleMs);
    this.#controller!.resume();
  }

  // The caller's stream

  streamAsked(): void {
    if (this.phase === "headers") this.#limitPhase(Infinity);
  }

  streamGave(): void {
    if (this.phase === "headers") this.#limitPhase(this.#context.loop.now() + this.plan.timeouts.headersMs);
  }

  streamFailed(error: unknown): void {
    this.#streamError ??= { error };
  }

  // Time

  #limitPhase(deadline: number): void {
    this.#phaseDeadline = deadline;
    const due = Math.min(deadline, this.plan.totalDeadline);
    if (due >= this.#timerDue) return;
    this.#disarm();
    this.#timerDue = due;
    this.#context.loop.addTimer(this, due);
  }

  #disarm(): void {
    if (this.#timerDue !== Infinity) this.#context.loop.removeTimer(this);
    this.#timerDue = Infinity;
  }

  fire(): void {
    this.#timerDue = Infinity;
    const { totalDeadline, timeouts } = this.plan;
    const now = this.#context.loop.now();
    if (this.phase === "ended") return;
    if (now < totalDeadline && now < this.#phaseDeadline) return this.#limitPhase(this.#phaseDeadline);
    const limit = totalDeadline <= this.#phaseDeadline ? "total" : PHASE_LIMITS[this.phase];
    this.fail(new HttpTimeoutError(this.subject, limit, timeouts[PHASE_OPTIONS[limit]]));
  }

  #hold(): void {
    if (this.#isHolding) return;
    this.#isHolding = true;
    this.#context.loop.outside++;
  }

  #release(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    const { loop } = this.#context;
    if (--loop.outside === 0) loop.enqueue(LOOK_AGAIN);
  }

  #announcedBytes(status: number, headers: UndiciHeaders): number {
    const length = headers["content-length"];
    if (typeof length !== "string" || this.subject.method === "HEAD" || status === 204 || status === 304) return -1;
    return Number(length);
  }
}
