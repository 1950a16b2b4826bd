/**
 * Every example runs, and prints what the comment at its end says.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const examples = readdirSync(new URL("../../examples/", import.meta.url)).filter((file) => file.endsWith(".ts"));
const expected = (file: string): string[] | undefined =>
  readFileSync(`${root}examples/${file}`, "utf8")
    .split("\n// prints:\n")[1]
    ?.trimEnd()
    .split("\n")
    .map((line) => line.replace(/^\/\/ /, ""));

test.each(examples.filter((file) => file !== "first.ts"))("examples/%s prints what it says", async (file) => {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", `examples/${file}`],
    { cwd: root, timeout: 20_000 },
  );
  expect(stderr).toBe("");
  expect(stdout.trimEnd().split("\n")).toEqual(expected(file));
});
