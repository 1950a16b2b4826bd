/**
 * The programs of the documents against the declarations that are published, as a user's compiler sees them, in a project with every strict
 * option that ours has: what compiles there compiles with fewer.
 *
 * The sources would not do: they have what the published types leave out, which is marked `@internal`. A signature that needs such a member
 * compiles here and for nobody else.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { blocksOf, documents, root } from "../scenarios/documents.ts";

const TIMEOUT_MS = 300_000; // about 4 s of CPU, however busy the machine
const TSC = join(root, "node_modules/typescript/bin/tsc");
// Inside the repository, so that the peers are found from there; a folder with a dot is no part of the project.
const folder = mkdtempSync(join(root, "test/types/.published-"));
const installed = join(folder, "node_modules/fibril");
afterAll(() => rmSync(folder, { recursive: true }));

mkdirSync(installed, { recursive: true });
cpSync(join(root, "package.json"), join(installed, "package.json"));
const emitted = tsc([
  "-p",
  join(root, "tsconfig.build.json"),
  "--emitDeclarationOnly",
  "--outDir",
  `${installed}/dist`,
]);
const blocks = documents.flatMap(blocksOf);
for (const { file, code } of blocks) writeFileSync(join(folder, file), code);
writeFileSync(join(folder, "package.json"), `{ "type": "module" }`);

test("every program of the documents compiles in the strictest project of a user", { timeout: TIMEOUT_MS }, () => {
  expect(emitted).toEqual([]);
  expect(blocks.length).toBeGreaterThan(15);
  const config = {
    extends: "../../../tsconfig.base.json",
    compilerOptions: { noEmit: true, customConditions: [] }, // without our condition `fibril` is what is published
    include: ["*.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  expect(tsc(["-p", folder])).toEqual([]);
});

function tsc(args: readonly string[]): string[] {
  const { stdout } = spawnSync(process.execPath, [TSC, ...args, "--pretty", "false"], { cwd: root, encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes("error TS"));
}
