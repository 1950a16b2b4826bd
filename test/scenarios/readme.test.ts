/**
 * What the README says, run.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const documents = [
  "README.md",
  "docs/glossary.md",
  "docs/guide/first-day.md",
  "docs/guide/http.md",
  "docs/guide/fetch.md",
  "docs/guide/lint.md",
  "bench/README.md",
];

test("the first program in the README is examples/first.ts", () => {
  const shown = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(shown).toBe(readFileSync(join(root, "examples/first.ts"), "utf8"));
});

test("it prints what it says", async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", "examples/first.ts"],
    { cwd: root, timeout: 20_000 },
  );
  expect(stdout.trimEnd().split("\n")).toEqual([
    "fish: stove off",
    "rice: stove off",
    "[ 'rice is ready', 'fish is ready' ]",
    "soup: stove off",
    "soup is ready",
    "stew: stove off",
    "the operation did not end within 100 ms; it was waiting for sleep 5000 ms",
  ]);
});

test("every npm script that the README names exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const named = [...readme.matchAll(/npm (?:run )?(start|test\b|(?<=run )[a-z:]+)/g)].map(([, name]) => name!);
  expect(named.length).toBeGreaterThan(2);
  for (const name of named) expect(scripts).toHaveProperty([name]);
});

test.each(documents)("every link of %s leads to a file", (document) => {
  const text = readFileSync(join(root, document), "utf8");
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link]) => link!);
  const broken = links.filter((link) => !existsSync(join(root, dirname(document), link)));
  expect(broken).toEqual([]);
});
