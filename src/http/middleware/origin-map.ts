/**
 * Something for each origin, for so many of them at most: whoever was not asked for longest is forgotten.
 */
export class OriginMap<Value> {
  readonly #most: number;
  readonly #values = new Map<string, Value>();

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#values.size;
  }

  get(origin: string, make: () => Value): Value {
    let value = this.#values.get(origin);
    if (value === undefined) {
      value = make();
      if (this.#values.size >= this.#most) this.#values.delete(this.#values.keys().next().value!);
    } else this.#values.delete(origin); // to stand at the end again
    this.#values.set(origin, value);
    return value;
  }

  entries(): IterableIterator<[string, Value]> {
    return this.#values.entries();
  }
}
