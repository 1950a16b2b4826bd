/**
 * A Redis of a test's own: real, on a free port, in a folder of its own, gone at the end.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const PATIENCE_MS = 50_000;

export class RedisServer {
  readonly url: string;
  readonly #port: number;
  readonly #folder: string;
  #process: ChildProcess | null = null;

  readonly #fsync: string;

  private constructor(port: number, folder: string, fsync: string) {
    this.#port = port;
    this.#folder = folder;
    this.#fsync = fsync;
    this.url = `redis://127.0.0.1:${port}`;
  }

  /**
   * With an append-only file. `isDurable`: what was acknowledged is on the disk, so that it may crash; that costs a few milliseconds for each write.
   */
  static async start({ isDurable = false }: { readonly isDurable?: boolean } = {}): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), "fibril-redis-"));
    const server = new RedisServer(await freePort(), folder, isDurable ? "always" : "everysec");
    await server.#launch();
    return server;
  }

  /** Ends it without warning and starts it again on what it has written. */
  async crashAndRestart(): Promise<void> {
    await this.crash();
    await this.restart();
  }

  /** Ends it without warning. */
  crash(): Promise<void> {
    return this.#kill();
  }

  /** Starts it again on what it has written. */
  restart(): Promise<void> {
    return this.#launch();
  }

  async stop(): Promise<void> {
    await this.#kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #launch(): Promise<void> {
    const args = ["--port", `${this.#port}`, "--bind", "127.0.0.1", "--dir", this.#folder];
    const persistence = ["--save", "", "--appendonly", "yes", "--appendfsync", this.#fsync, "--loglevel", "warning"];
    const child = spawn("redis-server", [...args, ...persistence], { stdio: "ignore" });
    this.#process = child;
    const problem = await Promise.race([
      new Promise<string>((resolve) => child.once("error", (error) => resolve(error.message))),
      new Promise<string>((resolve) => child.once("exit", (code) => resolve(`it exited with ${code}`))),
      this.#answers(),
    ]);
    if (problem === "") return;
    await rm(this.#folder, { recursive: true, force: true });
    throw new Error(`redis-server does not start (${problem}); these tests need it: apt-get install redis-server`);
  }

  /** `""`, when it takes commands. */
  async #answers(): Promise<string> {
    for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += 10) {
      if (await ping(this.#port)) return "";
      await delay(10);
    }
    return `it does not answer on port ${this.#port}`;
  }

  async #kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

function ping(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.on("data", (data) => end(data.toString().startsWith("+PONG")));
    socket.on("error", () => end(false));
    socket.on("close", () => end(false));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
