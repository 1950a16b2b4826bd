/**
 * Headers: names are case-insensitive, one name may come several times.
 *
 * What goes out is a flat list `[name, value, name, value]` with lower-case names, because undici takes that as it is and
 * a session can share one list among all requests that add nothing.
 */
import { InvalidRequestError } from "./errors.ts";
import type { RequestSubject } from "./errors.ts";

export type HeaderValue = string | number | readonly string[];

/** Headers to send. `undefined` takes a default away. */
export type HeadersInit =
  | Readonly<Record<string, HeaderValue | undefined>>
  | Iterable<readonly [string, HeaderValue | undefined]>;

/** A flat list for undici. */
export type OutgoingHeaders = readonly (string | readonly string[])[];

/** Sets `changes` over `base`, name by name. */
export function mergeHeaders(base: OutgoingHeaders, changes: HeadersInit, subject: RequestSubject): OutgoingHeaders {
  const merged = [...base];
  const entries = isIterable(changes) ? changes : Object.entries(changes);
  for (const [name, value] of entries) {
    if (typeof name !== "string") throw new InvalidRequestError(subject, "a header name is not a string");
    setHeader(merged, name.toLowerCase(), value, subject);
  }
  return merged;
}

function setHeader(
  list: (string | readonly string[])[],
  name: string,
  value: HeaderValue | undefined,
  subject: RequestSubject,
): void {
  const index = indexOfHeader(list, name);
  if (value === undefined) {
    if (index !== -1) list.splice(index, 2);
    return;
  }
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string" && !Array.isArray(text)) {
    throw new InvalidRequestError(subject, `the value of header "${name}" is neither a string, a number nor a list`);
  }
  if (index === -1) list.push(name, text);
  else list[index + 1] = text;
}

/** A copy of `list` with a header more, unless it has one of that name. */
export function withDefaultHeader(list: OutgoingHeaders, name: string, value: string): OutgoingHeaders {
  return indexOfHeader(list, name) === -1 ? [...list, name, value] : list;
}

/** A copy of `list` in which a header has this value. */
export function withHeader(list: OutgoingHeaders, name: string, value: string): OutgoingHeaders {
  const index = indexOfHeader(list, name);
  return index === -1 ? [...list, name, value] : [...list.slice(0, index + 1), value, ...list.slice(index + 2)];
}

/** The value of a header that goes out, by its lower-case name. */
export function headerValue(list: OutgoingHeaders, name: string): string | undefined {
  const index = indexOfHeader(list, name);
  const value = index === -1 ? undefined : list[index + 1]!;
  return value === undefined || typeof value === "string" ? value : value.join(", ");
}

/** A copy of `list` without some headers. */
export function withoutHeaders(list: OutgoingHeaders, names: ReadonlySet<string>): OutgoingHeaders {
  const kept: (string | readonly string[])[] = [];
  for (let i = 0; i < list.length; i += 2) {
    if (!names.has(list[i] as string)) kept.push(list[i]!, list[i + 1]!);
  }
  return kept;
}

function indexOfHeader(list: OutgoingHeaders, name: string): number {
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) return i;
  return -1;
}

function isIterable(value: HeadersInit): value is Iterable<readonly [string, HeaderValue | undefined]> {
  return typeof (value as Iterable<unknown>)[Symbol.iterator] === "function";
}

/** The headers of a response. */
export class ResponseHeaders implements Iterable<[string, string]> {
  readonly #fields: Readonly<Record<string, string | readonly string[] | undefined>>;

  /** @internal */
  constructor(fields: Readonly<Record<string, string | readonly string[] | undefined>>) {
    this.#fields = fields;
  }

  /** The value, several of them joined by ", "; `undefined` when the header did not come. */
  get(name: string): string | undefined {
    const value = this.#field(name);
    return value === undefined || typeof value === "string" ? value : value.join(", ");
  }

  /** Every value on its own: what `set-cookie` needs. */
  getAll(name: string): readonly string[] {
    const value = this.#field(name);
    return value === undefined ? [] : typeof value === "string" ? [value] : [...value];
  }

  has(name: string): boolean {
    return this.#field(name) !== undefined;
  }

  /** Pairs of lower-case name and value, one for each header line. */
  *entries(): Generator<[string, string], void, undefined> {
    for (const name of Object.keys(this.#fields)) {
      for (const value of this.getAll(name)) yield [name, value];
    }
  }

  [Symbol.iterator](): Generator<[string, string], void, undefined> {
    return this.entries();
  }

  #field(name: string): string | readonly string[] | undefined {
    const key = name.toLowerCase();
    return Object.hasOwn(this.#fields, key) ? this.#fields[key] : undefined;
  }
}
