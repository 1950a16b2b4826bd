/**
 * `fibril/http`: an HTTP session whose every wait can be cancelled, is bounded, and says what it waits for.
 *
 * undici (`^7.30 || ^8`) is an optional peer of the package and needed here.
 */
export { Session } from "./session.ts";
export type { SessionStatistics } from "./session.ts";
export type { RequestOptions, SessionDefaults, SessionOptions } from "./options.ts";
export type { PlainRequestOptions } from "./plain-request.ts";
export type { DefaultOptions } from "./session-context.ts";
export type { StatusCheck } from "./limits.ts";
export type { BodyOptions, BodySource } from "./body/outgoing.ts";
export type { BodyChunk } from "./body/sources.ts";
export type { HeadersInit, HeaderValue } from "./headers.ts";
export type { Query } from "./target.ts";

// What a request gives.
export { HttpResponse } from "./response.ts";
export type { HttpTimings } from "./response-carrier.ts";
export type { ResponseParts } from "./response-parts.ts";
export type { MadeBodySource } from "./body/made-source.ts";
export type { ResponseHeaders } from "./headers.ts";
export type { Link } from "./links.ts";
export { SchemaError } from "./schema.ts";
export type { JsonOptions, OutputOf, Schema, SchemaIssue } from "./schema.ts";

export type { Fetch } from "./fetch.ts";

// What stands in the way of a request.
export { HttpRequest } from "./http-request.ts";
export type { RequestChanges } from "./http-request.ts";
export { nest } from "./middleware/middleware.ts";
export type { Middleware, MiddlewareOptions, Next, Transport } from "./middleware/middleware.ts";

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
  RequestAbortedError,
  ResponseClosedError,
  ResponseError,
  SessionClosedError,
  TooManyRedirects,
} from "./errors.ts";
export type { HttpPhase, HttpTimeouts, ProtocolProblem, Redirect, RequestSubject } from "./errors.ts";
export { UndiciMissingError } from "./connect/undici.ts";
export type { UndiciModule } from "./connect/undici.ts";

// Connections: how they are made and kept.
export { CertificatePinError, ProxyError, SocksMissingError } from "./connect/errors.ts";
export type { ProxyPhase } from "./connect/errors.ts";
export type { ConnectOptions, TlsOptions } from "./connect/options.ts";
export type { ConnectionFacts } from "./connect/dial.ts";
export type { DnsOptions, ResolvedAddress } from "./connect/resolver.ts";
export type { PinSettings } from "./connect/pins.ts";
export type { ProxyOptions } from "./connect/proxy.ts";

// What a session tells about its requests.
export type {
  ChunkEvent,
  ConnectedEvent,
  EndEvent,
  ErrorEvent,
  ExchangeFacts,
  HeadersEvent,
  ObserverOptions,
  QueuedEvent,
  RedirectEvent,
  RequestEvent,
  RequestObserver,
  RetryEvent,
  ReusedEvent,
  SentEvent,
} from "./events.ts";
export { REQUEST_CHANNEL } from "./diagnostics.ts";
export { openTelemetry } from "./open-telemetry.ts";
export type { TelemetryOptions, TelemetrySpan, TelemetryTracer } from "./open-telemetry.ts";

// Limits of the line, retries, circuit breakers.
export { failedAttempts } from "./attempts.ts";
export type { FailedAttempt } from "./attempts.ts";
export { CircuitBreakers, HttpCircuitOpenError } from "./middleware/circuit-breaker.ts";
export type {
  CircuitBreakersOptions,
  CircuitBreakingOptions,
  ExchangeOutcome,
  OriginCircuitChange,
  OriginCircuitStatistics,
} from "./middleware/circuit-breaker.ts";
export type { AttemptOutcome, RetryingOptions, RetryPolicy } from "./middleware/retry.ts";
export type { QueueCause } from "./queue/line.ts";
export type { PausedHost, QueueOptions, QueueStatistics } from "./queue/options.ts";
export type { RateOptions } from "./queue/rates.ts";

// Cookies and credentials.
export { CookieJar } from "./middleware/cookies-jar.ts";
export type { CookieJarOptions } from "./middleware/cookies-jar.ts";
export type { CookieOptions } from "./middleware/cookies.ts";
export { CookiePackageMissingError } from "./middleware/cookies-package.ts";
export type { CookiePackage } from "./middleware/cookies-package.ts";
export type { StoredCookie } from "./middleware/cookies-txt.ts";
export { Authentication, basicAuth } from "./middleware/auth.ts";
export type { AuthOptions, AuthOrigins, AuthScheme } from "./middleware/auth.ts";
export { bearerAuth } from "./middleware/auth-bearer.ts";
export { digestAuth } from "./middleware/digest-auth.ts";
export type { CacheOptions } from "./middleware/cache.ts";
export type { CacheKey, CacheStore } from "./middleware/cache-package.ts";
export type { CacheSettings } from "./middleware/cache-store.ts";

// WebSockets.
export type { WebSocketChannel, WebSocketState, WebSocketStatistics } from "./websocket/ends.ts";
export type { WebSocketLimits } from "./websocket/limits.ts";
export type { SendOptions } from "./websocket/send-wait.ts";
export {
  WebSocketClosedError,
  WebSocketHandshakeError,
  WebSocketPackageMissingError,
  WebSocketTimeoutError,
} from "./websocket/errors.ts";
export type { WebSocketClose, WebSocketPhase } from "./websocket/errors.ts";
export type { MessageStatistics, WebSocketMessage, WebSocketMessages } from "./websocket/messages.ts";
export type { WebSocketOptions } from "./websocket/open.ts";
export type { WebSocketPackage } from "./websocket/package.ts";

// Bodies: decoding, lines and events, files and parts.
export { validatorsOf } from "./body/conditional.ts";
export type { ConditionalOptions, Validators } from "./body/conditional.ts";
export type { CheckedItems } from "./body/checked-items.ts";
export type { DecodeOptions } from "./body/decoding.ts";
export { ChecksumError, download, LengthError } from "./body/download.ts";
export type { Checksum, Download, DownloadOptions } from "./body/download.ts";
export { eventSource } from "./body/event-source.ts";
export type { EventSource, EventSourceOptions } from "./body/event-source.ts";
export type { EventsOptions } from "./body/event-stream.ts";
export type { Progress, ProgressOptions } from "./body/incoming.ts";
export type { BodyItems } from "./body/items.ts";
export type { LinesOptions } from "./body/lines.ts";
export { filePart } from "./body/multipart.ts";
export type { MultipartFile, MultipartSource, MultipartValue } from "./body/multipart.ts";
export type { UploadProgress } from "./body/outgoing-stream.ts";
export { RangeMismatchError, RangeNotSatisfiableError } from "./body/ranges.ts";
export type { ByteRange, ContentRange, RangeOptions } from "./body/ranges.ts";
export { resumable, ResourceChangedError } from "./body/resumable.ts";
export type { Getter, ResumableBody, ResumableOptions } from "./body/resumable.ts";
export { encodeEventComment, encodeServerSentEvent, EventStreamDecoder } from "./body/server-sent-events.ts";
export type { EventLimits, ReceivedEvent, ServerSentEvent } from "./body/server-sent-events.ts";
