import { type ESLint, Linter } from "eslint";
import { defineConfig } from "eslint/config";
import { expect, test } from "vitest";
import plugin from "../../src/lint/index.ts";

test("the plugin fits ESLint's own types", () => {
  const asPlugin: ESLint.Plugin = plugin;
  const config: Linter.Config[] = defineConfig(plugin.configs.recommended, { plugins: { fibril: plugin } });
  expect(asPlugin.meta).toEqual({ name: "fibril", namespace: "fibril" });
  expect(config.length).toBe(2);
});

test("recommended has the rules that find mistakes; all has every rule", () => {
  const { recommended, all } = plugin.configs;
  expect(Object.keys(all.rules).sort()).toEqual(
    Object.keys(plugin.rules)
      .map((it) => `fibril/${it}`)
      .sort(),
  );
  expect(Object.values(recommended.rules)).toEqual(["error", "error", "error", "error", "error"]);
  expect(recommended.rules).not.toHaveProperty(["fibril/prefer-hoisted-coroutine"]);
  expect(all.rules["fibril/prefer-hoisted-coroutine"]).toBe("warn");
  expect(recommended.plugins.fibril).toBe(plugin);
});

test("every rule says what it is for, and every message ends a sentence", () => {
  for (const { meta } of Object.values(plugin.rules)) {
    expect(meta.docs.description).not.toBe("");
    for (const message of Object.values(meta.messages)) expect(message).toMatch(/[.`]$/);
  }
});

test("strange code is passed over", () => {
  const linter = new Linter();
  const programs = [
    "",
    "yield: for (;;) break yield;",
    `import "fibril"; import fibril, { default as other } from "fibril"; fibril(); other.sleep();`,
    `import { sleep, run, all, spawn, coroutine } from "fibril"; run(); all(); all(...x); spawn(...x); spawn({}); coroutine(); sleep\`\`;`,
    `import { all } from "fibril"; function* f() { yield* all([, ...x]); yield* all({ ...x, [y]: z, get a() {} }); }`,
    `const a = b; const b = a; function* f() { a(); yield* b(); } class A extends A { *f() { this.x(); super.x(); } }`,
    `const { a = a } = a; const [b] = b; class C { static { this.x(); } [d]() {} y = this.y(); }`,
    `import { sleep } from "fibril"; function* f() { yield* sleep(1); for (const x of y) yield* f(); try {} catch {} }`,
    `import { sleep } from "fibril"; export default function* () { try { yield* sleep(1) } catch ({ a: [b] }) { throw b } }`,
  ];
  for (const program of programs) {
    const messages = linter.verify(program, [
      { ...plugin.configs.all, languageOptions: { sourceType: program.startsWith("yield") ? "script" : "module" } },
    ]);
    expect(messages.filter((it) => it.fatal === true || it.ruleId === null)).toEqual([]);
  }
});

test("a long clause takes no longer than its length", () => {
  const steps = "if (a) { b(); } else { c(); } ".repeat(22); // four million ways through
  const program = `import { sleep } from "fibril"; function* f() { try { yield* sleep(1); } catch (error) { ${steps} throw error; } }`;
  expect(new Linter().verify(program, [plugin.configs.all])).toEqual([]);
}, 2_000);
