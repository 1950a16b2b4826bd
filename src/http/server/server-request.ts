/**
 * A request as handlers see it: what node's has, with the body as operations, and what a router knows.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Coroutine, Operation, Sequence } from "../../core/index.ts";
import { currentScope } from "../../core/index.ts";
import { scopeSignal } from "../../interop/index.ts";
import type { Exchange, OnDisconnect } from "./exchange.ts";
import { MalformedRequest } from "./failure.ts";
import { readBytes, readChunks, readForm, readJson, readText } from "./request-body.ts";
import type { BodyLimit } from "./request-body.ts";

/** The values of the placeholders in a route, decoded. */
export type RouteParams = Readonly<Record<string, string>>;

const NO_PARAMS: RouteParams = Object.freeze({});

export class ServerRequest {
  /** Node's own. */
  readonly raw: IncomingMessage;
  /** Node's own, for what a reply cannot say. A handler that writes it returns nothing. */
  readonly response: ServerResponse;
  /** Set by the router. */
  params: RouteParams = NO_PARAMS;
  readonly #exchange: Exchange;
  #url: URL | null = null;

  /** Made for each request. @internal */
  constructor(exchange: Exchange) {
    this.raw = exchange.request!;
    this.response = exchange.response!;
    this.#exchange = exchange;
  }

  get method(): string {
    return this.raw.method ?? "GET";
  }

  /** Without query, as it came: not decoded. */
  get path(): string {
    return this.#exchange.path;
  }

  /** The parameters after `?`. */
  get query(): URLSearchParams {
    return this.url.searchParams;
  }

  /** As the client wrote it: the host is that of the `host` header, which may be anything. */
  get url(): URL {
    if (this.#url !== null) return this.#url;
    const { headers, url = "/" } = this.raw;
    const host = headers.host ?? headers[":authority"] ?? "localhost";
    const isEncrypted = (this.raw.socket as { readonly encrypted?: boolean }).encrypted === true;
    try {
      const origin = `${isEncrypted ? "https" : "http"}://${String(host)}`;
      // Put together as text: by its rules for references "//evil.example/x" would be another host.
      return (this.#url = url.startsWith("/") ? new URL(origin + url) : new URL(url, origin));
    } catch (error) {
      throw new MalformedRequest("The request target is not a URL.", error);
    }
  }

  /** By their names in lower case. */
  get headers(): IncomingHttpHeaders {
    return this.raw.headers;
  }

  header(name: string): string | undefined {
    const value = this.raw.headers[name.toLowerCase()];
    return typeof value === "object" ? value.join(", ") : value;
  }

  /** The pattern of the router, `/users/:id`; it names the task and the line of the log. */
  get route(): string | undefined {
    return this.#exchange.route;
  }

  set route(route: string) {
    this.#exchange.route = route;
  }

  /** What happens to this handler when the client goes away. Set it before the first wait. */
  get onDisconnect(): OnDisconnect {
    return this.#exchange.onDisconnect;
  }

  set onDisconnect(onDisconnect: OnDisconnect) {
    this.#exchange.onDisconnect = onDisconnect;
  }

  /** Aborts when the handler is cancelled: for APIs of promises. Made when it is first asked for. */
  get signal(): AbortSignal {
    return scopeSignal(currentScope());
  }

  /** The body as text. See `readText`. */
  text(limit?: BodyLimit): Coroutine<string> {
    return readText(this.raw, limit);
  }

  /** The body as a JSON value. See `readJson`. */
  json(limit?: BodyLimit): Coroutine<unknown> {
    return readJson(this.raw, limit);
  }

  /** The body as bytes. See `readBytes`. */
  bytes(limit?: BodyLimit): Operation<Buffer> {
    return readBytes(this.raw, limit);
  }

  /** The fields of a form. See `readForm`. */
  form(limit?: BodyLimit): Coroutine<FormData> {
    return readForm(this.raw, limit);
  }

  /** The body piece by piece. See `readChunks`. */
  chunks(limit?: BodyLimit): Sequence<Buffer> {
    return readChunks(this.raw, limit);
  }
}
