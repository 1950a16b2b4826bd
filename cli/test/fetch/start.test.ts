/** What a start does not have to load: it is most of the time and of the memory of a short run. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadUndiciClient } from "../../src/fetch/undici-client.ts";

test("the client is the one of the undici of the command", () => {
  const own = createRequire(new URL("../../src/fetch/undici-client.ts", import.meta.url))("undici") as {
    readonly Client: unknown;
  };
  expect(loadUndiciClient()?.Client).toBe(own.Client);
});

test("an undici that has its client elsewhere is left to the session", () => {
  expect(
    loadUndiciClient(() => {
      throw new Error("Cannot find module");
    }),
  ).toBeUndefined();
  expect(loadUndiciClient(() => ({}))).toBeUndefined();
});

test("the command loads neither the whole of undici nor that of Node", async () => {
  const from = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const program = `
    import { createRequire } from "node:module";
    import ${from("../../src/fetch/command.ts")};
    const { loadUndiciClient } = await import(${from("../../src/fetch/undici-client.ts")});
    const isLoaded = loadUndiciClient() !== undefined;
    const own = Object.keys(createRequire(import.meta.url).cache).filter((file) => /undici.lib.(?:web|mock|cache)/.test(file));
    const built = process.moduleLoadList.filter((name) => name.includes("deps/undici/undici"));
    console.log(JSON.stringify({ isLoaded, own, built }));`;
  const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning", "--input-type=module"];
  const cwd = fileURLToPath(new URL("../../", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, "--eval", program], { cwd });
  expect(JSON.parse(stdout)).toEqual({ isLoaded: true, own: [], built: [] });
});
