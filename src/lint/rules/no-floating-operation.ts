// oxlint-disable typescript/switch-exhaustiveness-check -- nodes and meanings that a rule does not know are passed over
import { bare, functionAround, isFunction, keyName, withWrapping } from "../estree.ts";
import type { CallExpression, Node } from "../estree.ts";
import { coroutineAround, isSurelyOperation } from "../coroutines.ts";
import { meaningsOf } from "../meaning.ts";
import type { Meanings } from "../meaning.ts";
import type { Fixer, Rule, RuleContext } from "../rule.ts";

/** Callers of the host and of the loop that throw away what a callback returns. */
const DROPPING_GLOBALS: ReadonlySet<string> = new Set(["setTimeout", "setInterval", "setImmediate", "queueMicrotask"]);
const DROPPING_LOOP_METHODS: ReadonlySet<string> = new Set(["callSoon", "callLater", "callAt", "post"]);

/** An operation that nobody waits for never begins: Fibril's floating promise, except that nothing happens at all. */
export const noFloatingOperation: Rule = {
  meta: {
    type: "problem",
    docs: {
      description: "Operations must be waited for, run or passed on; dropped, they do nothing",
      recommended: true,
    },
    messages: {
      floating:
        "`{{what}}` only makes an operation, and it is dropped: nothing happens. Write `yield* {{what}}` to wait for it, or spawn it to run it beside this code.",
      outside:
        "`{{what}}` only makes an operation, and it is dropped: nothing happens. Only a coroutine can wait for it with `yield*`; make the function around it a `function*`, or start it with `run(…)` or `loop.spawn(…)`.",
      condition: "`{{what}}` makes an operation, which is always true. Write `(yield* {{what}})` to test its result.",
      returned:
        "`return {{what}}` gives the caller an operation that nobody has waited for, not its result: a coroutine is no async function. Write `return yield* {{what}}`.",
      callback:
        "`{{caller}}` calls this function and drops the operation that it makes: nothing happens. Use a loop with `yield*`, or spawn it.",
      wait: "Wait for it: `yield* {{what}}`.",
    },
    schema: [],
    hasSuggestions: true,
  },

  create(context) {
    const meanings = meaningsOf(context);
    const check = (node: Node): void => {
      if (!meanings.isLazyOperation(node)) return;
      const use = useOf(node);
      if (use.kind === "kept" || (use.kind === "condition" && meanings.isGuess(node))) return;
      const what = shortText(context, node);
      if (use.kind === "callback") {
        context.report({ node, messageId: "callback", data: { caller: use.caller } });
        return;
      }
      if (use.kind === "returned" && !isMeantAsResult(node, meanings)) return;
      const canWait = functionAround(node)?.generator === true;
      const isNamed = use.kind === "condition" || use.kind === "returned";
      const messageId = isNamed ? use.kind : canWait ? "floating" : "outside";
      context.report({
        node,
        messageId,
        data: { what },
        suggest: canWait ? [{ messageId: "wait", data: { what }, fix: (fixer) => waitFor(fixer, context, node) }] : [],
      });
    };
    return {
      CallExpression(node: CallExpression) {
        check(node);
        for (const callback of droppedCallbacks(node, meanings)) {
          context.report({ node: callback, messageId: "callback", data: { caller: shortText(context, node.callee) } });
        }
      },
      NewExpression: check,
    };
  },
};

type Use =
  | { readonly kind: "kept" | "dropped" | "condition" | "returned" }
  | { readonly kind: "callback"; readonly caller: string };

const KEPT: Use = { kind: "kept" };
const DROPPED: Use = { kind: "dropped" };
const CONDITION: Use = { kind: "condition" };
const RETURNED: Use = { kind: "returned" };

/** What becomes of the value of an expression. */
function useOf(node: Node): Use {
  const outer = withWrapping(node);
  const parent = outer.parent;
  switch (parent?.type) {
    case "ExpressionStatement":
      return DROPPED;
    case "SequenceExpression":
      return parent.expressions.at(-1) === outer ? useOf(parent) : DROPPED;
    case "LogicalExpression": {
      if (parent.right === outer) return useOf(parent);
      return parent.operator === "??" ? KEPT : CONDITION;
    }
    case "ConditionalExpression":
      return parent.test === outer ? CONDITION : useOf(parent);
    case "UnaryExpression":
      return parent.operator === "!" ? CONDITION : KEPT; // `void f()` says that it is meant
    case "IfStatement":
    case "WhileStatement":
    case "DoWhileStatement":
      return CONDITION;
    case "ReturnStatement":
      return RETURNED;
    case "ForStatement":
      return parent.test === outer ? CONDITION : DROPPED;
    case "ArrowFunctionExpression": {
      const call = parent.parent;
      const isDropping = call?.type === "CallExpression" && call.arguments[0] === parent && isForEach(call);
      return isDropping && parent.body === outer ? { kind: "callback", caller: "forEach" } : KEPT;
    }
    default:
      return KEPT;
  }
}

/**
 * Whether a coroutine returns it as if it were awaited, as `async` functions do. With an annotation the compiler sees that; a
 * function that is no generator just makes it.
 */
function isMeantAsResult(node: Node, meanings: Meanings): boolean {
  const fn = coroutineAround(node, meanings);
  return fn !== null && meanings.returnsOperation(fn) === "unknown" && isSurelyOperation(node, meanings);
}

/** Generator functions given to somebody who calls them like plain ones: their bodies never run. */
function droppedCallbacks(call: CallExpression, meanings: Meanings): readonly Node[] {
  const [first, second] = call.arguments;
  let callback: Node | undefined = undefined;
  if (isForEach(call) && meanings.of(call.callee) === null) callback = first;
  else if (call.callee.type === "Identifier" && DROPPING_GLOBALS.has(call.callee.name)) {
    if ((meanings.variable(call.callee)?.defs.length ?? 0) === 0) callback = first;
  } else if (call.callee.type === "MemberExpression") {
    const home = meanings.of(call.callee.object);
    const name = keyName(call.callee.property, call.callee.computed) ?? "";
    if (home?.kind === "instance" && home.name === "EventLoop" && DROPPING_LOOP_METHODS.has(name)) {
      callback = name === "callLater" || name === "callAt" ? second : first;
    }
  }
  return callback !== undefined && meanings.of(callback)?.kind === "generator" ? [callback] : [];
}

function isForEach({ callee }: CallExpression): boolean {
  return callee.type === "MemberExpression" && keyName(callee.property, callee.computed) === "forEach";
}

function waitFor(fixer: Fixer, context: RuleContext, node: Node): unknown {
  const outer = withWrapping(node);
  const parent = outer.parent;
  if (parent?.type === "ExpressionStatement") return fixer.insertTextBefore(outer, "yield* ");
  return fixer.replaceTextRange(outer.range, `(yield* ${context.sourceCode.getText(outer)})`);
}

/** The call as the reader sees it, without long arguments. */
function shortText(context: RuleContext, node: Node): string {
  const call = bare(node);
  const text = context.sourceCode.getText(call).replace(/\s+/g, " ");
  if (text.length <= 40 || (call.type !== "CallExpression" && call.type !== "NewExpression")) return text;
  const callee = isFunction(bare(call.callee)) ? "(…)" : context.sourceCode.getText(call.callee).replace(/\s+/g, " ");
  return `${call.type === "NewExpression" ? "new " : ""}${callee}(…)`;
}
