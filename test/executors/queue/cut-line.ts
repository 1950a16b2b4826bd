/**
 * A line to a Redis that is cut at an awkward moment: when the answer that has a certain text in it is on its way. It is never seen; afterwards
 * the line works. A test cannot hit that moment with `CLIENT KILL`.
 */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

export class CutLine {
  isCut = false;
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

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
