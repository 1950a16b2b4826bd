/**
 * A response in two steps: status and headers are there, the body is read when it is wanted.
 *
 * A response holds its connection until its body has ended. Small bodies (128 KiB) end by themselves; for larger ones
 * somebody has to read, `discard()` or `close()`, or the scope that asked has to end (see `holdings.ts`). One that was
 * simply forgotten is closed when the garbage collector finds it.
 *
 * Reading may be cancelled and tried again: what has arrived stays in the buffer.
 */
import { UsageError } from "../core/index.ts";
import type { Coroutine, Operation } from "../core/index.ts";
import { Wait, type LoopPort, type Started, type Waiter } from "../lowlevel.ts";
import { Drain } from "./drain.ts";
import { DecodeError, describeRequest, type Redirect, type RequestSubject } from "./errors.ts";
import { ResponseHeaders } from "./headers.ts";
import type { Holdings } from "./holdings.ts";
import type { BodyReader, IncomingBody } from "./incoming.ts";
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
  /** When the request was made, on the loop's clock. */
  readonly startedAt: number;
  readonly redirects: readonly Redirect[];
  readonly earlier: Pick<HttpTimings, "queueMs" | "connectMs" | "headersMs" | "bodyMs">;
  /** Limit of text, json and bytes. */
  readonly maxBodyBytes: number;
}

type BodyUse = "unread" | "read in chunks" | "read as a whole" | "discarded" | "closed";

export class HttpResponse {
  readonly status: number;
  /** The method of the request that was answered; after a redirect perhaps not the one that was asked for. */
  readonly method: string;
  /** Where the response came from, after redirects, without credentials and fragment. */
  readonly url: string;
  /** The way there, oldest first. */
  readonly redirects: readonly Redirect[];
  readonly #transfer: Transfer;
  readonly #body: IncomingBody;
  readonly #origin: ResponseOrigin;
  #headers: ResponseHeaders | null = null;
  #use: BodyUse = "unread";

  /** @internal */
  constructor(transfer: Transfer, origin: ResponseOrigin) {
    this.status = transfer.status;
    this.method = transfer.subject.method;
    this.url = transfer.subject.url;
    this.redirects = origin.redirects;
    this.#transfer = transfer;
    this.#body = transfer.incoming!;
    this.#origin = origin;
    transfer.facade = this;
  }

  /** Called in the step that gets the response. @internal */
  adoptBy(holdings: Holdings): void {
    if (this.#transfer.phase !== "ended") holdings.adopt(this.#transfer);
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
   * @throws {BodyTooLarge} {DecodeError} and the errors of the connection.
   */
  *text(): Coroutine<string> {
    return this.#decode(yield* this.#collect());
  }

  /**
   * Reads the whole body and parses it as JSON, whatever its content type says.
   * @throws {BodyTooLarge} {DecodeError} and the errors of the connection.
   */
  *json<T = unknown>(): Coroutine<T> {
    const text = this.#decode(yield* this.#collect());
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new DecodeError(this.#subject, "the response body is not JSON", cause);
    }
  }

  /**
   * Reads the whole body.
   * @throws {BodyTooLarge} and the errors of the connection.
   */
  *bytes(): Coroutine<Uint8Array> {
    return join(yield* this.#collect());
  }

  /**
   * The next piece of the body, as it came from the network; `undefined` at the end. The connection is held back while
   * nobody reads. Cancelling takes nothing.
   * @example
   * for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) hash.update(chunk);
   */
  chunk(): Operation<Uint8Array | undefined> {
    return new ChunkWait(this.#subject, this.#body, this);
  }

  /**
   * Gives up the rest of the body: reads it if that is little (64 KiB, 250 ms), else closes the connection. Then the
   * response holds no connection any more.
   */
  discard(): Operation<void> {
    this.#use = "discarded";
    return new DiscardWait(this.#subject, this.#transfer, this.#origin.loop);
  }

  /** Gives up the rest of the body at once: closes the connection unless the body has ended. */
  close(): void {
    this.#use = "closed";
    this.#transfer.cancel();
    this.#body.drop();
  }

  /** For `use(session.get(url))`: the connection is closed at the end of the scope unless the body has ended. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** For promise code: `for await (const chunk of response)`. Leaving the loop early closes the connection. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    this.beginChunks();
    return new ChunkIterator(this.#subject, this.#body, this);
  }

  get #subject(): RequestSubject {
    return this.#transfer.subject;
  }

  *#collect(): Coroutine<readonly Uint8Array[]> {
    if (this.#use !== "unread") throw this.#usedError();
    const chunks = yield* new CollectWait(this.#subject, this.#body, this.#origin.maxBodyBytes);
    this.#use = "read as a whole";
    return chunks;
  }

  /** @internal */
  beginChunks(): void {
    if (this.#use !== "unread" && this.#use !== "read in chunks") throw this.#usedError();
    this.#use = "read in chunks";
  }

  #usedError(): UsageError {
    return new UsageError(
      `the body of ${describeRequest(this.#subject)} was ${this.#use} already; read it once, in one way, and keep the result`,
      "BODY_USED",
    );
  }

  #decode(chunks: readonly Uint8Array[]): string {
    const bytes = chunks.length === 1 ? chunks[0]! : join(chunks);
    const charset = charsetOf(this.#transfer.responseHeaders["content-type"]);
    if (charset === undefined) return UTF_8.decode(bytes);
    try {
      return new TextDecoder(charset).decode(bytes);
    } catch (cause) {
      throw new DecodeError(
        this.#subject,
        `the response has the unknown charset ${JSON.stringify(charset)}; use bytes()`,
        cause,
      );
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

function busyError(subject: RequestSubject): UsageError {
  return new UsageError(
    `the body of ${describeRequest(subject)} is being read by another task; one reader at a time`,
    "BODY_BUSY",
  );
}

abstract class BodyWait<T> extends Wait<T> implements BodyReader {
  protected readonly subject: RequestSubject;
  protected readonly body: IncomingBody;
  protected waiter: Waiter | null = null;

  constructor(subject: RequestSubject, body: IncomingBody) {
    super();
    this.subject = subject;
    this.body = body;
  }

  get reason(): string {
    return `${describeRequest(this.subject)}, body`;
  }

  /** Tasks may wait here while the transfer itself tells the loop that something outside is pending. */
  protected parkAsReader(task: Waiter): Started<never> {
    if (this.body.reader !== null) throw busyError(this.subject);
    this.body.reader = this;
    this.waiter = task;
    return task.park(this);
  }

  protected leave(): Waiter {
    const waiter = this.waiter!;
    this.body.reader = null;
    this.waiter = null;
    return waiter;
  }

  withdraw(): boolean {
    this.leave();
    return true;
  }

  abstract bodyChanged(): void;
}

class ChunkWait extends BodyWait<Uint8Array | undefined> {
  // Keeps the response from being taken for forgotten while somebody waits for its next piece.
  readonly response: HttpResponse;

  constructor(subject: RequestSubject, body: IncomingBody, response: HttpResponse) {
    super(subject, body);
    this.response = response;
  }

  protected start(task: Waiter): Started<Uint8Array | undefined> {
    this.response.beginChunks();
    const chunk = this.body.take();
    if (chunk !== undefined || this.body.state === "ended") return task.complete(this, chunk);
    if (this.body.state === "failed") throw this.body.error;
    return this.parkAsReader(task);
  }

  bodyChanged(): void {
    const chunk = this.body.take();
    if (chunk !== undefined || this.body.state === "ended") this.leave().wake(this, chunk);
    else if (this.body.state === "failed") this.leave().wakeError(this, this.body.error);
  }
}

class CollectWait extends BodyWait<readonly Uint8Array[]> {
  readonly #limitBytes: number;

  constructor(subject: RequestSubject, body: IncomingBody, limitBytes: number) {
    super(subject, body);
    this.#limitBytes = limitBytes;
  }

  protected start(task: Waiter): Started<readonly Uint8Array[]> {
    if (this.body.reader !== null) throw busyError(this.subject);
    this.body.collect(this.#limitBytes);
    if (this.body.state === "failed") throw this.body.error;
    if (this.body.state === "ended") return task.complete(this, this.body.takeAll());
    return this.parkAsReader(task);
  }

  override withdraw(): boolean {
    this.leave();
    this.body.stopCollecting();
    return true;
  }

  bodyChanged(): void {
    if (this.body.state === "open") return;
    const waiter = this.leave();
    if (this.body.state === "ended") waiter.wake(this, this.body.takeAll());
    else waiter.wakeError(this, this.body.error);
  }
}

class DiscardWait extends Wait<void> {
  readonly #subject: RequestSubject;
  readonly #transfer: Transfer;
  readonly #loop: LoopPort;
  #drain: Drain | null = null;

  constructor(subject: RequestSubject, transfer: Transfer, loop: LoopPort) {
    super();
    this.#subject = subject;
    this.#transfer = transfer;
    this.#loop = loop;
  }

  get reason(): string {
    return `${describeRequest(this.#subject)}, body to discard`;
  }

  protected start(task: Waiter): Started<void> {
    const body = this.#transfer.incoming!;
    if (body.reader !== null) throw busyError(this.#subject);
    let isOver = false;
    this.#drain = new Drain(this.#loop, this.#transfer, 0, () => {
      isOver = true;
      task.wake(this, undefined);
    });
    this.#drain.begin();
    return isOver ? task.complete(this, undefined) : task.park(this);
  }

  /** Whoever has no time to drain closes. */
  withdraw(): boolean {
    this.#drain?.stop();
    this.#transfer.cancel();
    return true;
  }
}

type ChunkResult = IteratorResult<Uint8Array, undefined>;

/** Reads for promise code. */
class ChunkIterator implements AsyncIterableIterator<Uint8Array>, BodyReader {
  readonly #subject: RequestSubject;
  readonly #body: IncomingBody;
  readonly #response: HttpResponse;
  #pending: { readonly resolve: (result: ChunkResult) => void; readonly reject: (error: unknown) => void } | null =
    null;

  constructor(subject: RequestSubject, body: IncomingBody, response: HttpResponse) {
    this.#subject = subject;
    this.#body = body;
    this.#response = response;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<ChunkResult> {
    const chunk = this.#body.take();
    if (chunk !== undefined) return { done: false, value: chunk };
    if (this.#body.state === "ended") return { done: true, value: undefined };
    if (this.#body.state === "failed") throw this.#body.error;
    if (this.#body.reader !== null) throw busyError(this.#subject);
    this.#body.reader = this;
    return await new Promise<ChunkResult>((resolve, reject) => {
      this.#pending = { resolve, reject };
    });
  }

  async return(): Promise<ChunkResult> {
    this.#response.close();
    return { done: true, value: undefined };
  }

  bodyChanged(): void {
    const pending = this.#pending!;
    const chunk = this.#body.take();
    if (chunk === undefined && this.#body.state === "open") return;
    this.#pending = null;
    this.#body.reader = null;
    if (chunk !== undefined) pending.resolve({ done: false, value: chunk });
    else if (this.#body.state === "ended") pending.resolve({ done: true, value: undefined });
    else pending.reject(this.#body.error);
  }
}
