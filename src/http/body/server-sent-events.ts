/**
 * The format of server-sent events, both ways: `text/event-stream` to events, and events to text.
 *
 * It knows no connection and no server, so the client's readers and the server's writers share it. The rules are those
 * of the WHATWG HTML standard, §9.2.6: a byte order mark at the start is dropped; lines end in CR, LF or CRLF, also when the
 * pair is cut in two by the network; an event is what stands before an empty line, and is dropped when it has no data, or
 * when the stream ends before the empty line; the id stays until another one comes.
 */
import { describeValue, UsageError } from "../../core/index.ts";

/** An event to send. */
export interface ServerSentEvent {
  /** May have several lines. */
  readonly data: string;
  /** What kind of event it is. Default: `"message"`, for whoever receives it. */
  readonly event?: string;
  /** What the client sends as `last-event-id` when it has to connect again. */
  readonly id?: string;
  /** How long the client is to wait before it connects again. */
  readonly retryMs?: number;
}

/** An event that was received. */
export interface ReceivedEvent {
  readonly data: string;
  /** `"message"` when the server named none. */
  readonly event: string;
  /** The last id that came, with this event or before; empty when none has. */
  readonly id: string;
  /** What the server asked for since the last event. */
  readonly retryMs?: number;
}

export interface EventLimits {
  /** The most that one event, and one line, may have, in bytes. Default: 1 MiB. */
  readonly maxEventBytes?: number;
}

const DEFAULT_MAX_EVENT_BYTES = 1024 * 1024;

/** What the decoder throws; the readers make a `BodyTooLarge` of it. @package */
export class EventTooLarge extends Error {
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(`a server-sent event is longer than ${limitBytes} bytes`);
    this.limitBytes = limitBytes;
  }
}

/**
 * The event as text, with the empty line that ends it.
 *
 * @throws {UsageError} when a field cannot be written: a line break in `event` or `id`, a null character in `id`, a `retryMs` that is no whole number.
 * @example
 * socket.write(encodeServerSentEvent({ event: "price", data: JSON.stringify(price), id: String(price.id) }));
 */
export function encodeServerSentEvent(event: ServerSentEvent): string {
  const { event: kind, data, id, retryMs } = event;
  if (typeof data !== "string") {
    throw new UsageError(`the data of a server-sent event is text, got ${describeValue(data)}; use JSON.stringify`);
  }
  let text = "";
  if (kind !== undefined && kind !== "") text += `event: ${oneLine("event", kind)}\n`;
  if (id !== undefined) {
    if (id.includes("\0")) throw new UsageError("the id of a server-sent event cannot have a null character");
    text += `id: ${oneLine("id", id)}\n`;
  }
  if (retryMs !== undefined) {
    if (!Number.isInteger(retryMs) || retryMs < 0) {
      throw new UsageError(`retryMs must be a whole number of milliseconds, got ${String(retryMs)}`);
    }
    text += `retry: ${retryMs}\n`;
  }
  for (const line of data.split(LINE_BREAK)) text += `data: ${line}\n`;
  return `${text}\n`;
}

/** A comment, which clients ignore: what keeps a silent connection from being taken for dead. */
export function encodeEventComment(text = ""): string {
  let comment = "";
  for (const line of text.split(LINE_BREAK)) comment += `: ${line}\n`;
  return `${comment}\n`;
}

const LINE_BREAK = /\r\n|\r|\n/;

function oneLine(field: string, value: string): string {
  if (!LINE_BREAK.test(value)) return value;
  throw new UsageError(`the ${field} of a server-sent event must be one line, got ${JSON.stringify(value)}`);
}

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;

/**
 * Takes the pieces of a stream and gives the events that are complete, one after the other: take all of one piece before the next.
 *
 * It works on bytes: a character that is cut in two by the network is whole again in its line.
 * @example
 * const decoder = new EventStreamDecoder();
 * for await (const chunk of stream) for (const event of decoder.push(chunk)) console.log(event.data);
 */
export class EventStreamDecoder {
  /** The id that a new connection has to name: the last one that came with a complete event. */
  lastEventId: string;
  /** The last `retry` that came. */
  retryMs: number | undefined = undefined;
  readonly #maxBytes: number;
  #line: Uint8Array[] = [];
  #lineBytes = 0;
  #isAtStart = true;
  /** The last piece ended in CR: an LF at the beginning of the next one belongs to it. */
  #skipsLineFeed = false;
  #data: string[] = [];
  #dataBytes = 0;
  #event = "";
  #id: string;
  #retryMs: number | undefined = undefined;

  constructor(options: EventLimits & { readonly lastEventId?: string } = {}) {
    const { maxEventBytes = DEFAULT_MAX_EVENT_BYTES, lastEventId = "" } = options;
    this.#maxBytes = maxEventBytes;
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /** @throws {EventTooLarge} where it is, after the events before it. */
  *push(chunk: Uint8Array): Generator<ReceivedEvent, void, undefined> {
    let start = 0;
    if (this.#skipsLineFeed && chunk.byteLength > 0) {
      this.#skipsLineFeed = false;
      if (chunk[0] === LF) start = 1;
    }
    for (let at = start; at < chunk.byteLength; at++) {
      const byte = chunk[at]!;
      if (byte !== LF && byte !== CR) continue;
      this.#take(chunk, start, at);
      const event = this.#endLine();
      if (byte === CR) {
        if (at + 1 === chunk.byteLength) this.#skipsLineFeed = true;
        else if (chunk[at + 1] === LF) at++;
      }
      start = at + 1;
      if (event !== null) yield event;
    }
    this.#take(chunk, start, chunk.byteLength);
  }

  #take(chunk: Uint8Array, start: number, end: number): void {
    if (end === start) return;
    this.#lineBytes += end - start;
    if (this.#lineBytes > this.#maxBytes) throw new EventTooLarge(this.#maxBytes);
    this.#line.push(chunk.subarray(start, end));
  }

  #endLine(): ReceivedEvent | null {
    let line = this.#line.length === 1 ? this.#line[0]! : Buffer.concat(this.#line);
    this.#line = [];
    this.#lineBytes = 0;
    if (this.#isAtStart) {
      this.#isAtStart = false;
      if (line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf) line = line.subarray(3);
    }
    if (line.byteLength === 0) return this.#dispatch();
    this.#field(line);
    return null;
  }

  #field(line: Uint8Array): void {
    const colon = line.indexOf(COLON);
    if (colon === 0) return; // a comment
    const text = UTF_8.decode(line);
    const end = colon === -1 ? text.length : text.indexOf(":");
    const name = text.slice(0, end);
    const value = text.slice(text[end + 1] === " " ? end + 2 : end + 1);
    switch (name) {
      case "data":
        this.#dataBytes += line.byteLength;
        if (this.#dataBytes > this.#maxBytes) throw new EventTooLarge(this.#maxBytes);
        this.#data.push(value);
        break;
      case "event":
        this.#event = value;
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^[0-9]{1,15}$/.test(value)) this.retryMs = this.#retryMs = Number(value);
        break;
      default: // what nobody knows is ignored
    }
  }

  #dispatch(): ReceivedEvent | null {
    this.lastEventId = this.#id;
    const data = this.#data;
    const event = this.#event === "" ? "message" : this.#event;
    this.#data = [];
    this.#dataBytes = 0;
    this.#event = "";
    if (data.length === 0) return null;
    const retryMs = this.#retryMs;
    this.#retryMs = undefined;
    return { event, data: data.join("\n"), id: this.#id, ...(retryMs === undefined ? {} : { retryMs }) };
  }
}

// A byte order mark inside of a stream is a character like any other.
const UTF_8 = new TextDecoder("utf-8", { ignoreBOM: true });
