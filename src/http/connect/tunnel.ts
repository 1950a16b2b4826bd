/**
 * The handshakes with proxies, on a socket to the proxy that stands: CONNECT, read by node:http, and SOCKS, by the package `socks`.
 *
 * Whoever gives up destroys the socket; then the answer that is called does not matter any more, and both of these notice and let go.
 * The errors of `socks` hold the user name and password, so they are not kept as causes.
 */
import type { Socket } from "node:net";
import { ProxyFailure, SocksMissingError } from "./errors.ts";
import { request } from "../node-http.ts";
import type { Proxy } from "./proxy.ts";

/** Called once: with an error, or when the socket leads to the target. Maybe after the socket was destroyed. */
export type TunnelCallback = (error: Error | null) => void;

/** @param authority Name and port of the target, as CONNECT has them. */
export function openHttpTunnel(socket: Socket, proxy: Proxy, authority: string, done: TunnelCallback): void {
  let isOver = false;
  const end = (failure: Error | null): void => {
    if (isOver) return;
    isOver = true;
    done(failure);
  };
  const connect = request({
    createConnection: () => socket,
    method: "CONNECT",
    path: authority,
    host: proxy.hostname,
    port: proxy.port,
    headers: ["host", authority, ...proxy.headers],
  });
  connect.once("connect", (response, _socket, head) => {
    const status = response.statusCode!;
    if (status < 200 || status > 299) {
      const reason = response.statusMessage === "" ? "" : ` (${response.statusMessage!.slice(0, 100)})`;
      return end(new ProxyFailure(proxy.label, "answer", `it answered CONNECT with status ${status}${reason}`, status));
    }
    if (head.length > 0) socket.unshift(head);
    end(null);
  });
  connect.on("error", (cause) => {
    end(new ProxyFailure(proxy.label, "handshake", `it broke off (${cause.message})`, undefined, { cause }));
  });
  connect.end();
}

/** One handshake of the package `socks`. */
interface SocksHandshake {
  once(event: "established" | "error", listener: (error: Error) => void): unknown;
  connect(socket: Socket): void;
  onEstablishedTimeout?: () => void;
}

/** The part of the package that is used. */
interface SocksModule {
  readonly SocksClient: new (options: object) => SocksHandshake;
}

let socks: Promise<SocksModule> | null = null;

/** @param load Where it comes from, so that a test can take it away. @throws {SocksMissingError} */
export async function importSocks(load: () => Promise<unknown> = () => import("socks")): Promise<SocksModule> {
  try {
    return (await load()) as SocksModule;
  } catch (cause) {
    throw new SocksMissingError({ cause });
  }
}

/**
 * Resolves when the socket leads to the target.
 *
 * @param host Name or address of the target; SOCKS 4 without names needs an IPv4 address.
 * @throws {ProxyFailure}
 * @throws {SocksMissingError}
 */
export async function openSocksTunnel(socket: Socket, proxy: Proxy, host: string, port: number): Promise<void> {
  socks ??= importSocks();
  let module: SocksModule;
  try {
    module = await socks;
  } catch (missing) {
    socks = null; // it may be installed meanwhile
    throw missing;
  }
  if (socket.destroyed) throw new ProxyFailure(proxy.label, "handshake", "it broke off");
  const { kind, hostname, username, password } = proxy;
  try {
    await handshake(module, socket, {
      command: "connect",
      destination: { host, port },
      proxy: {
        host: hostname,
        port: proxy.port,
        type: kind === "socks4" ? 4 : 5,
        ...(username === "" ? {} : { userId: username, password }),
      },
    });
  } catch (error) {
    const { message } = error as Error;
    const isAnswer = /rejected|Authentication failed|no accepted authentication/i.test(message);
    // oxlint-disable-next-line preserve-caught-error -- it holds user name and password
    throw new ProxyFailure(proxy.label, isAnswer ? "answer" : "handshake", message);
  }
}

/**
 * The package limits a handshake to 30 s by a timer that it never clears: however the handshake ends, the timer keeps the socket and the
 * password for 30 s; and a longer `connectMs` would be cut short. Here the session has the limit. So that timer is made to come
 * at once and to do nothing; of a version that calls it otherwise it is left as it is.
 */
async function handshake({ SocksClient }: SocksModule, socket: Socket, options: object): Promise<void> {
  const hasTimer = "onEstablishedTimeout" in SocksClient.prototype;
  const client = new SocksClient(hasTimer ? { ...options, timeout: 1 } : options);
  if (hasTimer) client.onEstablishedTimeout = nothing;
  await new Promise<void>((resolve, reject) => {
    client.once("established", () => resolve());
    client.once("error", reject);
    client.connect(socket);
  });
}

function nothing(): void {}
