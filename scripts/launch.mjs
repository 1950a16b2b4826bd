/**
 * Runs a TypeScript file of this checkout on the pinned Node 24, in a child that has the terminal.
 *
 * Plain JavaScript without dependencies, because it runs before anything is installed, on Node 20.
 *
 * Signals. A terminal sends Ctrl-C to the whole process group, and npm sends it to its script once
 * more. So the child has it already; passing it on would be its second Ctrl-C, and the second one
 * ends a program at once. With no terminal at all the signal was meant for this process, and is
 * passed on. Either way this process stays until the child has cleaned up, and ends as the child
 * ended: same exit code or same signal.
 *
 * SIGTERM for npm or npx reaches only the shell that they put in between, which dies and leaves its
 * children behind. So what npm has started also ends when its parent is gone.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);

/** What makes `fibril` mean the sources, and keeps Node silent about running them. */
export const sourceFlags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];

/**
 * The Node that runs the sources: the pinned one, or this one when it is new enough.
 * @returns {string | undefined}
 */
export function findNode() {
  const name = process.platform === "win32" ? "node.exe" : "node";
  const pinned = fileURLToPath(new URL(`node_modules/node/bin/${name}`, root));
  if (existsSync(pinned)) return pinned;
  return Number.parseInt(process.versions.node, 10) >= 24 ? process.execPath : undefined;
}

const PARENT_CHECK_MS = 250;

/**
 * Runs a file with arguments, waits for it, and ends this process the way it ended.
 * @param {string} file
 * @param {readonly string[]} args
 * @returns {void}
 */
export function runSource(file, args) {
  const node = findNode();
  if (node === undefined) {
    console.error("This checkout has no Node 24 yet. Run `npm install` in its root first.");
    process.exit(1);
  }
  const child = spawn(node, [...sourceFlags, file, ...args], { stdio: "inherit" });
  const inTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
  process.on("SIGINT", () => {
    if (!inTerminal) child.kill("SIGINT");
  });
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.on("SIGHUP", () => child.kill("SIGHUP"));
  if (process.env["npm_lifecycle_event"] !== undefined) {
    const parent = process.ppid;
    const check = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(check);
      child.kill("SIGTERM");
    }, PARENT_CHECK_MS);
  }
  child.on("error", (error) => {
    console.error(`Cannot start ${node}: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
