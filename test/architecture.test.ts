/**
 * The repository keeps its own borders: layers, cycles, forbidden names, independence.
 *
 * Each rule is first shown to catch what it is for, then applied to this repository.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  ALLOWED_NAMES,
  backDoors,
  forbiddenImports,
  forbiddenNames,
  importCycles,
  LAYERS,
  machinePaths,
  vagueNames,
} from "./architecture/rules.ts";
import { readSource, type Source } from "./architecture/source.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const ELSEWHERE = ["**/node_modules", "**/dist", "**/coverage", ".git"];

const library = sourcesIn("src/**/*.ts");
const satellites = sourcesIn("{cli,bench,examples}/**/*.ts");

/** A made-up repository: path → text. */
function sources(files: Readonly<Record<string, string>>): Source[] {
  return Object.entries(files).map(([path, text]) => readSource(path, text));
}

function sourcesIn(pattern: string): Source[] {
  return filesIn(pattern).map((path) => readSource(path, readFileSync(join(root, path), "utf8")));
}

function filesIn(pattern: string): string[] {
  const found = globSync(pattern, { cwd: root, exclude: ELSEWHERE, withFileTypes: true });
  const paths = found.filter((it) => it.isFile()).map((it) => join(it.parentPath, it.name).slice(root.length));
  return paths.map((path) => path.replaceAll("\\", "/")).sort();
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const publicEntries = Object.keys(manifest.exports)
  .filter((entry) => entry !== "./package.json")
  .map((entry) => entry.replace(/^\./, "fibril"));

describe("reading sources", () => {
  test("every kind of import counts, types included", () => {
    const text = `import type { A } from "./a.ts"; import "./b.ts"; export * from "./c.ts"; export { type D } from "./d.ts";
      type E = import("./e.ts").E; const f = await import("./f.ts"); const g = import(f); export const h = "./h.ts"; // import "./i.ts"`;
    const seen = readSource("x.ts", text).imports;
    expect(seen).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts", "(computed)"]);
  });

  test("a use counts, also inside a template; a key, a comment and a text do not", () => {
    const uses = readSource(
      "x.ts",
      "const a = `${Date.now()}`; setTimeout(a); const b = { process }; new Date();",
    ).names;
    expect([...uses]).toEqual(expect.arrayContaining(["Date.now", "setTimeout", "process", "new Date()"]));
    const none = readSource(
      "x.ts",
      `/* setTimeout */ host.setTimeout({ process: "Date.now()" }); class A { console() {} }`,
    ).names;
    expect([...none].sort()).toEqual(["A", "host", "host.setTimeout"]);
  });

  test("this repository was found", () => {
    expect(library.length).toBeGreaterThan(10);
    expect(library.flatMap((it) => it.imports).length).toBeGreaterThan(20);
    expect(satellites.some((it) => it.path.startsWith("cli/src/") && it.imports.includes("fibril"))).toBe(true);
  });
});

describe("layers", () => {
  test("an import against the table is caught, also of a type", () => {
    const made = sources({
      "src/data/a.ts": `import type { Task } from "../core/index.ts";`,
      "src/http/a.ts": `import { all } from "../combine/all.ts";`,
      "src/novelty/a.ts": `import { run } from "../core/index.ts";`,
      "src/time/a.ts": `export { run } from "../index.ts";`,
      "src/core/a.ts": `import { Wait } from "../lowlevel.ts";`,
      "src/sync/a.ts": `import { it } from "../../test/it.ts";`,
    });
    expect(forbiddenImports(made)).toHaveLength(6);
  });

  test("the kernel's files are out of reach for the folders above it, its two doors are not", () => {
    const deep = sources({ "src/time/a.ts": `import { Task } from "../core/task.ts";` });
    expect(forbiddenImports(deep)).toEqual([expect.stringContaining("through core/index.ts and lowlevel.ts only")]);
    const good = sources({
      "src/time/a.ts": `import { Task } from "../core/index.ts"; import { Wait } from "../lowlevel.ts"; import "./b.ts";`,
      "src/core/a.ts": `import { Heap } from "../data/heap.ts"; import type { B } from "./b.ts";`,
      "src/index.ts": `export { run } from "./core/run.ts";`,
    });
    expect(forbiddenImports(good)).toEqual([]);
  });

  test("packages and Node's modules are caught where they do not belong", () => {
    const made = sources({
      "src/core/a.ts": `import { readFile } from "node:fs";`,
      "src/time/a.ts": `import { Agent } from "undici";`,
      "src/http/a.ts": `import { Agent } from "undici"; import { Readable } from "node:stream"; import _ from "lodash";`,
      "src/data/a.ts": `const name = "undici"; await import(name);`,
    });
    expect(forbiddenImports(made)).toHaveLength(4);
  });

  test("src holds to the layer table", () => {
    expect(forbiddenImports(library)).toEqual([]);
  });

  test("the layer table itself has no circle", () => {
    const folders = Object.entries(LAYERS).map(([folder, below]) => ({
      path: `src/${folder}`,
      imports: below.map((it) => `./${it}`),
      names: new Set<string>(),
    }));
    expect(importCycles(folders)).toEqual([]);
  });
});

describe("cycles", () => {
  test("a circle is caught, also when it is made of types or of one file", () => {
    const made = sources({
      "src/core/a.ts": `import type { B } from "./b.ts";`,
      "src/core/b.ts": `import { C } from "./c.ts";`,
      "src/core/c.ts": `export type { A } from "./a.ts";`,
      "src/core/d.ts": `import type { D } from "./d.ts";`,
    });
    expect(importCycles(made)).toEqual([
      "src/core/a.ts → src/core/b.ts → src/core/c.ts → src/core/a.ts",
      "src/core/d.ts → src/core/d.ts",
    ]);
  });

  test("two ways to one file are no circle", () => {
    const made = sources({
      "src/core/a.ts": `import "./b.ts"; import "./c.ts";`,
      "src/core/b.ts": `import "./c.ts";`,
      "src/core/c.ts": "",
    });
    expect(importCycles(made)).toEqual([]);
  });

  test("there is none in src, nor in cli, bench and examples", () => {
    expect(importCycles([...library, ...satellites])).toEqual([]);
  });
});

describe("time, chance and the host", () => {
  test("a forbidden name is caught, outside host.ts only, and a permission must be used", () => {
    const made = sources({
      "src/core/host.ts": "setTimeout(performance.now);",
      "src/core/a.ts": "queueMicrotask(() => Math.random()); const { process } = globalThis;",
    });
    expect(forbiddenNames(made, [])).toEqual([
      "src/core/a.ts uses queueMicrotask",
      "src/core/a.ts uses process",
      "src/core/a.ts uses globalThis",
      "src/core/a.ts uses Math.random",
    ]);
    const permits = ["process", "setInterval"].map((name) => ({ path: "src/core/a.ts", name, why: "a test" }));
    expect(forbiddenNames(made, permits)).toContain("permission never used: src/core/a.ts uses setInterval");
    expect(forbiddenNames(made, permits)).not.toContain("src/core/a.ts uses process");
  });

  test("they enter src at core/host.ts only", () => {
    expect(forbiddenNames(library)).toEqual([]);
    expect(ALLOWED_NAMES.filter((it) => it.why.length < 10)).toEqual([]);
  });
});

describe("the package", () => {
  test("a back door is caught", () => {
    const made = sources({
      "cli/src/a.ts": `import { Task } from "../../src/core/task.ts"; import "fibril/core/task"; import { run } from "fibril"; import "./b.ts";`,
    });
    expect(backDoors(made, ["fibril", "fibril/http"])).toHaveLength(2);
  });

  test("cli, bench and examples use its public entry points only", () => {
    expect(backDoors(satellites, publicEntries)).toEqual([]);
  });

  test("it has no dependencies, and its peers are optional", () => {
    expect(Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })).toEqual([]);
    for (const peer of Object.keys(manifest.peerDependencies ?? {})) {
      expect(manifest.peerDependenciesMeta?.[peer]?.optional, peer).toBe(true);
    }
  });

  test("each entry has a source, and its build is named after it", () => {
    expect(publicEntries).toContain("fibril");
    for (const [entry, target] of Object.entries(manifest.exports)) {
      if (typeof target === "string") continue;
      const source = target["fibril-source"] ?? "";
      expect(Object.keys(target), entry).toEqual(["fibril-source", "types", "default"]);
      expect(existsSync(join(root, source)), source).toBe(true);
      expect(target["default"]).toBe(source.replace("./src/", "./dist/").replace(/\.ts$/, ".js"));
      expect(target["types"]).toBe(source.replace("./src/", "./dist/").replace(/\.ts$/, ".d.ts"));
    }
  });
});

describe("names and places", () => {
  test("a vague name is caught", () => {
    expect(
      vagueNames(["src/utils/a.ts", "src/core/types.ts", "src/core/base.test.ts", "src/core/task.ts"]),
    ).toHaveLength(3);
  });

  test("no file or folder of src, cli and bench has a vague name", () => {
    expect(vagueNames(filesIn("{src,cli,bench}/**/*"))).toEqual([]);
  });

  test("a path of one machine is caught, a path of an address is not", () => {
    const home = ["", "home", "me", "fibril"].join("/");
    expect(machinePaths("a.md", `see ${home} and https://example.org${home} and dist${home}`)).toEqual([
      `a.md contains ${home}`,
    ]);
  });

  test("no file contains a path of one machine", () => {
    const texts = filesIn("**/*.{ts,js,mjs,json,md,html,yml,yaml,css}").concat(filesIn(".ci/*"), filesIn(".*rc*"));
    expect(texts.length).toBeGreaterThan(30);
    expect(texts.flatMap((path) => machinePaths(path, readFileSync(join(root, path), "utf8")))).toEqual([]);
  });
});
