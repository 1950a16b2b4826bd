import type { YieldExpression } from "../estree.ts";
import { coroutineAround } from "../coroutines.ts";
import { meaningsOf } from "../meaning.ts";
import type { Rule, Suggestion } from "../rule.ts";

/** A coroutine hands nothing out: what it yields raw, the loop answers with a `ForeignYieldError`. */
export const noYieldWithoutStar: Rule = {
  meta: {
    type: "problem",
    docs: { description: "Coroutines wait with `yield*`; a raw `yield` fails at run time", recommended: true },
    messages: {
      operation: "The star is missing: write `yield*`. A raw `yield` of an operation throws a ForeignYieldError.",
      promise:
        "A coroutine waits for a promise with `yield* until(promise)`; a raw `yield` throws a ForeignYieldError.",
      nothing: "A raw `yield` throws a ForeignYieldError. Write `yield* yieldNow()` to let other tasks run.",
      value:
        "A coroutine yields nothing: a raw `yield` throws a ForeignYieldError. Write `yield*` to wait for an operation; to hand out values one by one, send them through a channel.",
      addStar: "Write `yield*`.",
      addUntil: "Write `yield* {{until}}(…)`.",
      addYieldNow: "Write `yield* {{yieldNow}}()`.",
    },
    schema: [],
    hasSuggestions: true,
    fixable: "code",
  },

  create(context) {
    const meanings = meaningsOf(context);
    return {
      YieldExpression(node: YieldExpression) {
        const { argument } = node;
        if (node.delegate || coroutineAround(node, meanings) === null) return;
        const [start] = node.range;
        const keyword = [start, start + "yield".length] as const;
        if (argument === null) {
          const yieldNow = meanings.localName("yieldNow");
          const suggestion: Suggestion = {
            messageId: "addYieldNow",
            data: { yieldNow: yieldNow ?? "" },
            fix: (fixer) => fixer.replaceTextRange(node.range, `yield* ${yieldNow}()`),
          };
          context.report({ node, messageId: "nothing", suggest: yieldNow === null ? [] : [suggestion] });
        } else if (meanings.isOperation(argument)) {
          context.report({ node, messageId: "operation", fix: (fixer) => fixer.replaceTextRange(keyword, "yield*") });
        } else if (meanings.of(argument)?.kind === "promise") {
          const until = meanings.localName("until");
          const suggestion: Suggestion = {
            messageId: "addUntil",
            data: { until: until ?? "" },
            fix: (fixer) =>
              fixer.replaceTextRange(node.range, `yield* ${until}(${context.sourceCode.getText(argument)})`),
          };
          context.report({ node, messageId: "promise", suggest: until === null ? [] : [suggestion] });
        } else {
          const suggestion: Suggestion = {
            messageId: "addStar",
            fix: (fixer) => fixer.replaceTextRange(keyword, "yield*"),
          };
          context.report({ node, messageId: "value", suggest: argument.type === "CallExpression" ? [suggestion] : [] });
        }
      },
    };
  },
};
