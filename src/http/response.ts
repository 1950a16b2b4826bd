/**
 * A response in two steps: status and headers are there, the body is read when it is wanted.
 *
 * A response holds its connection until its body has ended. Small bodies (128 KiB) end by themselves; for larger ones
 * somebody has to read, `discard()` or `close()`, or the scope that asked has to end (see `holdings.ts`). One that was
 * simply forgotten is closed when the garbage collector finds it.
 *
 * Not all come from the network: `HttpResponse.of` makes one, for caches, mocks and middlewares that answer by themselves, and
 * `response.with` one that stands for another. All are read in the same ways.
 */
import { running } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";
import { EventItems } from "./body/event-stream.ts";
import type { EventsOptions } from "./body/event-stream.ts";
import { BodyItems } from "./body/items.ts";
import { JsonLineDecoder, LineDecoder } from "./body/lines.ts";
import type { LinesOptions } from "./body/lines.ts";
import { MadeBody } from "./body/made.ts";
import { charsetOf, decodeText, join } from "./body/text.ts";
import { CheckedItems } from "./body/checked-items.ts";
import { parseContentRange } from "./body/ranges.ts";
import type { ContentRange } from "./body/ranges.ts";
import type { ReceivedEvent } from "./body/server-sent-events.ts";
import type { FailedAttempt } from "./attempts.ts";
import { describeRequest, ResponseError } from "./errors.ts";
import type { Redirect, RequestSubject } from "./errors.ts";
import { mergeHeaders, ResponseHeaders } from "./headers.ts";
import type { HttpRequest, RequestCall } from "./http-request.ts";
import { isRaised } from "./limits.ts";
import type { StatusCheck } from "./limits.ts";
import { parseLinks } from "./links.ts";
import type { Link } from "./links.ts";
import { ResponseOrigin } from "./response-carrier.ts";
import type { BodyAccess, BodyEnding, HttpTimings, ResponseCarrier } from "./response-carrier.ts";
import { ChangedCarrier, checkStatus, fieldsOf, listOf, NO_TIME, placeOf } from "./response-parts.ts";
import type { ResponseParts } from "./response-parts.ts";
import { readExcerpt } from "./response-excerpt.ts";
import { checkJsonType, isSchema, parseJson, validate } from "./schema.ts";
import type { JsonOptions, OutputOf, Schema } from "./schema.ts";

const NO_ATTEMPTS: readonly FailedAttempt[] = Object.freeze([]);

/** What stands behind a response that stands for another. */
type Behind = readonly HttpResponse[];

export class HttpResponse {
  readonly status: number;
  /** What the server calls the status; often empty. */
  readonly statusText: string;
  /** The method of the request that was answered; after a redirect perhaps not the one that was asked for. */
  readonly method: string;
  /** Where the response came from, after redirects, without credentials and fragment. */
  readonly url: string;
  /** The way there, oldest first. */
  readonly redirects: readonly Redirect[];
  readonly #carrier: ResponseCarrier;
  readonly #origin: ResponseOrigin;
  readonly #body: BodyAccess;
  readonly #call: RequestCall | null;
  readonly #behind: Behind;
  #headers: ResponseHeaders | null = null;
  #isCached = false;

  /** @internal */
  constructor(
    carrier: ResponseCarrier,
    origin: ResponseOrigin,
    body: BodyAccess,
    call: RequestCall | null = null,
    behind: Behind = NONE,
  ) {
    this.status = carrier.status;
    this.statusText = carrier.statusText;
    this.method = carrier.subject.method;
    this.url = carrier.subject.url;
    this.redirects = origin.redirects;
    this.#carrier = carrier;
    this.#origin = origin;
    this.#body = body;
    this.#call = call;
    this.#behind = behind;
  }

  /**
   * Makes a response to `request` without a connection: for caches, mocks, and middlewares that answer by themselves.
   *
   * It is read like any other, by the same limits. Nothing of its body's source runs before somebody reads; the source is closed when the
   * body has ended, is closed, or the scope that asked for it fails. A string or bytes are there at once.
   * @throws {UsageError} {InvalidRequestError} for a status or headers that cannot be.
   * @example
   * const offline: Transport = function* (request) {
   *   return HttpResponse.of(request, { status: 503, headers: { "retry-after": 1 }, body: "later" });
   * };
   */
  static of(request: HttpRequest, parts: ResponseParts = {}): HttpResponse {
    return madeResponse(request.call, request, request.redirects, parts, NONE);
  }

  /**
   * A response that stands for this one, with changes: what a middleware gives that looks into the body or adds a header.
   *
   * A new body usually reads the one of this response; so this one stays open as long as the new one does, and is closed with it.
   * Without `body` both have the same one. `headers` are set over the present ones, name by name; `undefined` takes one away.
   * @example
   * const response = yield* next(request);
   * return response.with({ headers: { "x-cache": "miss" } });
   */
  with(changes: ResponseParts): HttpResponse {
    const { status = this.status, statusText = this.statusText } = changes;
    const subject = { method: this.method, url: this.url };
    const carrier = this.#carrier;
    const responseHeaders =
      changes.headers === undefined
        ? carrier.responseHeaders
        : fieldsOf(mergeHeaders(listOf(carrier.responseHeaders), changes.headers, subject));
    checkStatus(status);
    if (!("body" in changes)) {
      const shown = new ChangedCarrier(carrier, status, statusText, responseHeaders);
      return new HttpResponse(shown, this.#origin, this.#body, this.#call, [this]);
    }
    const place = placeOf(this.#call, this.#origin, subject);
    const body = new MadeBody(changes.body, place, [this]);
    const shown = new ChangedCarrier(carrier, status, statusText, responseHeaders, body);
    const response = new HttpResponse(shown, this.#origin, body, this.#call, [this]);
    this.#call?.opened(response);
    return response;
  }

  /** Whether closing `other` would end the body of this one. @internal */
  standsFor(other: unknown): boolean {
    return this === other || this.#behind.some((response) => response.standsFor(other));
  }

  /** Takes it from all scopes, for promise code: whoever has it has to read or close it, and the session at its end. @internal */
  release(): void {
    for (const response of this.#behind) response.release();
    this.#body.release();
  }

  /** @internal */
  get ending(): BodyEnding {
    return this.#body.ending;
  }

  /** Called in the step that gets the response. @internal */
  adopt(): void {
    for (const response of this.#behind) response.adopt();
    this.#body.adopt();
  }

  /** How many attempts it took; 1 when nothing was retried. */
  get attempts(): number {
    return this.failedAttempts.length + 1;
  }

  /** The attempts before the one that brought it, oldest first. */
  get failedAttempts(): readonly FailedAttempt[] {
    return this.#call === null ? NO_ATTEMPTS : this.#call.failedAttempts;
  }

  /** Whether the status is 200 to 299. */
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }

  /** Whether the server says that nothing has changed (304), see `unlessChanged`. */
  get notModified(): boolean {
    return this.status === 304;
  }

  /** Which part of the resource the body is; `undefined` when it is the whole. */
  get contentRange(): ContentRange | undefined {
    if (this.status !== 206) return undefined;
    return parseContentRange(this.headers.get("content-range")) ?? undefined;
  }

  /**
   * The content encodings that are undone when the body is read, as `content-encoding` names them: `["gzip"]`. Empty when it is
   * given as it came. The headers stay as they were, so `content-length` is that of the encoded body.
   */
  get decodedFrom(): readonly string[] {
    return (this.#body.encodings ?? []).map((encoding) => encoding.name).reverse();
  }

  /** Whether it came from the cache of the session: without asking the server, or after the server said that nothing has changed. */
  get fromCache(): boolean {
    return this.#isCached || this.#behind.some((response) => response.fromCache);
  }

  /** How old it is in seconds, as caches on the way or the session's own say; `undefined` when none does. */
  get age(): number | undefined {
    const age = this.headers.get("age");
    return age !== undefined && /^\d+$/.test(age) ? Number(age) : undefined;
  }

  /** @internal */
  markCached(): void {
    this.#isCached = true;
  }

  get headers(): ResponseHeaders {
    return (this.#headers ??= new ResponseHeaders(this.#carrier.responseHeaders));
  }

  /**
   * What its `Link` headers point to (RFC 8288), one entry for each relation, absolute URLs. What cannot be read is left out.
   * @example
   * for (let page: HttpResponse | undefined = first; page !== undefined; page = yield* follow(page.link("next"))) …
   */
  get links(): readonly Link[] {
    return parseLinks(this.headers.getAll("link"), this.url);
  }

  /** The first link with this relation: `response.link("next")?.url`. */
  link(relation: string): Link | undefined {
    const wanted = relation.toLowerCase();
    return this.links.find((link) => link.relation.toLowerCase() === wanted);
  }

  get timings(): HttpTimings {
    const { earlier, loop, startedAt } = this.#origin;
    const { phase, since, queueMs, connectMs, headersMs } = this.#carrier;
    const now = phase === "ended" ? since + this.#carrier.bodyMs : loop.now();
    return {
      queueMs: earlier.queueMs + queueMs,
      connectMs: earlier.connectMs + connectMs,
      headersMs: earlier.headersMs + headersMs,
      bodyMs: earlier.bodyMs + (now - since),
      totalMs: now - startedAt,
    };
  }

  /** Whether the body has ended or was closed: then the response holds no connection any more. */
  get isComplete(): boolean {
    return this.#carrier.phase === "ended";
  }

  /**
   * Reads the whole body as text, by the charset of its content type (default UTF-8; a byte order mark is dropped).
   *
   * What goes for all ways to read: cancelling keeps what has arrived, so the read can be repeated, unless the scope that
   * asked for the response is cancelled; then the connection is closed at once.
   * @throws {BodyTooLarge} {DecodeError} and the errors of the connection.
   */
  *text(): Coroutine<string> {
    return this.#decode(yield* this.#body.collect(this.#origin.maxBodyBytes));
  }

  /**
   * Reads the whole body and parses it as JSON, whatever its content type says unless `checkType` is set.
   *
   * With a schema (zod, valibot, arktype, anything of Standard Schema v1) it is also checked, and is what the schema makes of it;
   * the type follows from the schema.
   * @throws {BodyTooLarge} {DecodeError} {SchemaError} and the errors of the connection.
   * @example
   * const user = yield* response.json(z.object({ id: z.number(), name: z.string() }));
   */
  json<T = unknown>(options?: JsonOptions): Coroutine<T>;
  json<S extends Schema>(schema: S, options?: JsonOptions): Coroutine<OutputOf<S>>;
  *json(first?: Schema | JsonOptions, second?: JsonOptions): Coroutine<unknown> {
    const schema = first !== undefined && isSchema(first) ? first : undefined;
    const options = schema === undefined ? (first as JsonOptions | undefined) : second;
    const { subject } = this.#carrier;
    if (options?.checkType === true) checkJsonType(this.headers.get("content-type"), subject);
    const value = parseJson(this.#decode(yield* this.#body.collect(this.#origin.maxBodyBytes)), subject);
    return schema === undefined ? value : yield* validate(schema, value, subject);
  }

  /**
   * Reads the whole body.
   * @throws {BodyTooLarge} and the errors of the connection.
   */
  *bytes(): Coroutine<Uint8Array> {
    return join(yield* this.#body.collect(this.#origin.maxBodyBytes));
  }

  /**
   * The next piece of the body, as it came from the network; `undefined` at the end. The connection is held back while
   * nobody reads. An error comes after the pieces that came before it. Cancelling takes nothing.
   * @example
   * for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) hash.update(chunk);
   */
  chunk(): Operation<Uint8Array | undefined> {
    return this.#body.chunk();
  }

  /**
   * The lines of the body, without their LF or CRLF, by the charset of the content type. Cancelling a `next` takes nothing; stopping
   * before the end closes the response.
   *
   * @throws {BodyTooLarge} {DecodeError} and the errors of the connection, at `next`, after the lines before.
   * @example
   * yield* forEach(response.lines(), function* (line) {
   *   yield* handle(line);
   * });
   */
  lines(options: LinesOptions = {}): BodyItems<string> {
    const { subject, responseHeaders } = this.#carrier;
    const decoder = new LineDecoder(subject, charsetOf(responseHeaders["content-type"]), options);
    return new BodyItems(this, decoder, `line of ${describeRequest(subject)}`);
  }

  /**
   * The values of a body of JSON lines; empty lines are skipped. With a schema each value is checked, and is what the schema makes
   * of it. For the rest see `lines`.
   *
   * @throws {BodyTooLarge} {DecodeError} {SchemaError} and the errors of the connection, at `next`, after the values before.
   * @example
   * const rows = response.ndjson({ schema: z.object({ id: z.number() }) });
   * for (let row = yield* rows.next(); row.done !== true; row = yield* rows.next()) console.log(row.value.id);
   */
  ndjson<S extends Schema>(options: LinesOptions & { readonly schema: S }): CheckedItems<OutputOf<S>>;
  ndjson<T = unknown>(options?: LinesOptions): BodyItems<T>;
  ndjson(options: LinesOptions & { readonly schema?: Schema } = {}): BodyItems<unknown> | CheckedItems<unknown> {
    const { subject } = this.#carrier;
    const what = `value of ${describeRequest(subject)}`;
    const values = new BodyItems(this, new JsonLineDecoder(subject, options), what);
    return options.schema === undefined ? values : new CheckedItems(values, options.schema, subject);
  }

  /**
   * The server-sent events of the body, by the rules of the WHATWG. For the rest see `lines`. `eventSource` is the same with a new
   * connection whenever one ends.
   *
   * A stream of events may be silent for long: give such requests `timeout: { idleMs: Infinity }`.
   * @throws {BodyTooLarge} {DecodeError} when the content type is another, and the errors of the connection, at `next`.
   * @example
   * const events = (yield* session.get(url, { timeout: { idleMs: Infinity } })).events();
   * for (let step = yield* events.next(); step.done !== true; step = yield* events.next()) console.log(step.value.data);
   */
  events(options: EventsOptions = {}): BodyItems<ReceivedEvent> {
    const { subject } = this.#carrier;
    const decoder = new EventItems(subject, this.headers.get("content-type"), options);
    return new BodyItems(this, decoder, `event of ${describeRequest(subject)}`);
  }

  /**
   * Gives the response itself, unless its status is an error: then the rest of the body is given up.
   * @param check As the option of requests. Default: 400 and more are errors.
   * @throws {ResponseError} with the beginning of the body, as far as that comes soon.
   * @example
   * const page = yield* (yield* session.get(url)).raiseForStatus();
   */
  *raiseForStatus(check: StatusCheck = true): Coroutine<this> {
    if (!isRaised(check, this.status)) return this;
    const excerpt = yield* readExcerpt(this);
    throw new ResponseError(this.#carrier.subject, this.status, excerpt, this.headers);
  }

  /**
   * Gives up the rest of the body: reads it if that is little (64 KiB, 250 ms), else closes the connection. Then the
   * response holds no connection any more.
   */
  discard(): Operation<void> {
    return this.#body.discard();
  }

  /** Gives up the rest of the body at once: closes the connection unless the body has ended. */
  close(): void {
    this.#body.close();
  }

  /** For `use(session.get(url))`: closes the connection at the end of the scope unless the body has ended. */
  [Symbol.dispose](): void {
    this.#body.close();
  }

  /** For promise code: `for await (const chunk of response)`. Leaving the loop early closes the connection. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    return this.#body.iterate();
  }

  #decode(chunks: readonly Uint8Array[]): string {
    const { responseHeaders, subject } = this.#carrier;
    return decodeText(chunks, responseHeaders["content-type"], subject);
  }
}

const NONE: Behind = [];

function madeResponse(
  call: RequestCall,
  subject: RequestSubject,
  redirects: readonly Redirect[],
  parts: ResponseParts,
  behind: Behind,
): HttpResponse {
  const { status = 200, statusText = "", headers = {} } = parts;
  const { loop, holdings, startedAt, maxBodyBytes } = call;
  checkStatus(status);
  const { method, url } = subject;
  const fields = fieldsOf(mergeHeaders([], headers, { method, url }));
  const origin = new ResponseOrigin({ loop, holdings }, startedAt, redirects, NO_TIME, maxBodyBytes);
  const body = new MadeBody(parts.body, placeOf(call, origin, { method, url }), behind);
  const came = { subject: { method, url }, queueMs: 0, connectMs: 0, headersMs: body.since - startedAt };
  const response = new HttpResponse(
    new ChangedCarrier(came, status, statusText, fields, body),
    origin,
    body,
    call,
    behind,
  );
  call.opened(response);
  if (running.task !== null) response.adopt();
  return response;
}
