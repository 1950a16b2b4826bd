/**
 * `fibril/http/mock`: sessions without a network, for tests. A mock answers what a test says; a recording answers what a server
 * once said.
 */
export { mockTransport } from "./mock-transport.ts";
export type { MockTransport } from "./mock-transport.ts";
export type { MockCall } from "./calls.ts";
export type { MockRoute, ReplySource } from "./route.ts";
export type { MockFailure, MockFailureOptions, MockReply } from "./replies.ts";
export type { Params, RequestPattern, TextPattern, UrlPattern } from "./patterns.ts";
export { recordTransport } from "./record.ts";
export type { RecordingSource, RecordOptions } from "./record.ts";
export { replayTransport } from "./replay.ts";
export type { ReplayOptions, ReplayTransport } from "./replay.ts";
export type { RecordedBody, RecordedExchange } from "./recording.ts";
export { MockNotDoneError, ReplayFileError, ReplayMissError, UnmatchedRequestError } from "./errors.ts";
