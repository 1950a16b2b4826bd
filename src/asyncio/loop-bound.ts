import { RuntimeError } from "./errors.ts";
import { getRunningLoop } from "./event-loop.ts";
import type { EventLoop } from "./event-loop.ts";

/** What belongs to the first loop that waits for it, and to no other from then on. */
export abstract class LoopBound {
  #loop: EventLoop | null = null;

  /** What it is and who waits, for messages. */
  abstract toString(): string;

  /** The running loop. @throws {RuntimeError} when it is bound to another one. */
  protected boundLoop(): EventLoop {
    const loop = getRunningLoop();
    this.#loop ??= loop;
    if (this.#loop !== loop)
      throw new RuntimeError(`${String(this)} belongs to another event loop; make one for each loop`);
    return loop;
  }
}
