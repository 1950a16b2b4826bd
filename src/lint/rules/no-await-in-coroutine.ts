import { bare, isFunction, keyName } from "../estree.ts";
import type { AwaitExpression, CallExpression, FunctionNode, Node, YieldExpression } from "../estree.ts";
import { isCoroutine, isSurelyOperation, waits } from "../coroutines.ts";
import { meaningsOf } from "../meaning.ts";
import type { Rule } from "../rule.ts";

/** What gathers promises: an operation among them counts as a value that is there already. */
const GATHERING: ReadonlySet<string> = new Set(["all", "allSettled", "race", "any", "resolve"]);

/** `async` and `await` belong to promises. Fibril neither runs `async` functions nor do operations mean anything to `await`. */
export const noAwaitInCoroutine: Rule = {
  meta: {
    type: "problem",
    docs: { description: "Coroutines wait with `yield*`; `async` and `await` are for promises", recommended: true },
    messages: {
      asyncBody:
        "`{{caller}}` runs coroutines, and an async function makes a promise. Write `function*` with `yield*`, and wrap promises in `until(…)`.",
      asyncGenerator:
        "An `async function*` is no coroutine: nothing can wait for it with `yield*`. Write `function*`, and `yield* until(promise)` for `await promise`.",
      promiseBody: "`{{caller}}` runs operations, and this is a promise. Wrap it: `until(…)`.",
      awaited:
        "`await` does not run an operation: it goes on at once. Use `yield*` in a coroutine, or `await run(() => …)` here.",
      gathered:
        "`Promise.{{name}}` does not run an operation: it takes it for a value. Use Fibril's `all`, `race` or `settle` in a coroutine.",
      delegated: "`yield*` waits for operations, and this is a promise. Wrap it: `yield* until(…)`.",
      wrap: "Wrap it in `{{until}}(…)`.",
    },
    schema: [],
    hasSuggestions: true,
  },

  create(context) {
    const meanings = meaningsOf(context);
    const wrapped = (node: Node): { suggest: { messageId: string; data: { until: string }; fix: Fix }[] } => {
      const until = meanings.localName("until");
      if (until === null) return { suggest: [] };
      const fix: Fix = (fixer) => fixer.replaceTextRange(node.range, `${until}(${context.sourceCode.getText(node)})`);
      return { suggest: [{ messageId: "wrap", data: { until }, fix }] };
    };
    const isDeafToAwait = (node: Node): boolean => isSurelyOperation(node, meanings) && !meanings.isAwaitable(node);
    const checkFunction = (fn: FunctionNode): void => {
      if (fn.async && fn.generator && waits(fn, meanings)) context.report({ node: fn, messageId: "asyncGenerator" });
    };
    return {
      FunctionDeclaration: checkFunction,
      FunctionExpression: checkFunction,

      CallExpression(call: CallExpression) {
        for (const body of meanings.bodies(call)) {
          const caller = context.sourceCode.getText(call.callee).replace(/\s+/g, " ");
          const meaning = meanings.of(body);
          const inner = bare(body);
          if (meaning?.kind === "async") {
            const isReported = inner === meaning.node && meaning.node.generator && waits(meaning.node, meanings);
            if (!isReported) context.report({ node: body, messageId: "asyncBody", data: { caller } });
          } else if (meaning?.kind === "promise") {
            context.report({ node: body, messageId: "promiseBody", data: { caller }, ...wrapped(body) });
          } else if (inner.type === "ArrowFunctionExpression" && !isFunction(inner.body)) {
            if (meanings.of(inner.body)?.kind !== "promise") continue;
            context.report({ node: inner.body, messageId: "promiseBody", data: { caller }, ...wrapped(inner.body) });
          }
        }
        const { callee } = call;
        if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return;
        const { name } = callee.property;
        if (!GATHERING.has(name) || meanings.of(call)?.kind !== "promise") return;
        const [first] = call.arguments;
        const mapped = first === undefined ? null : mappedTo(first);
        const made = mapped === null ? null : meanings.of(mapped);
        if (mapped !== null && made?.kind === "generator" && isCoroutine(made.node, meanings)) {
          context.report({ node: mapped, messageId: "gathered", data: { name } });
          return;
        }
        const isBare = mapped?.type === "ArrowFunctionExpression" && mapped.body.type !== "BlockStatement";
        const list = first?.type === "ArrayExpression" ? first.elements : [isBare ? mapped.body : first];
        for (const element of list) {
          if (element === null || element === undefined || !isDeafToAwait(element)) continue;
          context.report({ node: element, messageId: "gathered", data: { name } });
        }
      },

      AwaitExpression({ argument }: AwaitExpression) {
        if (isDeafToAwait(argument)) context.report({ node: argument, messageId: "awaited" });
      },

      YieldExpression({ delegate, argument }: YieldExpression) {
        if (!delegate || argument === null || meanings.of(argument)?.kind !== "promise") return;
        context.report({ node: argument, messageId: "delegated", ...wrapped(argument) });
      },
    };
  },
};

/** The function in `list.map(fn)`. */
function mappedTo(list: Node): Node | null {
  const call = bare(list);
  if (call.type !== "CallExpression" || call.callee.type !== "MemberExpression") return null;
  if (keyName(call.callee.property, call.callee.computed) !== "map") return null;
  return call.arguments[0] === undefined ? null : bare(call.arguments[0]);
}

type Fix = (fixer: { replaceTextRange(range: readonly [number, number], text: string): unknown }) => unknown;
