/**
 * What the README says, run.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { blocksOf, documents, root } from "./documents.ts";
import { FLAGS, OPTIONS } from "./run-programs.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");

test("the first program in the README is examples/first.ts", () => {
  expect(blocksOf("README.md")[0]?.code).toBe(readFileSync(join(root, "examples/first.ts"), "utf8"));
});

test("it prints what it says", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, "examples/first.ts"], OPTIONS);
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

test("every guide is in the index, and every word of the glossary says where it is", () => {
  const guides = documents.filter((it) => it.startsWith("docs/guide/"));
  expect(guides.filter((it) => !readme.includes(`](${it})`))).toEqual([]);
  const places = [...readFileSync(join(root, "docs/glossary.md"), "utf8").matchAll(/^\|.*\| (`.*`) \|$/gm)];
  const files = places.flatMap(([, cell]) => [...cell!.matchAll(/`([^`]+)`/g)].map(([, file]) => file!));
  expect(files.length).toBeGreaterThan(40);
  expect(files.filter((file) => !existsSync(join(root, "src", file)))).toEqual([]);
});

test.each([...documents, "docs/guide/lint.md", "bench/README.md", "CHANGELOG.md"])(
  "every link of %s leads to a file",
  (document) => {
    const text = readFileSync(join(root, document), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link]) => link!);
    const broken = links.filter((link) => !existsSync(join(root, dirname(document), link)));
    expect(broken).toEqual([]);
  },
);
