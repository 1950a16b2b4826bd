/**
 * A response in two steps: status and headers are there, the body is read when it is wanted.
 *
 * A response holds its connection until its body has ended. Small bodies (128 KiB) end by themselves; for larger ones
 * somebody has to read, `discard()` or `close()`, or the scope that asked has to end (see `holdings.ts`). One that was
 * simply forgotten is closed when the garbage collector finds it.
 */
import type { Coroutine, Operation } from "../core/index.ts";
import type { LoopPort } from "../lowlevel.ts";
import { DecodeError } from "./errors.ts";
import type { Redirect } from "./errors.ts";
import { ResponseHeaders } from "./headers.ts";
import type { Holdings } from "./holdings.ts";
import { ResponseBody } from "./body/reading.ts";
import type { Transfer } from "./transfer.ts";

/** Where the time went, in milliseconds. With redirects, the phases are the sums over all requests. */
export interface HttpTimings {
  /** In line for a connection. */
  readonly queueMs: number;
  /** Until the connection stood; next to nothing on one that was kept. */
  readonly connectMs: number;
  /** From then to the response headers. */
  readonly headersMs: number;
  /** From the headers to the end of the body; so far, while it has not ended. */
  readonly bodyMs: number;
  /** From the call to the end of the body; so far, while it has not ended. */
  readonly totalMs: number;
}

/** What came before the transfer that brought the response. @internal */
export interface ResponseOrigin {
  readonly loop: LoopPort;
  readonly holdings: Holdings;
  /** When the request was made, on the loop's clock. */
  readonly startedAt: number;
  readonly redirects: readonly Redirect[];
  readonly earlier: Pick<HttpTimings, "queueMs" | "connectMs" | "headersMs" | "bodyMs">;
  /** Limit of text, json and bytes. */
  readonly maxBodyBytes: number;
}

export class HttpResponse {
  readonly status: number;
  /** The method of the request that was answered; after a redirect perhaps not the one that was asked for. */
  readonly method: string;
  /** Where the response came from, after redirects, without credentials and fragment. */
  readonly url: string;
  /** The way there, oldest first. */
  readonly redirects: readonly Redirect[];
  readonly #transfer: Transfer;
  readonly #origin: ResponseOrigin;
  readonly #body: ResponseBody;
  #headers: ResponseHeaders | null = null;

  /** @internal */
  constructor(transfer: Transfer, origin: ResponseOrigin) {
    this.status = transfer.status;
    this.method = transfer.subject.method;
    this.url = transfer.subject.url;
    this.redirects = origin.redirects;
    this.#transfer = transfer;
    this.#origin = origin;
    this.#body = new ResponseBody(transfer, origin.loop, origin.holdings);
  }

  /** Called in the step that gets the response. @internal */
  adopt(): void {
    this.#body.adopt();
  }

  /** Whether the status is 200 to 299. */
  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }

  get headers(): ResponseHeaders {
    return (this.#headers ??= new ResponseHeaders(this.#transfer.responseHeaders));
  }

  get timings(): HttpTimings {
    const { earlier, loop, startedAt } = this.#origin;
    const { phase, since, queueMs, connectMs, headersMs } = this.#transfer;
    const now = phase === "ended" ? since + this.#transfer.bodyMs : loop.now();
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
    return this.#transfer.phase === "ended";
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
   * Reads the whole body and parses it as JSON, whatever its content type says.
   * @throws {BodyTooLarge} {DecodeError} and the errors of the connection.
   */
  *json<T = unknown>(): Coroutine<T> {
    const text = this.#decode(yield* this.#body.collect(this.#origin.maxBodyBytes));
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new DecodeError(this.#transfer.subject, "the response body is not JSON", cause);
    }
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
    const bytes = chunks.length === 1 ? chunks[0]! : join(chunks);
    const charset = charsetOf(this.#transfer.responseHeaders["content-type"]);
    if (charset === undefined) return UTF_8.decode(bytes);
    try {
      return new TextDecoder(charset).decode(bytes);
    } catch (cause) {
      const problem = `the response has the unknown charset ${JSON.stringify(charset)}; read it with bytes()`;
      throw new DecodeError(this.#transfer.subject, problem, cause);
    }
  }
}

const UTF_8 = new TextDecoder();

function charsetOf(contentType: string | readonly string[] | undefined): string | undefined {
  if (typeof contentType !== "string") return undefined;
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1];
  return charset === undefined || /^utf-?8$/i.test(charset) ? undefined : charset;
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const chunk of chunks) size += chunk.byteLength;
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}
