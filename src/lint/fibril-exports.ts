/**
 * What the rules know of Fibril's own exports.
 *
 * Rules see one file and no types, so this knowledge has to come with the plugin. It is not written by hand:
 * `surface-data.ts` is derived from the sources (`node test/lint/surface.ts`), and a test fails when it is out of date.
 */
import { CLASSES, MODULES } from "./surface-data.ts";
import type { ClassSurface, ModuleSurface } from "./surface.ts";

export function classSurface(name: string): ClassSurface {
  return own(CLASSES, name) ?? {};
}

/** The exports of `fibril` or `fibril/…`; `null` for any other module. */
export function moduleSurface(specifier: string): ModuleSurface | null {
  return own(MODULES, specifier) ?? null;
}

/** All entries together: for modules that pass Fibril's exports on. */
export function everything(): ModuleSurface {
  const modules = Object.values(MODULES);
  return {
    functions: Object.assign({}, ...modules.map((it) => it.functions)) as ModuleSurface["functions"],
    classes: Object.assign({}, ...modules.map((it) => it.classes)) as ModuleSurface["classes"],
  };
}

/** A property that the record has itself: names such as `toString` come from programs. */
export function own<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}
