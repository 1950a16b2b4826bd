/**
 * The one line in which requests wait for a connection: pure bookkeeping, knows nothing of tasks, sockets or timers; a clock is handed in.
 *
 * The rule: the place with the lowest ticket whose host may go goes first. So it is first come first served over all hosts,
 * and a place that only its host holds back (its limit, its rate, a pause) lets others pass. The limit and the rate of the
 * whole line hold back all. A token of a rate is taken when a place comes in, so whoever gives up has taken none.
 *
 * How: every host keeps its own line in order of tickets. The hosts that may go and have somebody waiting stand in a heap,
 * ordered by the ticket at the head of their line; those that only time holds back stand in another one, ordered by when it will let
 * them. Entering, leaving, releasing and pausing cost O(log hosts) at worst, and O(1) while nobody has to wait. Rejected: one list
 * that is searched for the first admissible place (a host with 100,000 waiting would be searched through at each release
 * of another).
 *
 * Leaving and admitting are two steps, because of cancellation: when a thousand are cancelled together, each one that leaves
 * would otherwise let one in that is the next to be cancelled.
 *
 * Invariants: at most `limit` places are inside, at most `limitPerHost` of one host (after a limit was lowered: none comes in until
 * that holds again); after `admit`, nobody waits while there is room except for his host or for time; a place is
 * outside, waiting or inside. While time alone holds somebody back, and only then, the clock is asked to ring.
 */
import { HostHeap } from "./host-heap.ts";
import type { HeapHost } from "./host-heap.ts";
import { TokenCount } from "./rates.ts";
import type { Rate } from "./rates.ts";

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

/** What the line keeps for each host. Whoever makes a host extends it. */
export class LineHost implements HeapHost {
  inside = 0;
  waiting = 0;
  first: Place | null = null;
  last: Place | null = null;
  pausedUntil: number = -Infinity;
  /** Shown to those who wait, such as "by Retry-After". */
  pauseCause = "";
  tokens: TokenCount | null = null;
  /** When time lets the next place in, as of the last look. */
  dueAt: number = -Infinity;
  heap: HostHeap<never> | null = null;
  heapIndex = -1;
}

/** `null`: no such rate. */
export interface LineLimits {
  readonly limit: number;
  readonly limitPerHost: number;
  readonly rate: Rate | null;
  readonly ratePerHost: Rate | null;
}

/** Time, as the line needs it. */
export interface LineClock {
  now(): number;
  /** Calls `timeCame` of the line at `deadline`, and not at the time that was set before. `Infinity`: not at all. */
  ringAt(deadline: number): void;
}

/** What holds a place back, named as the options are. */
export type QueueCause = "limit" | "limitPerHost" | "rate" | "ratePerHost" | "paused";

export class Line {
  #limits: LineLimits;
  readonly #clock: LineClock;
  #inside = 0;
  #waiting = 0;
  #tickets = 0;
  #isAdmitting = false;
  /** Whether time may hold anybody back. As long as it never has, nobody looks at the clock. */
  #isTimed = false;
  #now = -Infinity;
  #ringsAt = Infinity;
  #tokens: TokenCount | null = null;
  /** Hosts with a place that may go, but for the line's own limit and rate. */
  readonly #ready = new HostHeap<LineHost>((host) => host.first!.ticket);
  /** Hosts with a place that time alone holds back. */
  readonly #delayed = new HostHeap<LineHost>((host) => host.dueAt);

  constructor(limits: LineLimits, clock: LineClock) {
    this.#limits = limits;
    this.#clock = clock;
    this.setLimits(limits, []);
  }

  get limit(): number {
    return this.#limits.limit;
  }

  get limitPerHost(): number {
    return this.#limits.limitPerHost;
  }

  get limits(): LineLimits {
    return this.#limits;
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
    if (this.#isTimed) this.#look();
    // A host in this heap waits to be admitted: then nobody may overtake it. One that has somebody waiting and is not in it is
    // full, or not due.
    if (
      this.#ready.size === 0 &&
      this.#inside < this.#limits.limit &&
      host.inside < this.#limits.limitPerHost &&
      (!this.#isTimed || Math.max(this.#dueAt(), this.#hostDueAt(host)) <= this.#now)
    ) {
      this.#take(place);
      return true;
    }
    this.#insert(host, place);
    place.standing = "waiting";
    this.#waiting++;
    host.waiting++;
    this.#reposition(host);
    if (this.#isTimed) this.#schedule();
    return false;
  }

  /** Gives up: a place in line, or the room inside. Somebody must call `admit` afterwards. */
  leave(place: Place): void {
    const { host, standing } = place;
    place.standing = "outside";
    if (standing === "waiting") {
      this.#unlink(host, place);
      this.#waiting--;
      host.waiting--;
      this.#reposition(host);
      if (this.#isTimed) this.#schedule();
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
      if (this.#isTimed) this.#look();
      while (this.#inside < this.#limits.limit && this.#ready.size > 0 && this.#dueAt() <= this.#now) {
        const place = this.#ready.first!.first!;
        this.#unlink(place.host, place);
        this.#waiting--;
        place.host.waiting--;
        this.#take(place);
        this.#reposition(place.host);
        place.admitted();
      }
    } finally {
      this.#isAdmitting = false;
      if (this.#isTimed) this.#schedule();
    }
  }

  /** The clock rings. */
  timeCame(): void {
    this.#ringsAt = Infinity;
    this.admit();
  }

  /** Lets nobody of the host in before `until`. A pause that lasts longer already is kept. */
  pause(host: LineHost, until: number, cause: string): void {
    if (until <= host.pausedUntil) return;
    this.#isTimed = true;
    this.#now = this.#clock.now();
    host.pausedUntil = until;
    host.pauseCause = cause;
    this.#reposition(host);
    this.#schedule();
  }

  /** Ends a pause. Somebody must call `admit` afterwards. */
  resume(host: LineHost): void {
    host.pausedUntil = -Infinity;
    if (this.#isTimed) this.#now = this.#clock.now();
    this.#reposition(host);
  }

  /** @param hosts All of them. Somebody must call `admit` afterwards. */
  setLimits(limits: LineLimits, hosts: Iterable<LineHost>): void {
    const { rate, ratePerHost } = limits;
    const isSameForHosts = ratePerHost === this.#limits.ratePerHost;
    this.#limits = limits;
    if (rate !== null || ratePerHost !== null) this.#isTimed = true;
    if (this.#isTimed) this.#now = this.#clock.now();
    if (rate === null) this.#tokens = null;
    else if (this.#tokens === null) this.#tokens = new TokenCount(rate);
    else if (this.#tokens.rate !== rate) this.#tokens.change(rate, this.#now);
    for (const host of hosts) {
      if (ratePerHost === null) host.tokens = null;
      else if (!isSameForHosts) host.tokens?.change(ratePerHost, this.#now);
      this.#reposition(host);
    }
    if (this.#isTimed) this.#schedule();
  }

  /** Whether the host is as good as a new one: nobody of it is here, and time holds nothing against it. */
  isBlank(host: LineHost): boolean {
    if (host.inside > 0 || host.first !== null) return false;
    if (!this.#isTimed) return true;
    return Math.max(host.pausedUntil, host.tokens === null ? -Infinity : host.tokens.fullAt()) <= this.#clock.now();
  }

  /** What holds back those who wait for the host; for a moment after a release perhaps nothing any more. */
  causeFor(host: LineHost): QueueCause {
    const now = this.#clock.now();
    if (host.pausedUntil > now) return "paused";
    if (host.inside >= this.#limits.limitPerHost) return "limitPerHost";
    if (this.#inside >= this.#limits.limit) return "limit";
    if (host.tokens !== null && host.tokens.dueAt() > now) return "ratePerHost";
    return this.#dueAt() > now ? "rate" : "limit";
  }

  #take(place: Place): void {
    const { host } = place;
    this.#inside++;
    host.inside++;
    place.standing = "inside";
    if (!this.#isTimed) return;
    this.#tokens?.take(this.#now);
    const { ratePerHost } = this.#limits;
    if (ratePerHost !== null) (host.tokens ??= new TokenCount(ratePerHost)).take(this.#now);
  }

  /** Looks at the clock, and moves the hosts whose time has come to the others. */
  #look(): void {
    this.#now = this.#clock.now();
    for (let host = this.#delayed.first; host !== undefined && host.dueAt <= this.#now; host = this.#delayed.first) {
      this.#delayed.remove(host);
      this.#ready.add(host);
    }
  }

  #dueAt(): number {
    return this.#tokens === null ? -Infinity : this.#tokens.dueAt();
  }

  #hostDueAt(host: LineHost): number {
    return Math.max(host.pausedUntil, host.tokens === null ? -Infinity : host.tokens.dueAt());
  }

  /** Sets the clock for the moment at which time lets somebody in; room that is missing comes by a release. */
  #schedule(): void {
    let due = Infinity;
    if (this.#inside < this.#limits.limit) {
      if (this.#ready.size > 0) due = this.#dueAt();
      else if (this.#delayed.size > 0) due = this.#delayed.first!.dueAt;
    }
    if (due === this.#ringsAt || (due <= this.#now && this.#ringsAt <= this.#now)) return;
    due = Math.max(due, this.#now);
    this.#ringsAt = due;
    this.#clock.ringAt(due);
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

  /** Puts the host where it belongs in the heaps, or takes it out; to be called after every change to the host. */
  #reposition(host: LineHost): void {
    let heap: HostHeap<LineHost> | null = null;
    if (host.first !== null && host.inside < this.#limits.limitPerHost) {
      heap = this.#ready;
      if (this.#isTimed) {
        host.dueAt = this.#hostDueAt(host);
        if (host.dueAt > this.#now) heap = this.#delayed;
      }
    }
    const present = host.heap as HostHeap<LineHost> | null;
    if (heap === present) heap?.moved(host);
    else {
      present?.remove(host);
      heap?.add(host);
    }
  }
}
