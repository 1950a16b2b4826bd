/**
 * How values become text, and what cannot.
 *
 * JSON by default: every tool can read a queue of it, and no version of Node stands between two machines. It refuses whatever it would
 * change on the way, with the place where that is, since `JSON.stringify` alone turns a `Map` into `{}` and a `Date` into text without a word. `undefined` is carried: it
 * is what most jobs return.
 *
 * `structuredCloneCodec` carries what threads can be given (dates, maps, typed arrays, circles), in V8's own format; both sides need a Node that knows it.
 */
import { Buffer } from "node:buffer";
import { deserialize, serialize } from "node:v8";
import { CodecError } from "./errors.ts";

export interface JobCodec {
  /** Travels along, so that a worker knows what it reads. */
  readonly name: string;
  /** @throws {CodecError} when it cannot carry the value as it is. */
  encode(value: unknown): string;
  decode(text: string): unknown;
}

const UNDEFINED_KEY = "$undefined";
const DEEPEST = 1_000; // a circle, or what the stack cannot hold

/** Null, booleans, finite numbers, text, lists and plain objects of them, and `undefined`. */
export const jsonCodec: JobCodec = {
  name: "json",
  encode: (value) => JSON.stringify(checked(value, "", 0)),
  decode: (text) => revived(JSON.parse(text)),
};

/** Whatever structured clone can carry, but for what is shared or transferred. About a third larger than its bytes. */
export const structuredCloneCodec: JobCodec = {
  name: "v8",
  encode(value) {
    try {
      return serialize(value).toString("base64");
    } catch (error) {
      throw new CodecError("", error instanceof Error ? error.message : "the value");
    }
  },
  decode: (text) => deserialize(Buffer.from(text, "base64")),
};

function checked(value: unknown, path: string, depth: number): unknown {
  if (value === undefined) return { [UNDEFINED_KEY]: true };
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return value;
    throw new CodecError(path, `the number ${value}`);
  }
  if (typeof value !== "object") throw new CodecError(path, `a ${typeof value}`);
  if (depth > DEEPEST) throw new CodecError(path.slice(0, 40), "a value that contains itself");
  if (Array.isArray(value)) {
    // Not map: it leaves holes, and JSON makes null of them.
    return Array.from(value, (each, index) => checked(each, `${path}[${index}]`, depth + 1));
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype && Object.getPrototypeOf(prototype) !== null) {
    throw new CodecError(path, `a ${(value as object).constructor.name}`);
  }
  if (UNDEFINED_KEY in value) throw new CodecError(path, `an object with the key "${UNDEFINED_KEY}"`);
  const plain: [string, unknown][] = [];
  for (const [key, each] of Object.entries(value)) plain.push([key, checked(each, `${path}.${key}`, depth + 1)]);
  return Object.fromEntries(plain); // not by assignment: `__proto__` may be a key
}

function revived(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = revived(value[i]);
    return value;
  }
  if ((value as Record<string, unknown>)[UNDEFINED_KEY] === true) return undefined;
  for (const [key, each] of Object.entries(value)) {
    if (typeof each === "object" && each !== null)
      Object.defineProperty(value, key, { ...PLAIN, value: revived(each) });
  }
  return value;
}

const PLAIN = { writable: true, enumerable: true, configurable: true };
