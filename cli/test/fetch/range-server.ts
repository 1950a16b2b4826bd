/**
 * A server that knows bodies by heart: tags, ranges and conditions as in RFC 9110, and a list of what was asked. It can stop in the
 * middle of a body and hold the rest back, so that a test can kill whoever is reading.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface Asked {
  readonly path: string;
  readonly status: number;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
}

export interface Content {
  readonly body: Buffer;
  readonly etag?: string;
  readonly modified?: string;
}

export class RangeServer {
  readonly contents: Map<string, Content> = new Map();
  readonly asked: Asked[] = [];
  /** Paths whose bodies stop after so many bytes, until they are taken away from here. */
  readonly stops: Map<string, number> = new Map();
  /** Paths whose bodies break off after so many bytes: the connection is closed. */
  readonly breaks: Map<string, number> = new Map();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<RangeServer> {
    const server = new RangeServer();
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    onTestFinished(() => server.#stop());
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get host(): string {
    return new URL(this.origin).host.replace(":", "+");
  }

  timesAsked(path: string): number {
    return this.asked.filter((one) => one.path === path).length;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url!;
    const content = this.contents.get(path);
    const {
      range,
      "if-range": ifRange,
      "if-none-match": ifNoneMatch,
      "if-modified-since": ifModifiedSince,
    } = request.headers;
    const note = (status: number): void => {
      this.asked.push({ path, status, range, ifRange: ifRange as string | undefined, ifNoneMatch, ifModifiedSince });
    };
    if (content === undefined) {
      note(404);
      return void response.writeHead(404).end();
    }
    const { body, etag, modified } = content;
    const headers = {
      ...(etag === undefined ? {} : { etag }),
      ...(modified === undefined ? {} : { "last-modified": modified }),
    };
    const isSame =
      (etag !== undefined && ifNoneMatch === etag) ||
      (ifNoneMatch === undefined && modified !== undefined && ifModifiedSince === modified);
    if (isSame) {
      note(304);
      return void response.writeHead(304, headers).end();
    }
    const from = /^bytes=(\d+)-$/.exec(range ?? "")?.[1];
    const applies = from !== undefined && (ifRange === undefined || ifRange === etag || ifRange === modified);
    if (applies && Number(from) >= body.byteLength) {
      note(416);
      return void response.writeHead(416, { "content-range": `bytes */${body.byteLength}` }).end();
    }
    const start = applies ? Number(from) : 0;
    const status = applies ? 206 : 200;
    note(status);
    const rest = body.subarray(start);
    const contentRange = applies ? { "content-range": `bytes ${start}-${body.byteLength - 1}/${body.byteLength}` } : {};
    response.writeHead(status, { ...headers, ...contentRange, "content-length": rest.byteLength });
    const [stop, end] = [this.stops.get(path), this.breaks.get(path)];
    if (stop !== undefined) response.write(rest.subarray(0, stop));
    else if (end !== undefined && end < rest.byteLength) {
      response.write(rest.subarray(0, end), () => request.socket.end());
    } else response.end(rest);
  }

  async #stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
