/**
 * What a program's use of the library adds to a bundle, feature upon feature: each size has all features before it as well.
 *
 * Each contestant names what it has for the same purpose. What it has nothing for adds nothing: Effection has no locks, no timeout
 * and no retry, so its lines are smaller for that reason too.
 */
import type { SizeRow } from "../row.ts";

type Imports = readonly (readonly [module: string, ...names: string[]])[];

interface Feature {
  readonly label: string;
  readonly fibril: Imports;
  readonly effect: Imports;
  readonly effection: Imports;
}

const features: readonly Feature[] = [
  {
    label: "run, spawn, sleep",
    fibril: [["fibril", "run", "spawn", "sleep", "scope"]],
    effect: [
      ["effect/Effect", "runPromise", "gen", "forkChild", "sleep", "scoped"],
      ["effect/Fiber", "join"],
    ],
    effection: [["effection", "run", "spawn", "sleep", "scoped"]],
  },
  {
    label: "+ sync",
    fibril: [["fibril", "Lock", "Semaphore", "Event"]],
    effect: [
      ["effect/Semaphore", "make", "withPermit"],
      ["effect/Latch", "make"],
    ],
    effection: [],
  },
  {
    label: "+ channels",
    fibril: [["fibril", "Channel", "Broadcast", "select"]],
    effect: [
      ["effect/Queue", "bounded", "offer", "take", "end"],
      ["effect/PubSub", "bounded", "publish", "subscribe"],
    ],
    effection: [["effection", "createQueue", "createChannel", "each"]],
  },
  {
    label: "+ time",
    fibril: [["fibril", "timeout", "moveOnAfter", "interval", "retry"]],
    effect: [
      ["effect/Effect", "timeout", "timeoutOption", "retry", "repeat"],
      ["effect/Schedule", "exponential", "jittered", "spaced"],
    ],
    effection: [["effection", "interval"]],
  },
  {
    label: "+ combine",
    fibril: [["fibril", "all", "race", "mapConcurrent"]],
    effect: [["effect/Effect", "all", "raceFirst", "forEach"]],
    effection: [["effection", "all", "race"]],
  },
];

export const sizeRow: SizeRow = {
  name: "size",
  kind: "size",
  title: "what a program's use of the library adds to its bundle",
  sizeOf: "features",
  sizes: features.map((_, index) => index + 1),
  labels: features.map(({ label }) => label),
  rounds: 1,
  contestants: [
    { name: "fibril", module: (count) => moduleOf(features.slice(0, count).flatMap((each) => each.fibril)) },
    { name: "effect", module: (count) => moduleOf(features.slice(0, count).flatMap((each) => each.effect)) },
    {
      name: "effection",
      note: "it has no locks, no timeout and no retry",
      module: (count) => moduleOf(features.slice(0, count).flatMap((each) => each.effection)),
    },
  ],
  targets: [],
};

/** Exports every name under one of its own, so that nothing of it is shaken off. */
function moduleOf(imports: Imports): string {
  const lines: string[] = [];
  for (const [index, [module, ...names]] of imports.entries()) {
    lines.push(`export { ${names.map((name) => `${name} as ${name}${index}`).join(", ")} } from "${module}";`);
  }
  return lines.join("\n");
}
