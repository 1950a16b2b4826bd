/**
 * One loop as data: a walk over its scopes and tasks, outermost first, without recursion.
 *
 * What is inherited, a deadline and a cancellation, is handed down on the way: asking each scope for all around it would make a deep program quadratic.
 * Nothing is touched: outcomes are not looked at (that would count as having seen a failure), and no task is woken.
 */
import { describeValue } from "../core/index.ts";
import type { Blocker, Cancelled, EventLoop, Scope, Task, Wait } from "../core/index.ts";
import type {
  CancellationRecord,
  JobLink,
  LoopRecord,
  ScopeRecord,
  TaskLink,
  TaskRecord,
  WaitRecord,
} from "./records.ts";
import { waitedFor } from "./waiting-times.ts";

/** What to take along. */
export interface RecordPlan {
  readonly stacks: boolean;
  /** Tasks of one loop, and scopes of one loop. */
  readonly limit: number;
}

/** A scope that is being walked, with what holds in it. */
interface Place {
  readonly scope: Scope;
  readonly id: number;
  /** On the loop's clock; `Infinity` for none. */
  readonly deadline: number;
  readonly cancelled: Cancelled | null;
}

const LONGEST_TEXT = 256;

/** The loops of one thread. */
export function recordLoops(loops: readonly EventLoop[], plan: RecordPlan): LoopRecord[] {
  const numbers = new Map<object, number>(loops.map((loop, number) => [loop, number]));
  return loops.map((loop) => new LoopRecorder(loop, plan, numbers).record());
}

/** A task of this thread, for who refers to it. */
export function linkTo(
  task: { readonly id: number; readonly name: string; readonly loop: object },
  numbers: ReadonlyMap<object, number>,
): TaskLink {
  return { loop: numbers.get(task.loop) ?? null, id: task.id, name: shortened(task.name) };
}

/** Names are whatever a program makes of them. */
export function shortened(name: unknown): string {
  const text = typeof name === "string" ? name : describeValue(name);
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT - 1)}…`;
}

class LoopRecorder {
  readonly #loop: EventLoop;
  readonly #plan: RecordPlan;
  readonly #numbers: ReadonlyMap<object, number>;
  readonly #now: number;
  readonly #places: Place[] = [];
  readonly #scopes: ScopeRecord[] = [];
  readonly #ids = new Map<object, number>();
  readonly #tasks: TaskRecord[] = [];
  readonly #cancellations = new Map<Cancelled, CancellationRecord>();

  constructor(loop: EventLoop, plan: RecordPlan, numbers: ReadonlyMap<object, number>) {
    this.#loop = loop;
    this.#plan = plan;
    this.#numbers = numbers;
    this.#now = loop.now();
  }

  record(): LoopRecord {
    const { name, root } = this.#loop;
    this.#enter(root, null);
    for (let i = 0; i < this.#places.length; i++) this.#recordTasksOf(this.#places[i]!);
    const { tasks, ready, timers, outside, tasksSpawned } = this.#loop.statistics();
    return {
      name: shortened(name),
      ready,
      timers,
      outside,
      tasksSpawned,
      tasks: this.#tasks.sort((a, b) => a.id - b.id),
      scopes: this.#scopes,
      leftOut: tasks - this.#tasks.length,
    };
  }

  #recordTasksOf(place: Place): void {
    for (const task of place.scope.children) {
      if (this.#tasks.length >= this.#plan.limit) return;
      // The scopes that it has opened, from the innermost out.
      const inside: Scope[] = [];
      for (let { scope } = task; scope.host === task; scope = scope.parent!) inside.push(scope as Scope);
      let innermost = place;
      for (let i = inside.length - 1; i >= 0 && this.#places.length < this.#plan.limit; i--) {
        innermost = this.#enter(inside[i]!, innermost);
      }
      this.#tasks.push(this.#recordTask(task, place, innermost));
    }
  }

  #enter(scope: Scope, around: Place | null): Place {
    const id = this.#places.length;
    const outer = scope.isShield ? null : around;
    const place: Place = {
      scope,
      id,
      deadline: Math.min(scope.deadline, outer?.deadline ?? Infinity),
      cancelled: scope.cancelled ?? outer?.cancelled ?? null,
    };
    this.#places.push(place);
    this.#ids.set(scope, id);
    this.#scopes.push({
      id,
      name: shortened(scope.name),
      parentId: around?.id ?? null,
      hostId: scope.host?.id ?? null,
      isTaskScope: scope.isTaskScope,
      isShield: scope.isShield,
      size: scope.size,
      deadlineMs: this.#untilDeadline(place),
      cancelled: this.#cancellation(place),
    });
    return place;
  }

  #recordTask(task: Task<unknown>, place: Place, innermost: Place): TaskRecord {
    return {
      id: task.id,
      name: shortened(task.name),
      state: task.state,
      parentId: place.scope.host?.id ?? null,
      scopeId: place.id,
      steps: task.steps,
      wait: task.state === "waiting" && task.wait !== null ? this.#recordWait(task, task.wait) : null,
      deadlineMs: this.#untilDeadline(innermost),
      cancelled: this.#cancellation(innermost),
      isCancelling: task.isCancelling,
      spawnedAt: task.spawnedAt,
      stack: this.#plan.stacks ? task.awaitStack() : null,
    };
  }

  #recordWait(task: Task<unknown>, wait: Wait<unknown>): WaitRecord {
    const due = this.#loop.deadlineOf(task);
    const blocker = blockerOf(wait);
    return {
      reason: shortened(task.waitingFor ?? ""),
      ...waitedFor(task, this.#now),
      dueMs: due === undefined ? null : due - this.#now,
      task: blocker !== null && blocker.kind === "task" ? this.#link(blocker.task) : null,
      scopeId: blocker !== null && blocker.kind === "children" ? (this.#ids.get(blocker.scope) ?? null) : null,
      job: blocker !== null && blocker.kind === "job" ? this.#linkJob(blocker) : null,
    };
  }

  #linkJob({ executor, id, name, state, ageMs, threadId, task }: Blocker & { readonly kind: "job" }): JobLink {
    return {
      executor: shortened(executor),
      id,
      name: shortened(name),
      state,
      ageMs,
      threadId,
      task: task === null ? null : this.#link(task),
    };
  }

  #link(waiter: { readonly task: { readonly id: number; readonly name: string; readonly loop: object } }): TaskLink {
    return linkTo(waiter.task, this.#numbers);
  }

  #untilDeadline({ deadline }: Place): number | null {
    return deadline === Infinity ? null : Math.max(deadline - this.#now, -Number.MAX_SAFE_INTEGER);
  }

  #cancellation({ cancelled }: Place): CancellationRecord | null {
    if (cancelled === null) return null;
    let made = this.#cancellations.get(cancelled);
    if (made === undefined) {
      const { source, reason, by, at } = cancelled;
      const text = reason === undefined ? null : shortened(typeof reason === "string" ? reason : describeValue(reason));
      made = { source, reason: text, by: by === null ? null : shortened(by), ageMs: this.#now - at };
      this.#cancellations.set(cancelled, made);
    }
    return made;
  }
}

/** Whoever looks must not break because of an operation of somebody else's. */
function blockerOf(wait: Wait<unknown>): Blocker | null {
  try {
    return wait.blocker;
  } catch {
    return null;
  }
}
