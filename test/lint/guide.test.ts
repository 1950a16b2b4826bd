/**
 * What docs/guide/lint.md says, run: every example through ESLint and through oxlint, and both set-ups.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";
import { expect, test } from "vitest";
import plugin from "../../src/lint/index.ts";
import { oxlint } from "./oxlint.ts";

const here = fileURLToPath(new URL("./", import.meta.url));
const guide = readFileSync(new URL("../../docs/guide/lint.md", import.meta.url), "utf8");
const rules = Object.keys(plugin.rules);
const examples = guide.split(/^## /m).flatMap((section) => {
  const rule = section.slice(0, section.indexOf("\n"));
  return [...section.matchAll(/```js\n\/\/ (wrong|right)\n([\s\S]*?)```/g)].map(([, kind, code], index) => {
    const lines = code!.split("\n").flatMap((line, at) => (/ \/\/ /.test(line) ? [at + 1] : []));
    return { rule, kind: kind!, code: code!, name: `${rule}-${index}-${kind}.js`, lines };
  });
});
const blocks = (kind: string): string[] =>
  [...guide.matchAll(new RegExp(`\`\`\`${kind}\\n([\\s\\S]*?)\`\`\``, "g"))].map(([, text]) => text!);

test("every rule has a wrong and a right example, and a line in the table", () => {
  for (const rule of rules) {
    expect(new Set(examples.filter((it) => it.rule === rule).map((it) => it.kind))).toEqual(
      new Set(["wrong", "right"]),
    );
    expect(guide).toContain(`| [${rule}](#${rule}) |`);
  }
  expect(new Set(examples.map((it) => it.rule))).toEqual(new Set(rules));
});

test.each(examples)("ESLint on $name", async ({ rule, kind, code, lines }) => {
  const eslint = new ESLint({ cwd: here, overrideConfigFile: true, overrideConfig: [plugin.configs.all] });
  const [result] = await eslint.lintText(code, { filePath: "example.js" });
  expectFindings(
    rule,
    kind,
    lines,
    result!.messages.map((it) => [it.ruleId!.replace("fibril/", ""), it.line]),
  );
});

test("oxlint on all of them", async () => {
  await inFolder((folder) => {
    for (const { name, code } of examples) writeFileSync(join(folder, name), code);
    const found = oxlint(folder, ["."], "all");
    for (const { rule, kind, name, lines } of examples) {
      const inFile = found.filter((it) => it.file === name);
      expectFindings(
        rule,
        kind,
        lines,
        inFile.map((it) => [it.rule, it.line]),
      );
    }
  });
});

test("the set-up for ESLint works as it is written", async () => {
  const setups = blocks("js eslint");
  expect(setups.length).toBe(2);
  for (const setup of setups) {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "eslint.config.mjs"), setup);
      const eslint = new ESLint({ cwd: folder });
      const [known] = await eslint.lintText(`import { sleep } from "fibril"; sleep(1);`, { filePath: "a.js" });
      expect(known!.messages.map((it) => it.ruleId)).toEqual(["fibril/no-floating-operation"]);
      const [own] = await eslint.lintText(`import { sleep } from "./concurrency.js"; sleep(1);`, { filePath: "a.js" });
      expect(own!.messages.length).toBe(setup.includes("settings") ? 1 : 0);
    });
  }
});

test("the set-up for oxlint names the plugin and the recommended rules", () => {
  const [setup] = blocks("json oxlint");
  expect(JSON.parse(setup!)).toEqual({ jsPlugins: ["fibril/lint"], rules: plugin.configs.recommended.rules });
});

/** In a wrong example the rule, and no other, finds something in each line with a comment; in a right one there is nothing. */
function expectFindings(
  rule: string,
  kind: string,
  lines: readonly number[],
  found: readonly [string, number][],
): void {
  if (kind === "right") {
    expect(found).toEqual([]);
    return;
  }
  expect(new Set(found.map(([name]) => name))).toEqual(new Set([rule]));
  expect(found.length).toBeGreaterThanOrEqual(Math.max(1, lines.length));
}

/** A folder inside the repository, so that `fibril` is found from there. */
async function inFolder(body: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(`${here}.guide-`);
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
