/**
 * What was thrown, on its way to another thread and back into an error.
 *
 * Structured clone alone loses class, `code` and every property of an error, and it refuses an error with one property
 * that cannot be cloned. So an error travels as plain data: class name, message, stack, code, cause, the errors of an
 * `AggregateError`, and those own properties that are plain values.
 */
import { describeValue } from "../core/loopless.ts";
import { classNameOf } from "./errors.ts";

type Plain = string | number | boolean | null | bigint;

/** Plain data, safe to post. */
export type RemoteError =
  | {
      readonly kind: "error";
      readonly className: string;
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      readonly properties: Readonly<Record<string, Plain>>;
      readonly cause?: RemoteError;
      readonly errors?: readonly RemoteError[];
    }
  | { readonly kind: "value"; readonly value: Plain | undefined }
  /** No error, and nothing that surely can be cloned: described. */
  | { readonly kind: "described"; readonly text: string };

const DEEPEST = 8; // a chain of causes may be a circle
const MOST_ERRORS = 32;
const OWN = new Set(["name", "message", "stack", "cause", "errors"]);

/** Never throws: getters and proxies that do are described. */
export function encodeError(thrown: unknown, depth = 0): RemoteError {
  try {
    return encode(thrown, depth);
  } catch (error) {
    return { kind: "described", text: `${describeValue(thrown)} (which cannot be read: ${describeValue(error)})` };
  }
}

function encode(thrown: unknown, depth: number): RemoteError {
  if (!(thrown instanceof Error)) {
    if (thrown === undefined || isPlain(thrown)) return { kind: "value", value: thrown };
    return { kind: "described", text: describeValue(thrown) };
  }
  const properties: Record<string, Plain> = {};
  for (const key of Object.keys(thrown)) {
    if (OWN.has(key)) continue;
    const value = propertyOf(thrown, key);
    if (isPlain(value)) properties[key] = value;
  }
  const { code } = thrown as { readonly code?: unknown }; // on the prototype of a DOMException
  if (isPlain(code)) properties["code"] = code;
  const { errors } = thrown as { readonly errors?: unknown };
  const isDeep = depth >= DEEPEST;
  return {
    kind: "error",
    className: classNameOf(thrown),
    name: thrown.name,
    message: thrown.message,
    stack: typeof thrown.stack === "string" ? thrown.stack : undefined,
    properties,
    ...(thrown.cause === undefined || isDeep ? {} : { cause: encodeError(thrown.cause, depth + 1) }),
    ...(!Array.isArray(errors) || isDeep
      ? {}
      : { errors: errors.slice(0, MOST_ERRORS).map((each) => encodeError(each, depth + 1)) }),
  };
}

function propertyOf(error: Error, key: string): unknown {
  try {
    return (error as unknown as Record<string, unknown>)[key];
  } catch {
    return undefined; // a getter that throws
  }
}

const CLASSES: Readonly<Record<string, new (message: string) => Error>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** An error of the same class where that is built in; else an `Error` of the same name. */
export function decodeError(remote: RemoteError): unknown {
  if (remote.kind === "value") return remote.value;
  if (remote.kind === "described") return new Error(remote.text);
  const errors = remote.errors?.map(decodeError);
  const Class = CLASSES[remote.className] ?? Error;
  const error = errors === undefined ? new Class(remote.message) : new AggregateError(errors, remote.message);
  if (error.name !== remote.name || remote.className !== error.constructor.name) {
    define(error, "name", remote.name === "Error" ? remote.className : remote.name);
  }
  if (remote.cause !== undefined) define(error, "cause", decodeError(remote.cause));
  if (remote.stack !== undefined) define(error, "stack", remote.stack);
  Object.assign(error, remote.properties);
  return error;
}

function define(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, configurable: true, writable: true, enumerable: false });
}

function isPlain(value: unknown): value is Plain {
  return value === null || ["string", "number", "boolean", "bigint"].includes(typeof value);
}
