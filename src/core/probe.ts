/**
 * Observation as an interface: the kernel calls, the observer lives elsewhere (the inspector, tests, `fibril compare`).
 *
 * A hook that no probe implements costs one comparison. A probe sees tasks read-only, changes no order, and must not keep
 * them. One that throws is detached and reported: an observer never harms what it observes.
 */
import type { StackFrame } from "./await-stack.ts";
import type { Cancelled } from "./cancelled.ts";
import type { Report } from "./report.ts";
import type { TaskState } from "./task-state.ts";

/** A task as observers see it. */
export interface TaskView {
  readonly id: number;
  readonly name: string;
  readonly state: TaskState;
  /** What it waits for, or `null`. */
  readonly waitingFor: string | null;
  /** How many steps it has run. */
  readonly steps: number;
  awaitStack(): readonly StackFrame[];
}

export interface Probe {
  taskSpawned?(task: TaskView): void;
  beforeStep?(task: TaskView): void;
  /** The task has suspended, or is about to settle. */
  afterStep?(task: TaskView): void;
  waitStarted?(task: TaskView): void;
  /** The task is ready again; its wait is still set. */
  waitEnded?(task: TaskView): void;
  taskSettled?(task: TaskView): void;
  cancelRequested?(scope: { readonly name: string }, cancelled: Cancelled): void;
}

/** Calls every attached probe; one field for each hook, `null` while no probe has it. @package */
export class ProbeHub {
  readonly #probes = new Set<Probe>();
  readonly #report: (report: Report) => void;
  taskSpawned: ((task: TaskView) => void) | null = null;
  beforeStep: ((task: TaskView) => void) | null = null;
  afterStep: ((task: TaskView) => void) | null = null;
  waitStarted: ((task: TaskView) => void) | null = null;
  waitEnded: ((task: TaskView) => void) | null = null;
  taskSettled: ((task: TaskView) => void) | null = null;
  cancelRequested: ((scope: { readonly name: string }, cancelled: Cancelled) => void) | null = null;

  constructor(report: (report: Report) => void) {
    this.#report = report;
  }

  get size(): number {
    return this.#probes.size;
  }

  add(probe: Probe): () => void {
    this.#probes.add(probe);
    this.#rebuild();
    return () => this.#remove(probe);
  }

  #remove(probe: Probe): void {
    this.#probes.delete(probe);
    this.#rebuild();
  }

  #rebuild(): void {
    this.taskSpawned = this.#fanOut((probe, task: TaskView) => probe.taskSpawned?.(task), "taskSpawned");
    this.beforeStep = this.#fanOut((probe, task: TaskView) => probe.beforeStep?.(task), "beforeStep");
    this.afterStep = this.#fanOut((probe, task: TaskView) => probe.afterStep?.(task), "afterStep");
    this.waitStarted = this.#fanOut((probe, task: TaskView) => probe.waitStarted?.(task), "waitStarted");
    this.waitEnded = this.#fanOut((probe, task: TaskView) => probe.waitEnded?.(task), "waitEnded");
    this.taskSettled = this.#fanOut((probe, task: TaskView) => probe.taskSettled?.(task), "taskSettled");
    this.cancelRequested = this.#fanOut(
      (probe, scope: { readonly name: string }, cancelled: Cancelled) => probe.cancelRequested?.(scope, cancelled),
      "cancelRequested",
    );
  }

  #fanOut<Args extends readonly unknown[]>(
    call: (probe: Probe, ...args: Args) => void,
    hook: keyof Probe,
  ): ((...args: Args) => void) | null {
    const listening = [...this.#probes].filter((probe) => probe[hook] !== undefined);
    if (listening.length === 0) return null;
    return (...args) => {
      for (const probe of listening) {
        if (!this.#probes.has(probe)) continue;
        try {
          call(probe, ...args);
        } catch (error) {
          this.#remove(probe);
          this.#report({ kind: "probe-failed", message: `a probe threw in ${hook} and was detached`, error });
        }
      }
    };
  }
}
