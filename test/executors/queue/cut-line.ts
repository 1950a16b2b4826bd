/**
 * A line to a Redis that is cut, or held up, at an awkward moment: when the answer that has a certain text in it is on its way. One that is cut off is
 * never seen; afterwards the line works. A test cannot hit that moment with `CLIENT KILL`.
 */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export class CutLine {
  isCut = false;
  /** An answer that has this text in it waits, with all that follow it on its connection, until `release`. */
  holds: string | null = null;
  readonly #held = new Map<Socket, Buffer[]>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(redisUrl: string, text: string) {
    const port = Number(new URL(redisUrl).port);
    this.#server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
      near.on("data", (data) => far.write(data));
      far.on("data", (data) => {
        if (this.#held.has(near) || (this.holds !== null && data.includes(this.holds))) {
          this.#held.set(near, [...(this.#held.get(near) ?? []), data]);
          return;
        }
        if (this.isCut || !data.includes(text)) {
          near.write(data);
          return;
        }
        this.isCut = true;
        near.destroy();
      });
    });
  }

  static async open(redisUrl: string, text: string): Promise<CutLine> {
    const line = new CutLine(redisUrl, text);
    await new Promise<void>((resolve) => line.#server.listen(0, "127.0.0.1", resolve));
    return line;
  }

  get isHolding(): boolean {
    return this.#held.size > 0;
  }

  release(): void {
    this.holds = null;
    for (const [near, answers] of this.#held) for (const answer of answers) near.write(answer);
    this.#held.clear();
  }

  /** How many there are, of clients. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
