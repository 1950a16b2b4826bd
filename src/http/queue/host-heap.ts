/**
 * A heap of hosts that know where they stand in it, so that one whose key has changed is moved, and any can be taken out, in O(log n).
 */
export interface HeapHost {
  /** Owned by the heaps; start them as null, -1. A host is in one heap at a time. */
  heap: HostHeap<never> | null;
  heapIndex: number;
}

export class HostHeap<Host extends HeapHost> {
  readonly #hosts: Host[] = [];
  readonly #keyOf: (host: Host) => number;

  /** The lowest key comes first. */
  constructor(keyOf: (host: Host) => number) {
    this.#keyOf = keyOf;
  }

  get size(): number {
    return this.#hosts.length;
  }

  get first(): Host | undefined {
    return this.#hosts[0];
  }

  add(host: Host): void {
    host.heap = this as unknown as HostHeap<never>;
    host.heapIndex = this.#hosts.length;
    this.#hosts.push(host);
    this.moved(host);
  }

  remove(host: Host): void {
    const hole = host.heapIndex;
    host.heap = null;
    host.heapIndex = -1;
    const last = this.#hosts.pop()!;
    if (last === host) return;
    this.#place(last, hole);
    this.moved(last);
  }

  /** To be called when the key of a host has changed. */
  moved(host: Host): void {
    const hosts = this.#hosts;
    const key = this.#keyOf(host);
    let index = host.heapIndex;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#keyOf(hosts[parent]!) <= key) break;
      this.#place(hosts[parent]!, index);
      index = parent;
    }
    for (;;) {
      let child = index * 2 + 1;
      if (child >= hosts.length) break;
      if (child + 1 < hosts.length && this.#keyOf(hosts[child + 1]!) < this.#keyOf(hosts[child]!)) child++;
      if (this.#keyOf(hosts[child]!) >= key) break;
      this.#place(hosts[child]!, index);
      index = child;
    }
    this.#place(host, index);
  }

  #place(host: Host, index: number): void {
    this.#hosts[index] = host;
    host.heapIndex = index;
  }
}
