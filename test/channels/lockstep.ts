/**
 * Runs random commands on a real channel, queue, broadcast or watch and, in the same steps, on a model that is too naive to be wrong.
 *
 * Every operation runs in a task of its own; what has several arms is a `select`. The model is told in the step in which the
 * real operation begins, so under any order of the ready queue it knows what each one has to come to.
 */
import { spawn, yieldNow } from "fibril";
import type { Coroutine, Operation, Task } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect } from "vitest";
import { select } from "../../src/channels/select.ts";

export interface Item {
  readonly id: number;
  readonly rank: number;
}

export interface Arm {
  readonly kind: "put" | "take" | "next" | "join";
  readonly end: number;
  readonly item: Item;
}

export type Command =
  | { readonly kind: "start"; readonly arms: readonly Arm[] }
  | { readonly kind: "tryPut" | "tryTake"; readonly end: number; readonly item: Item }
  | { readonly kind: "cancel"; readonly which: number }
  | { readonly kind: "turn" }
  | { readonly kind: EndCommand; readonly end: number };

export type EndCommand =
  | "cloneSender"
  | "cloneReceiver"
  | "closeSender"
  | "closeReceiver"
  | "closeAll"
  | "throwOut"
  | "done";

/** What the real thing has to offer. Ends that it does not have are 0. */
export interface Real {
  put?(end: number, item: Item): Operation<void>;
  take(end: number): Operation<Item>;
  next(end: number): Operation<IteratorResult<Item, undefined>>;
  /** The arm that is neither: joining a queue, waiting for a condition of a watch. */
  join?(item: Item): Operation<unknown>;
  tryPut(end: number, item: Item): boolean;
  tryTake(end: number): { readonly value: Item } | undefined;
  end(command: EndCommand, end: number): unknown;
  counts(): Counts;
}

export interface Counts {
  readonly stored: number;
  readonly putters: number;
  readonly takers: number;
  readonly unfinished: number;
  readonly joiners: number;
}

/** One start of one or several arms. */
export interface Op {
  readonly id: number;
  readonly arms: readonly Arm[];
  task: Task<void> | null;
  hasBegun: boolean;
  isCancelled: boolean;
  expected: string | null;
  seen: string | null;
}

/** An arm in a line. */
export interface Parked {
  readonly op: Op;
  readonly arm: number;
}

export const CLOSED = "closed";

/** A model: lines as plain arrays. What is in them and who is served next is said by its kinds. */
export abstract class Model {
  putters: Parked[] = [];
  takers: Parked[] = [];
  joiners: Parked[] = [];

  /** Puts, takes or joins now if it can be done; else `null`. `op`: whose own arms must not be served. */
  abstract attempt(arm: Arm, op: Op | null): string | null;
  abstract end(command: EndCommand, end: number): unknown;
  /** Whether the command makes sense: what would be misuse is a test of its own. */
  abstract allows(command: EndCommand, end: number): boolean;
  abstract counts(): Counts;
  /** How many ends there are for those who put, and for the others. */
  abstract readonly sinks: number;
  abstract readonly sources: number;

  begin(op: Op): void {
    for (const [index, arm] of op.arms.entries()) {
      const result = this.attempt(arm, op);
      if (result !== null) return this.finish(op, index, result);
      const line = arm.kind === "put" ? this.putters : arm.kind === "join" ? this.joiners : this.takers;
      line.push({ op, arm: index });
    }
  }

  finish(op: Op, arm: number, result: string): void {
    // A select fails as a whole, whichever arm it was.
    op.expected = /^(closed|lagged)/.test(result) ? result : `${arm}:${result}`;
    this.withdraw(op);
  }

  withdraw(op: Op): void {
    this.putters = this.putters.filter((it) => it.op !== op);
    this.takers = this.takers.filter((it) => it.op !== op);
    this.joiners = this.joiners.filter((it) => it.op !== op);
  }

  // An op whose other arm was ended just before is not in line any more.
  protected refuse(isMeant: (end: number) => boolean): void {
    for (const it of [...this.putters]) {
      if (this.putters.includes(it) && isMeant(it.op.arms[it.arm]!.end)) this.finish(it.op, it.arm, CLOSED);
    }
  }

  protected endTakers(isMeant: (end: number) => boolean): void {
    for (const it of [...this.takers]) {
      const { kind, end } = it.op.arms[it.arm]!;
      if (this.takers.includes(it) && isMeant(end)) this.finish(it.op, it.arm, kind === "next" ? "end" : CLOSED);
    }
  }
}

/** Runs the commands. Throws when the real thing and the model differ in anything. */
export function runInLockstep(
  commands: readonly Command[],
  model: Model,
  makeReal: () => Real,
  seed: number | undefined,
): void {
  const ops: Op[] = [];
  function* main(): Coroutine<void> {
    const real = makeReal();
    for (const [id, command] of commands.entries()) {
      if (command.kind === "turn") yield* yieldNow();
      else perform(command, id, real);
      expect(real.counts()).toEqual(model.counts());
    }
    for (let i = 0; i < 3; i++) yield* yieldNow();
    expect(real.counts()).toEqual(model.counts());
    for (const op of ops) op.task!.cancel();
  }
  function perform(command: Exclude<Command, { kind: "turn" }>, id: number, real: Real): void {
    if (command.kind === "start") {
      const op: Op = {
        id,
        arms: command.arms.map((arm) => bounded(arm, id)),
        task: null,
        hasBegun: false,
        isCancelled: false,
        expected: null,
        seen: null,
      };
      ops.push(op);
      op.task = spawn(() => attend(op, model, real));
    } else if (command.kind === "cancel") {
      const op = ops[command.which % (ops.length || 1)];
      if (op === undefined || op.isCancelled) return;
      op.isCancelled = true;
      if (op.hasBegun && op.expected === null) model.withdraw(op);
      op.task!.cancel();
    } else if (command.kind === "tryPut" || command.kind === "tryTake") {
      const kind = command.kind === "tryPut" ? "put" : "take";
      const arm = bounded({ kind, end: command.end, item: command.item }, id);
      expect(tried(() => (kind === "put" ? real.tryPut(arm.end, arm.item) : real.tryTake(arm.end)))).toBe(
        model.attempt(arm, null),
      );
    } else {
      const end = command.end % (command.kind.endsWith("Receiver") ? model.sources : model.sinks);
      if (!model.allows(command.kind, end)) return;
      expect(real.end(command.kind, end) ?? undefined).toEqual(told(model.end(command.kind, end)));
    }
  }
  // Ends are chosen among those that there are, and every item is another one.
  function bounded(arm: Arm, id: number): Arm {
    const ends = arm.kind === "put" ? model.sinks : model.sources;
    return { kind: arm.kind, end: arm.end % ends, item: { id: id * 10 + arm.item.id, rank: arm.item.rank } };
  }
  const { outcome, leaks, reports } = simulateSync(main, seed === undefined ? {} : { seed });
  if (outcome.status === "failed") throw outcome.error;
  expect({ leaks, reports }).toEqual({ leaks: [], reports: [] });
  for (const op of ops) expect(`${op.id} ${op.seen}`).toBe(`${op.id} ${op.expected}`);
}

function* attend(op: Op, model: Model, real: Real): Coroutine<void> {
  const operations = op.arms.map((arm) => {
    if (arm.kind === "put") return real.put!(arm.end, arm.item);
    if (arm.kind === "join") return real.join!(arm.item);
    return arm.kind === "take" ? real.take(arm.end) : real.next(arm.end);
  });
  if (!op.isCancelled) {
    op.hasBegun = true;
    model.begin(op);
  }
  try {
    if (operations.length === 1) op.seen = `0:${show(yield* operations[0]!)}`;
    else {
      const operands: Readonly<Record<string, Operation<unknown>>> = Object.fromEntries(operations.entries());
      const { key, value } = yield* select(operands);
      op.seen = `${key}:${show(value)}`;
    }
  } catch (error) {
    op.seen = failureShown(error);
  }
}

function tried(call: () => unknown): string | null {
  try {
    const result = call();
    if (result === false || result === undefined) return null;
    return result === true ? "void" : show((result as { value: unknown }).value);
  } catch (error) {
    return failureShown(error);
  }
}

function failureShown(error: unknown): string {
  const { code, missed } = error as { code?: string; missed?: number };
  if (code === "LAGGED") return `lagged ${missed}`;
  if (code === "CHANNEL_CLOSED" || code === "QUEUE_SHUT_DOWN") return CLOSED;
  throw error;
}

function told(result: unknown): unknown {
  return Array.isArray(result) ? result : undefined;
}

function show(value: unknown): string {
  if (value === undefined) return "void";
  const result = value as Partial<IteratorResult<Item, undefined>> & Partial<Item>;
  if (result.done === true) return "end";
  return `#${result.done === false ? result.value!.id : result.id}`;
}

export type Subject = "channel" | "queue" | "broadcast" | "watch";

const END_COMMANDS: Readonly<Record<Subject, readonly EndCommand[]>> = {
  channel: ["cloneSender", "cloneReceiver", "closeSender", "closeReceiver", "closeAll"],
  queue: ["closeAll", "throwOut", "done", "done", "done", "done", "done", "done"],
  broadcast: ["cloneReceiver", "cloneReceiver", "closeReceiver", "closeReceiver", "closeAll"],
  watch: ["cloneReceiver", "cloneReceiver", "closeReceiver", "closeReceiver", "closeAll"],
};

const ARM_KINDS: Readonly<Record<Subject, readonly Arm["kind"][]>> = {
  channel: ["put", "put", "take", "next"],
  queue: ["put", "put", "take", "next", "join"],
  broadcast: ["put", "put", "take", "next"],
  watch: ["take", "next", "join"],
};

/** Programs. */
export function commandsFor(what: Subject): fc.Arbitrary<Command[]> {
  const end = fc.nat({ max: 3 });
  const item = fc.record({ id: fc.nat({ max: 9 }), rank: fc.nat({ max: 2 }) });
  const arm = fc.record({ kind: fc.constantFrom(...ARM_KINDS[what]), end, item });
  const one = arm.map((it) => [it]);
  const several = fc.array(arm, { minLength: 2, maxLength: 3 });
  const command: fc.Arbitrary<Command> = fc.oneof(
    { weight: 8, arbitrary: one.map((arms) => ({ kind: "start" as const, arms })) },
    { weight: 2, arbitrary: several.map((arms) => ({ kind: "start" as const, arms })) },
    { weight: 6, arbitrary: fc.constant({ kind: "turn" as const }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("tryPut" as const, "tryTake" as const), end, item }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("cancel" as const), which: fc.nat({ max: 40 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom(...END_COMMANDS[what]), end }) },
  );
  return fc.array(command, { maxLength: 40, size: "max" });
}
