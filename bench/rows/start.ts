/**
 * How long a program takes that loads its library and does nothing else: the whole process, from outside.
 *
 * Fibril is the compiled package here, as its users have it. Effect is loaded by the one module that a small program needs;
 * `effect-all` is its main entry, which the documentation imports from.
 */
import type { StartRow } from "../row.ts";

export const startRow: StartRow = {
  name: "start",
  kind: "start",
  title: "a process that imports its library and ends",
  sizeOf: "processes",
  sizes: [1],
  rounds: 3,
  contestants: [
    { name: "native", code: "", note: "Node itself" },
    { name: "fibril", code: 'import { run } from "fibril"; if (typeof run !== "function") process.exit(1);' },
    {
      name: "effect",
      code: 'import { runPromise } from "effect/Effect"; if (typeof runPromise !== "function") process.exit(1);',
      note: 'the module "effect/Effect"',
    },
    {
      name: "effect-all",
      code: 'import { Effect } from "effect"; if (typeof Effect.runPromise !== "function") process.exit(1);',
      note: 'the main entry "effect"',
    },
    {
      name: "effection",
      code: 'import { run } from "effection"; if (typeof run !== "function") process.exit(1);',
    },
    { name: "python", language: "python", code: "import asyncio", note: "import asyncio" },
  ],
  targets: [],
};
