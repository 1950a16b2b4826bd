/**
 * What a response is made of that did not come as it is from the network: see `HttpResponse.of` and `response.with`.
 */
import { describeValue, UsageError } from "../core/index.ts";
import { MadeBody } from "./body/made.ts";
import type { MadeBodyPlace } from "./body/made.ts";
import type { MadeBodySource } from "./body/made-source.ts";
import type { RequestSubject } from "./errors.ts";
import type { HeadersInit, OutgoingHeaders } from "./headers.ts";
import type { RequestCall } from "./http-request.ts";
import type { EarlierTimes, HeaderFields, ResponseCarrier, ResponseOrigin } from "./response-carrier.ts";

/** What a response is made of. */
export interface ResponseParts {
  /** Default: 200. */
  readonly status?: number;
  readonly statusText?: string;
  readonly headers?: HeadersInit;
  /** A string, bytes, or pieces of these: an iterable, an async iterable, a node `Readable`, a `Sequence`. Default: none. */
  readonly body?: MadeBodySource;
}

/** Another head on the same body, or on one that was made. @package */
export class ChangedCarrier implements ResponseCarrier {
  readonly subject: RequestSubject;
  readonly status: number;
  readonly statusText: string;
  readonly responseHeaders: HeaderFields;
  readonly queueMs: number;
  readonly connectMs: number;
  readonly headersMs: number;
  readonly #body: ResponseCarrier | MadeBody;

  constructor(
    carrier: Pick<ResponseCarrier, "subject" | "queueMs" | "connectMs" | "headersMs">,
    status: number,
    statusText: string,
    responseHeaders: HeaderFields,
    body: ResponseCarrier | MadeBody = carrier as ResponseCarrier,
  ) {
    this.subject = carrier.subject;
    this.queueMs = carrier.queueMs;
    this.connectMs = carrier.connectMs;
    this.headersMs = carrier.headersMs;
    this.status = status;
    this.statusText = statusText;
    this.responseHeaders = responseHeaders;
    this.#body = body;
  }

  get phase(): string {
    return this.#body instanceof MadeBody ? (this.#body.isEnded ? "ended" : "body") : this.#body.phase;
  }

  get since(): number {
    return this.#body.since;
  }

  get bodyMs(): number {
    return this.#body.bodyMs;
  }
}

/** @package */
export const NO_TIME: EarlierTimes = Object.freeze({ queueMs: 0, connectMs: 0, headersMs: 0, bodyMs: 0 });

/** What the body of a response belongs to. @package */
export function placeOf(call: RequestCall | null, origin: ResponseOrigin, subject: RequestSubject): MadeBodyPlace {
  const { loop, holdings } = origin;
  if (call === null)
    return { subject, loop, holdings, deadline: Infinity, totalMs: Infinity, maxChunkedBytes: Infinity };
  const { deadline, timeouts, maxChunkedBytes } = call;
  return { subject, loop, holdings, deadline, totalMs: timeouts.totalMs, maxChunkedBytes };
}

/** @throws {UsageError} @package */
export function checkStatus(status: number): void {
  if (Number.isInteger(status) && status >= 200 && status <= 999) return;
  throw new UsageError(`the status of a response must be a whole number from 200 to 999, got ${describeValue(status)}`);
}

/** @package */
export function fieldsOf(list: OutgoingHeaders): HeaderFields {
  const fields: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i < list.length; i += 2) {
    const value = list[i + 1]!;
    fields[list[i] as string] = typeof value === "string" ? value : [...value];
  }
  return fields;
}

/** @package */
export function listOf(fields: HeaderFields): OutgoingHeaders {
  return Object.keys(fields).flatMap((name) => [name, fields[name]!]);
}
