/**
 * One request and its response on one connection, as both kinds of connections do it: undici's client for HTTP/1.1, node:http2 for
 * HTTP/2. The shape is that of undici's dispatch handlers.
 */
import type { ProtocolProblem } from "../errors.ts";
import type { OutgoingHeaders } from "../headers.ts";

/** What is called during an exchange. */
export interface ExchangeHandler {
  onRequestStart(controller: ExchangeController, context: unknown): void;
  /** Also called for 1xx answers. */
  onResponseStart(controller: ExchangeController, status: number, headers: UndiciHeaders, statusText?: string): void;
  onResponseData(controller: ExchangeController, chunk: Uint8Array): void;
  onResponseEnd(controller: ExchangeController, trailers: unknown): void;
  onResponseError(controller: ExchangeController | null, error: Error): void;
}

export interface ExchangeController {
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
}

export type UndiciHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface DispatchOptions {
  readonly path: string;
  readonly method: string;
  readonly headers: OutgoingHeaders;
  readonly body: string | Uint8Array | AsyncIterable<Uint8Array | string> | undefined;
}

export interface ExchangeClient {
  dispatch(options: DispatchOptions, handler: ExchangeHandler): unknown;
  /** Ends what goes on; resolves when the socket is gone. */
  destroy(error: Error): Promise<void>;
}

/** An exchange that broke, where undici is not involved. */
export class ExchangeFailure extends Error {
  /** `null`: the request itself is wrong. */
  readonly problem: ProtocolProblem | null;
  /** The server says that it has not begun with the request: it may be sent again, whatever it is. */
  readonly isRefused: boolean;

  constructor(message: string, problem: ProtocolProblem | null, isRefused: boolean, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
    this.isRefused = isRefused;
  }
}
