/**
 * A file of lines that only grows: what was appended is there whatever kills the process afterwards.
 *
 * Each line is one `write` of the system, made before `append` returns, so lines of two moments are never mixed and at most the
 * last one can be torn (a full disk, a power cut). A torn line is skipped when the file is read, and ended before anything is
 * appended, so that it does not swallow the next line.
 *
 * Synchronous on purpose: a line of 200 bytes costs about 5 µs, a trip through the thread pool 50 µs of CPU time. It does not
 * wait for the disk (`fsync`): what a crash of the whole machine takes back is fetched again.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 10;

export class AppendFile {
  /** For a thread that appends whole lines as well. */
  readonly descriptor: number;
  readonly #path: string;
  #isOpen = true;
  #size: number;

  /** Opens the file, and makes it when there is none. @throws what the file system reports. */
  constructor(path: string) {
    this.#path = path;
    this.descriptor = openSync(path, "a+");
    this.#size = fstatSync(this.descriptor).size;
    if (this.#size === 0) return;
    const last = Buffer.alloc(1);
    readSync(this.descriptor, last, 0, 1, this.#size - 1);
    if (last[0] !== NEWLINE) this.append("");
  }

  /** Appends a line. After `close` it does nothing. @throws what the file system reports, with the name of the file. */
  append(line: string): void {
    if (!this.#isOpen) return;
    const bytes = Buffer.from(`${line}\n`);
    try {
      for (let from = 0; from < bytes.byteLength;) from += writeSync(this.descriptor, bytes, from);
    } catch (error) {
      (error as Error).message = `cannot write ${this.#path}: ${(error as Error).message}`;
      throw error;
    }
    this.#size += bytes.byteLength;
  }

  /** The lines so far with the places where they begin, read in pieces. A last line without an end is left out. */
  *lines(): Generator<{ readonly text: string; readonly offset: number }, void> {
    let rest: Buffer = Buffer.alloc(0);
    let restOffset = 0;
    for (let position = 0; position < this.#size;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const length = readSync(this.descriptor, chunk, 0, CHUNK_BYTES, position);
      if (length === 0) return;
      position += length;
      const bytes =
        rest.byteLength === 0 ? chunk.subarray(0, length) : Buffer.concat([rest, chunk.subarray(0, length)]);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
        yield { text: bytes.toString("utf8", start, end), offset: restOffset + start };
        start = end + 1;
      }
      rest = bytes.subarray(start);
      restOffset += start;
    }
  }

  /** The line that begins at `offset`. */
  lineAt(offset: number): string {
    for (let size = 1_024; ; size *= 8) {
      const bytes = Buffer.allocUnsafe(size);
      const length = readSync(this.descriptor, bytes, 0, size, offset);
      const end = bytes.subarray(0, length).indexOf(NEWLINE);
      if (end !== -1 || length < size) return bytes.toString("utf8", 0, end === -1 ? length : end);
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.descriptor);
  }
}
