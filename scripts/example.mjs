// `npm run example -- NAME`: runs examples/NAME.ts from the sources. Without a name it lists them.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";

const names = readdirSync("examples")
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -3));
const [name, ...args] = process.argv.slice(2);
if (name === undefined || !existsSync(`examples/${name}.ts`)) {
  console.error(`usage: npm run example -- NAME, where NAME is one of: ${names.join(", ")}`);
  process.exit(2);
}
const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];
process.exit(spawnSync(process.execPath, [...flags, `examples/${name}.ts`, ...args], { stdio: "inherit" }).status ?? 1);
