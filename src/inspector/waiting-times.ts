/**
 * Since when a task waits.
 *
 * The kernel does not note it: a clock read at every wait would cost half of the step. So there are two ways to know. Whoever looks twice knows
 * that a task which has not moved between has waited at least that long; the first look is remembered here, weakly, for the next one. And
 * `trackWaits` notes the time of each wait while it is on, by a probe.
 */
import type { EventLoop, Task, TaskView } from "../core/index.ts";

interface Note {
  /** How many steps the task had run: when it has run more, this is over. */
  readonly steps: number;
  /** On the clock of its loop. */
  readonly at: number;
  readonly isExact: boolean;
}

const notes = new WeakMap<TaskView, Note>();

/** How long the task, which waits, has done so. Remembers that somebody looked. @package */
export function waitedFor(
  task: Task<unknown>,
  now: number,
): { readonly ms: number | null; readonly isAtLeast: boolean } {
  const note = notes.get(task);
  if (note !== undefined && note.steps === task.steps) return { ms: now - note.at, isAtLeast: !note.isExact };
  notes.set(task, { steps: task.steps, at: now, isExact: false });
  return { ms: null, isAtLeast: false };
}

/**
 * From here on the loop notes when each wait begins, so that snapshots know how long it lasts. Costs about 0.1 µs a wait.
 * @returns Ends it.
 * @example
 * const stop = trackWaits(EventLoop.current());
 */
export function trackWaits(loop: EventLoop): () => void {
  return loop.addProbe({
    waitStarted: (task) => void notes.set(task, { steps: task.steps, at: loop.now(), isExact: true }),
  });
}
