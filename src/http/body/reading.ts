/**
 * The ways to read the body of a response: piece by piece, as a whole, not at all; from coroutines and from promise code.
 *
 * `ResponseBody` is what a response keeps, and what its readers keep: while anybody can still get at it, the body is not
 * taken for forgotten. Each reader takes what has arrived, or becomes the body's one reader until something arrives.
 * Whether something outside the loop is pending is said by the transfer, not by the waits here: it knows whether the
 * peer may send.
 */
import { currentScope, UsageError } from "../../core/index.ts";
import type { Cancelled, Operation, Scope } from "../../core/index.ts";
import { Wait } from "../../lowlevel.ts";
import type { LoopPort, Started, Waiter } from "../../lowlevel.ts";
import { Drain } from "./drain.ts";
import { describeRequest } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import type { Holding, Holdings } from "../holdings.ts";
import { DecodedBody } from "./decoded.ts";
import { decodingOf } from "./decoding.ts";
import type { DecodeOptions, Decoding } from "./decoding.ts";
import { encodingsOf } from "./encodings.ts";
import type { Encoding } from "./encodings.ts";
import type { BodyBuffer, BodyReader, ProgressOptions } from "./incoming.ts";
import type { Transfer } from "../transfer.ts";

type BodyUse = "unread" | "read in chunks" | "read as a whole" | "discarded" | "closed";

/** What a session says about the bodies of its responses. */
interface BodyDefaults {
  readonly loop: LoopPort;
  readonly holdings: Holdings;
  readonly decoding: Decoding | null;
}

/** The body of the response that a transfer has brought, read as the request and its session want it. */
export function openBody(
  transfer: Transfer,
  { loop, holdings, decoding }: BodyDefaults,
  options: DecodeOptions & ProgressOptions & { readonly maxBodyBytes?: number },
): ResponseBody {
  if (options.onProgress !== undefined) transfer.incoming!.onProgress = options.onProgress;
  return new ResponseBody(transfer, loop, holdings, decodingOf(options, decoding));
}

export class ResponseBody {
  readonly subject: RequestSubject;
  readonly incoming: BodyBuffer;
  readonly loop: LoopPort;
  /** The content encodings that are undone, in this order; `null` when the bytes are given as they come. */
  readonly encodings: readonly Encoding[] | null;
  readonly #transfer: Transfer;
  readonly #holdings: Holdings;
  readonly #holding: Holding;
  #use: BodyUse = "unread";
  /** For a body that is decoded: who asked for it, since what has arrived and is not read is in no scope. */
  #askedBy: Scope | null = null;

  constructor(transfer: Transfer, loop: LoopPort, holdings: Holdings, decoding: Decoding | null) {
    this.subject = transfer.subject;
    this.loop = loop;
    this.encodings = decoding === null ? null : encodingsOfBody(transfer);
    const incoming = transfer.incoming!;
    if (decoding === null || this.encodings === null) {
      this.incoming = incoming;
      this.#holding = transfer;
    } else {
      const decoded = new DecodedBody(this.subject, incoming, transfer, this.encodings, decoding, loop);
      this.incoming = decoded;
      this.#holding = decoded;
    }
    this.#transfer = transfer;
    this.#holdings = holdings;
    transfer.facade = this;
  }

  /** What ends it from outside: not this object, which must stay free to be forgotten. */
  get ending(): Transfer {
    return this.#transfer;
  }

  /** Gives a body that has not ended to the current scope. */
  adopt(): void {
    if (this.encodings !== null) this.#askedBy = currentScope();
    if (this.#transfer.phase !== "ended") this.#holdings.adopt(this.#holding);
  }

  /** A decoder may have begun to work on a body that has arrived: it ends with the scope that asked for the response. */
  readingBegan(): void {
    if (this.#askedBy === null || this.incoming.state !== "open" || this.#transfer.phase !== "ended") return;
    if (this.#holding.heldBy === null) this.#holdings.adopt(this.#holding, this.#askedBy);
  }

  /** Takes it from its scope. */
  release(): void {
    this.#askedBy = null;
    this.#holdings.release(this.#holding);
  }

  chunk(): Operation<Uint8Array | undefined> {
    return new ChunkWait(this);
  }

  collect(limitBytes: number): Operation<readonly Uint8Array[]> {
    return new CollectWait(this, limitBytes);
  }

  discard(): Operation<void> {
    return new DiscardWait(this, this.#transfer);
  }

  iterate(): AsyncIterableIterator<Uint8Array> {
    this.use("read in chunks");
    return new ChunkIterator(this);
  }

  /** Gives up the rest at once. */
  close(): void {
    this.#use = "closed";
    this.#transfer.cancel();
    this.incoming.drop();
  }

  /** @throws {UsageError} when the body was used in another way. */
  use(use: "read in chunks" | "read as a whole"): void {
    if (this.#use !== "unread" && (this.#use !== use || use === "read as a whole")) {
      throw new UsageError(
        `the body of ${describeRequest(this.subject)} was ${this.#use} already; read it once, in one way, and keep the result`,
        "BODY_USED",
      );
    }
    if (this.incoming.reader !== null) throw this.#busyError();
    if (use === "read in chunks") this.#use = use;
  }

  /** The whole body was handed over. Until then an attempt that was cancelled can be repeated. */
  wasCollected(): void {
    this.#use = "read as a whole";
  }

  beginDiscard(): void {
    if (this.incoming.reader !== null) throw this.#busyError();
    this.#use = "discarded";
    if (this.encodings !== null) this.incoming.drop();
  }

  /** Closes the connection if the scope that it belongs to is being cancelled; a timeout around the read alone keeps it. */
  readerCancelled(cancelled: Cancelled | null): void {
    if (cancelled !== null && this.#holdings.endsWith(this.#holding, cancelled)) this.#holding.cancel();
  }

  #busyError(): UsageError {
    return new UsageError(
      `the body of ${describeRequest(this.subject)} is being read by another task; one reader at a time`,
      "BODY_BUSY",
    );
  }
}

/** Half a body cannot be decoded, and an answer without one has nothing to decode. */
function encodingsOfBody({ status, subject, responseHeaders }: Transfer): readonly Encoding[] | null {
  const header = responseHeaders["content-encoding"];
  if (header === undefined || status === 206 || status === 204 || status === 304 || subject.method === "HEAD")
    return null;
  return encodingsOf(header);
}

abstract class BodyWait<T> extends Wait<T> implements BodyReader {
  protected readonly body: ResponseBody;
  protected waiter: Waiter | null = null;

  constructor(body: ResponseBody) {
    super();
    this.body = body;
  }

  get reason(): string {
    return `${describeRequest(this.body.subject)}, body`;
  }

  protected parkAsReader(task: Waiter): Started<never> {
    this.body.incoming.reader = this;
    this.waiter = task;
    return task.park(this);
  }

  protected leave(): Waiter {
    const waiter = this.waiter!;
    this.body.incoming.reader = null;
    this.waiter = null;
    return waiter;
  }

  withdraw(_task: Waiter, cancelled: Cancelled | null): boolean {
    this.leave();
    this.body.readerCancelled(cancelled);
    return true;
  }

  abstract bodyChanged(): void;
}

class ChunkWait extends BodyWait<Uint8Array | undefined> {
  protected start(task: Waiter): Started<Uint8Array | undefined> {
    this.body.use("read in chunks");
    const { incoming } = this.body;
    const chunk = incoming.take();
    this.body.readingBegan();
    if (chunk !== undefined || incoming.state === "ended") return task.complete(this, chunk);
    if (incoming.state === "failed") return task.fail(this, incoming.error);
    return this.parkAsReader(task);
  }

  bodyChanged(): void {
    const { incoming } = this.body;
    const chunk = incoming.take();
    if (chunk !== undefined || incoming.state === "ended") this.leave().wake(this, chunk);
    else if (incoming.state === "failed") this.leave().wakeError(this, incoming.error);
  }
}

class CollectWait extends BodyWait<readonly Uint8Array[]> {
  readonly #limitBytes: number;

  constructor(body: ResponseBody, limitBytes: number) {
    super(body);
    this.#limitBytes = limitBytes;
  }

  protected start(task: Waiter): Started<readonly Uint8Array[]> {
    this.body.use("read as a whole");
    const { incoming } = this.body;
    incoming.collect(this.#limitBytes);
    this.body.readingBegan();
    if (incoming.state === "failed") return task.fail(this, incoming.error);
    if (incoming.state === "ended") return task.complete(this, this.#takeAll());
    return this.parkAsReader(task);
  }

  override withdraw(task: Waiter, cancelled: Cancelled | null): boolean {
    super.withdraw(task, cancelled);
    this.body.incoming.stopCollecting();
    return true;
  }

  bodyChanged(): void {
    const { incoming } = this.body;
    if (incoming.state === "open") return;
    const waiter = this.leave();
    if (incoming.state === "ended") waiter.wake(this, this.#takeAll());
    else waiter.wakeError(this, incoming.error);
  }

  #takeAll(): readonly Uint8Array[] {
    this.body.wasCollected();
    return this.body.incoming.takeAll();
  }
}

class DiscardWait extends Wait<void> {
  readonly #body: ResponseBody;
  readonly #transfer: Transfer;
  #drain: Drain | null = null;

  constructor(body: ResponseBody, transfer: Transfer) {
    super();
    this.#body = body;
    this.#transfer = transfer;
  }

  get reason(): string {
    return `${describeRequest(this.#body.subject)}, body to discard`;
  }

  protected start(task: Waiter): Started<void> {
    this.#body.beginDiscard();
    let isOver = false;
    this.#drain = new Drain(this.#body.loop, this.#transfer, 0, () => {
      isOver = true;
      task.wake(this, undefined);
    });
    this.#drain.begin();
    return isOver ? task.complete(this, undefined) : task.park(this);
  }

  /** Whoever has no time to drain closes. */
  withdraw(): boolean {
    this.#drain?.stop();
    this.#transfer.cancel();
    return true;
  }
}

type ChunkResult = IteratorResult<Uint8Array, undefined>;

interface Pending {
  readonly resolve: (result: ChunkResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Reads for promise code. */
class ChunkIterator implements AsyncIterableIterator<Uint8Array>, BodyReader {
  readonly #body: ResponseBody;
  #pending: Pending | null = null;

  constructor(body: ResponseBody) {
    this.#body = body;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<ChunkResult> {
    this.#body.use("read in chunks");
    const { incoming } = this.#body;
    const chunk = incoming.take();
    if (chunk !== undefined) return { done: false, value: chunk };
    if (incoming.state === "ended") return { done: true, value: undefined };
    if (incoming.state === "failed") throw incoming.error;
    incoming.reader = this;
    return await new Promise<ChunkResult>((resolve, reject) => {
      this.#pending = { resolve, reject };
    });
  }

  async return(): Promise<ChunkResult> {
    this.#body.close();
    return { done: true, value: undefined };
  }

  bodyChanged(): void {
    const { incoming } = this.#body;
    const pending = this.#pending!;
    const chunk = incoming.take();
    if (chunk === undefined && incoming.state === "open") return;
    this.#pending = null;
    incoming.reader = null;
    if (chunk !== undefined) pending.resolve({ done: false, value: chunk });
    else if (incoming.state === "ended") pending.resolve({ done: true, value: undefined });
    else pending.reject(incoming.error);
  }
}
