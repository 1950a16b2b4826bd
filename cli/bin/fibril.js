#!/usr/bin/env node
/**
 * Starts the `fibril` command.
 *
 * A published package runs its build. A development checkout has sources and needs no build: there
 * this file starts itself again, on the pinned Node 24 that runs the TypeScript files as they are.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

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
