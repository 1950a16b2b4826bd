/**
 * The instruments that a contestant holds while it runs. They count first and read clocks or memory rarely, so that
 * they cost every contestant the same nanosecond.
 */

/** Fails the contestant, and with it the whole run of the benchmark. */
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

  result(): { readonly ns: number; readonly ops: number } {
    check(this.#arrived === this.#tasks, `${this.#arrived} of ${this.#tasks} tasks arrived`);
    check(this.#finished === this.#tasks, `${this.#finished} of ${this.#tasks} tasks finished`);
    const expected = this.#tasks * (this.#perTask - 1);
    check(this.#ticks === expected, `${this.#ticks} turns instead of ${expected}`);
    return { ns: (this.#stoppedAt - this.#startedAt) * 1e6, ops: this.#stopAt };
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
