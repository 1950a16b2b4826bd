/**
 * `npm run size`: what the library adds to a bundle, minified and gzipped, against its budget.
 *
 * The budgets are those of the design: the kernel 10 KB (aim 8), everything of the main entry 16 KB.
 */
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const KB = 1024;
const rows = [
  { name: "core (src/core)", entry: "src/core/index.ts", budget: 10 * KB },
  { name: "fibril", entry: "src/index.ts", budget: 16 * KB },
  { name: "fibril/lowlevel", entry: "src/lowlevel.ts", budget: 10 * KB },
  { name: "fibril/http", entry: "src/http/index.ts", budget: undefined },
  { name: "fibril/testing", entry: "src/testing/index.ts", budget: undefined },
];

let overweight = 0;
for (const { name, entry, budget } of rows) {
  const { outputFiles } = await build({
    absWorkingDir: fileURLToPath(new URL("../", import.meta.url)),
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
    conditions: ["fibril-source"],
    external: ["undici"],
  });
  const code = outputFiles[0]?.contents ?? new Uint8Array();
  const gzipped = gzipSync(code, { level: 9 }).length;
  const over = budget !== undefined && gzipped > budget;
  if (over) overweight += 1;
  const limit = budget === undefined ? "" : `of ${show(budget)} KB${over ? "  OVER BUDGET" : ""}`;
  console.log(`${name.padEnd(18)} ${show(code.length)} KB minified  ${show(gzipped)} KB gzipped  ${limit}`.trimEnd());
}
process.exit(overweight === 0 ? 0 : 1);

function show(bytes: number): string {
  return (bytes / KB).toFixed(1).padStart(5);
}
