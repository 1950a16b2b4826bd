/** Runs that end early, killed or not, and the next one that goes on: nothing is fetched twice, and every file is right. */
import { createHash, randomBytes } from "node:crypto";
import { appendFile, readdir, readFile, rename, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AppendFile } from "../../src/fetch/journal/append-file.ts";
import { Journal } from "../../src/fetch/journal/journal.ts";
import { KeyTable } from "../../src/fetch/journal/key-table.ts";
import { fetchHere, temporaryFolder } from "./in-process.ts";
import { FetchProgram, runFetch } from "./program.ts";
import { RangeServer } from "./range-server.ts";

const PATIENT = { timeout: 50_000 };
const BIG = 3_000_000;
const JOURNAL = ".fibril-journal.ndjson";

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .filter((name) => name !== JOURNAL);
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

describe("kill -9", () => {
  test("in the middle, and the same command again: all files right, nothing finished is asked for again, a part is continued", async () => {
    const server = await RangeServer.start();
    const small = Array.from({ length: 300 }, (_, n) => `/small/${n}`);
    for (const path of small) server.contents.set(path, { body: randomBytes(200), etag: `"${path}"` });
    server.contents.set("/big", { body: randomBytes(BIG), etag: '"big"' });
    server.contents.set("/dated", { body: randomBytes(BIG), modified: "Sun, 01 Nov 2026 00:00:00 GMT" });
    server.contents.set("/untagged", { body: randomBytes(BIG) });
    const stopped = ["/big", "/dated", "/untagged"];
    for (const path of stopped) server.stops.set(path, 1_000_000);
    server.stops.set(small.at(-1)!, 100); // so not all can be finished, however late the kill is
    const folder = await temporaryFolder();
    const [list, out] = [join(folder, "urls.txt"), join(folder, "out")];
    const paths = [...small.slice(0, 150), ...stopped, ...small.slice(150)];
    await writeFile(list, paths.map((path) => `${server.origin}${path}\n`).join(""));
    const args = ["-i", list, "-o", out, "--resume", "-c", "8", "--rate", "400/s", "--timeout", "5m"];

    const program = new FetchProgram(args);
    const home = join(out, server.host);
    await expect.poll(() => sizeOf(join(home, "big.part")), PATIENT).toBeGreaterThan(500_000);
    await expect.poll(() => sizeOf(join(home, "dated.part")), PATIENT).toBeGreaterThan(500_000);
    await expect.poll(() => sizeOf(join(home, "untagged.part")), PATIENT).toBeGreaterThan(500_000);
    process.kill(program.child.pid!, "SIGKILL");
    expect((await program.ended()).signal).toBe("SIGKILL");
    const finished = (await filesIn(out)).filter((name) => !name.endsWith(".part"));
    expect(finished.length).toBeGreaterThan(0);
    expect(finished.length).toBeLessThan(300);
    for (const name of finished) {
      expect(await readFile(join(home, "small", name))).toEqual(server.contents.get(`/small/${name}`)!.body);
    }
    const before = server.asked.length;
    server.stops.clear();

    const options = { output: out, resume: true, concurrency: "8", timeout: "5m" };
    const { tally } = await fetchHere([], options, await readFile(list, "utf8"));
    expect(tally).toMatchObject({ read: 303, failed: 0 });
    const again = server.asked.slice(before);
    for (const name of finished)
      expect(
        again.some(({ path }) => path === `/small/${name}`),
        name,
      ).toBe(false);
    for (const path of paths) {
      const isRight = (await readFile(join(home, path))).equals(server.contents.get(path)!.body); // toEqual compares millions of bytes one by one
      expect(isRight, path).toBe(true);
    }
    expect((await filesIn(out)).filter((name) => name.endsWith(".part"))).toEqual([]);
    const [big] = again.filter(({ path }) => path === "/big");
    expect(big).toMatchObject({ status: 206, ifRange: '"big"', range: expect.stringMatching(/^bytes=\d{6,7}-$/) });
    expect(again.filter(({ path }) => path === "/dated")).toMatchObject([
      { status: 206, ifRange: "Sun, 01 Nov 2026 00:00:00 GMT" },
    ]);
    expect(again.filter(({ path }) => path === "/untagged")).toMatchObject([{ status: 200, range: undefined }]);

    const third = await runFetch(args);
    expect(third.code).toBe(0);
    expect(third.stderr).toContain("not asked: 303, done before or known\n");
    expect(server.asked.length).toBe(before + again.length);
  });
});

describe("--resume", () => {
  async function setUp(body: Buffer, etag?: string) {
    const server = await RangeServer.start();
    server.contents.set("/file", { body, ...(etag === undefined ? {} : { etag }) });
    const out = await temporaryFolder();
    const options = { output: out, resume: true, retries: "0", timeout: "5m", ndjson: true } as const;
    const file = join(out, server.host, "file");
    return { server, out, file, options, fetchIt: () => fetchHere([`${server.origin}/file`], options) };
  }

  test("continues a body that broke off, and its hash is that of the whole", async () => {
    const body = randomBytes(BIG);
    const { server, file, fetchIt } = await setUp(body, '"one"');
    server.breaks.set("/file", 1_234_567);
    expect((await fetchIt()).results[0]!.error).toMatchObject({ code: "HTTP_PROTOCOL", phase: "body" });
    expect(await sizeOf(`${file}.part`)).toBe(1_234_567);
    server.breaks.clear();
    const { results } = await fetchIt();
    expect(results[0]).toMatchObject({ status: 206, bytes: BIG, sha256: sha256(body), error: null });
    expect((await readFile(file)).equals(body)).toBe(true);
  });

  test("continues within one run, when it tries again", async () => {
    const body = randomBytes(BIG);
    const { server, file, options } = await setUp(body, '"one"');
    server.breaks.set("/file", 1_000_000);
    const { results } = await fetchHere([`${server.origin}/file`], { ...options, retries: "5" });
    expect(results[0]).toMatchObject({ status: 206, bytes: BIG, attempts: 3 });
    expect(server.asked.map(({ range }) => range)).toEqual([undefined, "bytes=1000000-", "bytes=2000000-"]);
    expect((await readFile(file)).equals(body)).toBe(true);
  });

  test("a body that has changed in the meantime comes whole", async () => {
    const { server, file, fetchIt } = await setUp(randomBytes(BIG), '"one"');
    server.breaks.set("/file", 1_000_000);
    await fetchIt();
    server.breaks.clear();
    const changed = randomBytes(BIG + 5);
    server.contents.set("/file", { body: changed, etag: '"two"' });
    expect((await fetchIt()).results[0]).toMatchObject({ status: 200, bytes: BIG + 5 });
    expect(server.asked.at(-1)).toMatchObject({ ifRange: '"one"', status: 200 });
    expect((await readFile(file)).equals(changed)).toBe(true);
  });

  test("a part that is longer than the body is fetched from the beginning", async () => {
    const body = randomBytes(BIG);
    const { server, file, fetchIt } = await setUp(body, '"one"');
    server.breaks.set("/file", 1_000_000);
    await fetchIt();
    server.breaks.clear();
    await appendFile(`${file}.part`, randomBytes(BIG));
    expect((await fetchIt()).results[0]).toMatchObject({ status: 200, error: null });
    expect(server.asked.map(({ status }) => status)).toEqual([200, 416, 200]);
    expect((await readFile(file)).equals(body)).toBe(true);
  });

  test("a body that was complete and had not got its name is not fetched again", async () => {
    const body = randomBytes(500);
    const { server, file, fetchIt } = await setUp(body, '"one"');
    await fetchIt();
    await rename(file, `${file}.part`); // what a kill just before the renaming leaves
    const { tally } = await fetchIt();
    expect([tally.skipped, server.asked.length]).toEqual([1, 1]);
    expect((await readFile(file)).equals(body)).toBe(true);
  });

  test("a file that is gone, or has another size, is fetched again", async () => {
    const body = randomBytes(500);
    const { server, file, fetchIt } = await setUp(body, '"one"');
    await fetchIt();
    await truncate(file, 10);
    await fetchIt();
    expect((await readFile(file)).equals(body)).toBe(true);
    expect(server.asked).toHaveLength(2);
  });

  test("what failed is tried again, what is new in the list is fetched, what was done is not", async () => {
    const { server, options } = await setUp(Buffer.from("x"));
    const urls = ["/file", "/missing", "/new"].map((path) => server.origin + path);
    await fetchHere(urls.slice(0, 2), options);
    server.contents.set("/missing", { body: Buffer.from("now it is there") });
    server.contents.set("/new", { body: Buffer.from("y") });
    const { tally } = await fetchHere(urls, options);
    expect([tally.succeeded, tally.skipped]).toEqual([2, 1]);
    expect(server.asked.map(({ path }) => path).sort()).toEqual(["/file", "/missing", "/missing", "/new"]);
  });

  test("works without a folder: finished lines are not asked for again", async () => {
    const { server, out } = await setUp(Buffer.from("x"));
    const options = { ndjson: true, journal: join(out, "j") } as const;
    await fetchHere([`${server.origin}/file`], options);
    expect((await fetchHere([`${server.origin}/file`], options)).tally.skipped).toBe(1);
    // Another request to the same URL is another one.
    expect((await fetchHere([`${server.origin}/file`], { ...options, data: "x" })).tally.skipped).toBe(0);
  });
});

describe("--if-changed", () => {
  test("asks by tag what the journal knows, and leaves a file that is the same alone", async () => {
    const server = await RangeServer.start();
    server.contents.set("/file", { body: Buffer.from("first"), etag: '"one"' });
    const out = await temporaryFolder();
    const options = { output: out, resume: true, ifChanged: true, ndjson: true } as const;
    const once = () => fetchHere([`${server.origin}/file`], options);
    await once();
    expect((await once()).results[0]).toMatchObject({
      status: 304,
      error: null,
      output: join(out, server.host, "file"),
    });
    server.contents.set("/file", { body: Buffer.from("second"), etag: '"two"' });
    expect((await once()).results[0]).toMatchObject({ status: 200, bytes: 6 });
    expect((await once()).tally.unchanged).toBe(1);
    expect(await readFile(join(out, server.host, "file"), "utf8")).toBe("second");
    expect(server.asked.map(({ ifNoneMatch }) => ifNoneMatch)).toEqual([undefined, '"one"', '"one"', '"two"']);
  });

  test("asks by date without a journal, and the file has the date of the server", async () => {
    const server = await RangeServer.start();
    const modified = "Sun, 01 Nov 2026 10:20:30 GMT";
    server.contents.set("/file", { body: Buffer.from("first"), modified });
    const out = await temporaryFolder();
    const once = () => fetchHere([`${server.origin}/file`], { output: out, ifChanged: true });
    await once();
    expect((await stat(join(out, server.host, "file"))).mtimeMs).toBe(Date.parse(modified));
    expect((await once()).tally.unchanged).toBe(1);
    expect(server.asked.at(-1)).toMatchObject({ status: 304, ifModifiedSince: modified });
  });
});

describe("a journal", () => {
  const entry = { key: 1, url: "http://h/", output: "h", bytes: 3, sha256: null, etag: null, modified: null };

  test("tolerates a last line that is torn, and ends it before it goes on", async () => {
    const path = join(await temporaryFolder(), "journal");
    const first = new Journal(path);
    first.done(entry);
    first.done({ ...entry, key: 2, url: "http://h/2" });
    first.close();
    const text = await readFile(path, "utf8");
    await writeFile(path, text.slice(0, -20));
    const second = new Journal(path);
    expect(second.find(1, "http://h/")).toMatchObject({ event: "done", bytes: 3 });
    expect(second.find(2, "http://h/2")).toBeUndefined();
    expect(second.finishedBefore).toBe(1);
    second.done({ ...entry, key: 3, url: "http://h/3" });
    second.close();
    const third = new Journal(path);
    expect(third.find(3, "http://h/3")).toMatchObject({ event: "done" });
    third.close();
  });

  test("the last line about a request counts, and a failure changes nothing about what is there", async () => {
    const path = join(await temporaryFolder(), "journal");
    const first = new Journal(path);
    first.done(entry);
    first.begun(1, "http://h/", "h", { etag: '"x"', modified: null });
    first.failed(1, "http://h/", "HTTP_TIMEOUT", "…");
    first.close();
    const second = new Journal(path);
    expect(second.find(1, "http://h/")).toMatchObject({ event: "begun", etag: '"x"' });
    expect(second.find(1, "http://other/")).toBeUndefined();
    expect(second.finishedBefore).toBe(0);
    second.close();
  });

  test("some other file is not taken for one", async () => {
    const path = join(await temporaryFolder(), "journal");
    await writeFile(path, "my only copy\nof this text\n");
    expect(() => new Journal(path)).toThrow(/cannot use the journal .*: it is some other file/);
    expect(await readFile(path, "utf8")).toBe("my only copy\nof this text\n");
  });

  test("lines are found at their places, however they lie in the pieces that are read", async () => {
    const path = join(await temporaryFolder(), "lines");
    const file = new AppendFile(path);
    const lines = Array.from({ length: 3_000 }, (_, n) => `${n} ${"é".repeat((n * 31) % 400)}`);
    for (const line of lines) file.append(line);
    const found = [...file.lines()];
    expect(found.map(({ text }) => text)).toEqual(lines);
    for (const { text, offset } of found) expect(file.lineAt(offset)).toBe(text);
    file.close();
  });

  test("a table of keys is a map", () => {
    const table = new KeyTable();
    const model = new Map<number, number>();
    for (let n = 0; n < 20_000; n++) {
      const key = (n * 2_654_435_761) % 9_007; // many meet
      table.set(key, n);
      model.set(key, n);
    }
    expect(table.size).toBe(model.size);
    for (const [key, value] of model) expect(table.get(key)).toBe(value);
    expect(table.get(9_008)).toBeUndefined();
  });
});
