/**
 * The language of the judge: programs as data, which interpreter.py runs on CPython and interpret.ts on ours.
 *
 * A program is a list of functions (the first is the main task), each a list of statements. A function only ever calls
 * or spawns functions behind it, repetitions are counted, statements and tasks are capped: every program ends by itself.
 * Tasks live in numbered slots that all functions share, so that anyone may cancel or await anyone.
 *
 * Times are whole quarters of a second: sums of quarters are exact, so clocks can be compared as text.
 */

/** A length of time in quarters of a second. */
type Quarters = number;
/** Index of a function of the program. */
type Fn = number;
/** Index of a task slot. */
type Slot = number;
/** Index of a resource of its kind. */
type Index = number;

/** `Base` is everything, `Exception` everything but a cancellation, `E` what programs raise. */
export type ErrorKind = "E" | "Exception" | "Cancelled" | "Timeout" | "Group" | "Base";

/** Statements that end at once; these may also stand in a callback. */
export type PlainStatement =
  | readonly ["log", number]
  | readonly ["spawn", Slot, Fn]
  /** In the innermost group around, which may belong to another task and may be over. */
  | readonly ["gspawn", Slot, Fn]
  /** The same, but the task runs up to its first wait at once (`eager_start`). */
  | readonly ["eager" | "geager", Slot, Fn]
  /** `TaskGroup.cancel()`: CPython 3.15. */
  | readonly ["gcancel"]
  | readonly ["cancel", Slot, message: string | null]
  | readonly ["cancelself"]
  | readonly ["uncancel"]
  | readonly ["uncanceltask", Slot]
  /** Spawns a task that runs in a context which others may share. */
  | readonly ["ctxspawn", Slot, Fn, context: number]
  /** Makes a future of tasks, so that others may await and cancel it. */
  | readonly ["futgather", Index, readonly Slot[], returnExceptions: boolean]
  | readonly ["futshield", Index, Slot]
  | readonly ["cancelling"]
  | readonly ["tstate" | "tresult", Slot]
  | readonly ["tcb" | "tuncb", Slot, number]
  | readonly ["release" | "locked" | "semrelease" | "semlocked", Index]
  | readonly ["evset" | "evclear" | "evisset", Index]
  | readonly ["notify", Index, number]
  | readonly ["notifyall" | "inc" | "barstate", Index]
  | readonly ["putnw", Index, number]
  | readonly ["getnw" | "taskdone" | "qstate", Index]
  | readonly ["shutdown", Index, immediate: boolean]
  | readonly ["futset" | "futexc", Index, number]
  | readonly ["futcancel", Index, message: string | null]
  | readonly ["futstate" | "futresult" | "futerror" | "futnew", Index]
  | readonly ["futcb", Index, number]
  | readonly ["callsoon", handle: number, readonly PlainStatement[]]
  | readonly ["calllater" | "callat", handle: number, Quarters, readonly PlainStatement[]]
  | readonly ["hcancel", handle: number]
  | readonly ["ctxset", Index, number]
  | readonly ["ctxget" | "ctxreset", Index]
  | readonly ["resched", Quarters | null]
  | readonly ["tmstate"]
  /** In a handler: what of the group is of this kind, and the rest. */
  | readonly ["split", ErrorKind];

/** Statements that may wait, hold others, or end the function. */
export type WaitingStatement =
  | readonly ["sleep", Quarters]
  | readonly ["await", Slot]
  | readonly ["call" | "shieldfn", Fn]
  | readonly ["shield", Slot]
  /** Mode 0 is FIRST_COMPLETED, 1 FIRST_EXCEPTION, 2 ALL_COMPLETED. */
  | readonly ["wait", readonly Slot[], Quarters | null, mode: 0 | 1 | 2]
  | readonly ["waitfor", Slot, Quarters | null]
  | readonly ["waitforfn", Fn, Quarters | null]
  | readonly ["gather", readonly Slot[], returnExceptions: boolean]
  | readonly ["gatherfn", readonly Fn[], returnExceptions: boolean]
  | readonly ["ascompleted", readonly Slot[], Quarters | null]
  | readonly ["timeout" | "timeoutat", Quarters | null, Block]
  | readonly ["group", Block]
  | readonly ["lock" | "sem" | "cond", Index, Block]
  | readonly ["acquire" | "semacquire" | "evwait" | "condwait", Index]
  /** Until the counter of the condition (`inc`) has reached a number. */
  | readonly ["condwaitfor", Index, number]
  | readonly ["barrier" | "barreset" | "barabort", Index]
  | readonly ["put", Index, number]
  | readonly ["get" | "join", Index]
  | readonly ["futawait" | "shieldfut", Index]
  | readonly ["gatherfut", readonly Index[], returnExceptions: boolean]
  | readonly ["waitfut", readonly Index[], Quarters | null, mode: 0 | 1 | 2]
  | readonly ["futwaitfor", Index, Quarters | null]
  | readonly ["try", Block, readonly (readonly [ErrorKind, Block])[], last: Block | null]
  | readonly ["repeat", times: number, Block]
  | readonly ["return", number]
  /** A number raises `E`; `again` raises what the handler handles. */
  | readonly ["raise", number | "Cancelled" | "Timeout" | "again"];

export type Statement = PlainStatement | WaitingStatement;
export type Block = readonly Statement[];

export type QueueKind = "fifo" | "lifo" | "prio";

export interface Program {
  readonly seed: number;
  readonly res: {
    readonly lock?: number;
    readonly sem?: readonly (readonly [value: number, bounded: boolean])[];
    readonly ev?: number;
    readonly cond?: number;
    /** Whether a condition uses the lock of the same number, if there is one. */
    readonly shared?: boolean;
    readonly bar?: readonly number[];
    readonly q?: readonly (readonly [QueueKind, maxSize: number])[];
    readonly fut?: number;
    readonly ctx?: number;
  };
  readonly fns: readonly Block[];
}

/** A program as indented text, for people. */
export function programText(program: Program): string {
  const lines = [`seed ${program.seed}  resources ${JSON.stringify(program.res)}`];
  program.fns.forEach((block, number) => {
    lines.push(number === 0 ? "main:" : `fn ${number}:`);
    write(lines, block, "  ");
  });
  return lines.join("\n");
}

function write(lines: string[], block: Block, indent: string): void {
  for (const statement of block) {
    if (statement[0] === "try") {
      lines.push(`${indent}try`);
      write(lines, statement[1], `${indent}  `);
      for (const [kind, handler] of statement[2]) {
        lines.push(`${indent}except ${kind}`);
        write(lines, handler, `${indent}  `);
      }
      if (statement[3] !== null) {
        lines.push(`${indent}finally`);
        write(lines, statement[3], `${indent}  `);
      }
      continue;
    }
    const nested = statement.find((part) => isBlock(part) && part.length > 0) as Block | undefined;
    const words = statement
      .filter((part) => part !== nested)
      .map((part) => (typeof part === "string" ? part : JSON.stringify(part)));
    lines.push(indent + words.join(" "));
    if (nested !== undefined) write(lines, nested, `${indent}  `);
  }
}

/** Whether this part of a statement is a block; an empty list is taken for one. */
export function isBlock(part: unknown): part is Block {
  return Array.isArray(part) && part.every((item) => Array.isArray(item) && typeof item[0] === "string");
}

const PLAIN: Record<PlainStatement[0], true> = {
  log: true,
  spawn: true,
  gspawn: true,
  eager: true,
  geager: true,
  ctxspawn: true,
  gcancel: true,
  cancel: true,
  cancelself: true,
  uncancel: true,
  uncanceltask: true,
  cancelling: true,
  tstate: true,
  tresult: true,
  tcb: true,
  tuncb: true,
  release: true,
  locked: true,
  semrelease: true,
  semlocked: true,
  evset: true,
  evclear: true,
  evisset: true,
  notify: true,
  notifyall: true,
  inc: true,
  barstate: true,
  putnw: true,
  getnw: true,
  taskdone: true,
  qstate: true,
  shutdown: true,
  futset: true,
  futexc: true,
  futcancel: true,
  futstate: true,
  futresult: true,
  futerror: true,
  futnew: true,
  futcb: true,
  futgather: true,
  futshield: true,
  callsoon: true,
  calllater: true,
  callat: true,
  hcancel: true,
  ctxset: true,
  ctxget: true,
  ctxreset: true,
  resched: true,
  tmstate: true,
  split: true,
};

export function isPlain(statement: Statement): statement is PlainStatement {
  return statement[0] in PLAIN;
}
