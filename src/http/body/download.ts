/**
 * From a URL to a file: whole or not there, and never fetched twice what has come.
 *
 * The protocol, on disk:
 *   1. `path.part` takes the bytes; `path.part.json` says of which URL and which version they are. It is written before the
 *      first byte, so a part without it, or for another URL, is of no use and is overwritten.
 *   2. A later call asks for the rest on condition that the version still is the same (`If-Range`). If it is, the rest is
 *      appended; if not, everything comes and the part begins anew.
 *   3. Length and checksum are verified on the part; one that is wrong is deleted.
 *   4. The part is renamed to `path`, which replaces what was there in one step; then the note is deleted.
 *
 * A process that is killed leaves a part and its note, and a power failure may also cut the part: with `sync` the file is
 * on disk before it gets its name. One download for a path at a time: two would write into the same part. In one thread the
 * second is refused; several processes have to agree among themselves.
 */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { resolve } from "node:path";
import { shield, until, UsageError } from "../../core/index.ts";
import type { Coroutine } from "../../core/index.ts";
import { describeRequest, HttpError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import type { Validators } from "./conditional.ts";
import { Part } from "./download-part.ts";
import type { Found } from "./download-part.ts";
import type { Progress } from "./incoming.ts";
import { RangeMismatchError, RangeNotSatisfiableError } from "./ranges.ts";
import { resumable } from "./resumable.ts";
import type { Getter, ResumableBody, ResumableOptions } from "./resumable.ts";

/** What the content must be, as `createHash` of Node names the algorithm. */
export interface Checksum {
  /** `"sha256"`, `"sha1"`, `"md5"`, … */
  readonly algorithm: string;
  /** In hexadecimal digits. */
  readonly value: string;
}

export interface DownloadOptions extends Omit<ResumableOptions, "start" | "ifUnchanged"> {
  /** Whether to go on with a part that an earlier call has left. Default: `true`. */
  readonly resume?: boolean;
  /** Called after each piece that was written: how much of the file is there, with what an earlier call has left. */
  readonly onProgress?: (progress: Progress) => void;
  readonly checksum?: Checksum;
  /** Permissions of the file. Default: `0o666`, less what the process masks. */
  readonly mode?: number;
  /** Whether to wait until the file is on the disk itself. Default: `false`: the system writes it when it likes. */
  readonly sync?: boolean;
  /** What becomes of the part when the download fails or is cancelled. Default: `true`: it is kept if it can be resumed. */
  readonly keepPart?: boolean;
}

/** What a download came to. */
export interface Download {
  readonly path: string;
  /** Of the whole file. */
  readonly sizeBytes: number;
  /** How much of it was there already. */
  readonly resumedFrom: number;
  /** How often it had to connect again. */
  readonly resumptions: number;
  /** Where it came from, after redirects. */
  readonly url: string;
  readonly validators: Validators;
}

/** The content is not what its checksum says; it was deleted. Code: `HTTP_CHECKSUM`. */
export class ChecksumError extends HttpError {
  readonly expected: string;
  readonly actual: string;

  constructor(subject: RequestSubject, algorithm: string, expected: string, actual: string) {
    super(
      "HTTP_CHECKSUM",
      `${describeRequest(subject)}: the ${algorithm} of what came is ${actual}, and should be ${expected}; it was deleted`,
      subject,
    );
    this.expected = expected;
    this.actual = actual;
  }
}

/** The content does not have the length that the server told; it was deleted. Code: `HTTP_LENGTH`. */
export class LengthError extends HttpError {
  constructor(subject: RequestSubject, expected: number, actual: number) {
    super(
      "HTTP_LENGTH",
      `${describeRequest(subject)}: ${actual} bytes came, and should be ${expected}; they were deleted`,
      subject,
    );
  }
}

/**
 * Downloads into a file. The directory must exist; a file of that name is replaced in one step at the end, and only then.
 *
 * A connection that breaks is made again, see `resumable`. Cancelling closes the connection at once and the file after the
 * write that is under way; the part and its note stay if a later call can go on with them (the server gave a strong ETag or a
 * date), else both are deleted.
 * @throws {UsageError} while another download of this thread is at the path (`DOWNLOAD_BUSY`).
 * @throws {ResponseError} {ResourceChangedError} {ChecksumError} {LengthError}, the errors of requests and those of the file system.
 * @example
 * const { sizeBytes, resumedFrom } = yield* download(session, url, "node.tar.xz", {
 *   checksum: { algorithm: "sha256", value: "1f9e…" },
 * });
 */
export function* download(
  session: Getter,
  url: string | URL,
  path: string,
  options: DownloadOptions = {},
): Coroutine<Download> {
  const { resume = true, checksum } = options;
  if (typeof path !== "string" || path === "") throw new UsageError("download() needs the path of a file");
  if (checksum !== undefined) checkChecksum(checksum);
  const part = new Part(path, String(url));
  const target = resolve(path);
  if (busyPaths.has(target)) {
    throw new UsageError(`${path} is being downloaded already; one download for a path at a time`, "DOWNLOAD_BUSY");
  }
  busyPaths.add(target);
  try {
    return yield* downloadPart(session, url, part, resume, options);
  } finally {
    busyPaths.delete(target);
  }
}

/** Of this thread. Two downloads would write into one part, and the first to end would give the other's half the name. */
const busyPaths = new Set<string>();

function* downloadPart(
  session: Getter,
  url: string | URL,
  part: Part,
  resume: boolean,
  options: DownloadOptions,
): Coroutine<Download> {
  const found = resume ? yield* part.find() : null;
  let body: ResumableBody | null;
  try {
    body = yield* resumable(
      session,
      url,
      found === null ? options : { ...options, start: found.sizeBytes, ifUnchanged: found.validators },
    );
  } catch (error) {
    if (found === null || !(error instanceof RangeNotSatisfiableError || error instanceof RangeMismatchError))
      throw error;
    const isWhole = error instanceof RangeNotSatisfiableError && error.sizeBytes === found.sizeBytes;
    // The part is the whole, and only its name was missing; or the server cannot be trusted with parts.
    if (isWhole) return yield* finishFound(part, found, error, options);
    body = yield* resumable(session, url, options);
  }
  return yield* new Downloading(part, body, options).run();
}

function* finishFound(
  part: Part,
  found: Found,
  subject: RequestSubject,
  options: DownloadOptions,
): Coroutine<Download> {
  const { checksum, sync = false } = options;
  if (checksum !== undefined) {
    const hash = createHash(checksum.algorithm);
    yield* hashFile(part.path, found.sizeBytes, hash);
    yield* verifyChecksum(part, subject, checksum, hash);
  }
  const { sizeBytes, validators } = found;
  yield* part.rename(sync);
  return { path: part.target, sizeBytes, resumedFrom: sizeBytes, resumptions: 0, url: subject.url, validators };
}

/** One call, from the response to the name. */
class Downloading {
  readonly #part: Part;
  readonly #body: ResumableBody;
  readonly #options: DownloadOptions;
  readonly #subject: RequestSubject;
  #isUseless = false;

  constructor(part: Part, body: ResumableBody, options: DownloadOptions) {
    this.#part = part;
    this.#body = body;
    this.#options = options;
    this.#subject = { method: "GET", url: body.response.url };
  }

  *run(): Coroutine<Download> {
    const { startedAt, isResumable, validators } = this.#body;
    const { keepPart = true, sync = false } = this.#options;
    let isDone = false;
    let handle: FileHandle | null = null;
    try {
      if (startedAt === 0) yield* this.#part.note(isResumable ? validators : null);
      // Shielded: a handle that opens after a cancellation would belong to nobody.
      handle = yield* shield(until(open(this.#part.path, startedAt === 0 ? "w" : "r+", this.#options.mode ?? 0o666)));
      yield* this.#fill(handle);
      if (sync) yield* until(handle.sync());
      isDone = true;
    } finally {
      this.#body.close();
      if (handle !== null) yield* until(handle.close()); // after a write that is under way
      const isKept = keepPart && isResumable && !this.#isUseless;
      if (!isDone && !isKept) yield* this.#part.remove();
    }
    yield* this.#part.rename(sync);
    const { position, resumptions } = this.#body;
    return {
      path: this.#part.target,
      sizeBytes: position,
      resumedFrom: startedAt,
      resumptions,
      url: this.#subject.url,
      validators,
    };
  }

  *#fill(handle: FileHandle): Coroutine<void> {
    const { checksum, onProgress } = this.#options;
    const body = this.#body;
    const hash = checksum === undefined ? null : createHash(checksum.algorithm);
    if (hash !== null && body.startedAt > 0) yield* hashFile(this.#part.path, body.startedAt, hash);
    for (;;) {
      const at = body.position;
      const chunk = yield* body.chunk();
      if (chunk === undefined) break;
      hash?.update(chunk);
      yield* writeAll(handle, chunk, at);
      onProgress?.({ receivedBytes: body.position, totalBytes: body.sizeBytes });
    }
    const { position, sizeBytes = position } = body;
    if (position !== sizeBytes) {
      this.#isUseless = true;
      throw new LengthError(this.#subject, sizeBytes, position);
    }
    // A part that had been longer: nobody else than a foreign hand can have done that.
    yield* until(handle.truncate(position));
    if (hash !== null) {
      this.#isUseless = true;
      yield* verifyChecksum(this.#part, this.#subject, checksum!, hash);
      this.#isUseless = false;
    }
  }
}

/** A write may take less than it was given. */
function* writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Coroutine<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = yield* until(handle.write(bytes, done, bytes.byteLength - done, position + done));
    done += bytesWritten;
  }
}

function* hashFile(path: string, sizeBytes: number, hash: Hash): Coroutine<void> {
  if (sizeBytes === 0) return;
  const stream = createReadStream(path, { end: sizeBytes - 1 });
  try {
    const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      const step = yield* until(iterator.next());
      if (step.done === true) return;
      hash.update(step.value);
    }
  } finally {
    stream.destroy();
  }
}

function* verifyChecksum(part: Part, subject: RequestSubject, checksum: Checksum, hash: Hash): Coroutine<void> {
  const actual = hash.digest("hex");
  if (actual === checksum.value.toLowerCase()) return;
  yield* part.remove();
  throw new ChecksumError(subject, checksum.algorithm, checksum.value, actual);
}

function checkChecksum({ algorithm, value }: Checksum): void {
  let size: number;
  try {
    size = createHash(algorithm).digest().byteLength;
  } catch {
    throw new UsageError(`there is no checksum algorithm ${JSON.stringify(algorithm)}; "sha256" is one`);
  }
  if (/^[0-9a-f]*$/i.test(value) && value.length === size * 2) return;
  throw new UsageError(`a ${algorithm} has ${size * 2} hexadecimal digits; got ${JSON.stringify(value)}`);
}
