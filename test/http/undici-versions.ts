/**
 * The versions of undici that the tests run on: 8, and 7.30, the last one for Node 20, installed under the name `undici-7`.
 */
import { createRequire } from "node:module";
import type { UndiciModule } from "fibril/http";

const require = createRequire(import.meta.url);

function load(name: string): UndiciModule | undefined {
  try {
    return require(name) as UndiciModule;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

function version(name: string): string {
  return (require(`${name}/package.json`) as { readonly version: string }).version;
}

/** Pairs of `undici 8.12.4` and the module. */
export const undiciVersions: readonly (readonly [string, UndiciModule])[] = ["undici", "undici-7"].flatMap((name) => {
  const module = load(name);
  return module === undefined ? [] : [[`undici ${version(name)}`, module] as const];
});
