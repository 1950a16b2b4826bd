/**
 * What a run has done, in a file that outlives it: so the same command once more goes on where the last one ended, killed or not.
 *
 *     {"event":"begun","key":123,"url":"http://h/big","output":"h/big","etag":"\"v1\"","modified":null}
 *     {"event":"done","key":123,"url":"http://h/big","output":"h/big","bytes":9000000,"sha256":null,"etag":"\"v1\"","modified":null}
 *     {"event":"failed","key":456,"url":"http://h/gone","error":"HTTP_STATUS","message":"the server answered 404 Not Found"}
 *
 * The order of writing is what makes `kill -9` harmless:
 *   1. `begun` is written before the first byte of a `.part` file, with what proves later that the server still has the same body.
 *   2. `done` is written when `name.part` is complete, before it is renamed. A run that finds `done` and no `name` but a `.part`
 *      of that size only has to rename it. So no body that was complete is ever fetched again, and whatever has its name is complete.
 *   3. Everything else was not finished.
 *
 * What is kept in memory is 16 to 46 bytes for each URL of *earlier* runs (where its last line begins); this run's own lines are
 * only written.
 */
import { CommandLineError } from "../../command-line-error.ts";
import { AppendFile } from "./append-file.ts";
import { KeyTable } from "./key-table.ts";

/** What tells whether a body is still the one that it was. */
export interface Validators {
  readonly etag: string | null;
  /** The `Last-Modified` header, as it came. */
  readonly modified: string | null;
}

export interface JournalEntry extends Validators {
  readonly event: "begun" | "done" | "failed";
  readonly key: number;
  readonly url: string;
  /** Inside the folder. */
  readonly output: string | null;
  readonly bytes: number | null;
  readonly sha256: string | null;
}

export class Journal {
  readonly file: AppendFile;
  /** Where the last line about a request begins, times two, plus one when it is `done`. */
  readonly #places = new KeyTable();
  /** How many URLs the earlier runs have finished. */
  readonly finishedBefore: number;

  /** Reads what is there. @throws {CommandLineError} when the file cannot be used. */
  constructor(path: string) {
    try {
      this.file = new AppendFile(path);
      this.finishedBefore = this.#load();
    } catch (error) {
      throw new CommandLineError(`cannot use the journal ${path}: ${(error as Error).message}`);
    }
  }

  /** What the earlier runs say last about this request. */
  find(key: number, url: string): JournalEntry | undefined {
    const place = this.#places.get(key);
    const entry = place === undefined ? undefined : parseEntry(this.file.lineAt(Math.floor(place / 2)));
    return entry?.url === url ? entry : undefined; // two keys may be equal by accident
  }

  begun(key: number, url: string, output: string | null, { etag, modified }: Validators): void {
    this.file.append(JSON.stringify({ event: "begun", key, url, output, etag, modified }));
  }

  done(entry: Omit<JournalEntry, "event">): void {
    this.file.append(this.doneLine(entry));
  }

  /** The line of `done`, for whoever appends it at the right moment. */
  doneLine({ key, url, output, bytes, sha256, etag, modified }: Omit<JournalEntry, "event">): string {
    return JSON.stringify({ event: "done", key, url, output, bytes, sha256, etag, modified });
  }

  /** For people; it is tried again next time. What is known of a `.part` file stays known. */
  failed(key: number, url: string, error: string, message: string): void {
    this.file.append(JSON.stringify({ event: "failed", key, url, error, message }));
  }

  close(): void {
    this.file.close();
  }

  #load(): number {
    let finished = 0;
    let lines = 0;
    let understood = 0;
    for (const { text, offset } of this.file.lines()) {
      if (text === "") continue;
      lines++;
      const entry = parseEntry(text);
      if (entry === undefined) continue;
      understood++;
      // A failure after a `begun` leaves the .part file as it is, and one after a `done` the file.
      if (entry.event === "failed") continue;
      const isDone = Number(entry.event === "done");
      finished += isDone - ((this.#places.get(entry.key) ?? 0) % 2);
      this.#places.set(entry.key, offset * 2 + isDone);
    }
    if (lines > 1 && understood === 0) throw new Error("it is some other file");
    return finished;
  }
}

/** @returns `undefined` for a line that was torn, or is not ours. */
function parseEntry(text: string): JournalEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { event, key, url, output, bytes, sha256, etag, modified } = value as Readonly<Record<string, unknown>>;
  if (event !== "begun" && event !== "done" && event !== "failed") return undefined;
  if (typeof key !== "number" || typeof url !== "string") return undefined;
  return {
    event,
    key,
    url,
    output: textOrNull(output),
    bytes: typeof bytes === "number" ? bytes : null,
    sha256: textOrNull(sha256),
    etag: textOrNull(etag),
    modified: textOrNull(modified),
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
