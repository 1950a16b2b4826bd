/**
 * A doubly linked list whose links are fields of its elements: O(1) removal from the middle, nothing allocated.
 *
 * An element is in at most one list at a time. The list says so by throwing, since a wrong link would corrupt both: the
 * first element links back to itself, so an element that stands in any list shows it.
 */
export interface Linked<Self> {
  /** Owned by the list; start both at `null`. The first element's `before` is itself. */
  before: Self | null;
  after: Self | null;
}

export class IntrusiveList<Item extends Linked<Item>> {
  #first: Item | null = null;
  #last: Item | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): Item | null {
    return this.#first;
  }

  /** Appends at the end. @throws {RangeError} when the item stands in a list already. */
  push(item: Item): void {
    if (item.before !== null) throw new RangeError("the item is in a list already; remove it first");
    const last = this.#last;
    if (last === null) {
      this.#first = item;
      item.before = item;
    } else {
      last.after = item;
      item.before = last;
    }
    this.#last = item;
    this.#size++;
  }

  /** Takes the first item, or `null` when there is none. */
  shift(): Item | null {
    const item = this.#first;
    if (item !== null) this.remove(item);
    return item;
  }

  /** Removes an item of this list; the caller knows that it is in this one. `false` when it is in none. */
  remove(item: Item): boolean {
    const { before, after } = item;
    if (before === null) return false;
    const isFirst = before === item;
    if (isFirst) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = isFirst ? null : before;
    else after.before = isFirst ? after : before;
    item.before = null;
    item.after = null;
    this.#size--;
    return true;
  }

  /** Walks from first to last. Removing the item that was just given is allowed. */
  *[Symbol.iterator](): Generator<Item, void, undefined> {
    for (let item = this.#first; item !== null;) {
      const after: Item | null = item.after;
      yield item;
      item = after;
    }
  }
}
