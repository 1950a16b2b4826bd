/**
 * The borders of the repository as data, and the functions that find what crosses them.
 *
 * Every function takes sources and gives sentences, one for each violation, so that the rules can be
 * tried on made-up repositories as well as on this one.
 */
import { dirname, join } from "node:path/posix";
import type { Source } from "./source.ts";

/** What each folder of `src` may import from the others (docs and design, §2). Its own files are always allowed. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  data: [],
  core: ["data"],
  sync: ["core", "data"],
  time: ["core", "data"],
  combine: ["core", "data"],
  channels: ["core", "data"],
  interop: ["core", "channels"],
  asyncio: ["core", "data", "executors"],
  executors: ["core", "sync", "time", "channels", "interop"],
  http: ["core", "sync", "time", "channels", "interop"],
  testing: ["core", "data", "time"],
  inspector: ["core", "data"],
  lint: [],
};

/** The ways to the kernel from the folders above it; `loopless.ts` is the part of the first that needs no loop. */
const DOORS: ReadonlySet<string> = new Set(["src/core/index.ts", "src/core/loopless.ts", "src/lowlevel.ts"]);

/** The files directly in `src`, which only collect what is public. */
const ENTRIES: Readonly<Record<string, readonly string[]>> = {
  "src/index.ts": ["data", "core", "sync", "time", "combine", "channels", "interop", "executors"],
  "src/lowlevel.ts": ["data", "core"],
};

/** Packages of others that a folder may import. Each of them is an optional peer. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  http: ["undici", "socks", "tough-cookie", "ws", "fastify", "hono"],
  executors: ["bullmq", "ioredis", "cron-parser"],
};

/** Where Node's own modules are allowed: what runs in a browser too must not need them. */
const NODE_MODULES: readonly string[] = [
  "src/core/host.ts",
  "src/interop/node/",
  "src/http/",
  "src/executors/",
  "src/inspector/",
];

/** Names that would let time, chance or the host in by another way than `core/host.ts`. */
const FORBIDDEN_NAMES: readonly string[] = [
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "MessageChannel",
  "performance",
  "process",
  "globalThis",
  "console",
  "crypto",
  "Date.now",
  "new Date()",
  "Math.random",
];

/** Where a forbidden name is right after all, and why. An entry that is no longer used is a violation, too. */
export const ALLOWED_NAMES: readonly { readonly path: string; readonly name: string; readonly why: string }[] = [];

const VAGUE_NAMES: ReadonlySet<string> = new Set(["utils", "helpers", "common", "types", "manager", "base"]);

/** Imports that the layer table, the doors of the kernel or the package's independence forbid. */
export function forbiddenImports(sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    source.imports.flatMap((specifier) => {
      const complaint = specifier.startsWith(".")
        ? complainAboutFile(source.path, resolve(source.path, specifier))
        : complainAboutPackage(source.path, specifier);
      return complaint === undefined ? [] : [`${source.path} imports ${specifier}: ${complaint}`];
    }),
  );
}

function complainAboutFile(from: string, to: string): string | undefined {
  if (!to.startsWith("src/")) return "the library imports nothing outside src";
  const allowed = ENTRIES[from] ?? LAYERS[folderOf(from)];
  if (allowed === undefined) return `"${folderOf(from) || from}" is not in the layer table`;
  const target = to === "src/lowlevel.ts" ? "core" : folderOf(to);
  if (target === "") return "an entry of the package is for its users";
  if (target === folderOf(from) && to !== "src/lowlevel.ts") return undefined;
  if (!allowed.includes(target)) return `${folderOf(from) || from} may import only: ${allowed.join(", ") || "nothing"}`;
  const deep = target === "core" && !(from in ENTRIES) && !DOORS.has(to);
  return deep ? "the kernel is reached through core/index.ts and lowlevel.ts only" : undefined;
}

/** Where a module is imported whose name is data: a worker imports the modules of the jobs that it is given. */
const COMPUTED_IMPORTS: readonly string[] = [
  "src/executors/thread/worker-entry.ts",
  "src/executors/thread/worker-jobs.ts",
];

function complainAboutPackage(from: string, specifier: string): string | undefined {
  if (specifier === "(computed)" && COMPUTED_IMPORTS.includes(from)) return undefined;
  if (specifier === "(computed)") return "an import that is computed cannot be checked";
  if (specifier.startsWith("node:")) {
    return NODE_MODULES.some((place) => from.startsWith(place)) ? undefined : "no Node modules in this folder";
  }
  return PACKAGES[folderOf(from)]?.includes(specifier) ? undefined : "the library has no dependencies";
}

/** Groups of files that import each other in a circle, types included. */
export function importCycles(sources: readonly Source[]): string[] {
  const edges = new Map(
    sources.map(({ path, imports }) => {
      const files = imports.filter((specifier) => specifier.startsWith("."));
      return [path, new Set(files.map((specifier) => resolve(path, specifier)))];
    }),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const follow = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path);
    if (start !== -1) cycles.push([...way.slice(start), path].join(" → "));
    if (start !== -1 || done.has(path)) return;
    for (const next of edges.get(path) ?? []) follow(next, [...way, path]);
    done.add(path);
  };
  for (const path of edges.keys()) follow(path, []);
  return cycles;
}

/** Uses of the clock, of chance and of the host outside `core/host.ts`, and permissions that nobody uses. */
export function forbiddenNames(sources: readonly Source[], allowed: typeof ALLOWED_NAMES = ALLOWED_NAMES): string[] {
  const permits = new Set(allowed.map(({ path, name }) => `${path} uses ${name}`));
  const uses = sources
    .filter(({ path }) => path !== "src/core/host.ts")
    .flatMap(({ path, names }) =>
      FORBIDDEN_NAMES.filter((name) => names.has(name)).map((name) => `${path} uses ${name}`),
    );
  const unused = [...permits]
    .filter((permit) => !uses.includes(permit))
    .map((permit) => `permission never used: ${permit}`);
  return [...uses.filter((use) => !permits.has(use)), ...unused];
}

/** Imports by which the satellites (`cli`, `bench`, `examples`) use more than a user's program could. */
export function backDoors(sources: readonly Source[], publicEntries: readonly string[]): string[] {
  return sources.flatMap(({ path, imports }) => {
    const home = path.slice(0, path.indexOf("/") + 1);
    return imports
      .filter((it) =>
        it.startsWith(".")
          ? !resolve(path, it).startsWith(home)
          : /^fibril(?:\/|$)/.test(it) && !publicEntries.includes(it),
      )
      .map((it) => `${path} imports ${it}: only the public entry points ${publicEntries.join(", ")}`);
  });
}

/** Files and folders whose name says nothing. */
export function vagueNames(paths: readonly string[]): string[] {
  return paths.filter((path) => path.split("/").some((part) => VAGUE_NAMES.has(part.replace(/\..*$/, ""))));
}

/** Lines that would work on one machine only: paths of home folders and of workplaces. */
export function machinePaths(path: string, text: string): string[] {
  const pattern = /(?<![\w.~$}*-])\/(?:home|root|work|Users)\/\w[^\s"'`)]*/g;
  return [...text.matchAll(pattern)].map(([found]) => `${path} contains ${found}`);
}

/** The folder of `src` that a file belongs to; empty for the entries. */
function folderOf(path: string): string {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? "";
}

function resolve(from: string, specifier: string): string {
  return join(dirname(from), specifier);
}
