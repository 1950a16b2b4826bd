/**
 * Makes a program that shows a difference as small as it gets.
 *
 * Every step tries all programs that are one cut smaller, asks CPython for the traces of all of them at once, and goes
 * on with the first that still differs; big cuts come first. A program without smaller neighbours that differ is done.
 */
import { isBlock } from "./program.ts";
import type { Block, Program, Statement } from "./program.ts";

const MOST_STEPS = 200;

/**
 * @param differ Says for each program whether it still shows the difference.
 */
export async function shrink(
  program: Program,
  differ: (candidates: readonly Program[]) => Promise<readonly boolean[]>,
): Promise<Program> {
  let smallest = program;
  for (let step = 0; step < MOST_STEPS; step++) {
    const candidates = [...smaller(smallest)];
    const index = (await differ(candidates)).indexOf(true);
    if (index === -1) break;
    smallest = candidates[index] as Program;
  }
  return smallest;
}

/** Every program that is one cut smaller, big cuts first. */
function* smaller(program: Program): Generator<Program> {
  for (const [fn, block] of program.fns.entries()) {
    if (block.length > 1) yield withFunction(program, fn, []);
  }
  for (const [fn, block] of program.fns.entries()) {
    for (const cut of smallerBlocks(block)) yield withFunction(program, fn, cut);
  }
  const compact = withoutUnused(program);
  if (JSON.stringify(compact) !== JSON.stringify(program)) yield compact;
}

function withFunction(program: Program, fn: number, block: Block): Program {
  return { ...program, fns: program.fns.with(fn, block) };
}

function* smallerBlocks(block: Block): Generator<Block> {
  for (let size = block.length >> 1; size > 1; size >>= 1) {
    for (let at = 0; at + size <= block.length; at += size) yield [...block.slice(0, at), ...block.slice(at + size)];
  }
  for (const [at, statement] of block.entries()) {
    const replaced = (...by: Block): Block => [...block.slice(0, at), ...by, ...block.slice(at + 1)];
    yield replaced();
    for (const inside of blocksOf(statement)) yield replaced(...inside);
    for (const cut of smallerStatements(statement)) yield replaced(cut);
  }
}

function* blocksOf(statement: Statement): Generator<Block> {
  if (statement[0] === "try") {
    yield statement[1];
    for (const [, handler] of statement[2]) yield handler;
    if (statement[3] !== null) yield statement[3];
    return;
  }
  for (const part of statement) if (isBlock(part)) yield part;
}

/** The same statement with something smaller inside. The language is plain data, so this works on any of them. */
function* smallerStatements(statement: Statement): Generator<Statement> {
  if (statement[0] === "try") {
    const [, body, handlers, last] = statement;
    if (last !== null && handlers.length > 0) yield ["try", body, handlers, null];
    for (const at of handlers.keys()) {
      if (last !== null || handlers.length > 1) yield ["try", body, handlers.toSpliced(at, 1), last];
    }
    for (const cut of smallerBlocks(body)) yield ["try", cut, handlers, last];
    for (const [at, [kind, block]] of handlers.entries()) {
      for (const cut of smallerBlocks(block)) yield ["try", body, handlers.with(at, [kind, cut]), last];
    }
    if (last !== null) for (const cut of smallerBlocks(last)) yield ["try", body, handlers, cut];
    return;
  }
  for (let at = 1; at < statement.length; at++) {
    for (const cut of smallerParts(statement[0], at, statement[at]))
      yield [...statement].with(at, cut as never) as never;
  }
}

/** Times that may shrink: with another number in another place the statement would name something else. */
const TIMES: Partial<Record<Statement[0], number>> = {
  sleep: 1,
  timeout: 1,
  timeoutat: 1,
  resched: 1,
  repeat: 1,
  waitfor: 2,
  waitforfn: 2,
  wait: 2,
  waitfut: 2,
  ascompleted: 2,
  futwaitfor: 2,
  calllater: 2,
  callat: 2,
};

function* smallerParts(op: Statement[0], at: number, part: unknown): Generator<unknown> {
  if (isBlock(part) && part.length > 0) yield* smallerBlocks(part);
  else if (Array.isArray(part) && part.length > 1) for (const i of part.keys()) yield part.toSpliced(i, 1);
  else if (typeof part === "number" && part > 1 && TIMES[op] === at) {
    yield 1;
    yield part - 1;
  } else if (typeof part === "string" && (op === "cancel" || op === "futcancel")) yield null;
}

const FUNCTION_USERS: Partial<Record<Statement[0], number>> = {
  spawn: 2,
  gspawn: 2,
  eager: 2,
  geager: 2,
  ctxspawn: 2,
  call: 1,
  shieldfn: 1,
  waitforfn: 1,
  gatherfn: 1,
};

/** Which statements use which kind of resource. */
const USERS: Record<keyof Program["res"], readonly Statement[0][]> = {
  lock: ["lock", "acquire", "release", "locked"],
  shared: ["lock", "acquire", "release", "locked"],
  sem: ["sem", "semacquire", "semrelease", "semlocked"],
  ev: ["evset", "evclear", "evisset", "evwait"],
  cond: ["cond", "condwait", "condwaitfor", "notify", "notifyall", "inc"],
  bar: ["barrier", "barreset", "barabort", "barstate"],
  q: ["put", "get", "join", "putnw", "getnw", "taskdone", "shutdown", "qstate"],
  fut: [
    "futset",
    "futexc",
    "futcancel",
    "futstate",
    "futresult",
    "futerror",
    "futnew",
    "futcb",
    "futawait",
    "futshield",
    "futwaitfor",
    "futgather",
    "shieldfut",
    "gatherfut",
    "waitfut",
  ],
  ctx: ["ctxset", "ctxget", "ctxreset"],
};

/** Without functions that nobody calls and resources that nobody uses. */
function withoutUnused(program: Program): Program {
  const used = new Set([0]);
  for (const fn of used)
    everyStatement(program.fns[fn] as Block, (statement) => functionsOf(statement).forEach((f) => used.add(f)));
  const kept = [...used].toSorted((a, b) => a - b);
  const rename = (part: unknown): unknown => (Array.isArray(part) ? part.map(rename) : kept.indexOf(part as number));
  const renamed = (statement: Statement): Statement => {
    const place = FUNCTION_USERS[statement[0]];
    return statement.map((part, at) => {
      if (at === place) return rename(part);
      return mapBlocks(part, renamed);
    }) as never;
  };
  const ops = new Set<string>();
  for (const fn of kept) everyStatement(program.fns[fn] as Block, (statement) => ops.add(statement[0]));
  const res = Object.entries(program.res).filter(([kind]) =>
    USERS[kind as keyof Program["res"]].some((op) => ops.has(op)),
  );
  return { ...program, res: Object.fromEntries(res), fns: kept.map((fn) => (program.fns[fn] as Block).map(renamed)) };
}

function functionsOf(statement: Statement): number[] {
  const place = FUNCTION_USERS[statement[0]];
  return place === undefined ? [] : [statement[place] as number | number[]].flat();
}

function everyStatement(block: Block, visit: (statement: Statement) => void): void {
  for (const statement of block) {
    visit(statement);
    for (const inside of blocksOf(statement)) everyStatement(inside, visit);
  }
}

/** Applies `map` to every statement in a part of a statement, also inside the handlers of a `try`. */
function mapBlocks(part: unknown, map: (statement: Statement) => Statement): unknown {
  if (!Array.isArray(part)) return part;
  if (isBlock(part) && part.length > 0)
    return isHandlers(part) ? part.map((item) => mapBlocks(item, map)) : part.map(map);
  return part.map((item) => mapBlocks(item, map));
}

// A list of handlers looks like a block: its items, too, begin with a word; but that word is the name of an error.
function isHandlers(part: Block): boolean {
  return /^[A-Z]/.test(part[0]?.[0] ?? "");
}
