/**
 * Pieces of a body that have come and were not taken yet, first in first out.
 *
 * A ring of its own would do, and so would an array with an index; what matters is that a piece which was taken is let go at once,
 * although others still stand here. A buffer that never runs empty, since its reader is slower than the connection, would
 * otherwise keep the whole body. The oldest piece stands apart from the others: most bodies come in one, and need no array.
 */
export class ChunkQueue {
  /** Of all pieces that stand here. */
  bytes = 0;
  #oldest: Uint8Array | undefined = undefined;
  #others: (Uint8Array | undefined)[] | null = null;
  /** Of the others. */
  #head = 0;
  #tail = 0;

  get isEmpty(): boolean {
    return this.#oldest === undefined;
  }

  push(chunk: Uint8Array): void {
    this.bytes += chunk.byteLength;
    if (this.#oldest === undefined) this.#oldest = chunk;
    else (this.#others ??= [])[this.#tail++] = chunk;
  }

  /** The oldest piece, or `undefined` when there is none. */
  shift(): Uint8Array | undefined {
    const chunk = this.#oldest;
    if (chunk === undefined) return undefined;
    this.bytes -= chunk.byteLength;
    this.#oldest = this.#head === this.#tail ? undefined : this.#shiftOthers(this.#others!);
    return chunk;
  }

  /** Every piece. */
  takeAll(): Uint8Array[] {
    if (this.#oldest === undefined) return [];
    const chunks = [this.#oldest];
    for (let i = this.#head; i < this.#tail; i++) chunks.push(this.#others![i]!);
    this.clear();
    return chunks;
  }

  clear(): void {
    this.#oldest = undefined;
    this.#others = null;
    this.#head = this.#tail = 0;
    this.bytes = 0;
  }

  #shiftOthers(others: (Uint8Array | undefined)[]): Uint8Array {
    const chunk = others[this.#head]!;
    others[this.#head++] = undefined;
    if (this.#head === this.#tail) this.#head = this.#tail = 0;
    else if (this.#head >= 64 && this.#head * 2 >= this.#tail) this.#moveUp(others);
    return chunk;
  }

  /** At least half of the slots are free, so this costs no more than what was pushed. */
  #moveUp(others: (Uint8Array | undefined)[]): void {
    this.#others = others.slice(this.#head, this.#tail);
    this.#tail -= this.#head;
    this.#head = 0;
  }
}
