/**
 * A task's first step at once, instead of in the next turn: for borders that can hand on an answer without a promise.
 *
 * Only where no step runs: one task runs at a time. The task stands in the ready queue too; when its turn comes there and it waits or has
 * ended, the loop passes over it.
 */
import type { EventLoop, Task } from "../../core/index.ts";
import { running } from "../../lowlevel.ts";

export function startNow(loop: EventLoop, task: Task<unknown>): void {
  if (running.loop !== null) return;
  running.loop = loop;
  try {
    if (loop.asyncContext === null) task.run();
    else {
      const { context } = task;
      const left = loop.asyncContext.run(task, context);
      if (left !== context) task.context = left;
    }
  } finally {
    running.loop = null;
    running.task = null;
  }
}
