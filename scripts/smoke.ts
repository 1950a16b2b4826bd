/**
 * `npm run smoke -- 20 22 26`: the built package, as a stranger would install it, on other versions of Node.
 *
 * Packs the library and the command, and for each version of Node installs both tarballs into an empty
 * folder, by that version, and runs a small program and a short `fibril compare` there. The sources run
 * on one pinned Node; this proves the rest, the files that the package forgot included.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = `
import { all, Cancelled, run, scope, sleep, timeout, TimeoutError } from "fibril";
import { Session } from "fibril/http";
import { WaitQueue } from "fibril/lowlevel";
import * as testing from "fibril/testing";
import assert from "node:assert/strict";

const seen = [];
await run(function* () {
  yield* scope(function* (s) {
    s.spawn(function* () { yield* sleep(20); seen.push("slow"); });
    s.spawn(function* () { yield* sleep(5); seen.push("fast"); });
  });
  assert.deepEqual(yield* all([sleep(1), sleep(2)]), [undefined, undefined]);
  try { yield* timeout(5, sleep(60_000)); } catch (error) { seen.push(error instanceof TimeoutError); }
});
assert.deepEqual(seen, ["fast", "slow", true]);
assert.ok([Cancelled, Session, WaitQueue].every((it) => typeof it === "function") && Object.keys(testing).length > 0);
console.log("library ok on " + process.version);
`;

const root = fileURLToPath(new URL("../", import.meta.url));
const versions = process.argv.slice(2);
if (versions.length === 0) versions.push("20", "22", "26");

const command = "node_modules/fibril-cli/bin/fibril.js";
const folder = mkdtempSync(join(tmpdir(), "fibril-smoke-"));
try {
  for (const packed of ["fibril", "fibril-cli"]) {
    const place = packed === "fibril" ? root : join(root, "cli");
    npm(place, "pack", "--silent", "--ignore-scripts", `--pack-destination=${folder}`);
  }
  const tarballs = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  for (const version of versions) {
    const app = join(folder, `node-${version}`);
    mkdirSync(app);
    writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
    writeFileSync(join(app, "program.js"), program);
    const quiet = ["--silent", "--no-audit", "--no-fund"];
    on(version, app, "npm", "install", ...quiet, ...tarballs.map((name) => join(folder, name)));
    process.stdout.write(on(version, app, "node", "program.js"));
    const report = on(version, app, "node", command, "compare", "--json", "--delay", "100", "--many", "8");
    const { rows } = JSON.parse(report) as { rows: { name: string; error?: string }[] };
    if (rows.length === 0) throw new Error(`fibril compare has no rows:\n${report}`);
    console.log(`command ok: ${rows.map((row) => row.name).join(", ")}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function npm(cwd: string, ...args: string[]): void {
  execFileSync("npm", args, { cwd, stdio: ["ignore", "ignore", "inherit"] });
}

/** Runs a command with a version of Node from the registry's `node` package in front of the search path. */
function on(version: string, cwd: string, ...commandLine: string[]): string {
  const args = ["exec", "--yes", "--silent", `--package=node@${version}`, "--", ...commandLine];
  return execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}
