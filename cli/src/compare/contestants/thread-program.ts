/**
 * The program of a thread, by file name: so that a thread costs the same from the sources as from the build.
 *
 * Node strips the types of a `.ts` file in every thread anew, which takes 8 MB and 20 ms in each: with a hundred threads
 * that would be charged to the wrong account. So the sources are stripped once, here, and their relative imports put in.
 * (Imported as a whole: the build also runs on a Node that cannot strip, and has no such name to import.)
 */
import { readFileSync } from "node:fs";
import nodeModule from "node:module";

export function threadProgram(name: string): URL {
  const sources = import.meta.url.endsWith(".ts");
  const file = new URL(`./${name}${sources ? ".ts" : ".js"}`, import.meta.url);
  return sources ? stripped(file) : file;
}

function stripped(file: URL): URL {
  const code = nodeModule
    .stripTypeScriptTypes(readFileSync(file, "utf8"))
    .replaceAll(/(?<=from )"(\.[^"]+)"/g, (_, relative: string) => `"${stripped(new URL(relative, file)).href}"`);
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}
