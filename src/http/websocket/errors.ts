/**
 * What can go wrong with a WebSocket: it did not come about, it is closed, it took too long.
 *
 * As with requests, credentials are taken out of a URL before it gets into a message, and messages name host and path only.
 * Being closed in good order is no error for who reads: the messages end. It is one for who sends.
 */
import { FibrilError, TimeoutError } from "../../core/index.ts";
import { HttpError, withoutCredentials } from "../errors.ts";

/** How a WebSocket ended. */
export interface WebSocketClose {
  /** The close code: that of the peer, or what ended it here. 1005: the peer gave none. 1006: it broke without a close. */
  readonly code: number;
  /** What the peer gave as reason; often empty. */
  readonly reason: string;
  /** Whether the closing handshake was completed. */
  readonly wasClean: boolean;
}

/** The server did not agree to a WebSocket, or could not be reached. Code: `WEBSOCKET_HANDSHAKE`. */
export class WebSocketHandshakeError extends HttpError {
  /** What the server answered instead of 101; `undefined` when there was no answer, or one that is no WebSocket's. */
  readonly status: number | undefined;
  /** The headers of that answer, names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;

  constructor(
    url: string,
    problem: string,
    details: {
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
      readonly cause?: unknown;
    } = {},
  ) {
    const shown = withoutCredentials(url);
    super(
      "WEBSOCKET_HANDSHAKE",
      `${describeSocket(shown)} did not open: ${problem}`,
      { method: "GET", url: shown },
      { cause: details.cause },
    );
    this.status = details.status;
    this.headers = details.headers ?? {};
  }
}

/** The WebSocket is closed: nothing can be sent any more, or it did not end in good order. Code: `WEBSOCKET_CLOSED`. */
export class WebSocketClosedError extends HttpError {
  readonly closeCode: number;
  readonly reason: string;
  readonly wasClean: boolean;

  /** @param what What was tried, or what happened: `"cannot send"`. */
  constructor(url: string, what: string, close: WebSocketClose, cause?: unknown) {
    const shown = withoutCredentials(url);
    super(
      "WEBSOCKET_CLOSED",
      `${describeSocket(shown)}: ${what}: ${describeClose(close)}`,
      { method: "GET", url: shown },
      { cause },
    );
    this.closeCode = close.code;
    this.reason = close.reason;
    this.wasClean = close.wasClean;
  }
}

/** What took too long. */
export type WebSocketPhase = "handshake" | "pong";

/** The handshake did not end in time, or the peer did not answer a ping. Code: `WEBSOCKET_TIMEOUT`. */
export class WebSocketTimeoutError extends TimeoutError {
  override readonly code: string = "WEBSOCKET_TIMEOUT";
  readonly phase: WebSocketPhase;
  readonly url: string;

  constructor(url: string, phase: WebSocketPhase, limitMs: number) {
    const shown = withoutCredentials(url);
    super(`${describeSocket(shown)}: ${PHASES[phase].goal}`, limitMs);
    this.message += `; if that is too strict, raise ${PHASES[phase].option}`;
    this.phase = phase;
    this.url = shown;
  }
}

const PHASES: Readonly<Record<WebSocketPhase, { readonly goal: string; readonly option: string }>> = {
  handshake: { goal: "the handshake", option: "handshakeMs" },
  pong: { goal: "the wait for a sign of life after a ping", option: "heartbeatMs" },
};

/** There is no package `ws`. Code: `WEBSOCKET_PACKAGE_MISSING`. */
export class WebSocketPackageMissingError extends FibrilError {
  constructor(problem: string, options?: ErrorOptions) {
    super("WEBSOCKET_PACKAGE_MISSING", `cannot open a WebSocket: ${problem}`, options);
  }
}

/** What a wait and a message call a WebSocket: `websocket host/path`. */
export function describeSocket(url: string): string {
  const end = url.search(/[?#]/);
  return `websocket ${(end === -1 ? url : url.slice(0, end)).replace(/^(?:ws|http)s?:\/\//, "")}`;
}

function describeClose({ code, reason, wasClean }: WebSocketClose): string {
  const said = reason === "" ? "" : ` ${JSON.stringify(reason)}`;
  if (code === 1006) return "the connection broke without a closing handshake (code 1006)";
  return wasClean ? `it was closed with code ${code}${said}` : `code ${code}${said}`;
}
