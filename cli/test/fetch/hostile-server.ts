/**
 * A server of our own for what a well-behaved one never does: it resets, stalls, lies about lengths, never ends, sends
 * people away. What it does is in the path; what it saw can be asked.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export class HostileServer {
  readonly #server: Server;
  readonly #seen = new Map<string, number>();
  readonly #behaviours: Readonly<Record<string, Behaviour>>;
  readonly #held: (() => void)[] = [];
  readonly #arrivals: (() => void)[] = [];
  /** Requests that are being answered, and the most there ever were at once. */
  open = 0;
  mostOpen = 0;

  private constructor(behaviours: Readonly<Record<string, Behaviour>>) {
    this.#behaviours = { ...BEHAVIOURS, ...behaviours };
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  /** Starts one that ends with the test. */
  static async start(behaviours: Readonly<Record<string, Behaviour>> = {}): Promise<HostileServer> {
    const server = new HostileServer(behaviours);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    onTestFinished(() => server.#stop());
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many requests came for this path. */
  seen(path: string): number {
    return this.#seen.get(path) ?? 0;
  }

  get seenInAll(): number {
    return [...this.#seen.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Resolves when `count` answers are kept back. */
  async untilHeld(count: number): Promise<void> {
    while (this.#held.length < count) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  /** Resolves when `count` requests have come. */
  async untilSeen(count: number): Promise<void> {
    while (this.seenInAll < count) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  /** Keeps an answer back until `letGo`. */
  hold(): Promise<void> {
    return new Promise((resolve) => {
      this.#held.push(resolve);
      this.#arrived();
    });
  }

  letGo(): void {
    for (const resolve of this.#held.splice(0)) resolve();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    const count = this.seen(path) + 1;
    this.#seen.set(path, count);
    this.mostOpen = Math.max(this.mostOpen, ++this.open);
    this.#arrived();
    response.once("close", () => this.open--);
    const name = path.split("/")[1]!.split("?")[0]!;
    const behave = this.#behaviours[name] ?? notFound;
    void behave(request, response, count, this);
  }

  #arrived(): void {
    for (const resolve of this.#arrivals.splice(0)) resolve();
  }

  async #stop(): Promise<void> {
    this.letGo();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** @param count The how manieth request for this path it is. */
export type Behaviour = (
  request: IncomingMessage,
  response: ServerResponse,
  count: number,
  server: HostileServer,
) => unknown;

const notFound: Behaviour = (_request, response) => response.writeHead(404).end("there is no such thing\n");

const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  ok: (request, response) => response.end(`body of ${request.url}\n`),
  held: async (request, response, _count, server) => {
    await server.hold();
    response.end(`body of ${request.url}\n`);
  },
  // The beginning of a body, and the rest when the test lets go.
  halfway: async (_request, response, _count, server) => {
    response.writeHead(200, { "content-length": "100000" });
    response.write(Buffer.alloc(50_000, "a"));
    await server.hold();
    response.end(Buffer.alloc(50_000, "b"));
  },
  reset: (request) => request.socket.resetAndDestroy(),
  "reset-body": (request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("beginning", () => request.socket.resetAndDestroy());
  },
  stall: () => undefined,
  "stall-body": (_request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("beginning");
  },
  "too-short": (request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("beginning", () => request.socket.end());
  },
  "too-long": (request) => request.socket.end("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst and too much"),
  endless: (_request, response) => {
    const chunk = Buffer.alloc(16_384, "x");
    const more = (): void => {
      if (!response.destroyed) response.write(chunk, more);
    };
    more();
  },
  trickle: (_request, response) => {
    const timer = setInterval(() => response.write("."), 20);
    response.once("close", () => clearInterval(timer));
  },
  garbage: (request) => request.socket.end("SSH-2.0-OpenSSH_9.2\r\n"),
  // /busy/2/1: twice "come back in 1 second", then the answer.
  busy: (request, response, count) => {
    const [, , times, after] = request.url!.split("/");
    if (count > Number(times)) response.end("at last\n");
    else response.writeHead(429, { "retry-after": after! }).end("busy\n");
  },
  "busy-date": (_request, response, count) => {
    if (count > 1) response.end("at last\n");
    else response.writeHead(503, { "retry-after": new Date(Date.now() + 1_000).toUTCString() }).end();
  },
  // /flaky/503/2: this status twice, then the answer.
  flaky: (request, response, count) => {
    const [, , status, times] = request.url!.split("/");
    if (count > Number(times)) response.end("at last\n");
    else response.writeHead(Number(status)).end();
  },
  moved: (_request, response) => response.writeHead(302, { location: "/ok/elsewhere" }).end(),
  loop: (_request, response) => response.writeHead(302, { location: "/loop" }).end(),
  echo: async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    response.end(JSON.stringify({ method: request.method, headers: request.headers, body }));
  },
};
