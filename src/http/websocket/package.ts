/**
 * The only file that loads the package `ws`, an optional peer, `^8`. It is loaded when the first WebSocket is opened.
 */
import { importOptional } from "../optional-package.ts";
import { WebSocketPackageMissingError } from "./errors.ts";
import type { RawWebSocket } from "./raw.ts";

/** The parts of the package that the client uses. `import * as ws from "ws"` fits. */
export interface WebSocketPackage {
  // Loose on purpose: the types of `ws` must not be needed by who never opens a WebSocket.
  readonly WebSocket: new (url: never, protocols: never, options: never) => object;
}

/** @param load Where it comes from, so that a test can take it away. */
export async function importWs(load: () => Promise<unknown> = () => import("ws")): Promise<WebSocketPackage> {
  const missing = (problem: string, options?: ErrorOptions): Error =>
    new WebSocketPackageMissingError(problem, options);
  const module = await importOptional("ws", "^8", load, missing);
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
