/**
 * The wait of a `select`, and its arms: the waits of which exactly one happens.
 *
 * Withdrawing an arm may serve whoever stood behind it, and that may be an arm again: of the same select, of one around it, or of
 * one that is just beginning and about to take something else. Three rules keep it to one each:
 * 1. Who is decided steps out of all its lines at once, and so do the selects around it (`claim`).
 * 2. Its other arms are withdrawn later in the same step: after a select that is beginning has begun all its arms. Nobody is
 *    served by a withdrawal while it begins.
 * 3. Those that were decided are withdrawn one after the other (`leaving`), not inside each other: a chain of selects, each of
 *    which frees the next, needs no stack.
 */
import { sharedWait, SUSPENDED, UsageError, Wait } from "../core/index.ts";
import type { Cancelled, LoopPort, Runnable, Started, Waiter } from "../core/index.ts";

/** What has happened. */
export interface Choice {
  readonly key: string | number;
  readonly value: unknown;
}

/**
 * `idle`: not begun, or over. `starting`: begins one arm after the other. `waiting`: until one is woken.
 * `withdrawing`: the task was cancelled; nothing is taken any more. `decided`: waits for an arm that cannot be withdrawn.
 */
type SelectState = "idle" | "starting" | "waiting" | "withdrawing" | "decided";

/** Selects that were decided in this step, whose other arms are to be withdrawn. */
const leaving: Select[] = [];
/** Whether somebody will see to those who leave: a select that begins, or `withdrawThoseWhoLeave` further down the stack. */
let isHeld = false;

function withdrawThoseWhoLeave(): void {
  isHeld = true;
  try {
    for (const select of leaving) select.leave(); // more may come meanwhile
  } finally {
    leaving.length = 0;
    isHeld = false;
  }
}

export class Select extends Wait<Choice> {
  readonly #arms: readonly Arm[];
  readonly #isFair: boolean;
  #waiter: Waiter | null = null;
  #state: SelectState = "idle";
  /** The arm that happens, or inside of which something happens. */
  #claimant: Arm | null = null;
  #decision: Decision | null = null;

  constructor(keys: readonly (string | number)[], waits: readonly Wait<unknown>[], isFair: boolean) {
    super();
    this.#arms = waits.map((wait, index) => new Arm(this, keys[index]!, wait));
    this.#isFair = isFair;
  }

  get reason(): string {
    const shown = this.#arms.slice(0, MOST_ARMS_SHOWN).map((arm) => arm.wait.reason);
    const more = this.#arms.length - shown.length;
    return `one of: ${shown.join(" | ")}${more > 0 ? ` | ${more} more` : ""}`;
  }

  /** Who waits. Only while an arm is at its wait. @internal */
  get waiter(): Waiter {
    return this.#waiter!;
  }

  protected start(waiter: Waiter): Started<Choice> {
    if (this.#waiter !== null) throw sharedWait(this.reason);
    this.#waiter = waiter;
    this.#state = "starting";
    const wasHeld = isHeld;
    let isOver: boolean;
    isHeld = true;
    try {
      this.#beginArms(waiter);
      isOver = this.#decision !== null && this.#withdrawArms(null);
      if (!isOver) {
        this.#state = this.#decision === null ? "waiting" : "decided";
        waiter.park(this);
      }
    } finally {
      isHeld = wasHeld;
    }
    if (!isHeld && leaving.length > 0) withdrawThoseWhoLeave();
    if (!isOver) return SUSPENDED;
    const { failed, value, arm } = this.#end()!;
    return failed ? waiter.fail(this, value) : waiter.complete(this, { key: arm!.key, value });
  }

  /**
   * For `trySelect`, at most once: what can happen now. Each arm is withdrawn before the next one begins, so only one can
   * happen whatever a withdrawal does. @internal
   */
  attempt(waiter: Waiter): Choice | undefined {
    this.#waiter = waiter;
    this.#state = "starting";
    for (const arm of this.#inOrder(waiter)) {
      let isOut = false;
      try {
        arm.begin();
      } finally {
        isOut = arm.withdraw(null);
      }
      if (!isOut) {
        throw new UsageError(
          `operand "${arm.key}" of trySelect (${arm.wait.reason}) has begun and cannot be withdrawn; use select`,
        );
      }
      const decision = this.#decision;
      if (decision === null) continue;
      if (decision.failed) throw decision.value;
      return { key: arm.key, value: decision.value };
    }
    return undefined;
  }

  #beginArms(waiter: Waiter): void {
    try {
      for (const arm of this.#inOrder(waiter)) {
        if (this.#claimant !== null) return;
        arm.begin();
      }
    } catch (error) {
      if (this.#claimant === null) {
        this.#decision = { arm: null, failed: true, value: error };
        return;
      }
      const message = `an operand of a select in task "${waiter.name}" failed after another one had happened:`;
      waiter.loop.report({ kind: "lost-error", message, error });
    }
  }

  #inOrder(waiter: Waiter): readonly Arm[] {
    if (!this.#isFair) return this.#arms;
    const first = Math.floor(waiter.loop.random() * this.#arms.length);
    return [...this.#arms.slice(first), ...this.#arms.slice(0, first)];
  }

  override stepAside(): void {
    for (const arm of this.#arms) arm.stepAside();
  }

  withdraw(_task: Waiter, cancelled: Cancelled | null): boolean {
    // It has happened: the task gets it once the last arm is out.
    if (this.#claimant !== null || this.#decision !== null) return false;
    this.#state = "withdrawing";
    const all = this.#withdrawArms(cancelled);
    if (all) this.#end();
    else this.#state = "waiting"; // for what cannot be withdrawn
    return all;
  }

  /** Whether the decision stands and only arms that cannot be withdrawn are waited for. @internal */
  get isDecided(): boolean {
    return this.#state === "decided";
  }

  /** One arm is woken. `false` when another one was before, or the task was cancelled. @internal */
  decide(decision: ArmDecision): boolean {
    if (!this.claim(decision.arm)) return false;
    this.#decision = decision;
    if (this.#state !== "waiting") return true; // `start` goes on from here
    leaving.push(this);
    if (!isHeld) withdrawThoseWhoLeave();
    return true;
  }

  /** From now on no other arm can happen, here and around. `false` when another one was before, or the task was cancelled. @internal */
  claim(arm: Arm): boolean {
    if (this.#claimant !== null) return this.#claimant === arm;
    if (this.#decision !== null || this.#state === "withdrawing") return false;
    if (this.#waiter instanceof Arm && !this.#waiter.claim()) return false;
    this.#claimant = arm;
    this.stepAside();
    return true;
  }

  /** Goes on after the decision. @internal */
  leave(): void {
    if (this.#withdrawArms(null)) this.#wake();
    else this.#state = "decided";
  }

  /** An arm that could not be withdrawn has ended, after the decision. @internal */
  armLeft(): void {
    if (this.#arms.every((arm) => !arm.isPending)) this.#wake();
  }

  #wake(): void {
    const waiter = this.#waiter!;
    const { failed, value, arm } = this.#end()!;
    if (failed) waiter.wakeError(this, value);
    else waiter.wake(this, { key: arm!.key, value });
  }

  /** Gives what was decided. The select may be begun again. */
  #end(): Decision | null {
    const decision = this.#decision;
    this.#decision = null;
    this.#claimant = null;
    this.#waiter = null;
    this.#state = "idle";
    return decision;
  }

  /** `false` when an arm cannot be withdrawn: it has to end by itself. */
  #withdrawArms(cancelled: Cancelled | null): boolean {
    this.stepAside();
    let all = true;
    for (const arm of this.#arms) if (!arm.withdraw(cancelled)) all = false;
    return all;
  }
}

interface Decision {
  /** `null` when an arm failed before it waited. */
  readonly arm: Arm | null;
  readonly failed: boolean;
  readonly value: unknown;
}

interface ArmDecision extends Decision {
  readonly arm: Arm;
}

const MOST_ARMS_SHOWN = 8; // of a reason, which is read by people

/** One wait of a select: to its operation it is the task. */
class Arm implements Waiter {
  heapIndex = -1;
  readonly key: string | number;
  readonly wait: Wait<unknown>;
  readonly #select: Select;
  #isPending = false;
  #isOutside = false;
  #passing: Passing | null = null;

  constructor(select: Select, key: string | number, wait: Wait<unknown>) {
    this.#select = select;
    this.key = key;
    this.wait = wait;
  }

  get isPending(): boolean {
    return this.#isPending;
  }

  get id(): number {
    return this.#select.waiter.id;
  }

  get name(): string {
    return this.#select.waiter.name;
  }

  get loop(): LoopPort {
    return this.#select.waiter.loop;
  }

  get task(): Waiter {
    return this.#select.waiter.task;
  }

  begin(): void {
    this.wait.begin(this);
  }

  /** Something happens in the select that this arm waits for. */
  claim(): boolean {
    return this.#select.claim(this);
  }

  park(wait: Wait<unknown>): Started<never> {
    this.#isPending = true;
    this.#isOutside = wait.external;
    if (this.#isOutside) this.loop.outside++;
    return SUSPENDED;
  }

  complete<T>(_wait: Wait<T>, value: T): Started<T> {
    if (!this.#select.decide({ arm: this, failed: false, value })) {
      throw new UsageError(`"${this.wait.reason}" ended another operand of the same select; its own value is lost`);
    }
    return { done: true, value };
  }

  fail(_wait: Wait<unknown>, error: unknown): Started<never> {
    throw error;
  }

  pass<T>(wait: Wait<T>, value: T): Started<T> {
    this.#passing = new Passing(this, value);
    this.loop.enqueue(this.#passing);
    return this.park(wait);
  }

  /** The turn has come of what was passed on. */
  passed(passing: Passing): void {
    if (this.#passing !== passing) return; // withdrawn meanwhile
    this.#passing = null;
    this.#ended(false, passing.value);
  }

  fire(): void {
    this.#ended(false, undefined);
  }

  wake<T>(_wait: Wait<T>, value: T): boolean {
    return this.#ended(false, value);
  }

  wakeError(_wait: Wait<unknown>, error: unknown): boolean {
    return this.#ended(true, error);
  }

  /** Out of its line, so that nothing is handed to it any more. */
  stepAside(): void {
    if (this.#isPending) this.wait.stepAside();
  }

  withdraw(cancelled: Cancelled | null): boolean {
    if (!this.#isPending) return true;
    this.#isPending = false; // what is aborted may call back at once
    this.#passing = null;
    try {
      if (!this.wait.withdraw(this, cancelled)) {
        this.#isPending = true;
        return false;
      }
    } catch (error) {
      const message = `operand "${this.key}" of a select threw while it was withdrawn from task "${this.name}":`;
      this.loop.report({ kind: "lost-error", message, error });
    }
    if (this.#isOutside) this.loop.outside--;
    return true;
  }

  #ended(failed: boolean, value: unknown): boolean {
    if (!this.#isPending) return false;
    const select = this.#select;
    const { loop } = this;
    this.#isPending = false;
    if (select.decide({ arm: this, failed, value })) {
      if (this.#isOutside) loop.outside--;
      return true;
    }
    if (select.isDecided) {
      if (this.#isOutside) loop.outside--;
      select.armLeft();
      return true;
    }
    this.#isPending = true;
    return false;
  }
}

/** A place in the ready queue, for an arm that is to end in the next turn. */
class Passing implements Runnable {
  readonly #arm: Arm;
  readonly value: unknown;

  constructor(arm: Arm, value: unknown) {
    this.#arm = arm;
    this.value = value;
  }

  run(): void {
    this.#arm.passed(this);
  }
}
