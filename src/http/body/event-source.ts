/**
 * Server-sent events over as many connections as it takes: `EventSource` of the browsers, for coroutines.
 *
 * After a connection has ended, in whatever way, a new one is made, which names the last event (`last-event-id`), so that a server that
 * keeps events sends what was missed. As in the standard, 204 means "do not come back", and any other status or content
 * type ends it for good. Unlike in browsers, a server that is in trouble (5xx, 429, 408) is tried again, waits grow from one
 * failure to the next, and after a number of failures in a row it is an error.
 */
import { Cancelled, EventLoop, UsageError } from "../../core/index.ts";
import type { Coroutine, Sequence } from "../../core/index.ts";
import { toAsyncIterable } from "../../interop/index.ts";
import { running } from "../../lowlevel.ts";
import { Backoff, sleep } from "../../time/index.ts";
import { describeRequest } from "../errors.ts";
import type { RequestOptions } from "../options.ts";
import type { HttpResponse } from "../response.ts";
import { EventItems } from "./event-stream.ts";
import type { EventsOptions } from "./event-stream.ts";
import { BodyItems } from "./items.ts";
import { isBreak } from "./resumable.ts";
import type { Getter } from "./resumable.ts";
import type { ReceivedEvent } from "./server-sent-events.ts";

export interface EventSourceOptions extends Pick<EventsOptions, "maxEventBytes" | "lastEventId"> {
  /** Options of each request. `timeout.idleMs` is `Infinity` unless it is given: events may be rare. Give one if the server sends comments. */
  readonly request?: Omit<RequestOptions, "range" | "unlessChanged" | "raiseForStatus">;
  /** How long to wait after a connection has ended, until the server says otherwise (`retry`). Default: 3,000. */
  readonly retryMs?: number;
  /** How long at most, after many failures in a row. Default: 30,000, or what the server says if that is more. */
  readonly maxRetryMs?: number;
  /** How often in a row to connect again without getting an event. Default: 10. */
  readonly attempts?: number;
}

const DEFAULT_RETRY_MS = 3_000; // as Firefox and Chrome
const DEFAULT_MAX_RETRY_MS = 30_000;
const DEFAULT_ATTEMPTS = 10;
const ENDED: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

/**
 * The events of a URL. It connects when it is first asked.
 *
 * @throws {UsageError} outside a coroutine.
 * @example
 * const prices = eventSource(session, "/prices");
 * yield* forEach(prices, function* (event) {
 *   console.log(event.event, JSON.parse(event.data));
 * });
 */
export function eventSource(session: Getter, url: string | URL, options: EventSourceOptions = {}): EventSource {
  return new EventSource(session, url, options);
}

export class EventSource implements Sequence<ReceivedEvent>, AsyncIterable<ReceivedEvent> {
  /** What the next connection names. */
  lastEventId: string;
  readonly #session: Getter;
  readonly #url: string | URL;
  readonly #options: EventSourceOptions;
  readonly #loop: EventLoop;
  readonly #attempts: number;
  #retryMs: number;
  #connection: Connection | null = null;
  #isFirst = true;
  /** In a row. */
  #failures = 0;
  #isClosed = false;

  /** Use `eventSource()`. @internal */
  constructor(session: Getter, url: string | URL, options: EventSourceOptions) {
    const { lastEventId = "", retryMs = DEFAULT_RETRY_MS, attempts = DEFAULT_ATTEMPTS } = options;
    if (!(typeof retryMs === "number" && retryMs >= 0 && retryMs < Infinity)) {
      throw new UsageError(`retryMs must be a number of milliseconds, got ${String(retryMs)}`);
    }
    if (!(attempts === Infinity || (Number.isInteger(attempts) && attempts >= 0))) {
      throw new UsageError(`attempts must be a whole number, or Infinity; got ${String(attempts)}`);
    }
    this.lastEventId = lastEventId;
    this.#session = session;
    this.#url = url;
    this.#options = options;
    this.#loop = EventLoop.current();
    this.#attempts = attempts;
    this.#retryMs = retryMs;
  }

  /**
   * Waits for the next event, over a new connection if it has to; the end comes when the server answers 204, or after `close`.
   *
   * Cancelling takes none. A connection that was made inside of it is closed, and made again by the next call.
   * @throws {ResponseError} for a status that is neither 200 nor passing; {DecodeError} for another content type.
   * @throws the error of the last attempt, after too many failures in a row.
   */
  *next(): Coroutine<IteratorResult<ReceivedEvent, undefined>> {
    while (!this.#isClosed) {
      try {
        if (this.#connection === null && !(yield* this.#connect())) break;
        const step = yield* this.#connection!.events.next();
        if (step.done !== true) {
          this.#failures = 0;
          this.#learn();
          return step;
        }
        this.#disconnect();
        this.#failures++;
        if (this.#failures > this.#attempts) break; // it ends them all in good order, and has nothing to say
      } catch (error) {
        if (error instanceof Cancelled) throw error;
        this.#disconnect();
        this.#failures++;
        if (isBreak(error) && this.#failures <= this.#attempts) continue;
        this.close();
        throw error;
      }
    }
    this.close();
    return ENDED;
  }

  /** Closes the connection; there are no further events. */
  close(): void {
    this.#isClosed = true;
    this.#disconnect();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What takes a sequence or an async iterable prefers the sequence. @internal */
  get receiver(): this {
    return this;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedEvent> {
    const events: Sequence<ReceivedEvent> = { next: () => this.next(), close: () => this.close() };
    return toAsyncIterable(events, { loop: this.#loop, name: "event source" });
  }

  #disconnect(): void {
    this.#learn();
    this.#connection?.response.close();
    this.#connection = null;
  }

  /** Ids and waits may come without an event, too. */
  #learn(): void {
    if (this.#connection === null) return;
    const { lastEventId, retryMs } = this.#connection.decoder;
    this.lastEventId = lastEventId;
    if (retryMs !== undefined) this.#retryMs = retryMs;
  }

  /** `false` when there will be no more. */
  *#connect(): Coroutine<boolean> {
    if (!this.#isFirst) yield* this.#pause();
    this.#isFirst = false;
    const { request = {}, maxEventBytes } = this.#options;
    const headers = {
      accept: "text/event-stream",
      "cache-control": "no-store",
      ...(canBeHeader(this.lastEventId) ? { "last-event-id": idHeader(this.lastEventId) } : {}),
    };
    const all = request.headers === undefined ? headers : [...Object.entries(headers), ...entries(request.headers)];
    const timeout = { idleMs: Infinity, ...request.timeout };
    const response = yield* this.#session.get(this.#url, { ...request, headers: all, timeout });
    if (response.status === 204) {
      response.close();
      return false;
    }
    yield* response.raiseForStatus((status) => status !== 200);
    const limits = maxEventBytes === undefined ? {} : { maxEventBytes };
    const subject = { method: "GET", url: response.url };
    const type = response.headers.get("content-type");
    const decoder = new EventItems(subject, type, { ...limits, lastEventId: this.lastEventId });
    const events = new BodyItems(response, decoder, `event of ${describeRequest(subject)}`);
    this.#connection = { response, decoder, events };
    return true;
  }

  *#pause(): Coroutine<void> {
    const maxDelayMs = Math.max(this.#options.maxRetryMs ?? DEFAULT_MAX_RETRY_MS, this.#retryMs);
    const backoff = new Backoff({ baseMs: this.#retryMs, maxDelayMs, jitter: "none" });
    const ms = backoff.delayMs(Math.max(1, this.#failures), 0);
    // Up to a fifth more, so that the clients of a server that went down do not all come back at once.
    yield* sleep(ms * (1 + running.loop!.random() / 5));
  }
}

interface Connection {
  readonly response: HttpResponse;
  readonly decoder: EventItems;
  readonly events: BodyItems<ReceivedEvent>;
}

/** With control characters in it a request could not be sent at all. */
function canBeHeader(id: string): boolean {
  return id !== "" && /^[\t\P{Cc}]*$/u.test(id);
}

/** As UTF-8, which is what the standard asks for; header values are handed over as Latin-1. */
function idHeader(id: string): string {
  return Buffer.from(id, "utf8").toString("latin1");
}

type HeaderEntries = Iterable<readonly [string, string | number | readonly string[] | undefined]>;

function entries(headers: NonNullable<RequestOptions["headers"]>): HeaderEntries {
  return Symbol.iterator in headers ? (headers as HeaderEntries) : Object.entries(headers);
}
