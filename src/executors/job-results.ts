/**
 * `map` as a sequence: results as they are taken, and no more work under way than the window allows.
 *
 * Nothing runs on its own here. Whoever takes a result also takes items from the source and submits them, until the window is
 * full; the workers do the rest. So the sequence needs no task, and one that nobody takes from does nothing.
 *
 * Items travel in chunks, which is what makes small jobs cheap: one message there and one back for many items. Taking a result
 * that has arrived is one step without a wait.
 */
import { closeSequence, QueuedWait, sequenceOf, Wait, WaitQueue } from "../core/index.ts";
import type { Coroutine, Operation, Sequence, SequenceSource, Started, Suspend, Waiter } from "../core/index.ts";
import { select } from "../channels/index.ts";
import type { PendingJob } from "./pending-job.ts";
import type { JobEnd } from "./pool.ts";

type Step<T> = IteratorResult<T, undefined>;

/** The executor as a map needs it. */
export interface MapHost {
  readonly isOutside: boolean;
  /** A job for one chunk. */
  makeChunk(items: readonly unknown[]): PendingJob;
  /** Puts it in line, if there is room. */
  place(pending: PendingJob): boolean;
  /** Waits for room and puts it in line. */
  admit(pending: PendingJob): Operation<void>;
  /** The failure of a chunk, for the item of the whole map. */
  failureOf(error: unknown, firstIndex: number): unknown;
  /** It has given its last result, or was closed. */
  left(): void;
}

export interface MapPlan {
  readonly name: string;
  readonly chunkSize: number;
  readonly bufferSize: number;
  readonly ordered: boolean;
}

interface Batch {
  values: readonly unknown[];
  failure: { readonly error: unknown } | null;
}

interface Chunk {
  readonly pending: PendingJob;
  readonly firstIndex: number;
  readonly size: number;
  batch: Batch | null;
}

const END: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined });

export class JobResults<T> implements Sequence<T> {
  readonly plan: MapPlan;
  readonly #host: MapHost;
  /** Set for a source that gives at once. */
  readonly #iterator: Iterator<unknown, unknown> | null;
  readonly #source: Sequence<unknown> | null;
  readonly #changed = new WaitQueue<void, Changed>();
  /** Under way, in the order of the items. */
  readonly #chunks = new Set<Chunk>();
  #batches: Batch[] = [];
  #at = 0;
  /** Items that were taken and whose results were not. */
  #outstanding = 0;
  #taken = 0;
  #gathering: unknown[] = [];
  #unplaced: Chunk | null = null;
  #isSourceEnded = false;
  #isClosed = false;
  readonly #step: Operation<Step<T>>;

  constructor(host: MapHost, inputs: SequenceSource<unknown>, plan: MapPlan) {
    this.plan = plan;
    this.#host = host;
    const it = inputs as Partial<Iterable<unknown> & AsyncIterable<unknown>>;
    const isPlain = typeof it?.[Symbol.asyncIterator] !== "function" && typeof it?.[Symbol.iterator] === "function";
    const sequence = sequenceOf(inputs); // refuses what is no source
    this.#iterator = isPlain ? (inputs as Iterable<unknown>)[Symbol.iterator]() : null;
    this.#source = isPlain ? null : sequence;
    this.#step = { [Symbol.iterator]: () => this.#begin() };
  }

  /** Waits for the next result, or for the end. Cancelling takes none. */
  next(): Operation<Step<T>> {
    return this.#step;
  }

  close(): Operation<void> {
    const waits = this.#abandon("nobody takes the results any more");
    return {
      [Symbol.iterator]: () => settleAll(waits, this.#isSourceEnded ? null : this.#source)[Symbol.iterator](),
    };
  }

  get isOutside(): boolean {
    return this.#host.isOutside;
  }

  /** @internal */
  takeReady(): Step<T> | null {
    const batch = this.#batches[0];
    if (batch === undefined) return null;
    const value = batch.values[this.#at++] as T;
    this.#outstanding--;
    if (this.#at >= batch.values.length && batch.failure === null) {
      this.#batches.shift();
      this.#at = 0;
    }
    return { done: false, value };
  }

  #begin(): Iterator<Suspend, Step<T>, unknown> {
    const batch = this.#batches[0];
    return batch !== undefined && this.#at < batch.values.length ? new TakeReady(this) : this.#advance();
  }

  *#advance(): Coroutine<Step<T>> {
    for (;;) {
      const batch = this.#batches[0];
      if (batch !== undefined) {
        if (this.#at < batch.values.length) return yield* new TakeReady(this);
        this.#batches.shift();
        this.#at = 0;
        if (batch.failure === null) continue;
        this.#abandon("an item failed");
        this.#batches = [];
        throw batch.failure.error;
      }
      if (this.#isClosed) return END;
      if (this.#unplaced !== null && this.#chunks.size === 0) yield* this.#placeWaiting(this.#unplaced);
      this.#fill();
      if (this.#batches.length > 0) continue;
      if (this.#chunks.size === 0 && this.#unplaced === null && this.#isSourceEnded) {
        this.#abandon("there are no more items");
        return END;
      }
      yield* this.#wait();
    }
  }

  *#placeWaiting(chunk: Chunk): Coroutine<void> {
    yield* this.#host.admit(chunk.pending);
    if (this.#unplaced !== chunk) return; // somebody else who takes has seen to it, or the map was closed
    this.#unplaced = null;
    this.#follow(chunk);
  }

  *#wait(): Coroutine<void> {
    const source = this.#source;
    const mayPull = source !== null && !this.#isSourceEnded && this.#unplaced === null && this.#hasRoom;
    if (!mayPull) {
      if (this.#chunks.size > 0) yield* new Changed(this, this.#changed as never);
      return;
    }
    const changed = new Changed(this, this.#changed as never);
    const next = this.#chunks.size === 0 ? null : yield* select({ changed, item: source.next() });
    if (next === null) this.#add(yield* source.next());
    else if (next.key === "item") this.#add(next.value);
  }

  #add(step: Step<unknown>): void {
    if (this.#isClosed) return; // by somebody else, while this one waited for the source
    if (step.done === true) this.#isSourceEnded = true;
    else this.#gathering.push(step.value);
    if (this.#gathering.length >= this.plan.chunkSize || (this.#isSourceEnded && this.#gathering.length > 0)) {
      this.#submit();
    }
  }

  get #hasRoom(): boolean {
    return this.#outstanding === 0 || this.#outstanding + this.plan.chunkSize <= this.plan.bufferSize;
  }

  /** Takes what the source gives at once. */
  #fill(): void {
    const iterator = this.#iterator;
    if (this.#unplaced !== null) this.#place(this.#unplaced);
    if (iterator === null) return;
    while (!this.#isSourceEnded && this.#unplaced === null && this.#hasRoom) {
      while (this.#gathering.length < this.plan.chunkSize) {
        const step = iterator.next();
        if (step.done === true) {
          this.#isSourceEnded = true;
          break;
        }
        this.#gathering.push(step.value);
      }
      if (this.#gathering.length > 0) this.#submit();
    }
  }

  #submit(): void {
    const items = this.#gathering;
    this.#gathering = [];
    const chunk: Chunk = {
      pending: this.#host.makeChunk(items),
      firstIndex: this.#taken,
      size: items.length,
      batch: null,
    };
    this.#taken += items.length;
    this.#outstanding += items.length;
    this.#place(chunk);
  }

  #place(chunk: Chunk): void {
    if (!this.#host.place(chunk.pending)) {
      this.#unplaced = chunk;
      return;
    }
    this.#unplaced = null;
    this.#follow(chunk);
  }

  #follow(chunk: Chunk): void {
    this.#chunks.add(chunk);
    if (chunk.pending.end !== null) this.#settled(chunk, chunk.pending.end);
    else chunk.pending.onSettled = (end) => this.#settled(chunk, end);
  }

  #settled(chunk: Chunk, end: JobEnd): void {
    if (this.#isClosed) {
      this.#chunks.delete(chunk);
      return;
    }
    chunk.batch = batchOf(chunk, end, this.#host);
    if (!this.plan.ordered) this.#deliver(chunk);
    else {
      for (const first of this.#chunks) {
        if (first.batch === null) break;
        this.#deliver(first);
      }
    }
    if (this.#batches.length > 0)
      for (let it = this.#changed.shift(); it !== null; it = this.#changed.shift()) it.end();
  }

  #deliver(chunk: Chunk): void {
    this.#chunks.delete(chunk);
    const batch = chunk.batch!;
    this.#outstanding -= chunk.size - batch.values.length;
    if (batch.values.length > 0 || batch.failure !== null) this.#batches.push(batch);
  }

  #abandon(reason: string): PendingJob[] {
    if (this.#isClosed) return [];
    this.#isClosed = true;
    this.#gathering = [];
    this.#unplaced?.pending.cancel(reason); // somebody may wait for room for it
    this.#unplaced = null;
    this.#batches = [];
    this.#at = 0;
    this.#host.left();
    const left: PendingJob[] = [];
    for (const { pending } of [...this.#chunks]) if (pending.cancel(reason) === "requested") left.push(pending);
    if (!this.#isSourceEnded) this.#iterator?.return?.();
    for (let it = this.#changed.shift(); it !== null; it = this.#changed.shift()) it.end();
    return left;
  }
}

function batchOf(chunk: Chunk, end: JobEnd, host: MapHost): Batch {
  if (end.status === "succeeded") return { values: end.value as readonly unknown[], failure: null };
  if (end.status === "cancelled") return { values: [], failure: { error: host.failureOf(end.reason, -1) } };
  return { values: end.done ?? [], failure: { error: host.failureOf(end.error, chunk.firstIndex) } };
}

function* settleAll(jobs: readonly PendingJob[], source: Sequence<unknown> | null): Coroutine<void> {
  for (const job of jobs) yield* job;
  if (source !== null) yield* closeSequence(source);
}

class TakeReady<T> extends Wait<Step<T>> {
  readonly #results: JobResults<T>;

  constructor(results: JobResults<T>) {
    super();
    this.#results = results;
  }

  get reason(): string {
    return `a result of ${this.#results.plan.name} that is there`;
  }

  protected start(task: Waiter): Started<Step<T>> {
    return task.complete(this, this.#results.takeReady()!);
  }

  withdraw(): boolean {
    return true;
  }
}

/** Something has arrived. */
class Changed extends QueuedWait<void> {
  readonly #results: { readonly plan: MapPlan; readonly isOutside: boolean };

  constructor(results: { readonly plan: MapPlan; readonly isOutside: boolean }, line: WaitQueue<void, never>) {
    super(line);
    this.#results = results;
  }

  get reason(): string {
    return `the next result of ${this.#results.plan.name}`;
  }

  override get external(): boolean {
    return this.#results.isOutside;
  }

  protected attempt(): null {
    return null;
  }
}
