/**
 * A file that has its name only when it is complete: it is written beside that place as `name.part`, then renamed.
 *
 * Small bodies are kept in memory until they are complete and then saved at once (see `disk/disk.ts`); large ones are written piece by
 * piece, so that what has arrived survives, through Node's thread pool, where nobody waits for a disk that is slow.
 */
import { close, futimesSync, mkdir, mkdirSync, open, rename, unlink, write } from "node:fs";
import { dirname } from "node:path";
import { Cancelled } from "fibril";
import type { Coroutine } from "fibril";
import type { BodySink, Completion } from "./body-sink.ts";
import type { Disk } from "./disk/disk.ts";
import { saveFile } from "./disk/save-file.ts";
import { fileOperation } from "./file-operation.ts";

/** Larger ones begin their file with the first piece, so that what has arrived survives. */
const SMALL_BYTES = 64 * 1024;

export interface FileSinkOptions {
  /** Where the file goes when its hash is known; then `path` only says where the part is. Default: `path`. */
  readonly placeOf?: (sha256: string) => string;
  /** Goes on at the end of the `.part` file that is there. */
  readonly append?: boolean;
  /** Saves small files. Default: they are saved here. */
  readonly disk?: Disk;
  /** Called when the `.part` file is about to be made. */
  readonly beforePart?: () => void;
  /** When the body was changed, in seconds since 1970, for the file to say. */
  readonly modifiedAt?: () => number | undefined;
}

export class FileSink implements BodySink {
  readonly #path: string;
  readonly #part: string;
  readonly #options: FileSinkOptions;
  #descriptor: number | null = null;
  #exists = false;
  /** Pieces of a body that is small so far; `null` once there is a file. */
  #small: Uint8Array[] | null;
  #smallBytes = 0;

  constructor(path: string, options: FileSinkOptions = {}) {
    this.#path = path;
    this.#part = `${path}.part`;
    this.#options = options;
    const isAppending = options.append === true;
    this.#exists = isAppending;
    this.#small = isAppending ? null : [];
  }

  begin(size: number | undefined): void {
    if (size !== undefined && size > SMALL_BYTES && this.#smallBytes === 0) this.#small = null;
  }

  *write(chunk: Uint8Array): Coroutine<void> {
    if (this.#small !== null) {
      this.#small.push(chunk);
      this.#smallBytes += chunk.byteLength;
      if (this.#smallBytes <= SMALL_BYTES) return;
      const pieces = this.#small;
      this.#small = null;
      for (const piece of pieces) yield* this.#append(piece);
    } else yield* this.#append(chunk);
  }

  *finish({ sha256, journal }: Completion = { sha256: null }): Coroutine<string> {
    const path = this.#options.placeOf?.(sha256!) ?? this.#path;
    if (this.#small !== null) {
      yield* this.#saveAtOnce(this.#small, path, journal);
      return path;
    }
    if (this.#descriptor === null) yield* this.#open();
    const modifiedAt = this.#options.modifiedAt?.();
    if (modifiedAt !== undefined) futimesSync(this.#descriptor!, modifiedAt, modifiedAt);
    yield* this.#close();
    if (path !== this.#path) mkdirSync(dirname(path), { recursive: true });
    journal?.file.append(journal.lineFor(path));
    yield* fileOperation<unknown>(`rename ${this.#part}`, (done) =>
      rename(this.#part, path, (error) => {
        if (error === null) this.#exists = false;
        done(error, undefined);
      }),
    );
    return path;
  }

  *abandon(keep = false): Coroutine<void> {
    this.#small = null;
    try {
      if (this.#descriptor !== null) yield* this.#close();
    } catch (error) {
      if (error instanceof Cancelled) throw error; // the time for cleanup is over
    }
    if (!this.#exists || keep) return;
    this.#exists = false;
    try {
      const part = this.#part;
      yield* fileOperation<unknown>(`remove ${part}`, (done) => unlink(part, (error) => done(error, undefined)));
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      // Somebody else has removed it, or nobody can; why the body was given up is what has to be told.
    }
  }

  *#saveAtOnce(pieces: readonly Uint8Array[], path: string, journal: Completion["journal"]): Coroutine<void> {
    const file = {
      part: this.#part,
      path,
      modifiedAt: this.#options.modifiedAt?.() ?? null,
      journal:
        journal === undefined ? null : { descriptor: journal.file.descriptor, line: `${journal.lineFor(path)}\n` },
    };
    const { disk } = this.#options;
    if (disk === undefined) saveFile(file, pieces);
    else if (!disk.trySave(file, pieces)) {
      yield* fileOperation<undefined>(`save ${path}`, (done) => disk.save(file, pieces, done));
    }
  }

  *#append(chunk: Uint8Array): Coroutine<void> {
    const descriptor = this.#descriptor ?? (yield* this.#open());
    for (let offset = 0; offset < chunk.byteLength;) {
      const from = offset;
      offset += yield* fileOperation<number>(`write ${this.#part}`, (done) =>
        write(descriptor, chunk, from, chunk.byteLength - from, null, done),
      );
    }
  }

  *#open(): Coroutine<number> {
    if (this.#options.append !== true) this.#options.beforePart?.();
    try {
      return yield* this.#openNow();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      const folder = dirname(this.#part);
      yield* fileOperation<unknown>(`create folder ${folder}`, (done) => mkdir(folder, { recursive: true }, done));
      return yield* this.#openNow();
    }
  }

  *#openNow(): Coroutine<number> {
    const flags = this.#options.append === true ? "a" : "w";
    this.#descriptor = yield* fileOperation<number>(`open ${this.#part}`, (done) => open(this.#part, flags, done));
    this.#exists = true;
    return this.#descriptor;
  }

  *#close(): Coroutine<void> {
    const descriptor = this.#descriptor!;
    this.#descriptor = null; // whatever close() says, the descriptor is gone
    yield* fileOperation<unknown>(`close ${this.#part}`, (done) =>
      close(descriptor, (error) => done(error ?? null, undefined)),
    );
  }
}
