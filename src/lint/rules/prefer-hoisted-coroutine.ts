// oxlint-disable typescript/switch-exhaustiveness-check -- nodes and meanings that a rule does not know are passed over
import { bare, isFunction } from "../estree.ts";
import type { CallExpression, Node } from "../estree.ts";
import { meaningsOf } from "../meaning.ts";
import type { Rule } from "../rule.ts";

/** A generator function is the most expensive closure there is: each one has a prototype of its own. */
export const preferHoistedCoroutine: Rule = {
  meta: {
    type: "suggestion",
    docs: {
      description: "Spawn a function that was made once, not one made in each turn of a loop",
      recommended: false,
    },
    messages: {
      hoist:
        "Each turn of this loop makes a new generator function (0.5 to 2 µs, as much as the task itself). Move it out of the loop and pass what it needs: `spawn(fn, …args)`.",
    },
    schema: [],
  },

  create(context) {
    const meanings = meaningsOf(context);
    return {
      CallExpression(call: CallExpression) {
        const callee = meanings.of(call.callee);
        if (callee?.kind !== "function" || callee.name !== "spawn" || !isInLoop(call)) return;
        for (const body of meanings.bodies(call)) {
          const fn = bare(body);
          if (fn.type === "FunctionExpression" && fn.generator) context.report({ node: fn, messageId: "hoist" });
        }
      },
    };
  },
};

/** Whether the code is repeated by a loop of the function that it stands in. */
function isInLoop(node: Node): boolean {
  for (let at: Node = node; at.parent !== null && !isFunction(at.parent); at = at.parent) {
    const { parent } = at;
    switch (parent.type) {
      case "WhileStatement":
      case "DoWhileStatement":
      case "ForInStatement":
      case "ForOfStatement":
        if (parent.body === at || parent.test === at) return true;
        break;
      case "ForStatement":
        if (parent.init !== at) return true;
        break;
      default:
    }
  }
  return false;
}
