/**
 * Every example runs, and prints what the comment at its end says.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { printedBy, root } from "./documents.ts";

const examples = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"));

test.each(examples.filter((file) => file !== "first.ts"))("examples/%s prints what it says", async (file) => {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", `examples/${file}`],
    { cwd: root, timeout: 20_000 },
  );
  expect(stderr).toBe("");
  expect(stdout.trimEnd().split("\n")).toEqual(printedBy(readFileSync(join(root, "examples", file), "utf8")));
});

test("the README names every example but those that the first day names", () => {
  const named = ["README.md", "docs/guide/first-day.md"].map((it) => readFileSync(join(root, it), "utf8")).join("\n");
  expect(examples.filter((file) => !named.includes(`examples/${file})`))).toEqual([]);
});
