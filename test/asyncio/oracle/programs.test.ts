/**
 * The tools of the judge: programs repeat from their seed, use the whole language, and shrink.
 */
import { expect, test } from "vitest";
import { FEATURES, generate } from "./generate.ts";
import { trace } from "./interpret.ts";
import { isPlain, programText } from "./program.ts";
import type { Block, Program, Statement } from "./program.ts";
import { shrink } from "./shrink.ts";

/** Every statement there is; the type sees to it that none is missing. */
const LANGUAGE: Record<Statement[0], true> = {
  log: true,
  spawn: true,
  gspawn: true,
  eager: true,
  geager: true,
  gcancel: true,
  cancel: true,
  cancelself: true,
  uncancel: true,
  uncanceltask: true,
  ctxspawn: true,
  futgather: true,
  futshield: true,
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
  sleep: true,
  await: true,
  call: true,
  shieldfn: true,
  shield: true,
  wait: true,
  waitfor: true,
  waitforfn: true,
  gather: true,
  gatherfn: true,
  ascompleted: true,
  timeout: true,
  timeoutat: true,
  group: true,
  lock: true,
  sem: true,
  cond: true,
  acquire: true,
  semacquire: true,
  evwait: true,
  condwait: true,
  condwaitfor: true,
  barrier: true,
  barreset: true,
  barabort: true,
  put: true,
  get: true,
  join: true,
  futawait: true,
  shieldfut: true,
  gatherfut: true,
  waitfut: true,
  futwaitfor: true,
  try: true,
  repeat: true,
  return: true,
  raise: true,
};

function everyStatement(program: Program): Statement[] {
  const found: Statement[] = [];
  const visit = (part: unknown): void => {
    if (!Array.isArray(part)) return;
    if (typeof part[0] === "string" && /^[a-z]/.test(part[0])) found.push(part as unknown as Statement);
    part.forEach(visit);
  };
  visit(program.fns);
  return found;
}

test("a seed always gives the same program, and another seed another", () => {
  expect(generate(7)).toEqual(generate(7));
  expect(generate(7)).not.toEqual(generate(8));
});

test("a program always gives the same trace", () => {
  for (let seed = 0; seed < 50; seed++) expect(trace(generate(seed))).toBe(trace(generate(seed)));
});

test("random programs use every statement of the language", () => {
  const used = new Set<string>();
  for (let seed = 0; seed < 600; seed++) {
    for (const statement of everyStatement(generate(seed, FEATURES))) used.add(statement[0]);
  }
  expect(Object.keys(LANGUAGE).filter((op) => !used.has(op))).toEqual([]);
});

test("only plain statements stand in callbacks", () => {
  for (let seed = 0; seed < 300; seed++) {
    for (const s of everyStatement(generate(seed))) {
      const inside: Block = s[0] === "callsoon" ? s[2] : s[0] === "calllater" || s[0] === "callat" ? s[3] : [];
      expect(inside.every(isPlain)).toBe(true);
    }
  }
});

test("a program shrinks to what shows the difference", async () => {
  // As if CPython and we differed wherever a task that sleeps is cancelled.
  const differs = (program: Program): boolean => /sleep\d+ !Cancelled/.test(trace(program));
  let seed = 0;
  while (!differs(generate(seed))) seed++;
  const smallest = await shrink(generate(seed), async (candidates) => candidates.map(differs));
  expect(differs(smallest)).toBe(true);
  expect(everyStatement(smallest).length).toBeLessThanOrEqual(3);
  expect(programText(smallest)).toContain("sleep");
});
