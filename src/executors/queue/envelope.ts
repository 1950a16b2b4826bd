/**
 * What lies in the queue of a job besides what the engine needs: a payload to the worker, a record back.
 *
 * Both are read by other versions of this library, so they carry a number for their form, and a reader that finds another one says so.
 */
import { Buffer } from "node:buffer";
import { describeValue } from "../../core/index.ts";
import { JobCloneError, JobError, WorkerCrashedError } from "../errors.ts";
import type { JobSubject } from "../errors.ts";
import type { CarriedValue, JobEnd, JobShape, PoolJob } from "../pool.ts";
import { decodeError, encodeError } from "../remote-error.ts";
import type { RemoteError } from "../remote-error.ts";
import type { JobCodec } from "./codec.ts";
import type { OutcomeRecord } from "./engine.ts";
import { CodecError, JobUnreadableError, PayloadTooLargeError, UnknownJobError, WorkerLostError } from "./errors.ts";

const FORM = 1;

/** What a worker needs to run a job. */
export interface Envelope {
  readonly form: number;
  /** The submitter's number for it. */
  readonly number: number;
  readonly name: string;
  readonly shape: JobShape;
  readonly codec: string;
  /** Encoded: arguments, and carried task-locals. */
  readonly data: string;
  /** What is left of its deadline, when it was put into the queue; `null` for none. Clocks of machines differ, so no time of day. */
  readonly remainingMs: number | null;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly payloadLimit: number;
}

/** The data of a job, decoded. */
export interface JobData {
  readonly args: readonly unknown[];
  readonly locals: readonly CarriedValue[] | null;
}

/** Whose arguments are encoded. */
export type EncodedJob = Pick<PoolJob, "id" | "name" | "shape" | "args" | "locals">;

/** @throws {JobCloneError} */
export function encodeData(job: EncodedJob, codec: JobCodec): string {
  try {
    return codec.encode([job.args, job.locals]);
  } catch (error) {
    throw new JobCloneError(job, placeOf(job, codec, error), error);
  }
}

/** @throws {JobUnreadableError} */
export function decodeData(envelope: Envelope, codec: JobCodec): JobData {
  const subject = { name: envelope.name, id: envelope.number };
  let data: unknown;
  try {
    data = codec.decode(envelope.data);
  } catch (error) {
    throw new JobUnreadableError(subject, "the arguments", error);
  }
  const [args, locals] = (Array.isArray(data) ? data : []) as [unknown, readonly CarriedValue[] | null];
  if (Array.isArray(args)) return { args, locals: Array.isArray(locals) ? locals : null };
  throw new JobUnreadableError(subject, "the arguments", new TypeError("they are no list"));
}

/** The payload of an order. @throws {PayloadTooLargeError} */
export function sealEnvelope(job: JobSubject, envelope: Omit<Envelope, "form">): string {
  const payload = JSON.stringify({ form: FORM, ...envelope });
  checkSize(job, "the arguments", payload, envelope.payloadLimit);
  return payload;
}

/** @throws {JobUnreadableError} */
export function openEnvelope(address: string, payload: string): Envelope {
  const subject = { name: address, id: 0 };
  let envelope: Partial<Envelope> | null;
  try {
    envelope = JSON.parse(payload) as Partial<Envelope> | null;
  } catch (error) {
    throw new JobUnreadableError(subject, "the payload", error);
  }
  const problem = problemIn(envelope);
  // JSON has no Infinity, and makes null of it.
  if (problem === null) return { ...(envelope as Envelope), payloadLimit: envelope?.payloadLimit ?? Infinity };
  throw new JobUnreadableError(subject, "the payload", new TypeError(problem));
}

function problemIn(envelope: Partial<Envelope> | null): string | null {
  if (typeof envelope !== "object" || envelope === null) return "it is no envelope";
  if (envelope.form !== FORM) {
    return `it has form ${describeValue(envelope.form)}, and this version of Fibril reads ${FORM}`;
  }
  const { name, shape, codec, data, remainingMs = null } = envelope;
  if (typeof name !== "string" || typeof codec !== "string" || typeof data !== "string") return "it is not whole";
  if (shape !== "call" && shape !== "batch") return `it has shape ${describeValue(shape)}`;
  const numbers = [
    envelope.number,
    envelope.attempts,
    envelope.backoffMs,
    envelope.payloadLimit ?? 0,
    remainingMs ?? 0,
  ];
  return numbers.every((each) => typeof each === "number") ? null : "its numbers are none";
}

/** What an engine was told or has kept as an outcome; one that cannot be read is a failure whose body cannot be read. */
export function readRecord(value: unknown): OutcomeRecord {
  const { status, delivery, worker, runMs, body } = (value ?? {}) as Partial<OutcomeRecord>;
  const isKnown = typeof status === "string" && STATUSES.has(status);
  const isWhole = typeof delivery === "number" && typeof runMs === "number" && typeof worker === "string";
  if (isKnown && isWhole && typeof body === "string") return value as OutcomeRecord;
  return { status: "failed", delivery: 0, worker: "", runMs: 0, body: "" };
}

export function readRecordText(text: string): OutcomeRecord {
  try {
    return readRecord(JSON.parse(text));
  } catch {
    return readRecord(null);
  }
}

const STATUSES: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled", "lost"]);

/** How a failure travels. */
interface RemoteFailure {
  readonly type: "job" | "clone" | "crash" | "unknown" | "size" | "unreadable";
  readonly error: RemoteError;
  readonly where: string;
  readonly index: number | null;
  /** What could not be cloned, the address that is unknown. */
  readonly what: string;
  readonly number: number;
  /** Encoded: the results of a batch before it failed; `""` for none. */
  readonly done: string;
}

/** The body of a record. @throws {JobFailure} when the value cannot be carried. */
export function encodeEnd(job: JobSubject, end: JobEnd, codec: JobCodec, limit: number): string {
  if (end.status === "cancelled") return reasonText(end.reason);
  if (end.status === "failed") return JSON.stringify(failureOf(end.error, end.done, codec), plainNumber);
  try {
    const body = codec.encode(end.value);
    checkSize(job, "the result", body, limit);
    return body;
  } catch (error) {
    if (error instanceof PayloadTooLargeError) throw error;
    throw new JobCloneError(job, "the result", error);
  }
}

/** What a record says of a job. */
export function decodeEnd(job: JobSubject, record: OutcomeRecord, codec: JobCodec): JobEnd {
  const { status, runMs, body, worker } = record;
  if (status === "cancelled") return { status, reason: body === "" ? undefined : body, runMs };
  if (status === "lost") {
    return { status: "failed", error: new WorkerLostError(job, record.delivery), done: null, runMs };
  }
  try {
    if (status === "succeeded") return { status, value: codec.decode(body), runMs };
    const failure = JSON.parse(body) as RemoteFailure;
    const done = failure.done === "" ? null : (codec.decode(failure.done) as readonly unknown[]);
    return { status: "failed", error: errorOf(job, failure, worker), done, runMs };
  } catch (error) {
    return { status: "failed", error: new JobUnreadableError(job, "the outcome", error), done: null, runMs };
  }
}

/** A reason, as far as it is text. */
export function reasonText(reason: unknown): string {
  if (reason === undefined) return "";
  return typeof reason === "string" ? reason : describeValue(reason);
}

function failureOf(error: unknown, done: readonly unknown[] | null, codec: JobCodec): RemoteFailure {
  const common = { where: "", index: null, what: "", number: 0, done: done === null ? "" : codec.encode(done) };
  if (error instanceof JobError) {
    const { where, index = null } = error;
    return { ...common, type: "job", error: encodeError(error.cause), where, index };
  }
  if (error instanceof JobCloneError) {
    return { ...common, type: "clone", error: encodeError(error.cause), what: error.what };
  }
  if (error instanceof WorkerCrashedError) {
    return { ...common, type: "crash", error: encodeError(error.cause), number: error.exitCode ?? -1 };
  }
  if (error instanceof UnknownJobError) {
    return { ...common, type: "unknown", error: NOTHING, what: error.address, number: error.refusals };
  }
  if (error instanceof JobUnreadableError) {
    return { ...common, type: "unreadable", error: encodeError(error.cause), what: error.what };
  }
  if (error instanceof PayloadTooLargeError) {
    return { ...common, type: "size", error: NOTHING, what: "the result", number: error.bytes, index: error.limit };
  }
  return { ...common, type: "job", error: encodeError(error) };
}

const NOTHING: RemoteError = { kind: "value", value: undefined };

function errorOf(job: JobSubject, failure: RemoteFailure, worker: string): unknown {
  const cause = decodeError(failure.error);
  switch (failure.type) {
    case "clone":
      return new JobCloneError(job, failure.what, cause);
    case "crash":
      return new WorkerCrashedError(job, worker, failure.number < 0 ? undefined : failure.number, cause);
    case "unknown":
      return new UnknownJobError(job, failure.what, failure.number);
    case "unreadable":
      return new JobUnreadableError(job, failure.what, cause);
    case "size":
      return new PayloadTooLargeError(job, failure.what, failure.number, failure.index ?? 0);
    case "job":
    default: // of a later version
      return new JobError(
        job,
        cause,
        failure.where === "" ? worker : `${failure.where} of ${worker}`,
        failure.index ?? undefined,
      );
  }
}

function checkSize(job: JobSubject, what: string, text: string, limit: number): void {
  // Text of that many letters has at least as many bytes, and at most three times as many.
  if (text.length * 3 <= limit) return;
  const bytes = Buffer.byteLength(text);
  if (bytes > limit) throw new PayloadTooLargeError(job, what, bytes, limit);
}

/** Which argument it is, and where in it. */
function placeOf(job: EncodedJob, codec: JobCodec, error: unknown): string {
  const items = job.shape === "batch" ? (job.args[0] as readonly unknown[]) : job.args;
  const what = job.shape === "batch" ? "item" : "argument";
  for (const [index, item] of items.entries()) {
    const path = pathIn(item, codec, 0);
    if (path !== null) return `${what} ${index + 1}${path === "" ? "" : ` (at ${path})`}`;
  }
  return error instanceof CodecError && error.path !== "" ? `a task-local (at ${error.path})` : "a task-local";
}

const DEEPEST = 6;

function pathIn(value: unknown, codec: JobCodec, depth: number): string | null {
  try {
    codec.encode(value);
    return null;
  } catch (error) {
    if (error instanceof CodecError && error.path !== "") return error.path;
  }
  if (typeof value !== "object" || value === null || depth === DEEPEST) return "";
  for (const [key, each] of Object.entries(value)) {
    const path = pathIn(each, codec, depth + 1);
    if (path !== null) return `${Array.isArray(value) ? `[${key}]` : `.${key}`}${path}`;
  }
  return "";
}

function plainNumber(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}
