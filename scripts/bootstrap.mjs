/**
 * `node scripts/bootstrap.mjs FILE [ARGUMENTS…]`: installs what is missing, then runs the file.
 *
 * This is why `npm start` and `npm test` work on a fresh clone. It knows nothing but Node 20 and npm.
 * What is installed is compared with the lockfile entry by entry, so that it also sees a dependency
 * that a pull or a checkout has changed; no stamp of its own that could lie.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findNode, runSource } from "./launch.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  console.error("usage: node scripts/bootstrap.mjs FILE [ARGUMENTS…]");
  process.exit(2);
}
const stale = whatIsStale();
if (stale !== undefined) install(stale);
runSource(file, args);

/**
 * Says in words why an installation is needed, or nothing when there is no need.
 * @returns {string | undefined}
 */
function whatIsStale() {
  const installed = readJson("node_modules/.package-lock.json")?.packages;
  if (installed === undefined) return "nothing is installed yet";
  if (findNode() === undefined) return "the pinned Node is missing";
  const locked = readJson("package-lock.json")?.packages;
  if (locked === undefined) return undefined;
  for (const [path, entry] of Object.entries(locked)) {
    if (!path.includes("node_modules/") || entry.link) continue;
    const present = installed[path];
    // An optional package may be absent (it serves another platform), but not in another version.
    if (present === undefined ? !entry.optional : present.version !== entry.version) return `${path} has changed`;
  }
  for (const path of ["", "cli", "bench"]) {
    const wanted = readJson(`${path === "" ? "." : path}/package.json`);
    for (const kind of ["dependencies", "devDependencies"]) {
      if (canonical(wanted?.[kind]) !== canonical(locked[path]?.[kind]))
        return `${path || "."}/package.json has changed`;
    }
  }
  return undefined;
}

/**
 * @param {string} reason
 * @returns {void}
 */
function install(reason) {
  console.error(`Installing dependencies (${reason}); this takes some 20 seconds…`);
  const fresh = !existsSync(`${root}node_modules`);
  // `npm ci` refuses, with two pages of help, where the lockfile lacks what only other platforms need: a registry may
  // not carry it. `npm install` does not mind, and says what is wrong when something is.
  if (fresh && npm(["ci"], "ignore") === 0) return;
  const code = npm(["install"], 2);
  if (code !== 0) process.exit(code);
}

/**
 * Runs npm with its output on stderr: stdout belongs to the program that is started afterwards.
 * @param {readonly string[]} command
 * @param {2 | "ignore"} output
 * @returns {number}
 */
function npm(command, output) {
  const cli = process.env["npm_execpath"];
  const [program, first] = cli === undefined ? ["npm", []] : [process.execPath, [cli]];
  const result = spawnSync(program, [...first, ...command, "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", output, output],
    shell: cli === undefined && process.platform === "win32",
  });
  if (result.error) console.error(`Cannot run npm: ${result.error.message}`);
  if (result.signal) process.kill(process.pid, result.signal);
  return result.status ?? 1;
}

/**
 * @param {string} path
 * @returns {any}
 */
function readJson(path) {
  try {
    return JSON.parse(readFileSync(root + path, "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * @param {Record<string, string> | undefined} record
 * @returns {string}
 */
function canonical(record) {
  return JSON.stringify(Object.entries(record ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}
