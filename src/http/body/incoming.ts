/**
 * The body of a response on its way in: a bounded buffer between the connection and whoever reads.
 *
 * While nobody reads, up to `HIGH_WATER_BYTES` are taken in and then the connection is paused; small bodies therefore
 * arrive, and free their connection, even when nobody ever reads them. A reader that collects the whole body lets it
 * run freely up to its limit.
 *
 * What has arrived is never lost: an error comes after the pieces that came before it, and a reader that is cancelled
 * leaves them in the buffer for the next one.
 */
import { BodyTooLarge } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";

/** The connection, as the body sees it. */
export interface BodyFlow {
  readonly subject: RequestSubject;
  pause(): void;
  resume(): void;
  /** Closes the connection; calls `failed` of the body. */
  fail(error: unknown): void;
}

/** Whoever waits for the body; one at a time. */
export interface BodyReader {
  /** A piece has arrived, or the body has ended or failed. */
  bodyChanged(): void;
}

// One socket read of undici is at most 64 KiB. Two let the next one arrive while the first is worked on.
const HIGH_WATER_BYTES = 128 * 1024;
const LOW_WATER_BYTES = 64 * 1024;

export class IncomingBody {
  /** "open" until everything has come. */
  state: "open" | "ended" | "failed" = "open";
  error: unknown = undefined;
  reader: BodyReader | null = null;
  /** What the response announced, or -1. */
  readonly announcedBytes: number;
  receivedBytes = 0;
  bufferedBytes = 0;
  readonly #flow: BodyFlow;
  #limitBytes: number;
  #chunks: Uint8Array[] = [];
  #next = 0;
  #isPaused = false;
  #isCollecting = false;

  constructor(flow: BodyFlow, announcedBytes: number, limitBytes: number) {
    this.#flow = flow;
    this.announcedBytes = announcedBytes;
    this.#limitBytes = limitBytes;
  }

  /** Lets everything come in, up to `limitBytes` in all. */
  collect(limitBytes: number): void {
    this.#isCollecting = true;
    this.#limitBytes = Math.min(this.#limitBytes, limitBytes);
    if (this.announcedBytes > this.#limitBytes) this.#failTooLarge(`${this.announcedBytes} bytes announced`);
    else if (this.receivedBytes > this.#limitBytes) this.#failTooLarge(`${this.receivedBytes} bytes so far`);
    else this.#resume();
  }

  /** Back to the bounded buffer: the collecting reader gave up. */
  stopCollecting(): void {
    this.#isCollecting = false;
    if (this.bufferedBytes >= HIGH_WATER_BYTES) this.#pause();
  }

  /** The oldest piece, or `undefined` when there is none now. */
  take(): Uint8Array | undefined {
    if (this.#next === this.#chunks.length) return undefined;
    const chunk = this.#chunks[this.#next]!;
    this.#next++;
    if (this.#next === this.#chunks.length) {
      this.#chunks = [];
      this.#next = 0;
    } else if (this.#next >= 64) {
      this.#chunks = this.#chunks.slice(this.#next);
      this.#next = 0;
    }
    this.bufferedBytes -= chunk.byteLength;
    if (this.bufferedBytes <= LOW_WATER_BYTES) this.#resume();
    return chunk;
  }

  /** Every piece that is there. */
  takeAll(): Uint8Array[] {
    const chunks = this.#next === 0 ? this.#chunks : this.#chunks.slice(this.#next);
    this.#chunks = [];
    this.#next = 0;
    this.bufferedBytes = 0;
    this.#resume();
    return chunks;
  }

  /** Forgets what is there and what will come. */
  drop(): void {
    this.#chunks = [];
    this.#next = 0;
    this.bufferedBytes = 0;
  }

  /** Called by the transfer. */
  push(chunk: Uint8Array): void {
    this.receivedBytes += chunk.byteLength;
    if (this.receivedBytes > this.#limitBytes) return this.#failTooLarge(`${this.receivedBytes} bytes so far`);
    this.#chunks.push(chunk);
    this.bufferedBytes += chunk.byteLength;
    if (!this.#isCollecting && this.bufferedBytes >= HIGH_WATER_BYTES) this.#pause();
    this.reader?.bodyChanged();
  }

  /** Called by the transfer. */
  ended(): void {
    this.state = "ended";
    this.reader?.bodyChanged();
  }

  /** Called by the transfer. */
  failed(error: unknown): void {
    this.state = "failed";
    this.error = error;
    this.reader?.bodyChanged();
  }

  #failTooLarge(size: string): void {
    this.#flow.fail(new BodyTooLarge(this.#flow.subject, this.#limitBytes, size));
  }

  #pause(): void {
    if (this.#isPaused || this.state !== "open") return;
    this.#isPaused = true;
    this.#flow.pause();
  }

  #resume(): void {
    if (!this.#isPaused || this.state !== "open") return;
    this.#isPaused = false;
    this.#flow.resume(); // may bring the next pieces before it returns
  }
}
