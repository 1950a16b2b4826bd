/**
 * One request and its response over HTTP/2: a stream, in the shape of undici's exchanges.
 */
import { constants } from "node:http2";
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import type { OutgoingHeaders } from "../headers.ts";
import { ExchangeFailure } from "./exchange.ts";
import type { DispatchOptions, ExchangeController, ExchangeHandler, UndiciHeaders } from "./exchange.ts";
import { validateHeaderName, validateHeaderValue } from "../node-http.ts";

/** What a stream needs of its connection. */
export interface Http2Connection {
  /** What broke the connection, as far as is known. */
  readonly error: Error | null;
  /** An exchange was given up before its answer. */
  probe(): void;
  exchangeEnded(exchange: Http2Exchange): void;
}

/** One request and its response: a stream. */
export class Http2Exchange implements ExchangeController {
  readonly #client: Http2Connection;
  readonly #stream: ClientHttp2Stream;
  readonly #options: DispatchOptions;
  readonly #handler: ExchangeHandler;
  #isOver = false;
  #expectedBytes = -1;
  #receivedBytes = 0;
  #hasHead = false;
  #trailers: IncomingHttpHeaders | null = null;

  constructor(client: Http2Connection, stream: ClientHttp2Stream, options: DispatchOptions, handler: ExchangeHandler) {
    this.#client = client;
    this.#stream = stream;
    this.#options = options;
    this.#handler = handler;
  }

  begin(): void {
    const stream = this.#stream;
    stream.on("error", (error: Error) => this.#fail(error));
    stream.on("close", () => this.#fail(null));
    stream.on("headers", (headers) => {
      if (!this.#isOver) this.#handler.onResponseStart(this, headers[":status"]!, fieldsOf(headers));
    });
    stream.on("response", (headers) => this.#head(headers));
    stream.on("trailers", (headers) => {
      this.#trailers = headers;
    });
    stream.on("data", (chunk: Uint8Array) => this.#data(chunk));
    stream.on("end", () => this.#complete());
    this.#handler.onRequestStart(this, null);
    if (!this.#isOver) this.#send();
  }

  // The request

  #send(): void {
    const { body } = this.#options;
    if (body === undefined) return;
    if (typeof body === "string" || body instanceof Uint8Array) this.#stream.end(body);
    else void this.#sendStream(body);
  }

  async #sendStream(body: AsyncIterable<Uint8Array | string>): Promise<void> {
    const stream = this.#stream;
    try {
      for await (const chunk of body) {
        if (this.#isOver || stream.destroyed) return;
        if (!stream.write(chunk)) await drained(stream);
      }
      if (!this.#isOver && !stream.destroyed) stream.end();
    } catch (error) {
      if (this.#isOver) return;
      this.#end();
      stream.close(constants.NGHTTP2_CANCEL);
      this.#handler.onResponseError(this, error as Error);
    }
  }

  // The response

  #head(headers: IncomingHttpHeaders & { readonly ":status"?: number | undefined }): void {
    if (this.#isOver) return;
    this.#hasHead = true;
    const status = headers[":status"]!;
    const fields = fieldsOf(headers);
    const length = fields["content-length"];
    const hasBody = this.#options.method !== "HEAD" && status !== 204 && status !== 304;
    if (typeof length === "string" && hasBody) this.#expectedBytes = Number(length);
    this.#handler.onResponseStart(this, status, fields);
  }

  #data(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#receivedBytes += chunk.byteLength;
    if (this.#expectedBytes !== -1 && this.#receivedBytes > this.#expectedBytes) return this.#wrongLength();
    this.#handler.onResponseData(this, chunk);
  }

  #complete(): void {
    if (this.#isOver) return;
    if (!this.#hasHead) return this.#fail(null);
    if (this.#expectedBytes !== -1 && this.#receivedBytes !== this.#expectedBytes) return this.#wrongLength();
    // `end` also comes when the server resets the stream in the middle; then there is a code.
    if ((this.#stream.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR) return this.#fail(null);
    this.#end();
    // An answer that did not wait for the rest of the upload: the server does not want it.
    if (!this.#stream.writableEnded) this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#handler.onResponseEnd(this, this.#trailers ?? {});
  }

  #wrongLength(): void {
    const message = `the response announced ${this.#expectedBytes} bytes and had ${this.#receivedBytes} or more`;
    this.#end();
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#handler.onResponseError(this, new ExchangeFailure(message, "wrong-length", false));
  }

  // Endings

  abort(): void {
    if (this.#isOver) return;
    this.#end();
    this.#stream.close(constants.NGHTTP2_CANCEL);
    if (!this.#hasHead) this.#client.probe();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** @param error `null` when the stream was closed without one. */
  #fail(error: Error | null): void {
    if (this.#isOver) return;
    this.#end();
    const code = this.#stream.rstCode ?? 0;
    const isRefused = code === constants.NGHTTP2_REFUSED_STREAM;
    const cause = error ?? this.#client.error ?? undefined;
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_CANCEL);
    // Node takes a wrong length for a protocol error of the stream.
    const isShort = this.#expectedBytes !== -1 && code === constants.NGHTTP2_PROTOCOL_ERROR;
    const problem = isShort ? "wrong-length" : code === constants.NGHTTP2_PROTOCOL_ERROR ? "malformed" : "closed";
    const message = cause?.message ?? "the server closed the stream";
    this.#handler.onResponseError(this, new ExchangeFailure(message, problem, isRefused, { cause }));
  }

  #end(): void {
    this.#isOver = true;
    this.#client.exchangeEnded(this);
  }
}

function drained(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}

// RFC 9113 §8.2.2: what is about one HTTP/1.1 connection has no meaning here.
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

const METHODS_WITH_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** @throws what Node throws about a header that cannot be sent. */
export function requestHeaders(options: DispatchOptions, authority: string): OutgoingHttpHeaders {
  const { method, path, body } = options;
  validateHeaderName(method); // the same grammar
  const headers: OutgoingHttpHeaders = {
    ":method": method,
    ":scheme": "https",
    ":authority": authority,
    ":path": path,
  };
  addFields(headers, options.headers);
  if (typeof body === "string") headers["content-length"] = Buffer.byteLength(body);
  else if (body instanceof Uint8Array) headers["content-length"] = body.byteLength;
  else if (body === undefined && METHODS_WITH_BODY.has(method)) headers["content-length"] = 0;
  return headers;
}

function addFields(headers: OutgoingHttpHeaders, list: OutgoingHeaders): void {
  for (let i = 0; i < list.length; i += 2) {
    const name = (list[i] as string).toLowerCase();
    const value = list[i + 1]!;
    if (name === "host") headers[":authority"] = checkedAuthority(value);
    else if (!CONNECTION_HEADERS.has(name) && (name !== "te" || value === "trailers")) {
      // node:http2 leaves that to its user.
      validateHeaderName(name);
      for (const each of typeof value === "string" ? [value] : value) validateHeaderValue(name, each);
      headers[name] = typeof value === "string" ? value : [...value];
    }
  }
}

/** node:http2 checks no pseudo-header, and whoever passes the request on as HTTP/1.1 would write what is in it. */
function checkedAuthority(value: string | readonly string[]): string {
  if (typeof value !== "string" || !/^[\w.~!$&'()*+,;=:%[\]-]+$/.test(value)) {
    throw new TypeError('the header "host" must be one host name, with or without a port');
  }
  return value;
}

function fieldsOf(headers: IncomingHttpHeaders): UndiciHeaders {
  const fields: Record<string, string | string[] | undefined> = {};
  for (const name of Object.keys(headers)) if (!name.startsWith(":")) fields[name] = headers[name];
  return fields;
}
