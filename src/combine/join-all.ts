/**
 * Joins many tasks and futures in one wait: a counter and a watcher for each that is still open.
 *
 * A loop of joins costs a wait and a switch for each task; here the waiting task is woken once. What has settled already is
 * read where it is. The first failure, in the order in which they happen, ends the wait, and all watchers are taken away.
 */
import { Future, sharedWait, Task, UsageError, Wait } from "../core/index.ts";
import type { Started, Waiter, Watcher } from "../core/index.ts";

export type Joinable = Task<unknown> | Future<unknown>;

export function isJoinable(body: unknown): body is Joinable {
  return body instanceof Task || body instanceof Future;
}

export class JoinAll extends Wait<unknown[]> {
  private readonly sources: readonly Joinable[];
  private values: unknown[] = [];
  private arrivals: Arrival[] | null = null;
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
    const names = this.arrivals === null ? [] : this.arrivals.filter((it) => it.isOpen).map((it) => `"${it.name}"`);
    const shown = names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
    return `join ${this.open} of ${this.sources.length} task(s): ${shown}`;
  }

  override get external(): boolean {
    return this.isExternal;
  }

  protected start(task: Waiter): Started<unknown[]> {
    if (this.waiter !== null) throw sharedWait("all");
    const { sources } = this;
    const values = new Array<unknown>(sources.length);
    let open: number[] | null = null;
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i]!;
      if (source instanceof Task && source.isSettled) {
        const value = source.settledValue;
        if (value === undefined && source.outcome!.status !== "succeeded") return task.fail(this, source.failure());
        values[i] = value;
      } else if ((source as unknown) === task.task) {
        throw new UsageError(`task "${task.name}" cannot join itself`, "SELF_JOIN");
      } else (open ??= []).push(i);
    }
    if (open === null) return task.complete(this, values);
    this.values = values;
    this.open = open.length;
    this.isExternal = false;
    const arrivals: Arrival[] = (this.arrivals = []);
    for (const index of open) {
      const source = sources[index]!;
      if (source instanceof Future ? source.external && !source.isSettled : source.loop !== task.loop)
        this.isExternal = true;
      const arrival = new Arrival(this, source, index);
      arrivals.push(arrival);
      arrival.watch();
    }
    if (this.early !== null) {
      const { error } = this.early;
      this.stop();
      return task.fail(this, error);
    }
    if (this.open === 0) return task.complete(this, this.finish());
    this.waiter = task;
    return task.park(this);
  }

  withdraw(): boolean {
    this.stop();
    return true;
  }

  /** @internal */
  arrived(index: number, value: unknown): void {
    this.values[index] = value;
    if (--this.open > 0 || this.waiter === null) return;
    const { waiter } = this;
    waiter.wake(this, this.finish());
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

  private finish(): unknown[] {
    const { values } = this;
    this.values = [];
    this.arrivals = null;
    this.waiter = null;
    return values;
  }

  private stop(): void {
    if (this.arrivals !== null) for (const arrival of this.arrivals) arrival.unwatch();
    this.early = null;
    this.finish();
  }
}

class Arrival implements Watcher {
  before: this | null = null;
  after: this | null = null;
  isOpen = true;
  private readonly join: JoinAll;
  private readonly source: Joinable;
  private readonly index: number;

  constructor(join: JoinAll, source: Joinable, index: number) {
    this.join = join;
    this.source = source;
    this.index = index;
  }

  get name(): string {
    return this.source.name;
  }

  watch(): void {
    if (this.source instanceof Task) this.source.watch(this);
    else this.source.watch(this);
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
    const value = task.settledValue;
    if (value !== undefined || task.outcome!.status === "succeeded") this.join.arrived(this.index, value);
    else this.join.failed(task.failure());
  }

  resolved(value: unknown): void {
    this.isOpen = false;
    this.join.arrived(this.index, value);
  }

  rejected(error: unknown): void {
    this.isOpen = false;
    this.join.failed(error);
  }
}
