/**
 * How late the main thread comes to its timers: the longest that anything else on the loop has had to wait.
 *
 * A timer that is due every few milliseconds; what it is late is the lag. Rejected: `monitorEventLoopDelay`, which
 * misses a block that lasts until it is stopped.
 */
const EVERY_MS = 10;
const LOOK_EVERY = 10;

export class LagMeter {
  readonly #look: () => void;
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #worst = 0;
  #ticks = 0;

  /** @param look Called now and then while measuring, for what else wants to be sampled. */
  constructor(look: () => void) {
    this.#look = look;
  }

  start(): void {
    this.#due = performance.now() + EVERY_MS;
    this.#timer = setTimeout(() => this.#tick(), EVERY_MS);
    this.#timer.unref();
  }

  /** The worst lag in milliseconds, the one that is going on now included. */
  stop(): number {
    clearTimeout(this.#timer);
    this.#note();
    return this.#worst;
  }

  #tick(): void {
    this.#note();
    this.#ticks += 1;
    if (this.#ticks % LOOK_EVERY === 0) this.#look();
    this.start();
  }

  #note(): void {
    this.#worst = Math.max(this.#worst, performance.now() - this.#due);
  }
}
