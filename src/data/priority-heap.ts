/**
 * A binary heap that keeps equals in the order in which they came.
 *
 * The order of the caller decides, and the number of the insertion between equals. The comparison is the caller's code and may throw:
 * every walk compares first and moves afterwards, so a heap whose comparison threw is what it was before the call.
 * Source: Williams 1964.
 */
export class PriorityHeap<T> {
  readonly #compare: (a: T, b: T) => number;
  readonly #items: T[] = [];
  readonly #orders: number[] = [];
  /** The places that an item passes on its way, kept between calls. */
  readonly #path: number[] = [];
  #insertions = 0;

  /** @param compare Negative when `a` comes before `b`, as for sorting arrays; `NaN` counts as equal. */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    const order = this.#insertions;
    const end = this.#items.length;
    let steps = 0;
    for (let at = end; at > 0; steps++) {
      const parent = (at - 1) >> 1;
      if (!(this.#compare(item, this.#items[parent]!) < 0)) break; // an equal one came earlier
      this.#path[steps] = at = parent;
    }
    this.#insertions++;
    this.#follow(end, steps, item, order);
  }

  /** Takes the first one; `undefined` when there is none. */
  shift(): T | undefined {
    const end = this.#items.length - 1;
    if (end <= 0) {
      this.#orders.pop();
      return this.#items.pop();
    }
    const item = this.#items[end]!;
    const order = this.#orders[end]!;
    let steps = 0;
    for (let at = 0; ; steps++) {
      let child = at * 2 + 1;
      if (child >= end) break;
      if (child + 1 < end && this.#isBefore(this.#items[child + 1]!, this.#orders[child + 1]!, child)) child++;
      if (this.#isBefore(item, order, child)) break;
      this.#path[steps] = at = child;
    }
    const first = this.#items[0];
    this.#items.pop();
    this.#orders.pop();
    this.#follow(0, steps, item, order);
    return first;
  }

  #isBefore(item: T, order: number, index: number): boolean {
    const sign = this.#compare(item, this.#items[index]!);
    return sign < 0 || (!(sign > 0) && order < this.#orders[index]!);
  }

  /** Moves everything on the path one step towards its beginning at `hole`, and puts the item at its end. */
  #follow(hole: number, steps: number, item: T, order: number): void {
    let at = hole;
    for (let i = 0; i < steps; i++) {
      const from = this.#path[i]!;
      this.#items[at] = this.#items[from]!;
      this.#orders[at] = this.#orders[from]!;
      at = from;
    }
    this.#items[at] = item;
    this.#orders[at] = order;
  }
}
