/**
 * What can go wrong at a primitive without being the caller's mistake: somebody else has left it unusable.
 */
import { FibrilError } from "../core/index.ts";

/**
 * A task ended while it held the lock. What the lock guards may be half changed, so nobody is let in until somebody has
 * put it in order and called `repair()`. Code: `LOCK_BROKEN`.
 */
export class BrokenLockError extends FibrilError {
  /** The lock, as messages call it: `lock "stock"`. */
  readonly lock: string;
  /** Name of the task that ended. */
  readonly owner: string;

  constructor(lock: string, owner: string) {
    super(
      "LOCK_BROKEN",
      `${lock} is broken: task "${owner}" ended while it held it, so what it guards may be half changed; ` +
        "put that in order and call repair(), and let that task release it however it ends: use(body)",
    );
    this.lock = lock;
    this.owner = owner;
  }
}

/** The barrier was aborted, or reset while tasks waited at it: not all parties will come. Code: `BARRIER_BROKEN`. */
export class BrokenBarrierError extends FibrilError {
  constructor(barrier: string, wasReset: boolean) {
    super(
      "BARRIER_BROKEN",
      wasReset
        ? `${barrier} was reset while tasks waited at it; come again if the new round concerns you`
        : `${barrier} was aborted: not all parties will come; call reset() to use it again`,
    );
  }
}
