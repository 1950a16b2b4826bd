/**
 * What the tests of the server need: a server inside a loop of its own, the proof that it left nothing behind, and clients that
 * do on a bare socket what no library would do.
 */
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { EventLoop, run, until } from "fibril";
import type { Coroutine, EventLoopOptions } from "fibril";
import { serve } from "fibril/http/server";
import type { Handler, HttpServer, RequestEnd, ServeOptions } from "fibril/http/server";
import { expect } from "vitest";

/** A server under test, with what it told. */
export interface Served {
  readonly server: HttpServer;
  readonly loop: EventLoop;
  readonly port: number;
  readonly ends: readonly RequestEnd[];
  readonly errors: readonly unknown[];
}

/** Runs `body` with a server, and checks after its end that nothing of it is left: no task, timer, wait or report. */
export async function withServer<T>(
  handler: Handler,
  options: ServeOptions,
  body: (served: Served) => Coroutine<T>,
  loopOptions: EventLoopOptions = {},
): Promise<T> {
  const ends: RequestEnd[] = [];
  const errors: unknown[] = [];
  const reports: unknown[] = [];
  const loop = new EventLoop({ ...loopOptions, onReport: (report) => void reports.push(report) });
  let server: HttpServer | undefined;
  try {
    return await run(
      function* main(): Coroutine<T> {
        server = yield* serve(handler, {
          drainMs: 0,
          onRequestEnd: (end) => void ends.push(end),
          onError: (error) => void errors.push(error),
          ...options,
        });
        const { port } = server.address as AddressInfo;
        return yield* body({ server, loop, port, ends, errors });
      },
      { loop },
    );
  } finally {
    expect(server?.statistics()).toMatchObject({ active: 0, queued: 0, handlers: 0, webSockets: 0 });
    expect(server?.raw.listening).toBe(false);
    expect(loop.statistics()).toMatchObject({ tasks: 0, ready: 0, timers: 0, outside: 0 });
    expect(reports).toEqual([]);
  }
}

/** A client on a bare socket. */
export class RawClient {
  readonly socket: Socket;
  text = "";
  readonly #watchers = new Set<() => void>();
  isClosed = false;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => undefined);
    this.socket.on("data", (data) => {
      this.text += data.toString("latin1");
      this.#changed();
    });
    this.socket.on("close", () => {
      this.isClosed = true;
      this.#changed();
    });
  }

  /** Sends a request: the first line, then headers. */
  send(line: string, headers: Readonly<Record<string, string>> = {}, body = ""): this {
    const fields = Object.entries({ host: "test", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket.write(`${line} HTTP/1.1\r\n${fields.join("")}\r\n${body}`);
    return this;
  }

  /** Waits until what has come fits. */
  *until(condition: (client: RawClient) => boolean): Coroutine<this> {
    while (!condition(this)) yield* until(new Promise<void>((resolve) => void this.#watchers.add(resolve)));
    return this;
  }

  /** Everything that comes until the server closes the connection. */
  *rest(): Coroutine<string> {
    yield* this.until((it) => it.isClosed);
    return this.text;
  }

  /** The status lines that have come. */
  get statuses(): readonly number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((it) => Number(it[1]));
  }

  destroy(): void {
    this.socket.destroy();
  }

  #changed(): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const watcher of watchers) watcher();
  }
}

/** Lets the host turn until the condition holds. */
export function* eventually(condition: () => boolean): Coroutine<void> {
  while (!condition()) yield* until(new Promise<void>((resolve) => setImmediate(resolve)));
}

/** One request on a connection of its own. */
export function* ask(
  port: number,
  line: string,
  headers: Readonly<Record<string, string>> = {},
  body = "",
): Coroutine<string> {
  const client = new RawClient(port).send(line, { connection: "close", ...headers }, body);
  return yield* client.rest();
}

/** The JSON after the headers. */
export function bodyOf(response: string): unknown {
  return JSON.parse(response.slice(response.indexOf("\r\n\r\n") + 4)) as unknown;
}
