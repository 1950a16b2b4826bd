/**
 * Every example runs, and prints what the comment at its end says.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { printedBy, root } from "./documents.ts";
import { runPrograms } from "./run-programs.ts";

const examples = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"));

const printing = examples.filter((file) => file !== "first.ts");
const written = runPrograms(printing.map((file) => join(root, "examples", file)));

test.each(printing)("examples/%s prints what it says", async (file) => {
  const program = join(root, "examples", file);
  const expected = `${printedBy(readFileSync(program, "utf8"))!.join("\n")}\n`;
  expect(await written(program, expected)).toEqual({ stdout: expected, stderr: "" });
});

test("the README names every example but those that the first day names", () => {
  const named = ["README.md", "docs/guide/first-day.md"].map((it) => readFileSync(join(root, it), "utf8")).join("\n");
  expect(examples.filter((file) => !named.includes(`examples/${file})`))).toEqual([]);
});
