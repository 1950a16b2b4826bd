/**
 * `npm run size`: what the library adds to a bundle, minified and gzipped, against its budget; then what a program's use of it
 * adds, feature upon feature, beside Effect and Effection.
 *
 * The aims are those of the design: the kernel 10 KB, everything of the main entry 16 KB. Both are missed; docs/decisions/0009
 * says by what. The limits keep them from growing further. What a program pays is what it imports: the table by feature.
 */
import { measureBundle } from "../bench/bundle.ts";
import { sizeRow } from "../bench/rows/size.ts";

const KB = 1024;
const rows = [
  { name: "core (src/core)", entry: "../src/core/index.ts", aim: 10 * KB, limit: 17 * KB },
  { name: "fibril", entry: "../src/index.ts", aim: 16 * KB, limit: 41 * KB },
  { name: "fibril/lowlevel", entry: "../src/lowlevel.ts", aim: 10 * KB, limit: 10 * KB },
  { name: "fibril/http", entry: "../src/http/index.ts", aim: undefined, limit: undefined },
  { name: "fibril/testing", entry: "../src/testing/index.ts", aim: undefined, limit: undefined },
];

let overweight = 0;
for (const { name, entry, aim, limit } of rows) {
  const { minifiedBytes, gzippedBytes } = await measureBundle(`export * from "${entry}";`);
  const isTooLarge = limit !== undefined && gzippedBytes > limit;
  if (isTooLarge) overweight += 1;
  const missed =
    aim !== undefined && gzippedBytes > aim ? `  misses its aim by ${show(gzippedBytes - aim).trim()} KB` : "";
  const verdict = aim === undefined ? "" : `of ${show(aim)} KB${missed}${isTooLarge ? ", and its limit" : ""}`;
  const sizes = `${show(minifiedBytes)} KB minified  ${show(gzippedBytes)} KB gzipped`;
  console.log(`${name.padEnd(20)} ${sizes}  ${verdict}`.trimEnd());
}

const { contestants, labels } = sizeRow;
console.log(`\nKB gzipped, by feature   ${contestants.map(({ name }) => name.padStart(10)).join("")}`);
for (const [index, label] of labels.entries()) {
  const cells = [];
  for (const contestant of contestants) {
    const { gzippedBytes } = await measureBundle(contestant.module(index + 1));
    cells.push(show(gzippedBytes).padStart(10));
  }
  console.log(`${label.padEnd(25)}${cells.join("")}`);
}
for (const { name, note } of contestants) if (note !== undefined) console.log(`${name}: ${note}`);
process.exit(overweight === 0 ? 0 : 1);

function show(bytes: number): string {
  return (bytes / KB).toFixed(1).padStart(5);
}
