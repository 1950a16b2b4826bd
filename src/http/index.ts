/**
 * `fibril/http`: an HTTP session whose every wait can be cancelled, is bounded, and says what it waits for.
 *
 * undici (`^7.30 || ^8`) is an optional peer of the package and needed here.
 */
export { Session } from "./session.ts";
export type { SessionOptions, SessionStatistics } from "./session.ts";
export type { RequestOptions } from "./request.ts";
export type { BodyChunk, BodyOptions, BodySource } from "./body/outgoing.ts";
export type { HeadersInit, HeaderValue } from "./headers.ts";
export type { Query } from "./target.ts";

// What a request gives: made by sessions only.
export type { HttpResponse, HttpTimings } from "./response.ts";
export type { ResponseHeaders } from "./headers.ts";

// What can go wrong.
export {
  BodyConsumedError,
  BodyTooLarge,
  ConnectError,
  DecodeError,
  HttpError,
  HttpTimeoutError,
  InvalidRequestError,
  InvalidUrlError,
  ProtocolError,
  ResponseClosedError,
  ResponseError,
  SessionClosedError,
  TooManyRedirects,
} from "./errors.ts";
export type { HttpPhase, HttpTimeouts, ProtocolProblem, Redirect, RequestSubject } from "./errors.ts";
export { UndiciMissingError } from "./connect/undici.ts";
export type { UndiciModule } from "./connect/undici.ts";
