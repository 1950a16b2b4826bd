/**
 * Operands that run at the same time until something is decided: what `race`, `any`, `hedge` and `settle` have in common.
 *
 * A contest is a wait of its host. Operands enter it: a task is watched where it is, anything else is launched in the
 * contest's scope. `settled` hears of every end at the very moment, so a winner cancels the losers in the step in which it
 * wins, and no end is missed, whatever order tasks run in. `decide` interrupts the host too if it does not wait yet: it looks
 * at `isDecided` before it waits.
 *
 * What becomes of a failure that nobody asked for any more:
 * - A loser was told to stop and its cleanup threw: the cleanup is broken, and the scope throws it.
 * - A loser failed by itself in the same turn, before it could take the cancellation: it has merely come second. It must
 *   not replace the winner's value, or the result would depend on who else was ready; `lateFailure` says where it goes.
 * The two are told apart by whether `Cancelled` had been thrown in the loser's task.
 */
import { Scope, Wait } from "../core/index.ts";
import type { Body, Coroutine, Operation, Outcome, Started, Task, Waiter, Watcher } from "../core/index.ts";
import { taskFor } from "./operands.ts";

export abstract class Contest extends Wait<void> {
  readonly scope: Scope;
  readonly what: string;
  /** Whether the result is there. */
  isDecided = false;
  protected readonly entrants: Entrant[] = [];
  private waiter: Waiter | null = null;
  private isExternal = false;
  /** The host is to look around, though nothing is decided. */
  private isCalled = false;
  /** How long the host waits at most. */
  private patienceMs = Infinity;

  /** Enters a scope in the running task; `hold` must follow. */
  constructor(what: string) {
    super();
    this.what = what;
    // What fails is heard of in `settled`: it need not end the scope.
    this.scope = Scope.enter({ name: what, onChildFailure: () => {} });
  }

  /** Runs `body` in the contest's scope, and waits for all that it has launched. */
  *hold<T>(body: Operation<T>): Coroutine<T> {
    try {
      const value = yield* this.scope.run(body);
      if (this.scope.isCaught) throw this.scope.asError(); // somebody has cancelled the scope itself
      return value as T;
    } finally {
      for (const entrant of this.entrants) entrant.unwatch();
    }
  }

  enter(body: Body<unknown>, key: number | string): void {
    const task = taskFor(this.scope, this.what, body, key);
    const entrant = new Entrant(this, task, this.entrants.length, task !== (body as unknown));
    this.entrants.push(entrant);
    task.watch(entrant);
  }

  /** Waits until it is decided or somebody calls the host, at most `patienceMs`. */
  within(patienceMs: number): this {
    this.patienceMs = patienceMs;
    return this;
  }

  /** An operand has ended while nothing was decided. */
  protected abstract arrived(entrant: Entrant, outcome: Outcome<unknown>): void;

  /** An operand of ours failed by itself after the decision. */
  protected lateFailure?(entrant: Entrant, error: unknown): void;

  protected decide(): void {
    this.isDecided = true;
    this.call();
    this.scope.request("obsolete", `the ${this.what} is decided`); // after the call: the host has its value
  }

  /** Ends the host's wait. */
  protected call(): void {
    const { waiter } = this;
    if (waiter === null) {
      this.isCalled = true;
      return;
    }
    this.waiter = null;
    if (this.patienceMs !== Infinity) waiter.loop.removeTimer(waiter);
    waiter.wake(this, undefined);
  }

  /** @internal */
  settled(entrant: Entrant): void {
    const { task, isOwn } = entrant;
    // It goes on where it lives. Looking at its outcome would count as having seen a failure.
    if (!isOwn && (this.isDecided || this.scope.isReached)) return;
    const outcome = task.outcome!;
    const isToldToStop = isOwn && this.scope.isReached;
    if (isToldToStop && outcome.status === "cancelled") return;
    // `unwinding` stays when a cleanup throws an error of its own instead of the cancellation.
    if (isToldToStop && outcome.status === "failed" && task.unwinding !== null) this.scope.fail(outcome.error);
    else if (!this.isDecided) this.arrived(entrant, outcome);
    else if (isOwn && outcome.status === "failed") this.lateFailure?.(entrant, outcome.error);
  }

  get reason(): string {
    const open = this.entrants.filter((it) => !it.task.isSettled).map((it) => `"${it.task.name}"`);
    const shown = open.length > 3 ? `${open.slice(0, 3).join(", ")} and ${open.length - 3} more` : open.join(", ");
    return `${this.what} of ${shown}`;
  }

  override get external(): boolean {
    return this.isExternal;
  }

  protected start(task: Waiter): Started<void> {
    if (this.isCalled) {
      this.isCalled = false;
      return task.complete(this, undefined);
    }
    this.isExternal = this.entrants.some((it) => !it.isOwn && !it.task.isSettled && it.task.loop !== task.loop);
    this.waiter = task;
    if (this.patienceMs !== Infinity) task.loop.addTimer(task, task.loop.now() + this.patienceMs);
    return task.park(this);
  }

  withdraw(task: Waiter): boolean {
    this.waiter = null;
    if (this.patienceMs !== Infinity) task.loop.removeTimer(task);
    return true;
  }
}

export class Entrant implements Watcher {
  before: Entrant | null = null;
  after: Entrant | null = null;
  readonly task: Task<unknown>;
  readonly index: number;
  /** Whether the contest has launched it. */
  readonly isOwn: boolean;
  private readonly contest: Contest;

  constructor(contest: Contest, task: Task<unknown>, index: number, isOwn: boolean) {
    this.contest = contest;
    this.task = task;
    this.index = index;
    this.isOwn = isOwn;
  }

  taskSettled(): void {
    this.contest.settled(this);
  }

  unwatch(): void {
    this.task.unwatch(this);
  }
}
