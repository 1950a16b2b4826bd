/**
 * What a supervisor keeps of each child, and the line in which those that have ended wait for it.
 */
import { Wait } from "../core/index.ts";
import type { Coroutine, Operation, Outcome, Scope, Started, Task, Waiter, Watcher } from "../core/index.ts";

export type RestartPolicy = "always" | "onFailure" | "never";

/** A child of a supervisor: its task while it runs, when it is to be started otherwise. */
export class Child implements Watcher {
  before: Child | null = null;
  after: Child | null = null;
  readonly name: string;
  readonly position: number;
  readonly policy: RestartPolicy;
  starts: number = 0;
  /** Until its outcome has been taken. */
  task: Task<unknown> | null = null;
  /** When it is to be started; `Infinity` for never. */
  dueAt: number = Infinity;
  readonly #run: () => Operation<unknown>;
  #ended: Ended | null = null;

  constructor(name: string, position: number, run: () => Operation<unknown>, policy: RestartPolicy) {
    this.name = name;
    this.position = position;
    this.policy = policy;
    this.#run = run;
  }

  get state(): "running" | "delayed" | "ended" {
    if (this.task !== null) return "running";
    return this.dueAt === Infinity ? "ended" : "delayed";
  }

  isDue(now: number): boolean {
    return this.task === null && this.dueAt <= now;
  }

  /** After a run of the supervisor: it is not started again, and also a task that outlasted its cleanup has settled by now. */
  retire(): void {
    this.task = null;
    this.dueAt = Infinity;
  }

  start(home: Scope, ended: Ended): void {
    this.dueAt = Infinity;
    this.starts++;
    this.#ended = ended;
    this.task = home.launch(callChild(this.#run), this.name);
    this.task.watch(this);
  }

  /** What became of it; then it is not running any more. */
  takeOutcome(): Outcome<unknown> | null {
    const outcome = this.task?.outcome ?? null;
    if (outcome !== null) this.task = null;
    return outcome;
  }

  taskSettled(task: Task<unknown>): void {
    void task.outcome; // seen: whatever it is, the supervisor deals with it
    this.#ended!.add(this);
  }
}

function* callChild(run: () => Operation<unknown>): Coroutine<void> {
  yield* run();
}

/** The children that have ended and wait for the supervisor; also a wait for the next one, or until a restart is due. */
export class Ended extends Wait<Child | undefined> {
  readonly #supervisor: string;
  readonly #children: Child[] = [];
  #waiter: Waiter | null = null;
  #dueAt = Infinity;

  constructor(supervisor: string) {
    super();
    this.#supervisor = supervisor;
  }

  get reason(): string {
    return `the children of supervisor "${this.#supervisor}"`;
  }

  add(child: Child): void {
    const waiter = this.#waiter;
    if (waiter === null) {
      this.#children.push(child);
      return;
    }
    this.#waiter = null;
    waiter.loop.removeTimer(waiter);
    if (!waiter.wake(this, child)) this.#children.push(child); // the restart that it waited for came first
  }

  drop(child: Child): void {
    const index = this.#children.indexOf(child);
    if (index >= 0) this.#children.splice(index, 1);
  }

  until(dueAt: number): this {
    this.#dueAt = dueAt;
    return this;
  }

  protected start(task: Waiter): Started<Child | undefined> {
    const child = this.#children.shift();
    if (child !== undefined) return task.complete(this, child);
    this.#waiter = task;
    if (this.#dueAt !== Infinity) task.loop.addTimer(task, this.#dueAt);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    this.#waiter = null;
    task.loop.removeTimer(task);
    return true;
  }
}
