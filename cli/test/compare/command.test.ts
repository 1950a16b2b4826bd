/**
 * The command as a user runs it: real processes, real sockets on loopback, real time. Kept short, and judged loosely,
 * because the machine may be busy; exact claims are made on plain data in the tests beside this one.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { FinishedRow, Report } from "../../src/compare/report.ts";

const BIN = fileURLToPath(new URL("../../bin/fibril.js", import.meta.url));
const FLAGS = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];

interface Started {
  readonly pid: number;
  readonly finished: Promise<{ code: number | null; stdout: string; stderr: string }>;
  /** Resolves when the standard error has said `text`. */
  readonly said: (text: string) => Promise<void>;
}

/** Starts `fibril …` as the leader of a process group, so that whatever it leaves behind can be found. */
function fibril(...args: string[]): Started {
  const child = spawn(process.execPath, [...FLAGS, BIN, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const pid = child.pid as number;
  onTestFinished(() => void (groupIsAlive(pid) && process.kill(-pid, "SIGKILL")));
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const finished = once(child, "close").then(([code]) => ({ code: code as number | null, stdout, stderr }));
  const said = async (text: string): Promise<void> => {
    while (!stderr.includes(text)) await once(child.stderr, "data");
  };
  return { pid, finished, said };
}

function groupIsAlive(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("five contestants have the expected shape, and no process is left", { timeout: 60_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "fibril-compare-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const page = join(folder, "page.html");
  const { pid, finished } = fibril(
    "compare",
    "--json",
    "--delay",
    "150",
    "--count",
    "4",
    "--many",
    "8",
    "--html",
    page,
  );
  const { code, stdout, stderr } = await finished;

  expect(code, stderr).toBe(0);
  expect(groupIsAlive(pid)).toBe(false);
  const report = JSON.parse(stdout) as Report;
  expect(report.settings).toEqual({ delayMs: 150, count: 4, many: 8, only: ["a", "b", "c", "d", "e"] });
  expect(report.machine).toMatchObject({ node: expect.any(String), cores: expect.any(Number) });
  expect(report.rows.map(({ name }) => name)).toEqual(["blocking", "session", "fetch", "threads", "many"]);
  const [blocking, session, promises, threads, many] = report.rows as FinishedRow[] as [
    FinishedRow,
    FinishedRow,
    FinishedRow,
    FinishedRow,
    FinishedRow,
  ];

  // One after the other against together; a machine that stands still may add any time to all of them. The server never
  // answers before its delay.
  expect(blocking.wallMs).toBeGreaterThan(4 * 145);
  for (const row of [session, promises, threads, many]) {
    expect(row.wallMs, row.name).toBeGreaterThan(145);
    expect(row.warnings, row.name).toEqual([]);
  }
  for (const { name, wallMs, requests } of report.rows as FinishedRow[])
    expect(wallMs, name).toBe(Math.max(...requests.map(({ endMs }) => endMs)));
  expect([blocking, session, promises, many].map(mostAtOnce)).toEqual([1, 4, 4, 8]);
  expect(mostAtOnce(threads)).toBeGreaterThan(1); // a thread may be late
  expect(blocking.requests).toHaveLength(4);
  expect(many.requests).toHaveLength(8);
  for (const { requests } of report.rows) expect(requests.every(({ ok }) => ok)).toBe(true);
  expect(blocking.loopLagMs).toBeGreaterThan(100);
  expect(threads.threads).toBeGreaterThan(many.threads);
  expect(threads.peakRssMb).toBeGreaterThan(many.peakRssMb);

  // By name and line: where the coroutine called, and what it called there.
  const blocked = blocking.warnings.map(({ task }) => task).filter((task) => task.startsWith("get "));
  expect(blocked).toEqual(["get 1", "get 2", "get 3", "get 4"]); // any other step may take long as well
  expect(blocking.warnings).toContainEqual(
    expect.objectContaining({
      at: expect.objectContaining({
        file: "request-sync.ts",
        function: "requestSync",
        line: await lineOf("Atomics.wait("),
      }),
      calledFrom: expect.objectContaining({ file: "blocking.ts", function: "get" }),
    }),
  );

  expect(await readFile(page, "utf8")).toContain("4 requests: ");
});

/** How many requests were under way at the busiest moment. */
function mostAtOnce({ requests }: FinishedRow): number {
  return Math.max(
    ...requests.map(({ startMs: at }) => requests.filter(({ startMs, endMs }) => startMs <= at && at < endMs).length),
  );
}

async function lineOf(code: string): Promise<number> {
  const source = new URL("../../src/compare/contestants/request-sync.ts", import.meta.url);
  const lines = (await readFile(source, "utf8")).split("\n");
  return lines.findIndex((line) => line.trim().startsWith(code)) + 1;
}

test("piped, it prints progress as lines and then the report", { timeout: 30_000 }, async () => {
  const { code, stdout, stderr } = await fibril("compare", "--delay", "50", "--count", "2", "--only", "c").finished;
  expect(code).toBe(0);
  expect(stderr).toMatch(
    /^c {2}2 promises with fetch: started, about 50 ms\nc {2}2 promises with fetch: done in .+\n$/,
  );
  expect(stdout).toMatch(/c {2}2 promises with fetch {2}/);
});

test(
  "a contestant that fails is a row with its error, the others still run, and the exit code is 1",
  { timeout: 30_000 },
  async () => {
    const { pid, finished } = fibril(
      "compare",
      "--json",
      "--delay",
      "3000",
      "--count",
      "2",
      "--many",
      "2",
      "--only",
      "c,e",
    );
    let contestants: number[] = [];
    await expect.poll(() => (contestants = contestantsOf(pid)), { timeout: 50_000 }).toHaveLength(1);
    for (const contestant of contestants) process.kill(contestant, "SIGKILL");
    const { code, stdout } = await finished;
    expect(code).toBe(1);
    const { rows } = JSON.parse(stdout) as Report;
    expect(rows).toMatchObject([
      { name: "fetch", outcome: "failed", error: "its process was ended by SIGKILL", requests: [] },
      { name: "many", outcome: "finished" },
    ]);
  },
);

/** The processes that run `fetch`, of the group that `pid` leads. */
function contestantsOf(pid: number): number[] {
  return execFileSync("ps", ["-A", "-o", "pid=,pgid=,args="], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes("contestants/main") && line.includes(" fetch "))
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, group]) => group === pid)
    .map(([process = 0]) => process);
}

test("Ctrl-C ends everything at once, even in the middle of a blocking request", { timeout: 60_000 }, async () => {
  const { pid, finished, said } = fibril("compare", "--delay", "20000", "--only", "a");
  await said("a  4 coroutines that block: started");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const pressed = performance.now();
  // What a terminal does: every process of the group gets it.
  process.kill(-pid, "SIGINT");
  const { code, stdout } = await finished;
  expect(code).toBe(130);
  expect(stdout).toBe("");
  expect(performance.now() - pressed).toBeLessThan(15_000); // the first of four requests would take 20 s
  expect(groupIsAlive(pid)).toBe(false);
});

test("when it is killed, its processes go with it", { timeout: 30_000 }, async () => {
  const { pid, finished, said } = fibril("compare", "--delay", "20000", "--only", "a");
  await said("a  4 coroutines that block: started");
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.kill(pid, "SIGKILL");
  await finished;
  await expect.poll(() => groupIsAlive(pid), { timeout: 50_000 }).toBe(false);
});

test.each([
  [
    ["compare", "--delay", "soon"],
    'fibril: --delay takes a whole number of milliseconds from 1 to 60,000, not "soon"\n',
  ],
  [["compare", "--html", tmpdir()], `fibril: --html takes a file, and ${tmpdir()} is a folder\n`],
  [["compare", "--fast"], "error: unknown option '--fast'\n"],
])("a command line that cannot be carried out is one sentence and exit code 2: %j", async (args, sentence) => {
  expect(await fibril(...args).finished).toEqual({ code: 2, stdout: "", stderr: sentence });
});
