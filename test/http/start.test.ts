/** What importing has not to load, see `src/http/node-http.ts`: it would be most of a start. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("neither the client nor the server loads Node's own undici", async () => {
  const from = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const program = `
    import ${from("../../src/http/index.ts")};
    import ${from("../../src/http/server/index.ts")};
    console.log(JSON.stringify(process.moduleLoadList.filter((name) => name.includes("deps/undici/undici"))));`;
  const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", "--input-type=module"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, "--eval", program]);
  expect(JSON.parse(stdout)).toEqual([]);
});
