/**
 * Saves small bodies in a thread of its own, many with one message.
 *
 * A small file is four calls of the system, 60 to 100 µs in all: more than the request that brought it. Through Node's thread pool they
 * cost four times that, and in the main thread nothing else runs meanwhile. So what has become complete is copied into one buffer, handed
 * over (not copied again), and saved over there by calls that wait; the answer for all of them is one message.
 *
 * A message costs more than a file does. So a batch waits until it is worth one, or some milliseconds: without that there were 1,800 of them
 * for 20,000 files, many with one or two. At most two batches are over there: one that is being saved, and the one after it, so that the thread
 * need not wait. What becomes complete meanwhile is the third. So batches are as large as the disk is slow, and there are few buffers.
 *
 * The first files of a run are saved here: a few are quicker so, and the thread takes 30 ms to start. A disk that makes everybody wait is
 * noticed by that time as well.
 *
 * Rejected: several threads (the file system serialises the creation of files in a folder); writing without renaming (a file that has its
 * name must be complete); temporary names in a folder of their own (no quicker where a folder has some hundred files, a quarter quicker in
 * one of 5,000, and a rename need not work between any two folders).
 */
import { Worker } from "node:worker_threads";
import { packed } from "./batch.ts";
import type { Answer } from "./batch.ts";
import { saveFile } from "./save-file.ts";
import type { SmallFile } from "./save-file.ts";

const FILES_SAVED_HERE = 64;
const SLOW_MS = 20; // for all that was saved here before the thread is used: a network file system, say

const MOST_SENT = 2;
const WORTH_SENDING = 32; // files
const LONGEST_WAIT_MS = 4; // whoever fetched it has given its place to the next request already
const BUFFER_BYTES = 512 * 1024;
const LARGEST_SPARE = 4 * 1024 * 1024;

type Done = (error: NodeJS.ErrnoException | null, value: undefined) => void;

interface Order {
  readonly file: SmallFile;
  readonly pieces: readonly Uint8Array[];
  readonly done: Done;
}

export class Disk {
  #savedHere = 0;
  #spentMs = 0;
  #thread: Worker | null = null;
  #hasFailed = false;
  #orders: Order[] = [];
  /** Batches that are under way, oldest first. */
  readonly #sent: (readonly Order[])[] = [];
  /** Runs while a batch is too small to be sent. */
  #patience: NodeJS.Timeout | null = null;
  readonly #spares: ArrayBuffer[] = [];

  /** Saves the file now if that is quick. `false`: use `save`. @throws what the file system reports. */
  trySave(file: SmallFile, pieces: readonly Uint8Array[]): boolean {
    if (!this.#hasFailed && (this.#savedHere >= FILES_SAVED_HERE || this.#spentMs > SLOW_MS)) return false;
    const startedAt = performance.now();
    saveFile(file, pieces);
    this.#savedHere++;
    this.#spentMs += performance.now() - startedAt;
    return true;
  }

  /** Saves the file and calls back. It cannot be withdrawn. */
  save(file: SmallFile, pieces: readonly Uint8Array[], done: Done): void {
    this.#orders.push({ file, pieces, done });
    this.#consider();
  }

  /** Ends the thread. Nothing may be under way. */
  close(): void {
    const thread = this.#thread;
    this.#thread = null;
    void thread?.terminate();
  }

  #consider(): void {
    if (this.#orders.length === 0 || this.#sent.length >= MOST_SENT) return;
    if (this.#orders.length >= WORTH_SENDING) this.#send();
    else this.#patience ??= setTimeout(this.#send, LONGEST_WAIT_MS);
  }

  readonly #send = (): void => {
    if (this.#patience !== null) clearTimeout(this.#patience);
    this.#patience = null;
    const orders = this.#orders;
    this.#orders = [];
    if (this.#hasFailed) return this.#saveHere(orders);
    let size = 0;
    for (const { pieces } of orders) for (const piece of pieces) size += piece.byteLength;
    const bytes = this.#bufferOf(size);
    const ends: number[] = [];
    let end = 0;
    for (const { pieces } of orders) {
      for (const piece of pieces) {
        bytes.set(piece, end);
        end += piece.byteLength;
      }
      ends.push(end);
    }
    const files = orders.map(({ file }) => file);
    this.#sent.push(orders);
    this.#thread ??= this.#start();
    this.#thread.ref(); // it holds the process only while something is under way
    this.#thread.postMessage(packed(files, ends, bytes), [bytes.buffer]);
  };

  /** The buffer of an earlier batch, if it is large enough: they come back. */
  #bufferOf(size: number): Uint8Array<ArrayBuffer> {
    const spare = this.#spares.pop();
    return new Uint8Array(
      spare !== undefined && spare.byteLength >= size ? spare : new ArrayBuffer(Math.max(size, BUFFER_BYTES)),
    );
  }

  #start(): Worker {
    // The build has a file of another kind beside this one.
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const thread = new Worker(new URL(`./disk-thread.${extension}`, import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 },
    });
    thread.on("message", (answer: Answer) => this.#answered(answer));
    thread.on("error", () => this.#failed());
    return thread;
  }

  #answered({ problems, buffer }: Answer): void {
    if (buffer.byteLength <= LARGEST_SPARE) this.#spares.push(buffer);
    const orders = this.#sent.shift()!;
    this.#consider();
    if (this.#sent.length === 0) this.#thread?.unref();
    const failed = new Map(
      problems.map(({ index, code, message }) => [index, Object.assign(new Error(message), { code })]),
    );
    for (const [index, { done }] of orders.entries()) done(failed.get(index) ?? null, undefined);
  }

  /** Without a thread it goes on here. */
  #failed(): void {
    this.#hasFailed = true;
    this.#thread = null;
    for (const orders of [...this.#sent.splice(0), this.#orders.splice(0)]) this.#saveHere(orders);
  }

  #saveHere(orders: readonly Order[]): void {
    for (const { file, pieces, done } of orders) {
      try {
        saveFile(file, pieces);
        done(null, undefined);
      } catch (error) {
        done(error as NodeJS.ErrnoException, undefined);
      }
    }
  }
}
