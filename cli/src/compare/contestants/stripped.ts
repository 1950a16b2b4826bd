/**
 * The same program without its types, for contestants that load it in many threads.
 *
 * Node strips the types of a `.ts` file in every thread anew. A hundred threads that load the library pay 300 ms and 30 MB each for
 * that, which no user of the build does; so from the sources a contestant runs as a copy that was stripped once, and lies in
 * `node_modules/.cache` until a source changes.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import nodeModule from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const TREES = ["src", "cli/src/compare"];

/** Where the module beside this one is to be imported from. */
export function withoutTypes(name: string): string {
  if (!import.meta.url.endsWith(".ts")) return new URL(`./${name}.js`, import.meta.url).href;
  const files = TREES.flatMap((tree) =>
    readdirSync(join(root, tree), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => join(tree, file)),
  );
  const newest = Math.max(...files.map((file) => statSync(join(root, file)).mtimeMs));
  const folder = join(root, "node_modules/.cache/fibril-stripped");
  const copy = join(folder, `${files.length}-${Math.round(newest)}`);
  if (!existsSync(copy)) makeCopy(copy, files);
  return pathToFileURL(join(copy, `cli/src/compare/contestants/${name}.js`)).href;
}

function makeCopy(copy: string, files: readonly string[]): void {
  const unfinished = `${copy}.${process.pid}`;
  for (const file of files) {
    const path = join(unfinished, file.replace(/\.ts$/, ".js"));
    const code = nodeModule
      .stripTypeScriptTypes(readFileSync(join(root, file), "utf8"))
      .replaceAll(/(?<=(?:from|import) ?\(?)"(\.[^"]+)\.ts"/g, '"$1.js"')
      .replaceAll(/(?<=from )"fibril(\/[a-z/]+)?"/g, (_, folder: string | undefined) => {
        const entry = folder === "/executors/worker" ? "executors/thread/worker-entry.js" : `${folder ?? ""}/index.js`;
        const from = relative(dirname(file), join("src", entry));
        return `"${from.startsWith(".") ? from : `./${from}`}"`;
      });
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, code);
  }
  writeFileSync(join(unfinished, "package.json"), '{ "type": "module" }\n');
  try {
    renameSync(unfinished, copy);
  } catch {
    rmSync(unfinished, { recursive: true }); // another one was quicker
  }
}
