/**
 * Where bodies go, and what earlier runs left there: names of files, the journal, parts that can be continued, files that may still be
 * good. Everything is decided in the order of the input, so that the same input gives the same names.
 */
import { renameSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { NOWHERE, StreamSink } from "./body-sink.ts";
import type { BodySink, Completion } from "./body-sink.ts";
import { Disk } from "./disk/disk.ts";
import { pathOfOutput } from "./file-name.ts";
import { FileSink } from "./file-sink.ts";
import type { FileSinkOptions } from "./file-sink.ts";
import type { Job } from "./job.ts";
import { Journal } from "./journal/journal.ts";
import type { Validators } from "./journal/journal.ts";
import { NameLedger } from "./name-ledger.ts";
import { withHash } from "./name-template.ts";
import type { OutputStream } from "./output-stream.ts";
import { PlaceFinder } from "./place-finder.ts";
import { printable } from "./printable.ts";
import type { Settings } from "./settings.ts";
import { hash53 } from "./text-hash.ts";

/** What is there of a body whose hash gives it its name. */
const PARTS_FOLDER = ".fibril-parts";

export interface PartFile {
  readonly bytes: number;
  readonly validators: Validators;
}

export class Storage {
  readonly #settings: Settings;
  readonly #output: OutputStream;
  readonly #journal: Journal | null;
  readonly #places = new PlaceFinder();
  readonly #names = new NameLedger();
  readonly #disk = new Disk();
  /** The folder, as it stands before the names in it. */
  readonly #folder: string;
  /** Of files about which nothing has to be known. */
  readonly #plainSink: FileSinkOptions = { disk: this.#disk };

  /** @throws {CommandLineError} when the journal cannot be used. */
  constructor(settings: Settings, output: OutputStream) {
    this.#settings = settings;
    this.#output = output;
    this.#journal = settings.journal === undefined ? null : new Journal(settings.journal);
    const { folder } = settings.wanted;
    this.#folder = folder === undefined ? "" : join(folder, "_").slice(0, -1);
  }

  /** How many URLs the journal says are finished. */
  get finishedBefore(): number {
    return this.#journal?.finishedBefore ?? 0;
  }

  /**
   * Gives the job its place, and finds out what is there already.
   * @param n Its place in the input.
   * @returns `"finished"`: nothing is to be done. `{ problem }`: it cannot have that place.
   */
  admit(job: Job, n: number): "finished" | { readonly problem: string } | undefined {
    const problem = this.#place(job, n);
    if (problem !== undefined) return { problem };
    if (this.#journal === null) {
      if (this.#settings.ifChanged && job.pattern === undefined) job.known = knownFile(job.output);
      return undefined;
    }
    job.key = hash53(
      JSON.stringify([job.request, job.url, this.#settings.method, this.#settings.data, this.#inside(job)]),
    );
    const entry = this.#journal.find(job.key, job.url);
    if (entry === undefined) return undefined;
    if (entry.event === "begun") {
      job.partial = entry;
      return undefined;
    }
    const path = job.output === "" || entry.output === null ? null : join(this.#settings.wanted.folder!, entry.output);
    if (path !== null && !isComplete(path, `${job.output}.part`, entry.bytes)) return undefined;
    if (!this.#settings.ifChanged || path === null) return "finished";
    job.known = { path, etag: entry.etag, modified: entry.modified };
    return undefined;
  }

  /** What is there of the body, if it can be continued. */
  partOf(job: Job): PartFile | undefined {
    if (job.partial === null || job.output === "") return undefined;
    const bytes = statSync(`${job.output}.part`, { throwIfNoEntry: false })?.size ?? 0;
    return bytes === 0 ? undefined : { bytes, validators: job.partial };
  }

  /** Whether it matters what proves later that a body is still the same. */
  get needsValidators(): boolean {
    return this.#journal !== null || this.#settings.ifChanged;
  }

  /** Whether what has arrived of a body is worth keeping. */
  keepsPart(job: Job, validators: Validators): boolean {
    return this.#journal !== null && job.output !== "" && canContinue(validators);
  }

  /** @param append Goes on where the part ends. */
  sinkFor(job: Job, validators: Validators, append: boolean): BodySink {
    if (job.output === "") return this.#settings.wanted.body ? new StreamSink(this.#output) : NOWHERE;
    const { pattern } = job;
    if (pattern === undefined && !append && !this.needsValidators) return new FileSink(job.output, this.#plainSink);
    return new FileSink(job.output, {
      append,
      disk: this.#disk,
      ...(pattern === undefined ? {} : { placeOf: (sha256) => withHash(pattern, sha256) }),
      ...(this.keepsPart(job, validators)
        ? { beforePart: () => this.#journal!.begun(job.key, job.url, this.#inside(job), validators) }
        : {}),
      ...(this.#settings.ifChanged ? { modifiedAt: () => secondsOf(validators.modified) } : {}),
    });
  }

  /** What the journal gets just before the body gets its name. */
  journalOf(job: Job, bytes: number, sha256: string | null, validators: Validators): Completion["journal"] {
    const journal = this.#journal;
    if (journal === null || job.output === "") return undefined;
    const { key, url } = job;
    const { folder } = this.#settings.wanted;
    const lineFor = (path: string): string =>
      journal.doneLine({ key, url, output: relative(folder!, path), bytes, sha256, ...validators });
    return { file: journal.file, lineFor };
  }

  /** The job has ended well; bodies that went to a file were remembered before. */
  succeeded(job: Job, bytes: number | null, sha256: string | null): void {
    if (job.output !== "") return;
    this.#journal?.done({ key: job.key, url: job.url, output: null, bytes, sha256, etag: null, modified: null });
  }

  failed(job: Job, code: string, message: string): void {
    this.#journal?.failed(job.key, job.url, code, message);
  }

  close(): void {
    this.#disk.close();
    this.#journal?.close();
  }

  #place(job: Job, n: number): string | undefined {
    const { name } = this.#settings;
    const { folder } = this.#settings.wanted;
    const wish = job.request?.output;
    if (folder === undefined) return wish === undefined ? undefined : 'it has an "output", which needs -o FOLDER';
    if (wish !== undefined) {
      const path = pathOfOutput(wish);
      if ("problem" in path) return `its "output" ${path.problem}: ${printable(wish)}`;
      job.output = this.#assign(path);
    } else if (name === undefined) job.output = this.#assign(this.#places.pathOf(job.url));
    else if (name.needsHash) {
      job.pattern = join(folder, ...name.fill({ url: job.url, n }));
      job.output = join(folder, PARTS_FOLDER, `${n}-${hash53(job.url).toString(16)}`);
    } else job.output = this.#assign(name.fill({ url: job.url, n }));
    return undefined;
  }

  /** As `join` would put it together: the names are whole, and none of them is `.` or `..`. */
  #assign(path: readonly string[]): string {
    const name = this.#names.assign(path);
    return this.#folder + (sep === "/" ? name : name.replaceAll("/", sep));
  }

  #inside(job: Job): string | null {
    return job.output === "" ? null : relative(this.#settings.wanted.folder!, job.output);
  }
}

/** Whether the body is there whole. A run that was killed between `done` and the renaming left it as a part. */
function isComplete(path: string, part: string, bytes: number | null): boolean {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size !== undefined) return size === bytes;
  if (bytes === null || statSync(part, { throwIfNoEntry: false })?.size !== bytes) return false;
  try {
    renameSync(part, path);
    return true;
  } catch {
    return false; // its folder is not there, say: it is fetched again
  }
}

/** Without a journal the file's own time says what the server said: with --if-changed it is the server's. */
function knownFile(path: string): Job["known"] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isFile()) return undefined;
  return { path, etag: null, modified: new Date(Math.floor(stats.mtimeMs / 1_000) * 1_000).toUTCString() };
}

/** `If-Range` needs a strong validator (RFC 9110, 13.1.5); a date is one when the server has no tag. */
function canContinue({ etag, modified }: Validators): boolean {
  return etag === null ? modified !== null : !etag.startsWith("W/");
}

function secondsOf(date: string | null): number | undefined {
  const ms = date === null ? NaN : Date.parse(date);
  return Number.isNaN(ms) ? undefined : ms / 1_000;
}
