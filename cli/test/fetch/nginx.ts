/**
 * A web server that is not ours: nginx, with a configuration of its own in a temporary folder, on a free port.
 * It is needed, not wished for: where it is missing, the tests fail and say how to get it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export interface Nginx {
  readonly origin: string;
  /** What it serves. */
  readonly root: string;
  stop(): Promise<void>;
}

const PROGRAM = "nginx";
const START_LIMIT_MS = 50_000;
const LOOK_EVERY_MS = 20;

export async function startNginx(): Promise<Nginx> {
  const home = await mkdtemp(join(tmpdir(), "fibril-nginx-"));
  const root = join(home, "www");
  await mkdir(root);
  // Started by root it serves as another user, who has to get in.
  await chmod(home, 0o755);
  const port = await freePort();
  await writeFile(join(home, "nginx.conf"), configuration(home, root, port));
  const server = spawn(PROGRAM, ["-p", home, "-c", join(home, "nginx.conf")], {
    env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin` },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let complaint = "";
  server.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const ended = new Promise<never>((_resolve, reject) => {
    server.once("error", (error) =>
      reject(new Error("these tests need nginx; on Debian: apt-get install nginx-light", { cause: error })),
    );
    server.once("exit", (code) => reject(new Error(`nginx ended with code ${code}: ${complaint}`)));
  });
  ended.catch(() => undefined); // after the start nobody waits for it any more
  const stop = async (): Promise<void> => {
    if (server.pid !== undefined && server.exitCode === null) {
      const exit = once(server, "exit");
      server.kill("SIGTERM");
      await exit;
    }
    await rm(home, { recursive: true, force: true });
  };
  try {
    await Promise.race([ended, untilListening(port)]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { origin: `http://127.0.0.1:${port}`, root, stop };
}

function configuration(home: string, root: string, port: number): string {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `  ${name}_temp_path ${join(home, name)};`,
  );
  return `
daemon off;
worker_processes 1;
pid ${join(home, "nginx.pid")};
error_log stderr crit;
events { worker_connections 2048; }
http {
  access_log off;
  gzip off;
  keepalive_requests 100000;
${folders.join("\n")}
  server { listen 127.0.0.1:${port}; root ${root}; }
}
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** There is no event for it: a process in the foreground does not tell when it listens. */
async function untilListening(port: number): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await accepts(port))) {
    if (performance.now() > deadline) throw new Error(`nginx does not listen after ${START_LIMIT_MS} ms`);
    await pause(LOOK_EVERY_MS);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
