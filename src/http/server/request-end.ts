/**
 * What is said about a request when it is over: the line of an access log.
 */

/** How a request ended, for logs. */
export type RequestOutcome =
  /** the handler has answered, with whatever status */
  | "completed"
  /** it threw */
  | "failed"
  /** its deadline passed */
  | "timeout"
  /** the client went away before the response was complete: status 499, nothing was written */
  | "disconnected"
  /** the client took nothing of the response for `sendTimeoutMs`, and the connection, or the stream of HTTP/2, was cut */
  | "stalled"
  /** the server ended */
  | "shutdown"
  /** it was not admitted: too many others, or the server ends */
  | "rejected"
  /** somebody cancelled its task */
  | "cancelled";

/** One line of an access log. */
export interface RequestEnd {
  readonly method: string;
  /** Without query. */
  readonly path: string;
  /** The pattern, `/users/:id`, when a router has said so. */
  readonly route: string | undefined;
  /** What was sent; 499 when the client left before. */
  readonly status: number;
  /** Bytes written to the connection meanwhile, headers included; `undefined` where that is not known (HTTP/2, no connection). */
  readonly bytes: number | undefined;
  readonly durationMs: number;
  readonly outcome: RequestOutcome;
}
