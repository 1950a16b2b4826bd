/**
 * From the text of a response to a value that has been checked.
 *
 * Standard Schema v1 is the interface that zod, valibot, arktype and others have in common: so any of them can be handed in, and
 * none is imported. Source: https://standardschema.dev, whose types are copied here as it asks.
 */
import { until } from "../core/index.ts";
import type { Coroutine } from "../core/index.ts";
import { DecodeError, describeRequest, HttpError } from "./errors.ts";
import type { RequestSubject } from "./errors.ts";

/** Something that checks values: a schema of zod, valibot, arktype, or any other of Standard Schema v1. */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that a schema has found wrong. */
export interface SchemaIssue {
  readonly message: string;
  /** The way to the value, from the outermost key. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema makes of a value. */
export type OutputOf<S extends Schema> = NonNullable<S["~standard"]["types"]>["output"];

export interface JsonOptions {
  /** Throws `DecodeError` unless the content type is JSON (`application/json`, `…+json`). Default: `false`. */
  readonly checkType?: boolean;
}

const MOST_SHOWN = 3;

/** The response body is JSON, but not what the schema asks for. Code: `HTTP_SCHEMA`. */
export class SchemaError extends HttpError {
  readonly issues: readonly SchemaIssue[];
  /** What was checked. */
  readonly value: unknown;

  constructor(subject: RequestSubject, issues: readonly SchemaIssue[], value: unknown) {
    const shown = issues.slice(0, MOST_SHOWN).map(describeIssue).join("; ");
    const more = issues.length > MOST_SHOWN ? `; and ${issues.length - MOST_SHOWN} more` : "";
    super("HTTP_SCHEMA", `${describeRequest(subject)}: the response does not fit its schema: ${shown}${more}`, subject);
    this.issues = issues;
    this.value = value;
  }
}

function describeIssue({ message, path = [] }: SchemaIssue): string {
  if (path.length === 0) return message;
  const keys = path.map((part) => String(typeof part === "object" ? part.key : part));
  return `${message} (at ${keys.join(".")})`;
}

/** Those of arktype are functions. */
export function isSchema(value: object): value is Schema {
  return typeof (value as Partial<Schema>)["~standard"]?.validate === "function";
}

/** @throws {SchemaError} and what the schema itself throws. */
export function* validate<S extends Schema>(
  schema: S,
  value: unknown,
  subject: RequestSubject,
): Coroutine<OutputOf<S>> {
  const checked = schema["~standard"].validate(value);
  const result = isPromise(checked) ? yield* until(checked) : checked;
  if (result.issues !== undefined) throw new SchemaError(subject, result.issues, value);
  return result.value;
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as Partial<PromiseLike<T>>).then === "function";
}

/** @throws {DecodeError} when it is none. */
export function parseJson(text: string, subject: RequestSubject): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DecodeError(subject, "the response body is not JSON", cause);
  }
}

const JSON_TYPE = /^\s*(?:application\/json|text\/json|[^\s/;]+\/[^\s/;]+\+json)\s*(?:;|$)/i;

/** @throws {DecodeError} when the content type is not that of JSON. */
export function checkJsonType(contentType: string | undefined, subject: RequestSubject): void {
  if (contentType !== undefined && JSON_TYPE.test(contentType)) return;
  const shown = contentType === undefined ? "none" : JSON.stringify(contentType);
  throw new DecodeError(subject, "the response is not announced as JSON", `its content type is ${shown}`);
}
