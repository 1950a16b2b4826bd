/**
 * Waiting for several things at once, of which exactly one happens.
 *
 * An operation that is a single wait (receive, send, lock, sleep, event, future, joining a task, a promise) becomes an
 * arm: a waiter that stands in line on behalf of the task. A wait ends in one step, by the wake that hands the value over,
 * so the first wake decides, and in that same step the other arms are withdrawn, as if they had been cancelled: they took
 * nothing. No task is spawned, nothing is polled, and nothing can happen between the decision and its effect.
 *
 * A coroutine is several steps, which nobody can take back. Such an operand runs in a task of its own, as in `race`: when it loses
 * it is cancelled and awaited, and a value that it gives all the same goes to `onUnused`.
 *
 * Withdrawing one arm may serve whoever stood behind it, which may be another arm of the same select. So all of them step
 * out of their lines before the first one is withdrawn.
 *
 * Source: Go's `select` and Concurrent ML's `choose`; both lock every channel, which one thread does not need.
 */
import {
  Scope,
  sharedWait,
  SUSPENDED,
  toOperation,
  UsageError,
  Wait,
  type Body,
  type Cancelled,
  type Coroutine,
  type LoopPort,
  type Operation,
  type Runnable,
  type Started,
  Task,
  type Waiter,
} from "../core/index.ts";

/** Which operand happened, and what it gave: a union over the keys, or indexes, of the operands. */
export type Selected<Operands> = Operands extends readonly Body<unknown>[]
  ? number extends Operands["length"]
    ? { readonly key: number; readonly value: ResultOf<Operands[number]> }
    : { [Key in keyof Operands & `${number}`]: SelectedAt<IndexOf<Key>, Operands[Key]> }[keyof Operands & `${number}`]
  : { [Key in keyof Operands]: SelectedAt<Key, Operands[Key]> }[keyof Operands];

interface SelectedAt<Key, Operand> {
  readonly key: Key;
  readonly value: ResultOf<Operand>;
}

type ResultOf<Operand> = Operand extends Body<infer T> ? T : never;

type IndexOf<Key> = Key extends `${infer Index extends number}` ? Index : never;

export interface SelectOptions {
  /**
   * Of several operands that can happen at once, the one listed first is taken: that is a priority, and an operand that
   * always can starves those behind it. With `fair` the search begins at a random one. Default: `false`.
   */
  readonly fair?: boolean;
  /** Receives the value of a coroutine that has lost, or was cancelled, but ended with a value. Default: it is dropped. */
  readonly onUnused?: (value: unknown, key: string | number) => void;
}

/** Operands under their keys; of a list, the indexes. */
type Operands = Readonly<Record<string, Body<unknown>>> | readonly Body<unknown>[];

interface Choice {
  readonly key: string | number;
  readonly value: unknown;
}

/**
 * Waits until one of the operations happens; the others do not happen. Gives the key, or index, of the one, and its value.
 *
 * When one fails, that is thrown. Cancelling withdraws all of them: nothing was taken, nothing sent.
 * @throws {UsageError} when there is nothing to select from.
 * @example
 * const next = yield* select({ job: jobs.receive(), stop: stopped.wait(), tick: sleep(1_000) });
 * switch (next.key) {
 *   case "job": yield* work(next.value); break;
 *   case "stop": return;
 * }
 */
export function select<const Arms extends readonly Body<unknown>[]>(
  operands: Arms,
  options?: SelectOptions,
): Operation<Selected<Arms>>;
export function select<const Arms extends Readonly<Record<string, Body<unknown>>>>(
  operands: Arms,
  options?: SelectOptions,
): Operation<Selected<Arms>>;
export function select(operands: Operands, options: SelectOptions = {}): Operation<never> {
  const keys = keysOf(operands, "select");
  const waits = keys.map((key) => waitOf(at(operands, key)));
  if (waits.every((wait) => wait !== null)) {
    return new Select(keys, waits, options.fair ?? false, false) as Operation<never>;
  }
  return selectWithTasks(operands, keys, waits, options) as Coroutine<never>;
}

/**
 * Like `select`, without waiting: when no operand can happen at once, none does, and it gives `undefined`.
 * @throws {UsageError} when an operand is a coroutine: it cannot end without taking steps.
 * @example
 * const job = yield* trySelect([urgent.receive(), ordinary.receive()]);
 */
export function trySelect<const Arms extends readonly Body<unknown>[]>(
  operands: Arms,
  options?: Omit<SelectOptions, "onUnused">,
): Operation<Selected<Arms> | undefined>;
export function trySelect<const Arms extends Readonly<Record<string, Body<unknown>>>>(
  operands: Arms,
  options?: Omit<SelectOptions, "onUnused">,
): Operation<Selected<Arms> | undefined>;
export function trySelect(operands: Operands, options: SelectOptions = {}): Operation<never> {
  const keys = keysOf(operands, "trySelect");
  const waits = keys.map((key) => {
    const wait = waitOf(at(operands, key));
    if (wait !== null) return wait;
    throw new UsageError(`trySelect: operand "${key}" is a coroutine, which cannot end at once; use select`);
  });
  return new Select(keys, waits, options.fair ?? false, true) as Operation<never>;
}

function keysOf(operands: Operands, caller: string): readonly (string | number)[] {
  const keys = Array.isArray(operands) ? [...operands.keys()] : Object.keys(operands);
  if (keys.length === 0) throw new UsageError(`${caller} of nothing would never end; pass at least one operation`);
  return keys;
}

function at(operands: Operands, key: string | number): Body<unknown> {
  return (operands as Readonly<Record<string | number, Body<unknown>>>)[key]!;
}

/** The wait that the operation consists of, or `null` for a coroutine. */
function waitOf(operand: Body<unknown>): Wait<unknown> | null {
  if (operand instanceof Wait) return operand;
  if (operand instanceof Task) return operand.join();
  if (typeof operand === "function" || typeof operand?.[Symbol.iterator] !== "function") return null;
  const iterator = operand[Symbol.iterator](); // a task or a future; of a coroutine, it does nothing yet
  return iterator instanceof Wait ? iterator : null;
}

function* selectWithTasks(
  operands: Operands,
  keys: readonly (string | number)[],
  waits: readonly (Wait<unknown> | null)[],
  options: SelectOptions,
): Coroutine<unknown> {
  const scope = Scope.enter({ name: "select" });
  const tasks: { readonly key: string | number; readonly task: Task<unknown> }[] = [];
  let chosen: Choice | undefined;
  function* body(): Coroutine<Choice> {
    const all = waits.map((wait, index) => {
      if (wait !== null) return wait;
      const key = keys[index]!;
      const operand = at(operands, key);
      const label = typeof operand === "function" && operand.name !== "" ? operand.name : `select.${key}`;
      const task = scope.launch(toOperation(operand), label);
      tasks.push({ key, task });
      return task.join();
    });
    chosen = (yield* new Select(keys, all, options.fair ?? false, false))!;
    scope.request("obsolete", "another operand of the select has happened");
    return chosen;
  }
  try {
    return yield* scope.run(body());
  } finally {
    if (options.onUnused !== undefined) {
      for (const { key, task } of tasks) {
        const outcome = task.outcome;
        if (key !== chosen?.key && outcome?.status === "succeeded") options.onUnused(outcome.value, key);
      }
    }
  }
}

/**
 * `idle`: not begun, or over. `starting`: begins one arm after the other. `waiting`: until one is woken.
 * `withdrawing`: the task was cancelled; nothing is taken any more. `decided`: waits for an arm that cannot be withdrawn.
 */
type SelectState = "idle" | "starting" | "waiting" | "withdrawing" | "decided";

class Select extends Wait<Choice | undefined> {
  readonly #arms: readonly Arm[];
  readonly #isFair: boolean;
  readonly #isInstant: boolean;
  #waiter: Waiter | null = null;
  #state: SelectState = "idle";
  #decision: Decision | null = null;

  constructor(
    keys: readonly (string | number)[],
    waits: readonly Wait<unknown>[],
    isFair: boolean,
    isInstant: boolean,
  ) {
    super();
    this.#arms = waits.map((wait, index) => new Arm(this, keys[index]!, wait));
    this.#isFair = isFair;
    this.#isInstant = isInstant;
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

  protected start(waiter: Waiter): Started<Choice | undefined> {
    if (this.#waiter !== null) throw sharedWait(this.reason);
    this.#waiter = waiter;
    this.#state = "starting";
    const count = this.#arms.length;
    const offset = this.#isFair ? Math.floor(waiter.loop.random() * count) : 0;
    try {
      for (let i = 0; i < count && this.#decision === null; i++) this.#arms[(offset + i) % count]!.begin();
    } catch (error) {
      this.#decision ??= { arm: null, failed: true, value: error };
    }
    if (this.#decision === null && !this.#isInstant) {
      this.#state = "waiting";
      return waiter.park(this);
    }
    if (!this.#withdrawArms(null)) {
      this.#state = "decided";
      return waiter.park(this);
    }
    return this.#end((decision) =>
      decision === null
        ? waiter.complete(this, undefined)
        : decision.failed
          ? waiter.fail(this, decision.value)
          : waiter.complete(this, choiceOf(decision)),
    );
  }

  override stepAside(): void {
    for (const arm of this.#arms) arm.stepAside();
  }

  withdraw(_task: Waiter, cancelled: Cancelled | null): boolean {
    if (this.#state === "decided") return false; // it has happened; the task gets it once the last arm is out
    this.#state = "withdrawing";
    const all = this.#withdrawArms(cancelled);
    if (all) this.#end(() => {});
    else this.#state = "waiting"; // for what cannot be withdrawn
    return all;
  }

  /** Whether the decision stands and only arms that cannot be withdrawn are waited for. @internal */
  get isDecided(): boolean {
    return this.#state === "decided";
  }

  /** One arm is woken. `false` when another one was before, or the task was cancelled. @internal */
  decide(decision: Decision): boolean {
    if (this.#decision !== null || this.#state === "withdrawing") return false;
    this.#decision = decision;
    if (this.#state !== "waiting") return true; // `start` goes on from here
    if (this.#withdrawArms(null)) this.#wake();
    else this.#state = "decided";
    return true;
  }

  /** An arm that could not be withdrawn has ended, after the decision. @internal */
  armLeft(): void {
    if (this.#arms.every((arm) => !arm.isPending)) this.#wake();
  }

  #wake(): void {
    const waiter = this.#waiter!;
    this.#end((decision) => {
      if (decision?.failed === true) waiter.wakeError(this, decision.value);
      else waiter.wake(this, decision === null ? undefined : choiceOf(decision));
    });
  }

  #end<R>(tell: (decision: Decision | null) => R): R {
    const decision = this.#decision;
    this.#decision = null;
    this.#waiter = null;
    this.#state = "idle";
    return tell(decision);
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

function choiceOf(decision: Decision): Choice {
  return { key: decision.arm!.key, value: decision.value };
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
      const message = `"${this.wait.reason}" threw while it was withdrawn from task "${this.name}":`;
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
