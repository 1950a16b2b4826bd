import { join, normalize, relative } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { insertMark, pathOfOutput, pathOfUrl } from "../../src/fetch/file-name.ts";
import { NameLedger } from "../../src/fetch/name-ledger.ts";
import { PlaceFinder } from "../../src/fetch/place-finder.ts";

const pathOf = (url: string): string => pathOfUrl(new URL(url)).join("/");

describe("the name for a URL", () => {
  test.for([
    ["http://example.org", "example.org/index.html"],
    ["http://example.org/a/b.html", "example.org/a/b.html"],
    ["http://example.org/a/", "example.org/a/index.html"],
    ["http://localhost:8080/a", "localhost+8080/a"],
    ["http://[::1]:8080/a", "__1+8080/a"],
    ["http://example.org/list.json?page=2&x=a/b", "example.org/list@page=2&x=a_b.json"],
    ["http://example.org/?q=1", "example.org/index@q=1.html"],
    ["http://example.org/a.tar.gz?v=1", "example.org/a@v=1.tar.gz"],
    ["http://example.org/caf%C3%A9%20menu.pdf", "example.org/café menu.pdf"],
    ["http://example.org/%ff.txt", "example.org/%ff.txt"],
    ["http://example.org//a//b", "example.org/a/b"],
    ["http://example.org/.profile?x", "example.org/.profile@x"],
    ["http://example.org/a#part", "example.org/a"],
    ["http://example.org/con.txt", "example.org/_con.txt"],
    ["http://example.org/end.%20", "example.org/end__"],
    ["http://example.org/end.", "example.org/end_"],
    ["http://example.org/a+b=c@d,e~2.tar", "example.org/a+b=c@d,e~2.tar"],
    ["http://example.org/lpt1", "example.org/_lpt1"],
    ["http://example.org/lpt1x", "example.org/lpt1x"],
  ] as const)("%s → %s", ([url, path]) => {
    expect(pathOf(url)).toBe(path);
  });

  test.for([
    "http://example.org/../../etc/passwd",
    "http://example.org/%2e%2e/%2e%2e/etc/passwd",
    "http://example.org/..%2f..%2fetc%2fpasswd",
    "http://example.org/..%5c..%5cwindows",
    "http://example.org/%2e%2e%2f",
    "http://example.org/a%00b",
    "http://../x",
    "http://example.org/c:%5cx",
    "http://example.org/x?/../../y",
    "http://example.org/%E2%80%AEgpj.exe",
  ])("%s stays inside the folder", (url) => {
    if (!URL.canParse(url)) return;
    staysInside(pathOf(url));
  });

  test("law: in a list a URL has the name that it has alone", () => {
    const origin = fc.constantFrom(..."http://h http://i http://H http://h:80 https://u:p@h http://[::1]:1".split(" "));
    const part = fc.constantFrom(
      "a",
      "b",
      "..",
      "%2e",
      "con",
      "a b",
      "é",
      "",
      "a\\b",
      "x?y",
      "b.part",
      "con/".repeat(130),
    );
    const plain = fc.constantFrom("a", "b", "a+b=c@d,e~2.tar.gz", "x".repeat(200), `${"x".repeat(199)}.a`);
    const odd = fc.constantFrom(
      ..."|.|..|..a|a.|%2e%2e|con.txt|a?b|a?b/c|x#y|x#y/z|a%20b|é|a\tb| a|a |a\\b|a:b".split("|"),
    );
    const name = fc.oneof(plain, odd, fc.string({ maxLength: 5 }));
    const url = fc
      .tuple(origin, fc.array(part, { maxLength: 3 }), name)
      .map(([start, parts, end]) => [start, ...parts, end].join("/"));
    fc.assert(
      fc.property(fc.array(fc.oneof(url, fc.array(name, { maxLength: 4 })), { maxLength: 20 }), (list) => {
        const finder = new PlaceFinder();
        let folder = "http://h/a/";
        for (const item of list) {
          // A list of names is in the folder of the URL before.
          const urls = typeof item === "string" ? [item] : item.map((end) => folder + end);
          for (const one of urls) expect(finder.pathOf(one)).toEqual(pathOfUrl(new URL(one)));
          folder = urls.at(-1)?.replace(/[^/]*$/, "") ?? folder;
        }
      }),
      { numRuns: 300 },
    );
  });

  test("law: whatever the URL, its file is inside the folder and the name is one that files can have", () => {
    const part = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 400 }),
      fc.constantFrom("..", ".", "%2e%2e", "%2f", "%5c", "%00", "%ff", "con", "a.part", "🙂".repeat(100), " ", "~2"),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), fc.option(part), (parts, query) => {
        const url = `http://example.org/${parts.join("/").replace(/[?#]/g, "")}${query === null ? "" : `?${query}`}`;
        staysInside(pathOf(url));
      }),
    );
  });

  test("long names are cut, keep their ending, and stay different", () => {
    const long = "x".repeat(300);
    const [one, other] = [pathOf(`http://example.org/${long}1.html`), pathOf(`http://example.org/${long}2.html`)];
    expect(one).not.toBe(other);
    for (const path of [one, other]) {
      expect(path).toMatch(/x{100}~[0-9a-f]{16}\.html$/);
      expect(Buffer.byteLength(path.split("/")[1]!)).toBeLessThanOrEqual(200);
    }
    const deep = pathOf(`http://example.org/${"folder/".repeat(500)}file.txt`);
    expect(deep).toMatch(/^example\.org\/file~[0-9a-f]{16}\.txt$/);
  });
});

function staysInside(path: string): void {
  const folder = "/some/folder";
  const file = join(folder, path);
  expect(normalize(file)).toBe(file);
  expect(relative(folder, file)).toBe(path);
  expect(path).not.toMatch(/(^|\/)\.{0,2}(\/|$)/);
  // oxlint-disable-next-line no-control-regex -- none of them may be there
  expect(path).not.toMatch(/[\u0000-\u001f\\:]/);
  for (const part of path.split("/")) expect(Buffer.byteLength(part)).toBeLessThanOrEqual(200);
  expect(Buffer.byteLength(path)).toBeLessThanOrEqual(1_200);
}

describe("a name that was asked for", () => {
  test.for(["a.txt", "a/b/c", "./a", "a//b", "ünïcödé.txt"])("%s can be had", (output) => {
    const path = pathOfOutput(output);
    if ("problem" in path) throw new Error(path.problem);
    staysInside(path.join("/"));
  });

  test.for([
    "",
    ".",
    "a/",
    "..",
    "../a",
    "a/../../b",
    "/etc/passwd",
    "\\\\server\\x",
    "c:\\x",
    "C:x",
    "a\nb",
    "nul",
    "a.",
  ])("%j cannot", (output) => {
    expect(pathOfOutput(output)).toHaveProperty("problem");
  });
});

describe("the ledger", () => {
  const assign = (paths: readonly string[]): string[] => {
    const ledger = new NameLedger();
    return paths.map((path) => ledger.assign(path.split("/")));
  };

  test("the first comer gets the name, the next ones a number", () => {
    expect(assign(["h/a.html", "h/a.html", "h/a.html", "h/b"])).toEqual([
      "h/a.html",
      "h/a~2.html",
      "h/a~3.html",
      "h/b",
    ]);
  });

  test("a name that is given already as a numbered one is not given again", () => {
    expect(assign(["h/a~2", "h/a", "h/a", "h/a"])).toEqual(["h/a~2", "h/a", "h/a~3", "h/a~4"]);
  });

  test("names that differ in case or in the form of their accents are the same", () => {
    expect(assign(["h/A", "h/a", "h/\u00e9", "h/e\u0301"])).toEqual(["h/A", "h/a~2", "h/\u00e9", "h/e\u0301~2"]);
  });

  test("a file and a folder do not meet, whoever comes first", () => {
    expect(assign(["h/a", "h/a/b", "h/a/c"])).toEqual(["h/a", "h/a~2/b", "h/a~2/c"]);
    expect(assign(["h/a/b", "h/a", "h/a"])).toEqual(["h/a/b", "h/a~2", "h/a~3"]);
  });

  test("a file does not meet the .part file of another, whoever comes first", () => {
    expect(assign(["h/a", "h/a.part"])).toEqual(["h/a", "h/a~2.part"]);
    expect(assign(["h/a.part", "h/a"])).toEqual(["h/a.part", "h/a~2"]);
    expect(assign(["h/a", "h/a.part/b"])).toEqual(["h/a", "h/a.part~2/b"]);
  });

  test("law: no two files of a run meet, and the same input gives the same names", () => {
    const part = fc.constantFrom("a", "A", "b", "a~2", "a.part", "a~2.part", "a.part~2");
    const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
    fc.assert(
      fc.property(fc.array(path, { maxLength: 40 }), (paths) => {
        const names = assign(paths);
        expect(assign(paths)).toEqual(names);
        const files = new Set(names.map((name) => name.toLowerCase()));
        expect(files.size).toBe(names.length);
        for (const name of files) {
          expect(files.has(`${name}.part`)).toBe(false);
          const folders = name.split("/").slice(0, -1);
          for (let depth = 1; depth <= folders.length; depth++) {
            const folder = folders.slice(0, depth).join("/");
            expect(files.has(folder)).toBe(false);
            if (folder.endsWith(".part")) expect(files.has(folder.slice(0, -5))).toBe(false);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a hundred thousand times the same name does not take longer and longer", () => {
    const ledger = new NameLedger();
    let last = "";
    for (let count = 0; count < 100_000; count++) last = ledger.assign(["h", "a"]);
    expect(last).toBe("h/a~100000");
  });
});

test("a mark goes before the ending", () => {
  expect(["a.html", "a.tar.gz", "a", ".a", "a.longending", "a."].map((name) => insertMark(name, "~2"))).toEqual([
    "a~2.html",
    "a~2.tar.gz",
    "a~2",
    ".a~2",
    "a.longending~2",
    "a.~2",
  ]);
});
