/**
 * A small body into its file, by calls that wait: written beside its place as `.part`, remembered in the journal, renamed.
 *
 * The same few lines run in the thread of the disk and, for the first files of a run, in the main one.
 */
import { closeSync, futimesSync, mkdirSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface SmallFile {
  readonly part: string;
  readonly path: string;
  /** When the body was changed, in seconds since 1970; `null`: now. */
  readonly modifiedAt: number | null;
  /** A line for the journal, written when the part is complete and has not got its name. */
  readonly journal: { readonly descriptor: number; readonly line: string } | null;
}

/** @throws what the file system reports; then nothing is left. */
export function saveFile(file: SmallFile, pieces: readonly Uint8Array[]): void {
  const { part, path, modifiedAt, journal } = file;
  const descriptor = withFolder(part, () => openSync(part, "w"));
  let isComplete = false;
  try {
    try {
      for (const piece of pieces) writeAll(descriptor, piece);
      if (modifiedAt !== null) futimesSync(descriptor, modifiedAt, modifiedAt);
    } finally {
      closeSync(descriptor);
    }
    if (journal !== null) writeAll(journal.descriptor, Buffer.from(journal.line));
    withFolder(path, () => renameSync(part, path));
    isComplete = true;
  } finally {
    if (!isComplete) removeNow(part);
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let from = 0; from < bytes.byteLength;) from += writeSync(descriptor, bytes, from);
}

/** Tries, and once more when the folder of the path had to be made. */
function withFolder<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    mkdirSync(dirname(path), { recursive: true });
    return act();
  }
}

function removeNow(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // What went wrong before is what has to be told.
  }
}
