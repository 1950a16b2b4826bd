/**
 * Recording: real answers, kept in a file for tests that need no network.
 */
import { currentScope, defer, describeValue, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation } from "../../core/index.ts";
import type { HttpRequest } from "../http-request.ts";
import type { Transport } from "../middleware/middleware.ts";
import { HttpResponse } from "../response.ts";
import type { PlainRequestOptions } from "../plain-request.ts";
import { encodeBody, REDACTED, SECRET_HEADERS, writeRecording } from "./recording.ts";
import type { RecordedExchange } from "./recording.ts";
import { headersOf, readRequestBody } from "./request-body.ts";

/** A session, as far as a recording needs one. */
export interface RecordingSource {
  request(method: string, url: string, options: PlainRequestOptions): Operation<HttpResponse>;
}

export interface RecordOptions {
  /**
   * Headers to redact, in requests and responses, beside `authorization`, `cookie`, `set-cookie`, `proxy-authorization`, `authentication-info`,
   * `x-api-key`, `x-auth-token` and others of that kind. URLs and bodies are kept as they are: see `edit`.
   */
  readonly redact?: readonly string[];
  /** Changes an exchange before it is written, to take secrets out of URLs and bodies; `null` leaves it out. */
  readonly edit?: (exchange: RecordedExchange) => RecordedExchange | null;
}

/**
 * A transport that asks `source` and keeps every answer. The file is written at the end of the current scope. When that fails or is
 * cancelled, an earlier recording stays as it is, and what there is of the new one stands beside it, as `<file>.new`.
 *
 * Bodies are read as a whole. Answers of the source that are errors are thrown and not kept.
 * @param source A session, whose own features (cookies, credentials) are applied and not recorded; or another transport.
 * @example
 * const network = yield* Session.open();
 * const transport = yield* recordTransport(network, "test/recordings/users.json");
 * const session = yield* Session.open({ baseUrl: "https://api.example.org/", transport });
 */
export function* recordTransport(
  source: RecordingSource | Transport,
  file: string,
  options: RecordOptions = {},
): Coroutine<Transport> {
  const ask = typeof source === "function" ? source : throughSession(source);
  const secrets = new Set([...SECRET_HEADERS, ...(options.redact ?? [])].map((name) => name.toLowerCase()));
  const exchanges: RecordedExchange[] = [];
  const scope = currentScope();
  defer(() => writeRecording(file, exchanges, scope.cancelled === null && !scope.isReached));
  return function* recording(request: HttpRequest): Coroutine<HttpResponse> {
    const sent = yield* readRequestBody(request);
    const response = yield* ask(request.hasBody ? replayable(request, sent) : request);
    const bytes = yield* response.bytes();
    const headers = keptHeaders(response);
    const exchange: RecordedExchange = {
      request: {
        method: request.method,
        url: request.url,
        headers: Object.fromEntries(redacted(Object.entries(headersOf(request)), secrets)),
        body: encodeBody(sent),
      },
      response: { status: response.status, headers: redacted(headers, secrets), body: encodeBody(bytes) },
    };
    const edited = options.edit === undefined ? exchange : options.edit(exchange);
    if (edited !== null) exchanges.push(edited);
    return HttpResponse.of(request, { status: response.status, headers: grouped(headers), body: bytes });
  };
}

/** Its body was read to be kept; from here on it is bytes. */
function replayable(request: HttpRequest, body: Uint8Array): HttpRequest {
  const type = request.header("content-type");
  return request.with({ body, ...(type === undefined ? {} : { headers: { "content-type": type } }) });
}

function throughSession(session: RecordingSource): Transport {
  if (typeof (session as Partial<RecordingSource> | null)?.request !== "function") {
    throw new UsageError(`recordTransport() takes a session or a transport, got ${describeValue(session)}`);
  }
  return function* network(request: HttpRequest): Coroutine<HttpResponse> {
    const body = request.hasBody ? { body: yield* readRequestBody(request) } : {};
    return yield* session.request(request.method, request.url, {
      headers: headersOf(request),
      ...body,
      redirect: "manual",
      timeout: request.call.timeouts,
      maxBodyBytes: request.call.maxBodyBytes,
    });
  };
}

/** What was decoded on the way has neither its encoding nor its length any more. */
function keptHeaders(response: HttpResponse): [string, string][] {
  const isDecoded = response.decodedFrom.length > 0;
  const gone = isDecoded ? ["content-encoding", "content-length", "transfer-encoding"] : ["transfer-encoding"];
  return [...response.headers].filter(([name]) => !gone.includes(name));
}

function redacted(headers: readonly [string, string][], secrets: ReadonlySet<string>): [string, string][] {
  return headers.map(([name, value]) => [name, secrets.has(name) ? REDACTED : value]);
}

/** Several of one name as a list. */
export function grouped(headers: readonly (readonly [string, string])[]): Record<string, string | string[]> {
  const record: Record<string, string | string[]> = {};
  for (const [name, value] of headers) {
    const before = record[name];
    record[name] = before === undefined ? value : [...[before].flat(), value];
  }
  return record;
}
