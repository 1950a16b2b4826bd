/**
 * Small bodies into their files, by calls that wait: each is written beside its place as `.part`, remembered in the journal, renamed.
 *
 * The same few lines run in the thread of the disk, for a batch, and for the first files of a run in the main one. A batch is written
 * first, then remembered by one write for each journal, then renamed: for each file that is the order which `journal.ts` asks for.
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
  const [problem] = saveFiles([file], () => pieces);
  if (problem !== null) throw problem as Error;
}

/**
 * Saves them, each for itself: what goes wrong with one is no matter for the others.
 * @returns for each file what the file system reports, and then nothing is left of it; `null`: saved.
 */
export function saveFiles(
  files: readonly SmallFile[],
  piecesOf: (index: number) => readonly Uint8Array[],
): (NodeJS.ErrnoException | null)[] {
  const problems = files.map((file, index) => problemOf(file.part, () => writePart(file, piecesOf(index))));
  const lines = new Map<number, string>();
  for (const [index, { journal }] of files.entries()) {
    if (journal === null || problems[index] !== null) continue;
    lines.set(journal.descriptor, (lines.get(journal.descriptor) ?? "") + journal.line);
  }
  for (const [descriptor, text] of lines) {
    const problem = problemOf(undefined, () => writeAll(descriptor, Buffer.from(text)));
    if (problem === null) continue;
    for (const [index, { part, journal }] of files.entries()) {
      if (journal?.descriptor !== descriptor || problems[index] !== null) continue;
      problems[index] = problem;
      removeNow(part);
    }
  }
  for (const [index, { part, path }] of files.entries()) {
    problems[index] ??= problemOf(part, () => withFolder(path, () => renameSync(part, path)));
  }
  return problems;
}

/** @param part Removed when it fails. */
function problemOf(part: string | undefined, act: () => void): NodeJS.ErrnoException | null {
  try {
    act();
    return null;
  } catch (error) {
    if (part !== undefined) removeNow(part);
    return error as NodeJS.ErrnoException;
  }
}

function writePart({ part, modifiedAt }: SmallFile, pieces: readonly Uint8Array[]): void {
  const descriptor = withFolder(part, () => openSync(part, "w"));
  try {
    for (const piece of pieces) writeAll(descriptor, piece);
    if (modifiedAt !== null) futimesSync(descriptor, modifiedAt, modifiedAt);
  } finally {
    closeSync(descriptor);
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
