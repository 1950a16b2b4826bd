/**
 * `fibril fetch` against `curl --parallel`: many small files from a local nginx to disk, and how much memory it takes.
 *
 *     node --conditions=fibril-source bench/fetch.ts [--files 20000] [--rounds 3] [--at-once 100] [--urls 100000]
 *
 * The two take turns, each as a process of its own and into a folder of its own, so that what else the machine does meets both; what is
 * printed is the ratio within a round, and the median of those. The time of ours has Node's start in it. With `--urls` it fetches that
 * many URLs (the same files again and again, as lines of JSON) and prints the peak memory for a tenth of them and for all.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startNginx } from "./http/peers.ts";

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "20000" },
    rounds: { type: "string", default: "3" },
    "at-once": { type: "string", default: "100" },
    urls: { type: "string", default: "0" },
  },
});
const [files, rounds, atOnce, urls] = [values.files, values.rounds, values["at-once"], values.urls].map(Number) as [
  number,
  number,
  number,
  number,
];
const FILES_PER_FOLDER = 200;
const BIN = fileURLToPath(new URL("../cli/bin/fibril.js", import.meta.url));
const NODE = [process.execPath, "--conditions=fibril-source", "--disable-warning=ExperimentalWarning", BIN, "fetch"];

const home = mkdtempSync(join(tmpdir(), "fibril-bench-fetch-"));
const started = await startNginx(() => undefined);
if (started === undefined) throw new Error("this needs nginx; on Debian: apt-get install nginx-light");
const nginx = started;
try {
  const paths = Array.from({ length: files }, (_, number) => `${Math.floor(number / FILES_PER_FOLDER)}/${number}.bin`);
  for (const [number, path] of paths.entries()) {
    if (number % FILES_PER_FOLDER === 0) mkdirSync(join(nginx.root, path, ".."), { recursive: true });
    writeFileSync(join(nginx.root, path), Buffer.alloc(500 + ((number * 37) % 4_000), "x"));
  }
  const list = join(home, "urls.txt");
  writeFileSync(list, paths.map((path) => `${nginx.origin}/${path}\n`).join(""));
  const ratios: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const curl = await timed("curl", curlCommand(paths));
    const ours = await timed("ours", [...NODE, "-i", list, "-o", join(home, "ours"), "-c", String(atOnce)]);
    ratios.push(ours.ms / curl.ms);
    console.log(
      `round ${round}: curl ${ms(curl.ms)}, fibril ${ms(ours.ms)} (CPU ${ms(curl.cpuMs)}, ${ms(ours.cpuMs)}), ratio ${(ours.ms / curl.ms).toFixed(2)}, ${ours.peakMb} MB`,
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
      const run = await timed("many", [...NODE, "-i", many, "--ndjson", "-c", String(atOnce)]);
      console.log(`${count} URLs as JSON lines: ${ms(run.ms)}, peak ${run.peakMb} MB`);
    }
  }
} finally {
  await nginx.stop();
  rmSync(home, { recursive: true, force: true });
}

function curlCommand(paths: readonly string[]): string[] {
  const config = join(home, "curl.txt");
  const lines = paths.map((path) => `url = "${nginx.origin}/${path}"\noutput = "${join(home, "curl", path)}"\n`);
  writeFileSync(config, lines.join(""));
  return ["curl", "--parallel", "--parallel-max", String(atOnce), "--create-dirs", "--silent", "--config", config];
}

interface Timed {
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakMb: number;
}

/** Runs it under time(1) in an empty folder of its own. */
async function timed(name: string, [program, ...args]: readonly string[]): Promise<Timed> {
  const folder = join(home, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  spawnSync("sync");
  const startedAt = performance.now();
  const child = spawn("/usr/bin/env", ["time", "-f", "%U %S %M", program!, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let told = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (told += text));
  const [code] = (await once(child, "close")) as [number];
  const elapsed = performance.now() - startedAt;
  if (code !== 0) throw new Error(`${name} ended with code ${code}: ${told}`);
  const [user, system, kilobytes] = told.trim().split("\n").at(-1)!.split(" ").map(Number) as [number, number, number];
  return { ms: elapsed, cpuMs: (user + system) * 1_000, peakMb: Math.round(kilobytes / 1_024) };
}

function ms(value: number): string {
  return `${Math.round(value).toLocaleString("en-US")} ms`;
}
