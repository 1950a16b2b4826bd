import type { CatchClause, FunctionNode, Node, TryStatement } from "../estree.ts";
import { fateOfCancelled } from "../cancelled-flow.ts";
import { coroutineAround, yieldsOf } from "../coroutines.ts";
import { meaningsOf } from "../meaning.ts";
import type { Meanings } from "../meaning.ts";
import type { Fixer, Rule, RuleContext } from "../rule.ts";

/** A catch clause around a wait also catches `Cancelled`. It is no failure to be handled: it must go on. */
export const noSwallowedCancelled: Rule = {
  meta: {
    type: "problem",
    docs: { description: "A catch clause around a wait must let `Cancelled` through", recommended: true },
    messages: {
      swallowed:
        "This clause also catches `Cancelled`, and ends without throwing it: the task goes on until its next wait as if nobody had cancelled it. Begin with `if (!(error instanceof Error)) throw error;`.",
      replaced:
        "This clause also catches `Cancelled`, and throws another error in its place: a cancellation becomes a failure. Begin with `if (!(error instanceof Error)) throw error;`.",
      letThrough: "Let everything that is no Error through.",
      letCancelledThrough: "Let `{{cancelled}}` through.",
    },
    schema: [],
    hasSuggestions: true,
  },

  create(context) {
    const meanings = meaningsOf(context);
    return {
      TryStatement({ block, handler }: TryStatement) {
        const coroutine = handler === null ? null : coroutineAround(block, meanings);
        if (handler === null || coroutine === null || !mayBeCancelled(block, meanings)) return;
        const fate = fateOfCancelled(handler, meanings);
        if (fate === "passes" || isKept(handler, coroutine, meanings)) return;
        const { param } = handler;
        const cancelled = meanings.localName("Cancelled");
        const isNamed = param === null || param.type === "Identifier";
        const guards = (error: string): { messageId: string; data?: { cancelled: string }; guard: string }[] => [
          ...(cancelled === null
            ? []
            : [
                {
                  messageId: "letCancelledThrough",
                  data: { cancelled },
                  guard: `if (${error} instanceof ${cancelled}) throw ${error};`,
                },
              ]),
          { messageId: "letThrough", guard: `if (!(${error} instanceof Error)) throw ${error};` },
        ];
        const error = param?.type === "Identifier" ? param.name : freeName(context, handler);
        context.report({
          node: handler,
          messageId: fate,
          suggest: !isNamed
            ? []
            : guards(error).map(({ guard, ...said }) => ({
                ...said,
                fix: (fixer: Fixer) => insertGuard(fixer, handler, error, guard),
              })),
        });
      },
    };
  },
};

/** Whether something in the block waits where a cancellation can be thrown: inside a shield it cannot. */
function mayBeCancelled(block: Node, meanings: Meanings): boolean {
  return yieldsOf(block, meanings).some(
    ({ delegate, argument }) => delegate && argument !== null && !meanings.isCallOf(argument, ["shield"]),
  );
}

/**
 * Whether the clause only puts the error away for what follows the `try`. In a loop that does not count: the next turn
 * begins with the cancellation still held back.
 */
function isKept(handler: CatchClause, coroutine: FunctionNode, meanings: Meanings): boolean {
  const { param } = handler;
  if (param?.type !== "Identifier") return false;
  for (let at: Node = handler; at.parent !== null && at.parent !== coroutine; at = at.parent) {
    if (/^(?:For|While|DoWhile)/.test(at.parent.type)) return false;
  }
  return keepsIn(handler.body, param.name, meanings).some((target) => {
    if (target.type !== "Identifier") return true;
    const references = meanings.variable(target)?.references ?? [];
    return references.some((it) => !it.isWrite() && it.identifier.range[0] > handler.range[1]);
  });
}

/** What the error is assigned to. */
function keepsIn(node: Node, error: string, meanings: Meanings): readonly Node[] {
  if (node.type === "AssignmentExpression") {
    const mentions = (it: Node): boolean =>
      (it.type === "Identifier" && it.name === error) ||
      (it.type !== "CallExpression" && meanings.children(it).some(mentions));
    if (mentions(node.right)) return [node.left];
  }
  return meanings.children(node).flatMap((it) => keepsIn(it, error, meanings));
}

function freeName(context: RuleContext, handler: CatchClause): string {
  const used = new Set(context.sourceCode.getText(handler).match(/[\w$]+/g));
  return ["error", "thrown", "caught"].find((name) => !used.has(name)) ?? "thrownHere";
}

function insertGuard(fixer: Fixer, { param, body, range }: CatchClause, error: string, guard: string): unknown {
  const start = body.range[0] + 1;
  const inserted = fixer.insertTextBeforeRange([start, start], ` ${guard}`);
  if (param !== null) return inserted;
  const afterKeyword = range[0] + "catch".length;
  return [fixer.insertTextBeforeRange([afterKeyword, afterKeyword], ` (${error})`), inserted];
}
