#!/usr/bin/env node
/**
 * Starts the `fibril` command.
 *
 * A published package runs its build. A development checkout has sources and needs no build: there
 * this file starts itself again, on the pinned Node 24 that runs the TypeScript files as they are.
 */
import { existsSync } from "node:fs";
import module from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";

// What the engine makes of our modules is kept for the next start, and for threads. Node 20 has no such cache.
if (module.enableCompileCache !== undefined && process.env["NODE_DISABLE_COMPILE_CACHE"] === undefined) {
  const { directory } = module.enableCompileCache();
  if (directory !== undefined) process.env["NODE_COMPILE_CACHE"] ??= directory;
}

const source = new URL("../src/main.ts", import.meta.url);
const args = process.argv.slice(2);

if (!existsSync(source)) {
  const { main } = await import("../dist/main.js");
  await main(args);
} else if (process.execArgv.includes("--conditions=fibril-source")) {
  const { main } = await import(source.href);
  await main(args);
} else {
  const { runSource } = await import("../../scripts/launch.mjs");
  runSource(fileURLToPath(import.meta.url), args);
}
