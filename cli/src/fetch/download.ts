/**
 * One try to get a body to where it belongs. Whatever goes wrong with it becomes part of the answer.
 *
 * What is there already is used: a part of the body is continued by `Range`, with `If-Range`, so that a body which has changed in
 * the meantime comes whole; a file of an earlier run is fetched only if the server has another one.
 */
import { open, read } from "node:fs";
import { closeSync } from "node:fs";
import { Cancelled, EventLoop } from "fibril";
import type { Coroutine } from "fibril";
import type { HttpResponse, HttpTimings, Session } from "fibril/http";
import { attemptWithoutAnswer, requestOf, requestOptions, retryAfterMs } from "./attempt.ts";
import type { Attempt, HeaderList } from "./attempt.ts";
import { NOWHERE } from "./body-sink.ts";
import { Digests } from "./checksum.ts";
import { failureOfOutput, failureOfRequest, failureOfStatus } from "./failure.ts";
import type { Failure } from "./failure.ts";
import { fileOperation } from "./file-operation.ts";
import type { Job } from "./job.ts";
import type { Validators } from "./journal/journal.ts";
import { OutputClosed } from "./output-stream.ts";
import type { Settings } from "./settings.ts";
import type { PartFile, Storage } from "./storage.ts";
import type { Tally } from "./tally.ts";
import type { Received } from "./task.ts";

const REREAD_BYTES = 1024 * 1024;
const NOT_MODIFIED = 304;
const PARTIAL = 206;
const RANGE_NOT_SATISFIABLE = 416;

export class Download {
  readonly #session: Session;
  readonly #settings: Settings;
  readonly #tally: Tally;
  readonly #storage: Storage;

  constructor(session: Session, settings: Settings, tally: Tally, storage: Storage) {
    this.#session = session;
    this.#settings = settings;
    this.#tally = tally;
    this.#storage = storage;
  }

  /**
   * Cancelling leaves nothing behind but a part that can be continued.
   * @param received Called when a body has come whole and only its file is to be saved: the server has nothing to do with it any more.
   * @throws {OutputClosed} when the body goes to the standard output and nobody reads it any more.
   */
  *attempt(job: Job, received: Received): Coroutine<Attempt> {
    const { method, body } = requestOf(job, this.#settings);
    const startedAt = EventLoop.current().now();
    let response: HttpResponse;
    let part = method === "GET" ? this.#storage.partOf(job) : undefined;
    this.#tally.inHeaders++;
    try {
      response = yield* this.#session.request(method, job.url, requestOptions(job, body, conditions(job, part)));
      if (part !== undefined && !continues(response, part)) {
        job.partial = null;
        part = undefined;
        if (response.status === PARTIAL || response.status === RANGE_NOT_SATISFIABLE) {
          // The part does not fit what the server has: from the beginning, then.
          yield* response.discard();
          response = yield* this.#session.request(method, job.url, requestOptions(job, body));
        }
      }
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      return attemptWithoutAnswer(method, error, EventLoop.current().now() - startedAt);
    } finally {
      this.#tally.inHeaders--;
    }
    if (response.status === NOT_MODIFIED && job.known !== undefined)
      return yield* this.#unchanged(method, job, response);
    const { status } = response;
    const arrival = yield* this.#receive(job, response, part, received);
    const failure = arrival.failure ?? (status >= 400 ? failureOfStatus(status) : null);
    const { url: finalUrl } = response;
    const { bytes, sha256, output, timings: timing } = arrival;
    return { method, status, finalUrl, bytes, sha256, output, failure, timing, retryAfterMs: retryAfterMs(response) };
  }

  *#unchanged(method: string, job: Job, response: HttpResponse): Coroutine<Attempt> {
    yield* response.discard();
    const nothing = { bytes: null, sha256: null, failure: null, retryAfterMs: undefined };
    const { url: finalUrl, status, timings: timing } = response;
    return { method, status, finalUrl, timing, ...nothing, output: job.known!.path, isUnchanged: true };
  }

  *#receive(job: Job, response: HttpResponse, part: PartFile | undefined, received: Received): Coroutine<Arrival> {
    const validators = this.#storage.needsValidators ? validatorsOf(response) : NO_VALIDATORS;
    // An error page must not be taken for the file. On a screen it explains more than the status does.
    const isWanted = response.status < 400 || this.#settings.wanted.body;
    const sink = isWanted ? this.#storage.sinkFor(job, validators, part !== undefined) : NOWHERE;
    const wantsSha256 = this.#settings.wanted.ndjson || job.pattern !== undefined;
    const digests = new Digests(wantsSha256, response.status < 400 ? job.checksum : undefined);
    let bytes = part?.bytes ?? 0;
    let isWriting = true;
    let isComing = true;
    this.#tally.inBody++;
    try {
      if (part !== undefined && digests.areWanted) yield* digestPart(`${job.output}.part`, part.bytes, digests);
      sink.begin?.(lengthOf(response));
      isWriting = false;
      for (let chunk = yield* response.chunk(); chunk !== undefined; chunk = yield* response.chunk()) {
        bytes += chunk.byteLength;
        this.#tally.receivedBytes += chunk.byteLength;
        digests.update(chunk);
        isWriting = true;
        yield* sink.write(chunk);
        isWriting = false;
      }
      isWriting = true;
      isComing = false;
      this.#tally.inBody--;
      const sha256 = digests.finish();
      const { timings } = response; // they have ended with the body
      if (isWanted && job.output !== "") received(timings);
      const journal = isWanted ? this.#storage.journalOf(job, bytes, sha256, validators) : undefined;
      const output = yield* sink.finish(journal === undefined ? { sha256 } : { sha256, journal });
      return { bytes, sha256, output, failure: null, timings };
    } catch (error) {
      if (isComing) this.#tally.inBody--;
      response.close();
      const keep = !isWriting && isWanted && this.#storage.keepsPart(job, validators);
      const isCut = error instanceof Cancelled && isWanted && this.#storage.keepsPart(job, validators);
      yield* sink.abandon(keep || isCut);
      if (error instanceof Cancelled || error instanceof OutputClosed) throw error;
      job.partial = keep ? validators : null;
      const failure = isWriting ? failureOfOutput(error) : failureOfRequest(error);
      return { bytes, sha256: null, output: null, failure, timings: response.timings };
    }
  }
}

interface Arrival {
  readonly bytes: number;
  readonly sha256: string | null;
  readonly output: string | null;
  readonly failure: Failure | null;
  readonly timings: HttpTimings;
}

const NO_VALIDATORS: Validators = { etag: null, modified: null };

const NO_CONDITIONS: HeaderList = [];

function conditions({ known }: Job, part: PartFile | undefined): HeaderList {
  if (part !== undefined) {
    const { etag, modified } = part.validators;
    return [
      ["range", `bytes=${part.bytes}-`],
      ["if-range", (etag ?? modified)!],
    ];
  }
  if (known === undefined) return NO_CONDITIONS;
  if (known.etag !== null) return [["if-none-match", known.etag]];
  return known.modified === null ? [] : [["if-modified-since", known.modified]];
}

/** Whether the answer begins where the part ends. */
function continues(response: HttpResponse, { bytes }: PartFile): boolean {
  if (response.status !== PARTIAL) return false;
  const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return range !== null && Number(range[1]) === bytes;
}

function validatorsOf({ headers }: HttpResponse): Validators {
  return { etag: headers.get("etag") ?? null, modified: headers.get("last-modified") ?? null };
}

function lengthOf({ headers }: HttpResponse): number | undefined {
  const length = headers.get("content-length");
  return length === undefined ? undefined : Number(length);
}

/** The hash of a body is that of all of it, also of what an earlier run has fetched. */
function* digestPart(path: string, size: number, digests: Digests): Coroutine<void> {
  const descriptor = yield* fileOperation<number>(`open ${path}`, (done) => open(path, "r", done));
  try {
    const buffer = Buffer.allocUnsafe(REREAD_BYTES);
    for (let position = 0; position < size;) {
      const [from, wanted] = [position, Math.min(REREAD_BYTES, size - position)];
      const length = yield* fileOperation<number>(`read ${path}`, (done) =>
        read(descriptor, buffer, 0, wanted, from, done),
      );
      if (length === 0) throw new Error(`${path} became shorter while it was read`);
      digests.update(buffer.subarray(0, length));
      position += length;
    }
  } finally {
    closeSync(descriptor);
  }
}
