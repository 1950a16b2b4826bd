/**
 * The instruments that a contestant holds while it runs. They count first and read clocks or memory rarely, so that
 * they cost every contestant the same nanosecond.
 */

/** What all of them give back in the end. */
interface Timed {
  readonly ns: number;
  readonly ops: number;
}

/** Fails the contestant, which is reported; the others go on. */
export function check(holds: boolean, claim: string): asserts holds {
  if (!holds) throw new Error(`the contestant did not do the work: ${claim}`);
}

/**
 * Times `tasks` tasks that take turns `perTask` times each, without their birth and death.
 *
 * The clock starts when every task has had its first turn and stops when all but the last round is over, so spawning
 * and settling stay outside. It also proves that turns were taken: no task may have a second turn while another still
 * waits for its first.
 */
export class SwitchMeter {
  readonly #tasks: number;
  readonly #perTask: number;
  readonly #stopAt: number;
  #arrived = 0;
  #ticks = 0;
  #finished = 0;
  #startedAt = 0;
  #stoppedAt = 0;

  constructor(tasks: number, ops: number) {
    this.#tasks = tasks;
    this.#perTask = Math.max(3, Math.ceil(ops / tasks) + 2);
    this.#stopAt = tasks * (this.#perTask - 2);
  }

  /** Turns that each task must take: one `arrive()`, then a `tick()` for each of the others. */
  get perTask(): number {
    return this.#perTask;
  }

  /** After a task's first turn. */
  arrive(): void {
    if (++this.#arrived !== this.#tasks) return;
    check(this.#ticks === 0, "a task ran twice before another ran once; tasks do not take turns");
    this.#startedAt = performance.now();
  }

  /** After every later turn. */
  tick(): void {
    if (++this.#ticks === this.#stopAt) this.#stoppedAt = performance.now();
  }

  /** When a task is done. */
  finish(): void {
    this.#finished++;
  }

  result(): Timed {
    check(this.#arrived === this.#tasks, `${this.#arrived} of ${this.#tasks} tasks arrived`);
    check(this.#finished === this.#tasks, `${this.#finished} of ${this.#tasks} tasks finished`);
    const expected = this.#tasks * (this.#perTask - 1);
    check(this.#ticks === expected, `${this.#ticks} turns instead of ${expected}`);
    return { ns: (this.#stoppedAt - this.#startedAt) * 1e6, ops: this.#stopAt };
  }
}

/**
 * Counts batches of `n` results, times them, and checks their sum: each batch must give 1, 2, … n in any order.
 */
export class Batches {
  readonly #n: number;
  readonly #batches: number;
  #begun = 0;
  #sum = 0;
  #startedAt = 0;
  #stoppedAt = 0;

  constructor(n: number, ops: number) {
    this.#n = n;
    this.#batches = Math.max(1, Math.ceil(ops / n));
  }

  /** Whether to do one more batch. */
  more(): boolean {
    if (this.#begun === 0) this.#startedAt = performance.now();
    if (this.#begun < this.#batches) {
      this.#begun++;
      return true;
    }
    this.#stoppedAt = performance.now();
    return false;
  }

  add(value: number): void {
    this.#sum += value;
  }

  result(): Timed {
    const expected = (this.#batches * (this.#n * (this.#n + 1))) / 2;
    check(this.#sum === expected, `the results add up to ${this.#sum}, not ${expected}`);
    return { ns: (this.#stoppedAt - this.#startedAt) * 1e6, ops: this.#batches * this.#n };
  }
}

/**
 * Values that `senders` tasks hand over to one receiver, `perSender` from each; times them from the first task's start to
 * the last value. It also proves that nothing was lost, doubled or overtaken by a later value of the same sender.
 */
export class Deliveries {
  readonly senders: number;
  readonly perSender: number;
  readonly #expected: Int32Array;
  readonly #startedAt = performance.now();
  #stoppedAt = 0;
  #received = 0;

  constructor(senders: number, ops: number) {
    this.senders = senders;
    this.perSender = Math.ceil(ops / senders);
    this.#expected = new Int32Array(senders);
  }

  /** How many values the receiver has to take. */
  get total(): number {
    return this.senders * this.perSender;
  }

  /** The value number `index` of a sender. */
  value(sender: number, index: number): number {
    return index * this.senders + sender;
  }

  receive(value: number): void {
    const sender = value % this.senders;
    if (this.#expected[sender]! * this.senders + sender !== value) check(false, `${value} came out of turn`);
    this.#expected[sender]!++;
    if (++this.#received === this.total) this.#stoppedAt = performance.now();
  }

  result(): Timed {
    check(this.#received === this.total, `${this.#received} of ${this.total} values arrived`);
    return { ns: (this.#stoppedAt - this.#startedAt) * 1e6, ops: this.total };
  }
}

/** A stretch between two readings of the clock that a program takes itself, and how many ended in it. */
export class Stretch {
  readonly #expected: number;
  #ended = 0;
  #ns = 0;
  #startedAt = 0;

  constructor(expected: number) {
    this.#expected = expected;
  }

  start(): void {
    this.#startedAt = performance.now();
  }

  /** Something of what is expected has come to its end. */
  ended(): void {
    this.#ended++;
  }

  stop(): void {
    this.#ns += (performance.now() - this.#startedAt) * 1e6;
  }

  result(): Timed {
    check(this.#ended === this.#expected, `${this.#ended} came to their end instead of ${this.#expected}`);
    return { ns: this.#ns, ops: this.#expected };
  }
}

/** How late a timer of the host comes, 1 ms after 1 ms, while `tasks` tasks keep the thread busy for `durationMs`. */
export class LagMeter {
  readonly tasks: number;
  readonly #durationMs: number;
  readonly #startedAt = performance.now();
  readonly #lagsMs: number[] = [];
  #dueAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #switches = 0;
  #over = false;
  #endedAt = 0;

  constructor(tasks: number, durationMs: number) {
    this.tasks = tasks;
    this.#durationMs = durationMs;
    this.#arm();
  }

  /** A task calls this each time it runs, and stops when it gives `false`. */
  switched(): boolean {
    // Reading the clock costs as much as a switch.
    if ((++this.#switches & 63) === 0 && !this.#over) this.#look();
    return !this.#over;
  }

  result(): { p50Ms: number; p99Ms: number; maxMs: number; fired: number; nsPerSwitch: number } {
    const fired = this.#lagsMs.length;
    // What was still to come when the work ended was late as well: a timer that was never let through has one such lag.
    const open = this.#endedAt - this.#dueAt;
    if (open > 0 || fired === 0) this.#lagsMs.push(Math.max(open, 0));
    const sorted = this.#lagsMs.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
    const nsPerSwitch = ((this.#endedAt - this.#startedAt) * 1e6) / this.#switches;
    return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1)!, fired, nsPerSwitch };
  }

  #look(): void {
    const now = performance.now();
    if (now - this.#startedAt < this.#durationMs) return;
    this.#over = true;
    this.#endedAt = now;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    this.#dueAt = performance.now() + 1;
    this.#timer = setTimeout(() => {
      if (this.#over) return;
      this.#lagsMs.push(Math.max(0, performance.now() - this.#dueAt));
      this.#arm();
    }, 1);
  }
}

/** Looks at the process when the last of `count` tasks has gone to sleep, and checks that all of them slept and woke. */
export class Sleepers {
  readonly count: number;
  readonly sleepMs: number;
  #asleep = 0;
  #awake = 0;
  #sum = 0;
  #parkedRss = 0;
  #overlapped = false;

  constructor(count: number, sleepMs: number) {
    this.count = count;
    this.sleepMs = sleepMs;
  }

  /** A task calls this just before it sleeps. */
  asleep(): void {
    if (++this.#asleep !== this.count) return;
    this.#overlapped = this.#awake === 0;
    this.#parkedRss = process.memoryUsage.rss();
  }

  /** A task calls this, with its index, when it has slept. */
  awake(index: number): void {
    this.#awake++;
    this.#sum += index;
  }

  /** Whether all of them slept at the same time. If not, the machine was slow: sleep longer. */
  get overlapped(): boolean {
    return this.#overlapped;
  }

  /** Resident bytes when the last task went to sleep. */
  result(): number {
    check(this.#asleep === this.count, `${this.#asleep} of ${this.count} tasks slept`);
    check(this.#awake === this.count, `${this.#awake} of ${this.count} tasks woke`);
    const expected = (this.count * (this.count - 1)) / 2;
    check(this.#sum === expected, `the indexes of the woken tasks add up to ${this.#sum}, not ${expected}`);
    return this.#parkedRss;
  }
}

/** Numbers that look random and are the same in each run and contestant (a 31-bit linear congruential generator). */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state;
  };
}
