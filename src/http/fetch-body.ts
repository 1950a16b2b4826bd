/**
 * The body of a standard `Request`, which shows nothing but a stream, whatever it was made from.
 *
 * Most of them are short texts. Sent as streams they would go out in chunks, which some servers refuse (411), and a redirect that asks
 * for the body again would fail. So what is there at once, up to 64 KiB, is taken as bytes; a stream that is still
 * waiting for its source after a moment is sent as one.
 */
import { until } from "../core/index.ts";
import type { Coroutine } from "../core/index.ts";
import { moveOnAfter } from "../time/index.ts";

const MOST_BYTES = 64 * 1024;
const MOMENT_MS = 3;

type Reading = Promise<{ readonly done: boolean; readonly value: Uint8Array | undefined }>;

/** A body to send. */
export interface BodyAhead {
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  /** The request has its answer, or never will: a stream that was not begun is let go of. */
  end(): void;
}

/** Cancelling it cancels the stream. */
export function* readAhead(stream: ReadableStream<Uint8Array>): Coroutine<BodyAhead> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let isOver = false;
  try {
    for (let size = 0; size < MOST_BYTES;) {
      const reading = reader.read() as Reading;
      // Twice: on a busy machine the first moment may be over before anything could have happened in it.
      const step = (yield* moveOnAfter(MOMENT_MS, until(reading))) ?? (yield* moveOnAfter(MOMENT_MS, until(reading)));
      if (step === undefined) {
        isOver = true;
        return new StreamAhead(reader, chunks, reading);
      }
      if (step.done) {
        isOver = true;
        return { body: Buffer.concat(chunks), end: () => undefined };
      }
      chunks.push(step.value!);
      size += step.value!.byteLength;
    }
    isOver = true;
    return new StreamAhead(reader, chunks, null);
  } finally {
    if (!isOver) void reader.cancel().catch(() => {});
  }
}

class StreamAhead implements BodyAhead {
  readonly body: AsyncIterable<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #isBegun = false;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, chunks: Uint8Array[], reading: Reading | null) {
    this.#reader = reader;
    this.body = this.#read(chunks, reading);
  }

  end(): void {
    if (!this.#isBegun) void this.#reader.cancel().catch(() => {});
  }

  async *#read(chunks: Uint8Array[], reading: Reading | null): AsyncGenerator<Uint8Array, void, undefined> {
    this.#isBegun = true;
    try {
      yield* chunks;
      let step = await (reading ?? (this.#reader.read() as Reading));
      while (!step.done) {
        yield step.value!;
        step = await (this.#reader.read() as Reading);
      }
    } finally {
      await this.#reader.cancel();
    }
  }
}
