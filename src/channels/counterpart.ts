import type { QueuedWait, Waiter, WaitQueue } from "../core/index.ts";

/**
 * The one who has waited longest, unless it is an arm of `task` itself. The arms of one select must not serve each other:
 * both would have happened. A task that runs has begun all its arms in this very step, so they stand at the end of the line:
 * if the first one is its own, so is everybody behind it.
 */
export function firstOfOthers<T, Entry extends QueuedWait<T>>(
  line: WaitQueue<T, Entry>,
  task: Waiter | null,
): Entry | null {
  const { first } = line;
  return first === null || task === null || first.waitingTask !== task ? first : null;
}
