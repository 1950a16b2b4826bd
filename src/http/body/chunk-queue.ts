/**
 * Pieces of a body that have come and were not taken yet, first in first out.
 *
 * A ring of its own would do, and so would an array with an index; what matters is that a piece which was taken is let go at once,
 * although others still stand here. A buffer that never runs empty, since its reader is slower than the connection, would
 * otherwise keep the whole body. While it runs empty between any two pieces, as with a fast reader, nothing is allocated.
 */
export class ChunkQueue {
  /** Of all pieces that stand here. */
  bytes = 0;
  #slots: (Uint8Array | undefined)[] = [];
  #head = 0;
  #tail = 0;

  get isEmpty(): boolean {
    return this.#head === this.#tail;
  }

  push(chunk: Uint8Array): void {
    this.#slots[this.#tail++] = chunk;
    this.bytes += chunk.byteLength;
  }

  /** The oldest piece, or `undefined` when there is none. */
  shift(): Uint8Array | undefined {
    if (this.#head === this.#tail) return undefined;
    const chunk = this.#slots[this.#head]!;
    this.#slots[this.#head++] = undefined;
    this.bytes -= chunk.byteLength;
    if (this.#head === this.#tail) this.#head = this.#tail = 0;
    else if (this.#head >= 64 && this.#head * 2 >= this.#tail) this.#moveUp();
    return chunk;
  }

  /** Every piece. */
  takeAll(): Uint8Array[] {
    const chunks = this.#slots.slice(this.#head, this.#tail) as Uint8Array[];
    this.clear();
    return chunks;
  }

  clear(): void {
    this.#slots = [];
    this.#head = this.#tail = 0;
    this.bytes = 0;
  }

  /** At least half of the slots are free, so this costs no more than what was pushed. */
  #moveUp(): void {
    this.#slots = this.#slots.slice(this.#head, this.#tail);
    this.#tail -= this.#head;
    this.#head = 0;
  }
}
