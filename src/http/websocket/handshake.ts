/**
 * The wait for a WebSocket to open: name look-up, TCP, TLS and the HTTP upgrade in one wait.
 *
 * Cancelling, and the limit, destroy the connection in whatever phase it is. The channel is made in the callback of `open`,
 * because the first messages may stand in the same piece of data as the server's answer.
 */
import { sharedWait } from "../../core/index.ts";
import { Wait } from "../../lowlevel.ts";
import type { Started, Waiter } from "../../lowlevel.ts";
import { Alarm } from "../../time/alarm.ts";
import { socketEnds } from "./ends.ts";
import type { WebSocketChannel } from "./ends.ts";
import { describeSocket, WebSocketHandshakeError, WebSocketTimeoutError } from "./errors.ts";
import type { ByteCount } from "./heartbeat.ts";
import type { WebSocketLimits } from "./limits.ts";
import { createSocket } from "./package.ts";
import type { WebSocketPackage } from "./package.ts";
import type { RawWebSocket } from "./raw.ts";

type AnswerHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

interface Answer {
  readonly statusCode: number;
  readonly headers: AnswerHeaders;
  readonly socket: ByteCount;
}

/** A connection that is being made. */
export interface PendingConnection {
  /** Gives up; resolves when nothing is left of it. */
  cancel(): Promise<void>;
}

/** Makes the connection below: proxies, Unix sockets, TLS and pins are the session's affair. Never calls back before it returns. */
export type ConnectionMaker = (done: (error: Error | null, socket: object | null) => void) => PendingConnection;

/** What to open, and within which limits. */
export interface HandshakePlan {
  readonly url: string;
  readonly protocols: readonly string[];
  /** `null`: `ws` makes the connection itself. */
  readonly connect: ConnectionMaker | null;
  /** For `ws`: headers, TLS, limits. */
  readonly options: object;
  readonly limits: WebSocketLimits;
  readonly handshakeMs: number;
  /** Told of the headers of the answer, whether it opens or not: cookies stand there. */
  readonly answered: (headers: AnswerHeaders) => void;
}

export class Handshake extends Wait<WebSocketChannel> {
  readonly #ws: WebSocketPackage;
  readonly #plan: HandshakePlan;
  readonly #limit: Alarm = new Alarm(() => this.#tooLate());
  #waiter: Waiter | null = null;
  #connection: PendingConnection | null = null;
  #raw: RawWebSocket | null = null;
  #transport: ByteCount | undefined = undefined;

  constructor(ws: WebSocketPackage, plan: HandshakePlan) {
    super();
    this.#ws = ws;
    this.#plan = plan;
  }

  get reason(): string {
    return `${describeSocket(this.#plan.url)}, opening`;
  }

  override get external(): boolean {
    return true;
  }

  protected start(task: Waiter): Started<WebSocketChannel> {
    if (this.#waiter !== null) throw sharedWait(this.reason);
    const { connect, handshakeMs } = this.#plan;
    this.#waiter = task;
    if (connect === null) {
      const error = this.#ask(undefined);
      if (error !== null) {
        this.#waiter = null;
        return task.fail(this, error);
      }
    } else this.#connection = connect((error, socket) => this.#connected(error, socket));
    this.#limit.set(task.loop, task.loop.now() + handshakeMs);
    return task.park(this);
  }

  #connected(error: Error | null, socket: object | null): void {
    this.#connection = null;
    const failure = error === null ? this.#ask(socket!) : this.#problem(error);
    if (failure !== null) this.#end(failure);
  }

  /** Sends the request for the upgrade. Returns what `ws` says against it. */
  #ask(socket: object | undefined): Error | null {
    const { url, protocols, options } = this.#plan;
    let raw: RawWebSocket;
    try {
      const below = socket === undefined ? {} : { createConnection: () => socket };
      raw = createSocket(this.#ws, url, protocols, { ...options, ...below });
    } catch (cause) {
      (socket as { destroy(): void } | undefined)?.destroy();
      return this.#problem(cause);
    }
    this.#raw = raw;
    raw.on("upgrade", this.#upgraded as never);
    raw.on("unexpected-response", this.#refused as never);
    raw.on("open", this.#opened);
    raw.on("error", this.#failed as never);
    return null;
  }

  #problem(cause: unknown): Error {
    return new WebSocketHandshakeError(this.#plan.url, messageOf(cause), { cause });
  }

  /** Gives up with an error for who waits; resolves when no connection is being made any more. */
  async fail(error: Error): Promise<void> {
    const connection = this.#connection;
    this.#end(error);
    await connection?.cancel();
  }

  withdraw(): boolean {
    this.#giveUp();
    return true;
  }

  readonly #upgraded = (answer: Answer): void => {
    this.#transport = answer.socket;
    this.#plan.answered(answer.headers);
  };

  readonly #opened = (): void => {
    const waiter = this.#waiter;
    if (waiter === null) return;
    const raw = this.#settle()!;
    const { url, limits } = this.#plan;
    const transport = this.#transport;
    waiter.wake(this, socketEnds(raw, waiter.loop, { ...limits, url, transport, answersPings: true }));
  };

  readonly #refused = (_request: unknown, answer: Answer): void => {
    const { statusCode: status, headers } = answer;
    this.#plan.answered(headers);
    const problem = `the server answered with status ${status}${status >= 300 && status < 400 ? ", and redirects are not followed" : ""}`;
    this.#end(new WebSocketHandshakeError(this.#plan.url, problem, { status, headers }));
  };

  readonly #failed = (cause: unknown): void => {
    this.#end(this.#problem(cause));
  };

  #tooLate(): void {
    this.#end(new WebSocketTimeoutError(this.#plan.url, "handshake", this.#plan.handshakeMs));
  }

  #end(error: Error): void {
    const waiter = this.#waiter;
    if (waiter === null) return;
    this.#giveUp();
    waiter.wakeError(this, error);
  }

  #giveUp(): void {
    void this.#connection?.cancel();
    this.#connection = null;
    const raw = this.#settle();
    // What it says about being given up is for nobody, but must not end the process.
    raw?.on("error", () => undefined);
    raw?.terminate();
  }

  /** It is over for this wait; the listeners go. */
  #settle(): RawWebSocket | null {
    const raw = this.#raw;
    this.#waiter = null;
    this.#raw = null;
    this.#limit.clear();
    if (raw === null) return null;
    raw.off("upgrade", this.#upgraded as never);
    raw.off("unexpected-response", this.#refused as never);
    raw.off("open", this.#opened);
    raw.off("error", this.#failed as never);
    return raw;
  }
}

function messageOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.map(messageOf).join(", ");
  return cause.message;
}
