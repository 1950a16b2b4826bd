/**
 * Against a real server that is not ours. nginx has to be there: where it is missing these tests fail.
 *
 * A few hundred files always; the ten and hundred thousand of the issue with FIBRIL_LONG=1 (`npm run test:long`).
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parseLines, temporaryFolder } from "./in-process.ts";
import { type Nginx, startNginx } from "./nginx.ts";
import { measureFetch, runFetch } from "./program.ts";

const IS_LONG = process.env["FIBRIL_LONG"] === "1";
const FILES = IS_LONG ? 10_000 : 500;
const FILES_PER_FOLDER = 100;
const PEAK_LIMIT_MB = 200;

const sums = new Map<string, string>();
let nginx: Nginx;

beforeAll(async () => {
  nginx = await startNginx();
  return () => nginx.stop();
});

beforeAll(async () => {
  for (let number = 0; number < FILES; number++) {
    const folder = join("files", String(Math.floor(number / FILES_PER_FOLDER)));
    if (number % FILES_PER_FOLDER === 0) await mkdir(join(nginx.root, folder), { recursive: true });
    // Empty ones, small ones, and now and then one that comes in many pieces.
    const body = randomBytes(number % 250 === 7 ? 1_500_000 : (number * 37) % 9_000);
    await writeFile(join(nginx.root, folder, `${number}.bin`), body);
    sums.set(`${folder}/${number}.bin`, sha256(body));
  }
}, 60_000);

const urls = (): string[] => [...sums.keys()].map((path) => `${nginx.origin}/${path}`);

async function writeList(lines: readonly string[]): Promise<string> {
  const file = join(await temporaryFolder(), "urls.txt");
  await writeFile(file, lines.map((line) => `${line}\n`).join(""));
  return file;
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("files of nginx", { timeout: IS_LONG ? 120_000 : 20_000 }, () => {
  test("all are there, byte for byte, and in little memory", async () => {
    const out = join(await temporaryFolder(), "out");
    const list = await writeList(urls());
    const startedAt = performance.now();
    const { code, stdout, stderr, peakMb } = await measureFetch(["-i", list, "-o", out, "-c", "100"]);
    const wallMs = performance.now() - startedAt;
    expect(stderr).toMatch(new RegExp(`^${FILES.toLocaleString("en-US")} fetched in `));
    expect([code, stdout]).toEqual([0, ""]);
    const home = join(out, new URL(nginx.origin).host.replace(":", "+"));
    for (const [path, sum] of sums) expect(sha256(await readFile(join(home, path))), path).toBe(sum);
    expect(await filesIn(out)).toHaveLength(FILES);
    expect(peakMb).toBeLessThan(PEAK_LIMIT_MB);
    if (IS_LONG) console.log(`${FILES} files: ${Math.round(wallMs)} ms, ${Math.round(peakMb)} MB`);
  });

  test("result lines have the right hash and size, and 404s among them fail alone", async () => {
    const missing = Array.from({ length: 50 }, (_, number) => `${nginx.origin}/missing/${number}`);
    const list = await writeList([...urls().slice(0, 200), ...missing, ...urls().slice(200, 450)]);
    const { code, stdout, stderr } = await runFetch(["-i", list, "--ndjson", "-c", "20"]);
    expect(code).toBe(1);
    const results = parseLines(stdout);
    expect(results).toHaveLength(500);
    for (const { url, status, error, sha256: sum, attempts } of results) {
      const path = new URL(url).pathname.slice(1);
      const expected = sums.has(path) ? { status: 200, code: undefined } : { status: 404, code: "HTTP_STATUS" };
      expect({ status, code: error?.code }).toEqual(expected);
      if (sums.has(path)) expect(sum).toBe(sums.get(path));
      expect(attempts).toBe(1);
    }
    expect(stderr).toContain("450 fetched, 50 failed in ");
    expect(stderr).toContain("failed: 50 × 404 Not Found\n");
  });
});

if (IS_LONG) {
  test("ten times as many URLs take no more memory", { timeout: 600_000 }, async () => {
    const many = Array.from({ length: 10 }, (_, round) => urls().map((url) => `${url}?round=${round}`)).flat();
    for (const mode of ["--ndjson", "-o"]) {
      const peaks: number[] = [];
      for (const lines of [urls(), many]) {
        const where = mode === "-o" ? ["-o", join(await temporaryFolder(), "out")] : ["--ndjson"];
        const { code, peakMb } = await measureFetch(["-i", await writeList(lines), "-c", "100", ...where]);
        expect(code).toBe(0);
        peaks.push(peakMb);
        console.log(`${mode}, ${lines.length} URLs: ${Math.round(peakMb)} MB`);
      }
      // The names of files are remembered as hashes, 50 bytes each; the rest is what large bodies happen to
      // meet at the same moment. A kilobyte kept for each URL would be 90 MB.
      expect(peaks[1]! - peaks[0]!).toBeLessThan(90);
    }
  });
}
