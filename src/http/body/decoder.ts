/**
 * The zlib streams of one body, piped into each other, and what the loop has to know of them.
 *
 * While they work the loop is told that something outside is pending, since Node's thread pool is; while the reader holds them back
 * it is not, since then it is the reader who has to do something.
 */
import type { Transform } from "node:stream";
import type { LoopPort, Runnable } from "../../lowlevel.ts";
import type { Encoding } from "./encodings.ts";

/** Makes a resting loop look around again. */
const LOOK_AGAIN: Runnable = { run: () => undefined };

/** Who owns a decoder. */
export interface DecoderOwner {
  decoderGave(chunk: Uint8Array): void;
  stageGave(bytes: number): void;
  decoderIdle(): void;
  decoderEnded(usedBytes: number): void;
  decoderFailed(error: unknown): void;
}

/** The zlib streams of a body, one for each encoding, and the hold on the loop while they work. */
export class Decoder {
  /** Whether it has not used up yet what it was given. */
  isBusy = false;
  readonly #owner: DecoderOwner;
  readonly #loop: LoopPort;
  readonly #stages: readonly Transform[];
  readonly #first: Transform;
  readonly #last: Transform;
  #isPaused = false;
  #isHolding = false;
  #isOver = false;

  constructor(encodings: readonly Encoding[], firstByte: number, owner: DecoderOwner, loop: LoopPort) {
    this.#owner = owner;
    this.#loop = loop;
    // Only the first one can be asked about its first byte; raw deflate inside of another encoding is nobody's habit.
    this.#stages = encodings.map((encoding, index) =>
      encoding.createDecoder(index === 0 ? firstByte : ZLIB_FIRST_BYTE),
    );
    this.#first = this.#stages[0]!;
    this.#last = this.#stages.at(-1)!;
    for (const [index, stage] of this.#stages.entries()) {
      stage.on("error", (error) => this.#failed(error));
      const next = this.#stages[index + 1];
      if (next === undefined) continue;
      let given = 0;
      stage.on("data", (chunk: Uint8Array) => owner.stageGave((given += chunk.byteLength)));
      stage.pipe(next);
    }
    this.#last.on("data", (chunk: Uint8Array) => {
      if (!this.#isOver) owner.decoderGave(chunk);
    });
    this.#last.on("end", () => this.#ended());
  }

  write(chunk: Uint8Array): void {
    this.isBusy = true;
    this.#hold();
    this.#first.write(chunk, () => {
      if (this.#isOver) return;
      this.isBusy = false;
      this.#letGo();
      this.#owner.decoderIdle();
    });
  }

  end(): void {
    this.isBusy = true;
    this.#hold();
    this.#first.end();
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#last.pause();
    this.#letGo(); // it is the reader now who has to do something
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.isBusy) this.#hold();
    this.#last.resume();
  }

  destroy(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#letGo();
    for (const stage of this.#stages) stage.destroy(); // frees the handle, or as soon as the thread pool is done with it
  }

  #ended(): void {
    if (this.#isOver) return;
    this.#owner.decoderEnded((this.#first as Transform & { readonly bytesWritten: number }).bytesWritten);
  }

  #failed(error: unknown): void {
    if (this.#isOver) return;
    this.#owner.decoderFailed(error);
  }

  #hold(): void {
    if (this.#isHolding || this.#isPaused) return;
    this.#isHolding = true;
    this.#loop.outside++;
  }

  #letGo(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    if (--this.#loop.outside === 0) this.#loop.enqueue(LOOK_AGAIN);
  }
}

const ZLIB_FIRST_BYTE = 0x78;
