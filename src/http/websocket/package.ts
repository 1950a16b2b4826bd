/**
 * The only file that loads the package `ws`, an optional peer, `^8`. It is loaded when the first WebSocket is opened.
 */
import { WebSocketPackageMissingError } from "./errors.ts";
import type { RawWebSocket } from "./raw.ts";

/** The parts of the package that the client uses. `import * as ws from "ws"` fits. */
export interface WebSocketPackage {
  // Loose on purpose: the types of `ws` must not be needed by who never opens a WebSocket.
  readonly WebSocket: new (url: never, protocols: never, options: never) => object;
}

/** @param load Where it comes from, so that a test can take it away. */
export async function importWs(load: () => Promise<unknown> = () => import("ws")): Promise<WebSocketPackage> {
  let module: unknown;
  try {
    module = await load();
  } catch (cause) {
    const { code } = cause as { readonly code?: unknown };
    const isMissing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
    const problem = isMissing
      ? 'the package "ws" (^8) is not installed; run "npm install ws"'
      : 'the package "ws" that is installed does not load';
    throw new WebSocketPackageMissingError(problem, { cause });
  }
  return checkWs(module);
}

export function checkWs(module: unknown): WebSocketPackage {
  if (typeof (module as Partial<WebSocketPackage>).WebSocket === "function") return module as WebSocketPackage;
  throw new WebSocketPackageMissingError('what was given as "ws" has no WebSocket; install ws 8');
}

export function createSocket(
  ws: WebSocketPackage,
  url: string,
  protocols: readonly string[],
  options: object,
): RawWebSocket {
  const WebSocket = ws.WebSocket as unknown as new (
    url: string,
    protocols: readonly string[],
    options: object,
  ) => RawWebSocket;
  return new WebSocket(url, protocols, options);
}
