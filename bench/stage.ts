/**
 * The package as its users get it, in a temporary folder: compiled, beside the benchmark's own child as plain JavaScript.
 *
 * Two rows of questions need it. How long a program takes to start says nothing when the sources are compiled on the
 * way; and Node before 22 does not run TypeScript at all.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const PEERS = ["effect", "effection", "p-limit"];

export class Stage implements Disposable {
  /** Where `import "fibril"` and `import "effect"` find what is published. */
  readonly folder: string;
  /** The same as `child.ts`. */
  readonly child: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.child = join(folder, "child.mjs");
  }

  static async open(): Promise<Stage> {
    const stage = new Stage(mkdtempSync(join(tmpdir(), "fibril-bench-")));
    try {
      await stage.#fill();
      return stage;
    } catch (error) {
      stage[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #fill(): Promise<void> {
    const library = join(this.folder, "node_modules", "fibril");
    mkdirSync(library, { recursive: true });
    copyFileSync(join(ROOT, "package.json"), join(library, "package.json"));
    const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
    const args = [compiler, "-p", join(ROOT, "tsconfig.build.json"), "--outDir", join(library, "dist")];
    try {
      execFileSync(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
    } catch (error) {
      // The compiler writes what it can. A type error is for `npm run typecheck`, but no file is no library.
      if (!existsSync(join(library, "dist", "index.js")))
        throw new Error("cannot compile the library", { cause: error });
    }
    for (const peer of PEERS) symlinkSync(folderOf(peer), join(this.folder, "node_modules", peer), "junction");
    await build({
      entryPoints: [fileURLToPath(new URL("./child.ts", import.meta.url))],
      outfile: this.child,
      bundle: true,
      packages: "external",
      platform: "node",
      format: "esm",
      target: "node20",
      logLevel: "error",
    });
  }
}

/** Where a package of `bench/package.json` is installed: beside this file or at the root. */
function folderOf(name: string): string {
  for (const place of [new URL("./", import.meta.url), new URL("../", import.meta.url)]) {
    const folder = join(fileURLToPath(place), "node_modules", name);
    if (existsSync(folder)) return folder;
  }
  throw new Error(`${name} is not installed; run npm install`);
}

export interface NodeVersion {
  /** As it was asked for: "22". */
  readonly label: string;
  readonly version: string;
  readonly path: string;
}

/** A version of Node from the registry's `node` package, which npm keeps. */
export function findNode(label: string): NodeVersion {
  const script = "process.execPath + '\\n' + process.versions.node";
  const args = ["exec", "--yes", "--silent", `--package=node@${label}`, "--", "node", "-p", script];
  try {
    const said = execFileSync("npm", args, { cwd: tmpdir(), encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    const [path, version] = said.trim().split("\n").slice(-2) as [string, string];
    return { label, version, path };
  } catch (error) {
    throw new Error(`cannot get Node ${label} from npm`, { cause: error });
  }
}
