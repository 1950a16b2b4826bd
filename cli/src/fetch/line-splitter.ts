/**
 * Bytes in, lines out: UTF-8, `\n` or `\r\n`, a byte order mark is dropped, the last line needs no end.
 *
 * A line is kept whole until its end has come, so its length has a limit: an input without line ends must not fill the
 * memory.
 */
export const LONGEST_LINE: number = 16 * 1024 * 1024; // a JSON line may carry a request body

/** Stands for a line that was longer than that. */
export const TOO_LONG: unique symbol = Symbol("a line that is too long");

export class LineSplitter {
  readonly #decoder = new TextDecoder();
  readonly #longest: number;
  #rest = "";
  #isSkipping = false;

  constructor(longest: number = LONGEST_LINE) {
    this.#longest = longest;
  }

  *push(bytes: Uint8Array): Generator<string | typeof TOO_LONG, void> {
    yield* this.#split(this.#decoder.decode(bytes, { stream: true }));
  }

  *end(): Generator<string | typeof TOO_LONG, void> {
    yield* this.#split(this.#decoder.decode());
    if (this.#rest !== "") yield this.#rest;
    this.#rest = "";
  }

  *#split(text: string): Generator<string | typeof TOO_LONG, void> {
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      const line = this.#rest + text.slice(start, end);
      const isTail = this.#isSkipping;
      this.#rest = "";
      this.#isSkipping = false;
      start = end + 1;
      if (isTail) continue;
      yield line.length > this.#longest ? TOO_LONG : line;
    }
    if (this.#isSkipping) return;
    this.#rest += text.slice(start);
    if (this.#rest.length <= this.#longest) return;
    this.#rest = "";
    this.#isSkipping = true;
    yield TOO_LONG;
  }
}
