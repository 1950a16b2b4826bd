/**
 * The one line in which requests wait for a connection: pure bookkeeping, knows nothing of tasks, sockets or time.
 *
 * The rule: the place with the lowest ticket whose host still has room goes first. So it is first come first served over
 * all hosts, and a place that only its host's limit holds back lets others pass.
 *
 * How: every host keeps its own line in order of tickets. The hosts that have room and somebody waiting stand in a heap,
 * ordered by the ticket at the head of their line. Entering, leaving and releasing cost O(log hosts) at worst, and O(1)
 * while nobody has to wait. Rejected: one list that is searched for the first admissible place (a host with 100,000
 * waiting would be searched through at each release of another).
 *
 * Leaving and admitting are two steps, because of cancellation: when a thousand are cancelled together, each one that leaves
 * would otherwise let one in that is the next to be cancelled.
 *
 * Invariants: at most `limit` places are inside, at most `limitPerHost` of one host; after `admit`, nobody waits while there
 * is room except for a full host; a place is outside, waiting or inside.
 */
export interface Place {
  readonly host: LineHost;
  /** Given at the first `enter`, kept afterwards: whoever enters again (a redirect) is as old as before. 0: none yet. */
  ticket: number;
  /** Owned by the line; start them as "outside", null, null. */
  standing: "outside" | "waiting" | "inside";
  previous: Place | null;
  next: Place | null;
  /** Called when the place comes in after it had to wait. Must not throw. */
  admitted(): void;
}

export interface LineHost {
  /** Owned by the line; start them at 0, null, null, -1. */
  inside: number;
  first: Place | null;
  last: Place | null;
  heapIndex: number;
}

export class Line {
  readonly limit: number;
  readonly limitPerHost: number;
  #inside = 0;
  #waiting = 0;
  #tickets = 0;
  #isAdmitting = false;
  readonly #heap: LineHost[] = [];

  constructor(limit: number, limitPerHost: number) {
    this.limit = limit;
    this.limitPerHost = limitPerHost;
  }

  get inside(): number {
    return this.#inside;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Comes in at once (true), or waits until `admitted` is called (false). */
  enter(place: Place): boolean {
    if (place.ticket === 0) place.ticket = ++this.#tickets;
    const host = place.host;
    // A host in the heap waits to be admitted: then nobody may overtake it.
    if (this.#heap.length === 0 && this.#inside < this.limit && host.inside < this.limitPerHost) {
      this.#take(place);
      return true;
    }
    this.#insert(host, place);
    place.standing = "waiting";
    this.#waiting++;
    this.#reposition(host);
    return false;
  }

  /** Gives up: a place in line, or the room inside. Somebody must call `admit` afterwards. */
  leave(place: Place): void {
    const { host, standing } = place;
    place.standing = "outside";
    if (standing === "waiting") {
      this.#unlink(host, place);
      this.#waiting--;
      this.#reposition(host);
    } else if (standing === "inside") {
      this.#inside--;
      host.inside--;
      this.#reposition(host);
    }
  }

  /** Lets in whoever may come in now. */
  admit(): void {
    // A place that fails at once leaves, and calls this, while it is being admitted. A loop, so that 10,000 of them in a
    // row do not become 10,000 frames.
    if (this.#isAdmitting) return;
    this.#isAdmitting = true;
    try {
      while (this.#inside < this.limit && this.#heap.length > 0) {
        const place = this.#heap[0]!.first!;
        this.#unlink(place.host, place);
        this.#waiting--;
        this.#take(place);
        this.#reposition(place.host);
        place.admitted();
      }
    } finally {
      this.#isAdmitting = false;
    }
  }

  #take(place: Place): void {
    this.#inside++;
    place.host.inside++;
    place.standing = "inside";
  }

  /** Keeps the order of tickets; nearly always at the end, and near the front for one that comes back. */
  #insert(host: LineHost, place: Place): void {
    let before = host.last;
    if (before !== null && before.ticket > place.ticket) {
      let after = host.first!;
      while (after.ticket < place.ticket) after = after.next!;
      before = after.previous;
    }
    const after = before === null ? host.first : before.next;
    place.previous = before;
    place.next = after;
    if (before === null) host.first = place;
    else before.next = place;
    if (after === null) host.last = place;
    else after.previous = place;
  }

  #unlink(host: LineHost, place: Place): void {
    const { previous, next } = place;
    if (previous === null) host.first = next;
    else previous.next = next;
    if (next === null) host.last = previous;
    else next.previous = previous;
    place.previous = null;
    place.next = null;
  }

  /** Puts the host where it belongs in the heap, or takes it out; to be called after every change to the host. */
  #reposition(host: LineHost): void {
    const heap = this.#heap;
    const belongs = host.first !== null && host.inside < this.limitPerHost;
    if (belongs && host.heapIndex === -1) {
      host.heapIndex = heap.length;
      heap.push(host);
    } else if (!belongs && host.heapIndex !== -1) {
      const hole = host.heapIndex;
      host.heapIndex = -1;
      const last = heap.pop()!;
      if (last === host) return;
      last.heapIndex = hole;
      heap[hole] = last;
      this.#sift(last);
      return;
    }
    if (belongs) this.#sift(host);
  }

  #sift(host: LineHost): void {
    const heap = this.#heap;
    const ticket = host.first!.ticket;
    let index = host.heapIndex;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.first!.ticket <= ticket) break;
      this.#place(heap[parent]!, index);
      index = parent;
    }
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.first!.ticket < heap[child]!.first!.ticket) child++;
      if (heap[child]!.first!.ticket >= ticket) break;
      this.#place(heap[child]!, index);
      index = child;
    }
    this.#place(host, index);
  }

  #place(host: LineHost, index: number): void {
    this.#heap[index] = host;
    host.heapIndex = index;
  }
}
