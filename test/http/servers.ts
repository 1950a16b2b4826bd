/**
 * Servers for the tests, on loopback and on ports that the system chooses: well-behaved ones on node:http, hostile ones on
 * bare sockets. Each of them can be asked, and waited for, about the sockets that it sees.
 */
import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createSocketServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export class TestServer implements AsyncDisposable {
  /** Sockets that are open now. */
  readonly sockets: Set<Socket> = new Set();
  /** The most that were open at once, and how many there were in all. */
  mostOpen = 0;
  accepted = 0;
  readonly #server: Server;
  readonly #watchers: Set<() => void> = new Set();

  constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.accepted++;
      this.sockets.add(socket);
      this.mostOpen = Math.max(this.mostOpen, this.sockets.size);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.sockets.delete(socket);
        this.changed();
      });
      this.changed();
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Tells those who wait in `until`. */
  changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** Resolves once the condition holds. It is looked at whenever something happens here. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve) => {
      const watcher = (): void => {
        if (!condition()) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
    });
  }

  /** Resolves once `count` sockets are open. */
  untilOpen(count: number): Promise<void> {
    return this.until(() => this.sockets.size === count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

/** Starts it on loopback, on a port that the system chooses. */
export async function listening(server: Server): Promise<TestServer> {
  const test = new TestServer(server);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return test;
}

/** A request that the server has not answered yet. */
export interface HeldRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export class HttpTestServer extends TestServer {
  /** Every request line so far, as `GET /path`. */
  readonly log: string[] = [];
  /** Requests to paths that start with `/hold`: answered by the test. */
  readonly held: HeldRequest[] = [];
  inFlight = 0;
  mostInFlight = 0;
}

type Handler = (request: IncomingMessage, response: ServerResponse, server: HttpTestServer) => void;

/** Answers what `handler` answers; paths under `/hold` wait in `held`. */
export async function startHttpServer(handler: Handler = greet): Promise<HttpTestServer> {
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    test.log.push(`${request.method} ${request.url}`);
    test.inFlight++;
    test.mostInFlight = Math.max(test.mostInFlight, test.inFlight);
    response.on("close", () => {
      test.inFlight--;
      test.changed();
    });
    if (request.url!.startsWith("/hold")) test.held.push({ request, response });
    else handler(request, response, test);
    test.changed();
  });
  const test = new HttpTestServer(server);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return test;
}

function greet(request: IncomingMessage, response: ServerResponse): void {
  response.end(`${request.method} ${request.url}`);
}

/** Reads a request to its end. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

/** Calls `onRequest` once a whole request head has come on a socket (and again for each further one). */
export function startRawServer(onRequest: (socket: Socket, count: number, head: string) => void): Promise<TestServer> {
  return listening(
    createSocketServer((socket) => {
      let text = "";
      let count = 0;
      socket.on("data", (data) => {
        text += data.toString("latin1");
        for (let end = text.indexOf("\r\n\r\n"); end !== -1; end = text.indexOf("\r\n\r\n")) {
          const head = text.slice(0, end);
          text = text.slice(end + 4);
          onRequest(socket, ++count, head);
        }
      });
    }),
  );
}

/** Calls `onConnection` for every connection, before anything was read. */
export function startSocketServer(onConnection: (socket: Socket) => void): Promise<TestServer> {
  return listening(createSocketServer(onConnection));
}

/**
 * An origin at which nothing listens. The port is below those that the system gives away: one that a server has given back may be
 * the next test's.
 */
export function closedOrigin(): string {
  return "http://127.0.0.1:1";
}
