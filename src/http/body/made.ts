/**
 * The body of a response that did not come from the network: from a cache, a mock, or a middleware that changes what came.
 *
 * A body from the network is pushed by its connection; this one is pulled, piece by piece, by whoever reads. So nothing of the
 * source runs while nobody reads, no task has to be kept for it, and a reader that is cancelled cancels what it asked for.
 *
 * What has come is never lost: the whole body may be read again after a read of it was cancelled. Whatever ends the body closes
 * the source, once; one that was never begun is closed, too, since it may hold a file or a connection already.
 */
import { Cancelled, closeSequence, Scope, UsageError } from "../../core/index.ts";
import type { Coroutine, EventLoop, Operation, Sequence, SequenceSource } from "../../core/index.ts";
import { toAsyncIterable } from "../../interop/index.ts";
import { Wait } from "../../lowlevel.ts";
import type { LoopPort, Started, Waiter } from "../../lowlevel.ts";
import { BodyTooLarge, describeRequest, HttpTimeoutError, ResponseClosedError } from "../errors.ts";
import type { RequestSubject } from "../errors.ts";
import type { Holder, Holding, Holdings } from "../holdings.ts";
import { bytesOfPiece, closeQuietly, sequenceOfSource } from "./made-source.ts";
import type { MadeBodySource } from "./made-source.ts";
import type { BodyChunk } from "./sources.ts";

/** A response that another body reads from. */
export interface UnderlyingResponse {
  close(): void;
  discard(): Operation<void>;
}

/** What the body belongs to. */
export interface MadeBodyPlace {
  readonly subject: RequestSubject;
  readonly loop: LoopPort;
  readonly holdings: Holdings | null;
  /** Of the whole request, on the loop's clock. */
  readonly deadline: number;
  readonly totalMs: number;
  /** Limit of the body when it is read in chunks. */
  readonly maxChunkedBytes: number;
}

type BodyUse = "unread" | "read in chunks" | "read as a whole" | "discarded" | "closed";

export class MadeBody implements Holding {
  state: "open" | "ended" | "failed" = "open";
  heldBy: Holder | null = null;
  /** When the body began, on the loop's clock; and how long it took, once it has ended. */
  readonly since: number;
  bodyMs = 0;
  /** Told once, when it has ended in whatever way. */
  onEnd: (() => void) | null = null;
  readonly #place: MadeBodyPlace;
  readonly #underlying: readonly UnderlyingResponse[];
  #source: SequenceSource<BodyChunk> | null;
  #sequence: Sequence<BodyChunk> | null = null;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #receivedBytes = 0;
  #error: unknown = undefined;
  #use: BodyUse = "unread";
  #isBusy = false;

  constructor(source: MadeBodySource, place: MadeBodyPlace, underlying: readonly UnderlyingResponse[]) {
    this.#place = place;
    this.#underlying = underlying;
    this.since = place.loop.now();
    const data = source === null || source === undefined ? NOTHING : bytesOfPiece(source);
    this.#source = data === null ? (source as SequenceSource<BodyChunk>) : null;
    if (data === null) return;
    if (data.byteLength > 0) this.#keep(data);
    this.#end("ended");
  }

  get ending(): this {
    return this;
  }

  get isEnded(): boolean {
    return this.state !== "open";
  }

  /** Gives a body that has not ended to the current scope. */
  adopt(): void {
    if (this.state !== "open") return;
    this.heldBy?.holdings.delete(this);
    this.heldBy = null;
    this.#place.holdings?.adopt(this);
  }

  release(): void {
    this.#place.holdings?.release(this);
  }

  *chunk(): Coroutine<Uint8Array | undefined> {
    this.#begin("read in chunks");
    this.#use = "read in chunks";
    return yield* this.#exclusively(this.#next(this.#place.maxChunkedBytes));
  }

  *collect(limitBytes: number): Coroutine<readonly Uint8Array[]> {
    this.#begin("read as a whole");
    return yield* this.#exclusively(this.#collect(limitBytes));
  }

  *discard(): Coroutine<void> {
    if (this.#isBusy) throw this.#busyError();
    this.#use = "discarded";
    const sequence = this.#sequence ?? this.#openSource();
    this.#finish(new ResponseClosedError(this.#place.subject));
    try {
      if (sequence !== null) yield* closeSequence(sequence);
      for (const response of this.#underlying) yield* response.discard();
    } finally {
      for (const response of this.#underlying) response.close();
    }
  }

  /** Gives up the rest at once; what its source has to wait for to be closed goes on by itself. */
  close(): void {
    this.#use = "closed";
    this.#kept = [];
    this.cancel();
  }

  /** The scope that it belongs to has ended. */
  cancel(): void {
    this.fail(new ResponseClosedError(this.#place.subject));
  }

  /** Ends it with an error for whoever reads. */
  fail(error: unknown): void {
    if (this.state === "open") {
      const sequence = this.#sequence ?? this.#openSource();
      this.#finish(error);
      closeQuietly(sequence);
    }
    for (const response of this.#underlying) response.close();
  }

  iterate(): AsyncIterableIterator<Uint8Array> {
    this.#begin("read in chunks");
    this.#use = "read in chunks";
    const chunks: Sequence<Uint8Array> = {
      next: () => this.#step(),
      close: () => this.close(),
    };
    return toAsyncIterable(chunks, { loop: this.#place.loop as EventLoop, name: "response body" });
  }

  *#step(): Coroutine<IteratorResult<Uint8Array, undefined>> {
    const value = yield* this.chunk();
    return value === undefined ? { done: true, value } : { done: false, value };
  }

  *#collect(limitBytes: number): Coroutine<readonly Uint8Array[]> {
    if (this.#keptBytes > limitBytes) throw this.#tooLarge(limitBytes);
    const kept = this.#kept;
    while (this.state === "open") {
      const chunk = yield* this.#pull(limitBytes);
      if (chunk !== undefined) this.#keep(chunk);
    }
    if (this.state === "failed") return yield* new Settled<never>(this.#place.subject, true, this.#error);
    this.#use = "read as a whole";
    this.#kept = [];
    return kept;
  }

  *#next(limitBytes: number): Coroutine<Uint8Array | undefined> {
    const kept = this.#kept.shift();
    if (kept !== undefined) {
      this.#keptBytes -= kept.byteLength;
      return yield* new Settled<Uint8Array>(this.#place.subject, false, kept);
    }
    while (this.state === "open") {
      const chunk = yield* this.#pull(limitBytes);
      if (chunk !== undefined) return chunk;
    }
    return yield* new Settled<undefined>(this.#place.subject, this.state === "failed", this.#error);
  }

  /** The next piece of the source; `undefined` when it was empty, or there is none. */
  *#pull(limitBytes: number): Coroutine<Uint8Array | undefined> {
    let chunk: Uint8Array | undefined;
    try {
      this.#sequence ??= this.#openSource()!;
      const step = yield* this.#inTime(this.#sequence.next());
      if (this.state !== "open") return undefined; // closed meanwhile
      if (step.done === true) {
        this.#end("ended");
        return undefined;
      }
      chunk = this.#checked(step.value);
    } catch (error) {
      if (error instanceof Cancelled) {
        if (this.#place.holdings?.endsWith(this, error) === true) this.cancel();
        throw error;
      }
      this.fail(error);
      return undefined;
    }
    if (chunk.byteLength === 0) return undefined;
    this.#receivedBytes += chunk.byteLength;
    if (this.#receivedBytes > limitBytes) {
      this.fail(this.#tooLarge(limitBytes));
      return undefined;
    }
    return chunk;
  }

  *#inTime<T>(operation: Operation<T>): Coroutine<T> {
    const { deadline, subject, totalMs } = this.#place;
    if (deadline === Infinity) return yield* operation;
    const scope = Scope.enter({ name: "response body" });
    scope.deadline = deadline;
    const value = yield* scope.run(operation);
    if (!scope.isCaught) return value as T;
    scope.throwUnlessDeadline();
    throw new HttpTimeoutError(subject, "total", totalMs);
  }

  *#exclusively<T>(reading: Operation<T>): Coroutine<T> {
    this.#isBusy = true;
    try {
      return yield* reading;
    } finally {
      this.#isBusy = false;
    }
  }

  /** @throws {UsageError} when the body was used in another way. */
  #begin(use: "read in chunks" | "read as a whole"): void {
    if (this.#isBusy) throw this.#busyError();
    if (this.#use === "unread" || (this.#use === use && use === "read in chunks")) return;
    throw new UsageError(
      `the body of ${describeRequest(this.#place.subject)} was ${this.#use} already; read it once, in one way, and keep the result`,
      "BODY_USED",
    );
  }

  #keep(chunk: Uint8Array): void {
    this.#kept.push(chunk);
    this.#keptBytes += chunk.byteLength;
  }

  #openSource(): Sequence<BodyChunk> | null {
    const source = this.#source;
    this.#source = null;
    if (source === null) return null;
    return sequenceOfSource(source);
  }

  #finish(error: unknown): void {
    if (this.state !== "open") return;
    this.#error = error;
    this.#end("failed");
  }

  #end(state: "ended" | "failed"): void {
    this.state = state;
    this.bodyMs = this.#place.loop.now() - this.since;
    this.heldBy?.holdings.delete(this);
    this.heldBy = null;
    this.#sequence = null;
    this.onEnd?.();
    this.onEnd = null;
  }

  #checked(chunk: unknown): Uint8Array {
    const bytes = bytesOfPiece(chunk);
    if (bytes !== null) return bytes;
    throw new UsageError(
      `the body that was made for ${describeRequest(this.#place.subject)} gave a piece that is neither a string nor bytes (${typeof chunk})`,
    );
  }

  #tooLarge(limitBytes: number): BodyTooLarge {
    return new BodyTooLarge(
      this.#place.subject,
      limitBytes,
      `${Math.max(this.#receivedBytes, this.#keptBytes)} bytes so far`,
    );
  }

  #busyError(): UsageError {
    return new UsageError(
      `the body of ${describeRequest(this.#place.subject)} is being read by another task; one reader at a time`,
      "BODY_BUSY",
    );
  }
}

/**
 * What is there already, as a wait: so that a task which was cancelled hears of that first, and a long body in memory gives way to the
 * host like any other.
 */
class Settled<T> extends Wait<T> {
  readonly #subject: RequestSubject;
  readonly #isFailed: boolean;
  readonly #value: unknown;

  constructor(subject: RequestSubject, isFailed: boolean, value: unknown) {
    super();
    this.#subject = subject;
    this.#isFailed = isFailed;
    this.#value = value;
  }

  get reason(): string {
    return `${describeRequest(this.#subject)}, body`;
  }

  protected start(task: Waiter): Started<T> {
    return this.#isFailed ? task.fail(this, this.#value) : task.complete(this, this.#value as T);
  }

  withdraw(): boolean {
    return true;
  }
}

const NOTHING = new Uint8Array(0);
