/**
 * `npm run size`: what the library adds to a bundle, minified and gzipped, against its budget.
 *
 * The aims are those of the design: the kernel 10 KB, everything of the main entry 16 KB. The kernel misses its aim; until it
 * does not, the limit keeps it from growing further.
 */
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const KB = 1024;
const rows = [
  { name: "core (src/core)", entry: "src/core/index.ts", aim: 10 * KB, limit: 13.5 * KB },
  { name: "fibril", entry: "src/index.ts", aim: 16 * KB, limit: 16 * KB },
  { name: "fibril/lowlevel", entry: "src/lowlevel.ts", aim: 10 * KB, limit: 10 * KB },
  { name: "fibril/http", entry: "src/http/index.ts", aim: undefined, limit: undefined },
  { name: "fibril/testing", entry: "src/testing/index.ts", aim: undefined, limit: undefined },
];

let overweight = 0;
for (const { name, entry, aim, limit } of rows) {
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
  const isTooLarge = limit !== undefined && gzipped > limit;
  if (isTooLarge) overweight += 1;
  const missed = aim !== undefined && gzipped > aim ? `  misses its aim by ${show(gzipped - aim).trim()} KB` : "";
  const verdict = aim === undefined ? "" : `of ${show(aim)} KB${missed}${isTooLarge ? ", and its limit" : ""}`;
  console.log(`${name.padEnd(18)} ${show(code.length)} KB minified  ${show(gzipped)} KB gzipped  ${verdict}`.trimEnd());
}
process.exit(overweight === 0 ? 0 : 1);

function show(bytes: number): string {
  return (bytes / KB).toFixed(1).padStart(5);
}
