/** `check` and `api` against servers of our own. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { nextByCursor, nextLink } from "../../src/fetch/api/next-page.ts";
import { linksOf } from "../../src/fetch/check/links.ts";
import { HostileServer, type Behaviour } from "./hostile-server.ts";
import { fetchHere, temporaryFolder } from "./in-process.ts";
import { runFetch } from "./program.ts";

const page =
  (html: string): Behaviour =>
  (_request, response) =>
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(html);

describe("links of a page", () => {
  const links = (html: string): string[] => linksOf(html, "http://h/dir/page.html");

  test("are those of href, src, srcset, poster and data, as absolute URLs, each once, without fragment", () => {
    const html = `<A HREF=a.html>x</a> <a href='/b?x=1&amp;y=2#part'>x</a> <img src="c.png" srcset="d.png 1x, e.png 2x">
      <video poster=f.jpg src=g.mp4></video><object data="h.swf"></object><link rel=stylesheet href=i.css><a href="a.html#again">`;
    expect(links(html)).toEqual([
      "http://h/dir/a.html",
      "http://h/b?x=1&y=2",
      "http://h/dir/c.png",
      "http://h/dir/d.png",
      "http://h/dir/e.png",
      "http://h/dir/g.mp4",
      "http://h/dir/f.jpg",
      "http://h/dir/h.swf",
      "http://h/dir/i.css",
    ]);
  });

  test("what is no link to a page is passed over", () => {
    const html = `<!-- <a href=no1> --><script>"<a href=no2>"</script><style>a{background:url(no)}</style><textarea><a href=no3></textarea>
      <a href="mailto:x@y">m</a><a href="javascript:x()">j</a><a href="#top">t</a><a href="">e</a><a>n</a><a href="http://[bad">b</a>
      <link rel=preconnect href=//cdn.example><form action=no4></form> 1 < 2 <3`;
    expect(links(html)).toEqual([]);
  });

  test("<base> counts, and broken markup does not hurt", () => {
    expect(links(`<base href="/other/"><a href=x>`)).toEqual(["http://h/other/x"]);
    expect(links(`<a href="x>y</a><a href=z">`)).toEqual(["http://h/dir/x%3Ey%3C/a%3E%3Ca%20href=z"]);
    expect(links("<a href=x/><a\nhref\n=\n'y'>")).toEqual(["http://h/dir/x/", "http://h/dir/y"]);
  });

  test("a hostile page takes no longer than its length", () => {
    for (const piece of ["<a ", "<a href='", "<!--", "<script>", "<a =", "<"]) {
      const startedAt = performance.now();
      linksOf(piece.repeat(200_000), "http://h/");
      expect(performance.now() - startedAt, piece).toBeLessThan(3_000);
    }
  });
});

describe("check", () => {
  test("asks with HEAD, and with GET what is not good then; each URL once", async () => {
    const methods: string[] = [];
    const server = await HostileServer.start({
      good: (request, response) => response.end(void methods.push(`${request.method} good`)),
      picky: (request, response) => {
        methods.push(`${request.method} picky`);
        response.writeHead(request.method === "HEAD" ? 405 : 200).end();
      },
      gone: (request, response) => {
        methods.push(`${request.method} gone`);
        response.writeHead(410).end();
      },
    });
    const urls = ["good", "good#part", "picky", "gone", "good"].map((path) => `${server.origin}/${path}`);
    const { stdout, tally } = await fetchHere(urls, { mode: "check", concurrency: "1" });
    expect(methods).toEqual(["HEAD good", "HEAD picky", "GET picky", "HEAD gone", "GET gone"]);
    expect(stdout).toBe(`${server.origin}/gone: the server answered 410 Gone\n`);
    expect(tally).toMatchObject({ succeeded: 2, failed: 1, skipped: 2 });
  });

  test("does not ask again what was good, until that is too old; what was broken is asked again", async () => {
    const server = await HostileServer.start();
    const cache = join(await temporaryFolder(), "cache");
    const urls = [`${server.origin}/ok/1`, `${server.origin}/missing`];
    const check = (cacheAge: string) => fetchHere(urls, { mode: "check", cache, cacheAge });
    await check("1h");
    expect((await check("1h")).tally).toMatchObject({ skipped: 1, failed: 1 });
    expect([server.seen("/ok/1"), server.seen("/missing")]).toEqual([1, 4]); // HEAD and GET, twice
    const text = await readFile(cache, "utf8");
    await writeFile(cache, text.replace(/"at":"[^"]*"/, '"at":"2020-01-01T00:00:00.000Z"'));
    await check("1h");
    expect(server.seen("/ok/1")).toBe(2);
  });

  async function site() {
    const elsewhere = await HostileServer.start({ page: page("<a href=/never>") });
    const secrets: (string | undefined)[] = [];
    const server = await HostileServer.start({
      "": page(
        `<a href=/a.html>a</a> <a href=/broken>x</a> <img src=/ok/1> <a href=${elsewhere.origin}/page>e</a> <a href=/private/x>`,
      ),
      "a.html": page(`<a href=/>home</a> <a href=/broken>x</a> <a href=/b.html>b</a>`),
      "b.html": page(`<a href=/deep/broken>x</a>`),
      private: page("secret"),
      "robots.txt": (_request, response) => response.end("User-agent: *\nDisallow: /private/\n"),
      ok: (request, response) => response.end(void secrets.push(request.headers["x-key"] as string)),
    });
    return { server, elsewhere, secrets };
  }

  test("--follow-links reads the pages of the site, names the page of each broken link, and obeys robots.txt", async () => {
    const { server, elsewhere } = await site();
    const { stdout, tally } = await fetchHere([`${server.origin}/`], {
      mode: "check",
      followLinks: true,
      retries: "0",
    });
    const { origin } = server;
    expect(stdout.trim().split("\n").sort()).toEqual(
      [
        `${origin}/broken: the server answered 404 Not Found, linked from ${origin}/`,
        `${origin}/broken: the server answered 404 Not Found, linked from ${origin}/a.html`,
        `${origin}/deep/broken: the server answered 404 Not Found, linked from ${origin}/b.html`,
      ].sort(),
    );
    expect([server.seen("/private/x"), server.seen("/robots.txt"), elsewhere.seen("/never")]).toEqual([0, 1, 0]);
    expect([elsewhere.seen("/page"), server.seen("/a.html")]).toEqual([1, 1]);
    expect(tally).toMatchObject({ failed: 2, underWay: 0 });
  });

  test("--ignore-robots, --depth, and result lines with the page", async () => {
    const { server } = await site();
    const options = { mode: "check", followLinks: true, ndjson: true, retries: "0" } as const;
    const shallow = await fetchHere([`${server.origin}/`], { ...options, depth: "1", ignoreRobots: true });
    expect(server.seen("/private/x")).toBe(1);
    expect(server.seen("/b.html")).toBe(0);
    const broken = shallow.results.filter(({ error }) => error !== null);
    expect(broken).toMatchObject([{ url: `${server.origin}/broken`, page: `${server.origin}/` }]);
  });

  test("what the headers of the command line say stays on the site", async () => {
    const { server, secrets } = await site();
    let foreign: string | undefined = "not asked";
    const other = await HostileServer.start({
      x: (request, response) => response.end(void (foreign = request.headers["x-key"] as string)),
    });
    const start = await HostileServer.start({ "": page(`<a href=${other.origin}/x>x</a>`) });
    await fetchHere([`${server.origin}/`, `${start.origin}/`], {
      mode: "check",
      followLinks: true,
      header: ["X-Key: secret"],
    });
    expect(secrets).toEqual(["secret"]);
    expect(foreign).toBeUndefined();
  });

  test("from the command line", async () => {
    const { server } = await site();
    const { code, stdout, stderr } = await runFetch(["check", `${server.origin}/`, "--follow-links"]);
    expect(code).toBe(1);
    expect(stdout).toContain("/deep/broken: the server answered 404 Not Found, linked from ");
    expect(stderr).toContain("failed: 2 × 404 Not Found\n");
    const wrong = await runFetch(["check", `${server.origin}/`, "-o", "x"]);
    expect([wrong.code, wrong.stderr]).toEqual([2, 'fibril: -o is for saving bodies; "check" does not save any\n']);
  });
});

describe("the next page", () => {
  test.for([
    ['<http://h/2>; rel="next"', "http://h/2"],
    ['<http://h/1>; rel=prev, <http://h/a,b;c>; title="x, <y>; rel=next"; rel="last next"', "http://h/a,b;c"],
    ["</3>;rel=NEXT;foo", "/3"],
    ['<http://h/2>; rel="nextish"', undefined],
    ["garbage", undefined],
    [undefined, undefined],
  ] as const)("of %j is %j", ([header, expected]) => expect(nextLink(header)).toBe(expected));

  test("by a cursor is a URL, or a parameter", () => {
    const next = (answer: unknown): string | undefined =>
      nextByCursor(answer, "meta.next", "after", "http://h/list?limit=5&after=1");
    expect(next({ meta: { next: "a b" } })).toBe("http://h/list?limit=5&after=a+b");
    expect(next({ meta: { next: 7 } })).toBe("http://h/list?limit=5&after=7");
    expect(next({ meta: { next: "/list?x" } })).toBe("/list?x");
    for (const last of [{ meta: { next: null } }, { meta: { next: "" } }, { meta: {} }, {}, [], null])
      expect(next(last)).toBeUndefined();
  });
});

describe("api", () => {
  /** Three pages of two items. */
  const list: Behaviour = (request, response, count) => {
    const number = Number(new URL(request.url!, "http://h").searchParams.get("page") ?? 1);
    if (number === 2 && count === 1) return void response.writeHead(503).end();
    const link: Record<string, string> = number < 3 ? { link: `</list?page=${number + 1}>; rel="next"` } : {};
    const items = [0, 1].map((n) => ({ id: number * 2 + n, owner: { login: `u${n}` }, junk: "x" }));
    response.writeHead(200, { "content-type": "application/json", ...link }).end(JSON.stringify(items));
  };

  const lines = (stdout: string): unknown[] =>
    stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as unknown);

  test("follows the Link header, tries a page again by itself, spreads lists and picks fields", async () => {
    const server = await HostileServer.start({ list });
    const { stdout, tally } = await fetchHere([`${server.origin}/list`], { mode: "api", pick: "id,owner.login,none" });
    expect(lines(stdout)).toEqual([2, 3, 4, 5, 6, 7].map((id) => ({ id, "owner.login": `u${id % 2}`, none: null })));
    expect(tally).toMatchObject({ succeeded: 3, failed: 0, retries: 1 });
  });

  test("follows a cursor, takes the items out of the answer, and keeps the rate between pages", async () => {
    let last = 0;
    const server = await HostileServer.start({
      cursor: (request, response) => {
        last = performance.now();
        const after = Number(new URL(request.url!, "http://h").searchParams.get("after") ?? 0);
        response.end(JSON.stringify({ data: { items: [after] }, next: after < 3 ? after + 1 : null }));
      },
    });
    const start = performance.now(); // before the first request: a slow machine can only make it longer
    const { stdout } = await fetchHere([`${server.origin}/cursor`], {
      mode: "api",
      items: "data.items",
      cursor: "next",
      cursorParam: "after",
      rate: "10/s",
    });
    expect(lines(stdout)).toEqual([0, 1, 2, 3]);
    expect(last - start).toBeGreaterThan(249); // three times 100 ms, less the allowance of `Pace`
  });

  test.for([
    ["elsewhere", { link: '<http://other.example/2>; rel="next"' }, "on another host"],
    ["itself", { link: '</x>; rel="next"' }, "this one again"],
  ] as const)("a next page that is %s is a failure", async ([, headers, message]) => {
    const server = await HostileServer.start({
      x: (_request, response) => response.writeHead(200, headers).end("[1]"),
    });
    const { stdout, told } = await fetchHere([`${server.origin}/x`], { mode: "api" });
    expect(stdout).toBe("1\n");
    expect(told).toEqual([expect.stringContaining(message)]);
  });

  test("does not go on for ever, and says so", async () => {
    let number = 0;
    const server = await HostileServer.start({
      n: (_request, response) => response.writeHead(200, { link: `</n?${++number}>; rel="next"` }).end("[1]"),
    });
    const { stdout, told } = await fetchHere([`${server.origin}/n`], { mode: "api", maxPages: "4" });
    expect([lines(stdout).length, told]).toEqual([4, [expect.stringContaining("more than 4 pages")]]);
  });

  test("what is no JSON is a failure", async () => {
    const server = await HostileServer.start();
    const { told } = await fetchHere([`${server.origin}/ok`], { mode: "api", retries: "0" });
    expect(told).toEqual([expect.stringContaining("is not JSON")]);
  });
});
