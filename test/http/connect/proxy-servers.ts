/**
 * Proxies for the tests, on loopback: one for HTTP (CONNECT and requests with absolute URLs), one for SOCKS 4, 4a and 5. They note what they are asked,
 * and can be told to stall or to refuse.
 */
import { createServer as createHttpServer, request as sendRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, createServer as createSocketServer } from "node:net";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { certificate, privateKey } from "../certificate.ts";
import { TestServer } from "../servers.ts";

export class ProxyServer extends TestServer {
  /** What it was asked for. */
  readonly log: string[] = [];
  /** The headers that were meant for it, of each request. */
  readonly headers: IncomingMessage["headers"][] = [];
  /** User names and passwords of SOCKS. */
  readonly users: string[] = [];
}

export interface ProxyBehaviour {
  /** Answers nothing. */
  readonly stalls?: boolean;
  /** Status of every answer. */
  readonly status?: number;
  /** With TLS. */
  readonly isEncrypted?: boolean;
  /** `user:password` that is asked for. */
  readonly credentials?: string;
}

export function startHttpProxy(behaviour: ProxyBehaviour = {}): Promise<ProxyServer> {
  const { stalls, status, isEncrypted, credentials } = behaviour;
  const server = isEncrypted === true ? createTlsServer({ cert: certificate, key: privateKey }) : createHttpServer();
  const expected = credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString("base64")}`;
  const refusal = (request: IncomingMessage): number | undefined =>
    status ?? (expected !== undefined && request.headers["proxy-authorization"] !== expected ? 407 : undefined);

  server.on("connect", (request, client: Duplex, head: Buffer): void => {
    proxy.log.push(`CONNECT ${request.url}`);
    proxy.headers.push(request.headers);
    proxy.changed();
    client.on("error", () => undefined);
    if (stalls === true) return void client.on("end", () => client.destroy()).resume();
    const refused = refusal(request);
    if (refused !== undefined) return void client.end(`HTTP/1.1 ${refused} No\r\ncontent-length: 0\r\n\r\n`);
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(request.url!)!;
    const target = connect({ host: addressOf(host!), port: Number(port) }, () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      target.write(head);
      join(target, client);
    });
    target.on("error", () => client.end("HTTP/1.1 502 Bad gateway\r\ncontent-length: 0\r\n\r\n"));
  });
  server.on("request", (request, response): void => {
    proxy.log.push(`${request.method} ${request.url}`);
    proxy.headers.push(request.headers);
    proxy.changed();
    if (stalls === true) return;
    const refused = refusal(request);
    if (refused !== undefined) return void response.writeHead(refused).end();
    const url = new URL(request.url!);
    const { "proxy-authorization": __, ...headers } = request.headers;
    const onward = sendRequest(
      {
        host: addressOf(url.hostname),
        port: url.port,
        path: url.pathname + url.search,
        method: request.method,
        headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  const proxy = new ProxyServer(server);
  return started(server, proxy);
}

export function startSocksProxy(behaviour: ProxyBehaviour & { readonly refuses?: boolean } = {}): Promise<ProxyServer> {
  const server = createSocketServer((client) => {
    client.on("error", () => undefined);
    void serve(client).catch(() => client.destroy());
  });
  const proxy = new ProxyServer(server);

  async function serve(client: Socket): Promise<void> {
    const input = new Input(client);
    const version = (await input.bytes(1))[0];
    if (behaviour.stalls === true) {
      proxy.log.push(`SOCKS ${version}`);
      proxy.changed();
      return;
    }
    if (version === 4) await serve4(client, input);
    else await serve5(client, input);
  }

  async function serve4(client: Socket, input: Input): Promise<void> {
    const head = await input.bytes(7);
    const user = await input.text();
    const address = head.subarray(3).join(".");
    const host = address.startsWith("0.0.0.") ? await input.text() : address;
    proxy.users.push(user);
    note(host, head.readUInt16BE(1));
    if (behaviour.refuses === true) return void client.end(Buffer.from([0, 91, 0, 0, 0, 0, 0, 0]));
    reach(client, input, host, head.readUInt16BE(1), Buffer.from([0, 90, 0, 0, 0, 0, 0, 0]));
  }

  async function serve5(client: Socket, input: Input): Promise<void> {
    const methods = await input.bytes((await input.bytes(1))[0]!);
    const { credentials } = behaviour;
    if (credentials !== undefined) {
      if (!methods.includes(2)) return void client.end(Buffer.from([5, 255]));
      client.write(Buffer.from([5, 2]));
      await input.bytes(1);
      const user = (await input.bytes((await input.bytes(1))[0]!)).toString();
      const password = (await input.bytes((await input.bytes(1))[0]!)).toString();
      proxy.users.push(`${user}:${password}`);
      const isRight = `${user}:${password}` === credentials;
      client.write(Buffer.from([1, isRight ? 0 : 1]));
      if (!isRight) return void client.end();
    } else client.write(Buffer.from([5, 0]));
    const kind = (await input.bytes(4))[3]!;
    const length = kind === 1 ? 4 : kind === 4 ? 16 : (await input.bytes(1))[0]!;
    const name = await input.bytes(length);
    const host = kind === 1 ? name.join(".") : kind === 4 ? "::1" : name.toString();
    const port = (await input.bytes(2)).readUInt16BE();
    note(host, port);
    if (behaviour.refuses === true) return void client.end(Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0]));
    reach(client, input, host, port, Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
  }

  function note(host: string, port: number): void {
    proxy.log.push(`${host}:${port}`);
    proxy.changed();
  }

  return started(server, proxy);
}

function reach(client: Socket, input: Input, host: string, port: number, answer: Buffer): void {
  input.release();
  const target = connect({ host: addressOf(host), port }, () => {
    client.write(answer);
    join(target, client);
  });
  target.on("error", () => client.destroy());
}

/** Names end in ".test" so that nobody but the proxy can know them. */
function addressOf(host: string): string {
  return host.endsWith(".test") || host === "localhost" ? "127.0.0.1" : host;
}

function join(target: Socket, client: Duplex): void {
  target.pipe(client);
  client.pipe(target);
  target.on("close", () => client.destroy());
  client.on("close", () => target.destroy());
}

async function started(server: Server, proxy: ProxyServer): Promise<ProxyServer> {
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return proxy;
}

/** Reads a socket by the byte. */
class Input {
  readonly #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  readonly #onData = (data: Buffer): void => {
    this.#buffer = Buffer.concat([this.#buffer, data]);
    this.#wake();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", this.#onData);
  }

  async bytes(count: number): Promise<Buffer> {
    while (this.#buffer.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }

  /** Up to a zero. */
  async text(): Promise<string> {
    let text = "";
    for (let byte = (await this.bytes(1))[0]!; byte !== 0; byte = (await this.bytes(1))[0]!)
      text += String.fromCharCode(byte);
    return text;
  }

  release(): void {
    this.#socket.pause();
    this.#socket.off("data", this.#onData);
    if (this.#buffer.length > 0) this.#socket.unshift(this.#buffer);
  }
}
