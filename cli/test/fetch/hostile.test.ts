/** Real sockets, and a server that does what servers should not. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { HostileServer, type Behaviour } from "./hostile-server.ts";
import { fetchHere, temporaryFolder } from "./in-process.ts";

const NDJSON = { ndjson: true, retries: "0" };

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort();
}

describe("what goes wrong with a request becomes its result", () => {
  test.for([
    ["reset", "HTTP_PROTOCOL", "headers"],
    ["reset-body", "HTTP_PROTOCOL", "body"],
    ["stall", "HTTP_TIMEOUT", "headers"],
    ["stall-body", "HTTP_TIMEOUT", "body"],
    ["too-short", "HTTP_PROTOCOL", "body"],
    ["garbage", "HTTP_PROTOCOL", "headers"],
    ["loop", "HTTP_TOO_MANY_REDIRECTS", "headers"],
    ["nothing", "HTTP_STATUS", "headers"],
  ] as const)("%s: %s, %s", async ([path, code, phase]) => {
    const server = await HostileServer.start();
    const url = `${server.origin}/${path}`;
    const folder = await temporaryFolder();
    // Short where it has to pass; long enough for the headers of a busy machine otherwise.
    const timeout = path.startsWith("stall") ? "1500ms" : "30s";
    const { results, tally } = await fetchHere([url], { ...NDJSON, output: folder, timeout });
    expect(results).toHaveLength(1);
    expect(results[0]).toMatchObject({ url, attempts: 1, error: { code, phase }, output: null });
    expect(results[0]!.error!.message).not.toBe("");
    expect(tally).toMatchObject({ succeeded: 0, failed: 1, underWay: 0 });
    expect(await filesIn(folder)).toEqual([]);
  });

  test("nobody listens: HTTP_CONNECT, connect", async () => {
    const { results } = await fetchHere(["http://127.0.0.1:1/"], NDJSON);
    expect(results[0]).toMatchObject({ status: null, error: { code: "HTTP_CONNECT", phase: "connect" } });
  });

  test("a body that is longer than announced gives what was announced, and nothing else", async () => {
    const server = await HostileServer.start();
    const { results } = await fetchHere([`${server.origin}/too-long`], NDJSON);
    // The surplus belongs to no response; whether it is noticed depends on whether it comes in the same packet.
    if (results[0]!.error === null) expect(results[0]).toMatchObject({ status: 200, bytes: 5 });
    else expect(results[0]!.error).toMatchObject({ code: "HTTP_PROTOCOL", phase: "body" });
  });

  test("a body without end is given up at --max-bytes, and nothing of it is kept", async () => {
    const server = await HostileServer.start();
    const folder = await temporaryFolder();
    const { results } = await fetchHere([`${server.origin}/endless`], { ...NDJSON, output: folder, maxBytes: "300k" });
    expect(results[0]).toMatchObject({ status: 200, error: { code: "HTTP_BODY_TOO_LARGE", phase: "body" } });
    expect(await filesIn(folder)).toEqual([]);
  });

  test("a body that trickles for ever is given up at --max-time", async () => {
    const server = await HostileServer.start();
    const { results } = await fetchHere([`${server.origin}/trickle`], { ...NDJSON, timeout: "5s", maxTime: "200ms" });
    expect(results[0]).toMatchObject({ error: { code: "HTTP_TIMEOUT", phase: "total" } });
  });

  test("all of it at once does not harm the URLs between", async () => {
    // What stalls does so until all the others have been asked for; then it breaks off, so that nothing here is a matter of time.
    const server = await HostileServer.start({
      stall: (request, _response, _count, self) => self.hold().then(() => request.socket.destroy()),
      "stall-body": (request, response, _count, self) => {
        response.writeHead(200, { "content-length": "1000" });
        response.write("beginning");
        return self.hold().then(() => request.socket.destroy());
      },
    });
    const folder = await temporaryFolder();
    const bad = ["reset", "reset-body", "stall", "stall-body", "too-short", "garbage", "loop", "endless", "nothing"];
    const lines = Array.from({ length: 60 }, (_, n) => [`ok/${n}`, `${bad[n % bad.length]}/${n}`]).flat();
    const fetching = fetchHere(
      [],
      { ...NDJSON, output: folder, timeout: "1m", maxBytes: "100k", concurrency: "100" },
      lines.map((path) => `${server.origin}/${path}\n`).join(""),
    );
    await server.untilHeld(lines.filter((path) => path.startsWith("stall")).length);
    const areAsked = (): boolean => lines.every((path) => server.seen(`/${path}`) > 0);
    await expect.poll(areAsked, { timeout: 50_000 }).toBe(true);
    server.letGo();
    const { results, tally } = await fetching;
    expect(tally).toMatchObject({ read: 120, succeeded: 60, failed: 60, underWay: 0 });
    const good = results.filter(({ error }) => error === null);
    expect(good.map(({ finalUrl }) => new URL(finalUrl!).pathname).sort()).toEqual(
      Array.from({ length: 60 }, (_, n) => `/ok/${n}`).sort(),
    );
    for (const { output, finalUrl } of good) {
      expect(await readFile(output!, "utf8")).toBe(`body of ${new URL(finalUrl!).pathname}\n`);
    }
    expect(await filesIn(folder)).toHaveLength(60);
  });
});

describe("trying again", () => {
  test.for([408, 425, 429, 500, 502, 503, 504])("status %i is tried again", async (status) => {
    const server = await HostileServer.start();
    const { results, tally } = await fetchHere([`${server.origin}/flaky/${status}/2`], { ndjson: true });
    expect(results[0]).toMatchObject({ status: 200, error: null, attempts: 3 });
    expect(tally).toMatchObject({ read: 1, succeeded: 1, failed: 0, retries: 2 });
  });

  test.for([400, 404, 410, 501])("status %i is not", async (status) => {
    const server = await HostileServer.start();
    const { results } = await fetchHere([`${server.origin}/flaky/${status}/1`], { ndjson: true });
    expect(results[0]).toMatchObject({ status, attempts: 1, error: { code: "HTTP_STATUS" } });
  });

  test("a connection that breaks is tried again, and the count ends it", async () => {
    const server = await HostileServer.start();
    const { results } = await fetchHere([`${server.origin}/reset`], { ndjson: true, retries: "3" });
    expect(results[0]).toMatchObject({ attempts: 4, error: { code: "HTTP_PROTOCOL" } });
    expect(server.seen("/reset")).toBe(4);
  });

  test("a body that broke off begins anew, in a file without a trace of the first try", async () => {
    const server = await HostileServer.start({
      breaks: (request, response, count) => {
        response.writeHead(200, { "content-length": "6" });
        if (count === 1) response.write("wro", () => request.socket.resetAndDestroy());
        else response.end("right\n");
      },
    });
    const folder = await temporaryFolder();
    const { results } = await fetchHere([`${server.origin}/breaks`], { ndjson: true, output: folder });
    expect(results[0]).toMatchObject({ attempts: 2, bytes: 6, error: null });
    expect(await readFile(results[0]!.output!, "utf8")).toBe("right\n");
    expect(await filesIn(folder)).toEqual(["breaks"]);
  });

  test("what may have been done already is not done twice, unless asked", async () => {
    const server = await HostileServer.start();
    const url = `${server.origin}/flaky/503/1`;
    const careful = await fetchHere([url], { ndjson: true, method: "POST", data: "order" });
    expect(careful.results[0]).toMatchObject({ status: 503, attempts: 1 });
    const other = `${server.origin}/flaky/503/1/other`;
    const bold = await fetchHere([other], { ndjson: true, method: "POST", data: "order", retryAll: true });
    expect(bold.results[0]).toMatchObject({ status: 200, attempts: 2 });
  });

  test.for(["busy/1/1", "busy-date"])("Retry-After is waited for (%s)", async (path) => {
    const server = await HostileServer.start();
    const startedAt = performance.now();
    const { results } = await fetchHere([`${server.origin}/${path}`], { ndjson: true });
    expect(results[0]).toMatchObject({ status: 200, attempts: 2, error: null });
    // A date has whole seconds, so up to one of the thousand milliseconds is cut off.
    expect(performance.now() - startedAt).toBeGreaterThan(path === "busy-date" ? 0 : 990);
  });

  test("a Retry-After that nobody waits for any more does not hold up the end", async () => {
    const server = await HostileServer.start({
      fading: (_request, response, count) => {
        if (count === 1) response.writeHead(503).end();
        else response.writeHead(429, { "retry-after": "100" }).end();
      },
    });
    const { results } = await fetchHere([`${server.origin}/fading`], { ndjson: true, retries: "1" });
    expect(results[0]).toMatchObject({ status: 429, attempts: 2 });
  });

  test("a host that says Retry-After is left alone by all the others, and they come after that", async () => {
    const asked: number[] = [];
    const behave: Behaviour = (_request, response) => {
      asked.push(performance.now());
      if (asked.length === 1) response.writeHead(429, { "retry-after": "1" }).end();
      else response.end("at last\n");
    };
    const server = await HostileServer.start({ page: behave });
    const lines = Array.from({ length: 31 }, (_, n) => `${server.origin}/page/${n}`);
    const { tally } = await fetchHere([], { ndjson: true, concurrency: "1" }, lines.join("\n"));
    expect(tally).toMatchObject({ succeeded: 31, failed: 0, retries: 1 });
    expect(asked[1]! - asked[0]!).toBeGreaterThan(990);
  });

  test("a host that says Retry-After holds up no other host", async () => {
    const server = await HostileServer.start();
    const other = await HostileServer.start();
    const paths = Array.from({ length: 30 }, (_, n) => `${server.origin}/ok/${n}`);
    const elsewhere = Array.from({ length: 30 }, (_, n) => `${other.origin}/ok/${n}`);
    const lines = [`${server.origin}/busy/1/100`, ...paths, ...elsewhere];
    const end = new AbortController();
    const fetching = fetchHere([], { ndjson: true, concurrency: "1" }, lines.join("\n"), end.signal);
    await other.untilSeen(30);
    expect(server.seenInAll).toBe(1);
    end.abort("seen enough");
    await expect(fetching).rejects.toBe("seen enough");
  });
});

describe("limits", () => {
  test("no more than -c requests are open at once", async () => {
    const server = await HostileServer.start();
    const lines = Array.from({ length: 40 }, (_, n) => `${server.origin}/held/${n}`);
    const fetching = fetchHere([], { ndjson: true, concurrency: "7" }, lines.join("\n"));
    for (let open = 0; open < 40; open += 7) {
      await server.untilHeld(Math.min(7, 40 - open));
      server.letGo();
    }
    expect((await fetching).tally.succeeded).toBe(40);
    expect(server.mostOpen).toBe(7);
  });

  test("--per-host holds back one host and not the others", async () => {
    const slow = await HostileServer.start();
    const quick = await HostileServer.start();
    const lines = [
      ...Array.from({ length: 20 }, (_, n) => `${slow.origin}/held/${n}`),
      ...Array.from({ length: 20 }, (_, n) => `${quick.origin}/ok/${n}`),
    ];
    const fetching = fetchHere([], { ndjson: true, concurrency: "10", perHost: "2" }, lines.join("\n"));
    for (let open = 0; open < 20; open += 2) {
      await slow.untilHeld(2);
      if (open === 0) {
        await quick.untilSeen(20);
        expect(slow.seenInAll).toBe(2);
      }
      slow.letGo();
    }
    const { tally } = await fetching;
    expect(tally.succeeded).toBe(40);
    expect(slow.mostOpen).toBe(2);
  });
});

describe("requests", () => {
  test("headers, method and body come from the command line, and a line overrides them", async () => {
    const server = await HostileServer.start();
    const input = [
      `${server.origin}/echo`,
      JSON.stringify({ url: `${server.origin}/echo`, method: "PUT", headers: { "x-a": "own" }, body: "own body" }),
      JSON.stringify({ url: `${server.origin}/echo`, body: { json: true } }),
    ];
    const folder = await temporaryFolder();
    const options = { output: folder, ndjson: true, header: ["X-A: 1", "X-B: 2"], data: "all" };
    const { results } = await fetchHere([], options, input.join("\n"));
    const echoes = new Map<number, { method: string; headers: Record<string, string>; body: string }>();
    for (const { line, output } of results) echoes.set(line!, JSON.parse(await readFile(output!, "utf8")) as never);
    expect(echoes.get(1)).toMatchObject({ method: "POST", body: "all", headers: { "x-a": "1", "x-b": "2" } });
    expect(echoes.get(2)).toMatchObject({ method: "PUT", body: "own body", headers: { "x-a": "own", "x-b": "2" } });
    expect(echoes.get(3)).toMatchObject({ method: "POST", body: '{"json":true}' });
    expect(echoes.get(3)!.headers["content-type"]).toBe("application/json");
  });

  test("redirects are followed and the end is in the result", async () => {
    const server = await HostileServer.start();
    const { results } = await fetchHere([`${server.origin}/moved`], { ndjson: true });
    expect(results[0]).toMatchObject({
      url: `${server.origin}/moved`,
      finalUrl: `${server.origin}/ok/elsewhere`,
      status: 200,
    });
  });

  test("a single URL goes to the output as it is, an error page too", async () => {
    const server = await HostileServer.start();
    const good = await fetchHere([`${server.origin}/ok/1`]);
    expect(good).toMatchObject({ stdout: "body of /ok/1\n", told: [] });
    const bad = await fetchHere([`${server.origin}/missing`]);
    expect(bad.stdout).toBe("there is no such thing\n");
    expect(bad.told).toEqual([`${server.origin}/missing: the server answered 404 Not Found`]);
  });

  test("a body that was printed in part is not printed again", async () => {
    const server = await HostileServer.start();
    const { stdout, tally } = await fetchHere([`${server.origin}/reset-body`], { retries: "5" });
    expect(server.seen("/reset-body")).toBe(1);
    expect(["", "beginning"]).toContain(stdout);
    expect(tally.failed).toBe(1);
  });
});

describe("files", () => {
  test("every URL has a file of its own, whatever it is called", async () => {
    const server = await HostileServer.start();
    const paths = [
      "/ok",
      "/ok/",
      "/ok/a",
      "/ok/a?x=1",
      "/ok/a?x=2",
      "/ok/A",
      "/ok/a/b",
      "/ok/a.part",
      "/ok/%2e%2e%2f",
      "/ok/a",
    ];
    const folder = await temporaryFolder();
    const input = paths.map((path) => server.origin + path).join("\n");
    const { results, tally } = await fetchHere([], { ndjson: true, output: folder }, input);
    expect(tally).toMatchObject({ succeeded: paths.length, failed: 0 });
    expect(new Set(results.map(({ output }) => output)).size).toBe(paths.length);
    for (const { output, url } of results) {
      expect(output!.startsWith(join(folder, "127.0.0.1+"))).toBe(true);
      const { pathname, search } = new URL(url);
      expect(await readFile(output!, "utf8")).toBe(`body of ${pathname}${search}\n`);
    }
  });

  test("a line may name its file, inside the folder only", async () => {
    const server = await HostileServer.start();
    const outputs = [
      "a/b.txt",
      "../escape",
      "/etc/passwd",
      "a/../../escape",
      "c:\\windows",
      "a/b.txt",
      "..\\escape",
      "a/",
    ];
    const input = outputs.map((output) => JSON.stringify({ url: `${server.origin}/ok`, output })).join("\n");
    const folder = await temporaryFolder();
    const { results, told } = await fetchHere([], { ndjson: true, output: folder }, input);
    const good = results.filter(({ error }) => error === null);
    expect(new Set(good.map(({ output }) => output))).toEqual(
      new Set([join(folder, "a/b.txt"), join(folder, "a/b~2.txt")]),
    );
    expect(told).toHaveLength(6);
    expect(told[0]).toBe('line 2: its "output" leaves the folder: ../escape');
    expect(await filesIn(folder)).toEqual(["b.txt", "b~2.txt"]);
  });

  test("a file that cannot be written fails its URL and no other", async () => {
    const server = await HostileServer.start();
    const folder = await temporaryFolder();
    // "x" is a folder of the first run, and no file can take its place in the second.
    await fetchHere([`${server.origin}/ok/x/y`], { output: folder });
    const { results } = await fetchHere([`${server.origin}/ok/x`, `${server.origin}/ok/z`], {
      ndjson: true,
      output: folder,
    });
    expect(results.find(({ url }) => url.endsWith("/x"))!.error).toMatchObject({ code: "EISDIR", phase: "output" });
    expect(results.find(({ url }) => url.endsWith("/z"))!.error).toBeNull();
    expect(await filesIn(folder)).toEqual(["y", "z"]);
  });
});

describe("input", () => {
  test("bad lines are told with their number and fail, the rest is fetched", async () => {
    const server = await HostileServer.start();
    const input = [
      "# a comment",
      "",
      `${server.origin}/ok/1`,
      "foo bar",
      "example.org/x",
      `{"url": 5}`,
      "{oops",
      `  ${server.origin}/ok/2\r`,
    ];
    const { results, told, tally } = await fetchHere([], { ndjson: true }, input.join("\n"));
    expect(told).toEqual([
      "line 4: not a URL: foo bar",
      "line 5: not a URL: example.org/x; write it whole, with http:// or https://",
      'line 6: its "url" is a number, and must be a string',
      "line 7: not JSON: {oops",
    ]);
    expect(tally).toMatchObject({ read: 6, succeeded: 2, failed: 4 });
    const bad = results.filter(({ error }) => error !== null);
    expect(bad.map(({ line, url, attempts }) => [line, url, attempts])).toEqual([
      [4, "foo bar", 0],
      [5, "example.org/x", 0],
      [6, '{"url": 5}', 0],
      [7, "{oops", 0],
    ]);
    expect(bad[0]!.error).toEqual({ code: "BAD_LINE", message: "not a URL: foo bar", phase: "input" });
  });

  test("results are input again: what failed can be fetched once more", async () => {
    const server = await HostileServer.start();
    const first = await fetchHere([`${server.origin}/flaky/503/1`], NDJSON);
    expect(first.results[0]).toMatchObject({ status: 503 });
    const second = await fetchHere([], NDJSON, first.stdout);
    expect(second.results[0]).toMatchObject({ url: `${server.origin}/flaky/503/1`, status: 200, error: null });
  });

  test("no lines at all is no failure", async () => {
    const { tally, results } = await fetchHere([], { ndjson: true }, "# nothing yet\n");
    expect(tally).toMatchObject({ read: 0, succeeded: 0, failed: 0 });
    expect(results).toEqual([]);
  });
});
