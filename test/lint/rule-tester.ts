/** ESLint's own tester, with vitest's `describe` and `test`. Every case is a module that begins with its imports. */
import { RuleTester } from "eslint";
import { describe, test } from "vitest";
import plugin from "../../src/lint/index.ts";
import type { RuleName } from "../../src/lint/index.ts";

RuleTester.describe = describe;
RuleTester.it = test;

export interface WrongProgram {
  readonly code: string;
  /** One entry for each finding: its message, and what each suggestion makes of the program. */
  readonly found: readonly (
    | string
    | { readonly id: string; readonly becomes: readonly (readonly [string, string])[] }
  )[];
  /** What the fix makes of it. */
  readonly output?: string;
}

/** Runs the rule over programs that it must leave alone and programs that it must find. */
export function checkRule(name: RuleName, right: readonly string[], wrong: readonly WrongProgram[]): void {
  const tester = new RuleTester({ languageOptions: { ecmaVersion: 2024, sourceType: "module" } });
  tester.run(name, plugin.rules[name], {
    valid: right.map((code) => ({ code })),
    invalid: wrong.map(({ code, found, output }) => ({
      code,
      output: output ?? null,
      errors: found.map((finding) => {
        if (typeof finding === "string") return { messageId: finding };
        const suggestions = finding.becomes.map(([messageId, becomes]) => ({ messageId, output: becomes }));
        return { messageId: finding.id, suggestions };
      }),
    })),
  });
}
