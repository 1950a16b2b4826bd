/**
 * A WebSocket as the package `ws` gives it, for client and server alike: what is used of it, and nothing else.
 */
/** The parts of a `WebSocket` of the package `ws` that are used. */
export interface RawWebSocket {
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number;
  readonly protocol: string;
  readonly extensions: string;
  readonly bufferedAmount: number;
  pause(): void;
  resume(): void;
  send(data: string | Uint8Array, options: { readonly compress?: boolean }, written: () => void): void;
  ping(): void;
  pong(data: Uint8Array, mask: undefined, written: () => void): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
  on(event: string, listener: (...args: never[]) => void): unknown;
  off(event: string, listener: (...args: never[]) => void): unknown;
}
