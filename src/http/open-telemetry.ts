/**
 * Requests as OpenTelemetry spans: one client span for each exchange, so that retries and redirects are seen one by one.
 *
 * It is an observer like any other, and knows OpenTelemetry only by the shape of a tracer: nothing is imported, any version of
 * `@opentelemetry/api` fits. Names of attributes: the stable semantic conventions for HTTP clients (1.23 and later).
 *
 * A span begins when the exchange gets in line and ends when the body has ended. Its parent is whatever the tracer takes for
 * active then; for the span of the task that asks, run the loop with `nodeAsyncContext()`.
 */
import { describeValue, UsageError } from "../core/index.ts";
import type { ConnectionFacts } from "./connect/dial.ts";
import type { EndEvent, ErrorEvent, RequestEvent, RequestObserver } from "./events.ts";

type AttributeValue = string | number | boolean;

/** What is used of a span of `@opentelemetry/api`. */
export interface TelemetrySpan {
  setAttribute(name: string, value: AttributeValue): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  addEvent(name: string, attributes?: Record<string, AttributeValue>): unknown;
  end(): void;
}

/** What is used of a tracer of `@opentelemetry/api`. */
export interface TelemetryTracer<Span extends TelemetrySpan = TelemetrySpan> {
  startSpan(name: string, options: { kind: number; attributes: Record<string, AttributeValue> }): Span;
}

export interface TelemetryOptions<Span extends TelemetrySpan = TelemetrySpan> {
  /**
   * Writes the headers that tell the server which span it works for, such as `traceparent`. Default: none are sent.
   * With the API: `(span, headers) => propagation.inject(trace.setSpan(context.active(), span), headers)`.
   */
  readonly propagate?: (span: Span, headers: Record<string, string>) => void;
  /** Whether the values in queries are shown; they often are secrets. Default: `false`, they become `REDACTED`. */
  readonly showQuery?: boolean;
  /** Attributes of every span. */
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
}

const CLIENT_KIND = 2; // SpanKind.CLIENT
const STATUS_ERROR = 2; // SpanStatusCode.ERROR

// Others become "_OTHER", as the conventions ask: a name that a caller makes up must not make up a time series.
const KNOWN_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]);

/**
 * Makes an observer that draws each exchange as a span.
 *
 * @throws {UsageError} when `tracer` cannot start spans.
 * @example
 * const observer = openTelemetry(trace.getTracer("shop"), {
 *   propagate: (span, headers) => propagation.inject(trace.setSpan(context.active(), span), headers),
 * });
 * const session = yield* Session.open({ observer });
 */
export function openTelemetry<Span extends TelemetrySpan>(
  tracer: TelemetryTracer<Span>,
  options: TelemetryOptions<Span> = {},
): RequestObserver {
  if (typeof (tracer as Partial<TelemetryTracer> | undefined)?.startSpan !== "function") {
    throw new UsageError(`openTelemetry takes a tracer, such as trace.getTracer("shop"), got ${describeValue(tracer)}`);
  }
  return new SpanObserver(tracer, options);
}

class SpanObserver<Span extends TelemetrySpan> implements RequestObserver {
  readonly #tracer: TelemetryTracer<Span>;
  readonly #options: TelemetryOptions<Span>;
  /** Of the exchanges that go on: every one that begins ends, so none is left. */
  readonly #spans = new Map<string, Span>();

  constructor(tracer: TelemetryTracer<Span>, options: TelemetryOptions<Span>) {
    this.#tracer = tracer;
    this.#options = options;
  }

  event(event: RequestEvent): void {
    if (event.kind === "queued") return this.#begin(event);
    const span = this.#spans.get(keyOf(event));
    if (span === undefined) return;
    switch (event.kind) {
      case "connected":
      case "reused":
        return describeConnection(span, event.connection);
      case "sent":
        return void span.addEvent("http.request.sent");
      case "headers":
        return void span.setAttribute("http.response.status_code", event.status);
      case "end":
        return this.#end(event, span);
      case "error":
        return this.#fail(event, span);
      case "chunk":
      case "redirect":
      case "retry":
    }
  }

  headersFor(exchange: Parameters<NonNullable<RequestObserver["headersFor"]>>[0]): Record<string, string> | undefined {
    const { propagate } = this.#options;
    const span = this.#spans.get(keyOf(exchange));
    if (propagate === undefined || span === undefined) return undefined;
    const headers: Record<string, string> = {};
    propagate(span, headers);
    return headers;
  }

  #begin(event: Extract<RequestEvent, { kind: "queued" }>): void {
    const isKnown = KNOWN_METHODS.has(event.method);
    const { hostname, port, protocol } = new URL(event.url);
    const attributes: Record<string, AttributeValue> = {
      ...this.#options.attributes,
      "http.request.method": isKnown ? event.method : "_OTHER",
      "url.full": this.#options.showQuery === true ? event.url : withoutValues(event.url),
      "server.address": hostname.replace(/^\[|\]$/g, ""),
      "server.port": port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
    };
    if (!isKnown) attributes["http.request.method_original"] = event.method;
    if (event.exchange > 1) attributes["http.request.resend_count"] = event.exchange - 1;
    const span = this.#tracer.startSpan(isKnown ? event.method : "HTTP", { kind: CLIENT_KIND, attributes });
    this.#spans.set(keyOf(event), span);
  }

  #end(event: EndEvent, span: Span): void {
    if (event.status >= 400) {
      span.setAttribute("error.type", String(event.status));
      span.setStatus({ code: STATUS_ERROR });
    }
    this.#close(event, span);
  }

  #fail(event: ErrorEvent, span: Span): void {
    const { error } = event;
    span.setAttribute("error.type", event.isCancelled ? "cancelled" : typeOf(error));
    if (event.isCancelled) span.setStatus({ code: STATUS_ERROR, message: "cancelled by its caller" });
    else span.setStatus({ code: STATUS_ERROR, message: error instanceof Error ? error.message : String(error) });
    this.#close(event, span);
  }

  #close(event: EndEvent | ErrorEvent, span: Span): void {
    this.#spans.delete(keyOf(event));
    span.end();
  }
}

function keyOf(exchange: { readonly requestId: number; readonly exchange: number }): string {
  return `${exchange.requestId}.${exchange.exchange}`;
}

function describeConnection(span: TelemetrySpan, connection: ConnectionFacts | null): void {
  if (connection === null) return;
  span.setAttribute("network.protocol.version", connection.protocol === "h2" ? "2" : "1.1");
  if (connection.address !== undefined) span.setAttribute("network.peer.address", connection.address);
  if (connection.port !== undefined) span.setAttribute("network.peer.port", connection.port);
}

function withoutValues(url: string): string {
  return url.replace(/([?&][^=&#]*)=[^&#]*/g, "$1=REDACTED");
}

/** The code, which is what stays the same from one message to the next. */
function typeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  if (typeof code === "string") return code;
  return typeof name === "string" ? name : "_OTHER";
}
