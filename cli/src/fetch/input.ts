/**
 * The input as a stream of lines: read as fast as they are taken, never as a whole.
 */
import { createReadStream, fstatSync, openSync } from "node:fs";
import type { Stats } from "node:fs";
import type { Readable } from "node:stream";
import { Future, until } from "fibril";
import type { Coroutine } from "fibril";
import { CommandLineError } from "../command-line-error.ts";
import type { BadLine } from "./bad-line.ts";
import type { CsvRow } from "./csv-input.ts";
import { LineSplitter, TOO_LONG } from "./line-splitter.ts";
import type { Fields } from "./template.ts";

/** How the input is written: one URL or object on each line, or a table with commas or tabs. */
export type InputFormat = "lines" | "csv" | "tsv";

/** One entry of the input, with what people call its place. */
export interface Entry {
  readonly text: string | typeof TOO_LONG | Fields | BadLine;
  readonly where: string;
  readonly line: number | null;
}

export class Input {
  readonly #urls: readonly string[];
  readonly #name: string;
  readonly #stream: Readable | null;
  /** Bytes of the stream; `undefined` when it does not say. */
  readonly #size: number | undefined;
  readonly #format: InputFormat;
  #changed: Future<void> | null = null;
  #isComplete = false;
  #bytes = 0;
  #lines = 0;

  /** @param size Bytes of the stream, if that is known. */
  constructor(
    urls: readonly string[],
    stream: Readable | null = null,
    name = "the input",
    size?: number,
    format: InputFormat = "lines",
  ) {
    this.#urls = urls;
    this.#stream = stream;
    this.#name = name;
    this.#size = size;
    this.#format = format;
  }

  /** Whether `expected` is more than a guess. */
  get isExact(): boolean {
    return this.#isComplete || this.#stream === null;
  }

  /** How many entries there will be: exact at the end, before that judged by bytes, `undefined` for a pipe. */
  expected(entriesSoFar: number): number | undefined {
    if (this.#isComplete) return entriesSoFar;
    if (this.#stream === null) return this.#urls.length;
    if (this.#size === undefined || this.#lines === 0) return undefined;
    return Math.max(entriesSoFar, Math.round((entriesSoFar * this.#size) / Math.max(this.#bytes, 1)));
  }

  /** Hands every entry to `take`, one after the other, the arguments first. */
  *read(take: (entry: Entry) => Coroutine<void>): Coroutine<void> {
    for (const [index, text] of this.#urls.entries()) yield* take({ text, where: `argument ${index + 1}`, line: null });
    if (this.#stream !== null) {
      if (this.#format === "lines") yield* this.#readLines(this.#stream, take);
      else yield* this.#readRows(this.#stream, this.#format === "csv" ? "," : "\t", take);
    }
    this.#isComplete = true;
  }

  *#readLines(stream: Readable, take: (entry: Entry) => Coroutine<void>): Coroutine<void> {
    const splitter = new LineSplitter();
    this.#watch(stream);
    try {
      while (true) {
        const chunk = yield* this.#chunk<Uint8Array>(stream);
        if (chunk === null) break;
        yield* this.#takeAll(splitter.push(chunk), take);
      }
      yield* this.#takeAll(splitter.end(), take);
    } finally {
      // Otherwise a terminal or a pipe that nobody reads any more would keep the process alive.
      stream.destroy();
    }
  }

  *#readRows(stream: Readable, delimiter: string, take: (entry: Entry) => Coroutine<void>): Coroutine<void> {
    const { csvParser, fieldsOfRow } = yield* until(import("./csv-input.ts")); // most runs need no CSV
    const bad: Entry[] = [];
    const parser = csvParser(delimiter, (text, line) => void bad.push({ text, where: `line ${line}`, line }));
    this.#watch(parser);
    stream
      .on("error", (error) => parser.destroy(error))
      .on("data", (chunk: Buffer) => (this.#bytes += chunk.byteLength));
    stream.pipe(parser);
    try {
      while (true) {
        const row = yield* this.#chunk<CsvRow>(parser);
        while (bad.length > 0) yield* take(bad.shift()!);
        if (row === null) break;
        const line = row.info.lines;
        this.#lines++;
        yield* take({ text: fieldsOfRow(row), where: `line ${line}`, line });
      }
    } finally {
      stream.destroy();
      parser.destroy();
    }
  }

  #watch(stream: Readable): void {
    const changed = (): void => void this.#changed?.tryResolve();
    for (const event of ["readable", "end", "close", "error"]) stream.on(event, changed);
  }

  *#takeAll(lines: Iterable<string | typeof TOO_LONG>, take: (entry: Entry) => Coroutine<void>): Coroutine<void> {
    for (const text of lines) {
      const line = ++this.#lines;
      if (text !== TOO_LONG) this.#bytes += Buffer.byteLength(text) + 1;
      yield* take({ text, where: `line ${line}`, line });
    }
  }

  *#chunk<Piece>(stream: Readable): Coroutine<Piece | null> {
    while (true) {
      const chunk = stream.read() as Piece | null;
      if (chunk !== null) return chunk;
      if (stream.errored) throw new CommandLineError(`cannot read on in ${this.#name}: ${stream.errored.message}`);
      if (stream.readableEnded || stream.destroyed) return null;
      this.#changed = new Future<void>({ name: `more of ${this.#name}`, external: true });
      yield* this.#changed;
    }
  }
}

/** @throws {CommandLineError} when the file cannot be read. */
export function openInput(urls: readonly string[], file: string | undefined, wanted?: InputFormat): Input {
  if (file === undefined) return new Input(urls);
  const format = wanted ?? formatOf(file);
  if (file === "-") return new Input(urls, process.stdin, "the standard input", sizeOf(fstatSync(0)), format);
  try {
    const descriptor = openSync(file, "r");
    const stats = fstatSync(descriptor);
    if (stats.isDirectory()) throw new Error("it is a folder");
    return new Input(urls, createReadStream(file, { fd: descriptor }), file, sizeOf(stats), format);
  } catch (error) {
    throw new CommandLineError(`cannot read the input ${file}: ${(error as Error).message}`);
  }
}

function formatOf(file: string): InputFormat {
  return /\.csv$/i.test(file) ? "csv" : /\.tsv$/i.test(file) ? "tsv" : "lines";
}

function sizeOf(stats: Stats): number | undefined {
  return stats.isFile() ? stats.size : undefined;
}
