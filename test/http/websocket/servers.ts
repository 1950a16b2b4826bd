/**
 * WebSocket servers for the tests, and a client that checks after its end that nothing of it is left.
 */
import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import { EventLoop, run } from "fibril";
import type { Coroutine, EventLoopOptions } from "fibril";
import { WebSocketServer } from "ws";
import type { ServerOptions, WebSocket } from "ws";
import { expect } from "vitest";
import { openWebSocket } from "../../../src/http/websocket/open.ts";
import type { HandshakePolicy, SessionSocket, WebSocketOptions } from "../../../src/http/websocket/open.ts";
import type { WebSocketChannel } from "../../../src/http/websocket/ends.ts";
import { TestServer } from "../servers.ts";

export class SocketTestServer extends TestServer {
  readonly clients: WebSocket[] = [];
  readonly requests: IncomingMessage[] = [];
  /** Close codes that clients gave, in order. */
  readonly closeCodes: number[] = [];

  get url(): string {
    return `ws://127.0.0.1:${this.port}/feed`;
  }
}

/** Calls `onClient` for every WebSocket; what is no upgrade is answered with 418. */
export async function startWebSocketServer(
  onClient: (client: WebSocket, request: IncomingMessage) => void = () => undefined,
  options: ServerOptions = {},
): Promise<SocketTestServer> {
  const http = createServer((_request, response) => void response.writeHead(418).end());
  const test = new SocketTestServer(http);
  const server = new WebSocketServer({ server: http, ...options });
  server.on("connection", (client, request) => {
    test.clients.push(client);
    test.requests.push(request);
    client.on("error", () => undefined);
    client.on("close", (code) => {
      test.closeCodes.push(code);
      test.changed();
    });
    onClient(client, request);
    test.changed();
  });
  await new Promise<void>((resolve) => void http.listen(0, "127.0.0.1", resolve));
  return test;
}

/** Opens without a session. */
export function connect(
  url: string,
  options: WebSocketOptions = {},
  policies: readonly HandshakePolicy[] = [],
): Coroutine<WebSocketChannel> {
  const bare = {
    base: undefined,
    headers: ["user-agent", "fibril"],
    name: "bare",
    isClosed: false,
    dial: null,
    policies,
    sockets: new Set<SessionSocket>(),
  };
  return openWebSocket(bare, url, options) as Coroutine<WebSocketChannel>;
}

/** Runs `main` in a loop of its own; afterwards no task, timer or hold is left, and nothing was reported. */
export async function runClean<T>(main: () => Coroutine<T>, loopOptions: EventLoopOptions = {}): Promise<T> {
  const reports: unknown[] = [];
  const loop = new EventLoop({ ...loopOptions, onReport: (report) => void reports.push(report) });
  try {
    return await run(main, { loop });
  } finally {
    expect(loop.statistics()).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 0 });
    expect(reports).toEqual([]);
  }
}
