/**
 * The plugin in oxlint, which also reads TypeScript: on programs that must be found, and on our own code, which must be clean.
 *
 * The programs in `programs/` mark each line where something must be found with `// found: rule` before it. The check goes
 * both ways: a mark without finding fails, a finding without mark, too.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import plugin from "../../src/lint/index.ts";
import { oxlint } from "./oxlint.ts";

const here = fileURLToPath(new URL("./", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const programs = readdirSync(`${here}programs`).sort();

test("programs with mistakes are found, line by line", () => {
  const found = oxlint(`${here}programs`, ["."], "all", ["/fibril\\.ts$"]);
  for (const file of programs) {
    const marked = marks(readFileSync(`${here}programs/${file}`, "utf8"));
    const inFile = found.filter((it) => it.file === file).sort((a, b) => a.line - b.line);
    expect({ [file]: inFile.map(({ line, rule }) => `${line}: ${rule}`) }).toEqual({ [file]: marked });
  }
});

test("a module that passes the exports on is not known by itself", () => {
  expect(oxlint(`${here}programs`, ["reexported.ts"])).toEqual([]);
});

test("every rule is seen at work on TypeScript", () => {
  const marked = programs.flatMap((file) => marks(readFileSync(`${here}programs/${file}`, "utf8")));
  const rules = new Set(marked.map((it) => it.split(": ")[1]));
  expect(rules).toEqual(new Set(Object.keys(plugin.rules)));
});

test("the library, the command, the examples and the benchmarks are clean", () => {
  const relative = ["^\\.\\.?/.*\\.ts$"]; // inside src, Fibril's exports come by relative paths
  // All but the kernel, which is where a cancellation ends.
  const folders = readdirSync(`${root}src`).filter((it) => it !== "core");
  const found = oxlint(
    root,
    [...folders.map((it) => `src/${it}`), "cli/src", "examples", "bench"],
    "recommended",
    relative,
  );
  expect(found.map(({ file, rule }) => `${file}: ${rule}`).sort()).toEqual(known);
});

const known = [
  "src/executors/scope-end.ts: no-swallowed-cancelled", // on purpose: it throws all errors at the end
  "src/combine/supervise.ts: no-swallowed-cancelled", // on purpose: it tries a second time
].sort();

test("the programs in README and docs are clean", () => {
  const folder = mkdtempSync(join(tmpdir(), "fibril-docs-"));
  try {
    const documents = ["README.md", ...readdirSync(`${root}docs/guide`).map((it) => `docs/guide/${it}`)];
    let count = 0;
    for (const document of documents.filter((it) => it !== "docs/guide/lint.md")) {
      const text = readFileSync(root + document, "utf8");
      for (const [, program] of text.matchAll(/```ts\n([\s\S]*?)```/g)) {
        if (program === readFileSync(`${root}examples/first.ts`, "utf8")) continue;
        writeFileSync(join(folder, `${document.replaceAll("/", "-")}-${count++}.ts`), program!);
      }
    }
    expect(count).toBeGreaterThan(0);
    expect(oxlint(folder, ["."])).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function marks(text: string): string[] {
  return text.split("\n").flatMap((line, index) => {
    const rule = /^\s*\/\/ found: ([\w-]+)$/.exec(line)?.[1];
    return rule === undefined ? [] : [`${index + 2}: ${rule}`];
  });
}
