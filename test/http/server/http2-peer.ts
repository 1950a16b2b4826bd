/**
 * A client of HTTP/2 on a bare socket: it says what no library would say, and hears every frame that the server sends.
 *
 * The headers of its requests are written with the static table of HPACK only; those of the answers are not read.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const WINDOW_UPDATE = 8;
const ACK = 1;
const END_STREAM = 1;
const END_HEADERS = 4;
const INITIAL_WINDOW_SIZE = 4;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
export const LARGEST_WINDOW: number = 2 ** 31 - 1;

/** What came of one stream. */
export interface PeerStream {
  readonly id: number;
  headers: boolean;
  bytes: number;
  hasEnded: boolean;
  /** The code of the reset. */
  reset: number | null;
}

export class Http2Peer {
  readonly socket: Socket;
  isClosed = false;
  pongs = 0;
  readonly #streams = new Map<number, PeerStream>();
  #nextId = 1;
  #received: Buffer = Buffer.alloc(0);

  /** @param windowBytes What each stream may send before it is told more. */
  constructor(port: number, windowBytes: number, isTls = false) {
    const host = "127.0.0.1";
    this.socket = isTls
      ? connectTls({ port, host, ALPNProtocols: ["h2"], rejectUnauthorized: false })
      : connect(port, host);
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => (this.isClosed = true));
    this.socket.on("data", (data) => this.#read(data));
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(INITIAL_WINDOW_SIZE, 0);
    settings.writeUInt32BE(windowBytes, 2);
    this.socket.write(PREFACE);
    this.#send(SETTINGS, 0, 0, settings);
    this.#send(SETTINGS, ACK, 0);
  }

  /** @param isWhole Without it the request stays open, as one whose body is still to come. */
  request(path: string, method: "GET" | "POST" = "GET", isWhole = true): PeerStream {
    const stream: PeerStream = { id: this.#nextId, headers: false, bytes: 0, hasEnded: false, reset: null };
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    const METHOD_AND_SCHEME = [method === "GET" ? 0x82 : 0x83, 0x86];
    const block = Buffer.concat([Buffer.from(METHOD_AND_SCHEME), literal(4, path), literal(1, "test")]);
    this.#send(HEADERS, END_HEADERS | (isWhole ? END_STREAM : 0), stream.id, block);
    return stream;
  }

  /** A piece of the body of a request. */
  data(stream: PeerStream, text: string): void {
    this.#send(DATA, 0, stream.id, Buffer.from(text));
  }

  /** The client takes more: of one stream, or (`null`) of the connection. */
  opens(stream: PeerStream | null, bytes: number): void {
    const increment = Buffer.alloc(4);
    increment.writeUInt32BE(bytes);
    this.#send(WINDOW_UPDATE, 0, stream?.id ?? 0, increment);
  }

  reset(stream: PeerStream): void {
    this.#send(RST_STREAM, 0, stream.id, Buffer.from([0, 0, 0, 8]));
  }

  /** What the server answers, whatever its streams do. */
  ping(): void {
    this.#send(PING, 0, 0, Buffer.alloc(8));
  }

  destroy(): void {
    this.socket.destroy();
  }

  #send(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(id, 5);
    this.socket.write(Buffer.concat([head, payload]));
  }

  #read(data: Buffer): void {
    let rest = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    while (rest.length >= 9) {
      const length = rest.readUIntBE(0, 3);
      if (rest.length < 9 + length) break;
      this.#heard(rest[3]!, rest[4]!, rest.readUInt32BE(5), rest.subarray(9, 9 + length));
      rest = rest.subarray(9 + length);
    }
    this.#received = rest;
  }

  #heard(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === PING) this.pongs++;
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (type === DATA) stream.bytes += payload.length;
    else if (type === HEADERS) stream.headers = true;
    else if (type === RST_STREAM) stream.reset = payload.readUInt32BE(0);
    if ((type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0) stream.hasEnded = true;
  }
}

function literal(nameIndex: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([nameIndex, value.length]), Buffer.from(value)]);
}
