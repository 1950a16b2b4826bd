/**
 * The line's clock on an event loop: one timer for all who wait, and none while time holds nobody back.
 */
import type { LoopPort, Timer } from "../../lowlevel.ts";
import type { LineClock } from "./line.ts";

export class LineAlarm implements LineClock, Timer {
  heapIndex = -1;
  readonly #loop: LoopPort;
  readonly #ring: () => void;
  #isSet = false;

  /** @param ring Called when the time has come; must not throw. */
  constructor(loop: LoopPort, ring: () => void) {
    this.#loop = loop;
    this.#ring = ring;
  }

  now(): number {
    return this.#loop.now();
  }

  ringAt(deadline: number): void {
    if (this.#isSet) this.#loop.removeTimer(this);
    this.#isSet = deadline !== Infinity;
    if (this.#isSet) this.#loop.addTimer(this, deadline);
  }

  fire(): void {
    this.#isSet = false;
    this.#ring();
  }
}
