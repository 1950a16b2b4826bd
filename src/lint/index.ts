/**
 * `fibril/lint`: rules for what the compiler cannot see. A plugin for ESLint 9 and 10, and for oxlint.
 *
 * It looks at one file at a time and needs no types. `docs/guide/lint.md` has each rule with examples.
 */
import { noAwaitInCoroutine } from "./rules/no-await-in-coroutine.ts";
import { noFloatingOperation } from "./rules/no-floating-operation.ts";
import { noShadowedRecursion } from "./rules/no-shadowed-recursion.ts";
import { noSwallowedCancelled } from "./rules/no-swallowed-cancelled.ts";
import { noYieldWithoutStar } from "./rules/no-yield-without-star.ts";
import { preferHoistedCoroutine } from "./rules/prefer-hoisted-coroutine.ts";
import type { Rule, RuleMeta, Visitor } from "./rule.ts";

export type { RuleMeta, Visitor } from "./rule.ts";

/** The rules, without the prefix `fibril/`. */
export type RuleName =
  | "no-await-in-coroutine"
  | "no-floating-operation"
  | "no-shadowed-recursion"
  | "no-swallowed-cancelled"
  | "no-yield-without-star"
  | "prefer-hoisted-coroutine";

/** A rule as the linter sees it. What it is called with is the linter's own, hence `never`. */
export interface LintRule {
  readonly meta: RuleMeta;
  create(context: never): Visitor;
}

/** A part of an ESLint configuration ("flat config"). */
export interface LintConfig {
  readonly name: string;
  readonly plugins: { readonly fibril: LintPlugin };
  readonly rules: Readonly<Record<string, "error" | "warn" | "off">>;
}

export interface LintPlugin {
  readonly meta: { readonly name: string; readonly namespace: string };
  readonly rules: Readonly<Record<RuleName, LintRule>>;
  readonly configs: {
    /** Every rule that finds mistakes, as errors. */
    readonly recommended: LintConfig;
    /** Those, and what costs time, as warnings. */
    readonly all: LintConfig;
  };
}

const rules: Readonly<Record<RuleName, Rule>> = {
  "no-await-in-coroutine": noAwaitInCoroutine,
  "no-floating-operation": noFloatingOperation,
  "no-shadowed-recursion": noShadowedRecursion,
  "no-swallowed-cancelled": noSwallowedCancelled,
  "no-yield-without-star": noYieldWithoutStar,
  "prefer-hoisted-coroutine": preferHoistedCoroutine,
};

function config(name: string, isIncluded: (rule: Rule) => boolean): LintConfig {
  const chosen = Object.entries(rules).filter(([, rule]) => isIncluded(rule));
  return {
    name: `fibril/${name}`,
    plugins: {
      get fibril() {
        return plugin;
      },
    },
    rules: Object.fromEntries(
      chosen.map(([id, { meta }]) => [`fibril/${id}`, meta.docs.recommended ? "error" : "warn"] as const),
    ),
  };
}

/**
 * @example
 * // eslint.config.js
 * import fibril from "fibril/lint";
 * export default [fibril.configs.recommended];
 */
const plugin: LintPlugin = {
  meta: { name: "fibril", namespace: "fibril" },
  rules,
  configs: {
    recommended: config("recommended", (rule) => rule.meta.docs.recommended),
    all: config("all", () => true),
  },
};

export default plugin;
