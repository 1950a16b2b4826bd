/**
 * Server-sent events as an answer: what a sequence gives goes to the client, no faster than it reads.
 *
 * In silence a comment is sent from time to time. It keeps proxies from closing the connection, and it is how a server finds out
 * that a client is gone whose network broke without a word.
 */
import { closeSequence, describeValue, sequenceOf, UsageError } from "../../core/index.ts";
import type { Coroutine, Operation, Sequence, SequenceSource } from "../../core/index.ts";
import { moveOnAfter } from "../../time/index.ts";
import { encodeEventComment, encodeServerSentEvent } from "../body/server-sent-events.ts";
import type { ServerSentEvent } from "../body/server-sent-events.ts";
import { reply } from "./reply.ts";
import type { Reply, ReplyHeaders } from "./reply.ts";

export interface EventStreamOptions {
  /** After this much silence a comment is sent, in milliseconds. Default: 15,000. `Infinity`: never. */
  readonly heartbeatMs?: number;
  /** How long the client is to wait before it connects again, in milliseconds. Default: the client's own rule. */
  readonly retryMs?: number;
  readonly headers?: ReplyHeaders;
}

/** An event, or only its data. */
export type EventSource = ServerSentEvent | string;

const DEFAULT_HEARTBEAT_MS = 15_000; // half of what the strictest common proxies allow

/**
 * An answer that streams events until the source ends. A client that leaves cancels the handler; the source is closed in any case.
 *
 * What a client has missed it asks for by the header `last-event-id`.
 * @example
 * return eventStream(prices.subscribe());   // of { data: string, event?: string, id?: string } or of strings
 */
export function eventStream(source: SequenceSource<EventSource>, options: EventStreamOptions = {}): Reply {
  const { heartbeatMs = DEFAULT_HEARTBEAT_MS, retryMs, headers } = options;
  if (typeof heartbeatMs !== "number" || !(heartbeatMs > 0)) {
    throw new UsageError(`heartbeatMs must be a number of milliseconds above 0, got ${describeValue(heartbeatMs)}`);
  }
  return reply({
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no", // nginx would collect the events
      ...headers,
    },
    body: new EventChunks(sequenceOf(source), heartbeatMs, retryMs),
  });
}

class EventChunks implements Sequence<string> {
  readonly #source: Sequence<EventSource>;
  readonly #heartbeatMs: number;
  /** Goes out before the first event. */
  #head: string;

  constructor(source: Sequence<EventSource>, heartbeatMs: number, retryMs: number | undefined) {
    this.#source = source;
    this.#heartbeatMs = heartbeatMs;
    this.#head = retryMs === undefined ? "" : `retry: ${Math.round(retryMs)}\n\n`;
  }

  *next(): Coroutine<IteratorResult<string, undefined>> {
    if (this.#head !== "") {
      const value = this.#head;
      this.#head = "";
      return { done: false, value };
    }
    const step = yield* moveOnAfter(this.#heartbeatMs, this.#source.next());
    if (step === undefined) return { done: false, value: encodeEventComment() };
    if (step.done === true) return step;
    const event = step.value;
    return { done: false, value: encodeServerSentEvent(typeof event === "string" ? { data: event } : event) };
  }

  close(): Operation<void> {
    return closeSequence(this.#source);
  }
}
