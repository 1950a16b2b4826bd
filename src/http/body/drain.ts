/**
 * Reads a body that nobody wants, so that its connection can be used again; gives up where a new one is cheaper.
 */
import type { LoopPort, Timer } from "../../lowlevel.ts";
import type { BodyReader, IncomingBody } from "./incoming.ts";
import type { Transfer } from "../transfer.ts";

// A new connection costs one to three round trips; this much arrives in about as many.
const DRAIN_BYTES = 64 * 1024;
const DRAIN_MS = 250; // what has not come by then is not worth the wait; nor is a server that lies about the length

export class Drain implements BodyReader, Timer {
  heapIndex = -1;
  readonly #loop: LoopPort;
  readonly #transfer: Transfer;
  readonly #body: IncomingBody;
  readonly #keepBytes: number;
  readonly #done: (kept: readonly Uint8Array[]) => void;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #isOver = false;

  /**
   * @param keepBytes How much of the beginning is wanted after all; a little more may be given.
   * @param done Called once, from the host's callbacks, before the transfer gives up its place in line.
   */
  constructor(loop: LoopPort, transfer: Transfer, keepBytes: number, done: (kept: readonly Uint8Array[]) => void) {
    this.#loop = loop;
    this.#transfer = transfer;
    this.#body = transfer.incoming!;
    this.#keepBytes = keepBytes;
    this.#done = done;
  }

  /** May be done before it returns. */
  begin(): void {
    this.#body.reader = this;
    this.#loop.addTimer(this, this.#loop.now() + DRAIN_MS);
    this.bodyChanged();
  }

  /** Stops without calling `done`; the transfer is left as it is. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body.reader = null;
    this.#loop.removeTimer(this);
  }

  bodyChanged(): void {
    for (let chunk = this.#body.take(); chunk !== undefined; chunk = this.#body.take()) {
      if (this.#keptBytes >= this.#keepBytes) continue;
      this.#kept.push(chunk);
      this.#keptBytes += chunk.byteLength;
    }
    const { state, announcedBytes, receivedBytes } = this.#body;
    const isWorthIt = announcedBytes <= DRAIN_BYTES && receivedBytes <= DRAIN_BYTES;
    if (state !== "open" || (!isWorthIt && this.#keptBytes >= this.#keepBytes)) this.#finish();
  }

  fire(): void {
    this.#finish();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.stop();
    this.#done(this.#kept);
    this.#transfer.cancel();
  }
}
