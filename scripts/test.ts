/**
 * `npm test`: format, lint, types, then every test; the last line is always `N passed, N failed`.
 *
 * A step that fails does not stop the next one, so that one run shows everything there is to repair.
 * The numbers are those of the tests; a failed step before them counts as one more failure, so that
 * the line never says "0 failed" of a run that failed. Arguments go to vitest.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

const root = fileURLToPath(new URL("../", import.meta.url));
// Programs and threads of the tests run the sources as they are: what the engine makes of them is kept from one to the next.
process.env["NODE_COMPILE_CACHE"] ??= join(root, "node_modules/.cache/compile");
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
let running: ChildProcess | undefined;
let stopped = false;

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stopped = true;
    running?.kill(signal);
  });
}

const failedSteps: string[] = [];
for (const step of ["format:check", "lint", "typecheck"]) {
  console.log(`\n── ${step}`);
  if ((await execute(npm, ["run", "--silent", step])) !== 0) failedSteps.push(step);
}

console.log("\n── unit");
const folder = mkdtempSync(join(tmpdir(), "fibril-test-"));
const reportFile = join(folder, "report.json");
const code = await execute(process.execPath, [
  join(root, "node_modules/vitest/vitest.mjs"),
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${reportFile}`,
  ...process.argv.slice(2),
]);
const report = readReport(reportFile);
rmSync(folder, { recursive: true, force: true });

// vitest also fails for what is no test: a file that does not load, an unhandled rejection, no test at all.
const failedTests = Math.max(report.numFailedTests, code === 0 ? 0 : 1);
const left = report.numPendingTests + report.numTodoTests;
if (left > 0) console.log(`${left} tests did not run (skipped or still to write); that counts as a failure.`);
const failed = failedSteps.length + failedTests + left;
if (failedSteps.length > 0) console.log(`failed before the tests: ${failedSteps.join(", ")}`);
console.log(`${report.numPassedTests} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** Runs a command in the root of the checkout and gives its exit code. */
function execute(command: string, args: readonly string[]): Promise<number> {
  if (stopped) return Promise.resolve(1);
  return new Promise((resolve) => {
    running = spawn(command, args, { cwd: root, stdio: "inherit" });
    running.on("error", (error) => {
      console.error(`cannot run ${command}: ${error.message}`);
      resolve(1);
    });
    running.on("exit", (code) => resolve(stopped ? 1 : (code ?? 1)));
  });
}

function readReport(file: string): VitestReport {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as VitestReport;
  } catch {
    return { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 };
  }
}
