import type { LoopPort } from "../core/index.ts";

/**
 * One timer for many who wait: a line of tasks needs a timer for its head only. It can be set again at any time, on
 * whichever loop the head waits.
 */
export class Alarm {
  /** @internal */
  heapIndex = -1;
  readonly #ring: () => void;
  #loop: LoopPort | null = null;

  /** @param ring Called when the time has come; must not throw. */
  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Rings at `deadline`, and not at the time that was set before. `Infinity`: not at all. */
  set(loop: LoopPort, deadline: number): void {
    this.clear();
    if (deadline === Infinity) return;
    this.#loop = loop;
    loop.addTimer(this, deadline);
  }

  clear(): void {
    this.#loop?.removeTimer(this);
    this.#loop = null;
  }

  /** @internal */
  fire(): void {
    this.#loop = null;
    this.#ring();
  }
}
