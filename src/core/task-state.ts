/**
 * The life of a task, as data.
 *
 *     created → ready ⇄ running → waiting → (ready)
 *                         └→ settled
 *
 * `ready → running` is a step; `running → ready` is a step that ended without waiting (`yieldNow`, or an operation that
 * completed at once after the budget was used up). Inside the kernel a state is a small number, because it changes
 * twice for every step; `TASK_STATES` gives its name.
 */
export const CREATED = 0;
export const READY = 1;
export const RUNNING = 2;
export const WAITING = 3;
export const SETTLED = 4;

export type Stage = typeof CREATED | typeof READY | typeof RUNNING | typeof WAITING | typeof SETTLED;

export type TaskState = "created" | "ready" | "running" | "waiting" | "settled";

export const TASK_STATES: readonly TaskState[] = ["created", "ready", "running", "waiting", "settled"];

/** From each state, the states that may follow. */
export const TRANSITIONS: Readonly<Record<TaskState, readonly TaskState[]>> = {
  created: ["ready"],
  ready: ["running"],
  running: ["ready", "waiting", "settled"],
  waiting: ["ready"],
  settled: [],
};

/** Masks the state out of a task's flags. */
export const STAGE = 7;

/** A flag of a task: a cancellation has to be thrown at its next wait. */
export const INTERRUPTED = 16;
