/**
 * The server-sent events of one response, as items of its body.
 */
import { UsageError } from "../../core/index.ts";
import { BodyTooLarge, DecodeError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import { NO_ITEM } from "./items.ts";
import type { ItemDecoder } from "./items.ts";
import { EventStreamDecoder, EventTooLarge } from "./server-sent-events.ts";
import type { EventLimits, ReceivedEvent } from "./server-sent-events.ts";

export interface EventsOptions extends EventLimits {
  /** Throws `DecodeError` unless the content type is `text/event-stream`, as the standard asks. Default: `true`. */
  readonly checkType?: boolean;
  /** What the id is until the first one comes. */
  readonly lastEventId?: string;
}

export class EventItems implements ItemDecoder<ReceivedEvent> {
  readonly #subject: RequestSubject;
  readonly #decoder: EventStreamDecoder;
  /** What to throw at the first question. */
  readonly #typeProblem: string | null;
  #events: Iterator<ReceivedEvent, void, undefined> | null = null;

  constructor(subject: RequestSubject, contentType: string | undefined, options: EventsOptions) {
    const { checkType = true, maxEventBytes } = options;
    if (
      maxEventBytes !== undefined &&
      !(maxEventBytes === Infinity || (Number.isInteger(maxEventBytes) && maxEventBytes > 0))
    )
      throw new UsageError(
        `maxEventBytes must be a whole number of at least 1, or Infinity; got ${String(maxEventBytes)}`,
      );
    this.#subject = subject;
    this.#decoder = new EventStreamDecoder(options);
    const isRight = /^\s*text\/event-stream\s*(?:;|$)/i.test(contentType ?? "");
    this.#typeProblem = checkType && !isRight ? (contentType ?? "none") : null;
  }

  /** The id that a new connection has to name. */
  get lastEventId(): string {
    return this.#decoder.lastEventId;
  }

  /** The last `retry` of the server. */
  get retryMs(): number | undefined {
    return this.#decoder.retryMs;
  }

  add(chunk: Uint8Array): void {
    this.#events = this.#decoder.push(chunk);
  }

  end(): void {
    this.#events = null; // an event without its empty line was cut short, and is none
  }

  next(): ReceivedEvent | typeof NO_ITEM {
    if (this.#typeProblem !== null) {
      const cause = `its content type is ${this.#typeProblem}`;
      throw new DecodeError(this.#subject, "the response is no stream of events", cause);
    }
    try {
      const step = this.#events?.next();
      return step === undefined || step.done === true ? NO_ITEM : step.value;
    } catch (error) {
      if (!(error instanceof EventTooLarge)) throw error;
      const size = "one of its events";
      throw new BodyTooLarge(
        this.#subject,
        error.limitBytes,
        size,
        true,
        "raise maxEventBytes, or read it with chunk()",
      );
    }
  }
}
