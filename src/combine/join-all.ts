/**
 * Joins many tasks and futures in one wait: a counter, which itself watches every task that is still open.
 *
 * A loop of joins costs a wait and a switch for each task; here the waiting task is woken once, and nothing is allocated for a task
 * that nobody else watches. What has settled is read where it is, in the end. The first failure, in the order in which they happen,
 * ends the wait, and all that watches is taken away.
 */
import { Future, sharedWait, Task, UsageError, Wait } from "../core/index.ts";
import type { Started, Waiter, Watcher } from "../core/index.ts";

export type Joinable = Task<unknown> | Future<unknown>;

export function isJoinable(body: unknown): body is Joinable {
  return body instanceof Task || body instanceof Future;
}

/** A loop, since `every` calls back for each, which took 5 ns of the 97 that it costs to spawn a task and join it here. */
export function areJoinable(bodies: readonly unknown[]): bodies is readonly Joinable[] {
  for (let i = 0; i < bodies.length; i++) if (!isJoinable(bodies[i])) return false;
  return true;
}

// It is a `Watcher` too and does not say so: a published type must not claim members that are stripped from it. `watchAlone` checks it.
export class JoinAll extends Wait<unknown[]> {
  /** It stands in no list: see `Task.watchAlone`. */
  before: Watcher | null = null;
  after: Watcher | null = null;
  private readonly sources: readonly Joinable[];
  /** For futures, and for tasks that others watch too. */
  private arrivals: Arrival[] | null = null;
  /** What futures have given, by their indexes. */
  private given: unknown[] | null = null;
  private open = 0;
  private waiter: Waiter | null = null;
  /** Of a future that was rejected already when it was watched. */
  private early: { readonly error: unknown } | null = null;
  private isExternal = false;

  constructor(sources: readonly Joinable[]) {
    super();
    this.sources = sources;
  }

  get reason(): string {
    const open = this.waiter === null ? [] : this.sources.filter((it) => !it.isSettled);
    const names = open.slice(0, 3).map((it) => `"${it.name}"`);
    const more = open.length > 3 ? ` and ${open.length - 3} more` : "";
    return `join ${open.length} of ${this.sources.length} task(s): ${names.join(", ")}${more}`;
  }

  override get external(): boolean {
    return this.isExternal;
  }

  protected start(task: Waiter): Started<unknown[]> {
    if (this.waiter !== null) throw sharedWait("all");
    const { sources } = this;
    let open = 0;
    for (const source of sources) {
      if (!(source instanceof Task) || !source.isSettled) {
        if ((source as unknown) === task.task)
          throw new UsageError(`task "${task.name}" cannot join itself`, "SELF_JOIN");
        open++;
      } else if (!source.hasSucceeded) return task.fail(this, source.failure());
    }
    this.open = open;
    this.isExternal = false;
    if (open > 0) this.watch(task);
    if (this.early !== null) {
      const { error } = this.early;
      this.stop();
      return task.fail(this, error);
    }
    if (this.open === 0) return task.complete(this, this.finish());
    this.waiter = task;
    return task.park(this);
  }

  private watch({ loop }: Waiter): void {
    const { sources } = this;
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i]!;
      if (source instanceof Task) {
        if (source.isSettled) continue;
        if (source.loop !== loop) this.isExternal = true;
        if (!source.watchAlone(this)) source.watch(this.watcherOf(source, i));
      } else {
        if (source.external && !source.isSettled) this.isExternal = true;
        source.watch(this.watcherOf(source, i));
      }
    }
  }

  withdraw(): boolean {
    this.stop();
    return true;
  }

  /** @internal */
  watcherOf(source: Joinable, index = -1): Arrival {
    const arrival = new Arrival(this, source, index);
    (this.arrivals ??= []).push(arrival);
    return arrival;
  }

  /** @internal */
  taskSettled(task: Task<unknown>): void {
    if (task.hasSucceeded) this.arrived();
    else this.failed(task.failure());
  }

  /** @internal */
  futureResolved(index: number, value: unknown): void {
    (this.given ??= [])[index] = value;
    this.arrived();
  }

  /** @internal */
  failed(error: unknown): void {
    const { waiter } = this;
    if (waiter === null) {
      this.early ??= { error };
      return;
    }
    this.stop();
    waiter.wakeError(this, error);
  }

  private arrived(): void {
    if (--this.open > 0 || this.waiter === null) return;
    const { waiter } = this;
    waiter.wake(this, this.finish());
  }

  private finish(): unknown[] {
    const { sources, given } = this;
    const values = new Array<unknown>(sources.length);
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i]!;
      values[i] = source instanceof Task ? source.settledValue : given![i];
    }
    this.forget();
    return values;
  }

  private stop(): void {
    // Also of one that has settled: it may be about to tell, and a failure that nobody waits for any more is not ours.
    for (const source of this.sources) if (source instanceof Task) source.unwatch(this);
    if (this.arrivals !== null) for (const arrival of this.arrivals) arrival.unwatch();
    this.early = null;
    this.forget();
  }

  private forget(): void {
    this.arrivals = null;
    this.given = null;
    this.waiter = null;
  }
}

/** Watches one source that does not settle in the ordinary way. */
class Arrival implements Watcher {
  before: this | null = null;
  after: this | null = null;
  private isOpen = true;
  private readonly join: JoinAll;
  private readonly source: Joinable;
  private readonly index: number;

  constructor(join: JoinAll, source: Joinable, index: number) {
    this.join = join;
    this.source = source;
    this.index = index;
  }

  unwatch(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (this.source instanceof Task) this.source.unwatch(this);
    else this.source.unwatch(this);
  }

  taskSettled(task: Task<unknown>): void {
    if (!this.isOpen) return; // given up while the task told its watchers: the failure is not ours
    this.isOpen = false;
    this.join.taskSettled(task);
  }

  resolved(value: unknown): void {
    this.isOpen = false;
    this.join.futureResolved(this.index, value);
  }

  rejected(error: unknown): void {
    this.isOpen = false;
    this.join.failed(error);
  }
}
