/**
 * Tasks that run elsewhere, as far as an observer needs to know of them.
 *
 * An executor's thread has a loop and tasks of its own, and nobody here sees them. So whoever starts such a place registers it, and the inspector,
 * which knows no executors, asks it: what do your tasks do? The interface is declared here because the kernel is all that both of them know.
 *
 * A source is registered for as long as its place exists, so this set keeps nothing alive that is not alive anyway.
 */
import type { Waiter } from "./operation.ts";

/** A place that has tasks: a thread. */
export interface TaskSource {
  /** Unique in the process. */
  readonly threadId: number;
  readonly name: string;
  /** What it is, for people: `"pool worker"`. */
  readonly role: string;
  /** Name of the executor that it belongs to. */
  readonly executor: string;
  /** How long ago it last said anything, in milliseconds. */
  heardMs(): number;
  /** What it was given, as it is known here without asking: the place may be busy for long. */
  jobs(): TaskSourceJob[];
  /**
   * Asks it. `hear` is called at most once and may be called at once; that may take for ever, so whoever asks sets a limit. The answer is never
   * from before the call, though others may have asked the same.
   * @returns Takes the question back: `hear` is not called any more.
   */
  ask(question: TaskQuestion, hear: (answer: TaskAnswer) => void): () => void;
}

export interface TaskSourceJob {
  /** Unique in its executor. */
  readonly id: number;
  readonly name: string;
  /** `"sent"`: not begun. `"loading"`: its module is imported. `"stopping"`: it was told to stop. */
  readonly state: "sent" | "loading" | "running" | "stopping";
  /** How long ago it was submitted, in milliseconds. */
  readonly ageMs: number;
}

/** What a place is asked: to import `module` and to return what its `answer(request, jobs)` gives. */
export interface TaskQuestion {
  /** A URL. Imported when first asked, so a place that nobody looks at loads nothing for it. */
  readonly module: string;
  /** Plain data. */
  readonly request: unknown;
}

/** A job that runs where the question arrives: the second argument of `answer`. */
export interface RunningJob {
  readonly id: number;
  readonly name: string;
  /** How long it runs, in milliseconds. */
  readonly runMs: number;
  /** The task that runs it; `null` for a plain function. */
  readonly task: Waiter | null;
}

export type TaskAnswer =
  | { readonly status: "answered"; readonly value: unknown }
  /** It could not: why, for people. */
  | { readonly status: "failed"; readonly why: string }
  /** The place is gone. */
  | { readonly status: "ended" };

/** All of this thread. Add one when its place begins, delete it when that has ended. */
export const taskSources: Set<TaskSource> = new Set();
