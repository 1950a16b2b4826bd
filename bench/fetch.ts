/**
 * `fibril fetch` against `curl --parallel`: many small files from a local nginx to disk, and how much memory it takes.
 *
 *     node --conditions=fibril-source bench/fetch.ts [--files 20000] [--rounds 5] [--at-once 100] [--urls 100000] [--sources] [--folder DIR]
 *
 * What is measured is the command as it is published, which is built first; with `--sources` it is the checkout. The two take turns, each
 * as a process of its own, so that what else the machine does meets both; what is printed is the ratio within a round, and the median of
 * those. The time of ours has Node's start in it. With `--urls` it fetches that many URLs as well (the same files again and again, as lines
 * of JSON) and prints the peak memory for a tenth of them and for all.
 *
 * Each run has a folder of its own, and nothing is deleted before the end: ext4 without a journal takes no inode again for some minutes
 * after its file was deleted, and passes over all of those for each new file. After 20,000 deletions `open` takes ten to thirty times as
 * long, for both of the two. So before each run the bench looks how long a file takes, and says so when the disk is in that state.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startNginx } from "./http/peers.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "20000" },
    rounds: { type: "string", default: "5" },
    "at-once": { type: "string", default: "100" },
    urls: { type: "string", default: "0" },
    sources: { type: "boolean", default: false },
    folder: { type: "string", default: tmpdir() },
  },
});
const [files, rounds, atOnce, urls] = [values.files, values.rounds, values["at-once"], values.urls].map(Number) as [
  number,
  number,
  number,
  number,
];
const FILES_PER_FOLDER = 200;
const PROBES = 200;
const SLOW_PROBE_US = 200; // a new file takes 30 to 60 µs

const home = mkdtempSync(join(values.folder, "fibril-bench-fetch-"));
const started = await startNginx(() => undefined);
if (started === undefined) throw new Error("this needs nginx; on Debian: apt-get install nginx-light");
const nginx = started;
let runs = 0;
try {
  const ourCommand = values.sources ? fromSources() : built();
  const paths = Array.from({ length: files }, (_, number) => `${Math.floor(number / FILES_PER_FOLDER)}/${number}.bin`);
  for (const [number, path] of paths.entries()) {
    if (number % FILES_PER_FOLDER === 0) mkdirSync(join(nginx.root, path, ".."), { recursive: true });
    writeFileSync(join(nginx.root, path), Buffer.alloc(500 + ((number * 37) % 4_000), "x"));
  }
  const list = join(home, "urls.txt");
  writeFileSync(list, paths.map((path) => `${nginx.origin}/${path}\n`).join(""));
  const ratios: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const curl = await timed(() => curlCommand(paths));
    const ours = await timed((folder) => [...ourCommand, "-i", list, "-o", folder, "-c", String(atOnce)]);
    ratios.push(ours.ms / curl.ms);
    console.log(
      `round ${round}: curl ${ms(curl.ms)}, fibril ${ms(ours.ms)} (CPU ${ms(curl.cpuMs)}, ${ms(ours.cpuMs)}), ratio ${(ours.ms / curl.ms).toFixed(2)}, ${ours.peakMb} MB; a new file takes ${curl.probeUs} and ${ours.probeUs} µs`,
    );
  }
  console.log(
    `median ratio of ${rounds} rounds, ${files} files: ${ratios.sort((a, b) => a - b)[rounds >> 1]!.toFixed(2)}`,
  );
  if (urls > 0) {
    for (const count of [urls / 10, urls]) {
      const many = join(home, `many-${count}.txt`);
      writeFileSync(
        many,
        Array.from({ length: count }, (_, n) => `${nginx.origin}/${paths[n % files]!}?${n}\n`).join(""),
      );
      const run = await timed(() => [...ourCommand, "-i", many, "--ndjson", "-c", String(atOnce)]);
      console.log(`${count} URLs as JSON lines: ${ms(run.ms)}, peak ${run.peakMb} MB`);
    }
  }
} finally {
  await nginx.stop();
  rmSync(home, { recursive: true, force: true });
}

function fromSources(): string[] {
  const bin = fileURLToPath(new URL("../cli/bin/fibril.js", import.meta.url));
  return [process.execPath, "--conditions=fibril-source", "--disable-warning=ExperimentalWarning", bin, "fetch"];
}

/** Builds, and puts what would be published where no sources are beside it. */
function built(): string[] {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const build = spawnSync("npm", ["run", "--silent", "build"], { cwd: root, encoding: "utf8" });
  if (build.status !== 0) throw new Error(`the build failed: ${build.stdout}${build.stderr}`);
  const cli = join(home, "package", "cli");
  for (const name of ["bin", "dist", "package.json"]) {
    cpSync(join(root, "cli", name), join(cli, name), { recursive: true });
  }
  // Its own dependencies, above all its undici, are those that the library gets as well where the command is installed.
  const modules = join(home, "package", "node_modules");
  mkdirSync(modules);
  const own = readdirSync(join(root, "cli", "node_modules")).filter((name) => !name.startsWith("."));
  for (const name of own) symlinkSync(join(root, "cli", "node_modules", name), join(modules, name));
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name !== "fibril" && !own.includes(name)) symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const name of ["dist", "package.json"]) {
    cpSync(join(root, name), join(modules, "fibril", name), { recursive: true });
  }
  return [process.execPath, join(cli, "bin", "fibril.js"), "fetch"];
}

/** It writes into the folder where it is started. */
function curlCommand(paths: readonly string[]): string[] {
  const config = join(home, "curl.txt");
  writeFileSync(config, paths.map((path) => `url = "${nginx.origin}/${path}"\noutput = "${path}"\n`).join(""));
  return ["curl", "--parallel", "--parallel-max", String(atOnce), "--create-dirs", "--silent", "--config", config];
}

/** How long a new file takes here and now, in microseconds. */
function probe(folder: string): number {
  mkdirSync(folder);
  const startedAt = performance.now();
  for (let n = 0; n < PROBES; n++) writeFileSync(join(folder, String(n)), "x");
  return Math.round(((performance.now() - startedAt) * 1_000) / PROBES);
}

interface Timed {
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakMb: number;
  readonly probeUs: number;
}

/** Runs it under time(1) in an empty folder of its own. */
async function timed(commandFor: (folder: string) => readonly string[]): Promise<Timed> {
  const folder = join(home, `run-${++runs}`);
  mkdirSync(folder);
  const [program, ...args] = commandFor(folder);
  const probeUs = probe(join(home, `probe-${runs}`));
  if (probeUs > SLOW_PROBE_US) {
    console.log(
      `a new file takes ${probeUs} µs here: were many deleted of late? Wait some minutes, or choose another --folder`,
    );
  }
  spawnSync("sync");
  const startedAt = performance.now();
  const child = spawn("/usr/bin/env", ["time", "-f", "%U %S %M", program!, ...args], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let told = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (told += text));
  const [code] = (await once(child, "close")) as [number];
  const elapsed = performance.now() - startedAt;
  if (code !== 0) throw new Error(`${program} ended with code ${code}: ${told}`);
  const [user, system, kilobytes] = told.trim().split("\n").at(-1)!.split(" ").map(Number) as [number, number, number];
  return { ms: elapsed, cpuMs: (user + system) * 1_000, peakMb: Math.round(kilobytes / 1_024), probeUs };
}

function ms(value: number): string {
  return `${Math.round(value).toLocaleString("en-US")} ms`;
}
