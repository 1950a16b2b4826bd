import { bare, withWrapping } from "../estree.ts";
import type { FunctionExpression, Node } from "../estree.ts";
import { isCoroutine } from "../coroutines.ts";
import { meaningsOf } from "../meaning.ts";
import type { Rule } from "../rule.ts";

/**
 * `const walk = limited(function* walk() { … walk() … })`: inside, `walk` is the function that was passed, not what
 * `limited` made of it, so the recursion goes round the wrapper. `coroutine()` itself gives back the same function and
 * is harmless.
 */
export const noShadowedRecursion: Rule = {
  meta: {
    type: "problem",
    docs: {
      description: "A wrapped coroutine must not call itself by the name of its unwrapped self",
      recommended: true,
    },
    messages: {
      shadowed:
        "Here `{{name}}` is the function inside, not what `{{wrapper}}` made of it: the recursion goes round the wrapper. Leave out the name of the inner function, or give it another one.",
      removeName: "Leave out the name of the inner function.",
    },
    schema: [],
    hasSuggestions: true,
  },

  create(context) {
    const meanings = meaningsOf(context);
    return {
      FunctionExpression(fn: FunctionExpression) {
        const { id } = fn;
        if (id === null || !fn.generator) return;
        const wrapper = wrapperOf(fn, (callee) => meanings.of(callee)?.kind === "identity");
        if (wrapper?.constant !== id.name || !isCoroutine(fn, meanings)) return;
        const inner = meanings.variable(id);
        for (const { identifier } of inner?.references ?? []) {
          const isInside = identifier.range[0] > fn.body.range[0] && identifier.range[1] < fn.body.range[1];
          if (!isInside) continue;
          context.report({
            node: identifier,
            messageId: "shadowed",
            data: { name: id.name, wrapper: context.sourceCode.getText(wrapper.callee).replace(/\s+/g, " ") },
            suggest: [{ messageId: "removeName", fix: (fixer) => fixer.removeRange(id.range) }],
          });
        }
      },
    };
  },
};

/** The constant that the function ends up in, and the innermost call on the way that may make another function of it. */
function wrapperOf(
  fn: Node,
  isHarmless: (callee: Node) => boolean,
): { readonly constant: string; readonly callee: Node } | null {
  let callee: Node | null = null;
  let at = withWrapping(fn);
  for (let call = at.parent; call?.type === "CallExpression" && call.callee !== at; call = at.parent) {
    const inner = bare(at);
    if (!call.arguments.some((it) => bare(it) === inner)) return null;
    if (!isHarmless(call.callee)) callee ??= call.callee;
    at = withWrapping(call);
  }
  if (callee === null || at.parent?.type !== "VariableDeclarator" || at.parent.id.type !== "Identifier") return null;
  return { constant: at.parent.id.name, callee };
}
