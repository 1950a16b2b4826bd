/**
 * Which module a worker imports at this moment: what that submits meanwhile would be run by a worker that imports it, and so on.
 */
let url: string | null = null;

/** The module, while a worker imports it; else `null`. */
export function importingJob(): string | null {
  return url;
}

/** Called by the worker. */
export function setImporting(module: string | null): void {
  url = module;
}
