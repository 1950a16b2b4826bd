/**
 * The programs in the README and in the guides: each is clean under our own lint rules, and prints what it says. That each compiles is seen
 * in test/types/published-programs.test.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { oxlint } from "../lint/oxlint.ts";
import { blocksOf, documents, root } from "./documents.ts";
import { runPrograms } from "./run-programs.ts";

const blocks = documents.flatMap(blocksOf);
// Inside the repository, so that `fibril` is found from there. A folder with a dot is no part of the project.
const folder = mkdtempSync(join(root, "test/scenarios/.guides-"));
for (const { file, code } of blocks) writeFileSync(join(folder, file), code);
afterAll(() => rmSync(folder, { recursive: true }));

test("every block is a module by itself", () => {
  expect(blocks.length).toBeGreaterThan(15);
  expect(new Set(blocks.map((it) => it.file)).size).toBe(blocks.length);
  expect(blocks.filter((it) => !it.code.startsWith("import ")).map((it) => it.place)).toEqual([]);
});

test("every block is clean under fibril/lint", () => {
  expect(oxlint(folder, ["."]).map((it) => `${named(it.file)}: line ${it.line}, ${it.rule}`)).toEqual([]);
});

const printing = blocks.filter((it) => it.prints !== undefined);
const written = runPrograms(printing.map((it) => join(folder, it.file)));

test.each(printing)("$place prints what it says", async ({ file, prints }) => {
  const expected = `${prints!.join("\n")}\n`;
  expect(await written(join(folder, file), expected)).toEqual({ stdout: expected, stderr: "" });
});

/** With the places in the documents instead of our file names. */
function named(message: string): string {
  return blocks.reduce((text, { file, place }) => text.replaceAll(file, place), message);
}
