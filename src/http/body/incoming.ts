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
import { ChunkQueue } from "./chunk-queue.ts";

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

/** What readers read from: the bytes as they came, or what a decoder made of them. */
export interface BodyBuffer {
  /** "open" until everything has come. */
  readonly state: "open" | "ended" | "failed";
  readonly error: unknown;
  reader: BodyReader | null;
  collect(limitBytes: number): void;
  stopCollecting(): void;
  take(): Uint8Array | undefined;
  takeAll(): Uint8Array[];
  drop(): void;
}

/** How much of a body has come. */
export interface Progress {
  /** Bytes from the network so far, before decoding. */
  readonly receivedBytes: number;
  /** What the response announced; `undefined` when it did not. */
  readonly totalBytes: number | undefined;
}

export interface ProgressOptions {
  /**
   * Called for each piece of the response body as it arrives (up to 64 KiB each, not throttled), whether or not somebody reads; not
   * for redirects. It runs in no task, so it must not wait; an error that it throws ends the body with it.
   */
  readonly onProgress?: (progress: Progress) => void;
}

// One socket read of undici is at most 64 KiB. Two let the next one arrive while the first is worked on.
const HIGH_WATER_BYTES = 128 * 1024;
const LOW_WATER_BYTES = 64 * 1024;

export class IncomingBody implements BodyBuffer {
  /** "open" until everything has come. */
  state: "open" | "ended" | "failed" = "open";
  error: unknown = undefined;
  reader: BodyReader | null = null;
  /** What the response announced, or -1. */
  readonly announcedBytes: number;
  receivedBytes = 0;
  /** Who wants to know how much has come. */
  onProgress: ProgressOptions["onProgress"] = undefined;
  readonly #flow: BodyFlow;
  #limitBytes: number;
  readonly #chunks = new ChunkQueue();
  #isPaused = false;
  #isCollecting = false;

  constructor(flow: BodyFlow, announcedBytes: number, limitBytes: number) {
    this.#flow = flow;
    this.announcedBytes = announcedBytes;
    this.#limitBytes = limitBytes;
  }

  /** What has come and was not taken. */
  get bufferedBytes(): number {
    return this.#chunks.bytes;
  }

  /** Raises the limit: what is encoded may be a little longer than what is in it. */
  allowMore(bytes: number): void {
    this.#limitBytes += bytes;
  }

  /** Closes the connection, unless everything has come: whoever reads cannot use this body. */
  refuse(error: unknown): void {
    this.#flow.fail(error);
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
    if (this.#chunks.bytes >= HIGH_WATER_BYTES) this.#pause();
  }

  /** The oldest piece, or `undefined` when there is none now. */
  take(): Uint8Array | undefined {
    const chunk = this.#chunks.shift();
    if (this.#isPaused && this.#chunks.bytes <= LOW_WATER_BYTES) this.#resume();
    return chunk;
  }

  /** Every piece that is there. */
  takeAll(): Uint8Array[] {
    const chunks = this.#chunks.takeAll();
    this.#resume();
    return chunks;
  }

  /** Forgets what is there and what will come. */
  drop(): void {
    this.#chunks.clear();
  }

  /** Called by the transfer. */
  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return; // undici gives such pieces now and then
    this.receivedBytes += chunk.byteLength;
    if (this.receivedBytes > this.#limitBytes) return this.#failTooLarge(`${this.receivedBytes} bytes so far`);
    this.#chunks.push(chunk);
    if (this.onProgress !== undefined && !this.#told(this.onProgress)) return;
    if (!this.#isCollecting && this.#chunks.bytes >= HIGH_WATER_BYTES) this.#pause();
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

  #told(onProgress: NonNullable<ProgressOptions["onProgress"]>): boolean {
    const { receivedBytes, announcedBytes } = this;
    try {
      onProgress({ receivedBytes, totalBytes: announcedBytes === -1 ? undefined : announcedBytes });
    } catch (error) {
      this.#flow.fail(error);
    }
    return this.state === "open"; // it may have closed the response
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
