/**
 * Undici's client without the rest of undici, which is all that a session uses of it.
 *
 * `import "undici"` loads 110 modules with its own fetch, caches, mocks and WebSockets: 140 ms of CPU time and 30 MB, a third of what the
 * command needs until its first request. The client alone is 19 modules, 50 ms and 14 MB (Node 24.21). It is no public entry of the package; where
 * another version has it elsewhere the session imports the whole, as everybody's does.
 */
import { createRequire } from "node:module";
import type { UndiciModule } from "fibril/http";

const CLIENT = "undici/lib/dispatcher/client.js";

/** @param load Loads a module, so that a test can take it away. @returns `undefined` when this undici has its client elsewhere. */
export function loadUndiciClient(
  load: (name: string) => unknown = createRequire(import.meta.url),
): UndiciModule | undefined {
  try {
    const Client = load(CLIENT);
    return typeof Client === "function" ? { Client: Client as UndiciModule["Client"] } : undefined;
  } catch {
    return undefined;
  }
}
