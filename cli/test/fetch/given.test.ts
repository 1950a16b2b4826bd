/** What the input and the options say: formats, templates, checksums, names of files. */
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, sep } from "node:path";
import { Readable } from "node:stream";
import fc from "fast-check";
import { run } from "fibril";
import { describe, expect, test } from "vitest";
import { parseChecksum } from "../../src/fetch/checksum.ts";
import { FailPolicy } from "../../src/fetch/fail-policy.ts";
import { failureOfLine, failureOfStatus } from "../../src/fetch/failure.ts";
import { Input, type Entry } from "../../src/fetch/input.ts";
import { BadLine, parseLine } from "../../src/fetch/job.ts";
import { JobReader } from "../../src/fetch/job-reader.ts";
import { NameTemplate, withHash } from "../../src/fetch/name-template.ts";
import { kindOfBody, Template, type TemplateKind } from "../../src/fetch/template.ts";
import { HostileServer } from "./hostile-server.ts";
import { fetchHere, temporaryFolder } from "./in-process.ts";
import { runFetch } from "./program.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

describe("a template", () => {
  const fill = (text: string, kind: TemplateKind, fields: Readonly<Record<string, unknown>>): string | BadLine =>
    new Template(text, kind).fill(fields);

  test("in a URL: values are escaped as parts of it", () => {
    expect(fill("https://h/users/{{id}}?q={{ q }}#x", "url", { id: "a/b?c#d", q: "é &=" })).toBe(
      "https://h/users/a%2Fb%3Fc%23d?q=%C3%A9%20%26%3D#x",
    );
    expect(fill("{{url}}?page={{page}}", "url", { url: "http://h/a", page: 2 })).toBe("http://h/a?page=2");
    expect(fill("http://h/{{a.b}}/{{c.d}}", "url", { a: { b: 1 }, "c.d": "x" })).toBe("http://h/1/x");
  });

  test.for([
    ["http://h/users/{{id}}/keys", ".."],
    ["http://h/users/{{id}}", "."],
    ["http://h/users/{{id}}?x", "%2e%2E"],
    ["http://h/users/.{{id}}/x", "."],
  ] as const)("in a URL: %s with %j would be another path, and is refused", ([text, id]) => {
    expect(fill(text, "url", { id })).toMatchObject({ problem: expect.stringContaining("another path") });
    expect(fill("http://h/?a={{id}}", "url", { id })).toBe(`http://h/?a=${encodeURIComponent(id)}`);
  });

  test("in JSON: the inside of a string between quotation marks, a value elsewhere", () => {
    const text = '{"name": "Dr. {{name}}", "age": {{age}}, "tags": {{tags}}, "q": "\\"{{name}}"}';
    const fields = { name: 'O"Neil\\\n', age: 42, tags: ["a", { b: null }] };
    expect(JSON.parse(fill(text, "json", fields) as string)).toEqual({
      name: 'Dr. O"Neil\\\n',
      age: 42,
      tags: ["a", { b: null }],
      q: '"O"Neil\\\n',
    });
  });

  test("in JSON: no value can become anything but itself", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (value, text) => {
        const filled = fill('{"a": {{value}}, "b": "{{text}}", "c": 1}', "json", { value, text }) as string;
        expect(JSON.parse(filled)).toEqual({ a: JSON.parse(JSON.stringify(value)), b: text, c: 1 });
      }),
    );
  });

  test("in a form: values are escaped; in a text they are not", () => {
    expect(fill("a={{a}}&b=2", "form", { a: "x&b=3" })).toBe("a=x%26b%3D3&b=2");
    expect(fill("<{{a}}>", "text", { a: "x&y" })).toBe("<x&y>");
  });

  test("a field that is missing is a bad line", () => {
    expect(fill("{{a}}", "text", {})).toEqual(new BadLine('it has no field "a" for {{a}}'));
    expect(fill("{{toString}}", "text", {})).toBeInstanceOf(BadLine);
  });

  test("what kind a body is, is said by its type, or seen", () => {
    expect(kindOfBody("a={{b}}", "application/x-www-form-urlencoded")).toBe("form");
    expect(kindOfBody('{"a":1}', undefined)).toBe("json");
    expect(kindOfBody("{{a}}", undefined)).toBe("text");
    expect(kindOfBody("x", "application/vnd.api+json; charset=utf-8")).toBe("json");
    expect(kindOfBody("[1]", "text/plain")).toBe("text");
  });

  test("makes requests of the lines of the input", () => {
    const reader = new JobReader({
      url: "http://h/users/{{id}}",
      method: "{{verb}}",
      data: '{"name": "{{name}}"}',
      headers: [
        ["x-id", ["{{id}}"]],
        ["accept", ["*/*"]],
      ],
    });
    const read = (text: string) => reader.read({ text, where: "line 1", line: 1 });
    expect(read('{"id": 7, "verb": "PUT", "name": "\\"", "body": "no body but data"}')).toMatchObject({
      url: "http://h/users/7",
      request: { method: "PUT", body: '{"name": "\\""}', headers: [["x-id", ["7"]]] },
    });
    expect(read('{"id": 7, "name": "a"}')).toEqual(new BadLine('it has no field "verb" for {{verb}}'));
    expect(read('{"id": "a\\nb: c", "verb": "PUT", "name": "a"}')).toEqual(
      new BadLine("the header x-id would get more than one line"),
    );
    expect(read('{"id": 1, "verb": "P UT", "name": "a"}')).toMatchObject({
      problem: expect.stringContaining("is not a method"),
    });
    expect(read("# comment")).toBeUndefined();
  });

  test("end to end", async () => {
    const server = await HostileServer.start({
      echo: async (request, response) => {
        let body = "";
        for await (const chunk of request) body += String(chunk);
        response.end(`${request.method} ${request.url} ${body}`);
      },
    });
    const out = await temporaryFolder();
    const input = '{"id":"a b","n":"x\\"y","output":"1"}\n';
    await fetchHere(
      [],
      { url: `${server.origin}/echo/{{id}}`, data: '{"n":"{{n}}"}', method: "PATCH", output: out },
      input,
    );
    expect(await readFile(join(out, "1"), "utf8")).toBe('PATCH /echo/a%20b {"n":"x\\"y"}');
  });
});

describe("a table", () => {
  const HEADER = "url,method,headers.X-A,body,output,sha256,extra\n";

  async function entries(text: string, format: "csv" | "tsv" = "csv"): Promise<Entry[]> {
    const input = new Input([], Readable.from([Buffer.from(text)], { objectMode: false }), "t", text.length, format);
    const list: Entry[] = [];
    await run(() =>
      input.read(function* (entry) {
        list.push(entry);
      }),
    );
    return list;
  }

  test("is read row by row, with quotation marks, line ends in cells, and empty cells", async () => {
    const rows = await entries(`\uFEFF${HEADER}http://h/a,POST,"x, ""y""","two\nlines",,,\n\nhttp://h/b\n`);
    expect(rows).toEqual([
      {
        text: { url: "http://h/a", method: "POST", body: "two\nlines", headers: { "X-A": 'x, "y"' } },
        where: "line 3",
        line: 3,
      },
      { text: { url: "http://h/b" }, where: "line 5", line: 5 },
    ]);
    const reader = new JobReader({ url: undefined, method: undefined, data: undefined, headers: [] });
    expect(reader.read(rows[0]!)).toMatchObject({
      url: "http://h/a",
      request: { method: "POST", headers: [["x-a", 'x, "y"']], body: "two\nlines" },
    });
  });

  test("may have tabs", async () => {
    expect(await entries("url\tid\nhttp://h/\t1\n", "tsv")).toMatchObject([{ text: { url: "http://h/", id: "1" } }]);
  });

  test("a row that is none is told, and the others are read", async () => {
    const rows = await entries('url,a\nhttp://h/1,1\nhttp://h/2,x"y"\nhttp://h/3,3\n');
    expect(rows.filter(({ text }) => !(text instanceof BadLine)).map(({ text }) => text)).toEqual([
      { url: "http://h/1", a: "1" },
      { url: "http://h/3", a: "3" },
    ]);
    expect(rows.filter(({ text }) => text instanceof BadLine)).toMatchObject([{ where: "line 3", line: 3 }]);
  });

  test("works as a file, from the command line", async () => {
    const server = await HostileServer.start();
    const folder = await temporaryFolder();
    const body = "body of /ok/1\n";
    await writeFile(
      join(folder, "l.csv"),
      `name,url,sha256\none.txt,${server.origin}/ok/1,${sha256(body)}\ntwo.txt,${server.origin}/ok/2,${sha256("x")}\n`,
    );
    const { code, stderr } = await runFetch(["-i", join(folder, "l.csv"), "-o", join(folder, "out")]);
    expect(code).toBe(1);
    expect(stderr).toContain("failed: 1 × wrong checksum");
    expect(await readdir(join(folder, "out"))).toEqual(["one.txt"]);
  });
});

describe("a checksum", () => {
  const HEX = sha256("");

  test("is known by its name or its length, in hexadecimal digits or base64", () => {
    expect(parseChecksum(HEX.toUpperCase())).toEqual({ algorithm: "sha256", digest: HEX });
    expect(parseChecksum(`sha256:${HEX}`)).toEqual({ algorithm: "sha256", digest: HEX });
    expect(parseChecksum(`sha256-${Buffer.from(HEX, "hex").toString("base64")}`)).toEqual({
      algorithm: "sha256",
      digest: HEX,
    });
    expect(parseChecksum("d41d8cd98f00b204e9800998ecf8427e")).toMatchObject({ algorithm: "md5" });
    for (const bad of ["", "xyz", `sha512:${HEX}`, HEX.slice(1), `md5:${HEX}`, "sha256-AAAA"])
      expect(parseChecksum(bad), bad).toBeUndefined();
    expect(parseChecksum(`md5:${HEX}`, "sha256")).toBeUndefined();
  });

  test("stands after the URL on its line, or before it as sha256sum writes", () => {
    const parsed = { url: "http://h/a", checksum: { algorithm: "sha256", digest: HEX } };
    expect(parseLine(`http://h/a  ${HEX}`, "", 1)).toMatchObject(parsed);
    expect(parseLine(`${HEX} *http://h/a`, "", 1)).toMatchObject(parsed);
    expect(parseLine("http://h/a b", "", 1)).toMatchObject({ url: "http://h/a b", checksum: undefined });
    expect(parseLine('{"url":"http://h/","sha256":"no"}', "", 1)).toMatchObject({
      problem: 'its "sha256" is no checksum: "no"',
    });
  });

  test("that is wrong is a failure of its own, and nothing is saved", async () => {
    const server = await HostileServer.start();
    const out = await temporaryFolder();
    const body = "body of /ok/1\n";
    const md5 = createHash("md5").update(body).digest("hex");
    const input = [`${server.origin}/ok/1  ${md5}`, `${server.origin}/ok/2  ${sha256(body)}`].join("\n");
    const { results } = await fetchHere([], { output: out, ndjson: true, concurrency: "1" }, input);
    expect(results.map(({ error }) => error?.code ?? null)).toEqual([null, "CHECKSUM_MISMATCH"]);
    expect(results[1]).toMatchObject({ error: { phase: "body" }, output: null, attempts: 1 });
    const names = (await readdir(out, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    expect(names.map(({ name }) => name)).toEqual(["1"]);
  });
});

describe("a name template", () => {
  const URL_1 = "https://h.example:8080/a/b/list.tar.gz?page=2&x=/..";
  const fill = (text: string, url = URL_1, n = 12): string => new NameTemplate(text).fill({ url, n }).join("/");

  test.for([
    ["{host}/{path}", "h.example+8080/a/b/list@page=2&x=___.tar.gz"],
    ["{dir}/{stem}_{n:5}.{ext}", "a/b/list.tar_00012.gz"],
    ["{n/10}/{file}", "001/list.tar.gz"],
    ["{query}.json", "page=2&x=___.json"],
    ["x-{urlhash:2}", expect.stringMatching(/^x-[0-9a-f]{2}$/) as unknown as string],
  ] as const)("%s is %s", ([text, expected]) => expect(fill(text)).toEqual(expected));

  test("with the hash of the body is filled when that is known", () => {
    const template = new NameTemplate("{sha256:2}/{sha256}.{ext}");
    expect(template.needsHash).toBe(true);
    expect(withHash(template.fill({ url: URL_1, n: 1 }).join("/"), sha256(""))).toBe(`e3/${sha256("")}.gz`);
  });

  test("never leads out of the folder, whatever the URL is", () => {
    const templates = ["{path}", "{host}/{dir}/{file}", "{query}", "{stem}.{ext}", "a/{file}/{query}/x"].map(
      (text) => new NameTemplate(text),
    );
    const part = fc.oneof(
      fc.constantFrom("..", ".", "%2e%2e", "%2f", "..%2f", "%5c..", "con", "%00", "~", ""),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(part), part, (parts, query) => {
        const text = `http://h/${parts.map((it) => it.replace(/[?#]/g, "")).join("/")}?${query}`;
        if (!URL.canParse(text)) return;
        for (const template of templates) {
          const path = template.fill({ url: text, n: 1 });
          expect(path.length).toBeGreaterThan(0);
          for (const name of path) {
            expect(name).not.toMatch(/^\.{0,2}$|[/\\\0]/);
            expect(name.includes(sep)).toBe(false);
          }
        }
      }),
    );
  });

  test.for(["{nope}", "../{file}", "/etc/{file}", "{sha256:2}/{n}", "a{", "{host/3}", " "])("%j is refused", (text) => {
    expect(() => new NameTemplate(text)).toThrow(/--name/);
  });

  test("end to end: one file for each content, and one for each line", async () => {
    const server = await HostileServer.start({ same: (_request, response) => response.end("same") });
    const urls = Array.from({ length: 5 }, (_, n) => `${server.origin}/same/${n}.txt`);
    const out = await temporaryFolder();
    const { results } = await fetchHere(urls, {
      output: join(out, "hash"),
      name: "{sha256:2}/{sha256}.{ext}",
      ndjson: true,
    });
    const file = join(out, "hash", sha256("same").slice(0, 2), `${sha256("same")}.txt`);
    expect(results.map(({ output, error }) => [output, error])).toEqual(urls.map(() => [file, null]));
    expect(await readFile(file, "utf8")).toBe("same");
    await fetchHere(urls, { output: join(out, "n"), name: "{n:3}.txt" });
    expect((await readdir(join(out, "n"))).sort()).toEqual(["001.txt", "002.txt", "003.txt", "004.txt", "005.txt"]);
    await fetchHere(urls, { output: join(out, "one"), name: "x.{ext}" });
    expect((await readdir(join(out, "one"))).sort()).toEqual(["x.txt", "x~2.txt", "x~3.txt", "x~4.txt", "x~5.txt"]);
  });
});

describe("--fail-on", () => {
  test.for([
    ["any", true, true, true],
    ["none", false, false, false],
    ["5xx", false, true, false],
    ["404,input", true, false, true],
    ["4xx", true, false, false],
  ] as const)("%s", ([text, on404, on503, onLine]) => {
    const policy = new FailPolicy(text);
    expect([
      policy.counts(failureOfStatus(404), 404),
      policy.counts(failureOfStatus(503), 503),
      policy.counts(failureOfLine("x"), null),
    ]).toEqual([on404, on503, onLine]);
  });

  test("decides the exit code, and nothing else", async () => {
    const server = await HostileServer.start();
    const args = [`${server.origin}/ok/1`, `${server.origin}/missing`, "--ndjson", "--summary", "json"];
    const { code, stderr } = await runFetch([...args, "--fail-on", "5xx,network"]);
    expect(code).toBe(0);
    expect(JSON.parse(stderr)).toMatchObject({
      fetched: 1,
      failed: 1,
      fatal: 0,
      statuses: { 200: 1, 404: 1 },
      failures: { "404 Not Found": 1 },
      requestMs: { p50: expect.any(Number), p90: expect.any(Number), p99: expect.any(Number) },
    });
    expect((await runFetch([...args, "--fail-on", "4xx"])).code).toBe(1);
    expect((await runFetch([...args, "--fail-on", "often"])).code).toBe(2);
  });
});

describe("--cookies", () => {
  test("are read from a file, sent where they belong, and kept", async () => {
    const seen: (string | undefined)[] = [];
    const server = await HostileServer.start({
      cookies: (request, response) => {
        seen.push(request.headers.cookie);
        response.writeHead(200, { "set-cookie": "new=2; Path=/; Max-Age=1000" }).end("ok");
      },
    });
    const file = join(await temporaryFolder(), "cookies.txt");
    await writeFile(
      file,
      "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t2000000000\told\t1\nother.example\tFALSE\t/\tFALSE\t2000000000\tsecret\tx\n",
    );
    const fetchIt = () => fetchHere([`${server.origin}/cookies`], { ndjson: true, cookies: file });
    await fetchIt();
    await fetchIt();
    expect(seen[0]).toBe("old=1");
    expect(seen[1]!.split("; ").sort()).toEqual(["new=2", "old=1"]);
    expect(await readFile(file, "utf8")).toMatch(/127\.0\.0\.1\t.*\tnew\t2/);
  });
});

describe("--compare", () => {
  test("runs the list with curl as well", async () => {
    const server = await HostileServer.start();
    const out = await temporaryFolder();
    const urls = Array.from({ length: 10 }, (_, n) => `${server.origin}/ok/${n}`);
    const { code, stderr } = await runFetch([...urls, "-o", join(out, "o"), "--compare"]);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(
      /curl --parallel --parallel-max 50: 10 of 10 fetched in .*\nfibril fetch: .* × curl's time\n$|there is no curl/,
    );
    expect([10, 20]).toContain(server.seenInAll);
  });
});
