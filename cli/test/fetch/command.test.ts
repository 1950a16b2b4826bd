/** The command as a user runs it: processes, pipes, signals, exit codes. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { HostileServer } from "./hostile-server.ts";
import { parseLines, temporaryFolder } from "./in-process.ts";
import { FetchProgram, runFetch } from "./program.ts";
import type { Ended } from "./program.ts";

/** The machine may be busy. */
const PATIENT = { timeout: 50_000 };

async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort();
}

describe("exit codes", () => {
  test("0: everything was fetched, and the standard error is silent for a single URL", async () => {
    const server = await HostileServer.start();
    const { code, stdout, stderr } = await runFetch([`${server.origin}/ok/1`]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "body of /ok/1\n", stderr: "" });
  });

  test("1: something failed, bad lines included, and each failure is told", async () => {
    const server = await HostileServer.start();
    const folder = await temporaryFolder();
    const input = `${server.origin}/ok/1\nfoo bar\n${server.origin}/missing\n`;
    const { code, stdout, stderr } = await runFetch(["-i", "-", "-o", join(folder, "new", "out")], input);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("line 2: not a URL: foo bar\n");
    expect(stderr).toContain(`failed: ${server.origin}/missing: the server answered 404 Not Found\n`);
    expect(stderr).toContain("1 fetched, 2 failed in ");
    expect(stderr).toContain("failed: 1 × 404 Not Found, 1 × bad line\n");
    expect(await namesIn(folder)).toEqual(["1"]);
  });

  test("2: nothing could be done, and a sentence says why", async () => {
    const cases = [
      [["foo bar"], "not a URL: foo bar"],
      [["-i", "no/such/file", "--ndjson"], "cannot read the input no/such/file: ENOENT"],
      [["http://127.0.0.1:1/", "-o", "package.json/out"], "-o cannot use package.json/out"],
      [["http://127.0.0.1:1/", "--nonsense"], "unknown option '--nonsense'"],
    ] as const;
    const ended = await Promise.all(cases.map(([args]) => runFetch(args)));
    for (const [index, { code, stdout, stderr }] of ended.entries()) {
      expect([code, stdout], stderr).toEqual([2, ""]);
      expect(stderr).toContain(cases[index]![1]);
      expect(stderr).not.toContain("    at "); // no stack
    }
  });
});

describe("times", () => {
  test("124: --deadline ends the run in order; --max-time ends one try, and the others go on", async () => {
    const server = await HostileServer.start();
    const urls = [
      `${server.origin}/ok/1`,
      `${server.origin}/trickle`,
      `${server.origin}/ok/2`,
      `${server.origin}/held`,
    ];
    // Two of them would never end by themselves: one byte comes now and then, or nothing at all.
    const [late, tried] = await Promise.all([
      inTime(["--max-time", "1m", "--deadline"], urls),
      inTime(["--max-time"], urls),
    ]);
    expect(late.code).toBe(124);
    expect(late.stderr).toContain("2 fetched in ");
    expect(late.stderr).toContain("stopped by --deadline; not done: 2, 2 of them were under way\n");
    expect(tried.code).toBe(1);
    expect(tried.stderr).toContain("2 fetched, 2 failed in ");
    expect(tried.stderr).toContain("2 × timeout (total)");
    expect([late.files, tried.files]).toEqual([
      ["1", "2"],
      ["1", "2"],
    ]);
  });

  interface InTime extends Ended {
    readonly files: readonly string[];
  }

  /** Tries longer times for the last option until the two that have an end are through: a busy machine needs longer. */
  async function inTime(limits: readonly string[], urls: readonly string[]): Promise<InTime> {
    for (let seconds = 1; ; seconds *= 5) {
      const folder = await temporaryFolder();
      const args = ["-i", "-", "-o", folder, "--retries", "0", ...limits, `${seconds}s`];
      const ended = await runFetch(args, urls.join("\n"));
      if (ended.stderr.includes("2 fetched") || seconds === 25) return { ...ended, files: await namesIn(folder) };
    }
  }
});

describe("signals", () => {
  test.for([
    ["SIGINT", 130, "Ctrl-C"],
    ["SIGTERM", 143, "SIGTERM"],
  ] as const)("%s ends in order: whole files, no .part, a summary, exit code %i", async ([signal, expected, name]) => {
    const server = await HostileServer.start();
    const folder = await temporaryFolder();
    const quick = Array.from({ length: 20 }, (_, n) => `${server.origin}/ok/${n}`);
    const slow = Array.from({ length: 30 }, (_, n) => `${server.origin}/halfway/${n}`);
    const list = join(folder, "urls.txt");
    await writeFile(list, [...quick, ...slow].join("\n"));
    const out = join(folder, "out");
    const program = new FetchProgram(["-i", list, "-o", out, "-c", "10"]);
    await server.untilHeld(10);
    await expect
      .poll(async () => (await namesIn(out)).filter((file) => file.endsWith(".part")), PATIENT)
      .toHaveLength(10);
    program.child.kill(signal);
    const { code, stderr } = await program.ended();
    expect(code).toBe(expected);
    expect(stderr).toContain("20 fetched in ");
    expect(stderr).toContain(`stopped by ${name}; not done: 30, 10 of them were under way\n`);
    expect(await namesIn(out)).toEqual(quick.map((_, n) => String(n)).sort());
    for (let n = 0; n < 20; n++) {
      const file = join(out, new URL(server.origin).host.replace(":", "+"), "ok", String(n));
      expect(await readFile(file, "utf8")).toBe(`body of /ok/${n}\n`);
    }
  });

  test("it ends at once while it waits for input, and while it waits for a retry", async () => {
    const server = await HostileServer.start();
    const waiting = new FetchProgram(["-i", "-", "--ndjson"]);
    waiting.child.stdin!.write(`${server.origin}/ok/1\n${server.origin}/busy/1/100\n`);
    await waiting.next("stdout");
    await server.untilSeen(2);
    const startedAt = performance.now();
    waiting.child.kill("SIGINT");
    const { code, stderr } = await waiting.ended();
    expect(performance.now() - startedAt).toBeLessThan(50_000); // the retry would be after 100 s
    expect(code).toBe(130);
    expect(stderr).toContain("stopped by Ctrl-C; not done: at least 1");
  });
});

describe("pipes", () => {
  test("a result comes as soon as its line, long before the input ends", async () => {
    const server = await HostileServer.start();
    const program = new FetchProgram(["-i", "-", "--ndjson"]);
    program.child.stdin!.write(`${server.origin}/ok/1\n`);
    expect(parseLines(await program.next("stdout"))[0]).toMatchObject({ line: 1, status: 200 });
    program.child.stdin!.end(`${server.origin}/ok/2`);
    const { code, stdout } = await program.ended();
    expect(code).toBe(0);
    expect(parseLines(stdout).map(({ line }) => line)).toEqual([1, 2]);
  });

  test("a reader who goes away ends the run in order and without a word", async () => {
    const server = await HostileServer.start();
    const folder = await temporaryFolder();
    const lines = [`${server.origin}/halfway`, ...Array.from({ length: 500 }, (_, n) => `${server.origin}/ok/${n}`)];
    const program = new FetchProgram(["-i", "-", "--ndjson", "-o", folder, "-c", "4"]);
    program.child.stdin!.end(lines.join("\n"));
    await program.next("stdout");
    program.child.stdout!.destroy();
    const { code, stderr } = await program.ended();
    expect(code).toBe(0);
    expect(stderr).toMatch(/^\d+ fetched in .*\n(time of a request: .*\n)?$/);
    expect((await namesIn(folder)).filter((name) => name.endsWith(".part"))).toEqual([]);
    expect(server.seenInAll).toBeLessThan(lines.length);
  });

  test("a body that nobody reads to its end is given up", async () => {
    const server = await HostileServer.start();
    const program = new FetchProgram([`${server.origin}/endless`]);
    await program.next("stdout");
    program.child.stdout!.destroy();
    expect(await program.ended()).toMatchObject({ code: 0, stderr: "" });
  });

  test("progress is shown in a pipe when it is asked for, and only then", async () => {
    const server = await HostileServer.start();
    const program = new FetchProgram([`${server.origin}/held`, "--ndjson", "--progress"]);
    const [quiet] = await Promise.all([runFetch([`${server.origin}/ok`, "--ndjson"]), program.next("stderr")]);
    await server.untilHeld(1);
    server.letGo();
    expect((await program.ended()).stderr).toMatch(/^0 %  0 of 1  0\.0\/s  0 bytes\/s\n/);
    expect(quiet.stderr).toMatch(/^1 fetched in .*\n$/);
  });
});
