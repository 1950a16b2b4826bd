/**
 * Conditional requests: what tells one version of a resource from another, and how to ask for the next one only if there is one.
 *
 * Source: RFC 9110 §8.8 and §13.
 */
import { UsageError } from "../../core/index.ts";

/** What a server says about the version of a resource. */
export interface Validators {
  /** As it came, with its quotes, and `W/` before a weak one. */
  readonly etag?: string;
  /** An HTTP date, as it came. */
  readonly lastModified?: string;
}

export interface ConditionalOptions {
  /**
   * Asks for the resource only if it has changed since it had these; otherwise the response is 304 without a body, see
   * `response.notModified`.
   */
  readonly unlessChanged?: Validators;
}

interface Answer {
  readonly headers: { get(name: string): string | undefined };
}

/**
 * The validators of a response, to be kept with what was made of it. Empty when it has none.
 *
 * @example
 * const validators = validatorsOf(response);
 * const later = yield* session.get(url, { unlessChanged: validators });
 * if (!later.notModified) content = yield* later.text();
 */
export function validatorsOf(response: Answer): Validators {
  const etag = response.headers.get("etag");
  const lastModified = response.headers.get("last-modified");
  return { ...(etag === undefined ? {} : { etag }), ...(lastModified === undefined ? {} : { lastModified }) };
}

/** Headers that make a request conditional: name, value, name, value. */
export function conditionalHeaders({ etag, lastModified }: Validators): string[] {
  if (etag !== undefined && !/^(?:W\/)?"[^"]*"$/.test(etag)) {
    throw new UsageError(`an ETag is a text in double quotes, perhaps with W/ before it; got ${etag}`);
  }
  return [
    ...(etag === undefined ? [] : ["if-none-match", etag]),
    ...(lastModified === undefined ? [] : ["if-modified-since", lastModified]),
  ];
}

/**
 * What makes sure that a part belongs to the same bytes as another: a strong ETag, or else the date of the last change;
 * `undefined` when there is neither.
 */
export function ifRangeOf({ etag, lastModified }: Validators): string | undefined {
  if (etag !== undefined && etag.startsWith('"')) return etag;
  return lastModified;
}
