/**
 * Which generator functions of a file are coroutines, and which are generators for something else.
 *
 * A coroutine is annotated as one, is passed to something that runs it, waits for an operation of Fibril's, or is waited
 * for by a coroutine. Any other generator may yield what it likes.
 */
import { bare, functionAround, isFunction, withWrapping } from "./estree.ts";
import type { FunctionNode, Node, YieldExpression } from "./estree.ts";
import type { Meanings } from "./meaning.ts";

const known = new WeakMap<FunctionNode, boolean>();

export function isCoroutine(fn: FunctionNode, meanings: Meanings): boolean {
  if (!fn.generator) return false;
  let answer = known.get(fn);
  if (answer === undefined) {
    known.set(fn, false); // asked again on the way, it proves nothing
    const annotated = meanings.returnsOperation(fn);
    answer = annotated === "unknown" ? isRun(fn, meanings) || waits(fn, meanings) : annotated === "yes";
    known.set(fn, answer);
  }
  return answer;
}

/** The innermost function around `node`, if it is a coroutine. */
export function coroutineAround(node: Node, meanings: Meanings): FunctionNode | null {
  const fn = functionAround(node);
  return fn !== null && !fn.async && isCoroutine(fn, meanings) ? fn : null;
}

/** Whether the function contains a `yield*` of something of Fibril's. */
export function waits(fn: FunctionNode, meanings: Meanings): boolean {
  return yieldsOf(fn, meanings).some(
    ({ delegate, argument }) => delegate && argument !== null && isSurelyOperation(argument, meanings),
  );
}

/** Whether it is an operation, and not what some other generator makes. */
export function isSurelyOperation(node: Node, meanings: Meanings): boolean {
  const meaning = meanings.of(node);
  if (meaning?.kind !== "operation") return meanings.isOperation(node);
  return meaning.by === undefined ? meaning.isGuess !== true : isCoroutine(meaning.by, meanings);
}

/** Every `yield` that belongs to the function itself. */
export function yieldsOf(root: Node, meanings: Meanings): readonly YieldExpression[] {
  const found: YieldExpression[] = [];
  const search = (node: Node): void => {
    if (node.type === "YieldExpression") found.push(node);
    for (const child of meanings.children(node)) if (!isFunction(child)) search(child);
  };
  search(root);
  return found;
}

/** Whether something runs it as a coroutine: where it is written, or where its name is used. */
function isRun(fn: FunctionNode, meanings: Meanings): boolean {
  const outer = withWrapping(fn);
  if (isRunHere(outer, meanings)) return true;
  const name = outer.parent?.type === "VariableDeclarator" ? outer.parent.id : (fn.id ?? null);
  if (name?.type !== "Identifier") return false;
  return (meanings.variable(name)?.references ?? []).some(({ identifier }) => isRunHere(identifier, meanings));
}

/** Whether the function that this expression gives is run: `run(fn)`, `coroutine(fn)`, `all([fn()])`, `yield* fn()`. */
function isRunHere(fn: Node, meanings: Meanings): boolean {
  if (isBody(fn, meanings)) return true;
  const call = fn.parent;
  if (call?.type !== "CallExpression" || call.callee !== fn) return false;
  const made = withWrapping(call);
  if (isBody(made, meanings)) return true;
  const user = made.parent;
  return user?.type === "YieldExpression" && user.delegate && coroutineAround(user, meanings) !== null;
}

/** Whether the expression is passed to Fibril as something to run. */
function isBody(node: Node, meanings: Meanings): boolean {
  for (let at: Node | null = node.parent, depth = 0; at !== null && depth < 4; at = at.parent, depth++) {
    if (at.type === "CallExpression") return meanings.bodies(at).some((it) => bare(it) === bare(node));
    if (at.type !== "ArrayExpression" && at.type !== "ObjectExpression" && at.type !== "Property") return false;
  }
  return false;
}
