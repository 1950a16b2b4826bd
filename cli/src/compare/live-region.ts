/** The last lines of a terminal, drawn anew again and again in the same place. */
import type { WriteStream } from "node:tty";

const HIDE_CURSOR = "\u001B[?25l";
const SHOW_CURSOR = "\u001B[?25h";
const CLEAR_TO_END = "\u001B[0J";
const upBy = (lines: number): string => (lines > 0 ? `\u001B[${lines}A` : "");

export class LiveRegion {
  readonly #stream: WriteStream;
  #height = 0;

  constructor(stream: WriteStream) {
    this.#stream = stream;
    stream.write(HIDE_CURSOR);
  }

  /** Draws `lines` in place of the ones before. A line must fit the width; more lines than the screen has are left out. */
  draw(lines: readonly string[]): void {
    const shown = lines.slice(0, Math.max(1, this.#stream.rows - 1));
    this.#stream.write(`\r${upBy(this.#height)}${CLEAR_TO_END}${shown.map((line) => `${line}\n`).join("")}`);
    this.#height = shown.length;
  }

  /** Takes the region away and gives the cursor back. */
  clear(): void {
    this.draw([]);
    this.#stream.write(SHOW_CURSOR);
  }
}
