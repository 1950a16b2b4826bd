/**
 * `fibril/http/server`: coroutines as handlers of HTTP servers. Each request is a task that ends when its client leaves.
 */

// A server of one's own.
export { HttpServer, serve } from "./serve.ts";
export type { Hook, ServeOptions, ServerStatistics } from "./serve.ts";
export { routes } from "./routes.ts";
export type { RouteTable } from "./routes.ts";
export { TestClient } from "./test-client.ts";
export type { TestClientOptions } from "./test-client.ts";

// Handlers for the servers of node:http, node:https, node:http2.
export { answering, listener } from "./listener.ts";
export type { Handler, RawHandler, RequestListener } from "./listener.ts";
export type { HandlerOptions, RequestsOptions, RequestsStatistics } from "./requests.ts";
export type { OnDisconnect } from "./exchange.ts";
export type { RequestEnd, RequestOutcome } from "./request-end.ts";

// Requests and their bodies.
export { ServerRequest } from "./server-request.ts";
export type { RouteParams } from "./server-request.ts";
export { readBytes, readChunks, readForm, readJson, readText } from "./request-body.ts";
export type { BodyLimit } from "./request-body.ts";

// Answers.
export { Reply, reply } from "./reply.ts";
export type { Answer, ReplyChunk, ReplyHeaders, ReplyInit } from "./reply.ts";
export { eventStream } from "./event-stream.ts";
export type { EventSource, EventStreamOptions } from "./event-stream.ts";
export type { ServerSentEvent } from "../body/server-sent-events.ts";

// WebSockets.
export type { ServerWebSocketOptions, WebSocketHandler } from "./web-sockets.ts";
export type { WebSocketChannel } from "../websocket/ends.ts";

// What can go wrong.
export {
  ClientGone,
  HttpFailure,
  MalformedRequest,
  RequestAborted,
  RequestTooLarge,
  UnsupportedRequestType,
} from "./failure.ts";
export type { ProblemDetails } from "./failure.ts";
