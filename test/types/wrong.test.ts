/**
 * Wrong programs do not compile, under plain `tsc`, as their author would meet it.
 *
 * The files in `wrong/` mark each line that must fail with `// error TS1234` at its end (or before it,
 * on a line of its own). The check goes both ways: a mark without error fails, an error without mark, too.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const here = fileURLToPath(new URL("./", import.meta.url));
const files = readdirSync(`${here}wrong`).sort();
const reported = compile();

describe("wrong programs do not compile", () => {
  test.each(files)("%s", (file) => {
    const marked = marks(readFileSync(`${here}wrong/${file}`, "utf8"));
    expect(marked.length).toBeGreaterThan(0);
    expect(reported.get(file) ?? []).toEqual(marked);
  });
});

/** The errors of a run of the compiler: file → `line: code`, in order. */
function compile(): Map<string, string[]> {
  const tsc = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
  const { stdout, status } = spawnSync(process.execPath, [tsc, "-p", here, "--pretty", "false"], {
    cwd: here,
    encoding: "utf8",
  });
  if (status === 0) throw new Error("tsc found nothing wrong in wrong/");
  const errors = new Map<string, string[]>();
  for (const [, file = "", line = "", code = ""] of stdout.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+)/gm)) {
    const name = file.replace(/^wrong\//, "");
    errors.set(name, [...(errors.get(name) ?? []), `${line}: ${code}`]);
  }
  const elsewhere = [...errors.keys()].filter((file) => !files.includes(file));
  if (elsewhere.length > 0) throw new Error(`errors outside wrong/: ${elsewhere.join(", ")}`);
  return errors;
}

function marks(text: string): string[] {
  return text.split("\n").flatMap((line, index) => {
    const code = /\/\/ error (TS\d+)$/.exec(line)?.[1];
    if (code === undefined) return [];
    const alone = /^\s*\/\/ error/.test(line);
    return [`${index + (alone ? 2 : 1)}: ${code}`];
  });
}
