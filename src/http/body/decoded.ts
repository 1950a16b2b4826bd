/**
 * A body with its content encodings undone, between the bytes from the network and whoever reads.
 *
 * It reads the incoming body as any reader does, and is read as if it were one, so that all ways to read work on it. It
 * starts when somebody reads for the first time, and holds back: with 128 KiB of output waiting, the decoder is paused,
 * so that no more input is taken, so that in the end the connection stops.
 *
 * Bodies that have arrived as a whole and are small are decoded in one call. That costs 15–120 µs up to 64 KiB of text,
 * a tenth to a quarter of what a stream costs, which makes a trip to Node's thread pool for each piece. Whoever wants the
 * whole body therefore lets up to 64 KiB come before a stream is made.
 *
 * A small body can decode to a very large one. Whoever collects has a limit in bytes, which counts what was decoded. Whoever
 * reads in pieces need not keep them, so there the limit is a ratio, checked after the first mebibyte.
 */
import type { LoopPort } from "../../lowlevel.ts";
import { BodyTooLarge, DecodeError, ResponseClosedError, SessionClosedError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import type { Holder, Holding } from "../holdings.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { Decoder } from "./decoder.ts";
import type { Decoding } from "./decoding.ts";
import { MAX_ENCODINGS, RestError } from "./encodings.ts";
import type { Encoding } from "./encodings.ts";
import type { BodyBuffer, BodyReader, IncomingBody } from "./incoming.ts";

const FREE_BYTES = 1024 * 1024;
const WHOLE_INPUT_BYTES = 64 * 1024;
const WHOLE_OUTPUT_BYTES = 1024 * 1024; // takes about a millisecond; what is larger must not hold up the loop
const HIGH_WATER_BYTES = 128 * 1024;
const LOW_WATER_BYTES = 64 * 1024;
const REST_BYTES = 64 * 1024; // after the end of the data
/** What an encoding adds to a body that cannot be compressed. */
const ENCODING_OVERHEAD_BYTES: number = 16 * 1024;

/** The connection that the body comes on. */
interface BodyConnection {
  /** Closes it, unless it is free already. */
  cancel(): void;
}

export class DecodedBody implements BodyBuffer, BodyReader, Holding {
  state: "open" | "ended" | "failed" = "open";
  error: unknown = undefined;
  reader: BodyReader | null = null;
  /** Which scope it ends with. A body that has arrived and that nobody has begun to read holds nothing, and is in none. */
  heldBy: Holder | null = null;
  readonly #subject: RequestSubject;
  readonly #incoming: IncomingBody;
  readonly #connection: BodyConnection;
  readonly #encodings: readonly Encoding[];
  readonly #loop: LoopPort;
  readonly #maxInflation: number;
  #limitBytes: number;
  readonly #chunks = new ChunkQueue();
  #decodedBytes = 0;
  #fedBytes = 0;
  #restBytes = 0;
  #isBegun = false;
  #isAdvancing = false;
  #isCollecting = false;
  #isWhole = false;
  #decoder: Decoder | null = null;

  constructor(
    subject: RequestSubject,
    incoming: IncomingBody,
    connection: BodyConnection,
    encodings: readonly Encoding[],
    decoding: Decoding,
    loop: LoopPort,
  ) {
    this.#subject = subject;
    this.#incoming = incoming;
    this.#connection = connection;
    this.#encodings = encodings;
    this.#loop = loop;
    this.#limitBytes = decoding.limitBytes;
    this.#maxInflation = decoding.maxInflation;
    incoming.allowMore(ENCODING_OVERHEAD_BYTES);
    incoming.reader = this;
  }

  collect(limitBytes: number): void {
    this.#isCollecting = true;
    this.#limitBytes = Math.min(this.#limitBytes, limitBytes);
    // What has a limit of its own stays as it is; this one only spares us from decoding what is announced as too large.
    if (this.#incoming.state === "open" && this.#incoming.announcedBytes > this.#limitBytes + ENCODING_OVERHEAD_BYTES) {
      this.#fail(this.#tooLarge(`${this.#incoming.announcedBytes} bytes announced`));
    } else if (this.#decodedBytes > this.#limitBytes) this.#fail(this.#tooLarge(`${this.#decodedBytes} bytes so far`));
    else {
      this.#decoder?.resume();
      this.#advance();
    }
  }

  stopCollecting(): void {
    this.#isCollecting = false;
    if (this.#chunks.bytes >= HIGH_WATER_BYTES) this.#decoder?.pause();
  }

  take(): Uint8Array | undefined {
    if (this.#chunks.isEmpty) this.#advance();
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return undefined;
    if (this.#chunks.bytes <= LOW_WATER_BYTES) {
      this.#decoder?.resume();
      this.#advance();
    }
    return chunk;
  }

  takeAll(): Uint8Array[] {
    return this.#chunks.takeAll();
  }

  /** Lets go of everything, the decoder first of all. */
  drop(): void {
    this.#chunks.clear();
    this.#incoming.drop();
    if (this.state === "open") {
      this.state = "failed";
      this.error = new ResponseClosedError(this.#subject);
    }
    this.#release();
  }

  /** Its scope has come to its end, or nobody is interested any more: closes the connection, frees the decoder. */
  cancel(): void {
    this.#connection.cancel(); // tells the incoming body, unless that has ended
    if (this.state === "open") this.#fail(new ResponseClosedError(this.#subject));
  }

  /** From the incoming body. */
  bodyChanged(): void {
    if (this.#isBegun) {
      const { error } = this.#incoming;
      // Whoever closed does not read on; after any other failure what had come is decoded first.
      if (error instanceof ResponseClosedError || error instanceof SessionClosedError) this.#fail(error);
      else this.#advance();
    } else if (this.#incoming.state !== "open") this.#leaveScope();
  }

  #leaveScope(): void {
    this.heldBy?.holdings.delete(this);
    this.heldBy = null;
  }

  /** Does what can be done now: takes input if there is room for its output, or notices the end. */
  #advance(): void {
    // Taking a piece may bring the next one before the first one is in the decoder.
    if (this.state !== "open" || this.#isAdvancing) return;
    this.#isAdvancing = true;
    this.#isBegun = true;
    if (this.#isWhole) this.#awaitEnd();
    else if (this.#decoder === null) this.#start();
    else if (!this.#decoder.isBusy) this.#feed(this.#decoder);
    this.#isAdvancing = false;
  }

  /** Whether to decode at once, or as a stream, or to wait until that can be told. */
  #start(): void {
    if (this.#encodings.length > MAX_ENCODINGS) {
      const cause = new Error(`${this.#encodings.length} content encodings; at most ${MAX_ENCODINGS} are undone`);
      return this.#fail(new DecodeError(this.#subject, "the response body is encoded too often", cause));
    }
    const { state, bufferedBytes } = this.#incoming;
    if (bufferedBytes <= WHOLE_INPUT_BYTES) {
      if (state === "ended") return this.#decodeWhole();
      if (state === "open" && this.#isCollecting) return;
    }
    let first = this.#incoming.take();
    while (first?.byteLength === 0) first = this.#incoming.take();
    if (first !== undefined) this.#stream(first);
    else if (state === "failed") this.#fail(this.#incoming.error);
  }

  #stream(first: Uint8Array): void {
    if (this.state !== "open") return; // the piece that was taken let in the next one, which was one too many
    this.#decoder = new Decoder(this.#encodings, first[0]!, this, this.#loop);
    this.#write(this.#decoder, first);
  }

  #decodeWhole(): void {
    const pieces = this.#incoming.takeAll();
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    if (bytes.byteLength === 0) return this.#end(); // an answer to HEAD, a 304: there was nothing to encode
    let decoded: Uint8Array = bytes;
    try {
      for (const encoding of this.#encodings) decoded = encoding.decode(decoded, WHOLE_OUTPUT_BYTES);
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") return this.#stream(bytes);
      return this.#fail(this.#corrupt(error));
    }
    this.#fedBytes = bytes.byteLength;
    if (decoded.byteLength > 0) this.decoderGave(decoded);
    if (this.state === "open") this.#end();
  }

  #feed(decoder: Decoder): void {
    if (!this.#isCollecting && this.#chunks.bytes >= HIGH_WATER_BYTES) return;
    const chunk = this.#incoming.take();
    if (chunk !== undefined) this.#write(decoder, chunk);
    else if (this.#incoming.state === "ended") decoder.end();
    else if (this.#incoming.state === "failed") this.#fail(this.#incoming.error);
  }

  #write(decoder: Decoder, chunk: Uint8Array): void {
    if (this.state !== "open") return;
    this.#fedBytes += chunk.byteLength;
    decoder.write(chunk);
  }

  // From the decoder

  decoderGave(chunk: Uint8Array): void {
    if (this.state !== "open") return;
    this.#decodedBytes += chunk.byteLength;
    if (this.#decodedBytes > this.#limitBytes) {
      return this.#fail(this.#tooLarge(`${this.#decodedBytes} bytes so far, decoded`));
    }
    if (!this.#isCollecting && this.isInflated(this.#decodedBytes)) return this.#fail(this.#inflated());
    this.#chunks.push(chunk);
    if (!this.#isCollecting && this.#chunks.bytes >= HIGH_WATER_BYTES) this.#decoder?.pause();
    this.reader?.bodyChanged();
  }

  /** What one decoder has given to the next. */
  stageGave(bytes: number): void {
    if (this.state === "open" && this.isInflated(bytes)) this.#fail(this.#inflated());
  }

  isInflated(bytes: number): boolean {
    return bytes > FREE_BYTES && bytes > this.#fedBytes * this.#maxInflation;
  }

  /** It has used up what it was given. */
  decoderIdle(): void {
    this.#advance();
  }

  /** It has come to the end of the data, perhaps before the end of the body. @param usedBytes Of what it was given. */
  decoderEnded(usedBytes: number): void {
    if (this.state !== "open") return;
    this.#release();
    this.#isWhole = true;
    this.#restBytes = this.#fedBytes - usedBytes;
    this.#awaitEnd();
  }

  decoderFailed(error: unknown): void {
    if (this.state === "open") this.#fail(this.#corrupt(error));
  }

  /** The body has ended when the connection has; what else comes until then is of no use. */
  #awaitEnd(): void {
    for (let rest = this.#incoming.take(); rest !== undefined; rest = this.#incoming.take()) {
      this.#restBytes += rest.byteLength;
    }
    const isTooMuch = this.#restBytes > REST_BYTES;
    if (this.#restBytes > 0 && (isTooMuch || !this.#encodings[0]!.ignoresRest)) {
      this.#fail(this.#corrupt(new RestError(this.#encodings[0]!.name)));
    } else if (this.#incoming.state === "ended") this.#end();
    else if (this.#incoming.state === "failed") this.#fail(this.#incoming.error);
  }

  #end(): void {
    this.state = "ended";
    this.#release();
    this.reader?.bodyChanged();
  }

  #fail(error: unknown): void {
    this.state = "failed";
    this.error = error;
    this.#release();
    this.#incoming.drop();
    this.#incoming.refuse(error);
    this.reader?.bodyChanged();
  }

  /** Frees the decoder, by the call. */
  #release(): void {
    this.#decoder?.destroy();
    this.#decoder = null;
    if (this.state === "open") return;
    this.#leaveScope();
    if (this.#incoming.reader === this) this.#incoming.reader = null;
  }

  #corrupt(cause: unknown): DecodeError {
    const names = this.#encodings.map((encoding) => encoding.name).reverse();
    return new DecodeError(
      this.#subject,
      `the response body is not valid ${names.join(", ")}, or was cut short`,
      cause,
    );
  }

  #tooLarge(size: string): BodyTooLarge {
    return new BodyTooLarge(this.#subject, this.#limitBytes, size, true);
  }

  #inflated(): BodyTooLarge {
    const limit = Math.max(FREE_BYTES, Math.floor(this.#fedBytes * this.#maxInflation));
    const size = `decoded from ${this.#fedBytes} bytes`;
    const advice = `that is more than ${this.#maxInflation} times as much, as of a decompression bomb; if it is none, raise maxInflation`;
    return new BodyTooLarge(this.#subject, limit, size, true, advice);
  }
}
