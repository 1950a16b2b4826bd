/**
 * The connections of an HTTP/2 server, which Node does not close with the server as it does those of HTTP/1.1.
 */
import type { Server } from "node:http";

interface Session {
  close(): void;
  destroy(): void;
  once(event: "close", listener: () => void): unknown;
}

export class Http2Sessions {
  readonly #open = new Set<Session>();

  constructor(server: Server) {
    server.on("session", (session: Session) => {
      this.#open.add(session);
      session.once("close", () => this.#open.delete(session));
    });
  }

  /** Each ends when its last stream has. */
  close(): void {
    for (const session of this.#open) session.close();
  }

  destroy(): void {
    for (const session of this.#open) session.destroy();
  }
}
